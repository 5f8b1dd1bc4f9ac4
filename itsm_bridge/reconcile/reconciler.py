"""How does an incident come to say what Azure Monitor says?

The webhook, the queue trigger and the timer come in here. The work under a lease is in `attempt`, and what a
notification changes is decided in `merge`.

    receive(alert)      the webhook: remember it durably, then reconcile at once if there is room and time
    reconcile(key)      a wake-up: look at this key
    resync()            the timer: wake the rows that no wake-up would reach any more

1. The webhook is not answered before the row is written and a wake-up is on its way. A crash anywhere leaves either no
   answer or a wake-up; if the wake-up is lost too, `resync` finds the row.
   While the target is away no wake-up is on its way: the row alone says that it waits, and `resync` wakes it, because
   the platform scales by the number of messages in the queue, also of those that are not visible yet, and an outage
   must not start instances.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the worker that holds the lease works on a key: it calls the target and writes the observed part of the row.
   Webhooks may write the desired part meanwhile, and the purge may look at an incident without a lease.
4. A lease outlives every request made under it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, islice

from itsm_bridge.azure_monitor.notification import notification_of, received_at
from itsm_bridge.deadline import Clock, Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, Rejected, TemporaryError, Unavailable
from itsm_bridge.reconcile.attempt import Attempt, Outcome, Result
from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY, with_jitter
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.intake import Intake
from itsm_bridge.reconcile.merge import bring_in, expire
from itsm_bridge.reconcile.ports import Store, Target, WakeUp, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.together import Together
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.reconcile.worker import LOOK_BUDGET, Worker
from itsm_bridge.rules.ruling import Ruling
from itsm_bridge.telemetry import NOTHING, Metric, Role, Telemetry

log = logging.getLogger(__name__)

#: How long the target may take within an HTTP call, which must be answered within 5 s, storage included.
INLINE_BUDGET = timedelta(seconds=3.2)
#: How long the target may take for a wake-up.
WAKE_UP_BUDGET = timedelta(seconds=30)
#: How much longer than its budget a lease lasts, because clocks differ and storage takes its time.
LEASE_MARGIN = timedelta(seconds=8)
#: How soon a wake-up that a row counts on may come, because storage may take a few seconds to write the row.
LEAST_DELAY = timedelta(seconds=5)
#: How long a wake-up waits for a slot before it comes back later.
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
#: A row does not wait out a longer pause with a message in the queue, because the platform counts messages that are not
#: visible yet as work and would start instances for them.
LONGEST_STAY = timedelta(minutes=1)
#: Longer than any pause of an outage, jitter included.
LONGEST_PAUSE = LAST_RETRY + timedelta(minutes=2)
#: How often `resync` asks whether the incident of an alert that never ends is closed, and for how many alerts per hour.
LOOK_AGAIN = timedelta(days=7)
LOOKS_LIMIT = 100

_FAILURES_IN_A_ROW = 5
_ATTEMPTS_TO_WRITE = 5


class Reconciler:
    """Brings incidents up to date; safe to share between threads."""

    def __init__(  # noqa: PLR0913 - the composition root hands over one of each
        self,
        *,
        store: Store,
        wakeups: WakeUps,
        target: Target,
        circuit: Circuit,
        retry_horizon: timedelta,
        retention: timedelta,
        now: Callable[[], datetime],
        clock: Clock = time.monotonic,
        together: Together | None = None,
        telemetry: Telemetry = NOTHING,
        trials: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Connect the parts.

        `trials` returns the names of the rules in force that keep alerts from the target for a trial, and raises
        Unavailable if they are not known now; without it no trial is ended by `resync`.
        """
        self._store = store
        self._telemetry = telemetry
        self._intake = Intake(store=store, target=target, together=together or Together(store), now=now)
        self._wakeups = wakeups
        self._target = target
        self._circuit = circuit
        self._retry_horizon = retry_horizon
        self._retention = retention
        self._now = now
        self._clock = clock
        self._trials = trials
        self._worker = Worker(
            store=store,
            wakeups=wakeups,
            target=target,
            circuit=circuit,
            retry_horizon=retry_horizon,
            now=now,
            telemetry=telemetry,
        )

    def receive(self, ruling: Ruling, *, deadline: Deadline) -> Result:
        """Render an alert as the rules want it and take it in; raises as `take`."""
        content = self._target.render(ruling)
        notification = received_at(notification_of(ruling.alert, ruling.wording), self._now())
        return self.take(News.of(notification, content, ruling), deadline=deadline)

    def take(self, news: News, *, deadline: Deadline) -> Result:
        """Remember `news` durably and, if there is room and time, bring the incident up to date.

        Repeating it is harmless, because news that says nothing new changes nothing.

        Raises:
            Unavailable: storage did not answer; nothing is promised.
            Conflict: other processes kept changing the row; nothing is promised.
        """
        with self._circuit.slot(wait=timedelta(0)) as has_slot:
            has_room = has_slot and self._circuit.admits_webhooks
            holder = uuid.uuid4().hex if has_room else ""
            lease_until = self._now() + deadline.left + LEASE_MARGIN
            with self._telemetry.span("remember", Role.CLIENT):
                row, is_news = self._intake.remember(
                    news,
                    holder=holder,
                    lease_until=lease_until,
                    deadline=deadline,
                    traceparent=self._telemetry.traceparent(),
                )
            self._telemetry.describe(alert_key=row.key)
            if not is_news:
                return self._repeated(row, news)
            is_ours = bool(holder) and row.work.lease_holder == holder
            due = lease_until + timedelta(seconds=1) if is_ours else self._next_look(row)
            wake_up = self._wake(row.key, delay=due - self._now())
            if not is_ours:
                return Result(outcome=Outcome.ACCEPTED, record=row)
            attempt = Attempt.of(row, deadline=deadline, next_wake_up=(wake_up, due))
            try:
                result = self._worker.work(attempt)
            except TemporaryError as error:
                # The notification is durable by now, so the caller is told of no failure.
                log.warning("%s stays with its wake-up: %s", attempt.row.key, error)
                return Result(outcome=Outcome.ACCEPTED, record=attempt.row)
            if not result.record.awaits_work:
                # A wake-up that cannot be taken back comes, finds the row settled, and is done with.
                with suppress(TemporaryError):
                    self._wakeups.take_back(wake_up)
            return result

    def reconcile(self, key: str, *, wake_up_id: str) -> None:
        """Look at `key` because the wake-up `wake_up_id` came. When this returns, the wake-up is done with.

        Raises:
            Unavailable: storage did not answer; the wake-up is still needed.
            NewerVersion: only a newer version of this program may work on the row; the wake-up is still needed.
            Conflict: other processes kept changing the row; the wake-up is still needed.
        """
        for _ in range(_ATTEMPTS_TO_WRITE):
            try:
                row = self._store.read(key)
            except LeadsNowhere:
                return
            except Damaged as error:
                log.error("%s; its key goes on with the next notification", error)
                return
            if row is None or not row.awaits_work or row.work.counts_on_another(wake_up_id, self._now()):
                return
            with suppress(Conflict):
                with self._telemetry.span("reconcile", Role.CONSUMER, parent=row.work.traceparent, alert_key=key):
                    self._look_at(row)
                if self._circuit.takes_return():
                    self._wake_waiting()
                return
        raise Conflict(f"the row {key} keeps changing")

    def resync(self) -> None:
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

    # Rows that no wake-up would reach any more.

    def _wake_overdue(self) -> None:
        """Give another wake-up to the rows whose wake-up is lost, because later ones have come already."""
        worked_up_to = self._worked_up_to()
        self._telemetry.tell(Metric.QUEUE_AGE, (self._now() - worked_up_to).total_seconds())
        due_before = worked_up_to - WAKE_UP_GRACE
        overdue = list(islice(self._store.awaiting_work(due_before=due_before), RESYNC_LIMIT))
        self._each_alone(overdue, lambda row: self._postpone(row, FIRST_RETRY))
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
        self._each_alone(expired[:LAST_ATTEMPTS], lambda row: self._postpone(row, LEAST_DELAY))
        tried = [self._tries(row) for row in others[:SCOUTS]]
        if any(tried):
            self._wake_waiting()

    def _tries(self, row: Record) -> bool:
        """Look at a row that waits; return whether the target worked."""
        try:
            result = self._look_at(row)
        except TemporaryError as error:
            log.warning("%s could not be tried: %s", row.key, error)
            return False
        # A row that was parked now was refused for good: the target worked then too.
        return result is not None and (result.record.work.is_parked or result.record.work.failing_since is None)

    def _wake_waiting(self) -> None:
        """Wake the rows that waited for the target: first those that were never tried, the oldest of them first."""
        self._circuit.takes_return()
        now = self._now()
        # A row that waits for the end of an outage must not wait for the end of its pause too. A row that waits longer
        # does so because the target asked for it.
        waiting = self._store.waiting(due_before=now + LONGEST_PAUSE, limit=RESYNC_LIMIT)
        delays = {row.key: RETURN_WINDOW * place / len(waiting) for place, row in enumerate(waiting)}
        self._each_alone(waiting, lambda row: self._postpone(_woken(row, now), delays[row.key]))
        if waiting:
            log.warning("%d alerts that waited for %s are woken", len(waiting), self._circuit.name)

    def _expire(self) -> None:
        """End what fires by our clock where Azure never ends it and a rule wants it closed."""
        now = self._now()
        expired = list(islice(self._store.expired(before=now), RESYNC_LIMIT))
        self._each_alone(expired, lambda row: self._postpone(expire(row, now), LEAST_DELAY))

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
        self._each_alone(rows, lambda row: self._postpone(bring_in(row, now), LEAST_DELAY))
        if rows:
            log.warning("resync: the trial of %d alerts is over, and they become incidents", len(rows))

    def _each_alone(self, rows: Iterable[Record], change: Callable[[Record], None]) -> None:
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

    def _purge_settled(self) -> None:
        """Delete the rows of alerts that have long been over."""
        settled = self._store.idle_since(changed_before=self._now() - self._retention)
        self._each_alone(islice(settled, PURGE_LIMIT), self._store.delete)

    def _purge_groups(self) -> None:
        """Delete what leads to groups that are gone."""
        self._store.purge_groups(changed_before=self._now() - self._retention, limit=PURGE_LIMIT)

    def _purge_never_ending(self) -> None:
        """Look at the incidents of alerts that have long fired and said nothing."""
        now = self._now()
        found = self._store.idle_firing(changed_before=now - self._retention, looked_before=now - LOOK_AGAIN)
        found = (row for row in found if not row.desired.is_shadowed)
        self._each_alone(list(islice(found, LOOKS_LIMIT)), self._purge_if_closed)

    def _purge_if_closed(self, row: Record) -> None:
        """Delete the row of an alert that Azure never ends once people have closed or deleted its incident.

        Raises:
            Unavailable: storage or the target did not answer.
        """
        with self._circuit.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot or self._circuit.paused_for():
                return
            try:
                is_over = self._worker.is_over(row, deadline=self._within(LOOK_BUDGET))
            except Rejected as error:
                # The row stays, and the target is asked about it again next week.
                log.warning("%s is kept: %s", row.key, error)
                is_over = False
        with suppress(Conflict):
            if is_over:
                self._store.delete(row)
            else:
                self._store.replace(row.with_work(replace(row.work, looked_at=self._now())))

    # Answering.

    def _repeated(self, row: Record, news: News) -> Result:
        """Answer a notification that said nothing new; it may repeat one that was not answered."""
        if news.ignored_by or (row.is_settled and row.desired.is_shadowed):
            return Result(outcome=Outcome.IGNORED, record=row)
        if row.is_settled and not row.work.is_parked:
            return Result(outcome=Outcome.UNCHANGED, record=row)
        now = self._now()
        if row.work.is_parked:
            # Azure Monitor still wants an answer, and may be told 202 only if the target will be asked once more.
            with suppress(Conflict):
                row = self._store.replace(row.replayed(now))
        if not row.work.wake_up_id or now >= row.work.wake_up_at + WAKE_UP_GRACE:
            self._wake(row.key, delay=self._next_look(row) - now)
        return Result(outcome=Outcome.ACCEPTED, record=row)

    def _next_look(self, row: Record) -> datetime:
        """Return when a worker may look at a row: now, unless it is leased or on hold."""
        now = self._now()
        return max(row.work.free_at(now), row.rests_until(now))

    # Working.

    def _look_at(self, row: Record) -> Result | None:
        """Reconcile a row that awaits work, or have it looked at later; return the result if it was reconciled.

        Raises:
            Conflict: the row changed since it was read; nothing was done.
        """
        now, work = self._now(), row.work
        if work.is_leased(now):
            self._postpone(row, work.free_at(now) - now)
            return None
        if work.woken_at is not None:
            self._circuit.heard_of_success(work.woken_at)
        kind = Kind.READ if row.may_have_incident else Kind.WRITE
        pause, outage = self._circuit.paused_for(kind), self._circuit.outage(kind)
        if row.desired.is_shadowed:
            # It needs nothing of the target.
            pause, outage = timedelta(0), ""
        # A row that waited beyond the horizon gets its last attempt, or it would wait for ever.
        if outage and work.failing_for(now) < self._retry_horizon:
            self._store.replace(row.with_work(work.held(reason=outage, now=now).waiting(until=now + pause)))
            return None
        if pause > LONGEST_STAY and not outage:
            self._store.replace(row.with_work(work.waiting(until=now + pause)))
            return None
        if pause and not outage:
            self._postpone(row, with_jitter(pause))
            return None
        with self._circuit.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot:
                self._postpone(row, FIRST_RETRY)
                return None
            now, deadline = self._now(), self._within(WAKE_UP_BUDGET)
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=now + WAKE_UP_BUDGET + LEASE_MARGIN)
            return self._worker.work(Attempt.of(self._store.replace(leased), deadline=deadline, next_wake_up=None))

    def _postpone(self, row: Record, delay: timedelta) -> None:
        """Have the row looked at later, and let it count on that wake-up alone."""
        # If the message arrives before the row that names it is saved, it is discarded as unknown.
        delay = max(delay, LEAST_DELAY)
        wake_up = self._wake(row.key, delay=delay)
        # A row that changed meanwhile has a wake-up of its own; ours is a stray then.
        with suppress(Conflict):
            work = row.work.awaiting(wake_up_at=self._now() + delay, wake_up_id=wake_up.message_id)
            self._store.replace(row.with_work(work))

    def _wake(self, key: str, *, delay: timedelta) -> WakeUp:
        """Have `key` looked at after `delay`; raises as `WakeUps.send`."""
        with self._telemetry.span("send wake-up", Role.PRODUCER):
            return self._wakeups.send(key, delay=delay)

    def _within(self, span: timedelta) -> Deadline:
        return Deadline.after(span, clock=self._clock)


def _woken(row: Record, now: datetime) -> Record:
    return row.with_work(replace(row.work, woken_at=now))
