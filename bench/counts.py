"""How much does one alert ask of others? Calls to ServiceNow and storage operations, counted through the local host."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from bench.figures import Check, Goal, Report, Table
from itsm_bridge.reconcile.resync import COVER_AFTER
from local.alerts import MetricAlert
from local.azurite import Azurite
from local.world import World
from proof.tap import FACTS_LOOK, RULES_LOOK, Tap

#: How often each case is played; every time must count the same.
TIMES = 5

#: What each case may ask for, exactly. A change here is a change of cost: docs/performance.md multiplies it.
EXPECTED: Mapping[str, tuple[Mapping[str, int], Mapping[str, int]]] = {
    "new": (
        {"POST incident": 1},
        {"table insert": 1, "table replace": 1},
    ),
    "new, unknown resource": (
        {"POST batch": 1, "POST incident": 1},
        {"table insert": 1, "table replace": 1},
    ),
    "new, first of its resource": (
        {"POST batch": 1, "POST incident": 1},
        {"table insert": 1, "table replace": 1},
    ),
    "duplicate": ({}, {"table insert": 1, "table read": 1}),
    "changed": (
        {"GET incident": 1, "PATCH incident": 1},
        {"table insert": 1, "table read": 1, "table replace": 2},
    ),
    "resolved": (
        {"GET incident": 1, "PATCH incident": 1},
        {"table read": 1, "table replace": 2},
    ),
    "refired": (
        {"GET incident": 1, "PATCH incident": 1},
        {"table insert": 1, "table read": 1, "table replace": 2},
    ),
    "new, after 202": (
        {"POST incident": 1},
        {"table insert": 1, "queue send": 1, "table replace": 3, "queue delete": 1},
    ),
}
#: Calls to ServiceNow that are aimed at.
AIMS = {"new": 1, "new, unknown resource": 2, "duplicate": 0, "changed": 1, "resolved": 2, "refired": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of others."""

    calls: Counter[str]
    operations: Counter[str]
    polls: int

    def less(self, other: "Asked") -> "Asked":
        """Return what is left without what `other` asked."""
        return Asked(calls=self.calls - other.calls, operations=self.operations - other.operations, polls=self.polls)


def run() -> Report:
    """Count every case, several times."""
    counted: dict[str, list[Asked]] = {}
    with ExitStack() as stack:
        azurite = stack.enter_context(Azurite())
        tap = stack.enter_context(Tap(azurite.connection_string))
        settings = {"AzureWebJobsStorage": tap.connection_string, "SERVICENOW_MAX_CONCURRENCY": "1"}
        world = stack.enter_context(World(azurite=azurite, settings=settings))
        _send(world, MetricAlert())  # the first of the process: token, table, queue, choices of the instance
        _send(world, warm := MetricAlert())
        world.send(warm.resolved())
        # A process that has just started looks for what others left behind.
        time.sleep(COVER_AFTER.total_seconds() + 3)
        _put_off(world, tap)  # the first wake-up makes the queue
        for _ in range(TIMES):
            for name, asked in _life(world, tap).items():
                counted.setdefault(name, []).append(asked)
            counted.setdefault("new, after 202", []).append(_put_off(world, tap))
        polls = _polls_per_hour(tap)
    return _report(counted, polls)


def _report(counted: Mapping[str, list[Asked]], polls: float) -> Report:
    checks = [
        check
        for name, times in counted.items()
        for check in (
            Check.equal(f"{name}: ServiceNow", _all_same(each.calls for each in times), dict(EXPECTED[name][0])),
            Check.equal(f"{name}: storage", _all_same(each.operations for each in times), dict(EXPECTED[name][1])),
        )
    ]
    first = {name: times[0] for name, times in counted.items()}
    return Report(
        title="Calls and operations per alert",
        parts=(
            (
                f"Counted {TIMES} times each through the host, by a tap before Azurite and by the ServiceNow stand-in. "
                "The first alert of a process also fetches keys and a ServiceNow token, "
                "the first that resolves also the close codes."
            ),
            Table(
                headings=("alert", "ServiceNow", "calls", "storage", "operations"),
                rows=[
                    (
                        name,
                        _listed(asked.calls),
                        str(asked.calls.total()),
                        _listed(asked.operations),
                        str(asked.operations.total()),
                    )
                    for name, asked in first.items()
                ],
            ),
            (
                "*New*: an alert named the resource within the last hour, so that its configuration item is known. "
                "*First of its resource*: none did, and the CMDB has the item by its Azure id. "
                "*Unknown resource*: none did within the last five minutes, and the CMDB does not hold it."
            ),
            (
                "*Changed* takes two calls, not one: the incident is looked at before it is patched. Without that look "
                "a closed incident would be written where the instance does not protect it, and what people edited "
                "would be overwritten. ServiceNow has no conditional update that would do both at once."
            ),
            (
                "*After 202*: its turn did not come within a second and a half, and the process went on with it. "
                "A transaction of a row and its entry in the index counts as one operation, as the service bills it. "
                f"An idle host polls about {polls:,.0f} times an hour, alerts or not."
            ),
        ),
        checks=checks,
        goals=[
            Goal(what=f"{name}: calls to ServiceNow", measured=first[name].calls.total(), aim=aim)
            for name, aim in AIMS.items()
        ],
        facts={
            **{f"calls, {name}": asked.calls.total() for name, asked in first.items()},
            **{f"operations, {name}": asked.operations.total() for name, asked in first.items()},
            "polls per hour": polls,
        },
    )


