"""May we call the target now?

The reconciler asks here before a webhook or a wake-up calls the target, and the worker reports what came of each call.
The health check asks and reports too. Nothing is called here.

*Bulkhead*: a process reconciles at most so many keys at once, each with one request in flight (`slots`).
*Pause*: no thread of this process calls the target for as long as it asked us to wait.
*Outage*: when the target fails for several alerts and succeeds for none, no thread calls it for a while either. Then a
few alerts try again, wake-ups before webhooks. However many alerts wait, a target that is away is asked a handful of
times every few minutes, and the log tells when it goes and when it is back. Reads and writes are counted apart, because
a target that shows its incidents and changes none (a read-only database, a rule that hangs) is away all the same.
*Slow target*: when time runs out for several alerts before the target has answered, webhooks leave it to the wake-ups
for a while.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from itsm_bridge.reconcile.backoff import backoff
from itsm_bridge.reconcile.slots import Place, Slots, Wait, wait_for
from itsm_bridge.telemetry import NOTHING, Metric, Telemetry

log = logging.getLogger(__name__)

#: For how many different alerts the target must fail before all alerts wait, the first time and each time after that.
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
    """The kind of a request to the target."""

    READ = "read"
    WRITE = "write"


@dataclass(slots=True)
class _Count:
    """How the target fares with one kind of request."""

    #: The keys that the target failed for since it last succeeded, those that it failed for since the last pause, and
    #: those that have a trouble of their own.
    failed: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)

    @property
    def are_few(self) -> bool:
        return len(self.failed | self.troubled) < TROUBLED_KEYS

    def blame_keys(self) -> None:
        """Blame the keys that failed, if they are few, and not the target."""
        if self.are_few:
            self.troubled |= self.failed
        self.failed.clear()
        self.failing.clear()


class Circuit:
    """The slots, pauses and outages of one process, shared by all its threads."""

    def __init__(
        self,
        *,
        slots: int,
        line: int = 0,
        now: Callable[[], datetime],
        name: str = "the target",
        telemetry: Telemetry = NOTHING,
        wait: Wait = wait_for,
    ) -> None:
        """Begin with all `slots` free and no outage.

        Args:
            slots: How many keys are worked on at once.
            line: How many webhooks may wait for a slot.
            now: Our clock, aware UTC.
            name: What the log calls the target.
            telemetry: Who is told how many are worked on.
            wait: How a thread waits for its turn.
        """
        self.name = name
        self._telemetry = telemetry
        self._slots = Slots(slots, line=line, wait=wait)
        self._now = now
        self._lock = threading.Lock()
        self._counts = {kind: _Count() for kind in Kind}
        self._asked_until: datetime | None = None
        self._out_until: datetime | None = None
        self._slow_until: datetime | None = None
        #: The kind of request that failed when the present outage began, and when a request of any kind last failed.
        self._out_kind = Kind.WRITE
        self._failed_at: datetime | None = None
        #: The keys whose attempt ran out of time.
        self._late: set[str] = set()
        #: How many pauses of an outage there were since the target last succeeded.
        self._pauses = 0
        self._reason = ""
        #: Whether an outage ended and no caller of `takes_return` was told of it yet.
        self._is_back = False

    @contextmanager
    def slot(self, *, wait: timedelta) -> Iterator[bool]:
        """Hold a slot for the block, waiting for one at most `wait`; yields whether there was one."""
        with self._slots.place() as place:
            has_slot = place is not None and place.comes_up(within=wait)
            with self.in_flight() if has_slot else nullcontext():
                yield has_slot

    def place(self) -> AbstractContextManager[Place | None]:
        """Return a place of a webhook in the line for a slot, for a block; None if too many wait already."""
        return self._slots.place(if_few_wait=True)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Tell that a key is worked on for the block."""
        self._telemetry.tell(Metric.IN_FLIGHT)
        try:
            yield
        finally:
            self._telemetry.tell(Metric.IN_FLIGHT, -1)

    def pause(self, span: timedelta) -> None:
        """Let no thread call for `span` from now, because the target asked so; a longer pause under way stays."""
        until = self._now() + span
        with self._lock:
            self._asked_until = max(self._asked_until or until, until)

    def failed(self, key: str, reason: str, kind: Kind = Kind.WRITE) -> None:
        """Count a failure of the target for `key`."""
        now = self._now()
        with self._lock:
            count = self._counts[kind]
            self._failed_at = now
            if key in count.troubled:
                return
            count.failed.add(key)
            # A request that was under way when a pause began says nothing of the time after it.
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
        """Count a success of the target for `key`. A read that succeeds does not tell that writes do."""
        with self._lock:
            count, reads = self._counts[kind], self._counts[Kind.READ]
            # While many writes fail, one slow read and a good one after it say nothing of the outage.
            had_failed = kind is self._out_kind or len(count.failed) >= OUTAGE_KEYS
            if kind is Kind.WRITE and reads.are_few:
                # A target that can be written can be read: a few incidents that cannot have a trouble of their own.
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
        """Return whether an outage ended since the last call: then the caller wakes the alerts that waited for it."""
        with self._lock:
            is_back, self._is_back = self._is_back, False
        return is_back

    def ran_out(self, key: str) -> None:
        """Count that the time of an attempt was not enough for the target: it is slow, or does not answer."""
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
        """Return for how long no attempt may begin with a request of this kind; zero if one may begin now."""
        now = self._now()
        with self._lock:
            return max(_left(self._asked_until, now), self._out_for(kind, now))

    def outage(self, kind: Kind = Kind.READ) -> str:
        """Return why no attempt may begin with such a request, if that is only because the target failed; else ""."""
        now = self._now()
        with self._lock:
            return self._reason if self._out_for(kind, now) and not _left(self._asked_until, now) else ""

    def _out_for(self, kind: Kind, now: datetime) -> timedelta:
        # An attempt that begins with a read writes afterwards, so that failing writes stop both kinds. An attempt that
        # creates without a look may go on while nothing can be read.
        is_meant = self._out_kind is Kind.WRITE or kind is Kind.READ
        return _left(self._out_until, now) if is_meant else _NO_TIME

    def _ended(self) -> None:
        self._pauses = 0
        self._out_until = None
        self._is_back = True


def _left(until: datetime | None, now: datetime) -> timedelta:
    return _NO_TIME if until is None else max(until - now, _NO_TIME)
