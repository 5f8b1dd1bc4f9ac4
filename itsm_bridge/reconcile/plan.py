"""What is the next step from what ServiceNow holds towards what Azure Monitor says?

Rule 1: every decision about an incident is made here, by one table, and nothing here has an effect.

                    the incident, as observed
    the alert       unseen    absent   open      resolved   closed or canceled
    ─────────────   ───────   ──────   ───────   ────────   ──────────────────
    never fired     observe   -        resolve   -          -
    fired, news     observe   create   update    reopen     succeed
    fired           observe   -        update    update     -
    resolved, news  observe   create   resolve   update     succeed
    resolved        observe   -        resolve   update     -

*News*: this firing has not been told to ServiceNow yet. Without news an absent incident was deleted, a resolved one
was resolved and a closed one was closed by people who were faster, or by a rule of the instance, and it stays so.
No firing is ever told by two creations, and one key gets a handful of incidents an hour at most (*limit*).
*Succeed*: a closed incident is never written again; the next generation follows it, naming its number.
*Update* writes the owned fields that differ and the notes that are owed; on a resolved incident the notes only.
With nothing to write it is no action. An incident that people resolved is told nothing of the end itself, and what
comes after it (the root cause of a Service Health event).

Where ServiceNow refused for good to resolve or to reopen, the notes are told instead; then people must act (*park*).

Before an incident is created, and once it is open, its configuration item is looked for (*bind*), unless that has just
failed: then it is created without, and bound when somebody looks again.

Before any write, a write of unknown outcome that may still take effect is waited for,
unless it was the creation on an instance that honours our sys_id: there a repetition is harmless.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.incident import Incident


class Unseen(Enum):
    """The incident was not looked at yet."""

    UNSEEN = "unseen"


UNSEEN: Final = Unseen.UNSEEN

#: What was observed: nothing yet, that there is none, or an incident.
Observation = Incident | None | Unseen


class Action(StrEnum):
    """One step from observed towards desired."""

    NOTHING = "nothing"
    WAIT = "wait"
    OBSERVE = "observe"
    BIND = "bind"
    CREATE = "create"
    UPDATE = "update"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    SUCCEED = "succeed"
    #: This key was given as many incidents as it may have in an hour.
    LIMIT = "limit"
    #: ServiceNow refuses what is wanted, and the incident tells it.
    PARK = "park"


class Desired(StrEnum):
    """What Azure Monitor says of the alert: the rows of the table."""

    NEVER_FIRED = "never fired"
    FIRED_NEWS = "fired, news"
    FIRED = "fired"
    RESOLVED_NEWS = "resolved, news"
    RESOLVED = "resolved"


class Observed(StrEnum):
    """What ServiceNow holds: the columns of the table."""

    UNSEEN = "unseen"
    ABSENT = "absent"
    OPEN = "open"
    RESOLVED = "resolved"
    CLOSED = "closed"


def _row(*actions: Action) -> Mapping[Observed, Action]:
    return MappingProxyType(dict(zip(Observed, actions, strict=True)))


_NO, _OBSERVE, _CREATE, _UPDATE = Action.NOTHING, Action.OBSERVE, Action.CREATE, Action.UPDATE
_RESOLVE, _REOPEN, _SUCCEED = Action.RESOLVE, Action.REOPEN, Action.SUCCEED

TABLE: Mapping[Desired, Mapping[Observed, Action]] = MappingProxyType(
    {
        Desired.NEVER_FIRED: _row(_OBSERVE, _NO, _RESOLVE, _NO, _NO),
        Desired.FIRED_NEWS: _row(_OBSERVE, _CREATE, _UPDATE, _REOPEN, _SUCCEED),
        Desired.FIRED: _row(_OBSERVE, _NO, _UPDATE, _UPDATE, _NO),
        Desired.RESOLVED_NEWS: _row(_OBSERVE, _CREATE, _RESOLVE, _UPDATE, _SUCCEED),
        Desired.RESOLVED: _row(_OBSERVE, _NO, _RESOLVE, _UPDATE, _NO),
    }
)


def next_action(
    record: Record, observed: Observation, *, now: datetime, honours_sys_id: bool | None, may_bind: bool = True
) -> Action:
    """Return the next step for `record`; NOTHING means that the incident says what it should.

    Args:
        record: what Azure Monitor said and what we did so far.
        observed: what ServiceNow holds.
        now: our clock, aware UTC.
        honours_sys_id: whether the instance keeps the sys_id that we choose; None if it is not known.
        may_bind: whether the configuration item may be looked for now.
    """
    if record.is_settled and not record.binds_later:
        return Action.NOTHING
    action = TABLE[desired_of(record)][observed_of(observed)]
    if record.refusal and action in (Action.RESOLVE, Action.REOPEN):
        action = Action.UPDATE if record.notes else Action.PARK
    if action is Action.UPDATE and isinstance(observed, Incident) and not _owes(record, observed):
        action = Action.NOTHING
    if action in (Action.CREATE, Action.SUCCEED) and record.creation_allowed_at(now) > now:
        return Action.LIMIT
    if _must_wait(action, record, now=now, honours_sys_id=honours_sys_id):
        return Action.WAIT
    return Action.BIND if may_bind and _is_to_be_bound(action, record, observed) else action


def reason_for(record: Record, observed: Observation) -> str:
    """Return what a decision follows from, for people: the row and the column of the table."""
    return f"alert {desired_of(record)}; incident {observed_of(observed)}"


def desired_of(record: Record) -> Desired:
    """Return the row of the table."""
    if record.firing == 0:
        return Desired.NEVER_FIRED
    if record.is_firing:
        return Desired.FIRED_NEWS if record.has_news else Desired.FIRED
    return Desired.RESOLVED_NEWS if record.has_news else Desired.RESOLVED


def observed_of(observed: Observation) -> Observed:
    """Return the column of the table. A state that we do not know is open: people work in it."""
    if isinstance(observed, Unseen):
        return Observed.UNSEEN
    if observed is None:
        return Observed.ABSENT
    if observed.is_closed:
        return Observed.CLOSED
    return Observed.RESOLVED if observed.is_resolved else Observed.OPEN


def _owes(record: Record, incident: Incident) -> bool:
    if record.notes_for(incident):
        return True
    return incident.is_open and bool(record.changed_fields(incident))


def _is_to_be_bound(action: Action, record: Record, observed: Observation) -> bool:
    if not record.needs_binding:
        return False
    is_open = isinstance(observed, Incident) and observed.is_open
    return action is Action.CREATE or (is_open and action in (Action.NOTHING, Action.UPDATE))


def _must_wait(action: Action, record: Record, *, now: datetime, honours_sys_id: bool | None) -> bool:
    if not record.is_in_doubt(now) or action is Action.OBSERVE:
        return False
    if action is Action.CREATE:
        # What is in doubt may be a change of an incident that people deleted: it would reach the new one.
        return honours_sys_id is not True or record.omits_sys_id or bool(record.sys_id)
    if action is Action.PARK:
        return False
    # A note that has not arrived tells that the write it went with has not either. It may undo what we see now.
    return action is not Action.NOTHING or bool(record.notes)
