"""How does an incident come to say what Azure Monitor says?

The webhook, the queue trigger and the timer come in here. The work under a lease is in `worker`, and what a
notification changes is decided in `merge`.

    receive(alert)      the webhook: remember it durably, then reconcile at once if there is room and time
    reconcile(key)      a wake-up: look at this key
    resync()            the timer: wake the rows that no wake-up would reach any more

1. The webhook is not answered before the row is written and a wake-up is on its way. A crash anywhere leaves either no
   answer or a wake-up; if the wake-up is lost too, `resync` finds the row.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the worker that holds the lease works on a key: it calls the target and writes the observed part of the row.
   Webhooks may write the desired part meanwhile, and the purge may look at an incident without a lease.
4. A lease outlives every request made under it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from itsm_bridge.azure_monitor.notification import notification_of, received_at
from itsm_bridge.deadline import Clock, Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, TemporaryError
from itsm_bridge.reconcile.attempt import Attempt, Outcome, Result
from itsm_bridge.reconcile.backoff import FIRST_RETRY, with_jitter
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.intake import Intake
from itsm_bridge.reconcile.ports import Store, Target, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.resync import SLOT_PATIENCE, Resync, Waking
from itsm_bridge.reconcile.together import Together
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.reconcile.worker import Worker
from itsm_bridge.rules.ruling import Ruling
from itsm_bridge.telemetry import NOTHING, Role, Telemetry

log = logging.getLogger(__name__)

#: How long the target may take within an HTTP call, which must be answered within 5 s, storage included.
INLINE_BUDGET = timedelta(seconds=3.2)
#: How long the target may take for a wake-up.
WAKE_UP_BUDGET = timedelta(seconds=30)
#: How much longer than its budget a lease lasts, because clocks differ and storage takes its time.
LEASE_MARGIN = timedelta(seconds=8)
#: A row does not wait out a longer pause with a message in the queue, because the platform counts messages that are not
#: visible yet as work and would start instances for them.
LONGEST_STAY = timedelta(minutes=1)

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
        self._now = now
        self._clock = clock
        self._worker = Worker(
            store=store,
            wakeups=wakeups,
            target=target,
            circuit=circuit,
            retry_horizon=retry_horizon,
            now=now,
            telemetry=telemetry,
        )
        self._waking = Waking(store=store, wakeups=wakeups, circuit=circuit, now=now, telemetry=telemetry)
        self._resync = Resync(
            store=store,
            wakeups=wakeups,
            circuit=circuit,
            waking=self._waking,
            worker=self._worker,
            look_at=self._look_at,
            retry_horizon=retry_horizon,
            retention=retention,
            now=now,
            clock=clock,
            telemetry=telemetry,
            trials=trials,
        )

    def receive(self, ruling: Ruling, *, deadline: Deadline, recovered: str = "") -> Result:
        """Render an alert as the rules want it and take it in; raises as `take`.

        `recovered` tells people how it was found although no call brought it; "" if one did.
        """
        content = self._target.render(ruling)
        notification = received_at(notification_of(ruling.alert, ruling.wording), self._now())
        return self.take(News.of(notification, content, ruling).found(recovered), deadline=deadline)

    def take(self, news: News, *, deadline: Deadline) -> Result:
        """Remember `news` durably and, if there is room and time, bring the incident up to date.

        Repeating it is harmless, because news that says nothing new changes nothing.

        Raises:
            Unavailable: storage did not answer; nothing is promised.
            Conflict: other processes kept changing the row; nothing is promised.
        """
        with self._circuit.slot(wait=timedelta(0)) as has_slot:
            # What was found waits for nobody's answer: it leaves the room to calls, and a wake-up brings it in.
            has_room = has_slot and self._circuit.admits_webhooks and not news.recovered
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
            wake_up = self._waking.wake(row.key, delay=due - self._now())
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
                    self._waking.wake_waiting()
                return
        raise Conflict(f"the row {key} keeps changing")

    def resync(self) -> None:
        """Wake the rows that no wake-up would reach, and purge what has long been settled; raises as `Resync.run`."""
        self._resync.run()

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
            self._waking.wake(row.key, delay=self._next_look(row) - now)
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
            self._waking.postpone(row, work.free_at(now) - now)
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
            self._waking.postpone(row, with_jitter(pause))
            return None
        with self._circuit.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot:
                self._waking.postpone(row, FIRST_RETRY)
                return None
            now, deadline = self._now(), self._within(WAKE_UP_BUDGET)
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=now + WAKE_UP_BUDGET + LEASE_MARGIN)
            return self._worker.work(Attempt.of(self._store.replace(leased), deadline=deadline, next_wake_up=None))

    def _within(self, span: timedelta) -> Deadline:
        return Deadline.after(span, clock=self._clock)
