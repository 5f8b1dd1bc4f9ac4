"""Does the app do what it promises? A demonstration: alerts through signed calls, and what became of each.

`make demo` runs it. It exits with 0 only if every line came out as promised, and fits a terminal of 80 columns.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import requests

from itsm_bridge.operate.terminal import Screen
from local.alerts import MetricAlert, samples
from local.azurite import AzuriteMissing
from local.child_process import NotReady
from local.resource_manager.azure_monitor import AzureMonitor, VirtualClock
from local.servicenow import faults
from local.servicenow.demo_cmdb import ci_sys_id, resources
from local.world import ROOT, Answer, World

LOG_FILE = ROOT / ".local/demo-host.log"
RULES_FILE = "local/demo-rules.yaml"

FOLLOWS = {"RECOVER_MISSED_ALERTS": "true"}

#: ServiceNow's words for `incident.state`.
STATES = {"1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table."""

    sent: str
    answer: str
    incident: str
    calls: str
    is_as_promised: bool


class Demo:
    """The scenes, in the order in which they are played."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cpu = MetricAlert()

    def parts(self) -> Iterable[tuple[str, Iterator[Line]]]:
        """Return the scenes with their titles; each is played as its lines are taken."""
        return (
            ("The life of an alert", self._life_of_an_alert()),
            ("Callers who may not", self._callers()),
            ("People and repetitions", chain(self._people(), self._storm_of_one())),
            ("ServiceNow hangs, goes and comes back", self._outage()),
            ("Configuration items", self._configuration_items()),
            ("Rules: local/demo-rules.yaml", self._rules()),
            ("One alert of every kind", self._every_kind()),
            ("The app is down, and Azure Monitor gives up", self._missed()),
        )

    def _life_of_an_alert(self) -> Iterator[Line]:
        first = MetricAlert(rule="first-alert")
        yield self._line("first alert after start", first.fired(), "200 created", "New")
        yield self._line("CPU alert fires, Sev1", self._cpu.fired(), "200 created", "New", calls=1)
        yield self._line("the same notification again", self._cpu.fired(), "200 unchanged", "New", calls=0)
        worse = replace(self._cpu, severity="Sev0")
        yield self._line("it becomes Sev0", worse.fired(), "200 updated", "New")
        yield self._line("it is over", worse.resolved(), "200 resolved", "Resolved")
        yield self._line("the first notification, late", self._cpu.fired(), "200 unchanged", "Resolved", calls=0)
        early = MetricAlert(rule="out-of-order", resource="vm-web-02")
        yield self._line("a Resolved before its Fired", early.resolved(), "200 unchanged", "none")
        yield self._line("and then its Fired", early.fired(), "200 unchanged", "none", calls=0)

    def _callers(self) -> Iterator[Line]:
        entra = self._world.entra
        alert = MetricAlert(rule="never-taken").fired()
        yield self._line("no token", alert, "401 invalid_token", "none", token="", calls=0)
        yield self._line("a forged token", alert, "401 invalid_token", "none", token=entra.mint(evil=True), calls=0)
        token = entra.mint(without=["roles"])
        yield self._line("a genuine token without the role", alert, "403 forbidden", "none", token=token, calls=0)
        yield self._line("no JSON", b"hello", "400 invalid_alert", "none", calls=0)

    def _people(self) -> Iterator[Line]:
        disk = MetricAlert(rule="disk-full", resource="vm-db-01", severity="Sev2", metric="Disk used")
        created = self._line("disk alert fires, Sev2", disk.fired(), "200 created", "New")
        yield created
        number = created.incident.split()[0]
        row = next(row for row in self._world.servicenow.incidents if row["number"] == number)
        self._world.servicenow.resolve(row["sys_id"])
        yield self._line("it is over; a person was faster", disk.resolved(), "200 unchanged", "Resolved")

    def _storm_of_one(self) -> Iterator[Line]:
        alert = MetricAlert(rule="five-groups").fired()
        before = len(self._world.servicenow.incidents)
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: self._world.send(alert), range(20)))
        is_kept = all(answer.status in {200, 202} for answer in answers)
        made = len(self._world.servicenow.incidents) - before
        statuses = ", ".join(f"{status}" for status in sorted({answer.status for answer in answers}))
        yield Line(
            sent="one alert, 20 times at once",
            answer=statuses,
            incident=f"{made} incident",
            calls="",
            is_as_promised=is_kept and made == 1,
        )

    def _outage(self) -> Iterator[Line]:
        servicenow = self._world.servicenow
        slow = MetricAlert(rule="slow-query", resource="db-shop", severity="Sev3", metric="Query time")
        servicenow.faults.add(faults.silence(executed=True), method="POST", table="incident", times=1)
        line = self._line("ServiceNow hangs", slow.fired(), "202 accepted", "none")
        yield line
        short = MetricAlert(rule="short-peak", resource="vm-web-01", severity="Sev2")
        long = MetricAlert(rule="queue-long", resource="vm-web-02", severity="Sev2")
        servicenow.stop()
        yield self._line("ServiceNow is down: an alert fires", long.fired(), "202 accepted", "none")
        yield self._line("another one fires", short.fired(), "202 accepted", "none")
        yield self._line("and is over again", short.resolved(), "202 accepted", "none")
        servicenow.start()
        began = time.monotonic()
        for alert, name, state in (
            (slow, "the one that hung", "New"),
            (long, "the first of the outage", "New"),
            (short, "the short one", "Resolved"),
        ):
            came = self._world.wait_until(partial(self._is_told, alert.rule, state))
            yield Line(
                sent=f"it is back: {name}",
                answer=f"after {time.monotonic() - began:.0f} s",
                incident=self._incident_of(alert.rule),
                calls="",
                is_as_promised=came,
            )

    def _configuration_items(self) -> Iterator[Line]:
        for name, within_group in resources().items():
            resource_type, _, resource = within_group.rpartition("/")
            alert = MetricAlert(rule=f"on-{name}", resource=resource, resource_type=resource_type, severity="Sev3")
            line = self._line(f"alert on {name}", alert.fired(), "200 created", "New")
            row = next(row for row in self._world.servicenow.incidents if row["number"] == line.incident.split()[0])
            bound = f"{line.incident.split()[0]} on {name}" if row["cmdb_ci"] == ci_sys_id(name) else "not bound"
            yield replace(line, incident=bound, is_as_promised=line.is_as_promised and bound != "not bound")

    def _rules(self) -> Iterator[Line]:
        checkout = MetricAlert(rule="checkout-slow", severity="Sev2")
        line = self._line("a rule routes and words it", checkout.fired(), "200 created", "New")
        row = self._world.servicenow.incidents[-1]
        is_routed = row["assignment_group"] == ci_sys_id("group") and row["short_description"].startswith("Sev2 check")
        yield replace(line, is_as_promised=line.is_as_promised and is_routed)
        noise = MetricAlert(rule="autoscale-out")
        yield self._line("a rule ignores it", noise.fired(), "200 ignored", "none", calls=0)
        cpu, disk = (MetricAlert(rule=f"machine-{what}", resource="vm-web-02") for what in ("cpu", "disk"))
        yield self._line("an alert of a machine", cpu.fired(), "200 created", "New")
        yield self._line("another one of that machine", disk.fired(), "200 updated", "New")
        yield self._line("the first is over", cpu.resolved(), "200 updated", "New")
        yield self._line("and the last of them", disk.resolved(), "200 resolved", "Resolved")
        manual = MetricAlert(rule="manual-check")
        yield self._line("one that people shall end", manual.fired(), "200 created", "New")
        yield self._line("it is over: a note", manual.resolved(), "200 updated", "New")
        storm = [MetricAlert(rule=f"storm-{number}", resource=f"vm-{number}") for number in range(8)]
        yield from self._sent_at_once("8 alerts of one rule, a storm", storm, most=3)
        brief, lasting = MetricAlert(rule="brief-passes"), MetricAlert(rule="brief-lasts")
        yield self._line("held for 8 s", brief.fired(), "202 accepted", "none", calls=0)
        yield self._line("over before that: no incident", brief.resolved(), "200 unchanged", "none", calls=0)
        yield self._line("another one, held", lasting.fired(), "202 accepted", "none", calls=0)
        came = self._world.wait_until(partial(self._is_told, lasting.rule, "New"))
        yield Line(
            sent="it still fires", answer="", incident=self._incident_of(lasting.rule), calls="", is_as_promised=came
        )

    def _sent_at_once(self, sent: str, alerts: Sequence[MetricAlert], *, most: int) -> Iterator[Line]:
        """Send alerts one after the other, as fast as they are answered."""
        before = len(self._world.servicenow.incidents)
        answers = [self._world.send(alert.fired()) for alert in alerts]
        made = len(self._world.servicenow.incidents) - before
        statuses = ", ".join(f"{status}" for status in sorted({answer.status for answer in answers}))
        is_kept = all(answer.status in {200, 202} for answer in answers) and made == most
        yield Line(sent=sent, answer=statuses, incident=f"{made} incidents", calls="", is_as_promised=is_kept)

    def _every_kind(self) -> Iterator[Line]:
        """Send the sample of each monitoring service and older shape, but for those that only end another."""
        for name, body in samples().items():
            shape, _, moment = name.partition(".")
            if moment in _ENDS:
                continue
            answer, state = "200 created", "New"
            if shape == "service-health-incident":
                answer = "200 updated"  # the sample of the older shape, sent before, tells of the same incident
            elif shape.startswith("test-") or shape.endswith("-test"):
                answer, state = "200 resolved", "Resolved"
            yield self._line(f"{shape.replace('-', ' ')} {moment}".strip(), body, answer, state)

    def _missed(self) -> Iterator[Line]:
        """Let alerts fire and end while the app is down for ten minutes, which pass at once and lie behind us.

        They lie within the overlap of two looks, because the timer may have looked while this is played.
        """
        azure, host = self._world.resource_manager, self._world.host
        clock = azure.now = VirtualClock(datetime.now(UTC) - timedelta(minutes=13))
        monitor = AzureMonitor(clock, azure, self._called)
        host.stop()
        alerts = []
        for number in range(12):
            alerts.append(MetricAlert(rule=f"missed-{number}", resource=f"vm-{number}", fired_at=clock()))
            monitor.fires(alerts[-1].fired())
            monitor.run(clock() + timedelta(seconds=30))
        for alert in alerts[:5]:
            monitor.fires(alert.resolved())
        monitor.run(clock() + timedelta(minutes=4))
        yield Line(
            sent="12 alerts fire and 5 end",
            answer=f"{len(monitor.lost)} calls given up",
            incident=self._counted("missed-"),
            calls="",
            is_as_promised=len(monitor.lost) == len(alerts) + 5 and self._counted("missed-") == "none",
        )
        host.start()
        azure.now = lambda: datetime.now(UTC)
        began, expected = time.monotonic(), "7 New, 5 Resolved"
        self._world.invoke("follow_azure")
        came = self._world.wait_until(lambda: self._counted("missed-") == expected)
        yield Line(
            sent="it is back, and asks Azure",
            answer=f"after {time.monotonic() - began:.0f} s",
            incident=self._counted("missed-"),
            calls="",
            is_as_promised=came,
        )
        statuses = Counter(self._called(each) for each in monitor.lost)
        yield Line(
            sent="the calls, after all",
            answer=", ".join(f"{number} times {status}" for status, number in statuses.items()),
            incident=self._counted("missed-"),
            calls="",
            is_as_promised=set(statuses) == {200} and self._counted("missed-") == expected,
        )

    def _called(self, notification: Mapping[str, Any]) -> int:
        """Call the webhook; return the status, 0 if nobody answers."""
        try:
            return self._world.send(notification).status
        except requests.RequestException:
            return 0

    def _counted(self, rules: str) -> str:
        """Return how many incidents of these rules are in which state."""
        rows = [row for row in self._world.servicenow.incidents if rules in row["correlation_display"]]
        counts = Counter(STATES[row["state"]] for row in rows)
        return ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state]) or "none"

    def _is_told(self, rule: str, state: str) -> bool:
        return self._incident_of(rule).endswith(state)

    def _line(
        self, sent: str, alert: object, answer: str, state: str, *, token: str | None = None, calls: int | None = None
    ) -> Line:
        self._world.servicenow.forget_calls()
        got = self._world.send(alert, token=token)  # type: ignore[arg-type]
        made = len(self._world.servicenow.calls)
        incident = self._incident_in(got)
        told = f"{got.status} {got.outcome}"
        return Line(
            sent=sent,
            answer=f"{told} {got.seconds * 1000:.0f} ms",
            incident=incident,
            calls=str(made),
            is_as_promised=told == answer
            and incident.endswith(state)
            and calls in (None, made)
            and got.seconds < _LONGEST_ANSWER,
        )

    def _incident_in(self, answer: Answer) -> str:
        """Return number and state of the incident that the answer names, as ServiceNow has it."""
        named = answer.body.get("incident")
        if not named:
            return "none"
        return next(
            (
                f"{row['number']} {STATES[row['state']]}"
                for row in self._world.servicenow.incidents
                if row["sys_id"] == named["sys_id"]
            ),
            f"{named['number']} is not there",
        )

    def _incident_of(self, rule: str) -> str:
        """Return number and state of the only incident of a rule."""
        rows = [row for row in self._world.servicenow.incidents if rule in row["correlation_display"]]
        if len(rows) > 1:
            return f"{len(rows)} incidents"
        return next((f"{row['number']} {STATES[row['state']]}" for row in rows), "none")


#: Samples that end an alert, which is of interest only after its beginning.
_ENDS = ("resolved", "deactivated", "available")

_LONGEST_ANSWER = 5.0  # seconds: the promise

#: Columns of what was sent, the answer, and the incident; with `calls` and the verdict they fit into 80.
_WIDTHS = (30, 23, 20)
_HEADINGS = ("what Azure Monitor sent", "the answer", "the incident")


def main() -> int:
    """Play the demonstration; return 0 if every line came out as promised, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description="Play alerts through the local world.")
    parser.add_argument("--all", action="store_true", help="list the incidents that ServiceNow then holds")
    asked = parser.parse_args()
    LOG_FILE.parent.mkdir(exist_ok=True)
    LOG_FILE.unlink(missing_ok=True)
    screen = Screen.of(sys.stdout)
    try:
        return _played(screen, lists_all=asked.all)
    except (AzuriteMissing, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the world is gone.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _played(screen: Screen, *, lists_all: bool) -> int:
    began = time.monotonic()
    print("Starting a Functions host, Azurite, Entra ID and ServiceNow on this machine …", flush=True)
    with World(log_file=LOG_FILE, settings={"ITSM_RULES_FILE": RULES_FILE, **FOLLOWS}) as world:
        print(f"They are up after {time.monotonic() - began:.1f} s.\n", flush=True)
        lines = _print_table(Demo(world).parts(), screen)
        broken = [line for line in lines if not line.is_as_promised]
        verdict = _verdict(lines, broken, screen)
        print(f"\n{verdict}")
        for line in broken:
            print(screen.bad(f"  not as promised: {line.sent}: {line.answer}, {line.incident}"))
        if lists_all:
            _print_incidents(world, screen)
        else:
            counts = Counter(STATES[row["state"]] for row in world.servicenow.incidents)
            told = ", ".join(f"{count} {state}" for state, count in counts.items())
            print(
                f"ServiceNow holds {len(world.servicenow.incidents)} incidents: {told}. `make demo ALL=1` lists them."
            )
    print("`make run` keeps this world up, with ServiceNow's page to look at.")
    if broken:
        print(f"What the host said is in {LOG_FILE.relative_to(ROOT)}.")
    if broken or lists_all:
        print(verdict)
    return 1 if broken else 0


def _verdict(lines: Sequence[Line], broken: Sequence[Line], screen: Screen) -> str:
    if broken:
        return screen.bad(f"{len(broken)} of {len(lines)} did NOT come out as promised.")
    return screen.good(f"All {len(lines)} came out as promised.")


def _print_table(parts: Iterable[tuple[str, Iterator[Line]]], screen: Screen) -> list[Line]:
    cells = "".join(name.ljust(width) for name, width in zip(_HEADINGS, _WIDTHS, strict=True))
    print(screen.faint(f"{cells}calls"))
    shown = []
    for title, lines in parts:
        print(screen.bold(f"\n{title}"))
        for line in lines:
            cells = "".join(
                _cut(cell, width - 1).ljust(width)
                for cell, width in zip((line.sent, line.answer, line.incident), _WIDTHS, strict=True)
            )
            ending = screen.good("ok") if line.is_as_promised else screen.bad("NO")
            print(f"{cells}{line.calls:>3}  {ending}", flush=True)
            shown.append(line)
    return shown


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _print_incidents(world: World, screen: Screen) -> None:
    print(screen.bold("\nServiceNow now holds"))
    for row in world.servicenow.incidents:
        notes = len(world.servicenow.notes(row["sys_id"]))
        first = f"{row['number']}  {STATES[row['state']]:<11}  P{row['priority']}  {notes} notes  "
        print(_cut(first + row["short_description"], 80))


if __name__ == "__main__":
    sys.exit(main())
