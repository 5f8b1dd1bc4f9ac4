"""Who goes on with an alert after its webhook was answered?

A webhook that found no slot is answered 202, with a wake-up on its way. The queue is looked into every few seconds
only, so the reconciler hands the alert to these threads as well: they wait for a slot in its place. If the process dies
or too many wait, the wake-up does the work.

Only a few seconds of alerts wait here, and in a storm a webhook waits for room, for a moment. A process whose processor
time is short would else take in new alerts so fast that the earlier ones hardly get on. To give a lease back after its
caller was answered needs no such room, because it would be missed for minutes.

The threads are none of the worker's, so that they keep no call waiting; the price is that the Functions host drops
their log lines, which belong to no call (https://github.com/Azure/azure-functions-python-worker/issues/1860). The row
remembers each step.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from queue import Full, Queue
from typing import Protocol

from itsm_bridge.errors import place_of

log = logging.getLogger(__name__)

#: How many alerts wait here at most: what four requests at once work off in two and a half seconds, at 150 ms each. The
#: queue has what finds no room, and other processes look into it as well.
MOST_ALERTS = 64
#: How much waits here at most, alerts and all else. A lease that finds no room runs out by itself.
MOST_WAITING = 300


class Background(Protocol):
    """Goes on with work after its caller went away."""

    @property
    def waiting(self) -> int:
        """How much work waits that nobody has begun."""

    def hand_over(self, work: Callable[[], None]) -> bool:
        """Go on with an alert soon, in the order of the calls; return whether there was room, for which this waits."""

    def begin(self, work: Callable[[], None]) -> bool:
        """Do `work` soon, in the order of the calls; return whether there was room for it at once."""


class Threads:
    """A few threads, started when they are needed; safe to share between threads."""

    def __init__(self, count: int, *, patience: timedelta = timedelta(0)) -> None:
        """Begin with no thread; there will be `count` at most. Who hands an alert over waits for `patience` at most."""
        self._count = count
        self._patience = patience
        self._started = 0
        self._lock = threading.Lock()
        self._waiting: Queue[Callable[[], None]] = Queue(MOST_WAITING)
        self._room = threading.Semaphore(MOST_ALERTS)

    @property
    def waiting(self) -> int:
        """How much work waits that no thread has begun."""
        return self._waiting.qsize()

    def hand_over(self, work: Callable[[], None]) -> bool:
        """Go on with an alert soon, in the order of the calls; return whether there was room for it in time."""
        if not self._room.acquire(timeout=self._patience.total_seconds()):
            return False

        def make_room_and_go_on() -> None:
            self._room.release()
            work()

        is_taken = self.begin(make_room_and_go_on)
        if not is_taken:
            self._room.release()
        return is_taken

    def begin(self, work: Callable[[], None]) -> bool:
        """Do `work` soon, in the order of the calls; return whether there was room for it. Its errors are logged."""
        with suppress(Full):
            self._waiting.put_nowait(work)
            self._start_one_more()
            return True
        return False

    def _start_one_more(self) -> None:
        with self._lock:
            if self._started < self._count:
                self._started += 1
                threading.Thread(target=self._work_off, name="reconcile soon", daemon=True).start()

    def _work_off(self) -> None:
        while True:
            work = self._waiting.get()
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the others' work to one less
                log.error("unexpected %s at %s; the wake-up does the work", type(error).__name__, place_of(error))
