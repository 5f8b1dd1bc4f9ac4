"""What does the holder of a lease do with it?

Step after step, until the incident says what Azure Monitor says or cannot be made to for now: observe, decide, write
down what must be known before, act, remember. One `Run` is one lease.

Others may write the desired half of the row meanwhile. Each write here is conditional; where the row has changed, what
was done is applied to the newer version, and the run goes on from there.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Self

from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed, place_of
from itsm_bridge.reconcile.backoff import backoff
from itsm_bridge.reconcile.circuit import Kind, Pressure
from itsm_bridge.reconcile.plan import UNSEEN, Action, Observation, next_action, reason_for
from itsm_bridge.reconcile.record import MOST_CREATIONS, Decision, Record
from itsm_bridge.servicenow import fields as writes
from itsm_bridge.servicenow import target as steps
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.incident import Incident
from itsm_bridge.servicenow.incidents import ServiceNow
from itsm_bridge.servicenow.target import Change
from itsm_bridge.storage.alert_table import AlertStore
from itsm_bridge.storage.wakeup_queue import WakeUp, WakeUps

log = logging.getLogger(__name__)

#: How long any single request to ServiceNow may take.
REQUEST_BUDGET = timedelta(seconds=10)
#: How much of a run the search for the configuration item may take, and how often it is begun.
BINDING_BUDGET = timedelta(seconds=1.2)
BINDING_ATTEMPTS = 5
#: A step is not begun with less time than this: it could only end in doubt.
LEAST_TIME = timedelta(seconds=0.3)

_ATTEMPTS_TO_WRITE = 5
_MOST_STEPS = 10


class Outcome(StrEnum):
    """What became of a notification, as the HTTP caller is told."""

    CREATED = "created"
    UPDATED = "updated"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    UNCHANGED = "unchanged"
    #: Remembered durably; ServiceNow will be told.
    ACCEPTED = "accepted"


_OUTCOMES: Mapping[Action, Outcome] = {
    Action.CREATE: Outcome.CREATED,
    Action.UPDATE: Outcome.UPDATED,
    Action.RESOLVE: Outcome.RESOLVED,
    Action.REOPEN: Outcome.REOPENED,
}

_CHANGES = frozenset({Action.UPDATE, Action.RESOLVE, Action.REOPEN})

#: With what a run ends.
_ENDS = frozenset({Action.NOTHING, Action.WAIT, Action.LIMIT, Action.PARK})

#: What is told in a note if ServiceNow refuses it for good.
_STATES_REFUSED = frozenset({Action.RESOLVE, Action.REOPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one look at a key came to."""

    outcome: Outcome
    record: Record


@dataclass(slots=True, kw_only=True)
class Run:
    """One lease: the row as last written, what was done since, and what was observed."""

    row: Record
    changes: list[Change] = field(default_factory=list)
    observed: Observation
    deadline: datetime
    #: The wake-up that covers this run and when it is due; None if it is the one that is being worked on.
    cover: tuple[WakeUp, datetime] | None
    outcome: Outcome = Outcome.UNCHANGED
    #: The step that is being taken, and what it follows from.
    action: Action = Action.NOTHING
    reason: str = ""
    #: Whether a decision of this run was noted.
    has_decided: bool = False
    #: The write of this run whose outcome is unknown, if there is one.
    doubt: Unconfirmed | None = None
    #: Why the configuration item could not be looked for, if it could not.
    unbound: Unavailable | None = None
    #: The mark of a row write whose answer was lost, and how many of the changes it held.
    unanswered: tuple[str, int] = ("", 0)

    @classmethod
    def of(cls, row: Record, *, deadline: datetime, cover: tuple[WakeUp, datetime] | None) -> Self:
        """Return the run of a row that was just leased."""
        return cls(row=row, observed=UNSEEN if row.may_have_incident else None, deadline=deadline, cover=cover)

    @property
    def record(self) -> Record:
        """The row as it will be once the changes are written."""
        row = self.row
        for change in self.changes:
            row = change(row)
        return row

    def rebase(self, row: Record, mark: str) -> None:
        """Go on from `row`; the changes that it has already, by the write of `mark` or the unanswered one, are done."""
        done = {self.unanswered[0]: self.unanswered[1], mark: len(self.changes)}.get(row.write_mark, 0)
        self.row, self.unanswered = row, ("", 0)
        del self.changes[:done]

    def note(self, result: str, now: datetime) -> None:
        """Have the row remember the step that was taken and what came of it."""
        decision = Decision(at=now, action=self.action, reason=self.reason, result=result)
        self.changes.append(partial(Record.decided, decision=decision))
        self.has_decided = True


