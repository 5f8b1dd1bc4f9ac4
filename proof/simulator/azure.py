"""What does Azure Monitor say of one key, and when? The truth, by which the oracle judges.

The history asks for the words of each key and then draws how they arrive.

    alert     an alertId: it fires once and ends once. Its end is dated by another clock, with fewer digits, or with the
              time of its beginning; several action groups say both, each with text of its own
    again     an alertId that fires again and again, each time well after its end
    voices    two alerts of one key
    series    a metric alert of the older schema: one voice that begins and ends for a long time, mostly in the same
              words, with its times in any precision
    health    Resource Health: a chain of beginnings, updates that say nothing in the second of a beginning, and ends
    event     Service Health: stages, an end, and the root cause after it
    test      a test notification

All of one key's words are in the order in which they happened.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.ports import Content
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM

BEGIN = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


class Role(Enum):
    """The part that a word plays for its signal."""

    BEGIN = "begin"
    END = "end"
    #: It neither begins nor ends anything.
    NEUTRAL = "neutral"
    #: It tells more after the end.
    AFTER_END = "after end"
    #: A test begins and ends at once.
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Word:
    """One notification, as it really happened."""

    #: Seconds after the beginning.
    span: float
    role: Role
    notification: News

    @property
    def begins(self) -> bool:
        return self.role in (Role.BEGIN, Role.TEST)

    @property
    def ends(self) -> bool:
        return self.role in (Role.END, Role.AFTER_END, Role.TEST)


def words_of(rng: random.Random, key: str, name: str) -> list[Word]:
    """Draw what is said of one key."""
    kind = rng.choice([*_KINDS, "alert", "series", "health"])
    return list(_KINDS[kind](rng, key, name))


def shared_words(rng: random.Random, key: str, name: str, *, begin: float) -> list[Word]:
    """Draw what is said of one of several alerts that may share an incident, from `begin` on.

    Each has an alertId of its own, or is the single voice of its key, as a health event is.
    """
    if rng.random() < 0.3:
        return list(_health(rng, key, name, begin=begin))
    return list(_cycles(rng, key, name, signal=name, span=begin, most=2))


def a_notification(key: str, digest: str, *, signal: str, at: float, opens: bool, closes: bool) -> News:
    worst = str(1 + len(digest) % 3)
    return News(
        key=key,
        signal=signal,
        opens=opens,
        closes=closes,
        at=BEGIN + timedelta(seconds=at),
        digest=digest,
        content=Content(
            fields={
                "short_description": f"Alert {digest}",
                "description": "It is an alert.",
                "impact": worst,
                "urgency": str(1 + int(at) % 3),
            },
            links={CONFIGURATION_ITEM: (f"vm-{len(digest) % 2}",)},
        ),
        facts={"Said": digest},
        note=f"<{digest}>",
    )


def _word(key: str, digest: str, role: Role, *, signal: str, span: float, at: float | None = None) -> Word:
    opens, closes = role in (Role.BEGIN, Role.TEST), role in (Role.END, Role.AFTER_END, Role.TEST)
    when = span if at is None else at
    said = a_notification(key, digest, signal=signal, at=when, opens=opens, closes=closes)
    return Word(span=span, role=role, notification=said)


def _alert(rng: random.Random, key: str, name: str) -> Iterator[Word]:
    groups = rng.choice([1, 1, 1, 2, 3])
    for group in range(groups):
        yield _word(key, f"{name}-fired-{group}", Role.BEGIN, signal="a", span=0.371_321, at=0.371_321)
    if rng.random() < 0.8:
        end = rng.choice([1, 20, 400])
        at = rng.choice([float(end), 0.371_321, 0.371, 0.0, -1.6])
        for group in range(groups):
            yield _word(key, f"{name}-resolved-{group}", Role.END, signal="a", span=float(end), at=at)


def _again(rng: random.Random, key: str, name: str) -> Iterator[Word]:
    yield from _cycles(rng, key, name, signal="a", span=0.0, most=4)


def _voices(rng: random.Random, key: str, name: str) -> Iterator[Word]:
    both = [
        *_cycles(rng, key, f"{name}a", signal="a", span=0.0, most=3),
        *_cycles(rng, key, f"{name}b", signal="b", span=rng.uniform(0, 60), most=3),
    ]
    yield from sorted(both, key=lambda word: word.span)


def _cycles(rng: random.Random, key: str, name: str, *, signal: str, span: float, most: int) -> Iterator[Word]:
    for number in range(rng.randint(1, most)):
        began = span
        yield _word(key, f"{name}-{number}-fired", Role.BEGIN, signal=signal, span=span)
        if rng.random() < 0.3:
            span += rng.uniform(2.5, 60)
            yield _word(key, f"{name}-{number}-once more", Role.BEGIN, signal=signal, span=span)
            began = span
        if rng.random() < 0.15:
            return
        span += rng.uniform(0.01, rng.choice([0.3, 5, 300]))
        # Many a Resolved knows only when its alert fired.
        at = span if rng.random() < 0.7 else began
        yield _word(key, f"{name}-{number}-resolved", Role.END, signal=signal, span=span, at=at)
        span += rng.uniform(2.5, rng.choice([5, 30, 600]))


def _series(rng: random.Random, key: str, name: str) -> Iterator[Word]:
    says_the_same = rng.random() < 0.5
    digits = rng.choice([1, 1000, 1_000_000])
    span = rng.uniform(0, 3)
    for number in range(rng.choice([2, 3, 5, 30])):
        role = Role.END if number % 2 else Role.BEGIN
        digest = f"{name}-{role.value}" if says_the_same else f"{name}-{number}-{role.value}"
        word = _word(key, digest, role, signal="", span=span)
        at = word.notification.at
        assert at is not None
        told = at.replace(microsecond=at.microsecond - at.microsecond % digits)
        yield _told(word, at=told, note=f"<{name}-{number}>")
        span += rng.choice([60, 60, 120, 300])


def _health(rng: random.Random, key: str, name: str, *, begin: float | None = None) -> Iterator[Word]:
    span = float(rng.randrange(5)) if begin is None else begin
    for number in range(rng.choice([1, 1, 2, 3])):
        yield _word(key, f"{name}-{number}-activated", Role.BEGIN, signal="", span=span)
        if rng.random() < 0.6:
            yield _word(key, f"{name}-{number}-neutral", Role.NEUTRAL, signal="", span=span)
        if rng.random() < 0.3:
            span += 30
            yield _word(key, f"{name}-{number}-degraded", Role.BEGIN, signal="", span=span)
        if rng.random() < 0.15:
            return
        span += rng.choice([1, 120])
        yield _word(key, f"{name}-{number}-resolved", Role.END, signal="", span=span)
        span += rng.choice([60, 600])


def _event(rng: random.Random, key: str, name: str) -> Iterator[Word]:
    span = 0.0
    for number in range(rng.randint(1, 3)):
        yield _word(key, f"{name}-active-{number}", Role.BEGIN, signal="", span=span)
        span += rng.choice([5, 300])
    yield _word(key, f"{name}-resolved", Role.END, signal="", span=span)
    if rng.random() < 0.7:
        yield _word(key, f"{name}-cause", Role.AFTER_END, signal="", span=span + rng.choice([10, 900]))


def _test(_: random.Random, key: str, name: str) -> Iterator[Word]:
    yield _word(key, f"{name}-test", Role.TEST, signal="", span=0.0)


def _told(word: Word, *, at: datetime, note: str) -> Word:

    return replace(word, notification=replace(word.notification, at=at, note=note))


_KINDS: Mapping[str, Callable[[random.Random, str, str], Iterator[Word]]] = {
    "alert": _alert,
    "again": _again,
    "voices": _voices,
    "series": _series,
    "health": _health,
    "event": _event,
    "test": _test,
}
