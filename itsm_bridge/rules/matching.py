"""Does a rule speak of an alert, and if not, why?

`compiling` makes one `Matcher` of each match; `engine` asks it. A matcher is a list of criteria which all have to hold.
Those that cost least come first, and each is a look into a set or a walk through a short text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from msgspec import UNSET, UnsetType

from itsm_bridge.rules import windows
from itsm_bridge.rules.model import EventMatch, Match, ResourceMatch
from itsm_bridge.rules.patterns import Fits, fits_any, folded, squeezed
from itsm_bridge.rules.subject import Subject
from itsm_bridge.rules.windows import Span
from itsm_bridge.text import clip

Said = str | list[str]
Words = Callable[[Subject], Sequence[str]]
WordsByName = Callable[[Subject], Mapping[str, Sequence[str]]]
Windows = Mapping[str, Sequence[Span]]

#: The criteria that compare one list of words, the cheapest first.
_BY_NAME: tuple[tuple[str, Callable[[str], str], Words], ...] = (
    ("severity", folded, attrgetter("severity_words")),
    ("service", squeezed, attrgetter("service_words")),
    ("signal", squeezed, attrgetter("signal_words")),
    ("condition", squeezed, attrgetter("condition_words")),
    ("subscription", folded, attrgetter("subscription_words")),
    ("resource_group", folded, attrgetter("group_words")),
    ("rule", folded, attrgetter("rule_words")),
)

#: How many values of an alert an explanation names, and how long one may be.
_NAMED = 3
_LENGTH = 60


class Criterion(Protocol):
    """One condition of a match."""

    def holds(self, subject: Subject) -> bool:
        """Return whether the alert meets it."""

    def shortfall(self, subject: Subject) -> str:
        """Return why the alert does not meet it, for people: "severity is sev4, not sev0 or sev1"."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """All criteria of one match; without any it fits every alert."""

    criteria: tuple[Criterion, ...]

    def holds(self, subject: Subject) -> bool:
        """Return whether the alert meets all criteria."""
        for criterion in self.criteria:  # noqa: SIM110 - a generator costs more than what it looks at
            if not criterion.holds(subject):
                return False
        return True

    def shortfall(self, subject: Subject) -> str:
        """Return why the alert does not fit, "" if it does."""
        missed = (each.shortfall(subject) for each in self.criteria if not each.holds(subject))
        return next(missed, "")


def matcher_of(said: Match | UnsetType, known: Windows) -> Matcher:
    """Return the matcher of a checked match; `known` has the windows of the file."""
    return Matcher(tuple(_criteria(said, known)) if isinstance(said, Match) else ())


def _criteria(said: Match, known: Windows) -> Iterable[Criterion]:
    """Yield the criteria, the cheapest first."""
    if said.test is not UNSET:
        yield _Test(said.test)
    for name, fold, words in _BY_NAME:
        if (patterns := getattr(said, name)) is not UNSET:
            yield _words(name, patterns, fold, words)
    if isinstance(said.event, EventMatch):
        yield from _event(said.event)
    yield from _named("custom", said.custom, attrgetter("custom_words"))
    yield from _named("dimension", said.dimension, attrgetter("dimension_words"))
    if isinstance(said.resource, ResourceMatch):
        yield _resource(said.resource)
    elif said.resource is not UNSET:
        yield _words("resource", said.resource, folded, attrgetter("any_resource_words"))
    if said.text is not UNSET:
        yield _words("text", said.text, folded, attrgetter("text_words"), anywhere=True)
    yield from _last_criteria(said, known)


def _last_criteria(said: Match, known: Windows) -> Iterable[Criterion]:
    """Yield the criteria that ask the clock or another match."""
    if said.during is not UNSET:
        names = _listed(said.during)
        yield _During(tuple(names), tuple(span for name in names for span in known[name]))
    if said.not_ is not UNSET:
        others = said.not_ if isinstance(said.not_, list) else [said.not_]
        yield from (_Not(matcher_of(other, known)) for other in others)


@dataclass(frozen=True, slots=True)
class _Words:
    """One of the words that the alert has fits one of the patterns."""

    name: str
    patterns: tuple[str, ...]
    fits: Fits
    words: Words

    def holds(self, subject: Subject) -> bool:
        fits = self.fits
        for word in self.words(subject):  # noqa: SIM110 - as above
            if fits(word):
                return True
        return False

    def shortfall(self, subject: Subject) -> str:
        words = [word for word in self.words(subject) if word]
        return f"{self.name} is {_some(words) if words else 'unknown'}, not {_some(self.patterns)}"


@dataclass(frozen=True, slots=True)
class _Resource:
    """One resource fits all that is named of it."""

    fits: tuple[tuple[str, int, tuple[str, ...], Fits], ...]

    def holds(self, subject: Subject) -> bool:
        return any(
            all(any(map(fits, words[part])) for _, part, _, fits in self.fits) for words in subject.resource_words
        )

    def shortfall(self, subject: Subject) -> str:
        wanted = " and ".join(f"{name} {_some(patterns)}" for name, _, patterns, _ in self.fits)
        found = [
            " ".join(words[part][0] or "unknown" for _, part, _, _ in self.fits) for words in subject.resource_words
        ]
        return f"resource is {_some(found) if found else 'unknown'}, not {wanted}"


@dataclass(frozen=True, slots=True)
class _Test:
    """Whether somebody pressed Test."""

    wanted: bool

    def holds(self, subject: Subject) -> bool:
        return subject.alert.is_test is self.wanted

    def shortfall(self, subject: Subject) -> str:
        return f"it is {'a' if subject.alert.is_test else 'no'} test"


@dataclass(frozen=True, slots=True)
class _During:
    """It is within one of the windows."""

    names: tuple[str, ...]
    spans: tuple[Span, ...]

    def holds(self, subject: Subject) -> bool:
        return windows.holds(self.spans, subject.now)

    def shortfall(self, subject: Subject) -> str:
        return f"{subject.now:%Y-%m-%d %H:%M %Z} is not during {_some(self.names)}".replace("  ", " ")


@dataclass(frozen=True, slots=True)
class _Not:
    """The alert does not fit another match."""

    other: Matcher

    def holds(self, subject: Subject) -> bool:
        return not self.other.holds(subject)

    def shortfall(self, subject: Subject) -> str:  # noqa: ARG002 - the protocol's
        names = [getattr(each, "name", "") or type(each).__name__.strip("_").lower() for each in self.other.criteria]
        return f"not: it fits what is left out ({_some(names)})"


def _words(name: str, patterns: Said, fold: Callable[[str], str], words: Words, *, anywhere: bool = False) -> _Words:
    wanted = _listed(patterns)
    return _Words(name, tuple(wanted), fits_any([*map(fold, wanted)], anywhere=anywhere), words)


def _named(name: str, said: Mapping[str, Said] | UnsetType, words: WordsByName) -> Iterable[Criterion]:
    """Yield a criterion for each custom property or dimension that is named."""
    for key, patterns in said.items() if isinstance(said, Mapping) else ():
        yield _words(f"{name} {key}", patterns, folded, _under(folded(key), words))


def _under(key: str, words: WordsByName) -> Words:
    return lambda subject: words(subject).get(key, ())


def _event(said: EventMatch) -> Iterable[Criterion]:
    for name in EventMatch.__struct_fields__:
        patterns = getattr(said, name)
        if patterns is not UNSET:
            yield _words(f"event {name}", patterns, squeezed, _under(name, attrgetter("event_words")))


def _resource(said: ResourceMatch) -> _Resource:
    found = []
    for part, name in enumerate(("id", "type", "name")):
        patterns = getattr(said, name)
        if patterns is not UNSET:
            wanted = _listed(patterns)
            found.append((name, part, tuple(wanted), fits_any([*map(folded, wanted)])))
    return _Resource(tuple(found))


def _listed(patterns: Said) -> list[str]:
    return patterns if isinstance(patterns, list) else [patterns]


def _some(words: Sequence[str]) -> str:
    shown = " or ".join(clip(word, _LENGTH) for word in words[:_NAMED])
    return shown + (f" or {len(words) - _NAMED} more" if len(words) > _NAMED else "")
