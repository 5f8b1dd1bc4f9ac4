"""How does an incident come to say what Azure Monitor says?

The way in for everybody who learns that something is to be done about a key; the work itself is done in `run`:

    receive(notification)   remember it durably, then reconcile at once if there is room and time
    reconcile(key)          a wake-up: look at this key
    resync()                wake what nobody would wake any more

1. Nothing is answered before the row is written and a wake-up is on its way. A crash anywhere leaves either no answer
   or a wake-up; `resync` finds the row if even that was lost.
   While ServiceNow is away the row alone says that it waits, and `resync` brings it back: the platform scales by the
   number of messages in the queue, also of those that nobody can see yet, and an outage must not start instances.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the holder of the lease calls ServiceNow for a key and writes the observed half of its row. Others may write
   the desired half meanwhile.
4. A lease outlives every request made under it.
"""

import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from itsm_bridge.azure_monitor.notification import Notification
from itsm_bridge.errors import Conflict, Damaged, TemporaryError, Unavailable
from itsm_bridge.reconcile.attempt import Outcome, Result, Run, Runner
from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY, with_jitter
from itsm_bridge.reconcile.circuit import Kind, Pressure
from itsm_bridge.reconcile.merge import first_record, merge
from itsm_bridge.reconcile.record import WAKE_UP_GRACE, Record
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.incidents import ServiceNow
from itsm_bridge.storage.alert_table import AlertStore
from itsm_bridge.storage.wakeup_queue import WakeUp, WakeUps

log = logging.getLogger(__name__)

#: How long ServiceNow may take within an HTTP call, which must be answered within 5 s, storage included.
INLINE_BUDGET = timedelta(seconds=3.2)
#: How much of it may be gone before the notification is durable: storage that slow is as good as down.
STORAGE_BUDGET = timedelta(seconds=2.2)
#: How long ServiceNow may take for a wake-up.
WAKE_UP_BUDGET = timedelta(seconds=30)
#: How much longer than its budget a lease lasts: clocks differ, and storage takes its time.
LEASE_MARGIN = timedelta(seconds=8)
#: How soon a wake-up that a row is to count on may come: storage may take a few seconds to write the row.
LEAST_DELAY = timedelta(seconds=5)
#: How long a wake-up waits for a slot before it comes back later.
SLOT_PATIENCE = timedelta(seconds=2)

#: How many rows one resync wakes, and how many one purge deletes, at most: each within the time of a function.
RESYNC_LIMIT = 1000
PURGE_LIMIT = 10_000
#: Within how many minutes of the hour it purges: each look through the table costs, and nothing waits for a purge.
_PURGING_MINUTES = 5

#: How many of the rows that wait `resync` tries before it wakes the others, and to how many whose time is up it gives
#: their last attempt.
SCOUTS = 3
LAST_ATTEMPTS = 100
#: Over how long those who waited together come back.
RETURN_WINDOW = timedelta(seconds=30)
#: A pause that is longer is not waited out in the queue, where messages that nobody can see yet still count as work:
#: the platform would start instances for them.
LONGEST_STAY = timedelta(minutes=1)
#: Longer than any pause of an outage, jitter included.
LONGEST_PAUSE = LAST_RETRY + timedelta(minutes=2)
#: How often it is asked whether the incident of an alert that never ends is closed, and about how many per hour.
LOOK_AGAIN = timedelta(days=7)
LOOKS_LIMIT = 100

