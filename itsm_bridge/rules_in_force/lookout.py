"""When does a process look which rules are in force?

The webhook asks `current` for each alert, `health` asks `check`. Which rules those are is decided in `choice`.

1. A process that has not read the stored rules yet does not take them for absent. Its first call waits, and is answered
   503 if storage does not answer: the row of the alert lies in the same table and could not have been written either.
2. After that no call waits: a thread looks again every `LOOK_AGAIN` while calls come. If storage does not answer, what
   is in force stays.
3. A process that nobody called for `IDLE` stops looking. Its next call waits as the first one does, but goes on with
   what was in force last.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Generic, TypeVar

from itsm_bridge.errors import BridgeError, Unavailable
from itsm_bridge.rules_in_force.choice import Choice, InForce

log = logging.getLogger(__name__)

#: How often a process looks for other rules while it is called. Together with the look itself it is less than the half
#: minute that is promised.
LOOK_AGAIN: Final = timedelta(seconds=15)
#: How old a look may be before a call waits for the next one.
BELIEVED: Final = timedelta(seconds=30)
#: For how long a call waits. Storage has 1.5 seconds to begin an answer, and Azure Monitor gets its own within 5.
PATIENCE: Final = timedelta(seconds=2)
#: How long after its last call a process still looks.
IDLE: Final = timedelta(minutes=10)

_R = TypeVar("_R")


class RulesInForce(Generic[_R]):
    """The rules of one process; safe to share between threads."""

    def __init__(
        self,
        choice: Choice[_R],
        *,
        look_again: timedelta = LOOK_AGAIN,
        idle: timedelta = IDLE,
        clock: Callable[[], float] = time.monotonic,
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Remember who chooses; nothing is read yet.

        Args:
            choice: Chooses the rules.
            look_again: How often a process looks while it is called.
            idle: How long after its last call it still looks.
            clock: Seconds from any origin.
            troubled: Is told at each look why the rules in force are not what operators want.
        """
        self._choice = choice
        self._troubled = troubled
        self._look_again = look_again
        self._idle = idle
        self._clock = clock
        self._looking = threading.Lock()
        #: Guards all that follows, and tells those who wait that a look has ended.
        self._looked = threading.Condition()
        self._known: InForce[_R] | None = None
        #: Why the rules in force are not what operators want.
        self._trouble = ""
        #: Why the last look told nothing; "" if it did.
        self._failure = ""
        self._looks = 0
        self._looked_at = float("-inf")
        self._asked_at = float("-inf")
        #: Who looks again and again; None if nobody does. A thread that died is nobody.
        self._watcher: threading.Thread | None = None
        self._wake = threading.Event()

    def current(self) -> InForce[_R]:
        """Return the rules in force. Waits at the first call, and at the first after a long silence.

        Raises:
            Unavailable: the stored rules were never read, and storage does not answer.
        """
        with self._looked:
            self._asked_at = self._clock()
            if not self._is_fresh():
                looks = self._looks
                self._watch()
                self._looked.wait_for(lambda: self._looks != looks, PATIENCE.total_seconds())
            elif not self._is_watched():
                self._watch()
            return self._known_now()

    @property
    def trouble(self) -> str:
        """Why the rules in force are not those that operators want, as last seen; "" if they are."""
        with self._looked:
            return self._trouble

    def check(self) -> None:
        """Make sure that the rules in force are those that operators want; looks if the last look is too old.

        Raises:
            Unavailable: they are not, because a text is broken or was never read; the message says which and why.
        """
        with self._looked:
            is_fresh = self._is_fresh()
        if not is_fresh:
            self.look()
        with self._looked:
            self._known_now()
            if self._trouble:
                raise Unavailable(self._trouble)

    def look(self) -> None:
        """Look once which rules are to be in force, and put them in force; what storage cannot tell now stays."""
        with self._looking:
            try:
                known, trouble = self._choice.made()
            except BridgeError as error:
                self._end_look(failure=str(error))
                return
            self._end_look(known=known, trouble=trouble)
            self._choice.settle()

    def _end_look(self, *, known: InForce[_R] | None = None, trouble: str = "", failure: str = "") -> None:
        if failure and failure != self._failure:
            log.warning("whether there are other rules is not known: %s", failure)
        if trouble:
            self._troubled(trouble)
        with self._looked:
            self._failure = failure
            if known is not None:
                self._known, self._trouble = known, trouble
            self._looks += 1
            self._looked_at = self._clock()
            self._looked.notify_all()

    def _known_now(self) -> InForce[_R]:
        if self._known is None:
            raise Unavailable(f"the rules in force are not known: {self._failure or 'storage has not answered yet'}")
        return self._known

    def _is_fresh(self) -> bool:
        return self._known is not None and self._clock() - self._looked_at <= BELIEVED.total_seconds()

    def _watch(self) -> None:
        """See to it that a thread looks: now, if there is none or it sleeps."""
        if self._is_watched():
            self._wake.set()
            return
        self._watcher = threading.Thread(target=self._keep_looking, name="rules", daemon=True)
        self._watcher.start()

    def _is_watched(self) -> bool:
        return self._watcher is not None and self._watcher.is_alive()

    def _keep_looking(self) -> None:
        while not self._ends_watch():
            self._wake.clear()
            self.look()
            self._wake.wait(self._look_again.total_seconds())

    def _ends_watch(self) -> bool:
        """Whether nobody called for long; then the next call starts another thread."""
        with self._looked:
            is_over = self._clock() - self._asked_at > self._idle.total_seconds()
            if is_over:
                self._watcher = None
            return is_over
