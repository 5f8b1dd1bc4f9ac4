"""What does the worker that holds a lease do with it?

The reconciler makes one `Attempt` for each lease and gives it to the `Worker`. The worker takes step after step, until
the incident says what Azure Monitor says or cannot be made to for now: observe, decide, write down what the row must
say before, act, remember. What to do is decided in `plan` and `orders`, not here.

Webhooks may write the desired part of the row meanwhile. Each write here is conditional; if the row has changed, the
worker applies what it did to the newer version and goes on from there.
"""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Self

from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.deadline import LEAST_TIME, Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed, place_of
from itsm_bridge.reconcile import orders
from itsm_bridge.reconcile.backoff import backoff
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.reconcile.orders import Change
from itsm_bridge.reconcile.plan import UNSEEN, Action, Decision, Observation, decide
from itsm_bridge.reconcile.ports import Incident, LinkEnd, Store, Target, WakeUp, WakeUps
from itsm_bridge.reconcile.record import MOST_CREATIONS, Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.reconcile.work import Step, Work
from itsm_bridge.telemetry import NOTHING, Metric, Telemetry

log = logging.getLogger(__name__)

#: How much of an attempt the search for a link may take, and in how many attempts it is begun.
LINKING_BUDGET = timedelta(seconds=1.2)
LINKING_ATTEMPTS = 5

#: How long the purge may look at one incident; no alert waits for it.
LOOK_BUDGET = timedelta(seconds=10)

_MOST_STEPS = 10


class Outcome(StrEnum):
    """The outcome of a notification, as the HTTP caller is told it."""

    CREATED = "created"
    UPDATED = "updated"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    UNCHANGED = "unchanged"
    #: Remembered durably; a worker will tell the target.
    ACCEPTED = "accepted"
    #: A rule says that there is to be no incident, or only as a trial.
    IGNORED = "ignored"


_OUTCOMES: Mapping[Action, Outcome] = {
    Action.CREATE: Outcome.CREATED,
    Action.UPDATE: Outcome.UPDATED,
    Action.RESOLVE: Outcome.RESOLVED,
    Action.REOPEN: Outcome.REOPENED,
}

_UNDECIDED = Decision(action=Action.NOTHING, reason="")

#: The actions that end an attempt.
_ENDS = frozenset({Action.NOTHING, Action.WAIT, Action.HOLD, Action.LIMIT, Action.PARK})

