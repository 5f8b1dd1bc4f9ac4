"""What do alerts cost whose resources the CMDB does not hold? Calls and round trips, of one alert and of a storm.

The target as the loop calls it, without a loop: for each alert it looks for the configuration item and creates the
incident, over HTTP. ServiceNow is a process of its own and takes 150 ms for every request.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from bench.figures import Check, Goal, Report, Table
from bench.instance import Instance
from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.ports import Write
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from local.servicenow.demo_cmdb import arm_id
from local.servicenow.table_api import Credentials

#: Seconds that a request takes.
DELAY = 0.15
#: Requests in flight, as SERVICENOW_MAX_CONCURRENCY has it by default.
SLOTS = 4
#: Alerts that come one after the other, and machines of a storm; fewer where each takes longer.
ALERTS, STORM, STORM_WITHOUT = 10, 600, 120

#: What one alert may take, and one of a storm.
MOST_CALLS, MOST_ROUND_TRIPS, MOST_CALLS_IN_A_STORM, MOST_OF_ITS_TIME = 2, 2.2, 1.3, 1.3

_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some alerts took."""

    what: str
    alerts: int
    calls: int
    seconds: float
    most_in_flight: int

    @property
    def calls_each(self) -> float:
        """Calls to ServiceNow per alert."""
        return self.calls / self.alerts

    @property
    def round_trips(self) -> float:
        """How often an alert waited for ServiceNow, if alerts came one after the other."""
        return self.seconds / self.alerts / DELAY

    @property
    def of_the_least(self) -> float:
        """The time, as a multiple of what one call per alert takes through all slots."""
        return self.seconds / (self.alerts * DELAY / SLOTS)


def run() -> Report:
    """Measure both, with and without batches."""
    with Instance() as instance:
        instance.delay(DELAY)
        unknown = _one_after_the_other(instance, "in no CMDB", _machines("unknown", ALERTS))
        known = _one_after_the_other(instance, "in the CMDB, first of its resource", _known(ALERTS))
        singly = _one_after_the_other(instance, "in no CMDB, no Batch API", _machines("single", ALERTS), batches=False)
        storm = _storm(instance, "a storm, in no CMDB", _machines("storm", STORM))
        storm_singly = _storm(instance, "a storm, no Batch API", _machines("rain", STORM_WITHOUT), batches=False)
    return _report((unknown, known, singly), (storm, storm_singly))


def _report(single: Sequence[Cost], storms: Sequence[Cost]) -> Report:
    unknown, known, _ = single
    storm = storms[0]
    return Report(
        title="Unknown resources",
        parts=(
            (
                f"Alerts of virtual machines; ServiceNow takes {DELAY * 1000:.0f} ms for each request, {SLOTS} may be "
                "in flight. The target alone, without the loop around it: the search for the item, then the creation."
            ),
            Table(
                headings=("alert", "calls", "round trips"),
                rows=[(each.what, f"{each.calls_each:.2f}", f"{each.round_trips:.2f}") for each in single],
            ),
            Table(
                headings=("storm", "alerts", "calls per alert", "seconds", "of one call per alert through all slots"),
                rows=[
                    (
                        each.what,
                        str(each.alerts),
                        f"{each.calls_each:.2f}",
                        f"{each.seconds:.0f}",
                        f"{each.of_the_least:.2f}",
                    )
                    for each in storms
                ],
            ),
        ),
        checks=[
            *(Check.at_most(f"{each.what}: calls", each.calls_each, MOST_CALLS) for each in (unknown, known)),
            Check.at_most(f"{storm.what}: calls per alert", storm.calls_each, MOST_CALLS_IN_A_STORM),
            *(Check.at_most(f"{each.what}: requests in flight", each.most_in_flight, SLOTS) for each in storms),
        ],
        goals=[
            *(
                Goal(what=f"{each.what}: round trips", measured=each.round_trips, aim=MOST_ROUND_TRIPS)
                for each in (unknown, known)
            ),
            Goal(what=f"{storm.what}: time, of one call per alert", measured=storm.of_the_least, aim=MOST_OF_ITS_TIME),
        ],
        facts={"calls, unknown resource in a storm": storm.calls_each},
    )


def _target(instance: Instance, *, batches: bool) -> ServiceNow:
    """Return a target that has signed in and made a first incident, as a process in use has."""
    knowledge, gate = Knowledge(), Gate(SLOTS)
    knowledge.learn(Subject.ANSWERS_BATCHES, value=batches)
    table_api = TableApi(instance.url, Header("x-sn-apikey", Credentials().api_key), gate=gate, knowledge=knowledge)
    return ServiceNow(Incidents(table_api, knowledge=knowledge), Cmdb(table_api))


def _one_after_the_other(instance: Instance, what: str, resources: Sequence[str], *, batches: bool = True) -> Cost:
    target = _target(instance, batches=batches)
    _bring_in(target, _machines(what, 1)[0])  # connects

    def play() -> None:
        for resource in resources:
            _bring_in(target, resource)

    return _cost(instance, what, len(resources), play)


def _storm(instance: Instance, what: str, resources: Sequence[str], *, batches: bool = True) -> Cost:
    target = _target(instance, batches=batches)

    def play() -> None:
        for resource in resources:
            target.expect({CONFIGURATION_ITEM: (resource,)})
        with ThreadPoolExecutor(SLOTS) as threads:
            list(threads.map(lambda resource: _bring_in(target, resource), resources))

    return _cost(instance, what, len(resources), play)


def _cost(instance: Instance, what: str, alerts: int, play: Callable[[], object]) -> Cost:
    instance.forget()
    began = time.monotonic()
    play()
    seconds = time.monotonic() - began
    calls, most = instance.calls().total(), instance.max_in_flight()
    return Cost(what=what, alerts=alerts, calls=calls, seconds=seconds, most_in_flight=most)


def _bring_in(target: ServiceNow, resource: str) -> None:
    """Do what the loop does for a new alert."""
    deadline = Deadline.after(_PATIENCE)
    end = target.find_link(CONFIGURATION_ITEM, (resource,), deadline=deadline)
    key = hashlib.sha256(resource.encode()).hexdigest()
    write = Write(
        key=key,
        incident_id=key[:32],
        fields={"short_description": resource.rpartition("/")[2], "impact": "2", "urgency": "2"},
        links={CONFIGURATION_ITEM: end.id} if end.id else {},
        notes=(end.reason,) if end.reason else (),
    )
    target.create(write, deadline=deadline)


def _machines(name: str, number: int) -> Sequence[str]:
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return [arm_id(f"Microsoft.Compute/virtualMachines/vm-{digest}-{each:04}") for each in range(number)]


def _known(number: int) -> Sequence[str]:
    """Resources that the CMDB of every stand-in holds."""
    known = (
        *("Microsoft.Compute/virtualMachines/vm-web-01", "Microsoft.Compute/virtualMachines/vm-web-02"),
        *("Microsoft.Network/loadBalancers/lb-shop", "Microsoft.Network/networkInterfaces/nic-web-01"),
        *("Microsoft.Storage/storageAccounts/stshopdata", "Microsoft.Web/sites/app-shop"),
        *(
            "Microsoft.Sql/servers/sql-shop/databases/sqldb-orders",
            "Microsoft.Compute/virtualMachineScaleSets/vmss-api",
        ),
        *("Microsoft.Network/virtualNetworks/vnet-shop", "Microsoft.KeyVault/vaults/kv-shop"),
    )
    return [arm_id(each) for each in known[:number]]
