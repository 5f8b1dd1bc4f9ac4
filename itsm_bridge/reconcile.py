"""How does an incident come to say what Azure Monitor says?

The way in for everybody who learns that something is to be done about a key; the work itself is done in `run`:

    receive(notification)   remember it durably, then reconcile at once if there is room and time
    reconcile(key)          a wake-up: look at this key
    resync()                wake what nobody would wake any more

1. Nothing is answered before the row is written and a wake-up is on its way. A crash anywhere leaves either no answer
   or a wake-up; `resync` finds the row if even that was lost.
2. Desired and observed state are read anew each time; a wake-up says nothing about what to do.
3. Only the holder of the lease calls ServiceNow for a key and writes the observed half of its row. Others may write
   the desired half meanwhile.
4. A lease outlives every request made under it.
"""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice

from itsm_bridge.cmdb import Cmdb
from itsm_bridge.errors import Conflict, TemporaryError, Unavailable
from itsm_bridge.merge import first_record, merge
from itsm_bridge.notification import Notification
from itsm_bridge.pressure import Pressure
from itsm_bridge.record import WAKE_UP_GRACE, Record
from itsm_bridge.retry import FIRST_RETRY, PARADE, spread, turn
from itsm_bridge.run import Outcome, Result, Run, Runner
from itsm_bridge.servicenow import ServiceNow
from itsm_bridge.store import AlertStore
from itsm_bridge.wakeups import WakeUp, WakeUps

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

_ATTEMPTS_TO_WRITE = 5


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
        """Wake what awaits work and has no wake-up coming; once an hour, purge what has long been settled.

        Raises:
            Unavailable: storage did not answer.
        """
        now = self._now()
        overdue = list(islice(self._store.awaiting_work(due_before=now - WAKE_UP_GRACE), RESYNC_LIMIT))
        for row in overdue:
            self._postpone(row, FIRST_RETRY)
        if overdue:
            log.warning("resync: %d alerts had an overdue wake-up and got another", len(overdue))
        if now.minute < _PURGING_MINUTES:
            for row in islice(self._store.idle_since(changed_before=now - self._retention), PURGE_LIMIT):
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

    def _look_at(self, row: Record) -> None:
        """Reconcile a row that awaits work, or have it looked at later.

        Raises:
            Conflict: the row changed since it was read; nothing was done.
        """
        now = self._now()
        if row.is_leased(now):
            self._postpone(row, self._free_at(row) - now)
            return
        pause, outage = self._pressure.paused_for(), self._pressure.outage
        # A row whose time is up gets its last attempt, or it would wait for ever.
        if outage and row.failing_for(now) < self._retry_horizon:
            self._postpone(row.held(reason=outage, now=now), pause + self._turn(row, now))
            return
        if pause and not outage:
            self._postpone(row, spread(pause))
            return
        with self._pressure.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot:
                self._postpone(row, FIRST_RETRY)
                return
            now = self._now()
            deadline = now + WAKE_UP_BUDGET
            leased = row.leased(holder=uuid.uuid4().hex, now=now, until=deadline + LEASE_MARGIN)
            self._runner.run(Run.of(self._store.replace(leased), deadline=deadline, cover=None))

    def _turn(self, row: Record, now: datetime) -> timedelta:
        """Return how long after a pause a row tries: first who never tried, the oldest first, then who waited longest.

        One that fails again and again may have a trouble of its own, and must not be the one that tries for all.
        """
        if row.attempted_at is None:
            return turn(row.failing_for(now), self._retry_horizon)
        return PARADE + turn(now - row.attempted_at, self._retry_horizon)

    def _postpone(self, row: Record, delay: timedelta) -> None:
        """Have the row looked at later, and let it count on that wake-up alone."""
        # A wake-up that overtakes the write of its row would be taken for a stray.
        delay = max(delay, LEAST_DELAY)
        wake_up = self._wakeups.send(row.key, delay=delay)
        # A row that changed meanwhile has a wake-up of its own; ours is a stray then.
        with suppress(Conflict):
            self._store.replace(row.awaiting(wake_up_at=self._now() + delay, wake_up_id=wake_up.message_id))
