"""How soon is an incident right after a process was killed, or after the answer to a change was lost?

The real host with the queue as it is deployed: a message whose worker died stays hidden for ten minutes. An incident is
right when its state is; a note that may be there already may wait.
"""

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from bench.figures import Check, Goal, Report, Table, percentile
from local.alerts import MetricAlert
from local.servicenow import faults
from local.servicenow.faults import Fault
from local.world import World
from proof.lateness import Lateness
from proof.torture import Load

#: Rounds, connections that send, seconds of load around each kill, and what ServiceNow takes, in seconds.
ROUNDS = 12
SENDERS = 3
LOAD = (2.0, 1.0)
DELAY = 0.05
#: How long we wait for the last incident.
WITHIN = timedelta(seconds=180)

#: What may come of a change whose answer is lost.
LOST: Mapping[str, Callable[[], Fault]] = {
    "connection reset, not executed": lambda: faults.closed(executed=False),
    "connection reset, executed": lambda: faults.closed(executed=True),
    "502 of the edge, not executed": lambda: faults.edge_failed(status=502, executed=False),
    "502 of the edge, executed": lambda: faults.edge_failed(status=502, executed=True),
    "500 of a node, not executed": lambda: faults.node_failed(executed=False),
    "no answer at all, not executed": lambda: faults.silence(executed=False),
    "no answer at all, executed": lambda: faults.silence(executed=True),
    "202 without a body, not executed": lambda: faults.accepted_202(executed=False),
    "200 with half a body, executed": lambda: faults.truncated_json(executed=True),
    "no answer, executed after 8 s": lambda: faults.late_commit(after=8.0),
}


def run() -> Report:
    """Kill and lose answers, and measure."""
    after_kills, alerts = _kills()
    after_losses = {name: _loss(make) for name, make in LOST.items()}
    ordered = sorted(after_kills)
    return Report(
        title="Recovery",
        parts=(
            (
                f"{ROUNDS} times the host was killed under the load of {SENDERS} senders and started again "
                f"({alerts} alerts, ServiceNow takes {DELAY * 1000:.0f} ms). Seconds from the kill until the last "
                f"incident was right: p50 {percentile(ordered, 50):.1f}, p99 {percentile(ordered, 99):.1f}, "
                f"max {ordered[-1]:.1f}."
            ),
            "Seconds from a Resolved, the answer to whose PATCH is lost, until the incident is resolved:",
            Table(headings=("what is lost", "s"), rows=[(name, f"{took:.1f}") for name, took in after_losses.items()]),
        ),
        checks=(
            Check.at_most("after a kill: incidents right, p99 in s", percentile(ordered, 99), 30),
            Check.at_most("after a kill: incidents right, max in s", ordered[-1], 60),
        ),
        goals=[
            Goal(what=f"after a lost answer, {name}: right, s", measured=took, aim=30)
            for name, took in after_losses.items()
        ],
    )


def _kills() -> tuple[list[float], int]:
    """Return for each kill how many seconds after it the last incident was right, and how many alerts there were."""
    spans: list[float] = []
    alerts = 0
    with World() as world:
        world.servicenow.delay = DELAY
        world.send(MetricAlert().fired())
        for number in range(ROUNDS):
            load = Load(world=world)
            with Lateness(world=world, sent=load.sent) as lateness:
                with ThreadPoolExecutor(SENDERS) as threads:
                    for sender in range(SENDERS):
                        threads.submit(load.run, number * SENDERS + sender)
                    time.sleep(LOAD[0] + random.uniform(0, 0.3))
                    lateness.killed()
                    world.host.kill()
                    world.host.start()
                    time.sleep(LOAD[1])
                    load.stopping.set()
                if not world.wait_until(lateness.all_are_right, within=WITHIN):
                    raise RuntimeError("some incidents are not right in time")
            spans += lateness.after_each_kill()
            alerts += len(load.sent)
    return spans, alerts


def _loss(make: Callable[[], Fault]) -> float:
    with World() as world:
        world.servicenow.delay = DELAY
        alert = MetricAlert()
        world.send(alert.fired())
        world.servicenow.faults.add(make(), method="PATCH", table="incident", times=1)
        began = time.monotonic()
        world.send(alert.resolved())
        if not world.wait_until(lambda: world.servicenow.incidents[0]["state"] == "6", within=WITHIN):
            raise RuntimeError("the incident is not resolved in time")
        return time.monotonic() - began
