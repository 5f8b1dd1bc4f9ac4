"""What is the next step from what the target holds towards what Azure Monitor says?

Rule 1: every decision about an incident is made here, by one table, and nothing here has an effect. The worker asks
`decide` before each step; `orders` says what goes with it.

                    the incident, as observed
    the alert       unseen    absent   open      resolved   stale     closed    final
    ─────────────   ───────   ──────   ───────   ────────   ───────   ───────   ─────
    never fired     observe   -        resolve   -          -         -         -
    on hold         observe   hold     update    hold       hold      hold      -
    fired, news     observe   create   update    reopen     succeed   succeed   -
    fired           observe   -        update    update     update    -         -
    resolved, news  observe   create   resolve   update     update    succeed   -
    resolved        observe   -        resolve   update     update    -         -
    left, news      observe   create   update    update     update    succeed   -
    left            observe   -        update    update     update    -         -
    on trial        -         -        -         -          -         -         -

*News*: this firing has not been told to the target yet. Without news, people who were faster or a rule of the target
deleted the incident that is absent, resolved the one that is resolved or closed the one that is closed; it stays so.
No firing is ever told by two creations, and one key gets a handful of incidents an hour at most (*limit*).

Operators' rules choose among the rows and columns. *On hold*: it must fire for longer before there is an incident; if
it ends before that, the firing is no news. *Left*: Azure Monitor says that it is over, and people are to resolve the
incident. *On trial*: a rule of action shadow keeps it from the target, which is not even asked. *Stale*: resolved too
long ago to be reopened. *Final*: closed, and no other incident is to follow.

*Succeed*: a closed or canceled incident is never written again; the next generation follows it, naming its number.
*Update* writes the fields that differ and the notes that are owed; on a resolved incident the notes only.
With nothing to write it is no action. On an incident that people resolved the worker writes no note of the end itself,
but it writes what comes after the end (the root cause of a Service Health event).

If the target refused for good to resolve or to reopen, the worker writes the notes instead; then a person must act
(*park*).

Before an incident is created, and once it is open, the worker looks for its links (*link*): its configuration item is
one. A link that could not be looked for just now is left for later; the incident is created without it.

While a write of unknown outcome may still take effect, the worker writes only what does no harm if both do. A creation
is repeated on a target that honours our id. The state and the fields of a change are repeated without its notes, if
Azure Monitor has said nothing newer since that write was sent, because a note would be there twice. Everything else
waits until that write must have ended (*wait*): what is newer, because it could be undone, and the notes. So a change
that was repeated stays in doubt although the incident says what is wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

from itsm_bridge.reconcile.ports import Incident
from itsm_bridge.reconcile.record import Record
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle


class Unseen(Enum):
    """The incident was not looked at yet."""

    UNSEEN = "unseen"


UNSEEN: Final = Unseen.UNSEEN

#: The result of looking: not looked yet, no incident, or the incident.
Observation = Incident | None | Unseen


class Action(StrEnum):
    """One step from observed towards desired."""

    NOTHING = "nothing"
    WAIT = "wait"
    OBSERVE = "observe"
    LINK = "link"
    CREATE = "create"
    UPDATE = "update"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    SUCCEED = "succeed"
    #: The worker waits whether it still fires when its hold is over.
    HOLD = "hold"
    #: This key was given as many incidents as it may be given within an hour.
    LIMIT = "limit"
    #: The target refuses what is wanted, and the incident tells it.
    PARK = "park"


class Wanted(StrEnum):
    """The state of the alert, as Azure Monitor tells it: the rows of the table."""

    NEVER_FIRED = "never fired"
    ON_HOLD = "on hold"
    FIRED_NEWS = "fired, news"
    FIRED = "fired"
    RESOLVED_NEWS = "resolved, news"
    RESOLVED = "resolved"
    #: It is over, and the rules leave the incident to people.
    LEFT_NEWS = "left, news"
    LEFT = "left"
    #: A rule keeps it from the target.
    ON_TRIAL = "on trial"


class Held(StrEnum):
    """The state of the incident, as the target holds it: the columns of the table."""

    UNSEEN = "unseen"
    ABSENT = "absent"
    OPEN = "open"
    RESOLVED = "resolved"
    #: Resolved longer ago than the rules want it to be reopened.
    STALE = "stale"
    CLOSED = "closed"
    #: Closed, and the rules want no other incident to follow.
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next step, and the reason for it."""

    action: Action
    #: For people: the row and the column of the table.
    reason: str
    #: The link that is looked for; "" with any other action.
    link: str = ""
    #: Whether the write leaves out the notes, because a write of unknown outcome may still bring them.
    holds_notes: bool = False


