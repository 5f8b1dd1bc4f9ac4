"""How many alerts can one instance of the app take, and what does each cost it?

*Sustained*: as fast as the answers come. *Storm*: what Azure Monitor does when a region fails.
All on the same two cores: the clients, the host with the app, Azurite, and the ServiceNow stand-in.
"""

import time
from collections import Counter
from dataclasses import dataclass, replace
from http import HTTPStatus

from azure.data.tables import TableClient

from bench import machine
from bench.figures import Check, Report, Spread, Table
from bench.load import Sent, alerts
from bench.time_to_incident import CAP, Stage, stage
from itsm_bridge.storage.account import TABLE
from itsm_bridge.storage.row_format import is_key

#: Alerts, connections, seconds that ServiceNow takes, and how many seconds we watch at most.
SUSTAINED = (300, 8, 0.0, 120.0)
SURGE = (250, 32, 0.15, 120.0)
STORM = (6000, 32, 0.15, 135.0)
#: A storm that is watched to its end.
WHOLE_STORM = (6000, 32, 0.15, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What became of many alerts."""

    alerts: int
    connections: int
    delay: float
    sent: list[Sent]
    accepted_in: float
    reconciled_in: float
    #: Incidents per second after the last answer: what the queue does alone.
    drained_per_second: float
    #: How many alerts have how many incidents.
    incidents: Counter[int]
    calls: int
    in_flight: int
    cpu_seconds: float
    resident: tuple[float, float]

    @property
    def refused(self) -> int:
        """How many answers asked to send again."""
        return sum(each.refusals for each in self.sent)


def run_sustained() -> Report:
    """Send as fast as answers come."""
    with stage() as on:
        flood = _flood(on, *SUSTAINED)
    report = _report("Throughput", flood)
    return replace(report, checks=(*report.checks, _all_there("Throughput", flood)))


def run_surge() -> Report:
    """Send what fits into half a minute, and wait until every alert has its incident."""
    with stage() as on:
        flood = _flood(on, *SURGE)
    report = _report("Surge", flood)
    return replace(report, checks=(*report.checks, _all_there("Surge", flood)))


def run_storm(*, whole: bool = False) -> Report:
    """Send a storm; watch how the queue works it off, for a while or to its end."""
    with stage() as on:
        flood = _flood(on, *(WHOLE_STORM if whole else STORM))
        table = TableClient.from_connection_string(on.world.azurite.connection_string, TABLE)
        rows = sum(is_key(str(row["RowKey"])) for row in table.list_entities(select="RowKey"))
    report = _report("Storm", flood)
    kept = Check.equal("Storm: rows that remember an alert", rows, flood.alerts + on.warmed)
    checks = (*report.checks, kept, *([_all_there("Storm", flood)] if whole else []))
    return replace(report, checks=checks)


def _flood(on: Stage, number: int, connections: int, delay: float, patience: float) -> Flood:
    bodies = alerts(number)
    host = machine.child("local.host")
    on.instance.delay(delay)
    on.instance.forget()
    cpu, resident, began = machine.cpu_seconds(host), machine.resident_mib(host), time.monotonic()
    sent = on.clients.each(bodies, clients=connections)
    accepted_in = time.monotonic() - began
    created = on.instance.created()
    in_line = len(created)
    while len(created) < number and time.monotonic() - began < patience:
        time.sleep(0.5)
        created = on.instance.created()
    last = max(at for moments in created.values() for at in moments)
    return Flood(
        alerts=number,
        connections=connections,
        delay=delay,
        sent=sent,
        accepted_in=accepted_in,
        reconciled_in=last - began,
        drained_per_second=(len(created) - in_line) / max(last - began - accepted_in, 0.001),
        incidents=Counter(len(moments) for moments in created.values()),
        calls=on.instance.calls().total(),
        in_flight=on.instance.max_in_flight(),
        cpu_seconds=machine.cpu_seconds(host) - cpu,
        resident=(resident, machine.resident_mib(host)),
    )


def _report(title: str, flood: Flood) -> Report:
    there = flood.incidents.total()
    is_over = there == flood.alerts
    rows = [
        ("answered", f"{flood.alerts / flood.accepted_in:.0f} /s, p50 / p95 / p99 {_answers(flood)} ms"),
        ("told at once (200)", f"{sum(each.status == HTTPStatus.OK for each in flood.sent) / flood.alerts:.0%}"),
        ("asked to send again (503)", str(flood.refused)),
        ("incidents", f"{there / flood.reconciled_in:.1f} /s, {there:,} after {flood.reconciled_in:.0f} s"),
        ("incidents once all is answered", f"{flood.drained_per_second:.1f} /s, by the queue alone"),
        ("calls to ServiceNow per incident", f"{flood.calls / there:.2f}"),
        ("most calls in flight", str(flood.in_flight)),
        ("CPU of the host process per alert", f"{flood.cpu_seconds / flood.alerts * 1000:.1f} ms"),
        ("memory of the host process", f"{flood.resident[0]:.0f} MiB before, {flood.resident[1]:.0f} MiB after"),
    ]
    if flood.delay:
        most = CAP / flood.delay
        share = f"{there / flood.reconciled_in / most:.0%} of {most:.1f} /s ({CAP} in flight)"
        rows.insert(4, ("of what the cap allows", share))
    if not is_over:
        rest = flood.alerts - there
        rows.append(
            (
                "left to the queue when we stopped watching",
                f"{rest:,}, {rest / max(flood.drained_per_second, 0.1) / 60:,.0f} minutes at this pace",
            )
        )
    return Report(
        title=title,
        parts=(
            f"{flood.alerts:,} alerts, {flood.connections} connections, ServiceNow takes {flood.delay * 1000:.0f} ms.",
            Table(headings=("what", "measured"), rows=rows),
        ),
        checks=(
            Check.equal(f"{title}: most incidents of one alert", max(flood.incidents), 1),
            Check.at_most(f"{title}: requests in flight at ServiceNow", flood.in_flight, CAP),
        ),
    )


def _all_there(title: str, flood: Flood) -> Check:
    return Check.equal(f"{title}: alerts that have an incident", flood.incidents.total(), flood.alerts)


def _answers(flood: Flood) -> str:
    return str(Spread.of(each.seconds for each in flood.sent))
