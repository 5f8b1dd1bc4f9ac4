"""Which task runs when? One at a time, in the order of the virtual clock, the same for the same seed.

The history schedules what is to come, and the processes sleep here. Work is ordinary blocking code in threads, of which
one alone runs at any moment. Whichever sleeps or ends lets happen what is due next, and hands over only when that is
the turn of another one: most that sleep are the next to wake up, and go on without a switch of threads. Nothing waits
for real time.
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
        self.schedule = schedule
        self._work = work
        self._is_dead = is_dead
        #: What runs it; None before it starts.
        self.thread: _Thread | None = None
        #: Called when its sleep is over: for how long it sleeps on, None if it does not.
        self.sleeps_on: Callable[[], timedelta | None] = _wakes_up

    def sleep(self, span: timedelta) -> None:
        """Let `span` pass.

        Raises:
            Killed: the process died meanwhile.
        """
        self.check()
        self.schedule.wait(self, span)
        self.check()

    def sleep_until(self, is_so: Callable[[], bool], *, step: timedelta, span: timedelta) -> bool:
        """Let time pass until `is_so`, which is asked every `step`, or until `span` is over; return whether it is so.

        Raises:
            Killed: the process died meanwhile.
        """
        left, is_over = span, False

        def sleeps_on() -> timedelta | None:
            nonlocal left, is_over
            if self._is_dead():
                return None
            is_over = is_so()
            if is_over or left <= timedelta(0):
                return None
            sleep = min(step, left)
            left -= step
            return sleep

        self.check()
        first = sleeps_on()
        if first is not None:
            # Whoever runs asks for it meanwhile, because its own thread would have to be waited for each time.
            self.sleeps_on = sleeps_on
            self.schedule.wait(self, first)
            self.sleeps_on = _wakes_up
            self.check()
        return is_over

    def check(self) -> None:
        """Go on only if the process lives.

        Raises:
            Killed: it does not.
        """
        if self._is_dead():
            raise Killed

    def run(self) -> "Task | None":
        """Do the work and let happen what is due after it; return whose turn it is then, None if that of `run`."""
        self.schedule.current = self
        try:
            self.check()
            self._work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised again where the history is played
            self.schedule.error = error
        return self.schedule.go_on()

    def hand_over(self) -> None:
        """Let it go on, or begin, in its own thread."""
        if self.thread is None:
            self.thread = _IDLE.pop() if _IDLE else _Thread()
            self.thread.task = self
        self.thread.turn.release()


class Schedule:
    """The virtual clock and everything that is still to come."""

    def __init__(self, begin: datetime) -> None:
        self.now = begin
        self.begin = begin
        self.current: Task | None = None
        #: What ends the history: it is raised by `run`.
        self.error: BaseException | None = None
        self._turn = _shut()
        self._until = begin
        self._coming: list[tuple[datetime, int, Task | Callable[[], None]]] = []
        self._numbers = count()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return (self.now - self.begin).total_seconds()

    def after(self, span: timedelta, call: Task | Callable[[], None]) -> None:
        """Call `call` after `span`; or let a task go on."""
        heapq.heappush(self._coming, (self.now + span, next(self._numbers), call))

    def start(self, work: Callable[[], None], *, is_dead: Callable[[], bool] = lambda: False) -> None:
        """Run blocking `work` from now on; it ends early when `is_dead`."""
        self.after(timedelta(0), Task(self, work, is_dead))

    def sleep(self, span: timedelta) -> None:
        """Let `span` pass for the running task."""
        assert self.current is not None
        self.current.sleep(span)

    def sleep_until(self, is_so: Callable[[], bool], *, step: timedelta, span: timedelta) -> bool:
        """Let time pass for the running task until `is_so`, or until `span` is over; return whether it is so."""
        assert self.current is not None
        return self.current.sleep_until(is_so, step=step, span=span)

    def run(self, *, until: datetime) -> bool:
        """Let happen what is due until then; return whether anything is left."""
        self._until = until
        following = self.go_on()
        if following is not None:
            following.hand_over()
            self._await_turn()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if self._coming:
            self.now = until
        return bool(self._coming)

    def wait(self, task: Task, span: timedelta) -> None:
        """Let `span` pass for this task, which runs."""
        self.after(span, task)
        following = self.go_on()
        if following is not task:
            self.give(following)
            assert task.thread is not None
            task.thread.turn.acquire()
        self.current = task

    def go_on(self) -> Task | None:
        """Let happen what is due, in whichever thread runs; return whose turn it is then, None if that of `run`."""
        self.current = None
        try:
            while self.error is None and self._coming and self._coming[0][0] <= self._until:
                self.now, _, coming = heapq.heappop(self._coming)
                if not isinstance(coming, Task):
                    coming()
                elif (more := coming.sleeps_on()) is None:
                    return coming
                else:
                    self.after(more, coming)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the history is played
            self.error = error
        return None

    def give(self, following: Task | None) -> None:
        """Hand over to a task, or to whoever called `run`."""
        if following is None:
            self._turn.release()
        else:
            following.hand_over()

    def _await_turn(self) -> None:
        has_turn = False
        try:
            has_turn = self._turn.acquire()
        finally:
            if not has_turn:
                # A test took too long, or somebody pressed Ctrl-C: whichever thread runs now is the last one.
                self._until = self.begin - timedelta(days=1)


class _Thread:
    """A thread that runs tasks, one after the other: to start one takes longer than most tasks do."""

    def __init__(self) -> None:
        self.turn = _shut()
        self.task: Task | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self.turn.acquire()
            self._work()

    def _work(self) -> None:
        """Run the task that it was given, and each that begins when the one before it has ended."""
        task, self.task = self.task, None
        assert task is not None
        schedule = task.schedule
        following = task.run()
        while following is not None and following.thread is None:
            following.thread = self
            following = following.run()
        # Whoever goes on may want a thread.
        _IDLE.append(self)
        schedule.give(following)


#: The threads that have no task; only what runs takes one or puts one back.
_IDLE: list[_Thread] = []


def _wakes_up() -> timedelta | None:
    return None


def _shut() -> threading.Lock:
    """Return a lock that lets through once for each time that it is released."""
    lock = threading.Lock()
    lock.acquire()
    return lock