def _row(*actions: Action) -> Mapping[Held, Action]:
    return MappingProxyType(dict(zip(Held, actions, strict=True)))


_NO, _OBSERVE, _CREATE, _UPDATE = Action.NOTHING, Action.OBSERVE, Action.CREATE, Action.UPDATE
_RESOLVE, _REOPEN, _SUCCEED, _HOLD = Action.RESOLVE, Action.REOPEN, Action.SUCCEED, Action.HOLD

DECISIONS: Mapping[Wanted, Mapping[Held, Action]] = MappingProxyType(
    {
        Wanted.NEVER_FIRED: _row(_OBSERVE, _NO, _RESOLVE, _NO, _NO, _NO, _NO),
        Wanted.ON_HOLD: _row(_OBSERVE, _HOLD, _UPDATE, _HOLD, _HOLD, _HOLD, _NO),
        Wanted.FIRED_NEWS: _row(_OBSERVE, _CREATE, _UPDATE, _REOPEN, _SUCCEED, _SUCCEED, _NO),
        Wanted.FIRED: _row(_OBSERVE, _NO, _UPDATE, _UPDATE, _UPDATE, _NO, _NO),
        Wanted.RESOLVED_NEWS: _row(_OBSERVE, _CREATE, _RESOLVE, _UPDATE, _UPDATE, _SUCCEED, _NO),
        Wanted.RESOLVED: _row(_OBSERVE, _NO, _RESOLVE, _UPDATE, _UPDATE, _NO, _NO),
        Wanted.LEFT_NEWS: _row(_OBSERVE, _CREATE, _UPDATE, _UPDATE, _UPDATE, _SUCCEED, _NO),
        Wanted.LEFT: _row(_OBSERVE, _NO, _UPDATE, _UPDATE, _UPDATE, _NO, _NO),
        Wanted.ON_TRIAL: _row(_NO, _NO, _NO, _NO, _NO, _NO, _NO),
    }
)

#: The actions that change an incident that is there.
CHANGES: Final = frozenset({Action.UPDATE, Action.RESOLVE, Action.REOPEN})


def decide(
    record: Record,
    observed: Observation,
    *,
    now: datetime,
    creation_is_repeatable: bool | None,
    may_link: bool = True,
) -> Decision:
    """Return the next step for `record`; NOTHING means that the incident says what it should.

    Args:
        record: what Azure Monitor said and what we did so far.
        observed: what the target holds.
        now: our clock, aware UTC.
        creation_is_repeatable: whether the target honours the id that we choose; None if it is not known.
        may_link: whether links may be looked for now.
    """
    wanted, held = wanted_of(record, now), held_of(observed, record.desired.lifecycle, now)
    reason = f"alert {wanted}; incident {held}"
    if record.desired.cleared_firing_count == record.desired.firing_count > 0:
        reason += "; it was over before its hold was"
    action = _refined(DECISIONS[wanted][held], record, observed)
    if record.is_settled and not record.work.links_later:
        action = Action.NOTHING
    elif wanted is not Wanted.ON_TRIAL and _must_wait(
        action, record, now=now, creation_is_repeatable=creation_is_repeatable
    ):
        if not _may_be_repeated(action, record, observed):
            return Decision(action=Action.WAIT, reason=reason)
        return Decision(action=action, reason=f"{reason}; its write is repeated without notes", holds_notes=True)
    elif action in (Action.CREATE, Action.SUCCEED) and record.creation_allowed_at(now) > now:
        action = Action.LIMIT
    elif may_link and wanted is not Wanted.ON_TRIAL and _is_to_be_linked(action, record, observed):
        return Decision(action=Action.LINK, reason=reason, link=record.missing_link)
    return Decision(action=action, reason=reason)


