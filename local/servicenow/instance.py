"""Can a ServiceNow instance be had on this machine?

The world, the tests and the proof make a stand-in that is no kinder than the real one: see `glide` for what it does to
a write, `faults` for what can go wrong on the way, `encoded_query` for why a query returns everything.
It runs in threads of the process that makes it, keeps all in memory and listens on 127.0.0.1 alone.

    with ServiceNowStandIn() as instance:
        instance.faults.add(faults.late_commit(after=0.5), method="POST")
        ...
        assert [row["state"] for row in instance.incidents] == ["6"]

Alone, with a page that lists its incidents:

    python -m local.servicenow --port 8080
"""

import argparse
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from local.servicenow import demo_cmdb
from local.servicenow.batch import is_for_batch, work_of
from local.servicenow.connection import Server
from local.servicenow.exchange import Request, Response, from_edge
from local.servicenow.faults import Fault, Faults
from local.servicenow.glide import Glide, Row, Switches, User
from local.servicenow.table_api import Credentials, Node
from local.servicenow.traffic import Call, Disconnected, Traffic

#: A person who edits incidents in the browser.
BETH = User(user_name="beth.anglin", name="Beth Anglin", is_admin=True)


class ServiceNowStandIn:
    """One instance: its rows outlive `stop` and `start`."""

    def __init__(
        self,
        *,
        port: int = 0,
        credentials: Credentials | None = None,
        switches: Switches | None = None,
        has_demo_cmdb: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.credentials = credentials or Credentials()
        self.switches = switches or Switches()
        self.faults = Faults()
        #: Seconds that an API request takes before it is executed and answered; a batch takes them once.
        self.delay = 0.0
        #: Errors of the stand-in itself; a test may insist on none.
        self.crashes: list[BaseException] = []
        self.glide = Glide(switches=self.switches, now=now)
        self.traffic = Traffic(self.switches)
        self.node = Node(
            glide=self.glide, switches=self.switches, credentials=self.credentials, faults=self.faults, now=now
        )
        self.glide.add_user(BETH)
        if has_demo_cmdb:
            demo_cmdb.fill(self.glide, by=BETH)
        self._port = port
        self._server: Server | None = None
        self._late: list[threading.Timer] = []

    # Up and down

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens; the same after `stop` and `start`."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        self._server = Server(self, self._port)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="servicenow", daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, cut those that exist, and give up what is not yet executed."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.is_stopping.set()
        self.traffic.wake()
        server.shutdown()
        server.cut_connections()
        server.server_close()
        for timer in self._late:
            timer.cancel()
        self.node.forget_sessions()

    # Its rows

    @property
    def incidents(self) -> list[Row]:
        """Copies of the incidents, in the order of their creation."""
        return self.rows("incident")

    def rows(self, table: str) -> list[Row]:
        """Return copies of the rows of a table, in the order of their creation."""
        return self.glide.copies(table)

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        return self.glide.count(table)

    def incident(self, sys_id: str) -> Row:
        """Return a copy of one incident."""
        return next(row for row in self.incidents if row["sys_id"] == sys_id)

    def notes(self, sys_id: str) -> list[str]:
        """Return the work notes of a row, oldest first."""
        return [entry["value"] for entry in self.glide.journal(sys_id)]

    @property
    def injections(self) -> list[str]:
        """Scripts that queries would have run."""
        return list(self.glide.injections)

    @property
    def widened(self) -> list[str]:
        """Parts of queries that were ignored, so that more rows matched than were asked for."""
        return list(self.glide.widened)

    # Here a person works in the browser

    def insert(self, table: str, values: Mapping[str, object], *, by: User = BETH) -> str:
        """Insert a row and return its sys_id."""
        return self.glide.insert(table, values, by=by)["sys_id"]

    def edit(self, sys_id: str, values: Mapping[str, object], *, table: str = "incident", by: User = BETH) -> None:
        """Change a row."""
        self.glide.update(table, sys_id, values, by=by)

    def resolve(self, sys_id: str, *, by: User = BETH) -> None:
        """Resolve an incident."""
        self._end(sys_id, "6", by)

    def close(self, sys_id: str, *, by: User = BETH) -> None:
        """Close an incident."""
        self._end(sys_id, "7", by)

    def cancel(self, sys_id: str, *, by: User = BETH) -> None:
        """Cancel an incident."""
        self.edit(sys_id, {"state": "8"}, by=by)

    def delete(self, sys_id: str, *, table: str = "incident") -> None:
        """Delete a row."""
        self.glide.delete(table, sys_id)

    def revoke_tokens(self) -> None:
        """Make every token that was issued invalid."""
        self.node.revoke_tokens()

    def _end(self, sys_id: str, state: str, by: User) -> None:
        code = next(iter(self.glide.choices("incident", "close_code")), "")
        self.edit(sys_id, {"state": state, "close_code": code, "close_notes": "Done by hand."}, by=by)

    # The requests that clients made

    @property
    def calls(self) -> list[Call]:
        """The requests since the last `forget_calls`, oldest first; those for the page do not count."""
        return self.traffic.calls

    def calls_to(self, table: str, method: str | None = None) -> list[Call]:
        """Return the calls to one table; `oauth_token` is the token endpoint."""
        return [call for call in self.calls if call.table == table and method in (None, call.method)]

    def forget_calls(self) -> None:
        """Forget the calls and the greatest number of requests in flight."""
        self.traffic.forget()

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return self.traffic.in_flight

    @property
    def max_in_flight(self) -> int:
        """How many requests waited for their answers at once, at most."""
        return self.traffic.max_in_flight

    def wait_for_late_commits(self, *, deadline: float = 10) -> None:
        """Return when no write is outstanding.

        Raises:
            TimeoutError: there still is one after `deadline` seconds.
        """
        ends_at = time.monotonic() + deadline
        for timer in list(self._late):
            timer.join(max(0, ends_at - time.monotonic()))
            if timer.is_alive():
                raise TimeoutError(f"a write is outstanding after {deadline} s")
        self._late.clear()

    # Here the connections of the server ask

    def answer(self, request: Request, fault: Fault | None, is_stopping: threading.Event) -> Response | None:
        """Let the request take effect as far as `fault` allows, and return what the client gets to see."""
        if fault is None:
            return self._perform(request, is_stopping)
        true = self._perform(request, is_stopping) if fault.executed else None
        if fault.executed_after is not None:
            timer = threading.Timer(fault.executed_after, self.node.respond, (request,))
            timer.daemon = True
            self._late.append(timer)
            timer.start()
        return fault.answer(request, true) if fault.answer else true

    def _perform(self, request: Request, is_stopping: threading.Event) -> Response:
        if len(request.headers.get_all("Authorization", ())) > 1:
            return from_edge(400)
        if request.table == "oauth_token":
            self._pause(is_stopping)
            return self.node.respond(request)
        with self.traffic.turn(request, is_stopping) as refused:
            if refused is None:
                self._pause(is_stopping, work=work_of(request, self.switches) if is_for_batch(request) else 0.0)
                return self.node.respond(request)
        if refused.status == 202 and self.switches.executes_after_202:  # noqa: PLR2004 # the status
            self.node.respond(request)
        return refused

    def _pause(self, is_stopping: threading.Event, *, work: float = 0.0) -> None:
        pause = self.delay + work
        if is_stopping.wait(pause) if pause else is_stopping.is_set():
            raise Disconnected


def main() -> None:
    """Run one instance until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.servicenow", description="A ServiceNow stand-in.")
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer (default: 0)")
    arguments = parser.parse_args()
    with ServiceNowStandIn(port=arguments.port) as instance:
        instance.delay = arguments.delay
        known = instance.credentials
        print(f"ServiceNow stand-in: {instance.url}  (the page lists the incidents)")
        print(f"  user      {known.username} / {known.password}")
        print(f"  OAuth     {known.client_id} / {known.client_secret}")
        print(f"  API key   {known.api_key}")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
