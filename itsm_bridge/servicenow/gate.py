"""How many requests are in flight to the instance at once?

`app` makes one `Gate` per process. Everything that sends to ServiceNow sends through `Gated`, so that reads, writes,
batches, sign-ins and health probes are counted at one place: where a request goes out.

1. At most so many requests are in flight as the gate has permits (`SERVICENOW_MAX_CONCURRENCY`).
2. First come, first served: a permit that is given back goes to whoever waits longest, and to nobody else.
3. A turn is one request. No code asks for a second turn while it has one, so that one permit is enough for everything:
   a sign-in that a request needs has its turn before the request has its own.
4. Who gets no turn in time has sent nothing.

A node runs 4 API requests, lets 50 wait and refuses all others, so that every request of ours is one less of others:
https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/impact/io-semaphores-performance-metrics.md
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from itsm_bridge.deadline import LEAST_TIME, Deadline, TimeIsUp
from itsm_bridge.reconcile.slots import Slots
from itsm_bridge.transport import Received, Transport

#: As many as `SERVICENOW_MAX_CONCURRENCY` may allow; commands, which ask one thing after the other, need no less.
_MOST: Final = 64


class Gate:
    """The permits of one process; safe to share between threads."""

    def __init__(self, permits: int = _MOST) -> None:
        """Begin with all permits free.

        Raises:
            ValueError: nobody would ever have a turn.
        """
        if permits < 1:
            raise ValueError("a gate needs a permit")
        self._turns = Slots(permits)

    @property
    def free(self) -> int:
        """How many permits nobody has or waits for, at this moment."""
        return self._turns.free

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Hold a permit for the block, which sends one request.

        Raises:
            TimeIsUp: there was none while time was left to send a request; nothing was sent.
        """
        with self._turns.place() as place:
            if place is None or not place.comes_up(within=deadline.left - LEAST_TIME):
                raise TimeIsUp("too many requests to ServiceNow are under way: no turn in time")
            yield


class Gated:
    """A transport of which each exchange is a turn; safe to share between threads."""

    def __init__(self, gate: Gate | None = None) -> None:
        """Send through `gate`; connections are this object's own."""
        self.gate = gate or Gate()
        self._transport = Transport()

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        deadline: Deadline,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Received:
        """Send one request when it is its turn and return its answer, whatever its status.

        Raises:
            TimeIsUp: it had no turn in time; nothing was sent.
            NoAnswer: none came, or not in time, or it is too large.
        """
        with self.gate.turn(deadline):
            return self._transport.exchange(method, url, headers=headers, deadline=deadline, params=params, body=body)