def wanted_of(record: Record, now: datetime) -> Wanted:
    """Return the row of the table."""
    if record.desired.is_shadowed:
        return Wanted.ON_TRIAL
    resolves = record.desired.lifecycle.auto_resolve is AutoResolve.RESOLVE or record.desired.is_expired
    if record.desired.firing_count == 0 and resolves:
        return Wanted.NEVER_FIRED
    if record.is_on_hold(now) and record.desired.is_firing:
        return Wanted.ON_HOLD
    if record.desired.is_firing:
        return Wanted.FIRED_NEWS if record.has_news else Wanted.FIRED
    if resolves:
        return Wanted.RESOLVED_NEWS if record.has_news else Wanted.RESOLVED
    # Also the end of a firing that the row does not know of: if there is an incident, a lost row knew of it.
    return Wanted.LEFT_NEWS if record.has_news else Wanted.LEFT


def held_of(observed: Observation, lifecycle: Lifecycle, now: datetime) -> Held:
    """Return the column of the table."""
    if isinstance(observed, Unseen):
        return Held.UNSEEN
    if observed is None:
        return Held.ABSENT
    if observed.is_resolved and _is_stale(observed, lifecycle.reopen_within, now):
        return Held.STALE
    if observed.is_closed and lifecycle.after_closed is AfterClosed.NOTHING:
        return Held.FINAL
    return Held(observed.status)


def _is_stale(incident: Incident, reopen_within: timedelta | None, now: datetime) -> bool:
    if reopen_within is None:
        return False
    # If the target does not say when it was resolved, it is taken for a short time ago: reopening harms least.
    return not reopen_within or (incident.resolved_at is not None and now - incident.resolved_at > reopen_within)


def _refined(action: Action, record: Record, observed: Observation) -> Action:
    """Return what the cell of the table comes to when nothing is to be written, or the target refuses it for good."""
    if record.work.refusal and action in (Action.RESOLVE, Action.REOPEN):
        action = Action.UPDATE if record.work.notes else Action.PARK
    if action is Action.UPDATE and isinstance(observed, Incident) and not _owes(record, observed):
        return Action.NOTHING
    return action


def _owes(record: Record, incident: Incident) -> bool:
    if record.notes_for(incident):
        return True
    return incident.is_open and bool(record.changed_fields(incident) or record.changed_links(incident))


def _is_to_be_linked(action: Action, record: Record, observed: Observation) -> bool:
    if not record.missing_link:
        return False
    is_open = isinstance(observed, Incident) and observed.is_open
    return action is Action.CREATE or (is_open and action in (Action.NOTHING, Action.UPDATE))


def _must_wait(action: Action, record: Record, *, now: datetime, creation_is_repeatable: bool | None) -> bool:
    if not record.is_in_doubt(now) or action in (Action.OBSERVE, Action.HOLD):
        return False
    if action is Action.CREATE:
        # The write in doubt may change an incident that people deleted; if it arrives late, it changes the new one.
        is_repeatable = creation_is_repeatable is True and not record.observed.omits_id
        return not is_repeatable or bool(record.observed.incident_id)
    if action is Action.PARK:
        return False
    # If a note has not arrived, its write has not either, and that write may still undo what we see now. Once it was
    # repeated, or if it may have brought no note, what we see does not tell whether it has arrived.
    is_untold = bool(record.work.notes) or record.observed.is_repeated
    return action is not Action.NOTHING or is_untold or _may_have_no_note(record)


def _may_have_no_note(record: Record) -> bool:
    """Whether the write in doubt may be one without a note: a lost row knew it, or our clock ended the alert."""
    return record.observed.is_restored or record.desired.is_expired


def _may_be_repeated(action: Action, record: Record, observed: Observation) -> bool:
    """Whether the write in doubt wants just what this one wants, so that it is all the same which comes last.

    Its notes are recognised later by the journal, so that one that is hidden from us lets nothing be repeated.
    """
    if not isinstance(observed, Incident) or observed.journal is None:
        return False
    if record.observed.doubted_from != record.desired.revision:
        return False
    if action is Action.UPDATE:
        return observed.is_open and bool(record.changed_fields(observed) or record.changed_links(observed))
    return action in (Action.RESOLVE, Action.REOPEN)
