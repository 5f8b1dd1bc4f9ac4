"""What if thousands of alerts come at once?

    python -m local.storm [--alerts N] [--connections N] [--delay SECONDS]

The real host, real storage, and a ServiceNow that takes its time. Prints how long the answers took, how much the
instance was pressed, how long until every incident was there, and how much memory the host took.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import requests

from local.alerts import MetricAlert
from local.torture import HURRY, RETRIES
from local.world import World

LONGEST_ANSWER = 5.0  # seconds
ARRIVE_WITHIN = timedelta(minutes=30)


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


def main() -> int:
    """Send a storm and wait for its incidents; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m local.storm", description="Send thousands of alerts at once.")
    parser.add_argument("--alerts", type=int, default=6000, help="how many (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="at once (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.15, help="seconds of a ServiceNow call (default: %(default)s)")
    asked = parser.parse_args()
    with World() as world:
        world.servicenow.delay = asked.delay
        world.send(MetricAlert(rule="warms-up").fired())
        before = _memory()
        clients, began = Clients(world), time.perf_counter()
        with ThreadPoolExecutor(asked.connections) as threads:
            taken = sum(threads.map(clients.send, [MetricAlert() for _ in range(asked.alerts)]))
        sent = time.perf_counter() - began
        expected = taken + 1
        world.wait_until(lambda: len(world.servicenow.incidents) >= expected, within=ARRIVE_WITHIN)
        arrived = time.perf_counter() - began
        rows, most, after = world.servicenow.incidents, world.servicenow.max_in_flight, _memory()
    p50, p99, longest = _quantiles(clients.seconds)
    unique = len({row["correlation_id"] for row in rows})
    print(f"{asked.alerts} alerts in {sent:.0f} s ({asked.alerts / sent:.0f}/s): {dict(clients.statuses)}")
    print(f"answers: p50 {p50:.2f} s, p99 {p99:.2f} s, longest {longest:.2f} s")
    print(f"incidents: {len(rows)} of {expected}, {unique} different; all there after {arrived:.0f} s")
    print(f"at most {most} requests in flight at ServiceNow; host memory {before} MiB before, at most {after} MiB")
    is_well = taken == asked.alerts and len(rows) == unique == expected and p99 < LONGEST_ANSWER and most <= _CAP
    return 0 if is_well else 1


#: SERVICENOW_MAX_CONCURRENCY's default.
_CAP = 4


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
