"""How does an incident come to say what Azure Monitor says?

The webhook, the queue trigger and the timer come in here. The work under a lease is in `worker`, and what a
notification changes is decided in `merge`.

    receive(alert)      the webhook: remember it durably, then reconcile it if its turn comes soon
    reconcile(key)      a wake-up: look at this key
    resync()            the timer: wake the rows that no wake-up would reach any more

1. The webhook is not answered before the row is written, and the incident is settled or a wake-up is on its way. A
   crash anywhere leaves a row that awaits work: with a wake-up, or found by Azure Monitor's repetition, by the next
   process that starts, or by `resync`.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the worker that holds the lease works on a key: it calls the target and writes the observed part of the row.
   Webhooks may write the desired part meanwhile, and the purge may look at an incident without a lease.
4. A lease outlives every request made under it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.azure_monitor.notification import notification_of, received_at
from itsm_bridge.deadline import Clock, Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, TemporaryError, Unavailable
from itsm_bridge.reconcile.attempt import Attempt, Outcome, Result
from itsm_bridge.reconcile.background import Background
from itsm_bridge.reconcile.backoff import FIRST_RETRY, with_jitter
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.endings import Endings
from itsm_bridge.reconcile.giving_back import GivingBack
from itsm_bridge.reconcile.intake import Intake
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.ports import Store, Target, WakeUp, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.resync import Resync
from itsm_bridge.reconcile.slots import Place
from itsm_bridge.reconcile.sweep import SLOT_PATIENCE
from itsm_bridge.reconcile.together import Together
from itsm_bridge.reconcile.waking import Waking
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.reconcile.worker import Worker
from itsm_bridge.rules.ruling import Ruling
from itsm_bridge.telemetry import NOTHING, Role, Telemetry

log = logging.getLogger(__name__)

#: How long the target may take within an HTTP call, which must be answered within 5 s, storage included.
INLINE_BUDGET = timedelta(seconds=3.2)
#: How long the target may take for a wake-up: two slow requests. If its worker dies, the next one waits for so long.
WAKE_UP_BUDGET = timedelta(seconds=20)
#: How much longer than its budget a lease lasts, because clocks differ and storage takes its time.
LEASE_MARGIN = timedelta(seconds=5)
#: How long a webhook waits for its turn, and how much time must be left for the target then.
LINE_PATIENCE = timedelta(seconds=1.5)
LEFT_FOR_WORK = timedelta(seconds=1.2)
#: When a wake-up comes for a row that this process goes on with, and how much later for each row that waits before it:
#: it finds the row settled, unless the process died.
HANDED_OVER = timedelta(seconds=15)
TURN = timedelta(seconds=0.1)
#: A row does not wait out a longer pause with a message in the queue, because the platform counts messages that are not
#: visible yet as work and would start instances for them.
LONGEST_STAY = timedelta(minutes=1)

_ATTEMPTS_TO_WRITE = 5


@dataclass(slots=True)
class _HandedOver:
    """A row that this process goes on with, and its wake-up once that is sent."""

    row: Record
    wake_up: WakeUp | None = None


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
        background: Background | None = None,
        telemetry: Telemetry = NOTHING,
        trials: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Connect the parts.

        `background` goes on with the alerts that found no slot; without it they are left to their wake-ups.

        `trials` returns the names of the rules in force that keep alerts from the target for a trial, and raises
        Unavailable if they are not known now; without it no trial is ended by `resync`.
        """
        self._store = store
        self._telemetry = telemetry
        self._giving_back = GivingBack(store=store, background=background, now=now)
        self._intake = Intake(
            store=store,
            target=target,
            together=together or Together(store),
            giving_back=self._giving_back,
            now=now,
        )
        self._wakeups = wakeups
        self._target = target
        self._circuit = circuit
        self._background = background
        self._retry_horizon = retry_horizon
        self._now = now
        self._clock = clock
        self._waking = Waking(store=store, wakeups=wakeups, circuit=circuit, now=now, telemetry=telemetry)
        self._endings = Endings(
            store=store,
            waking=self._waking,
            circuit=circuit,
            retry_horizon=retry_horizon,
            now=now,
            telemetry=telemetry,
        )
        self._worker = Worker(target=target, circuit=circuit, endings=self._endings, now=now)
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

    def news_of(self, ruling: Ruling, *, recovered: str = "") -> News:
        """Return what an alert says, rendered for the target as the rules want it; `take` takes it in.

        `recovered` tells people how it was found although no call brought it; "" if one did.
        """
        content = self._target.render(ruling)
        notification = received_at(notification_of(ruling.alert, ruling.wording), self._now())
        return News.of(notification, content, ruling).found(recovered)

    def take(self, news: News, *, deadline: Deadline) -> Result:
        """Remember `news` durably and, if there is room and time, bring the incident up to date.

        Repeating it is harmless, because news that says nothing new changes nothing.

        Raises:
            Unavailable: storage did not answer; nothing is promised.
            Conflict: other processes kept changing the row; nothing is promised.
        """
        with self._place_for(news) as place:
            holder = uuid.uuid4().hex if place is not None and self._circuit.admits_webhooks else ""
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
            if place is None or not holder or row.work.lease_holder != holder:
                return self._left_to_wake_up(row, goes_on=not news.recovered)
            if not place.comes_up(within=timedelta(0)):
                self._expect(row)
                if not place.comes_up(within=min(LINE_PATIENCE, deadline.left - LEFT_FOR_WORK)):
                    return self._given_back(row)
            with self._circuit.in_flight():
                return self._worked(row, deadline)

    def _place_for(self, news: News) -> AbstractContextManager[Place | None]:
        """Return a place in the line of the webhooks, None for what goes to its end."""
        # What was found waits for nobody's answer, and nothing passes the alerts that were answered 202.
        has_backlog = self._background is not None and self._background.waiting > 0
        return nullcontext(None) if news.recovered or has_backlog else self._circuit.place()

    def _worked(self, row: Record, deadline: Deadline) -> Result:
        """Work on a row that this webhook has leased; what is not done within its time is left to a wake-up."""
        try:
            return self._attempted(row, deadline)
        except TemporaryError as error:
            # The worker could not write down how its attempt ended, and may not have sent a wake-up.
            log.warning("%s is left to a wake-up: %s", row.key, error)
            self._waking.wake(row.key, delay=self._next_look(row) - self._now())
            return Result(outcome=Outcome.ACCEPTED, record=row)

    def _given_back(self, row: Record) -> Result:
        """Leave a row to a wake-up that this webhook has leased and not worked on, because its turn did not come."""
        return self._left_to_wake_up(self._giving_back.now(row.key, row.work.lease_holder, row=row) or row)

    def _left_to_wake_up(self, row: Record, *, goes_on: bool = True) -> Result:
        """Send a wake-up before the row is promised; it comes later if this process goes on with the row at once.

        It may not go on with what was found in Azure's list, because nobody waits for that, and a command that looks
        there ends soon.

        Raises:
            Unavailable: the queue did not answer; nothing is promised.
        """
        delay, background = self._next_look(row) - self._now(), self._background
        handed = _HandedOver(row=row)
        goes_on = goes_on and delay <= timedelta(0) and self._circuit.admits_webhooks
        ahead = background.waiting if background is not None else 0
        if goes_on:
            self._expect(row)
        if goes_on and background is not None and background.hand_over(partial(self._go_on, handed)):
            delay = HANDED_OVER + TURN * ahead
        handed.wake_up = self._waking.wake(row.key, delay=delay)
        return Result(outcome=Outcome.ACCEPTED, record=row)

    def _go_on(self, handed: _HandedOver) -> None:
        """Reconcile a row whose webhook is answered 202; whatever comes of it, its wake-up is on its way.

        If none could be sent, the webhook is answered 503 and Azure Monitor repeats it, which changes nothing here.
        """
        row = handed.row
        if not self._circuit.admits_webhooks:
            return
        try:
            with self._span_of(row):
                result = self._look_at(row, patience=HANDED_OVER)
            if result is not None and not result.record.awaits_work and handed.wake_up is not None:
                self._wakeups.take_back(handed.wake_up)
        except Conflict:
            # Another notification or worker was there meanwhile, and goes on with it.
            return
        except TemporaryError as error:
            log.warning("%s stays with its wake-up: %s", row.key, error)

    def _expect(self, row: Record) -> None:
        """Let the target know what will be looked for once it is this row's turn."""
        self._target.expect({name: row.desired.links[name] for name in row.missing_links})

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
                with self._span_of(row):
                    self._look_at(row)
                if self._circuit.takes_return():
                    self._waking.wake_waiting()
                return
        raise Conflict(f"the row {key} keeps changing")

    def resync(self) -> Sequence[Outline]:
        """Wake the rows that no wake-up would reach, and purge; return what is open, and raise, as `Resync.run`."""
        return self._resync.run()

    def cover(self) -> None:
        """Send wake-ups for the rows that a process left behind which died; raises as `Resync.cover`."""
        self._resync.cover()

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

    def _span_of(self, row: Record) -> AbstractContextManager[None]:
        """Return the step of a trace that goes on with the one in which the row was told its last news."""
        return self._telemetry.span("reconcile", Role.CONSUMER, parent=row.work.traceparent, alert_key=row.key)

    def _look_at(self, row: Record, *, patience: timedelta = SLOT_PATIENCE) -> Result | None:
        """Reconcile a row that awaits work, or have it looked at later; return the result if it was reconciled.

        It waits for a slot for as long as its `patience` lasts.

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
        self._expect(row)
        with self._circuit.slot(wait=patience) as has_slot:
            if not has_slot:
                self._waking.postpone(row, FIRST_RETRY)
                return None
            now, deadline = self._now(), self._within(WAKE_UP_BUDGET)
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=now + WAKE_UP_BUDGET + LEASE_MARGIN)
            return self._attempted(self._leased(leased), deadline)

    def _attempted(self, row: Record, deadline: Deadline) -> Result:
        """Work on a row that is leased; raises as `Worker.work`.

        What the worker could not write down is written in the background, because its caller has no time left.
        """
        attempt = Attempt.of(row, deadline=deadline)
        try:
            return self._worker.work(attempt)
        except Unavailable:
            if self._background is not None:
                self._background.begin(partial(self._endings.let_go, attempt))
            raise

    def _leased(self, row: Record) -> Record:
        """Write a row with a lease; a write that the library repeated, because no answer came, is recognised."""
        try:
            return self._store.replace(row)
        except Conflict:
            known = self._store.read(row.key)
            if known is None or known.work.lease_holder != row.work.lease_holder:
                raise
            return known
        except Unavailable:
            self._giving_back.soon(row.key, row.work.lease_holder)
            raise

    def _within(self, span: timedelta) -> Deadline:
        return Deadline.after(span, clock=self._clock)
