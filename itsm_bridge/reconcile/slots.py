"""Whose turn is it?

The circuit keeps one `Slots` per process: at most so many callers at once, and whoever came first is next. A webhook
takes a place in the line only while few others wait, because each that waits holds a thread that Azure Monitor or a
wake-up may need; a worker that has a thread of its own anyway always does. Nothing is called here.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

#: Waits for an event, at most for a time, and returns whether it came.
Wait = Callable[[threading.Event, timedelta], bool]


def wait_for(event: threading.Event, span: timedelta) -> bool:
    """Wait as threads do."""
    return event.wait(max(span, timedelta(0)).total_seconds())


class Place:
    """A place in the line."""

    def __init__(self, wait: Wait) -> None:
        self.has_slot = threading.Event()
        self._wait = wait

    def comes_up(self, *, within: timedelta) -> bool:
        """Return whether it is this caller's turn now, or by the end of that time."""
        return self.has_slot.is_set() or self._wait(self.has_slot, within)


class Slots:
    """The slots of one process, given out in the order in which callers came; safe to share between threads."""

    def __init__(self, count: int, *, line: int = 0, wait: Wait = wait_for) -> None:
        """Begin with all slots free.

        Args:
            count: How many there are.
            line: How many may wait of those that need not.
            wait: How a caller waits for its turn.
        """
        self._free = count
        self._most_waiting = line
        self._wait = wait
        self._line: deque[Place] = deque()
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """How many slots nobody has or waits for, at this moment."""
        with self._lock:
            return self._free

    @contextmanager
    def place(self, *, if_few_wait: bool = False) -> Iterator[Place | None]:
        """Have a place in the line, or a slot at once, for the block; None if too many wait for one that need not."""
        place = self._taken(if_few_wait=if_few_wait)
        try:
            yield place
        finally:
            if place is not None:
                self._leave(place)

    def _taken(self, *, if_few_wait: bool) -> Place | None:
        with self._lock:
            if if_few_wait and not self._free and len(self._line) >= self._most_waiting:
                return None
            place = Place(self._wait)
            if self._free:
                self._free -= 1
                place.has_slot.set()
            else:
                self._line.append(place)
            return place

    def _leave(self, place: Place) -> None:
        """Give the slot to the next in the line, or leave the line without one."""
        with self._lock:
            if not place.has_slot.is_set():
                self._line.remove(place)
            elif self._line:
                self._line.popleft().has_slot.set()
            else:
                self._free += 1
