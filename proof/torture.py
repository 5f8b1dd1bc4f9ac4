"""What if the host is killed, again and again, while alerts pour in?

    python -m proof.torture [--kills N] [--senders N]

`make torture` runs it. The real host process gets SIGKILL at random moments and is started again. Alerts come over HTTP
meanwhile and are repeated as Azure Monitor repeats them, only sooner. In the end each alert that was answered 2xx must
be one incident in the right state with the right notes. Some writes to ServiceNow lose their answer as well. How long
after each kill the last incident was right is printed.
"""

import argparse
import random
import re
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from local.alerts import MetricAlert
from local.servicenow import faults
from local.world import World
from proof.lateness import Lateness, told
from proof.rest import REST_WITHIN, Resting, marks_of

#: Seconds after which Azure Monitor repeats a call, and how much sooner we do.
RETRIES = (5, 20, 5, 40, 5)
HURRY = 5
#: Of the writes, how many are cut off after they took effect.
CUT = 0.03

#: How the note of the end begins.
_ENDING = re.compile(r"^Resolved\b", re.MULTILINE)

_OPEN = frozenset({"1", "2"})
_RESOLVED = frozenset({"6"})


@dataclass(slots=True, kw_only=True)
class Sent:
    """One alert, and how its notifications were answered."""

    alert: MetricAlert
    is_fired_taken: bool = False
    is_resolved_sent: bool = False
    is_resolved_taken: bool = False
    key: str = ""
    #: When its last notification was first sent, by the monotonic clock.
    sent_at: float = 0.0

    def states(self) -> frozenset[str]:
        """Return the states that its incident may be in."""
        if self.is_resolved_taken:
            return _RESOLVED
        return _OPEN | _RESOLVED if self.is_resolved_sent else _OPEN


@dataclass(slots=True, kw_only=True)
class Load:
    """Sends alerts from several threads until it is told to stop."""

    world: World
    stopping: threading.Event = field(default_factory=threading.Event)
    sent: list[Sent] = field(default_factory=list)

    def run(self, seed: int) -> None:
        """Send one alert after the other; every other one ends."""
        rng = random.Random(seed)
        with requests.Session() as session:
            while not self.stopping.is_set():
                one = Sent(alert=MetricAlert())
                self.sent.append(one)
                one.sent_at = time.monotonic()
                one.is_fired_taken = self._is_taken(session, one, one.alert.fired())
                if one.is_fired_taken and rng.random() < 0.5:
                    one.is_resolved_sent, one.sent_at = True, time.monotonic()
                    one.is_resolved_taken = self._is_taken(session, one, one.alert.resolved())

    def _is_taken(self, session: requests.Session, one: Sent, body: dict[str, Any]) -> bool:
        for delay in (*RETRIES, None):
            try:
                answer = session.post(
                    self.world.webhook,
                    json=body,
                    headers={"Authorization": f"Bearer {self.world.entra.mint()}"},
                    timeout=30,
                )
            except requests.RequestException:
                pass
            else:
                if answer.ok:
                    one.key = answer.json()["alert_key"]
                    return True
            if delay is not None:
                time.sleep(delay / HURRY)
        return False


def main() -> int:
    """Kill, restart, wait until all is at rest, compare; return 1 if anything is lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m proof.torture", description="Kill the host under load.")
    parser.add_argument("--kills", type=int, default=20, help="how often to kill (default: %(default)s)")
    parser.add_argument("--senders", type=int, default=3, help="connections that send (default: %(default)s)")
    parser.add_argument("--log", type=Path, help="write the host's log there")
    asked = parser.parse_args()
    began = time.monotonic()
    with Resting(log_file=asked.log) as world:
        world.servicenow.delay = 0.05
        cut = faults.closed(executed=True)
        world.servicenow.faults.add(
            cut, times=None, table="incident", when=lambda each: each.method != "GET" and random.random() < CUT
        )
        load = Load(world=world)
        with Lateness(world=world, sent=load.sent) as lateness:
            with ThreadPoolExecutor(asked.senders) as threads:
                for seed in range(asked.senders):
                    threads.submit(load.run, seed)
                _kill(world, asked.kills, lateness)
                load.stopping.set()
            world.servicenow.faults.clear()
            taken = sum(one.is_fired_taken for one in load.sent)
            spent = time.monotonic() - began
            print(f"{asked.kills} kills, {len(load.sent)} alerts, {taken} taken; {spent:.0f} s", flush=True)
            is_at_rest = world.wait_until(world.is_at_rest, within=REST_WITHIN)
        print(told(lateness.after_each_kill()), flush=True)
        faulty = [*wrong(world, load.sent), *([] if is_at_rest else ["the queue does not come to rest"])]
    for line in faulty[:20]:
        print(line)
    print(f"{len(faulty)} lost or doubled; {time.monotonic() - began:.0f} s")
    return 1 if faulty else 0


def _kill(world: World, kills: int, lateness: Lateness) -> None:
    for number in range(kills):
        time.sleep(random.choice([random.uniform(0, 0.5), random.uniform(0, 3)]))
        lateness.killed()
        world.host.kill()
        world.host.start()
        if (number + 1) % 25 == 0:
            print(f"{number + 1} kills", flush=True)


def wrong(world: World, sent: Sequence[Sent]) -> list[str]:
    """Return what is not as it should be, a line each."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in world.servicenow.incidents:
        rows.setdefault(row["correlation_id"], []).append(row)
    lines = []
    for one in sent:
        found = rows.get(one.key, []) if one.key else []
        states = [row["state"] for row in found]
        if one.is_fired_taken and (len(found) != 1 or states[0] not in one.states()):
            lines.append(f"{one.key[:12]} has incidents in states {states}, expected one in {sorted(one.states())}")
            continue
        notes = [note for row in found for note in world.servicenow.notes(row["sys_id"])]
        marks = [mark for row in found for mark in marks_of(world, row["sys_id"])]
        endings = sum(_ENDING.search(note) is not None for note in notes)
        if len(marks) != len(set(marks)) or len(notes) != len(set(notes)):
            lines.append(f"{one.key[:12]} has a note twice")
        if one.is_fired_taken and not one.is_resolved_taken <= endings <= one.is_resolved_sent:
            lines.append(f"{one.key[:12]} has {endings} notes of its end")
    return lines


if __name__ == "__main__":
    sys.exit(main())
