"""Who goes on with an alert after its webhook was answered?

A webhook that found no slot was answered 202, and a wake-up is on its way. The queue is looked into every few seconds
only, so the reconciler hands the alert to these threads as well: they wait for a slot in its place. If the process dies
or too many wait, the wake-up does the work.

The threads are none of the worker's, so that they keep no call waiting; the price is that the Functions host drops
their log lines, which belong to no call (https://github.com/Azure/azure-functions-python-worker/issues/1860). The row
remembers each step.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from typing import Protocol

from itsm_bridge.errors import place_of

log = logging.getLogger(__name__)

#: How many alerts wait here at most: as many as are worked off before the wake-up of the last one comes. What finds no
#: room is left to the queue, which other processes look into as well.
MOST_WAITING = 300


class Background(Protocol):
    """Goes on with work after its caller went away."""

    @property
    def waiting(self) -> int:
        """How much work waits that nobody has begun."""

    def begin(self, work: Callable[[], None]) -> bool:
        """Do `work` soon, in the order of the calls; return whether there was room for it."""


class Threads:
    """A few threads, started when they are needed; safe to share between threads."""

    def __init__(self, count: int) -> None:
        """Begin with no thread; there will be `count` at most."""
        self._count = count
        self._started = 0
        self._lock = threading.Lock()
        self._waiting: Queue[Callable[[], None]] = Queue(MOST_WAITING)

    @property
    def waiting(self) -> int:
        """How much work waits that no thread has begun."""
        return self._waiting.qsize()

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
