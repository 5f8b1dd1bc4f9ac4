"""How far did the look at people's doings come?

`following_state` reads it before a run and writes it afterwards. Pure.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

#: How many names we are known by in histories, and how many subscriptions are remembered.
_MOST_NAMES: Final = 5
_MOST_SUBSCRIPTIONS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCursor:
    """What is known of the last run. Every change returns a new object."""

    #: Every change of an incident up to then was passed on; our clock, aware UTC. None before the first run.
    incidents_until: datetime | None = None
    #: By subscription, every change of an alert up to then was passed on; aware UTC.
    alerts_until: Mapping[str, datetime] = field(default_factory=dict)
    #: When a run last passed on all that there was; our clock, aware UTC.
    complete_at: datetime | None = None
    #: Until when Azure wants to be left alone, and until when a process is at it.
    rests_until: datetime | None = None
    held_until: datetime | None = None
    #: The names under which our own changes stand in histories, lower-cased; the last learnt is the last.
    known_as: tuple[str, ...] = ()

    def is_resting(self, now: datetime) -> bool:
        """Return whether nothing is to be done now."""
        return any(each is not None and now < each for each in (self.rests_until, self.held_until))

    def held(self, until: datetime | None) -> Self:
        """Return it held by a process, or by none."""
        return replace(self, held_until=until)

    def resting(self, now: datetime, pause: timedelta | None) -> Self:
        """Return it with a pause that Azure asked for; with None with no pause."""
        return replace(self, rests_until=now + pause if pause else None)

    def with_alerts(self, subscription: str, until: datetime) -> Self:
        """Return it after a look at a subscription."""
        others = {name: at for name, at in self.alerts_until.items() if name != subscription}
        return replace(self, alerts_until=dict([*others.items(), (subscription, until)][-_MOST_SUBSCRIPTIONS:]))

    def knowing_us(self, name: str) -> Self:
        """Return it with a name under which our own change stands in a history."""
        name = name.lower()
        if name in ("", "system", *self.known_as):
            return self
        return replace(self, known_as=(*self.known_as, name)[-_MOST_NAMES:])

    def document(self) -> Mapping[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "incidents_until": _text(self.incidents_until),
            "alerts_until": {name: _text(at) for name, at in self.alerts_until.items()},
            "complete_at": _text(self.complete_at),
            "rests_until": _text(self.rests_until),
            "held_until": _text(self.held_until),
            "known_as": list(self.known_as),
        }


def state_cursor_of(document: Mapping[str, Any]) -> StateCursor:
    """Return what was written down; that of a first run if there is nothing that can be read."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        alerts = {str(name): at for name, text in document["alerts_until"].items() if (at := _moment(text))}
        return StateCursor(
            incidents_until=_moment(document["incidents_until"]),
            alerts_until=alerts,
            complete_at=_moment(document["complete_at"]),
            rests_until=_moment(document["rests_until"]),
            held_until=_moment(document["held_until"]),
            known_as=tuple(map(str, document["known_as"])),
        )
    return StateCursor()


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _moment(text: str) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
