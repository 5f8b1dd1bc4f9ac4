"""What if the host is killed right before, or right after, any call that an alert makes?

    python -m proof.every_call [--log FILE]

`make torture` runs it. Two hosts of the app share storage and ServiceNow, as two instances do. One stands behind
proxies: it gets SIGKILL when its call number N has come there and is not passed on, or when N has been answered and the
answer is not handed over; N goes from 1 to the last call of each story. The other host takes half of the alerts that
come at once. A third host works off the wake-ups in the end; `tests/test_convergence.py` kills while that happens.
"""

import argparse
import itertools
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import requests

from local.alerts import MetricAlert, samples
from local.host.launcher import FunctionsHost
from local.world import ROOT, World
from proof.rest import REST_WITHIN, Resting, marks_of
from proof.tap import FACTS_LOOK, POLL, RULES_LOOK, Cut, Tap

Body = Mapping[str, Any]
#: State and number of notes of each incident of one alert.
End = list[tuple[str, int]]

STATES = {"1": "open", "2": "open", "6": "resolved", "7": "closed"}

#: The functions that start on their own; without them, a host makes the calls of the story that it plays and no others.
WITHOUT_WAKE_UPS = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("reconcile_alert", "resync")}
PAUSE = 0.2  # seconds until a call is sent again
MOST_SENDINGS = 6
#: A story has no more calls if so many deaths in a row did not come: alerts at once make now more calls, now fewer.
QUIET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Notifications and acts, one after the other; the bodies in one tuple come at once."""

    steps: tuple[tuple[Body, ...] | str, ...]
    #: The incidents that there may be in the end.
    ends: list[End]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One story with a death in it."""

    name: str
    key: str
    ends: list[End]


def stories() -> dict[str, Callable[[], Story]]:
    """Return what makes each story anew, about an alert of its own."""
    followed: End = [("closed", 0), ("open", 1)]
    # If the host died before the incident was there, the person found nothing to close.
    late: End = [("open", 1)]
    return {
        "fired": lambda: _metric("fired", ends=[[("open", 0)]]),
        "fired twice": lambda: _metric("fired", "fired", ends=[[("open", 0)]]),
        "fired four times at once": lambda: _metric(("fired",) * 4, ends=[[("open", 0)]]),
        "fired, worse": lambda: _metric("fired", "worse", ends=[[("open", 1)]]),
        "fired, resolved": lambda: _metric("fired", "resolved", ends=[[("resolved", 1)]]),
        "fired, resolved four times at once": lambda: _metric("fired", ("resolved",) * 4, ends=[[("resolved", 1)]]),
        "resolved first": lambda: _metric("resolved", "fired", ends=[[]]),
        "fired anew after resolved": lambda: _metric("fired", "resolved", "again", ends=[[("open", 2)]]),
        "fired anew after closed": lambda: _metric("fired", "close", "again", ends=[followed, late]),
        "a health event with an update": lambda: _health("active", "update", ends=[[("open", 1)]]),
        "a health event that ends": lambda: _health("active", "update", "resolved", ends=[[("resolved", 2)]]),
    }


def _metric(*words: str | tuple[str, ...], ends: list[End]) -> Story:
    alert = MetricAlert()
    # The alert names no resource, so that all calls are for the incident and no note is about a configuration item.
    nowhere: Body = {"alertTargetIDs": [], "configurationItems": []}
    bodies = {
        "fired": alert.fired(**nowhere),
        "worse": replace(alert, severity="Sev0").fired(**nowhere),
        "resolved": alert.resolved(**nowhere),
        "again": replace(alert, fired_at=alert.fired_at + timedelta(hours=1)).fired(**nowhere),
    }
    return _story(bodies, words, ends)


def _health(*words: str, ends: list[End]) -> Story:
    tracking_id = uuid.uuid4().hex[:8]
    bodies = {}
    for word in words:
        body = json.loads(samples()[f"service-health-incident.{word}"])
        body["data"]["alertContext"]["properties"]["trackingId"] = tracking_id
        body["data"]["essentials"]["alertTargetIDs"] = []
        bodies[word] = body
    return _story(bodies, words, ends)


def _story(bodies: Mapping[str, Body], words: Sequence[str | tuple[str, ...]], ends: list[End]) -> Story:
    def step(word: str | tuple[str, ...]) -> tuple[Body, ...] | str:
        if isinstance(word, tuple):
            return tuple(bodies[each] for each in word)
        return (bodies[word],) if word in bodies else word

    return Story(steps=tuple(map(step, words)), ends=ends)


