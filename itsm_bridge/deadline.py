"""How much time is left?

One `Deadline` goes with the work from the trigger to the socket: the function makes it, the loop asks it before each
request, and the transport waits no longer than it allows. Clocks that are set do not move it.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Self

from itsm_bridge.errors import Unavailable

#: Seconds from any origin, never set back.
Clock = Callable[[], float]

#: A request is not begun with less time than this, because it could only end in doubt.
LEAST_TIME = timedelta(seconds=0.3)


class TimeIsUp(Unavailable):
    """A request was not even begun."""


class Deadline(NamedTuple):
    """A moment on a monotonic clock."""

    ends_at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, span: timedelta, *, clock: Clock = time.monotonic) -> Self:
        """Return the moment that is `span` from now."""
        return cls(clock() + span.total_seconds(), clock)

    @property
    def left(self) -> timedelta:
        """The time until then; never negative."""
        return timedelta(seconds=max(0.0, self.ends_at - self.clock()))

    def within(self, span: timedelta) -> "Deadline":
        """Return this deadline, or the one `span` from now if that comes first."""
        return Deadline(min(self.ends_at, self.clock() + span.total_seconds()), self.clock)

    def for_request(self, most: timedelta) -> "Deadline":
        """Return the deadline of the next request: this one, or the one `most` from now.

        Raises:
            TimeIsUp: it is too little to begin a request with.
        """
        if self.left < LEAST_TIME:
            raise TimeIsUp("the time is up")
        return self.within(most)
