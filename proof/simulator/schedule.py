"""Which task runs when? One at a time, in the order of the virtual clock, the same for the same seed.

The history schedules what is to come, and the processes sleep here. Work is ordinary blocking code in threads of its
own; a thread runs only while it holds the baton, and gives it back when it sleeps or ends. Nothing waits for real time.
"""

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count


class Killed(BaseException):
    """The process of this task is gone: nothing catches this."""


class Task:
    """One piece of blocking work."""

    def __init__(self, schedule: "Schedule", work: Callable[[], None], is_dead: Callable[[], bool]) -> None:
        self._schedule = schedule
        self._work = work
        self._is_dead = is_dead
        self._turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None

    def resume(self) -> None:
        """Hand over the baton and wait until it comes back."""
        self._schedule.current = self
        if not self._thread.ident:
            self._thread.start()
        else:
            self._turn.release()
        self._schedule.baton.acquire()
        self._schedule.current = None
        if self.error is not None:
            raise self.error

    def sleep(self, span: timedelta) -> None:
        """Let `span` pass.

        Raises:
            Killed: the process died meanwhile.
        """
        self.check()
        self._schedule.after(span, self.resume)
        self._schedule.baton.release()
        self._turn.acquire()
        self.check()

    def check(self) -> None:
        """Go on only if the process lives.

        Raises:
            Killed: it does not.
        """
        if self._is_dead():
            raise Killed

    def _run(self) -> None:
        try:
            self.check()
            self._work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised again where the history is played
            self.error = error
        finally:
            self._schedule.baton.release()


class Schedule:
    """The virtual clock and everything that is still to come."""

    def __init__(self, begin: datetime) -> None:
        self.now = begin
        self.begin = begin
        self.baton = threading.Semaphore(0)
        self.current: Task | None = None
        self._coming: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = count()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return (self.now - self.begin).total_seconds()

    def after(self, span: timedelta, call: Callable[[], None]) -> None:
        """Call `call` after `span`."""
        heapq.heappush(self._coming, (self.now + span, next(self._numbers), call))

    def start(self, work: Callable[[], None], *, is_dead: Callable[[], bool] = lambda: False) -> None:
        """Run blocking `work` from now on; it ends early when `is_dead`."""
        self.after(timedelta(0), Task(self, work, is_dead).resume)

    def sleep(self, span: timedelta) -> None:
        """Let `span` pass for the running task."""
        assert self.current is not None
        self.current.sleep(span)

    def run(self, *, until: datetime) -> bool:
        """Let happen what is due until then; return whether anything is left."""
        while self._coming and self._coming[0][0] <= until:
            self.now, _, call = heapq.heappop(self._coming)
            call()
        if self._coming:
            self.now = until
        return bool(self._coming)
