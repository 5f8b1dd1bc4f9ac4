"""Alerts that were missed while the app was down, with the whole app, its host and its command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.alerts import MetricAlert
from local.azurite import Azurite
from local.world import ROOT, World

#: Azure's list is this far behind: whatever is told is older than Azure Monitor's own repetitions take.
AGO = timedelta(minutes=10)


@pytest.fixture(scope="module")
def world(azurite: Azurite) -> Iterator[World]:
    """A world whose app follows Azure's list."""
    with World(azurite=azurite, settings={"RECOVER_MISSED_ALERTS": "true"}) as running:
        running.resource_manager.now = lambda: datetime.now(UTC) - AGO
        yield running


@pytest.fixture(scope="module")
def quiet() -> Iterator[World]:
    """A world whose app leaves that list alone; it shares no table and no queue with the other."""
    with World() as running:
        running.resource_manager.now = lambda: datetime.now(UTC) - AGO
        yield running


def missed(rule: str) -> MetricAlert:
    return MetricAlert(rule=rule, fired_at=datetime.now(UTC) - timedelta(minutes=30))


def states(world: World, rule: str) -> list[str]:
    return [row["state"] for row in world.servicenow.incidents if row["correlation_display"].endswith(f": {rule}")]


def command(world: World, *words: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "itsm_bridge", *words, "--json"],
        cwd=ROOT,
        env={**os.environ, **world.settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_what_fired_and_ended_while_the_app_was_down_comes_in_when_it_is_back(world: World) -> None:
    fires, ends = missed("down-fires"), missed("down-ends")
    world.host.stop()
    for notification in (fires.fired(), ends.fired(), ends.resolved()):
        world.resource_manager.told(notification)
    world.host.start()

    world.invoke("follow_azure")

    assert world.wait_until(lambda: (states(world, "down-fires"), states(world, "down-ends")) == (["1"], ["6"]))
    assert world.resource_manager.identity.asked
    assert [world.send(each).status for each in (fires.fired(), ends.fired(), ends.resolved())] == [200] * 3
    world.invoke("follow_azure")
    assert (states(world, "down-fires"), states(world, "down-ends")) == (["1"], ["6"])


def test_an_app_that_is_not_to_follow_asks_azure_nothing(quiet: World) -> None:
    quiet.invoke("follow_azure")

    assert quiet.resource_manager.requests == []
    assert quiet.resource_manager.identity.asked == []


def test_a_person_sees_what_would_come_in_and_brings_it_in(quiet: World) -> None:
    alert = missed("by-hand")
    quiet.resource_manager.told(alert.fired())

    status, would = command(quiet, "follow", "--dry-run")
    assert status == 0
    assert [(each["missed"], each["rule"].rpartition("/")[2]) for each in would["found"]] == [(["Fired"], "by-hand")]
    assert states(quiet, "by-hand") == []

    status, came = command(quiet, "follow")
    assert (status, came["found"]) == (0, would["found"])
    assert quiet.wait_until(lambda: states(quiet, "by-hand") == ["1"])
    assert command(quiet, "follow") == (0, {"judged": 0, "found": [], "troubles": [], "complete": True})


def test_the_webhook_imports_nothing_of_it() -> None:
    code = (
        "import sys, function_app, itsm_bridge.webhook\n"
        "names = ('azure.identity', 'itsm_bridge.follow')\n"
        "print([name for name in sys.modules if 'resource_manager' in name or name in names])"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
