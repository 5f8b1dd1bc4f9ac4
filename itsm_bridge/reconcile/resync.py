"""Which rows would no wake-up reach any more?

The timer calls `Resync.run` by way of the reconciler: it wakes the rows whose wake-up is lost and those that waited for
the target, and ends what our clock ends. It reads the index of open rows once, and of the rows those alone that it acts
on; `sweep` sees to it that the index names all of them, and purges what has long been settled. How one row is worked
on is not known here: `look_at` does it.

While the target is away no wake-up is on its way: the row alone says that it waits, and `Resync` wakes it, because the
platform scales by the number of messages in the queue, also of those that are not visible yet, and an outage must not
start instances.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from itsm_bridge.deadline import Clock
from itsm_bridge.errors import TemporaryError
from itsm_bridge.reconcile.attempt import Result
from itsm_bridge.reconcile.backoff import FIRST_RETRY
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.merge import bring_in, expire
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.ports import Store, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.row_by_row import each_alone, each_as_outlined, read_outlined
from itsm_bridge.reconcile.sweep import Sweep
from itsm_bridge.reconcile.waking import LEAST_DELAY, WAKING_LIMIT, Waking, in_line, waits
from itsm_bridge.reconcile.work import Work
from itsm_bridge.reconcile.worker import Worker
from itsm_bridge.telemetry import NOTHING, Metric, Telemetry

log = logging.getLogger(__name__)

#: How many of the rows that wait `resync` tries before it wakes the other rows, and to how many that waited beyond the
#: retry horizon it gives their last attempt.
SCOUTS = 3
LAST_ATTEMPTS = 100

#: How long after its start a process looks for rows that a dead one left behind. Their leases last longer than this, so
#: that nothing is lost by waiting, and processes that start together look once.
COVER_AFTER: Final = timedelta(seconds=8)
#: How many wake-ups that look sends at most; `resync` sees to the others.
COVER_LIMIT: Final = 1000
#: How much the clocks of two processes may differ, with room to spare: both are set by the platform.
_CLOCKS_DIFFER: Final = timedelta(seconds=4)


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
        self._waking = waking
        self._look_at = look_at
        self._retry_horizon = retry_horizon
        self._now = now
        self._telemetry = telemetry
        self._trials = trials
        #: The moment before which a dead worker left what is looked for; a look that began later found it.
        self._left_before = now()
        self._sweep = Sweep(store=store, circuit=circuit, worker=worker, retention=retention, now=now, clock=clock)

    def run(self) -> Sequence[Outline]:
        """Wake the rows that await work and have no wake-up coming; purge some of those long settled.

        Return what the index said of all open rows when the run began. Neither a row that cannot be read or written nor
        a part that fails keeps the other rows and parts from being done.

        Raises:
            Unavailable: storage did not answer for some of it.
        """
        index = self._store.index()
        known = {outline.key: outline for outline in index.outlines}
        parts = [self._wake_overdue, self._try_waiting, self._expire, self._end_trials]
        # What the index does not show now would seem to be missing in it.
        parts += [self._sweep.run] if index.failure is None else []
        failures = [index.failure] if index.failure else []
        for part in parts:
            try:
                part(known)
            except TemporaryError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return index.outlines

    def cover(self) -> None:
        """Send a wake-up for each row that a worker has taken in hand, because that worker may have died.

        A process calls it `COVER_AFTER` its start, because it may have been started in the place of one that died, and
        again as long as it fails. The rows are left as they are, for a row that counts on no wake-up accepts any. Those
        that another process is at just now get one too; it comes after the lease and finds nothing to do. If another
        process began such a look after this one was started, nothing is left to be found.

        A worker may also have died over a wake-up before it had the lease, and the platform hides the message for ten
        minutes then: a row that counts on it counts on another from now on. Any other row that nobody has in hand has a
        wake-up which it does not name, but for a process that died between the two; `run` finds that one.

        Raises:
            Unavailable: storage did not answer for some of them.
            Conflict: other processes keep beginning such a look.
        """
        try:
            if self._store.begin_look(self._now(), unless_since=self._left_before + _CLOCKS_DIFFER):
                self._cover_all()
        except TemporaryError:
            # A look that failed counts as none, although others see that it began.
            self._left_before = self._now()
            raise

    def _cover_all(self) -> None:
        """Send a wake-up for each row that a dead worker may have left; raises as `cover`."""
        index = self._store.index()
        in_hand = sorted((each for each in index.outlines if each.is_in_hand), key=lambda each: each.wake_up_at)
        each_alone(in_hand[:COVER_LIMIT], self._cover)
        left = self._wake_left({outline.key: outline for outline in index.outlines})
        if in_hand or left:
            log.info("%d alerts that a worker has in hand get a wake-up", len(in_hand[:COVER_LIMIT]) + left)
        if index.failure is not None:
            raise index.failure

    def _cover(self, outline: Outline) -> None:
        delay = max(outline.wake_up_at - self._now(), timedelta(0)) + timedelta(seconds=1)
        self._waking.wake(outline.key, delay=delay)

    def _wake_left(self, known: Mapping[str, Outline]) -> int:
        """Give another wake-up to the rows whose own is in the hand of a worker that died; return how many."""
        if not any(outline.is_left(self._now()) for outline in known.values()):
            return 0
        worked_up_to = self._worked_up_to(known)
        return self._wake(known, lambda outline: outline.is_left(worked_up_to), delay=LEAST_DELAY)

    def _wake_overdue(self, known: Mapping[str, Outline]) -> None:
        """Give another wake-up to the rows whose wake-up is lost, because later ones have come already."""
        worked_up_to = self._worked_up_to(known)
        self._telemetry.tell(Metric.QUEUE_AGE, (self._now() - worked_up_to).total_seconds())

        woken = self._wake(known, lambda outline: outline.is_overdue(worked_up_to), delay=FIRST_RETRY)
        if woken:
            log.warning("resync: %d alerts had an overdue wake-up and got another", woken)

    def _wake(self, known: Mapping[str, Outline], is_meant: Callable[[Outline], bool], *, delay: timedelta) -> int:
        """Let the rows that are meant count on another wake-up, those first whose own was due first; return how many.

        Raises:
            Unavailable: storage did not answer.
        """
        meant = sorted(filter(is_meant, known.values()), key=lambda outline: outline.wake_up_at)[:WAKING_LIMIT]
        return each_as_outlined(self._store, meant, is_meant, partial(self._waking.postpone, delay=delay))

    def _worked_up_to(self, known: Mapping[str, Outline]) -> datetime:
        """Return up to which time the wake-ups that were due have come; in a long line they are late and not lost.

        The queue gives out messages about in the order in which they became visible, so its head tells how late it is.
        """
        due = [self._now()]
        for key, message_id in self._wakeups.peek():
            with suppress(TemporaryError):
                counted_on = self._counted_on(key, known)
                if counted_on is not None and counted_on.wake_up_id in ("", message_id):
                    due.append(counted_on.wake_up_at)
        return min(due)

    def _counted_on(self, key: str, known: Mapping[str, Outline]) -> Outline | Work | None:
        """Return what tells of the wake-up that a row counts on: its outline, or itself if it is settled."""
        if key in known or not key:
            return known.get(key)
        row = self._store.read(key)
        return row.work if row is not None else None

    def _try_waiting(self, known: Mapping[str, Outline]) -> None:
        """Try a few of the rows that wait for the target; wake the other rows if it works again."""
        now = self._now()
        is_meant = waits(due_before=now)
        waiting = in_line(known.values(), is_meant)
        # A row that waited beyond the horizon gets its last attempt, or it would wait for ever.
        expired = [outline for outline in waiting if outline.failing_for(now) >= self._retry_horizon]
        others = [outline for outline in waiting if outline.failing_for(now) < self._retry_horizon]
        last_attempt = partial(self._waking.postpone, delay=LEAST_DELAY)
        each_as_outlined(self._store, expired[:LAST_ATTEMPTS], is_meant, last_attempt)
        tried = [self._tries(outline, is_meant) for outline in others[:SCOUTS]]
        if any(tried):
            self._waking.wake_waiting()

    def _tries(self, outline: Outline, is_meant: Callable[[Outline], bool]) -> bool:
        """Look at a row that waits; return whether the target worked."""
        try:
            row = read_outlined(self._store, outline, is_meant)
            result = self._look_at(row) if row is not None else None
        except TemporaryError as error:
            log.warning("%s could not be tried: %s", outline.key, error)
            return False
        # A row that was parked now was refused for good: the target worked then too.
        return result is not None and (result.record.work.is_parked or result.record.work.failing_since is None)

    def _expire(self, known: Mapping[str, Outline]) -> None:
        """End what fires by our clock where Azure never ends it and a rule wants it closed."""
        now = self._now()

        def is_meant(outline: Outline) -> bool:
            return outline.has_expired(now)

        expired = list(filter(is_meant, known.values()))[:WAKING_LIMIT]
        each_as_outlined(
            self._store, expired, is_meant, lambda row: self._waking.postpone(expire(row, now), LEAST_DELAY)
        )

    def _end_trials(self, known: Mapping[str, Outline]) -> None:
        """Bring in what fires on trial by a rule that is gone, or that says something else by now."""
        on_trial = [outline for outline in known.values() if outline.is_on_trial]
        if self._trials is None or not on_trial:
            return
        # What storage cannot tell ends no trial: this raises then.
        trials, now = self._trials(), self._now()

        def is_over(outline: Outline) -> bool:
            return outline.is_on_trial and outline.shadowed_by not in trials

        over = list(filter(is_over, on_trial))[:WAKING_LIMIT]
        ended = each_as_outlined(
            self._store, over, is_over, lambda row: self._waking.postpone(bring_in(row, now), LEAST_DELAY)
        )
        if ended:
            log.warning("resync: the trial of %d alerts is over, and they become incidents", ended)
