"""How long after a kill was the last incident right?

`torture` lets this watch the incidents while it kills. An incident is right when it is in a state that its alert asks
for; the notes are judged in the end. An alert counts for a kill if it was sent before and was not right yet, and was
taken at last, however often it was killed meanwhile.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, Self

from local.world import World

_EVERY = 0.2  # seconds between two looks


class Watched(Protocol):
    """An alert that was sent."""

    @property
    def key(self) -> str:
        """Its correlation key; "" before it was taken."""

    @property
    def sent_at(self) -> float:
        """When its last notification was first sent, by the monotonic clock."""

    def states(self) -> frozenset[str]:
        """Return the states that its incident may be in."""


@dataclass(slots=True)
class _Seen:
    wanted: frozenset[str]
    sent_at: float
    right_at: float | None = None


@dataclass(slots=True, kw_only=True)
class Lateness(AbstractContextManager["Lateness"]):
    """Looks at the incidents again and again, and remembers since when each is right."""

    world: World
    sent: Sequence[Watched]
    kills: list[float] = field(default_factory=list)
    _seen: dict[int, list[_Seen]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look a last time."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def killed(self) -> None:
        """Remember that the host was killed now."""
        self.kills.append(time.monotonic())

    def after_each_kill(self) -> list[float]:
        """Return for each kill how many seconds after it the last incident was right; 0.0 if none was wrong then."""
        spans = [each for seen in self._seen.values() for each in seen if each.right_at is not None]
        return [
            max(
                (each.right_at - kill for each in spans if each.right_at and each.sent_at <= kill < each.right_at),
                default=0.0,
            )
            for kill in self.kills
        ]

    def all_are_right(self) -> bool:
        """Whether every alert that was taken has an incident that is right by now."""
        taken = [number for number, one in enumerate(list(self.sent)) if one.key]
        return all((seen := self._seen.get(number)) and seen[-1].right_at is not None for number in taken)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self.look()
        self.look()

    def look(self) -> None:
        """Look once."""
        states: dict[str, set[str]] = {}
        for row in self.world.servicenow.incidents:
            states.setdefault(row["correlation_id"], set()).add(row["state"])
        now = time.monotonic()
        for number, one in enumerate(list(self.sent)):
            if one.key:
                self._note(number, one, states, now)

    def _note(self, number: int, one: Watched, states: Mapping[str, set[str]], now: float) -> None:
        seen, wanted = self._seen.setdefault(number, []), one.states()
        if not seen or seen[-1].wanted != wanted:
            seen.append(_Seen(wanted, one.sent_at))
        is_right = bool(states.get(one.key)) and states[one.key] <= wanted
        if is_right and seen[-1].right_at is None:
            seen[-1].right_at = now


def told(spans: Sequence[float]) -> str:
    """Return the spans of all kills as people read them."""
    ordered = sorted(spans)
    if not ordered:
        return "nobody was killed"
    p50, p99 = (ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.99))
    return f"after a kill the last incident was right in p50 {p50:.1f} s, p99 {p99:.1f} s, max {ordered[-1]:.1f} s"
