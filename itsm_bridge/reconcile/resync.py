"""Which rows would no wake-up reach any more?

The timer calls `Resync.run` by way of the reconciler: it wakes the rows whose wake-up is lost and those that waited for
the target, ends what our clock ends, and purges what has long been settled. `Waking` sends the wake-ups, the
reconciler's too. How one row is worked on is not known here: `look_at` does it.

While the target is away no wake-up is on its way: the row alone says that it waits, and `Resync` wakes it, because the
platform scales by the number of messages in the queue, also of those that are not visible yet, and an outage must not
start instances.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice

from itsm_bridge.deadline import Clock, Deadline
from itsm_bridge.errors import Conflict, Rejected, TemporaryError, Unavailable
from itsm_bridge.reconcile.attempt import Result
from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.merge import bring_in, expire
from itsm_bridge.reconcile.ports import Store, WakeUp, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.reconcile.worker import LOOK_BUDGET, Worker
from itsm_bridge.telemetry import NOTHING, Metric, Role, Telemetry

log = logging.getLogger(__name__)

#: How soon a wake-up that a row counts on may come, because storage may take a few seconds to write the row.
LEAST_DELAY = timedelta(seconds=5)
#: How long work waits for a slot before it comes back later.
SLOT_PATIENCE = timedelta(seconds=2)

#: How many rows one resync wakes, and how many one purge deletes, at most: each fits into the time of a function.
RESYNC_LIMIT = 1000
PURGE_LIMIT = 10_000
#: It purges in the first minutes of an hour alone, so many, because each scan of the table costs and no alert waits for
#: a purge.
_PURGING_MINUTES = 5

#: How many of the rows that wait `resync` tries before it wakes the other rows, and to how many that waited beyond the
#: retry horizon it gives their last attempt.
SCOUTS = 3
LAST_ATTEMPTS = 100
#: Over how long the rows that waited together are woken.
RETURN_WINDOW = timedelta(seconds=30)
#: Longer than any pause of an outage, jitter included.
LONGEST_PAUSE = LAST_RETRY + timedelta(minutes=2)
#: How often `resync` asks whether the incident of an alert that never ends is closed, and for how many alerts per hour.
LOOK_AGAIN = timedelta(days=7)
LOOKS_LIMIT = 100

_FAILURES_IN_A_ROW = 5


class Waking:
    """Has rows looked at later; safe to share between threads."""

    def __init__(
        self,
        *,
        store: Store,
        wakeups: WakeUps,
        circuit: Circuit,
        now: Callable[[], datetime],
        telemetry: Telemetry = NOTHING,
    ) -> None:
        self._store = store
        self._wakeups = wakeups
        self._circuit = circuit
        self._now = now
        self._telemetry = telemetry

    def wake(self, key: str, *, delay: timedelta) -> WakeUp:
        """Have `key` looked at after `delay`; raises as `WakeUps.send`."""
        with self._telemetry.span("send wake-up", Role.PRODUCER):
            return self._wakeups.send(key, delay=delay)

    def postpone(self, row: Record, delay: timedelta) -> None:
        """Have the row looked at later, and let it count on that wake-up alone.

        Raises:
            Unavailable: storage did not answer; the row may count on the wake-up or not.
        """
        # If the message arrives before the row that names it is saved, it is discarded as unknown.
        delay = max(delay, LEAST_DELAY)
        wake_up = self.wake(row.key, delay=delay)
        # A row that changed meanwhile has a wake-up of its own; ours is a stray then.
        with suppress(Conflict):
            work = row.work.awaiting(wake_up_at=self._now() + delay, wake_up_id=wake_up.message_id)
            self._store.replace(row.with_work(work))

    def wake_waiting(self) -> None:
        """Wake the rows that waited for the target: first those that were never tried, the oldest of them first.

        Raises:
            Unavailable: storage did not answer; some may be woken.
        """
        self._circuit.takes_return()
        now = self._now()
        # A row that waits for the end of an outage must not wait for the end of its pause too. A row that waits longer
        # does so because the target asked for it.
        waiting = self._store.waiting(due_before=now + LONGEST_PAUSE, limit=RESYNC_LIMIT)
        delays = {row.key: RETURN_WINDOW * place / len(waiting) for place, row in enumerate(waiting)}
        each_alone(waiting, lambda row: self.postpone(_woken(row, now), delays[row.key]))
        if waiting:
            log.warning("%d alerts that waited for %s are woken", len(waiting), self._circuit.name)


class Resync:
    """Finds the rows that no wake-up would reach; safe to share between threads."""

    def __init__(  # noqa: PLR0913 - the reconciler hands over one of each
        self,
        *,
        store: Store,
        wakeups: WakeUps,
        circuit: Circuit,
        waking: Waking,
        worker: Worker,
        look_at: Callable[[Record], Result | None],
        retry_horizon: timedelta,
        retention: timedelta,
        now: Callable[[], datetime],
        clock: Clock = time.monotonic,
        telemetry: Telemetry = NOTHING,
        trials: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Connect the parts.

        `look_at` reconciles a row, or has it looked at later and returns None; it raises a TemporaryError where neither
        was to be had. `trials` returns the names of the rules in force that keep alerts from the target for a trial,
        and raises Unavailable if they are not known now; without it no trial is ended.
        """
        self._store = store
        self._wakeups = wakeups
        self._circuit = circuit
        self._waking = waking
        self._worker = worker
        self._look_at = look_at
        self._retry_horizon = retry_horizon
        self._retention = retention
        self._now = now
        self._clock = clock
        self._telemetry = telemetry
        self._trials = trials

    def run(self) -> None:
        """Wake the rows that await work and have no wake-up coming; once an hour, purge those long settled.

        Neither a row that cannot be read or written nor a part that fails keeps the other rows and parts from being
        done.

        Raises:
            Unavailable: storage did not answer for some of it.
        """
        now = self._now()
        parts = [self._wake_overdue, self._try_waiting, self._expire, self._end_trials]
        if now.minute < _PURGING_MINUTES:
            parts += [self._purge_settled, self._purge_never_ending, self._purge_groups]
        failures = []
        for part in parts:
            try:
                part()
            except TemporaryError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _wake_overdue(self) -> None:
        """Give another wake-up to the rows whose wake-up is lost, because later ones have come already."""
        worked_up_to = self._worked_up_to()
        self._telemetry.tell(Metric.QUEUE_AGE, (self._now() - worked_up_to).total_seconds())
        due_before = worked_up_to - WAKE_UP_GRACE
        overdue = list(islice(self._store.awaiting_work(due_before=due_before), RESYNC_LIMIT))
        each_alone(overdue, lambda row: self._waking.postpone(row, FIRST_RETRY))
        if overdue:
            log.warning("resync: %d alerts had an overdue wake-up and got another", len(overdue))

    def _worked_up_to(self) -> datetime:
        """Return up to which time the wake-ups that were due have come; in a long line they are late and not lost.

        The queue gives out messages about in the order in which they became visible, so its head tells how late it is.
        """
        due = [self._now()]
        for key, message_id in self._wakeups.peek():
            with suppress(TemporaryError):
                row = self._store.read(key) if key else None
                if row is not None and row.work.wake_up_id in ("", message_id):
                    due.append(row.work.wake_up_at)
        return min(due)

    def _try_waiting(self) -> None:
        """Try a few of the rows that wait for the target; wake the other rows if it works again."""
        waiting = self._store.waiting(due_before=self._now(), limit=RESYNC_LIMIT)
        is_expired = [row.work.failing_for(self._now()) >= self._retry_horizon for row in waiting]
        # A row that waited beyond the horizon gets its last attempt, or it would wait for ever.
        expired = [row for row, is_up in zip(waiting, is_expired, strict=True) if is_up]
        others = [row for row, is_up in zip(waiting, is_expired, strict=True) if not is_up]
        each_alone(expired[:LAST_ATTEMPTS], lambda row: self._waking.postpone(row, LEAST_DELAY))
        tried = [self._tries(row) for row in others[:SCOUTS]]
        if any(tried):
            self._waking.wake_waiting()

    def _tries(self, row: Record) -> bool:
        """Look at a row that waits; return whether the target worked."""
        try:
            result = self._look_at(row)
        except TemporaryError as error:
            log.warning("%s could not be tried: %s", row.key, error)
            return False
        # A row that was parked now was refused for good: the target worked then too.
        return result is not None and (result.record.work.is_parked or result.record.work.failing_since is None)

    def _expire(self) -> None:
        """End what fires by our clock where Azure never ends it and a rule wants it closed."""
        now = self._now()
        expired = list(islice(self._store.expired(before=now), RESYNC_LIMIT))
        each_alone(expired, lambda row: self._waking.postpone(expire(row, now), LEAST_DELAY))

    def _end_trials(self) -> None:
        """Bring in what fires on trial by a rule that is gone, or that says something else by now."""
        if self._trials is None:
            return
        found = self._store.on_trial()
        first = next(found, None)
        if first is None:
            return
        # What storage cannot tell ends no trial: this raises then.
        trials, now = self._trials(), self._now()
        ended = (row for row in chain((first,), found) if row.desired.shadowed_by not in trials)
        rows = list(islice(ended, RESYNC_LIMIT))
        each_alone(rows, lambda row: self._waking.postpone(bring_in(row, now), LEAST_DELAY))
        if rows:
            log.warning("resync: the trial of %d alerts is over, and they become incidents", len(rows))

    def _purge_settled(self) -> None:
        """Delete the rows of alerts that have long been over."""
        settled = self._store.idle_since(changed_before=self._now() - self._retention)
        each_alone(islice(settled, PURGE_LIMIT), self._store.delete)

    def _purge_groups(self) -> None:
        """Delete what leads to groups that are gone."""
        self._store.purge_groups(changed_before=self._now() - self._retention, limit=PURGE_LIMIT)

    def _purge_never_ending(self) -> None:
        """Look at the incidents of alerts that have long fired and said nothing."""
        now = self._now()
        found = self._store.idle_firing(changed_before=now - self._retention, looked_before=now - LOOK_AGAIN)
        found = (row for row in found if not row.desired.is_shadowed)
        each_alone(list(islice(found, LOOKS_LIMIT)), self._purge_if_closed)

    def _purge_if_closed(self, row: Record) -> None:
        """Delete the row of an alert that Azure never ends once people have closed or deleted its incident.

        Raises:
            Unavailable: storage or the target did not answer.
        """
        with self._circuit.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot or self._circuit.paused_for():
                return
            try:
                is_over = self._worker.is_over(row, deadline=Deadline.after(LOOK_BUDGET, clock=self._clock))
            except Rejected as error:
                # The row stays, and the target is asked about it again next week.
                log.warning("%s is kept: %s", row.key, error)
                is_over = False
        with suppress(Conflict):
            if is_over:
                self._store.delete(row)
            else:
                self._store.replace(row.with_work(replace(row.work, looked_at=self._now())))


def each_alone(rows: Iterable[Record], change: Callable[[Record], None]) -> None:
    """Change each row, even if another cannot be changed; give up if storage fails for several in a row.

    Raises:
        Unavailable: storage did not answer.
    """
    failures = 0
    for row in rows:
        try:
            change(row)
        except TemporaryError as error:
            log.warning("resync: %s stays as it is: %s", row.key, error)
            failures += 1
            if failures >= _FAILURES_IN_A_ROW:
                raise Unavailable("resync: storage does not answer") from error
        else:
            failures = 0


def _woken(row: Record, now: datetime) -> Record:
    return row.with_work(replace(row.work, woken_at=now))
