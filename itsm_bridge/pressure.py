"""May we call ServiceNow now?

A bulkhead: at most so many reconciles at once per process, each with one request in flight.
And a pause: what ServiceNow asked us to wait, nobody in this process calls it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta


class Pressure:
    """The slots of one process, shared by all its threads."""

    def __init__(self, *, slots: int, now: Callable[[], datetime]) -> None:
        self._slots = threading.BoundedSemaphore(slots)
        self._now = now
        self._paused_until: datetime | None = None

    @contextmanager
    def slot(self, *, wait: timedelta) -> Iterator[bool]:
        """Hold a slot for the block, waiting for one at most `wait`; yields whether there was one."""
        has_slot = self._slots.acquire(timeout=wait.total_seconds())
        try:
            yield has_slot
        finally:
            if has_slot:
                self._slots.release()

    def pause(self, span: timedelta) -> None:
        """Let nobody call for `span` from now; a longer pause that is under way stays."""
        until = self._now() + span
        if self._paused_until is None or until > self._paused_until:
            self._paused_until = until

    def paused_for(self) -> timedelta:
        """Return how long the pause still lasts; zero if there is none."""
        if self._paused_until is None:
            return timedelta(0)
        return max(self._paused_until - self._now(), timedelta(0))
