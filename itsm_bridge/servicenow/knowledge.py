"""What has this instance shown us that a process which just started should know?

`incidents` and `batch` learn here and ask here; `app` gives it the place where facts are kept, so that what one
process learnt counts for all of them and outlives it. Without such a place facts last as long as the process.

1. What is not known is None, and whoever asks has a way for that. Nothing here fails: a place that does not answer
   leaves facts unknown.
2. A fact ends. A yes does so because instances are cloned and rights are taken away; each answer that shows it again
   moves its end. A no does so because it keeps us from doing what would show a yes: after its end we try once more.
3. The place is read when a process starts and then every few minutes, so that a no of another process is heard of.
   It is written when a fact changes, and once a day while it stays. A thread does both; no alert waits for a write, and
   the first question of a process waits a moment for the first look.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from itsm_bridge.deadline import Clock
from itsm_bridge.errors import BridgeError
from itsm_bridge.facts import Fact, outweighing

log = logging.getLogger(__name__)


class Subject(StrEnum):
    """The things that a process may know of its instance."""

    #: An incident has the sys_id that we chose.
    KEEPS_OUR_SYS_ID = "keeps_our_sys_id"
    #: Several questions may be asked with one request, by the Batch API.
    ANSWERS_BATCHES = "answers_batches"


class InstanceFacts(Protocol):
    """The place where facts about one instance and one account are kept."""

    def known(self) -> Mapping[str, Fact]:
        """Return what is kept, by subject.

        Raises:
            Unavailable: the place did not answer.
        """

    def learn(self, subject: str, fact: Fact) -> Mapping[str, Fact]:
        """Keep `fact` unless what is kept outweighs it; return what is kept then. Idempotent.

        Raises:
            Unavailable: the place did not answer; it may or may not be kept.
            Conflict: other processes kept changing it.
        """


class _Span(NamedTuple):
    """How long a fact is believed after it was last seen."""

    yes: timedelta
    no: timedelta


_BELIEVED: Final[Mapping[Subject, _Span]] = {
    # A wrong yes doubles an incident at worst, so that it must have shown itself within the last month. A no is mended
    # by a person who grants a right, and each week one creation finds out.
    Subject.KEEPS_OUR_SYS_ID: _Span(yes=timedelta(days=30), no=timedelta(days=7)),
    # A wrong yes costs one request. A no is mended as above, and to find out costs one request a day.
    Subject.ANSWERS_BATCHES: _Span(yes=timedelta(days=30), no=timedelta(days=1)),
}

#: How old a fact that is kept may be before the same fact is written again.
_REWRITTEN: Final = timedelta(days=1)

# Seconds, as the clock counts them.
#: How old a look at the place may be, and how soon one that failed is repeated.
_FRESH: Final = 600.0
_RETRY: Final = 60.0
#: How long after its beginning the first look is waited for.
_PATIENCE: Final = 0.5


class Knowledge:
    """What is known of one instance; safe to share between threads."""

    def __init__(
        self,
        place: InstanceFacts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Clock = time.monotonic,
    ) -> None:
        """Know nothing yet; nothing is read before somebody looks or asks.

        Args:
            place: Where facts are kept; None if they last as long as the process.
            now: The time, aware UTC.
            clock: Seconds from any origin, for the age of a look.
        """
        self._place = place
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Mapping[str, Fact] = {}
        self._own: dict[str, Fact] = {}
        #: When the next look is due, by the clock; None if there was none yet.
        self._look_at: float | None = None
        self._first_look_began_at: float | None = None
        self._has_looked = threading.Event()
        #: The facts that wait to be written, and whether a thread writes.
        self._unwritten: dict[Subject, Fact] = {}
        self._is_writing = False
        self._write_at = clock()

    def says(self, subject: Subject) -> bool | None:
        """Return what is known of a subject; None if it is not known. The first call may take half a second."""
        is_known = subject in self._own
        self._look_if_due(patience=0.0 if is_known else _PATIENCE)
        now = self._now()
        with self._lock:
            fact = self._fact(subject)
        return fact.value if fact is not None and fact.is_believed(now) else None

    def learn(self, subject: Subject, *, value: bool) -> None:
        """Remember what an answer showed just now. Returns at once; it is kept soon."""
        now = self._now()
        span = _BELIEVED[subject]
        fact = Fact(value=value, learnt_at=now, believed_until=now + (span.yes if value else span.no))
        with self._lock:
            self._own[subject] = outweighing(self._own.get(subject), fact)
            if self._place is None or not self._is_news(subject, fact):
                return
            self._unwritten[subject] = fact
            if self._is_writing or self._clock() < self._write_at:
                return
            self._is_writing = True
        threading.Thread(target=self._write, name="facts", daemon=True).start()

    def look(self) -> None:
        """Read what is kept. `app` begins with it when a process starts.

        Raises:
            Unavailable: the place did not answer; what was known stays.
        """
        if self._place is None:
            return
        with self._lock:
            began = self._clock()
            if self._first_look_began_at is None:
                self._first_look_began_at = began
            # Whoever asks meanwhile begins no look of its own.
            self._look_at = began + _RETRY
        try:
            kept = self._place.known()
            with self._lock:
                self._kept = kept
                self._look_at = self._clock() + _FRESH
        finally:
            self._has_looked.set()

    def _is_news(self, subject: Subject, fact: Fact) -> bool:
        """Return whether a fact says something else than what is kept, or what is kept is old."""
        kept = self._kept.get(subject)
        is_same = kept is not None and kept.value is fact.value and fact.learnt_at - kept.learnt_at < _REWRITTEN
        return not is_same and outweighing(kept, fact) is fact

    def _fact(self, subject: Subject) -> Fact | None:
        kept, own = self._kept.get(subject), self._own.get(subject)
        if kept is None or own is None:
            return kept or own
        older, newer = sorted((kept, own), key=lambda fact: fact.learnt_at)
        return outweighing(older, newer)

    def _look_if_due(self, *, patience: float) -> None:
        """Begin a look if it is time for one; wait for the first until `patience` seconds after its beginning."""
        if self._place is None:
            return
        with self._lock:
            is_due = self._look_at is None or self._look_at <= self._clock()
            if is_due:
                self._look_at = self._clock() + _RETRY
                if self._first_look_began_at is None:
                    self._first_look_began_at = self._clock()
            began = self._first_look_began_at or 0.0
        if is_due:
            threading.Thread(target=_quietly, args=(self.look,), name="facts", daemon=True).start()
        if not self._has_looked.is_set():
            self._has_looked.wait(max(0.0, began + patience - self._clock()))

    def _write(self) -> None:
        """Write what waits to be written. What cannot be written is tried again when it is learnt again."""
        while True:
            with self._lock:
                if not self._unwritten or self._place is None:
                    self._is_writing = False
                    return
                subject, fact = self._unwritten.popitem()
                place = self._place
            try:
                if not self._has_looked.is_set():
                    self.look()
                with self._lock:
                    if not self._is_news(subject, fact):
                        continue
                kept = place.learn(subject, fact)
            except BridgeError as error:
                log.warning("what was learnt of ServiceNow is not kept for other processes: %s", error)
                with self._lock:
                    self._write_at = self._clock() + _RETRY
                    self._is_writing = False
                return
            with self._lock:
                self._kept = kept


def _quietly(look: Callable[[], None]) -> None:
    try:
        look()
    except BridgeError as error:
        log.warning("what other processes learnt of ServiceNow is not known: %s", error)