class Trap:
    """Counts the calls of a host and kills it at one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._at = 0
        self._before = True
        self._kill: Callable[[], None]
        self.is_sprung = False

    def set(self, at: int, *, before: bool, kill: Callable[[], None]) -> None:
        """Begin to count; `kill` at the call of that number."""
        self._calls, self._at, self._before, self._kill, self.is_sprung = 0, at, before, kill, False

    @contextmanager
    def watch(self, operation: str) -> Iterator[None]:
        """Let one call pass, or not."""
        if operation in (POLL, RULES_LOOK, FACTS_LOOK):
            yield
            return
        with self._lock:
            self._calls += 1
            is_meant = self._calls == self._at
            if is_meant and self._before:
                self._spring()
        yield
        if is_meant and not self._before:
            self._spring()

    def _spring(self) -> None:
        self.is_sprung = True
        self._kill()
        raise Cut


class Crossing:
    """The world with two hosts: one that is killed, and one that is not; a context manager."""

    def __init__(self, world: World, log_file: Path | None) -> None:
        self.world = world
        self.kills = 0
        self.killed_in: set[str] = set()
        self.trap = Trap()
        self._log_file = log_file
        self._reviving = threading.Lock()
        self._authorization = {"Authorization": f"Bearer {world.entra.mint()}"}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start both hosts."""
        with ExitStack() as stack:
            there = self.world.azurite.connection_string, self.world.servicenow.url
            tap = stack.enter_context(Tap(*there, watch=self.trap.watch))
            behind_tap = {"AzureWebJobsStorage": tap.connection_string, "SERVICENOW_INSTANCE_URL": tap.instance_url}
            self._victim = stack.enter_context(self._host({**WITHOUT_WAKE_UPS, **behind_tap}))
            self._bystander = stack.enter_context(self._host(WITHOUT_WAKE_UPS))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self._stack.close()

    def _host(self, settings: Mapping[str, str]) -> FunctionsHost:
        return FunctionsHost(
            app=ROOT,
            settings={**self.world.settings, **settings},
            function_key=self.world.function_key,
            log_file=self._log_file,
        )

    def play(self, name: str, story: Story, at: int, *, before: bool) -> str:
        """Play a story with a death at that call; return the key."""
        key = ""
        self.trap.set(at, before=before, kill=self._victim.kill)
        for step in story.steps:
            if isinstance(step, str):
                for row in self._incidents(key):
                    self.world.servicenow.close(row["sys_id"])
                continue
            hosts = itertools.cycle((self._victim, self._bystander))
            with ThreadPoolExecutor(len(step)) as threads:
                key, *_ = threads.map(self._taken, hosts, step)
        if self.trap.is_sprung:
            self.kills += 1
            self.killed_in.add(name)
        return key

    def _taken(self, host: FunctionsHost, body: Body) -> str:
        """Send a body until it is taken; return the key.

        Raises:
            RuntimeError: it was not taken.
        """
        for _ in range(MOST_SENDINGS):
            try:
                url = f"{host.url}/api/alerts?code={self.world.function_key}"
                answer = requests.post(url, json=body, headers=self._authorization, timeout=30)
                if answer.ok:
                    return str(answer.json()["alert_key"])
            except requests.RequestException:
                self._revive()
            time.sleep(PAUSE)
        raise RuntimeError("an alert was not taken")

    def _revive(self) -> None:
        with self._reviving:
            if self._victim.exit_code is not None:
                self._victim.start()

    def _incidents(self, key: str) -> list[dict[str, str]]:
        return [row for row in self.world.servicenow.incidents if row["correlation_id"] == key]


def deaths(crossing: Crossing) -> Iterator[Case]:
    """Play every story with every death."""
    for name, make in stories().items():
        quiet = 0
        for at, before in ((at, before) for at in itertools.count(1) for before in (True, False)):
            story = make()
            key = crossing.play(name, story, at, before=before)
            yield Case(name=f"{name}, killed {'before' if before else 'after'} call {at}", key=key, ends=story.ends)
            quiet = 0 if crossing.trap.is_sprung else quiet + 1
            if quiet == QUIET:
                break


def wrong(world: World, cases: Sequence[Case]) -> list[str]:
    """Return what is not as it should be, a line each."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in world.servicenow.incidents:
        rows.setdefault(row["correlation_id"], []).append(row)
    lines = []
    for case in cases:
        ended = [(STATES[row["state"]], len(marks_of(world, row["sys_id"]))) for row in rows.get(case.key, [])]
        if ended not in case.ends:
            lines.append(f"{case.name}: {ended} instead of {case.ends} ({case.key[:12]})")
    return lines


def main() -> int:
    """Kill at every call, wait until all is at rest, compare; return 1 if anything is lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m proof.every_call", description="Kill the host at every call.")
    parser.add_argument("--log", type=Path, help="write the hosts' log there")
    asked = parser.parse_args()
    began = time.monotonic()
    with Resting(log_file=asked.log) as world:
        world.host.stop()
        with Crossing(world, asked.log) as crossing:
            cases = list(deaths(crossing))
        print(f"{crossing.kills} kills in {len(cases)} stories; {time.monotonic() - began:.0f} s", flush=True)
        world.host.start()
        is_at_rest = world.wait_until(world.is_at_rest, within=REST_WITHIN)
        faulty = [*wrong(world, cases), *([] if is_at_rest else ["the queue does not come to rest"])]
        faulty += [f"nobody was killed in: {name}" for name in stories().keys() - crossing.killed_in]
    for line in faulty[:20]:
        print(line)
    print(f"{len(faulty)} lost or doubled; {time.monotonic() - began:.0f} s")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