class _TimeIsUp(Unavailable):
    """A request was not even begun."""


class Runner:
    """Works off runs; safe to share between threads."""

    def __init__(
        self,
        *,
        store: AlertStore,
        wakeups: WakeUps,
        servicenow: ServiceNow,
        cmdb: Cmdb | None,
        pressure: Pressure,
        retry_horizon: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._servicenow = servicenow
        self._cmdb = cmdb
        self._pressure = pressure
        self._retry_horizon = retry_horizon
        self._now = now

    def run(self, run: Run) -> Result:
        """Take step after step until the incident says what it should or cannot be made to for now.

        An error that nobody foresaw is a failed attempt too.

        Raises:
            Conflict: the lease was lost; the worker that has it now will see what we did.
            Unavailable: storage did not answer.
        """
        try:
            return self._through(run)
        except BridgeError:
            raise
        except Exception as error:  # noqa: BLE001 - an alert that always meets a bug must be parked, not tried for ever
            return self._stumbled(run, error)

    def is_over(self, row: Record) -> bool:
        """Return whether people ended or deleted the incident of a row.

        Raises:
            Unavailable: ServiceNow did not answer, or hides it.
        """
        incident = self._servicenow.find(row.incident_sys_id, within=REQUEST_BUDGET)
        return incident is None or incident.is_closed

    def _through(self, run: Run) -> Result:
        for _ in range(_MOST_STEPS):
            record = run.record
            run.reason = reason_for(record, run.observed)
            run.action = action = next_action(
                record,
                run.observed,
                now=self._now(),
                honours_sys_id=self._servicenow.honours_sys_id,
                may_bind=run.unbound is None,
            )
            result = self._ended(run, action, record) if action in _ENDS else self._go_on(run, action, record)
            if result is not None:
                return result
        return self._retry_later(run, Unavailable("the incident keeps changing"))

    def _ended(self, run: Run, action: Action, record: Record) -> Result | None:
        """End the run with `action`; None if there is more to do after all."""
        if action is Action.NOTHING:
            return self._settle(run, record)
        if action is Action.LIMIT:
            return self._limited(run, record)
        if action is Action.PARK:
            return self._park(run, record.refusal)
        return self._retry_later(run, Unconfirmed("a write of unknown outcome may still take effect"))

    def _go_on(self, run: Run, action: Action, record: Record) -> Result | None:
        """Take one step; return a result if that ends the run."""
        if intent := self._intent(run, action, record):
            self._write(run, intent)
            return None
        try:
            self._step(run, action, record)
        except Rejected as error:
            if action not in _STATES_REFUSED or record.refusal:
                return self._park(run, str(error))
            self._tell_refusal(run, action, record, str(error))
        except TemporaryError as error:
            return self._retry_later(run, error)
        return None

    def _settle(self, run: Run, record: Record) -> Result | None:
        """Remember that the incident says what it should; None if something newer has come meanwhile."""
        if not run.has_decided:
            run.note("left as it is", self._now())
        if run.unbound and record.needs_binding:
            run.action = Action.BIND
            run.changes.append(partial(Record.settled, planned=record, binds_later=True))
            return self._retry_later(run, run.unbound)
        self._write(run, partial(Record.settled, planned=record))
        if not run.row.is_settled:
            # People may have acted too.
            run.observed = UNSEEN
            return None
        log.info("%s: %s (%s)", record.key, run.outcome, record.number or "no incident")
        return Result(outcome=run.outcome, record=run.row)

    def _step(self, run: Run, action: Action, record: Record) -> None:
        try:
            step = self._counted(run, action, record)
        except Conflict as error:
            if action is Action.CREATE:
                # It is there, by this creation or an earlier one; the journal tells which of our notes it has.
                run.changes.append(partial(Record.doubted, now=self._now()))
            run.note(str(error), self._now())
            run.observed = UNSEEN
        except Unconfirmed as error:
            now = self._now()
            run.changes.append(partial(Record.doubted, now=now))
            if action is Action.CREATE:
                self._note_creation(run, record, error, now)
            if run.doubt is not None:
                raise
            run.note(f"unknown: {error}", now)
            run.doubt, run.observed = error, UNSEEN
        else:
            self._take_in(run, action, step)

    def _take_in(self, run: Run, action: Action, step: steps.Step) -> None:
        run.changes.append(step.change)
        run.observed = step.observed
        if action is Action.OBSERVE and not run.record.in_doubt_until:
            run.doubt = None
        run.outcome = _OUTCOMES.get(action, run.outcome)
        if not steps.has_effect(action, step.observed):
            raise Rejected(f"ServiceNow confirmed the write and did not {action} the incident")
        if action not in (Action.OBSERVE, Action.BIND):
            run.note(_told_of(step.observed), self._now())
        if action is Action.SUCCEED:
            # The intent of another incident is written down before it is created.
            self._write(run, _kept)

    def _intent(self, run: Run, action: Action, record: Record) -> Change | None:
        """Return what the row must say before `action` is sent; None if it says so already."""
        if action in _CHANGES and not run.row.sys_id:
            # As long as the row knows no incident, only a creation may be in doubt.
            return _kept
        if action is not Action.CREATE:
            return None
        if record.in_doubt_until is None:
            return partial(Record.begun, now=self._now()) if record.generation_firing < record.firing else None
        is_why = record.sys_id_refused and self._servicenow.honours_sys_id is not True
        return Record.omitting_sys_id if is_why and not record.omits_sys_id else None

    def _note_creation(self, run: Run, record: Record, error: Unconfirmed, now: datetime) -> None:
        """Remember what a creation of unknown outcome tells about the next one."""
        chooses = steps.may_choose_sys_id(self._servicenow, record)
        if not (chooses and self._servicenow.honours_sys_id is True):
            run.changes.append(partial(Record.may_have_created, now=now))
        if chooses and error.is_refusal:
            run.changes.append(Record.with_sys_id_refused)

    def _counted(self, run: Run, action: Action, record: Record) -> steps.Step:
        """Carry out a step and count whether ServiceNow is there for steps of its kind."""
        kind = Kind.READ if action is Action.OBSERVE else Kind.WRITE
        try:
            step = self._carry_out(run, action, record)
        except _TimeIsUp:
            raise
        except (Rejected, Conflict):
            self._pressure.succeeded(record.key, kind)
            raise
        except (Unavailable, Unconfirmed) as error:
            if run.deadline - self._now() < LEAST_TIME:
                # Our own time ran out: ServiceNow may only be slow.
                self._pressure.ran_out(record.key)
            elif not error.is_refusal:
                self._pressure.failed(record.key, str(error), kind)
            raise
        if action not in (Action.BIND, Action.SUCCEED):
            self._pressure.succeeded(record.key, kind)
        return step

    def _carry_out(self, run: Run, action: Action, record: Record) -> steps.Step:
        left = partial(self._time_left, run.deadline)
        incident = run.observed if isinstance(run.observed, Incident) else None
        if action is Action.OBSERVE:
            return self._observe(record, left)
        if action is Action.BIND:
            return self._bind(run, record, incident)
        if action is Action.SUCCEED and incident is not None:
            return steps.succeed(incident, now=self._now())
        return steps.act(self._servicenow, action, record, incident, left=left, now=self._now())

    def _observe(self, record: Record, left: steps.TimeLeft) -> steps.Step:
        step = steps.observe(self._servicenow, record, left=left)
        for double in step.doubles:
            if step.observed is not None:
                log.error("%s: %s is a double of %s", record.key, double.number, step.observed.number)
                steps.retire(self._servicenow, double, step.observed, left=left)
        return step

    def _bind(self, run: Run, record: Record, incident: Incident | None) -> steps.Step:
        """Look for the configuration item, a while: a slow CMDB delays nothing but the binding."""
        deadline = min(run.deadline, self._now() + BINDING_BUDGET)
        try:
            return steps.bind(self._cmdb, record, incident, left=partial(self._time_left, deadline))
        except Unavailable as error:
            if error.retry_after is not None:
                raise
            run.unbound = error
        if record.attempts < BINDING_ATTEMPTS:
            return steps.Step(observed=incident, change=_kept)
        reason = "No configuration item: the CMDB did not answer."
        return steps.Step(observed=incident, change=partial(Record.bound, ci_sys_id="", reason=reason))

    def _time_left(self, deadline: datetime) -> timedelta:
        left = min(deadline - self._now(), REQUEST_BUDGET)
        if left < LEAST_TIME:
            raise _TimeIsUp("the time is up")
        return left

    # Remembering what was done.

    def _retry_later(self, run: Run, error: TemporaryError, *, delay: timedelta | None = None) -> Result:
        now = self._now()
        reason = str(error) if run.doubt in (None, error) else f"{run.doubt}; then {error}"
        if run.record.failing_for(now) >= self._retry_horizon:
            reason = f"given up after {self._retry_horizon}: {reason}"
            return self._unbound(run, reason) if run.record.is_settled else self._park(run, reason)
        if error.retry_after is not None:
            self._pressure.pause(error.retry_after)
        # Whoever takes the wake-up up, perhaps another process that knows of no pause, must not come too early.
        if run.cover is None or run.cover[1] < now + (delay or error.retry_after or timedelta(0)):
            delay = delay or backoff(run.record.attempts, error.retry_after)
            run.cover = (self._wakeups.send(run.row.key, delay=delay), now + delay)
        wake_up, due = run.cover
        run.note(reason, now)
        self._write(
            run,
            lambda row: row.failed(reason=reason, now=now).awaiting(wake_up_at=due, wake_up_id=wake_up.message_id),
        )
        log.warning("%s: attempt %d failed, next at %s: %s", run.row.key, run.row.attempts, due.isoformat(), reason)
        # An incident that only lacks its configuration item says what the alert says.
        is_told = run.row.is_settled and not run.row.is_parked
        return Result(outcome=run.outcome if is_told else Outcome.ACCEPTED, record=run.row)

    def _unbound(self, run: Run, reason: str) -> Result:
        """Give up on the configuration item alone: the incident says what the alert says, and nobody has to act."""
        run.note(reason, self._now())
        run.changes.append(partial(Record.bound, ci_sys_id="", reason=""))
        planned = run.record
        # What Azure Monitor said meanwhile has a wake-up of its own, and a doubt outlasts all this.
        self._write(run, lambda row: replace(row.settled(planned), in_doubt_until=row.in_doubt_until).released())
        log.warning("%s stays without its configuration item: %s", run.row.key, reason)
        return Result(outcome=run.outcome, record=run.row)

    def _stumbled(self, run: Run, error: Exception) -> Result:
        """Count an error that nobody foresaw as a failed attempt. Its message may quote the alert, its place does not.

        Raises:
            TemporaryError: not even that could be written down.
        """
        reason = f"unexpected {type(error).__name__} at {place_of(error)}"
        log.error("%s: %s", run.row.key, reason)
        # What was under way is unknown, and a change that was not written yet may be what fails.
        run.changes[:] = [partial(Record.doubted, now=self._now())]
        return self._retry_later(run, Unconfirmed(reason))

    def _limited(self, run: Run, record: Record) -> Result:
        """Let the next incident of a key wait until an hour has seen few enough."""
        until = record.creation_allowed_at(self._now())
        reason = f"{MOST_CREATIONS} incidents were created for this alert within an hour; the next one may come later"
        log.error("%s: %s, at %s", record.key, reason, until.isoformat())
        return self._retry_later(run, Unavailable(reason), delay=until - self._now())

    def _tell_refusal(self, run: Run, action: Action, record: Record, reason: str) -> None:
        """Have the incident say what Azure Monitor reports and that its state could not follow."""
        note = writes.refusal(reopens=action is Action.REOPEN, reason=reason)
        run.note(f"refused: {reason}", self._now())
        # The row must know the note before it is sent: a process that dies then must not be followed by one that is
        # refused too and tells it again.
        self._write(run, partial(Record.refused, reason=reason, note=note, revision=record.revision))

    def _park(self, run: Run, reason: str) -> Result:
        revision = run.record.revision
        run.note(reason, self._now())
        # What Azure Monitor said meanwhile deserves an attempt of its own.
        self._write(run, lambda row: row.parked(reason) if row.revision == revision else row.released())
        log.error("%s is parked until somebody acts: %s", run.row.key, reason)
        return Result(outcome=Outcome.ACCEPTED, record=run.row)

    def _write(self, run: Run, change: Change) -> None:
        """Write what was done, and `change`, onto the row as it is now.

        Raises:
            Conflict: the lease was lost; whoever has it now will see what we did.
            Unavailable: the table did not answer.
        """
        holder = run.row.lease_holder
        run.changes.append(change)
        for _ in range(_ATTEMPTS_TO_WRITE):
            mark = uuid.uuid4().hex
            try:
                run.row = self._store.replace(replace(run.record, write_mark=mark))
            except Unavailable:
                run.unanswered = (mark, len(run.changes))
                raise
            except Conflict:
                newer = self._store.read(run.row.key)
                if newer is None or newer.lease_holder != holder:
                    break
                run.rebase(newer, mark)
            else:
                run.rebase(run.row, mark)
            if not run.changes:
                return
        raise Conflict(f"the lease of {run.row.key} was lost")


def _kept(record: Record) -> Record:
    return record


def _told_of(incident: Incident | None) -> str:
    return f"{incident.number} in state {incident.state}" if incident else "a new incident follows"
