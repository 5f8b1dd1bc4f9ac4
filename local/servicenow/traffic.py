"""Which requests are being answered, and which have to wait?

A connection records each request here, and the instance waits here for its turn; what to answer is decided there.
Every request is counted while it waits for its answer, and recorded without its body.
A node runs a few at once, lets some more wait, and runs the requests of one session one after the other.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/impact/io-semaphores-performance-metrics.md
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from local.servicenow.batch import is_for_batch, requests_in
from local.servicenow.exchange import Request, Response, from_node
from local.servicenow.faults import Fault
from local.servicenow.glide import Switches


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that was received, without its body."""

    method: str
    path: str
    #: As `Request.table`: `oauth_token` at the token endpoint, `batch` for a batch.
    table: str
    sys_id: str
    query: Mapping[str, str]
    #: The columns that the body named.
    fields: tuple[str, ...]
    #: None as long as no status was sent.
    status: int | None = None
    #: The name of the fault that hit it; "" if none did.
    fault: str = ""
    #: The requests that came in one batch, in their order; none of them is a call of its own.
    parts: tuple["Call", ...] = ()


class Disconnected(Exception):
    """Either side gave up the connection."""


class Traffic:
    """The requests of one instance."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._recorders: list[Recorder] = []
        self._changed = threading.Condition()
        self._in_flight = 0
        self._max_in_flight = 0
        self._running = 0
        self._queued = 0
        self._busy_sessions: set[str] = set()

    @property
    def calls(self) -> list[Call]:
        """The requests since the last `forget`, oldest first."""
        with self._changed:
            return [each.call for each in self._recorders]

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        with self._changed:
            return self._in_flight

    @property
    def max_in_flight(self) -> int:
        """How many waited at once, at most."""
        with self._changed:
            return self._max_in_flight

    def forget(self) -> None:
        """Forget the calls and the greatest number of requests in flight."""
        with self._changed:
            self._recorders.clear()
            self._max_in_flight = self._in_flight

    def wake(self) -> None:
        """Let the requests that wait see that the instance is stopping."""
        with self._changed:
            self._changed.notify_all()

    @contextlib.contextmanager
    def recorded(self, request: Request, fault: Fault | None) -> Iterator["Recorder"]:
        """Count the request as in flight and as a call."""
        recorder = Recorder(request, fault, leave=self._leave)
        with self._changed:
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            self._recorders.append(recorder)
        try:
            yield recorder
        finally:
            recorder.leave()

    def _leave(self) -> None:
        with self._changed:
            self._in_flight -= 1

    @contextlib.contextmanager
    def turn(self, request: Request, is_stopping: threading.Event) -> Iterator[Response | None]:
        """Wait for the session, then for a semaphore; yield the refusal if either is not to be had."""
        session = request.session
        with self._changed:
            if session and not self._changed.wait_for(
                lambda: session not in self._busy_sessions or is_stopping.is_set(), self._switches.session_wait
            ):
                refused: Response | None = from_node(202)
            elif self._running >= self._switches.semaphores and self._queued >= self._switches.semaphore_queue:
                refused = from_node(429, is_logged_in=False)
            else:
                refused = None
                self._busy_sessions.add(session)
                self._queued += 1
                self._changed.wait_for(lambda: self._running < self._switches.semaphores or is_stopping.is_set())
                self._queued -= 1
                self._running += 1
        try:
            yield refused
        finally:
            if refused is None:
                with self._changed:
                    self._busy_sessions.discard(session)
                    self._running -= 1
                    self._changed.notify_all()


class Recorder:
    """One call, completed when its answer is known."""

    def __init__(self, request: Request, fault: Fault | None, *, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._has_left = False
        self.call = replace(_call_of(request), fault=fault.name if fault else "")

    def complete(self, status: int) -> None:
        """Note the status just before it is sent."""
        self.call = replace(self.call, status=status)

    def leave(self) -> None:
        """Count the request as in flight no more; only the first time counts.

        It is called before an answer is sent, because who got it may send the next request at once.
        """
        if not self._has_left:
            self._has_left = True
            self._leave()


def _call_of(request: Request) -> Call:
    return Call(
        method=request.method,
        path=request.path,
        table=request.table,
        sys_id=request.sys_id,
        query=request.query,
        fields=tuple(request.fields),
        parts=tuple(_call_of(part) for part in requests_in(request) if part) if is_for_batch(request) else (),
    )
