"""May we call the target now?

The webhooks and the worker ask before they call; the worker tells what came of it.

A bulkhead: at most so many reconciles at once per process, each with one request in flight.
A pause: what the target asked us to wait, nobody in this process calls it.
An outage: when it fails for several alerts and for none it succeeds, nobody calls it for a while either, then a few
try again, wake-ups before webhooks. However many alerts wait, an instance that is away is asked a handful of times
every few minutes, and the log tells when it goes and when it is back. Reads and writes are told apart: an instance
that shows its incidents and changes none (a database that is read-only, a rule that hangs) is away all the same.
Too slow for webhooks: when their short time runs out for several, they leave the target to the wake-ups for a while.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from itsm_bridge.reconcile.backoff import backoff

log = logging.getLogger(__name__)

#: For how many different alerts the target must fail before all of them wait, the first time and each time after that.
OUTAGE_KEYS = 3
#: If fewer than this many alerts fail while others succeed, the fault lies with those alerts; they stop counting
#: towards an outage until they succeed.
TROUBLED_KEYS = 10
#: How long after a pause only wake-ups try. Flex Consumption runs HTTP functions in processes that never receive queue
#: messages; after this time webhooks try the target too.
WAKE_UPS_FIRST = timedelta(minutes=2)
#: How long webhooks do not try after the target was too slow for them.
SLOW = timedelta(minutes=1)

_NO_TIME = timedelta(0)


class Kind(StrEnum):
    """What is asked of the target."""

    READ = "read"
    WRITE = "write"


@dataclass(slots=True)
class _Count:
    """How the target fares with one kind of request."""

    #: The keys that it failed for since it last succeeded; those since the last pause; and those that have troubles of
    #: their own.
    failed: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)

    @property
    def are_few(self) -> bool:
        return len(self.failed | self.troubled) < TROUBLED_KEYS

    def blame_keys(self) -> None:
        """Take what failed, if it is little, for troubles of those keys and not of the target."""
        if self.are_few:
            self.troubled |= self.failed
        self.failed.clear()
        self.failing.clear()


class Circuit:
    """The slots of one process, shared by all its threads."""

    def __init__(self, *, slots: int, now: Callable[[], datetime], name: str = "the target") -> None:
        """Begin with all `slots` free and no outage; `name` is what the log calls the target."""
        self.name = name
        self._slots = threading.BoundedSemaphore(slots)
        self._now = now
        self._lock = threading.Lock()
        self._counts = {kind: _Count() for kind in Kind}
        self._asked_until: datetime | None = None
        self._out_until: datetime | None = None
        self._slow_until: datetime | None = None
        #: What failed when the outage that lasts began, and when it last failed.
        self._out_kind = Kind.WRITE
        self._failed_at: datetime | None = None
        #: The keys whose webhook ran out of time.
        self._late: set[str] = set()
        #: How many pauses there were since it last succeeded.
        self._pauses = 0
        self._reason = ""
        #: Whether an outage ended that nobody was told of yet.
        self._is_back = False

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
        """Let nobody call for `span` from now, because the target asked so; a longer pause that is under way stays."""
        until = self._now() + span
        with self._lock:
            self._asked_until = max(self._asked_until or until, until)

    def failed(self, key: str, reason: str, kind: Kind = Kind.WRITE) -> None:
        """Count that the target did not do its part for `key`."""
        now = self._now()
        with self._lock:
            count = self._counts[kind]
            self._failed_at = now
            if key in count.troubled:
                return
            count.failed.add(key)
            # What was under way when a pause began says nothing of the time after it.
            if _left(self._out_until, now):
                return
            count.failing.add(key)
            if len(count.failing) < OUTAGE_KEYS:
                return
            count.failing.clear()
            self._out_until = until = now + backoff(self._pauses)
            self._out_kind = kind
            self._pauses += 1
            self._reason = reason
            level = logging.WARNING if self._pauses == 1 else logging.INFO
        log.log(level, "%s is away, nobody calls it before %s: %s", self.name, until.isoformat(), reason)

    def succeeded(self, key: str, kind: Kind = Kind.WRITE) -> None:
        """Count that the target did its part for `key`. That it can be read does not tell that it can be changed."""
        with self._lock:
            count, reads = self._counts[kind], self._counts[Kind.READ]
            # One slow read among many that fail to write, and a good one after it, say nothing of an outage.
            had_failed = kind is self._out_kind or len(count.failed) >= OUTAGE_KEYS
            if kind is Kind.WRITE and reads.are_few:
                # An instance that can be changed can be read: a few incidents that cannot have a trouble of their own.
                had_failed = had_failed or self._out_kind is Kind.READ
                reads.blame_keys()
            count.blame_keys()
            count.troubled.discard(key)
            was_away = self._pauses > 0 and had_failed
            if was_away:
                self._ended()
        if was_away:
            log.warning("%s is back", self.name)

    def heard_of_success(self, at: datetime) -> None:
        """Believe that the target was back at `at`, as another process found, unless it failed here since."""
        with self._lock:
            was_away = self._pauses > 0 and (self._failed_at is None or self._failed_at < at)
            if was_away:
                for count in self._counts.values():
                    count.failed.clear()
                    count.failing.clear()
                self._ended()
        if was_away:
            log.warning("%s is back, as another process found", self.name)

    def takes_return(self) -> bool:
        """Return whether an outage ended since this was last asked: the caller wakes the alerts that waited for it."""
        with self._lock:
            is_back, self._is_back = self._is_back, False
        return is_back

    def ran_out(self, key: str) -> None:
        """Count that the short time of a webhook was not enough for the target: it is slow, or does not answer."""
        until = self._now() + SLOW
        with self._lock:
            self._late.add(key)
            if len(self._late) >= OUTAGE_KEYS:
                self._late.clear()
                self._slow_until = until

    @property
    def admits_webhooks(self) -> bool:
        """Whether a webhook should call the target itself, rather than leave it to a wake-up."""
        now = self._now()
        with self._lock:
            is_away = self._out_until is not None and now < self._out_until + WAKE_UPS_FIRST
            return not (is_away or _left(self._slow_until, now) or _left(self._asked_until, now))

    def paused_for(self, kind: Kind = Kind.READ) -> timedelta:
        """Return for how long nobody may call who begins with a request of this kind; zero if anybody may."""
        now = self._now()
        with self._lock:
            return max(_left(self._asked_until, now), self._out_for(kind, now))

    def outage(self, kind: Kind = Kind.READ) -> str:
        """Why nobody may call who begins with such a request, if it is only because the target failed; else ""."""
        now = self._now()
        with self._lock:
            return self._reason if self._out_for(kind, now) and not _left(self._asked_until, now) else ""

    def _out_for(self, kind: Kind, now: datetime) -> timedelta:
        # A worker that reads writes afterwards; one that creates without a look may go on while nothing can be read.
        is_meant = self._out_kind is Kind.WRITE or kind is Kind.READ
        return _left(self._out_until, now) if is_meant else _NO_TIME

    def _ended(self) -> None:
        self._pauses = 0
        self._out_until = None
        self._is_back = True


def _left(until: datetime | None, now: datetime) -> timedelta:
    return _NO_TIME if until is None else max(until - now, _NO_TIME)
