"""What can be broken in the local world, so that people can practise, and how is it mended?

`python -m local.break` asks the running world by its control address; the tests of `doctor` break a world of their own.
Each breakage is one function that breaks one thing and returns the function that mends it.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from local.azurite import Azurite
from local.entra.authority import Entra
from local.http_server import Answer, HttpServer, Request
from local.servicenow import faults
from local.servicenow.exchange import Request as ServiceNowRequest
from local.servicenow.exchange import Response, from_node
from local.servicenow.faults import Fault
from local.servicenow.glide import Row, SysIds
from local.servicenow.instance import ServiceNowStandIn

Mend = Callable[[], object]

#: Seconds that ServiceNow takes to answer when it is slow: more than a webhook may wait.
SLOW: Final = 8.0


class Breakable(Protocol):
    """The parts of a world."""

    azurite: Azurite
    entra: Entra
    servicenow: ServiceNowStandIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """One thing that can be broken."""

    #: What is broken, in a few words for people.
    summary: str
    run: Callable[[Breakable], Mend]


def _fault(fault: Fault, *, everywhere: bool = True, method: str | None = None, table: str | None = None) -> Breakage:
    """Return the breakage that answers every request so."""

    def run(world: Breakable) -> Mend:
        all_faults = world.servicenow.faults
        planned = all_faults.add(fault, times=None, everywhere=everywhere, method=method, table=table)
        return lambda: all_faults.remove(planned)

    return Breakage(summary=fault.name, run=run)


def _switch(name: str, value: object, summary: str) -> Breakage:
    def run(world: Breakable) -> Mend:
        switches = world.servicenow.switches
        before = getattr(switches, name)
        setattr(switches, name, value)
        return lambda: setattr(switches, name, before)

    return Breakage(summary=summary, run=run)


def _credential(name: str, summary: str) -> Breakage:
    def run(world: Breakable) -> Mend:
        credentials = world.servicenow.credentials
        before = getattr(credentials, name)
        setattr(credentials, name, "changed-in-ServiceNow")
        world.servicenow.revoke_tokens()
        return lambda: setattr(credentials, name, before)

    return Breakage(summary=summary, run=run)


def _stop_servicenow(world: Breakable) -> Mend:
    world.servicenow.stop()
    return world.servicenow.start


def _delay_servicenow(world: Breakable) -> Mend:
    world.servicenow.delay = SLOW
    return lambda: setattr(world.servicenow, "delay", 0.0)


def _refuse_grant(world: Breakable) -> Mend:
    world.servicenow.switches.allows_client_credentials = False
    world.servicenow.revoke_tokens()
    return lambda: setattr(world.servicenow.switches, "allows_client_credentials", True)


def _close_at_once(world: Breakable) -> Mend:
    """A business rule closes what we create, as noise filters do."""

    def rule(table: str, before: Row | None, row: Row) -> None:
        if table == "incident" and before is None:
            row["state"] = "8"

    rules = world.servicenow.glide.rules
    rules.append(rule)
    return lambda: rules.remove(rule)


def _swallow(world: Breakable) -> Mend:
    """Success is answered and nothing is there: a business rule swallowed the insert."""

    def answer(request: ServiceNowRequest, _: Response | None) -> Response:
        row = {**{name: str(value) for name, value in request.fields.items()}, "number": "INC0099999", "state": "1"}
        return from_node(201, {"result": row})

    planned = world.servicenow.faults.add(
        Fault(name="swallowed", answer=answer), times=None, method="POST", table="incident"
    )
    return lambda: world.servicenow.faults.remove(planned)


def _no_close_code(world: Breakable) -> Mend:
    glide = world.servicenow.glide
    before = glide.choices("incident", "close_code")
    glide.set_choices("incident", "close_code", ("User error", "Duplicate"))
    return lambda: glide.set_choices("incident", "close_code", before)


def _other_audience(world: Breakable) -> Mend:
    before = world.entra.client_id
    world.entra.client_id = "00000000-0000-4000-8000-0000000000aa"
    return lambda: setattr(world.entra, "client_id", before)


def _no_role(world: Breakable) -> Mend:
    before = dict(world.entra.granted_roles)
    world.entra.granted_roles.clear()
    return lambda: world.entra.granted_roles.update(before)


def _stop_entra(world: Breakable) -> Mend:
    world.entra.stop()
    return world.entra.start


def _pause_azurite(world: Breakable) -> Mend:
    world.azurite.pause()
    return world.azurite.resume


BREAKAGES: Final[Mapping[str, Breakage]] = {
    "servicenow-down": Breakage(summary="nobody listens at ServiceNow's address", run=_stop_servicenow),
    "hibernating": _fault(faults.hibernating()),
    "slow": Breakage(summary=f"ServiceNow takes {SLOW:.0f} s for each answer", run=_delay_servicenow),
    "server-errors": _fault(faults.node_failed(status=500)),
    "gateway-errors": _fault(faults.edge_failed(status=502)),
    "firewall": _fault(faults.page(403)),
    "rate-limit": _fault(faults.rate_limited(), everywhere=False),
    "unscoped": _fault(faults.unscoped_api(), everywhere=False),
    "wrong-secret": _credential("client_secret", "the client secret was changed in ServiceNow"),
    "wrong-client": _credential("client_id", "the OAuth client was made anew in ServiceNow"),
    "no-grant": Breakage(summary="the OAuth grant client_credentials is switched off", run=_refuse_grant),
    "no-rights": _switch("uninsertable_tables", {"incident"}, "our account may not create incidents"),
    "no-change": _switch("unchangeable_tables", {"incident"}, "our account may not change incidents"),
    "no-read": _switch("forbidden_tables", {"incident"}, "our account may not read incidents"),
    "no-choices": _switch("unreadable_tables", {"sys_choice"}, "our account may not read sys_choice"),
    "no-journal": _switch("unreadable_tables", {"sys_journal_field"}, "our account may not read sys_journal_field"),
    "no-cmdb": _switch("forbidden_tables", {"cmdb_ci", "cmdb_ci_vm_instance"}, "our account may not read the CMDB"),
    "no-close-code": Breakage(summary="no close code says that a trouble is over", run=_no_close_code),
    "no-batch": _switch("has_batch_api", False, "there is no Batch API"),
    "mandatory-field": _switch("mandatory_always", ("caller_id",), "a data policy makes the caller mandatory"),
    "dropped-field": _switch("unwritable_columns", {"description"}, "our account may not write descriptions"),
    "sys-id": _switch("sys_ids", SysIds.IGNORED, "the instance chooses the sys_id of incidents itself"),
    "swallowed": Breakage(summary="a business rule swallows new incidents", run=_swallow),
    "closed-at-once": Breakage(summary="a business rule cancels new incidents", run=_close_at_once),
    "clock": _switch("clock_ahead", timedelta(minutes=20), "ServiceNow's clock is 20 minutes ahead"),
    "audience": Breakage(summary="tokens name another application than ours", run=_other_audience),
    "role": Breakage(summary="Azure Monitor lost its app role", run=_no_role),
    "entra-down": Breakage(summary="nobody listens at Entra ID's address", run=_stop_entra),
    "azurite": Breakage(summary="storage takes connections and answers nothing", run=_pause_azurite),
}


class Breaker:
    """Breaks and mends one world; safe to share between threads."""

    def __init__(self, world: Breakable) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._broken: dict[str, Mend] = {}

    @property
    def broken(self) -> list[str]:
        """The names of what is broken now."""
        return sorted(self._broken)

    def break_one(self, name: str) -> None:
        """Break one thing; nothing happens if it is broken already.

        Raises:
            KeyError: there is no such breakage.
        """
        with self._lock:
            if name not in self._broken:
                self._broken[name] = BREAKAGES[name].run(self._world)

    def mend(self, name: str = "") -> None:
        """Mend one thing, or all; nothing happens if it is not broken."""
        with self._lock:
            for each in [name] if name else list(self._broken):
                self._broken.pop(each, bool)()

    def serve(self) -> HttpServer:
        """Return a server on loopback that breaks and mends when it is asked; the caller runs it."""
        return HttpServer(0, self._answer)

    def _answer(self, request: Request) -> Answer:
        """POST /break/NAME, /back and /back/NAME; each answer tells what is broken then."""
        match (request.method, *request.target.strip("/").split("/")):
            case ("POST", "break", name) if name in BREAKAGES:
                self.break_one(name)
            case ("POST", "back"):
                self.mend()
            case ("POST", "back", name):
                self.mend(name)
            case ("GET", "broken"):
                pass
            case _:
                return Answer(status=404)
        body = json.dumps({"broken": self.broken}).encode()
        return Answer(status=200, headers={"Content-Type": "application/json"}, body=body)
