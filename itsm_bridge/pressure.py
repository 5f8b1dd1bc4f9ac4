"""May we call ServiceNow now?

A bulkhead: at most so many reconciles at once per process, each with one request in flight.
A pause: what ServiceNow asked us to wait, nobody in this process calls it.
An outage: when it fails for several alerts and for none it succeeds, nobody calls it for a while either, then a few
try again, wake-ups before webhooks. However many alerts wait, an instance that is away is asked a handful of times
every few minutes, and the log tells when it goes and when it is back.
Too slow for webhooks: when their short time runs out for several, they leave ServiceNow to the wake-ups for a while.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from itsm_bridge.retry import backoff

log = logging.getLogger(__name__)

#: For how many different alerts ServiceNow must fail before all of them wait, the first time and each time after that.
OUTAGE_KEYS = 3
#: Of so few that failed while others succeeded, each has a trouble of its own, and counts no more until it is over.
TROUBLED_KEYS = 10
#: How long after a pause only wake-ups try. A process that is given none, as the platform likes it, then tries itself.
WAKE_UPS_FIRST = timedelta(minutes=2)
#: How long webhooks do not try after ServiceNow was too slow for them.
SLOW = timedelta(minutes=1)

_NO_TIME = timedelta(0)


class Pressure:
    """The slots of one process, shared by all its threads."""

    def __init__(self, *, slots: int, now: Callable[[], datetime]) -> None:
        self._slots = threading.BoundedSemaphore(slots)
        self._now = now
        self._lock = threading.Lock()
        self._asked_until: datetime | None = None
        self._out_until: datetime | None = None
        self._slow_until: datetime | None = None
        #: The keys that ServiceNow failed for since it last succeeded; those since the last pause; and those that have
        #: troubles of their own.
        self._failed: set[str] = set()
        self._failing: set[str] = set()
        self._troubled: set[str] = set()
        #: The keys whose webhook ran out of time.
        self._late: set[str] = set()
        #: How many pauses there were since it last succeeded.
        self._pauses = 0
        self._reason = ""

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
        """Let nobody call for `span` from now, because ServiceNow asked so; a longer pause that is under way stays."""
        until = self._now() + span
        with self._lock:
            self._asked_until = max(self._asked_until or until, until)

    def failed(self, key: str, reason: str) -> None:
        """Count that ServiceNow did not do its part for `key`."""
        with self._lock:
            if key in self._troubled:
                return
            self._failed.add(key)
            # What was under way when a pause began says nothing of the time after it.
            if self._left(self._out_until):
                return
            self._failing.add(key)
            if len(self._failing) < OUTAGE_KEYS:
                return
            self._failing.clear()
            self._out_until = until = self._now() + backoff(self._pauses)
            self._pauses += 1
            self._reason = reason
            level = logging.WARNING if self._pauses == 1 else logging.INFO
        log.log(level, "ServiceNow is away, nobody calls it before %s: %s", until.isoformat(), reason)

    def succeeded(self, key: str) -> None:
        """Count that ServiceNow did its part for `key`."""
        with self._lock:
            was_away, self._pauses = self._pauses > 0, 0
            if len(self._failed | self._troubled) < TROUBLED_KEYS:
                self._troubled |= self._failed
            self._troubled.discard(key)
            self._failed.clear()
            self._failing.clear()
            self._out_until = None
        if was_away:
            log.warning("ServiceNow is back")

    def ran_out(self, key: str) -> None:
        """Count that the short time of a webhook was not enough for ServiceNow: it is slow, or does not answer."""
        with self._lock:
            self._late.add(key)
            if len(self._late) >= OUTAGE_KEYS:
                self._late.clear()
                self._slow_until = self._now() + SLOW

    @property
    def admits_webhooks(self) -> bool:
        """Whether a webhook should call ServiceNow itself, rather than leave it to a wake-up."""
        is_away = self._out_until is not None and self._now() < self._out_until + WAKE_UPS_FIRST
        return not (is_away or self._left(self._slow_until) or self._left(self._asked_until))

    def paused_for(self) -> timedelta:
        """Return for how long nobody may call; zero if anybody may."""
        return max(self._left(self._asked_until), self._left(self._out_until))

    @property
    def outage(self) -> str:
        """Why nobody may call, if it is only because ServiceNow failed; else ""."""
        return self._reason if self._left(self._out_until) and not self._left(self._asked_until) else ""

    def _left(self, until: datetime | None) -> timedelta:
        return _NO_TIME if until is None else max(until - self._now(), _NO_TIME)