#: The actions whose refusal for good is told in a note.
_STATES_REFUSED = frozenset({Action.RESOLVE, Action.REOPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one look at a key."""

    outcome: Outcome
    record: Record


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One lease: the row as last written, what was done since, and what was observed."""

    row: Record
    changes: list[Change] = field(default_factory=list)
    observed: Observation
    deadline: Deadline
    #: The wake-up that comes if this attempt dies, and when it is due; None if the attempt is the work of that wake-up.
    next_wake_up: tuple[WakeUp, datetime] | None
    outcome: Outcome = Outcome.UNCHANGED
    #: The last decision.
    decision: Decision = _UNDECIDED
    #: Whether a step of this attempt was noted.
    has_acted: bool = False
    #: The write of this attempt whose outcome is unknown, if there is one.
    unconfirmed_write: Unconfirmed | None = None
    #: Why a link could not be looked for; None if there was no such failure.
    link_error: Unavailable | None = None
    #: The marks of the row writes since the row was read, and how many of the changes each held.
    marks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Record, *, deadline: Deadline, next_wake_up: tuple[WakeUp, datetime] | None) -> Self:
        """Return the attempt for a row that was just leased."""
        observed = UNSEEN if row.may_have_incident else None
        return cls(row=row, observed=observed, deadline=deadline, next_wake_up=next_wake_up)

    @property
    def record(self) -> Record:
        """The row as it will be once the changes are written."""
        row = self.row
        for change in self.changes:
            row = change(row)
        return row

    def rebase(self, row: Record) -> None:
        """Go on from `row` without the changes that it has already, by a write whose answer may have been lost."""
        del self.changes[: self.marks.get(row.work.write_mark, 0)]
        self.row, self.marks = row, {}

    def note(self, result: str, now: datetime) -> None:
        """Have the row remember the step that was taken and its result."""
        step = Step(at=now, action=self.decision.action, reason=self.decision.reason, result=result)
        self.changes.append(lambda row: row.with_work(row.work.done(step)))
        self.has_acted = True


class Worker:
    """Works off attempts; safe to share between threads."""

    def __init__(
        self,
        *,
        store: Store,
        wakeups: WakeUps,
        target: Target,
        circuit: Circuit,
        retry_horizon: timedelta,
        now: Callable[[], datetime],
        telemetry: Telemetry = NOTHING,
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._telemetry = telemetry
        self._target = target
        self._circuit = circuit
        self._retry_horizon = retry_horizon
        self._now = now
        self._steps: Mapping[Action, Callable[[Attempt, Record], None]] = {
            Action.OBSERVE: self._observe,
            Action.LINK: self._link,
            Action.SUCCEED: self._succeed,
            **dict.fromkeys((Action.CREATE, Action.UPDATE, Action.RESOLVE, Action.REOPEN), self._change),
        }

    def work(self, attempt: Attempt) -> Result:
        """Take step after step until the incident says what it should or cannot be made to for now.

        An error that was not foreseen is a failed attempt too.

        Raises:
            Conflict: the lease was lost; the worker that has it now will see what we did.
            Unavailable: storage did not answer.
        """
        try:
            for _ in range(_MOST_STEPS):
                result = self._advance(attempt)
                if result is not None:
                    return result
            return self._retry_later(attempt, Unavailable("the incident keeps changing"))
        except BridgeError:
            raise
        except Exception as error:  # noqa: BLE001 - an alert that always meets a bug must be parked, not tried for ever
            return self._stumbled(attempt, error)

    def is_over(self, row: Record, *, deadline: Deadline) -> bool:
        """Return whether people ended or deleted the incident of a row.

        Raises:
            Unavailable: the target did not answer, or hides it.
        """
        incident = self._target.find(row.incident_id, with_journal=False, deadline=deadline.within(LOOK_BUDGET))
        return incident is None or incident.is_closed

    def _advance(self, attempt: Attempt) -> Result | None:
        """Decide and take one step; return a result if that ends the attempt."""
        record, is_repeatable = attempt.record, self._target.creation_is_repeatable
        decision = attempt.decision = decide(
            record,
            attempt.observed,
            now=self._now(),
            creation_is_repeatable=is_repeatable,
            may_link=attempt.link_error is None,
        )
        if decision.action in _ENDS:
            return self._ended(attempt, record)
        intent = orders.intent(decision, record, attempt.row, now=self._now(), creation_is_repeatable=is_repeatable)
        if intent:
            self._write(attempt, intent)
            return None
        try:
            self._steps[decision.action](attempt, record)
        except Conflict as error:
            self._look_again(attempt, error)
        except Rejected as error:
            return self._rejected(attempt, record, error)
        except Unconfirmed as error:
            return self._doubt(attempt, record, error)
        except TemporaryError as error:
            return self._retry_later(attempt, error)
        if decision.action is Action.SUCCEED:
            # The intent of another incident is written down before it is created; a lost lease ends the attempt.
            self._write(attempt, orders.as_it_is)
        return None

    def _ended(self, attempt: Attempt, record: Record) -> Result | None:
        """End the attempt with what was decided; None if there is more to do after all."""
        if attempt.decision.action is Action.NOTHING:
            return self._settle(attempt, record)
        if attempt.decision.action is Action.HOLD:
            return self._wait_out_hold(attempt, record)
        if attempt.decision.action is Action.LIMIT:
            return self._limited(attempt, record)
        if attempt.decision.action is Action.PARK:
            return self._park(attempt, record.work.refusal)
        return self._retry_later(attempt, Unconfirmed("a write of unknown outcome may still take effect"))

    # The steps.

    def _succeed(self, attempt: Attempt, _: Record) -> None:
        """Go on to the next generation; its incident is not there yet."""
        if not isinstance(attempt.observed, Incident):
            raise Unavailable("there is no incident to follow; it is looked at again")
        now = self._now()
        attempt.changes.append(partial(Record.succeeded, closed=attempt.observed, now=now))
        attempt.observed = None
        attempt.note("a new incident follows", now)

    def _observe(self, attempt: Attempt, record: Record) -> None:
        """Look at the incident; with its journal if a write of unknown outcome may have reached it."""
        with self._counted(attempt, record, Kind.READ):
            found = self._found(attempt, record)
        self._circuit.succeeded(record.key, Kind.READ)
        attempt.observed = found
        if found is not None:
            attempt.changes.append(partial(Record.seen, incident=found))
        if not attempt.record.observed.in_doubt_until:
            attempt.unconfirmed_write = None

    def _found(self, attempt: Attempt, record: Record) -> Incident | None:
        is_doubtful = record.observed.in_doubt_until is not None
        for way in orders.ways_to_look(record, creation_is_repeatable=self._target.creation_is_repeatable):
            if way is orders.Way.BY_ID:
                found = self._target.find(
                    record.incident_id, with_journal=is_doubtful, names=record.names, deadline=attempt.deadline
                )
            else:
                found = self._found_by_key(attempt, record)
            if found is not None:
                return found
        return None

    def _found_by_key(self, attempt: Attempt, record: Record) -> Incident | None:
        known, doubles = orders.pick(record, self._target.search(record.key, deadline=attempt.deadline))
        # A search shows no journal.
        incident = known and self._target.find(
            known.id, with_journal=True, names=record.names, deadline=attempt.deadline
        )
        if incident is not None:
            for double in doubles:
                log.error("%s: %s is a double of %s", record.key, double.number, incident.number)
                self._target.retire(double, incident, deadline=attempt.deadline)
        return incident

    def _link(self, attempt: Attempt, record: Record) -> None:
        """Look for the other ends of links, for a short time, so that a slow search delays only the links."""
        deadline = attempt.deadline.within(LINKING_BUDGET)
        for name in record.missing_links:
            end = self._link_end(attempt, record, name, deadline)
            if end is None:
                continue
            attempt.changes.append(partial(Record.linked, name=name, end=end))
            if end.detail:
                attempt.note(end.detail, self._now())

    def _link_end(self, attempt: Attempt, record: Record, name: str, deadline: Deadline) -> LinkEnd | None:
        """Return the other end of a link; None if it has to be looked for later."""
        with self._counted(attempt, record, Kind.WRITE):
            try:
                return self._target.find_link(name, record.desired.links[name], deadline=deadline)
            except Unavailable as error:
                if error.retry_after is not None:
                    raise
                attempt.link_error = error
        if record.work.attempts < LINKING_ATTEMPTS:
            return None
        return LinkEnd(reason=f"No {_in_words(name)}: the search for it did not answer.")

    def _change(self, attempt: Attempt, record: Record) -> None:
        """Create or change the incident with one write, and take in the answer."""
        is_creation = attempt.decision.action is Action.CREATE
        began, incident = self._now(), attempt.observed if isinstance(attempt.observed, Incident) else None
        write = orders.write_for(
            attempt.decision, record, incident, creation_is_repeatable=self._target.creation_is_repeatable
        )
        send = {
            Action.CREATE: self._target.create,
            Action.UPDATE: self._target.update,
            Action.RESOLVE: self._target.resolve,
            Action.REOPEN: self._target.reopen,
        }[attempt.decision.action]
        with self._counted(attempt, record, Kind.WRITE):
            changed = send(write, deadline=attempt.deadline)
        self._circuit.succeeded(record.key, Kind.WRITE)
        created_at = began if is_creation else None
        attempt.changes.append(
            partial(Record.written, incident=changed, sent=record, write=write, created_at=created_at)
        )
        attempt.observed = changed
        attempt.outcome = _OUTCOMES[attempt.decision.action]
        if not orders.had_effect(attempt.decision, changed):
            raise Rejected(f"the write was confirmed and did not {attempt.decision.action} the incident")
        attempt.note(f"{changed.number} in state {changed.state}", self._now())

    def _look_again(self, attempt: Attempt, error: Conflict) -> None:
        """Look at an incident that another process changed, ended or created meanwhile."""
        if attempt.decision.action is Action.CREATE:
            # The incident is there, by this creation or an earlier one; its journal tells which of our notes it has.
            attempt.changes.append(partial(Record.doubted, now=self._now()))
        attempt.note(str(error), self._now())
        attempt.observed = UNSEEN

    def _doubt(self, attempt: Attempt, record: Record, error: Unconfirmed) -> Result | None:
        """Remember a write of unknown outcome and look at the incident; a second such write ends the attempt."""
        now = self._now()
        attempt.changes.append(partial(Record.doubted, now=now))
        if attempt.decision.action is Action.CREATE:
            attempt.changes += orders.after_unconfirmed_creation(
                record,
                is_refusal=error.is_refusal,
                creation_is_repeatable=self._target.creation_is_repeatable,
                now=now,
            )
        if attempt.unconfirmed_write is not None:
            return self._retry_later(attempt, error)
        attempt.note(f"unknown: {error}", now)
        attempt.unconfirmed_write, attempt.observed = error, UNSEEN
        return None

    def _rejected(self, attempt: Attempt, record: Record, error: Rejected) -> Result | None:
        """Tell people once that a state was refused; park the row if any other write was refused for good."""
        if attempt.decision.action is Action.CREATE and attempt.link_error is not None:
            # What could not be looked for may be the very field that the target demands, as a caller.
            return self._retry_later(attempt, Unavailable(f"{error}; and {attempt.link_error}"))
        if attempt.decision.action not in _STATES_REFUSED or record.work.refusal:
            return self._park(attempt, str(error))
        self._tell_refusal(attempt, record, str(error))
        return None

    @contextmanager
    def _counted(self, attempt: Attempt, record: Record, kind: Kind) -> Iterator[None]:
        """Tell the circuit what a failure of the block says of the target: whether it answers this kind of request."""
        try:
            yield
        except TimeIsUp:
            raise
        except (Rejected, Conflict):
            self._circuit.succeeded(record.key, kind)
            raise
        except (Unavailable, Unconfirmed) as error:
            if attempt.deadline.left < LEAST_TIME:
                # Our own time ran out: the target may only be slow.
                self._circuit.ran_out(record.key)
            elif not error.is_refusal:
                self._circuit.failed(record.key, str(error), kind)
            raise

    # Remembering what was done.

    def _settle(self, attempt: Attempt, record: Record) -> Result | None:
        """Remember that the incident says what it should; None if something newer has come meanwhile."""
        if record.desired.is_shadowed:
            attempt.note(f'on trial by the rule "{record.desired.shadowed_by}"', self._now())
            attempt.outcome = Outcome.IGNORED
        elif not attempt.has_acted:
            attempt.note("left as it is", self._now())
        if attempt.link_error and record.missing_link:
            attempt.decision = replace(attempt.decision, action=Action.LINK, link=record.missing_link)
            attempt.changes.append(partial(Record.settled, planned=record, links_later=True))
            return self._retry_later(attempt, attempt.link_error)
        self._write(attempt, partial(Record.settled, planned=record))
        if not attempt.row.is_settled:
            # People may have changed the incident meanwhile, too.
            attempt.observed = UNSEEN
            return None
        self._tell(attempt, record)
        return Result(outcome=attempt.outcome, record=attempt.row)

    def _tell(self, attempt: Attempt, record: Record) -> None:
        """Tell what was done, and how long after Azure Monitor said so, or after the end of the hold."""
        seconds = max((self._now() - record.told_at).total_seconds(), 0.0)
        what = "on trial" if record.desired.is_shadowed else record.observed.number or "no incident"
        log.info("%s: %s (%s), %.1f s after it was told", record.key, attempt.outcome, what, seconds)
        self._telemetry.describe(outcome=attempt.outcome)
        self._telemetry.tell(Metric.OUTCOMES, outcome=attempt.outcome)
        self._telemetry.tell(Metric.TIME_TO_INCIDENT, seconds, outcome=attempt.outcome)

    def _retry_later(self, attempt: Attempt, error: TemporaryError, *, delay: timedelta | None = None) -> Result:
        now, doubt = self._now(), attempt.unconfirmed_write
        reason = str(error) if doubt in (None, error) else f"{doubt}; then {error}"
        if attempt.record.work.failing_for(now) >= self._retry_horizon:
            reason = f"given up after {self._retry_horizon}: {reason}"
            return self._unlinked(attempt, reason) if attempt.record.is_settled else self._park(attempt, reason)
        if error.retry_after is not None:
            self._circuit.pause(error.retry_after)
        # Another process may get the wake-up and know of no pause, so the wake-up must not come too early.
        if attempt.next_wake_up is None or attempt.next_wake_up[1] < now + (delay or error.retry_after or timedelta(0)):
            delay = delay or backoff(attempt.record.work.attempts, error.retry_after)
            attempt.next_wake_up = (self._wakeups.send(attempt.row.key, delay=delay), now + delay)
        wake_up, due = attempt.next_wake_up
        attempt.note(reason, now)

        def failed(work: Work) -> Work:
            return work.failed(reason=reason, now=now).awaiting(wake_up_at=due, wake_up_id=wake_up.message_id)

        self._write(attempt, lambda row: row.with_work(failed(row.work)))
        row = attempt.row
        self._telemetry.tell(Metric.RETRIES)
        log.warning("%s: attempt %d failed, next at %s: %s", row.key, row.work.attempts, due.isoformat(), reason)
        # An incident that only lacks a link says what the alert says.
        is_told = row.is_settled and not row.work.is_parked
        return Result(outcome=attempt.outcome if is_told else Outcome.ACCEPTED, record=row)

    def _wait_out_hold(self, attempt: Attempt, record: Record) -> Result:
        """Have the row looked at when its hold is over; no attempt has failed."""
        now = self._now()
        until = record.desired.held_until or now
        if attempt.next_wake_up is None or attempt.next_wake_up[1] < until:
            attempt.next_wake_up = (self._wakeups.send(attempt.row.key, delay=until - now), until)
        wake_up, due = attempt.next_wake_up
        attempt.note(f"on hold until {utc_text(until)}", now)

        def on_hold(row: Record) -> Record:
            return row.with_work(row.work.released().awaiting(wake_up_at=due, wake_up_id=wake_up.message_id))

        self._write(attempt, on_hold)
        return Result(outcome=Outcome.ACCEPTED, record=attempt.row)

    def _unlinked(self, attempt: Attempt, reason: str) -> Result:
        """Give up on the link alone: the incident says what the alert says, and no person has to act."""
        attempt.note(reason, self._now())
        names = attempt.record.missing_links
        attempt.changes += [partial(Record.linked, name=name, end=LinkEnd(reason="")) for name in names]
        planned = attempt.record

        def settled(row: Record) -> Record:
            # A notification that came meanwhile has a wake-up of its own, and a doubt lasts until its time is over.
            after = row.settled(planned)
            doubt = replace(after.observed, in_doubt_until=row.observed.in_doubt_until)
            return replace(after, observed=doubt, work=after.work.released())

        self._write(attempt, settled)
        log.warning("%s stays without its %s: %s", attempt.row.key, " and ".join(map(_in_words, names)), reason)
        return Result(outcome=attempt.outcome, record=attempt.row)

    def _stumbled(self, attempt: Attempt, error: Exception) -> Result:
        """Count an error that was not foreseen as a failed attempt.

        Its message may quote the alert, so the row and the log tell its place instead.

        Raises:
            TemporaryError: not even that could be written down.
        """
        reason = f"unexpected {type(error).__name__} at {place_of(error)}"
        log.error("%s: %s", attempt.row.key, reason)
        # The step that was under way may have had an effect, and a change not written yet may be what fails.
        attempt.changes[:] = [partial(Record.doubted, now=self._now())]
        return self._retry_later(attempt, Unconfirmed(reason))

    def _limited(self, attempt: Attempt, record: Record) -> Result:
        """Let the next incident of a key wait until the last hour has seen few enough."""
        until = record.creation_allowed_at(self._now())
        reason = f"{MOST_CREATIONS} incidents were created for this alert within an hour; the next one may come later"
        log.error("%s: %s, at %s", record.key, reason, until.isoformat())
        return self._retry_later(attempt, Unavailable(reason), delay=until - self._now())

    def _tell_refusal(self, attempt: Attempt, record: Record, reason: str) -> None:
        """Have the incident say what Azure Monitor reports and that its state could not follow."""
        note = orders.refusal_note(attempt.decision, reason)
        attempt.note(f"refused: {reason}", self._now())
        # The row must know the note before it is sent: if this process dies then, the next one is refused too and must
        # not tell it again.
        self._write(attempt, partial(Record.refused, reason=reason, note=note, revision=record.desired.revision))

    def _park(self, attempt: Attempt, reason: str) -> Result:
        revision = attempt.record.desired.revision
        attempt.note(reason, self._now())

        def parked(row: Record) -> Record:
            # A notification that came meanwhile deserves an attempt of its own.
            return row.with_work(row.work.parked(reason) if row.desired.revision == revision else row.work.released())

        self._write(attempt, parked)
        log.error("%s is parked until somebody acts: %s", attempt.row.key, reason)
        return Result(outcome=Outcome.ACCEPTED, record=attempt.row)

    def _write(self, attempt: Attempt, change: Change) -> None:
        """Write what was done, and `change`, onto the row as it is now.

        Raises:
            Conflict: the lease was lost; the worker that has it now will see what we did.
            Unavailable: the table did not answer.
        """
        holder = attempt.row.work.lease_holder
        attempt.changes.append(change)

        def onto(row: Record | None) -> Record | None:
            if row is None or row.work.lease_holder != holder:
                raise Conflict(f"the lease of {attempt.row.key} was lost")
            if row is not attempt.row:
                attempt.rebase(row)
            if not attempt.changes:
                return None
            mark = uuid.uuid4().hex
            attempt.marks[mark] = len(attempt.changes)
            changed = attempt.record
            return changed.with_work(replace(changed.work, write_mark=mark))

        row = swap(self._store, attempt.row.key, onto, row=attempt.row)
        if row is not None and row is not attempt.row:
            attempt.rebase(row)


def _in_words(link: str) -> str:
    return link.replace("_", " ")
