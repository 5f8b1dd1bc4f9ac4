"""How is a row looked at later?

The reconciler sends wake-ups here for webhooks and for rows that it puts off, `endings` for attempts, and `resync` for
rows that no wake-up would reach. When that is needed is decided there.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from itsm_bridge.errors import Conflict
from itsm_bridge.reconcile.backoff import LAST_RETRY
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.ports import Store, WakeUp, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.row_by_row import each_as_outlined
from itsm_bridge.telemetry import NOTHING, Role, Telemetry

log = logging.getLogger(__name__)

#: How soon a wake-up that a row counts on may come, because storage may take a few seconds to write the row.
LEAST_DELAY: Final = timedelta(seconds=5)
#: How many rows are woken together at most: that fits into the time of a function.
WAKING_LIMIT: Final = 1000
#: Over how long the rows that waited together are woken.
RETURN_WINDOW: Final = timedelta(seconds=30)
#: Longer than any pause of an outage, jitter included.
LONGEST_PAUSE: Final = LAST_RETRY + timedelta(minutes=2)


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
        is_meant = waits(due_before=now + LONGEST_PAUSE)
        index = self._store.index()
        waiting = in_line(index.outlines, is_meant)
        delays = {outline.key: RETURN_WINDOW * place / len(waiting) for place, outline in enumerate(waiting)}
        woken = each_as_outlined(
            self._store, waiting, is_meant, lambda row: self.postpone(_woken(row, now), delays[row.key])
        )
        if woken:
            log.warning("%d alerts that waited for %s are woken", woken, self._circuit.name)
        if index.failure is not None:
            raise index.failure


def waits(*, due_before: datetime) -> Callable[[Outline], bool]:
    """Return what tells of an outline whether its row waits for the target until before that moment."""
    return lambda outline: outline.waits_until_before(due_before)


def in_line(outlines: Iterable[Outline], is_meant: Callable[[Outline], bool]) -> Sequence[Outline]:
    """Return the outlines that are meant, at most `WAKING_LIMIT`, by their place in the line.

    Those that were never attempted come first, the oldest first, then those that were attempted longest ago: a row that
    fails again and again may have a trouble of its own, and must not be the one that is tried for all.
    """
    return sorted(filter(is_meant, outlines), key=lambda outline: outline.place)[:WAKING_LIMIT]


def _woken(row: Record, now: datetime) -> Record:
    return row.with_work(replace(row.work, woken_at=now))
