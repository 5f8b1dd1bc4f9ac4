"""What if thousands of alerts come at once?

    python -m proof.storm [--alerts N] [--connections N] [--delay SECONDS] [--known]

`make storm` runs it, with the real host, real storage, and a ServiceNow that takes its time. Each alert is about a
machine of its own that is in no CMDB, unless `--known` says that all are about one. It prints how long the answers
took, how many requests the instance had at once, how many calls each alert cost, how long until every incident was
there and what the slots would allow if each alert cost one call, and how much memory the host took.
"""

import argparse
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import requests

from local.alerts import MetricAlert
from local.world import World
from proof.rest import REST_WITHIN, Resting
from proof.torture import HURRY, RETRIES

LONGEST_ANSWER = 5.0  # seconds
ARRIVE_WITHIN = timedelta(minutes=30)
#: SERVICENOW_MAX_CONCURRENCY's default.
CAP = 4
#: How much longer than the slots allow a storm may take.
MOST_TIMES = 1.3
#: MiB. An instance of the deployed app has 2048.
MOST_MEMORY = 200


class Clients:
    """Connections that send alerts as fast as they are answered, repeating what is answered 503."""

    def __init__(self, world: World) -> None:
        self._url = world.webhook
        self._headers = {"Authorization": f"Bearer {world.entra.mint()}"}
        self._own = threading.local()
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def send(self, alert: MetricAlert) -> bool:
        """Send one alert; return whether it was taken."""
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
        for delay in (*RETRIES, None):
            began = time.perf_counter()
            answer = self._own.session.post(self._url, json=alert.fired(), headers=self._headers, timeout=30)
            self.seconds.append(time.perf_counter() - began)
            self.statuses[answer.status_code] += 1
            if answer.ok:
                return True
            if delay is not None:
                time.sleep(delay / HURRY)
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The traces that a storm left."""

    alerts: int
    taken: int
    statuses: Mapping[int, int]
    #: Of the answers, in seconds.
    answers: Sequence[float]
    #: How many incidents there are in the end, and of how many alerts.
    incidents: int
    different: int
    max_in_flight: int
    #: Seconds until all was answered, until every incident was there, and until all was at rest.
    answered_in: float
    drained_in: float
    arrived_in: float
    #: Requests that ServiceNow got.
    calls: int
    #: Seconds of a call to ServiceNow.
    delay: float
    #: Resident memory of the host in MiB: before, and the most.
    memory: tuple[int, int]

    @property
    def slots_allow(self) -> float:
        """In how many seconds the slots would let all incidents come to be, with one call each."""
        return self.alerts * self.delay / CAP

    def broken(self) -> list[str]:
        """Return the promises that were broken; none of them is about time."""
        return [
            promise
            for promise, is_kept in {
                "every alert is taken": self.taken == self.alerts,
                "answers are 2xx or 503": self.statuses.keys() <= {200, 202, 503},
                "every alert has one incident": self.incidents == self.different == self.alerts,
                f"at most {CAP} requests are in flight at ServiceNow": self.max_in_flight <= CAP,
                f"memory stays below {MOST_MEMORY} MiB": self.memory[1] < MOST_MEMORY,
            }.items()
            if not is_kept
        ]


def storm(*, alerts: int, connections: int, delay: float, is_known: bool = False) -> Passed:
    """Send so many alerts over so many connections, and wait until every one has arrived.

    Each is about a machine of its own, unless the resource `is_known`.
    """
    with Resting() as world:
        world.servicenow.delay = delay
        world.send(MetricAlert(rule="warms-up").fired())
        before = _memory()
        clients, began = Clients(world), time.perf_counter()
        with ThreadPoolExecutor(connections) as threads:
            taken = sum(threads.map(clients.send, [_alert(is_known=is_known) for _ in range(alerts)]))
        answered_in = time.perf_counter() - began
        world.wait_until(lambda: world.servicenow.count("incident") > taken, within=ARRIVE_WITHIN)
        drained_in = time.perf_counter() - began
        world.wait_until(world.is_at_rest, within=REST_WITHIN)
        rows = [row for row in world.servicenow.incidents if "warms-up" not in row["correlation_display"]]
        return Passed(
            alerts=alerts,
            taken=taken,
            statuses=clients.statuses,
            answers=clients.seconds,
            incidents=len(rows),
            different=len({row["correlation_id"] for row in rows}),
            max_in_flight=world.servicenow.max_in_flight,
            answered_in=answered_in,
            drained_in=drained_in,
            calls=len(world.servicenow.calls),
            delay=delay,
            arrived_in=time.perf_counter() - began,
            memory=(before, _memory()),
        )


def _alert(*, is_known: bool) -> MetricAlert:
    return MetricAlert() if is_known else MetricAlert(resource=f"vm-{uuid.uuid4().hex[:12]}")


def main() -> int:
    """Send a storm and wait for its incidents; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m proof.storm", description="Send thousands of alerts at once.")
    parser.add_argument("--alerts", type=int, default=6000, help="how many (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="at once (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.15, help="seconds of a ServiceNow call (default: %(default)s)")
    parser.add_argument("--known", action="store_true", help="all alerts are about one resource")
    asked = parser.parse_args()
    passed = storm(alerts=asked.alerts, connections=asked.connections, delay=asked.delay, is_known=asked.known)
    p50, p99, longest = _quantiles(passed.answers)
    rate = passed.alerts / passed.answered_in
    print(f"{passed.alerts} alerts in {passed.answered_in:.0f} s ({rate:.0f}/s): {dict(passed.statuses)}")
    print(f"answers: p50 {p50:.2f} s, p99 {p99:.2f} s, longest {longest:.2f} s")
    print(f"incidents: {passed.incidents} of {passed.taken}; all at rest after {passed.arrived_in:.0f} s")
    times = passed.drained_in / passed.slots_allow
    verdict = "met" if times <= MOST_TIMES else "NOT MET"
    print(f"drained after {passed.drained_in:.0f} s, {times:.2f} times what the slots allow with one call each")
    print(f"goal of {MOST_TIMES} times: {verdict}")
    print(f"{passed.calls / passed.alerts:.2f} calls to ServiceNow for each alert")
    print(f"at most {passed.max_in_flight} requests in flight at ServiceNow")
    print("host memory {} MiB before, at most {} MiB".format(*passed.memory))
    broken = [*passed.broken(), *([] if p99 < LONGEST_ANSWER else [f"99 of 100 answers within {LONGEST_ANSWER} s"])]
    for promise in broken:
        print(f"BROKEN: {promise}")
    return 1 if broken else 0


def _quantiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1]


def _memory() -> int:
    """Return the peak of resident memory in MiB of the largest process that runs `local.host`."""
    peaks = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(encoding="utf-8")
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if b"local.host" in command:
            peaks += [int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


if __name__ == "__main__":
    sys.exit(main())
