"""How does an incident come to say what Azure Monitor says?

The only procedure that reads, decides, acts and remembers. Both functions that learn of an alert call it:

    receive(notification)   remember it durably, then reconcile at once if there is room and time
    reconcile(key)          a wake-up: look at this key

1. Nothing is answered before the row is written and a wake-up is on its way. A crash anywhere leaves either no answer
   or a wake-up; `resync` finds the row if even that was lost.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the holder of the lease calls ServiceNow for a key and writes the observed half of its row. Others may write
   the desired half meanwhile; the holder then finds its row changed and applies what it did to the newer version.
4. A lease outlives every request made under it.
"""

import logging
import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Self

from itsm_bridge import steps
from itsm_bridge.cmdb import Cmdb
from itsm_bridge.errors import Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.incident import Incident
from itsm_bridge.notification import Notification
from itsm_bridge.plan import UNSEEN, Action, Observation, next_action
from itsm_bridge.pressure import Pressure
from itsm_bridge.record import WAKE_UP_GRACE, Record, first_record, merge
from itsm_bridge.servicenow import ServiceNow
from itsm_bridge.steps import Change
from itsm_bridge.store import AlertStore
from itsm_bridge.wakeups import WakeUp, WakeUps

log = logging.getLogger(__name__)

#: How long ServiceNow may take within an HTTP call, which must be answered within 5 s, storage included.
INLINE_BUDGET = timedelta(seconds=3.2)
#: How much of it may be gone before the notification is durable: storage that slow is as good as down.
STORAGE_BUDGET = timedelta(seconds=2.2)
#: How long it may take for a wake-up, and how long any single request of it.
WAKE_UP_BUDGET = timedelta(seconds=30)
REQUEST_BUDGET = timedelta(seconds=10)
#: How much of either the search for the configuration item may take, and how often it is begun.
BINDING_BUDGET = timedelta(seconds=1.2)
BINDING_ATTEMPTS = 5
#: A step is not begun with less time than this: it could only end in doubt.
LEAST_TIME = timedelta(seconds=0.3)
#: How much longer than its budget a lease lasts: clocks differ, and storage takes its time.
LEASE_MARGIN = timedelta(seconds=8)
#: How long a wake-up waits for a slot before it comes back later.
SLOT_PATIENCE = timedelta(seconds=2)

FIRST_RETRY = timedelta(seconds=15)
LAST_RETRY = timedelta(minutes=5)