def _life(world: World, tap: Tap) -> dict[str, Asked]:
    """Play the life of one alert."""
    alert = MetricAlert()
    again = replace(alert, fired_at=alert.fired_at + timedelta(hours=1))
    worse = replace(alert, severity="Sev0")
    unknown = MetricAlert(resource=f"vm-{uuid.uuid4().hex[:8]}")
    known = MetricAlert(resource=f"vm-{uuid.uuid4().hex[:8]}")
    world.servicenow.insert("cmdb_ci_vm_instance", {"name": known.resource, "object_id": known.target})
    return {
        "new": _asked(world, tap, lambda: _send(world, alert, "created")),
        "new, first of its resource": _asked(world, tap, lambda: _send(world, known, "created")),
        "new, unknown resource": _asked(world, tap, lambda: _send(world, unknown, "created")),
        "duplicate": _asked(world, tap, lambda: _send(world, alert, "unchanged")),
        "changed": _asked(world, tap, lambda: _send(world, worse, "updated")),
        "resolved": _asked(world, tap, lambda: _told(world, worse.resolved(), "resolved")),
        "refired": _asked(world, tap, lambda: _send(world, again, "reopened")),
    }


def _put_off(world: World, tap: Tap) -> Asked:
    """Send two alerts while there is room for one; return what that one asked for whose turn does not come in time."""

    def both() -> None:
        world.servicenow.delay = 2.0
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(_send, world, MetricAlert(), "created")
            _until(lambda: world.servicenow.in_flight > 0)
            _send(world, MetricAlert(), "accepted")
            first.result()
        # Its wake-up is taken back once this process has gone on with it.
        _until(lambda: tap.counted["queue delete"] > deleted)
        world.servicenow.delay = 0

    deleted = tap.counted["queue delete"]
    one = Asked(calls=Counter(EXPECTED["new"][0]), operations=Counter(EXPECTED["new"][1]), polls=0)
    return _asked(world, tap, both).less(one)


def _asked(world: World, tap: Tap, play: Callable[[], None]) -> Asked:
    before = tap.counted
    world.servicenow.forget_calls()
    play()
    operations = tap.counted - before
    polls = operations.pop("queue poll", 0)
    # Now and then, alerts or not.
    for look in (RULES_LOOK, FACTS_LOOK):
        operations.pop(look, None)
    # When a process starts, and then every ten minutes.
    operations.pop("facts look", None)
    calls = Counter(f"{call.method} {call.table}" for call in world.servicenow.calls)
    return Asked(calls=calls, operations=operations, polls=polls)


def _send(world: World, alert: MetricAlert, outcome: str = "created") -> None:
    _told(world, alert.fired(), outcome)


def _told(world: World, body: Mapping[str, object], outcome: str) -> None:
    answer = world.send(json.dumps(body).encode())
    if answer.outcome != outcome:
        raise AssertionError(f"answered {answer.status} {answer.outcome}, expected {outcome}")


def _until(is_so: Callable[[], bool], within: float = 30) -> None:
    ends_at = time.monotonic() + within
    while not is_so():
        if time.monotonic() > ends_at:
            raise TimeoutError("it did not come about")
        time.sleep(0.01)


def _polls_per_hour(tap: Tap) -> float:
    """Watch the idle host for a while, once its pauses have grown to their longest."""
    time.sleep(6)
    began, before = time.monotonic(), tap.counted["queue poll"]
    _until(lambda: tap.counted["queue poll"] >= before + 3)
    return (tap.counted["queue poll"] - before) / (time.monotonic() - began) * 3600


def _all_same(counts: "object") -> object:
    each = [dict(sorted(count.items())) for count in counts]  # type: ignore[attr-defined]
    return each[0] if all(one == each[0] for one in each) else each


def _listed(count: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in sorted(count.items())) or "none"
