"""What do people's doings on an incident mean for the state of its alerts in Azure, and the other way round?

Every decision about the state of an alert is made here, by one table, and nothing here has an effect.
`following_state` asks `decide` for each alert of an incident that changed, first without having looked at the alert.

                         the alert, as Azure has it
    the incident         unseen   new           acknowledged   closed        otherwise   gone
    ──────────────────   ──────   ───────────   ────────────   ───────────   ─────────   ────
    unchanged            -        -             -              -             -           -
    put back             -        -             -              -             -           -
    taken                look     acknowledge   -              acknowledge   leave       leave
    reopened             look     acknowledge   -              acknowledge   leave       leave
    ended by people      look     close         close          -             leave       leave
    reopened by us       -        -             -              -             -           -
    ended by us          -        -             -              -             -           -

*Unchanged*: the alert was told of this before. *Put back*: nobody has the incident any more. *By us*: the bridge did
it, because the alert began again or was over; the system's own condition says that in Azure already.
*Otherwise*: a person gave the alert another state in Azure, and not clearly before the incident changed: their word
stays, so that two people who act within a minute do not undo each other's work in turns.
*Gone*: Azure keeps alerts for 30 days.

A person who closes an alert in Azure is told in its incident, once, unless people ended that too (`owes_word`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from itsm_bridge.reconcile.followed import FollowedAlert, Handling, TouchedIncident
from itsm_bridge.resource_manager.listed_alert import AlertState

#: How much later one of two changes must be to be clearly later: clocks differ, and people act at once.
CLEARLY: Final = timedelta(minutes=1)


class Action(StrEnum):
    """What is done about one alert."""

    NOTHING = "nothing"
    #: Look at the alert, and decide again.
    LOOK = "look"
    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"
    #: It stays as it is, for a reason that people may want to know.
    LEAVE = "leave"


class Doing(StrEnum):
    """What happened to the incident since the alert was told of it: the rows of the table."""

    UNCHANGED = "unchanged"
    PUT_BACK = "put back"
    TAKEN = "taken"
    REOPENED = "reopened"
    ENDED = "ended by people"
    REOPENED_BY_US = "reopened by us"
    ENDED_BY_US = "ended by us"


class Seen(StrEnum):
    """The state of the alert, as Azure has it: the columns of the table."""

    UNSEEN = "unseen"
    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    #: A person gave it another state, and not clearly before the incident changed.
    OTHERWISE = "otherwise"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is done, and the reason for it."""

    action: Action
    #: For people: the row and the column of the table.
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The alert, as Azure was seen to have it."""

    state: AlertState
    #: When a person gave it that state; None if no person did. Aware UTC.
    person_at: datetime | None = None
    #: That person, and what they wrote; "" if Azure does not tell.
    by: str = ""
    comment: str = ""


def _row(*actions: Action) -> Mapping[Seen, Action]:
    return MappingProxyType(dict(zip(Seen, actions, strict=True)))


_NO, _LOOK, _ACK, _CLOSE, _LEAVE = Action.NOTHING, Action.LOOK, Action.ACKNOWLEDGE, Action.CLOSE, Action.LEAVE

DECISIONS: Mapping[Doing, Mapping[Seen, Action]] = MappingProxyType(
    {
        Doing.UNCHANGED: _row(_NO, _NO, _NO, _NO, _NO, _NO),
        Doing.PUT_BACK: _row(_NO, _NO, _NO, _NO, _NO, _NO),
        Doing.TAKEN: _row(_LOOK, _ACK, _NO, _ACK, _LEAVE, _LEAVE),
        Doing.REOPENED: _row(_LOOK, _ACK, _NO, _ACK, _LEAVE, _LEAVE),
        Doing.ENDED: _row(_LOOK, _CLOSE, _CLOSE, _NO, _LEAVE, _LEAVE),
        Doing.REOPENED_BY_US: _row(_NO, _NO, _NO, _NO, _NO, _NO),
        Doing.ENDED_BY_US: _row(_NO, _NO, _NO, _NO, _NO, _NO),
    }
)

#: The state that an action gives to an alert.
STATES: Final[Mapping[Action, AlertState]] = MappingProxyType(
    {Action.ACKNOWLEDGE: AlertState.ACKNOWLEDGED, Action.CLOSE: AlertState.CLOSED}
)
_WANTED: Final[Mapping[Doing, AlertState]] = MappingProxyType(
    {
        Doing.TAKEN: AlertState.ACKNOWLEDGED,
        Doing.REOPENED: AlertState.ACKNOWLEDGED,
        Doing.ENDED: AlertState.CLOSED,
    }
)


def decide(
    doing: Doing, incident: TouchedIncident, look: Look | None = None, *, not_before: datetime | None = None
) -> Decision:
    """Return what is done about an alert that Azure still has.

    Args:
        doing: what happened to its incident.
        incident: as it is now.
        look: the alert, if it was looked at.
        not_before: when somebody looked last, our clock, aware UTC: the incident had not changed then. None if nobody
            looked before.
    """
    seen = Seen.UNSEEN if look is None else _seen(doing, incident, look, not_before)
    return Decision(action=DECISIONS[doing][seen], reason=_reason(doing, seen))


def decide_gone(doing: Doing) -> Decision:
    """Return what is done about an alert that Azure does not have any more."""
    return Decision(action=DECISIONS[doing][Seen.GONE], reason=_reason(doing, Seen.GONE))


def doing_of(told: Handling, handling: Handling, incident: TouchedIncident) -> Doing:
    """Return the row of the table for an alert that was last told of the handling `told`."""
    if told is handling:
        return Doing.UNCHANGED
    if handling is Handling.ENDED:
        return Doing.ENDED
    if handling is Handling.ENDED_BY_US:
        return Doing.ENDED_BY_US
    if told is Handling.ENDED and incident.is_reopened_by_us:
        return Doing.REOPENED_BY_US
    if handling is Handling.UNTOUCHED:
        return Doing.PUT_BACK
    return Doing.REOPENED if told is Handling.ENDED else Doing.TAKEN


def owes_word(known: FollowedAlert, look: Look, *, has_incident: bool) -> bool:
    """Return whether the incident is to be told that a person closed its alert in Azure."""
    is_news = look.state is AlertState.CLOSED and known.state != AlertState.CLOSED and look.person_at is not None
    return is_news and has_incident and known.told is not Handling.ENDED


def _reason(doing: Doing, seen: Seen) -> str:
    return f"incident {doing}; alert {seen}"


def _seen(doing: Doing, incident: TouchedIncident, look: Look, not_before: datetime | None) -> Seen:
    """Return the column of the table."""
    is_wanted = look.state is _WANTED.get(doing)
    if not is_wanted and look.person_at is not None and not _is_later(doing, incident, look.person_at, not_before):
        return Seen.OTHERWISE
    return Seen(look.state.lower())


def _is_later(doing: Doing, incident: TouchedIncident, person_at: datetime, not_before: datetime | None) -> bool:
    """Whether the incident changed clearly after a person changed the alert."""
    times = {Doing.ENDED: incident.ended_at, Doing.REOPENED: incident.reopened_at}
    changed_at = times.get(doing) or not_before
    return changed_at is not None and changed_at - person_at > CLEARLY