#: How many rows one resync wakes, and how many it purges, at most.
RESYNC_LIMIT = 1000

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one look at a key came to."""

    outcome: Outcome
    record: Record


@dataclass(slots=True, kw_only=True)
class _Run:
    """One lease: the row as last written, what was done since, and what was observed."""

    row: Record
    changes: list[Change] = field(default_factory=list)
    observed: Observation
    deadline: datetime
    #: The wake-up that covers this run and when it is due; None if it is the one that is being worked on.
    cover: tuple[WakeUp, datetime] | None
    outcome: Outcome = Outcome.UNCHANGED
    #: The write of this run whose outcome is unknown, if there is one.
    doubt: Unconfirmed | None = None
    #: Why the configuration item could not be looked for, if it could not.
    unbound: Unavailable | None = None
    #: The mark of a row write whose answer was lost, and how many of the changes it held.
    unanswered: tuple[str, int] = ("", 0)

    def rebase(self, row: Record, mark: str) -> None:
        """Go on from `row`; the changes that it has already, by the write of `mark` or the unanswered one, are done."""
        done = {self.unanswered[0]: self.unanswered[1], mark: len(self.changes)}.get(row.write_mark, 0)
        self.row, self.unanswered = row, ("", 0)
        del self.changes[:done]

    @classmethod
    def of(cls, row: Record, *, deadline: datetime, cover: tuple[WakeUp, datetime] | None) -> Self:
        """Return the run of a row that was just leased."""
        return cls(row=row, observed=UNSEEN if row.may_have_incident else None, deadline=deadline, cover=cover)

    @property
    def record(self) -> Record:
        """The row as it will be once the changes are written."""
        return _applied(self.changes, self.row)


class Reconciler:
    """Brings incidents up to date; safe to share between threads."""

    def __init__(  # noqa: PLR0913 - the composition root hands over one of each
        self,
        *,
        store: AlertStore,
        wakeups: WakeUps,
        servicenow: ServiceNow,
        cmdb: Cmdb | None = None,
        pressure: Pressure,
        retry_horizon: timedelta,
        retention: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._servicenow = servicenow
        self._cmdb = cmdb
        self._pressure = pressure
        self._retry_horizon = retry_horizon
        self._retention = retention
        self._now = now

    def receive(self, notification: Notification, *, deadline: datetime) -> Result:
        """Remember `notification` durably and, if there is room and time, bring its incident up to date.

        Repeating it is harmless: what says nothing new changes nothing.

        Raises:
            Unavailable: storage did not answer; nothing is promised.
            Conflict: others kept changing the row; nothing is promised.
        """
        with self._pressure.slot(wait=timedelta(0)) as has_slot:
            has_room = has_slot and not self._pressure.paused_for()
            holder = uuid.uuid4().hex if has_room else ""
            lease_until = deadline + LEASE_MARGIN
            in_time = deadline - INLINE_BUDGET + STORAGE_BUDGET
            row, is_news = self._remember(notification, holder=holder, lease_until=lease_until, in_time=in_time)
            self._check_time(in_time)
            if not is_news:
                return self._repeated(row)
            is_ours = bool(holder) and row.lease_holder == holder
            due = lease_until + timedelta(seconds=1) if is_ours else self._free_at(row)
            wake_up = self._wakeups.send(row.key, delay=due - self._now())
            if not is_ours:
                return Result(outcome=Outcome.ACCEPTED, record=row)
            return self._run_inline(_Run.of(row, deadline=deadline, cover=(wake_up, due)), wake_up)

    def reconcile(self, key: str, *, wake_up_id: str) -> None:
        """Look at `key` because the wake-up `wake_up_id` came. When this returns, the wake-up is done with.

        Raises:
            Unavailable: storage did not answer; the wake-up is still needed.
            Conflict: others kept changing the row; the wake-up is still needed.
        """
        for _ in range(_ATTEMPTS_TO_WRITE):
            row = self._store.read(key)
            if row is None or not row.awaits_work or row.counts_on_another(wake_up_id, self._now()):
                return
            with suppress(Conflict):
                self._look_at(row)
                return
        raise Conflict(f"the row {key} keeps changing")

    def resync(self) -> None:
        """Wake what awaits work and has no wake-up coming; purge what has long been settled.

        Raises:
            Unavailable: storage did not answer.
        """
        now = self._now()
        overdue = self._store.awaiting_work(due_before=now - WAKE_UP_GRACE)
        rows = list(islice(overdue, RESYNC_LIMIT))
        for row in rows:
            self._postpone(row, FIRST_RETRY)
        if rows:
            log.warning("resync: %d alerts had an overdue wake-up and got another", len(rows))
        settled = self._store.idle_since(changed_before=now - self._retention)
        for row in islice(settled, RESYNC_LIMIT):
            with suppress(Conflict):
                self._store.delete(row)

    # Remembering.

    def _remember(
        self, notification: Notification, *, holder: str, lease_until: datetime, in_time: datetime
    ) -> tuple[Record, bool]:
        """Write the desired half of the row; return it and whether the notification said anything new.

        The lease, if `holder` is given and nobody else has it, is taken in the same write.
        """

        def leased(row: Record) -> Record:
            now = self._now()
            return row.leased(holder=holder, now=now, until=lease_until) if holder and not row.is_leased(now) else row

        for _ in range(_ATTEMPTS_TO_WRITE):
            self._check_time(in_time)
            known = None if notification.opens else self._store.read(notification.key)
            with suppress(Conflict):
                if known is None:
                    return self._store.insert(leased(first_record(notification, self._now()))), True
            self._check_time(in_time)
            known = known or self._store.read(notification.key)
            if known is None:
                continue
            self._check_time(in_time)
            merged = merge(known, notification, self._now())
            if merged is known:
                return known, False
            with suppress(Conflict):
                return self._store.replace(leased(merged)), True
        raise Conflict(f"the row {notification.key} keeps changing")

    def _check_time(self, in_time: datetime) -> None:
        if self._now() > in_time:
            raise Unavailable("storage is too slow to remember the alert in time")

    def _repeated(self, row: Record) -> Result:
        """Answer a notification that said nothing new: it may have come because nobody answered the first."""
        if row.is_settled and not row.is_parked:
            return Result(outcome=Outcome.UNCHANGED, record=row)
        if row.is_parked:
            return Result(outcome=Outcome.ACCEPTED, record=row)
        now = self._now()
        if not row.wake_up_id or now >= row.wake_up_at + WAKE_UP_GRACE:
            self._wakeups.send(row.key, delay=self._free_at(row) - now)
        return Result(outcome=Outcome.ACCEPTED, record=row)

    def _free_at(self, row: Record) -> datetime:
        now = self._now()
        return row.leased_until + timedelta(seconds=1) if row.leased_until and row.is_leased(now) else now

    # Running.

    def _run_inline(self, run: _Run, wake_up: WakeUp) -> Result:
        """Reconcile within the HTTP call. The notification is durable by now, so no failure is the caller's."""
        try:
            result = self._run(run)
        except TemporaryError as error:
            log.warning("%s stays with its wake-up: %s", run.row.key, error)
            return Result(outcome=Outcome.ACCEPTED, record=run.row)
        if not result.record.awaits_work:
            # If it cannot be taken back it comes, finds the record settled, and is done with.
            with suppress(TemporaryError):
                self._wakeups.take_back(wake_up)
        return result

    def _look_at(self, row: Record) -> None:
        """Reconcile a row that awaits work, or have it looked at later.

        Raises:
            Conflict: the row changed since it was read; nothing was done.
        """
        now = self._now()
        if row.is_leased(now):
            self._postpone(row, self._free_at(row) - now)
            return
        pause = self._pressure.paused_for()
        if pause:
            self._postpone(row, pause + _jitter(pause))
            return
        with self._pressure.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot:
                self._postpone(row, FIRST_RETRY)
                return
            now = self._now()
            deadline = now + WAKE_UP_BUDGET
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=deadline + LEASE_MARGIN)
            self._run(_Run.of(self._store.replace(leased), deadline=deadline, cover=None))

    def _run(self, run: _Run) -> Result:
        """Take step after step until the incident says what it should or cannot be made to for now."""
        for _ in range(_MOST_STEPS):
            record = run.record
            action = next_action(
                record,
                run.observed,
                now=self._now(),
                honours_sys_id=self._servicenow.honours_sys_id,
                may_bind=run.unbound is None,
            )
            if action is Action.NOTHING:
                if result := self._settle(run, record):
                    return result
                continue
            if action is Action.WAIT:
                return self._retry_later(run, Unconfirmed("a write of unknown outcome may still take effect"))
            if intent := self._intent(run, action, record):
                self._write(run, intent)
                continue
            try:
                self._step(run, action, record)
            except Rejected as error:
                return self._park(run, str(error))
            except TemporaryError as error:
                return self._retry_later(run, error)
        return self._retry_later(run, Unavailable("the incident keeps changing"))

    def _settle(self, run: _Run, record: Record) -> Result | None:
        """Remember that the incident says what it should; None if something newer has come meanwhile."""
        if run.unbound and record.needs_binding:
            run.changes.append(partial(Record.settled, planned=record, binds_later=True))
            return self._retry_later(run, run.unbound)
        self._write(run, partial(Record.settled, planned=record))
        if not run.row.is_settled:
            # People may have acted too.
            run.observed = UNSEEN
            return None
        log.info("%s: %s (%s)", record.key, run.outcome, record.number or "no incident")
        return Result(outcome=run.outcome, record=run.row)

    def _step(self, run: _Run, action: Action, record: Record) -> None:
        try:
            step = self._carry_out(run, action, record)
        except Conflict:
            if action is Action.CREATE:
                # It is there, by this creation or an earlier one; the journal tells which of our notes it has.
                run.changes.append(partial(Record.doubted, now=self._now()))
            run.observed = UNSEEN
            return
        except Unconfirmed as error:
            now = self._now()
            run.changes.append(lambda row: row.doubted(now))
            if run.doubt is not None:
                raise
            run.doubt, run.observed = error, UNSEEN
            return
        run.changes.append(step.change)
        run.observed = step.observed
        if action is Action.OBSERVE and not run.record.in_doubt_until:
            run.doubt = None
        run.outcome = _OUTCOMES.get(action, run.outcome)
        if not steps.has_effect(action, step.observed):
            raise Rejected(f"ServiceNow confirmed the write and did not {action} the incident")
        if action is Action.SUCCEED:
            # The intent of another incident is written down before it is created.
            self._write(run, _kept)

    def _intent(self, run: _Run, action: Action, record: Record) -> Change | None:
        """Return what the row must say before `action` is sent; None if it says so already."""
        if action in _CHANGES and not run.row.sys_id:
            # As long as the row knows no incident, only a creation may be in doubt.
            return _kept
        if action is not Action.CREATE:
            return None
        if record.in_doubt_until is None:
            return Record.begun if record.generation_firing < record.firing else None
        honours = self._servicenow.honours_sys_id
        return Record.omitting_sys_id if honours is not True and not record.omits_sys_id else None

    def _carry_out(self, run: _Run, action: Action, record: Record) -> steps.Step:
        left = partial(self._time_left, run.deadline)
        incident = run.observed if isinstance(run.observed, Incident) else None
        if action is Action.OBSERVE:
            return self._observe(record, left)
        if action is Action.BIND:
            return self._bind(run, record, incident)
        if action is Action.SUCCEED and incident is not None:
            return steps.succeed(incident)
        return steps.act(self._servicenow, action, record, incident, left=left)

    def _observe(self, record: Record, left: steps.TimeLeft) -> steps.Step:
        step = steps.observe(self._servicenow, record, left=left)
        for double in step.doubles:
            if step.observed is not None:
                log.error("%s: %s is a double of %s", record.key, double.number, step.observed.number)
                steps.retire(self._servicenow, double, step.observed, left=left)
        return step

    def _bind(self, run: _Run, record: Record, incident: Incident | None) -> steps.Step:
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
            raise Unavailable("the time is up")
        return left

    # Remembering what was done.

    def _retry_later(self, run: _Run, error: TemporaryError) -> Result:
        now = self._now()
        reason = str(error) if run.doubt in (None, error) else f"{run.doubt}; then {error}"
        failing_since = run.record.failing_since
        if failing_since is not None and now - failing_since >= self._retry_horizon:
            return self._park(run, f"given up after {self._retry_horizon}: {reason}")
        if error.retry_after is not None:
            self._pressure.pause(error.retry_after)
        # Whoever takes the wake-up up, perhaps another process that knows of no pause, must not come too early.
        if run.cover is None or run.cover[1] < now + (error.retry_after or timedelta(0)):
            delay = _backoff(run.record.attempts, error.retry_after)
            run.cover = (self._wakeups.send(run.row.key, delay=delay), now + delay)
        wake_up, due = run.cover
        self._write(
            run,
            lambda row: row.failed(reason=reason, now=now).awaiting(wake_up_at=due, wake_up_id=wake_up.message_id),
        )
        log.warning("%s: attempt %d failed, next at %s: %s", run.row.key, run.row.attempts, due.isoformat(), reason)
        # An incident that only lacks its configuration item says what the alert says.
        is_told = run.row.is_settled and not run.row.is_parked
        return Result(outcome=run.outcome if is_told else Outcome.ACCEPTED, record=run.row)

    def _park(self, run: _Run, reason: str) -> Result:
        revision = run.record.revision
        # What Azure Monitor said meanwhile deserves an attempt of its own.
        self._write(run, lambda row: row.parked(reason) if row.revision == revision else row.released())
        log.error("%s is parked until somebody acts: %s", run.row.key, reason)
        return Result(outcome=Outcome.ACCEPTED, record=run.row)

    def _write(self, run: _Run, change: Change) -> None:
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

    def _postpone(self, row: Record, delay: timedelta) -> None:
        """Have the row looked at later, and let it count on that wake-up alone."""
        wake_up = self._wakeups.send(row.key, delay=delay)
        # A row that changed meanwhile has a wake-up of its own; ours is a stray then.
        with suppress(Conflict):
            self._store.replace(row.awaiting(wake_up_at=self._now() + delay, wake_up_id=wake_up.message_id))


def _applied(changes: list[Change], row: Record) -> Record:
    for change in changes:
        row = change(row)
    return row


def _kept(record: Record) -> Record:
    return record


def _backoff(attempts: int, retry_after: timedelta | None) -> timedelta:
    """Return how long to wait after the attempt number `attempts`, counted from 0."""
    delay = min(FIRST_RETRY * (1 << min(attempts, 10)), LAST_RETRY)
    delay = max(delay, retry_after or delay)
    return delay + _jitter(delay)


def _jitter(delay: timedelta) -> timedelta:
    """Return up to a quarter of `delay`, at most a minute: so that those who fail together do not return together."""
    longest = min(delay / 4, timedelta(minutes=1))
    return timedelta(seconds=random.uniform(0, longest.total_seconds()))  # noqa: S311 - spreads load, hides nothing
