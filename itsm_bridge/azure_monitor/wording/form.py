"""In which parts is an alert put into words?

Each kind of alert has its own words (`threshold`, `activity_log`, `by_kind`), and all of them fill this form.
`notification` and `description` take from it what they show. Resources and rules get their names here too.
"""

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from itsm_bridge.azure_monitor.affected import affected_by
from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.text import clip, length, one_line

_SUBSCRIPTION = re.compile(r"/subscriptions/[^/]*/?", re.IGNORECASE)

#: How long what and where may be together, in the description.
_HEADLINE = 1000

#: How long one of several may be named.
_WHICH = 80

#: How many names a list for people holds; of a longer list of places, so many.
_NAMED = 3
_PLACES = 2


class Rank(IntEnum):
    """How important a line is: a description that is too long keeps the lowest ranks."""

    VITAL = 0
    NORMAL = 1
    EXTRA = 2
    SPARE = 3


class Line(NamedTuple):
    """One labelled line of a description."""

    label: str
    text: str
    rank: Rank = Rank.NORMAL
    #: Whether it stays the same when the same alert is evaluated again.
    is_stable: bool = True
    #: Whether a note tells people when it changes.
    is_fact: bool = False


class Wording(NamedTuple):
    """An alert in words."""

    #: The trouble in one line without an end mark.
    what: str
    #: On which resource, by name; "" if none is known or `what` says it.
    place: str = ""
    #: Which of several, as (name, value): dimensions, labels. A name may be "".
    which: tuple[tuple[str, str], ...] = ()
    #: The last measured value in one line; "" if nothing was measured.
    measured: str = ""
    #: The text that the source itself wrote; "" if it wrote none.
    story: str = ""
    lines: tuple[Line, ...] = ()
    #: Pages to open, by what they show; of several with one label people need one, the first if it can be shown.
    links: tuple[Line, ...] = ()

    @property
    def headline(self) -> str:
        """The trouble, its place, and which of several it is, in one line."""
        return _with_which(clip(_with_place(self.what, self.place), _HEADLINE), self.which)

    def title(self, limit: int) -> str:
        """Return the headline in at most `limit` characters: it drops which, then the end of what, never where."""
        placed = _with_place(self.what, self.place)
        if length(placed) > limit:
            place = clip(self.place, limit // 3)
            return _with_place(clip(self.what, limit - length(f" on {place}")), place)
        whole = _with_which(placed, self.which)
        return whole if length(whole) <= limit else placed


def name_of(resource: str) -> str:
    """Return what people call a resource: "sql1/orders" for the ARM id of a database, a name as it is."""
    parts = [part for part in resource.split("/") if part]
    lower = [part.lower() for part in parts]
    if len(parts) <= 1 or not resource.startswith("/"):
        return one_line(resource)
    if "providers" in lower:
        after = len(lower) - lower[::-1].index("providers")
        # .../providers/<namespace>/<type>/<name>/<type>/<name>
        return one_line("/".join(parts[after + 2 :: 2])) or one_line(parts[-1])
    return one_line(parts[-1])


def place_of(alert: Alert, *, except_for: str = "") -> str:
    """Return where it happens: the affected resources by name, else where the rule looks, but no subscription."""
    found = affected_by(alert)
    places = found.resources or [scope for scope in found.scopes if not _SUBSCRIPTION.fullmatch(scope)]
    names = list(dict.fromkeys(name for each in places if (name := name_of(each)).lower() != except_for.lower()))
    return some(names, most=_PLACES if len(names) > _NAMED else _NAMED)


def resources_of(alert: Alert) -> tuple[str, ...]:
    """Return the affected resources, then where the rule looks, each once: ARM ids, typed names and names."""
    found = affected_by(alert)
    return (*found.resources, *found.scopes)


def rule_of(alert: Alert) -> str:
    """Return what people call the rule; if it has no name, the first line of its description or the service."""
    first_line = alert.description.strip().split("\n", 1)[0]
    return name_of(alert.alert_rule) or clip(one_line(first_line), 120) or one_line(alert.monitoring_service)


def some(names: Sequence[str], *, most: int = _NAMED) -> str:
    """Return a list for people: the first names and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def read_html(text: str) -> str:
    """Return a text that its service wrote in HTML as plain lines."""
    if not text:
        return ""
    from itsm_bridge.azure_monitor.html_text import from_sent_html  # noqa: PLC0415 - few alerts need it, imports are timed

    return from_sent_html(text)


def sentences(*texts: str) -> str:
    """Return the texts that say anything as sentences in one line."""
    return " ".join(text if text.endswith((".", "!", "?", "…")) else f"{text}." for text in texts if text)


def _with_place(what: str, place: str) -> str:
    text = one_line(what)
    return text if not place or _mentions(text, place) else f"{text.rstrip('.')} on {place}"


def _mentions(text: str, name: str) -> bool:
    if text.isascii() and name.isascii() and name.lower() not in text.lower():
        # Mostly so, and a pattern for each name is dear.
        return False
    return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE))


def _with_which(text: str, which: Iterable[tuple[str, str]]) -> str:
    """Return `text` and the pairs that it does not mention in brackets: "(Computer = web1, Disk = C:)"."""
    unsaid = [
        f"{one_line(name)} = {clip(one_line(value), _WHICH)}" if name else clip(one_line(value), _WHICH)
        for name, value in which
        if value and not _mentions(text, value)
    ]
    return f"{text} ({some(unsaid)})" if unsaid else text


def lines_of(
    pairs: Iterable[tuple[str, str]], *, rank: Rank = Rank.NORMAL, is_stable: bool = True, is_fact: bool = False
) -> tuple[Line, ...]:
    """Return a line for each (label, text) whose text says anything, in one line of text each."""
    short = ((one_line(label), one_line(text)) for label, text in pairs)
    return tuple(
        Line(label=label, text=text, rank=rank, is_stable=is_stable, is_fact=is_fact) for label, text in short if text
    )
