"""What goes wrong is told within a minute by `status`, and in health where it belongs."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from itsm_bridge.operate import cli
from itsm_bridge.operate.health import FRESH
from local.alerts import MetricAlert
from local.azurite import Azurite
from local.breakages import Breaker
from local.world import World

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WITHIN_A_MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(settings={"RETRY_HORIZON_HOURS": "1"}) as running:
        running.send(MetricAlert(rule="warms-up").fired())
        yield running


@pytest.fixture(autouse=True)
def _clean(world: World) -> Iterator[None]:
    yield
    command(world, "status", "--acknowledge")


@pytest.fixture
def breaker(world: World) -> Iterator[Breaker]:
    breaking = Breaker(world)
    yield breaking
    breaking.mend()


def command(world: World, *arguments: str) -> tuple[int, str]:
    """Run a command as a person would, but in this process, which is faster."""
    out = io.StringIO()
    with environment_of(world.settings), redirect_stdout(out):
        code = cli.main(arguments)
    return code, out.getvalue()


@contextmanager
def environment_of(settings: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


def typed(world: World, line: str) -> tuple[int, str]:
    """Type a line of the README, with the Python of the tests."""
    words = shlex.split(line, comments=True)
    assert words[0] == "python"
    answer = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=ROOT,
        env={**os.environ, **world.settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.stderr == ""
    return answer.returncode, answer.stdout


def troubles(world: World) -> tuple[int, dict[str, Any]]:
    code, text = command(world, "status", "--json")
    return code, {each["trouble"]: each for each in json.loads(text)["troubles"]}


def is_told(world: World, trouble: str) -> bool:
    code, told = troubles(world)
    return code == 1 and trouble in told


def incidents_of(world: World, rule: str) -> list[dict[str, str]]:
    return [row for row in world.servicenow.incidents if rule in row["correlation_display"]]


def down(world: World) -> list[str]:
    return list(requests.get(f"{world.host.url}/api/health", timeout=10).json().get("down", []))


@pytest.mark.parametrize(("breakage", "trouble"), [("audience", "refused-audience"), ("role", "refused-role")])
def test_refused_calls_are_told_and_health_stays_well(
    breakage: str, trouble: str, world: World, breaker: Breaker
) -> None:
    breaker.break_one(breakage)
    assert world.send(MetricAlert(rule="refused").fired()).status in (401, 403)

    assert world.wait_until(lambda: is_told(world, trouble), within=WITHIN_A_MINUTE)
    assert down(world) == []


def test_calls_without_a_token_are_told(world: World) -> None:
    assert world.send(MetricAlert(rule="refused").fired(), token="").status == 401

    assert world.wait_until(lambda: is_told(world, "refused-no-token"), within=WITHIN_A_MINUTE)


def test_a_call_that_goes_well_counts_nothing(world: World) -> None:
    assert world.send(MetricAlert(rule="goes-well").fired()).status == 200

    code, told = troubles(world)

    assert (code, told) == (0, {})


def test_a_parked_alert_is_found_explained_and_replayed_with_the_three_commands_of_the_readme(
    world: World, breaker: Breaker
) -> None:
    section = README.partition("## Looking after it")[2].partition("\n## ")[0]
    find, explain, replay = re.findall(r"^python -m itsm_bridge .*$", section, re.MULTILINE)[:3]
    breaker.break_one("mandatory-field")
    assert world.send(MetricAlert(rule="will-be-parked").fired()).status == 202

    code, found = typed(world, find)
    key = next(line.split()[0] for line in found.partition("Parked")[2].splitlines() if "mandatory" in line)
    explained = typed(world, explain.replace("KEY", key))
    breaker.mend()
    replayed = typed(world, replay.replace("KEY", key))

    assert code == 1
    assert explained[0] == 0
    assert "Data Policy Exception: The following fields are mandatory: Caller" in explained[1]
    assert replayed[0] == 0
    assert "is looked at now" in replayed[1]
    assert world.wait_until(lambda: bool(incidents_of(world, "will-be-parked")))


def test_fields_that_are_not_stored_are_told(world: World, breaker: Breaker) -> None:
    breaker.break_one("dropped-field")
    assert world.send(MetricAlert(rule="dropped").fired()).status == 200

    assert world.wait_until(lambda: is_told(world, "servicenow-fields-not-stored"), within=WITHIN_A_MINUTE)
    assert troubles(world)[1]["servicenow-fields-not-stored"]["detail"] == "description"


def test_an_account_that_may_not_create_incidents_is_told_by_status_and_health(world: World, breaker: Breaker) -> None:
    breaker.break_one("no-rights")
    answers = [world.send(MetricAlert(rule=f"no-rights-{number}").fired()) for number in range(6)]

    assert {answer.status for answer in answers} == {202}
    assert world.wait_until(lambda: is_told(world, "servicenow-may-not-create"), within=WITHIN_A_MINUTE)
    assert "sn_incident_write" in troubles(world)[1]["servicenow-may-not-create"]["remedy"]
    assert world.wait_until(lambda: down(world) == ["servicenow"], within=WITHIN_A_MINUTE)

    breaker.mend()
    _, text = command(world, "list", "--rule", "no-rights-*", "--json")
    for row in json.loads(text):
        assert command(world, "replay", row["key"])[0] == 0
    assert world.wait_until(lambda: len(incidents_of(world, "no-rights-")) == 6)


def test_refused_credentials_are_told(world: World, breaker: Breaker) -> None:
    breaker.break_one("wrong-secret")
    assert world.send(MetricAlert(rule="wrong-secret").fired()).status == 202

    assert world.wait_until(lambda: is_told(world, "servicenow-sign-in"), within=WITHIN_A_MINUTE)
    assert world.wait_until(lambda: down(world) == ["servicenow"], within=FRESH * 3)


def test_an_instance_that_is_away_is_told(azurite: Azurite) -> None:
    # A world of its own: in the other one ServiceNow is not even called while it is taken for away.
    with World(azurite=azurite) as world:
        Breaker(world).break_one("servicenow-down")
        for number in range(3):
            assert world.send(MetricAlert(rule=f"away-{number}").fired()).status == 202

        assert world.wait_until(lambda: is_told(world, "servicenow-away"), within=WITHIN_A_MINUTE)