_ATTEMPTS_TO_WRITE = 5
_FAILURES_IN_A_ROW = 5


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
        self._pressure = pressure
        self._retry_horizon = retry_horizon
        self._retention = retention
        self._now = now
        self._runner = Runner(
            store=store,
            wakeups=wakeups,
            servicenow=servicenow,
            cmdb=cmdb,
            pressure=pressure,
            retry_horizon=retry_horizon,
            now=now,
        )

    def receive(self, notification: Notification, *, deadline: datetime) -> Result:
        """Remember `notification` durably and, if there is room and time, bring its incident up to date.

        Repeating it is harmless: what says nothing new changes nothing.

        Raises:
            Unavailable: storage did not answer; nothing is promised.
            Conflict: others kept changing the row; nothing is promised.
        """
        with self._pressure.slot(wait=timedelta(0)) as has_slot:
            has_room = has_slot and self._pressure.admits_webhooks
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
            return self._run_inline(Run.of(row, deadline=deadline, cover=(wake_up, due)), wake_up)

    def reconcile(self, key: str, *, wake_up_id: str) -> None:
        """Look at `key` because the wake-up `wake_up_id` came. When this returns, the wake-up is done with.

        Raises:
            Unavailable: storage did not answer; the wake-up is still needed.
            NewerVersion: only a newer version of this program may work on the row; the wake-up is still needed.
            Conflict: others kept changing the row; the wake-up is still needed.
        """
        for _ in range(_ATTEMPTS_TO_WRITE):
            try:
                row = self._store.read(key)
            except Damaged as error:
                log.error("%s; its key goes on with the next notification", error)
                return
            if row is None or not row.awaits_work or row.counts_on_another(wake_up_id, self._now()):
                return
            with suppress(Conflict):
                self._look_at(row)
                if self._pressure.takes_return():
                    self._wake_waiting()
                return
        raise Conflict(f"the row {key} keeps changing")

    def resync(self) -> None:
        """Wake what awaits work and has no wake-up coming; once an hour, purge what has long been settled.

        Neither a row that cannot be read or written nor a part that fails keeps the others from being done.

        Raises:
            Unavailable: storage did not answer for some of it.
        """
        now = self._now()
        parts = [self._wake_overdue, self._try_waiting]
        if now.minute < _PURGING_MINUTES:
            parts += [self._purge_settled, self._purge_never_ending]
        failures = []
        for part in parts:
            try:
                part()
            except TemporaryError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    # What nobody would wake any more.

    def _wake_overdue(self) -> None:
        """Give another wake-up to the rows whose wake-up is lost: those due after it have come already."""
        due_before = self._worked_up_to() - WAKE_UP_GRACE
        overdue = list(islice(self._store.awaiting_work(due_before=due_before), RESYNC_LIMIT))
        self._each_alone(overdue, lambda row: self._postpone(row, FIRST_RETRY))
        if overdue:
            log.warning("resync: %d alerts had an overdue wake-up and got another", len(overdue))

    def _worked_up_to(self) -> datetime:
        """Return until when the wake-ups that were due have come; a long line of them is late and not lost.

        The queue gives out what is visible about in the order in which it became so, and its head tells how late it is.
        """
        due = [self._now()]
        for key, message_id in self._wakeups.peek():
            with suppress(TemporaryError):
                row = self._store.read(key) if key else None
                if row is not None and row.wake_up_id in ("", message_id):
                    due.append(row.wake_up_at)
        return min(due)

    def _try_waiting(self) -> None:
        """Try a few of the rows that wait for ServiceNow; wake the others if it does its part again."""
        waiting = self._store.waiting(due_before=self._now(), limit=RESYNC_LIMIT)
        is_expired = [row.failing_for(self._now()) >= self._retry_horizon for row in waiting]
        # A row whose time is up gets its last attempt, or it would wait for ever.
        expired = [row for row, is_up in zip(waiting, is_expired, strict=True) if is_up]
        others = [row for row, is_up in zip(waiting, is_expired, strict=True) if not is_up]
        self._each_alone(expired[:LAST_ATTEMPTS], lambda row: self._postpone(row, LEAST_DELAY))
        tried = [self._tries(row) for row in others[:SCOUTS]]
        if any(tried):
            self._wake_waiting()

    def _tries(self, row: Record) -> bool:
        """Look at a row that waits; return whether ServiceNow did its part."""
        try:
            result = self._look_at(row)
        except TemporaryError as error:
            log.warning("%s could not be tried: %s", row.key, error)
            return False
        # What it refused for good was parked: it did its part then too.
        return result is not None and (result.record.is_parked or result.record.failing_since is None)

    def _wake_waiting(self) -> None:
        """Wake the rows that waited for ServiceNow to be back: first what was never tried, the oldest of it first."""
        self._pressure.takes_return()
        now = self._now()
        # What waits for the end of an outage must not wait for the end of its pause too; what waits longer does so
        # because ServiceNow asked for it.
        waiting = self._store.waiting(due_before=now + LONGEST_PAUSE, limit=RESYNC_LIMIT)
        delays = {row.key: RETURN_WINDOW * place / len(waiting) for place, row in enumerate(waiting)}
        self._each_alone(waiting, lambda row: self._postpone(replace(row, woken_at=now), delays[row.key]))
        if waiting:
            log.warning("%d alerts that waited for ServiceNow are woken", len(waiting))

    def _each_alone(self, rows: Iterable[Record], change: Callable[[Record], None]) -> None:
        """Change each row, also when others cannot be; give up when storage does not answer for several in a row.

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

    def _purge_never_ending(self) -> None:
        """Look at the incidents of alerts that have long fired and said nothing."""
        now = self._now()
        found = self._store.idle_firing(changed_before=now - self._retention, looked_before=now - LOOK_AGAIN)
        self._each_alone(list(islice(found, LOOKS_LIMIT)), self._purge_if_closed)

    def _purge_if_closed(self, row: Record) -> None:
        """Delete the row of an alert that Azure never ends once people have ended its incident.

        Raises:
            Unavailable: storage or ServiceNow did not answer.
        """
        with self._pressure.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot or self._pressure.paused_for():
                return
            is_over = self._runner.is_over(row)
        with suppress(Conflict):
            if is_over:
                self._store.delete(row)
            else:
                self._store.replace(replace(row, looked_at=self._now()))

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
            try:
                known = None if notification.opens else self._store.read(notification.key)
                with suppress(Conflict):
                    if known is None:
                        first = first_record(notification, self._now())
                        return (first, False) if first.is_settled else (self._store.insert(leased(first)), True)
                self._check_time(in_time)
                known = known or self._store.read(notification.key)
            except Damaged as error:
                self._check_time(in_time)
                log.error("%s; it is set aside, and its key goes on", error)
                restored = leased(first_record(notification, self._now()).restored(self._now()))
                with suppress(Conflict):
                    return self._store.restore(restored), True
                continue
            if known is None:
                continue
            self._check_time(in_time)
            merged = merge(known, notification, self._now())
            if merged is known:
                return known, False
            is_news = merged.revision != known.revision
            with suppress(Conflict):
                return self._store.replace(leased(merged) if is_news else merged), is_news
        raise Conflict(f"the row {notification.key} keeps changing")

    def _check_time(self, in_time: datetime) -> None:
        if self._now() > in_time:
            raise Unavailable("storage is too slow to remember the alert in time")

    def _repeated(self, row: Record) -> Result:
        """Answer a notification that said nothing new: it may have come because nobody answered the first."""
        if row.is_settled and not row.is_parked:
            return Result(outcome=Outcome.UNCHANGED, record=row)
        now = self._now()
        if row.is_parked:
            # Azure Monitor still wants an answer, and may be told 202 only if ServiceNow will be asked once more.
            with suppress(Conflict):
                row = self._store.replace(row.replayed(now))
        if not row.wake_up_id or now >= row.wake_up_at + WAKE_UP_GRACE:
            self._wakeups.send(row.key, delay=self._free_at(row) - now)
        return Result(outcome=Outcome.ACCEPTED, record=row)

    def _free_at(self, row: Record) -> datetime:
        now = self._now()
        return row.leased_until + timedelta(seconds=1) if row.leased_until and row.is_leased(now) else now

    # Running.

    def _run_inline(self, run: Run, wake_up: WakeUp) -> Result:
        """Reconcile within the HTTP call. The notification is durable by now, so no failure is the caller's."""
        try:
            result = self._runner.run(run)
        except TemporaryError as error:
            log.warning("%s stays with its wake-up: %s", run.row.key, error)
            return Result(outcome=Outcome.ACCEPTED, record=run.row)
        if not result.record.awaits_work:
            # If it cannot be taken back it comes, finds the record settled, and is done with.
            with suppress(TemporaryError):
                self._wakeups.take_back(wake_up)
        return result

    def _look_at(self, row: Record) -> Result | None:
        """Reconcile a row that awaits work, or have it looked at later; return what came of it if it was reconciled.

        Raises:
            Conflict: the row changed since it was read; nothing was done.
        """
        now = self._now()
        if row.is_leased(now):
            self._postpone(row, self._free_at(row) - now)
            return None
        if row.woken_at is not None:
            self._pressure.heard_of_success(row.woken_at)
        kind = Kind.READ if row.may_have_incident else Kind.WRITE
        pause, outage = self._pressure.paused_for(kind), self._pressure.outage(kind)
        # A row whose time is up gets its last attempt, or it would wait for ever.
        if outage and row.failing_for(now) < self._retry_horizon:
            self._store.replace(row.held(reason=outage, now=now).waiting(until=now + pause))
            return None
        if pause > LONGEST_STAY and not outage:
            self._store.replace(row.waiting(until=now + pause))
            return None
        if pause and not outage:
            self._postpone(row, with_jitter(pause))
            return None
        with self._pressure.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot:
                self._postpone(row, FIRST_RETRY)
                return None
            now = self._now()
            deadline = now + WAKE_UP_BUDGET
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=deadline + LEASE_MARGIN)
            return self._runner.run(Run.of(self._store.replace(leased), deadline=deadline, cover=None))

    def _postpone(self, row: Record, delay: timedelta) -> None:
        """Have the row looked at later, and let it count on that wake-up alone."""
        # A wake-up that overtakes the write of its row would be taken for a stray.
        delay = max(delay, LEAST_DELAY)
        wake_up = self._wakeups.send(row.key, delay=delay)
        # A row that changed meanwhile has a wake-up of its own; ours is a stray then.
        with suppress(Conflict):
            self._store.replace(row.awaiting(wake_up_at=self._now() + delay, wake_up_id=wake_up.message_id))
