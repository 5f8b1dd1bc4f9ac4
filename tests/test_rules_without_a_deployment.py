"""An operator changes the rules, and the app that runs takes them: real host, real Azurite, real HTTP.

Each test waits for a look of the app, which comes within half a minute.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.app import stored_rules
from itsm_bridge.operate import cli
from itsm_bridge.operate.exit_status import ACT
from local.alerts import MetricAlert
from local.breakages import Breaker
from local.servicenow.demo_cmdb import ci_sys_id
from local.world import World

#: The promise, and as much again for the machine that runs the tests.
IN_TIME = 2 * timedelta(seconds=30)

RULES = """version: 1
rules:
  - name: software
    match: { rule: "cpu-*" }
    set:
      category: CATEGORY
      assignment_group: { name: Shop Operations }
"""


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running
        assert running.servicenow.crashes == []


class Operator:
    """Works at the command line with the settings of the world, and looks at what the app makes of alerts."""

    def __init__(self, world: World, folder: Path, read: Callable[[], str]) -> None:
        self.world = world
        self._folder = folder
        self._read = read
        self._sent = 0

    def reads(self) -> str:
        """Read all that was printed."""
        return self._read()

    def does(self, *words: str) -> tuple[int, Any]:
        code = cli.main(["rules", *words, "--json"])
        return code, json.loads(self.reads())

    def pushes(self, text: str) -> tuple[int, Any]:
        path = self._folder / "rules.yaml"
        path.write_text(text)
        return self.does("push", str(path))

    def new_incident(self) -> dict[str, str]:
        """Send an alert until its incident is there, as Azure Monitor does; the first starts the process."""
        self._sent += 1
        alert = MetricAlert(rule=f"cpu-{self._sent}").fired()
        assert self.world.wait_until(lambda: self.world.send(alert).status == HTTPStatus.OK)
        return self.world.servicenow.incidents[-1]

    def sees_in_time(self, category: str) -> bool:
        """Send alerts until an incident has this category; no later one may have another."""
        is_so = self.world.wait_until(lambda: self.new_incident()["category"] == category, within=IN_TIME)
        return is_so and self.new_incident()["category"] == category

    def health(self) -> Any:
        return self.world.call("GET", f"{self.world.host.url}/api/health").body

    def hears_in_time(self, health: object) -> bool:
        return self.world.wait_until(lambda: self.health() == health, within=IN_TIME)


@pytest.fixture
def operator(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Operator:
    monkeypatch.chdir(tmp_path)
    for name, value in world.settings.items():
        monkeypatch.setenv(name, value)
    return Operator(world, tmp_path, lambda: capsys.readouterr().out)


def test_what_is_pushed_counts_in_the_running_app(operator: Operator) -> None:
    before = operator.new_incident()
    code, told = operator.pushes(RULES.replace("CATEGORY", "software"))

    assert (before["category"], code, told["outcome"], told["remarks"]) == ("inquiry", 0, "pushed", [])
    assert operator.sees_in_time("software")
    assert operator.new_incident()["assignment_group"] == ci_sys_id("group")
    assert operator.health() == {"status": "ok"}


def test_what_is_broken_is_not_pushed_and_what_is_pushed_broken_is_not_taken(operator: Operator) -> None:
    operator.pushes(RULES.replace("CATEGORY", "software"))
    softwear, unknown = operator.pushes(RULES.replace("CATEGORY", "softwear")), operator.pushes(RULES + "unknown: 1\n")
    stored_rules(operator.world.settings).push("version: 99\n", by="a newer program", at=datetime.now(UTC), after=1)

    assert (softwear[0], softwear[1]["faults"][0]["line"]) == (2, 6)
    assert (unknown[0], unknown[1]["faults"][0]["line"]) == (2, 8)
    assert operator.sees_in_time("software")
    assert operator.hears_in_time({"status": "degraded", "down": ["rules"]})
    assert operator.does("restore", "0")[1]["outcome"] == "pushed"
    assert operator.sees_in_time("inquiry")
    assert operator.hears_in_time({"status": "ok"})
    assert [each["version"] for each in operator.does("history")[1]] == [3, 2, 1]


def test_a_rules_file_that_is_not_there_refuses_no_alert() -> None:
    with World(settings={"ITSM_RULES_FILE": "no/such/rules.yaml"}) as world:
        alert = MetricAlert().fired()

        # A process that is just starting may ask Azure Monitor to send it again.
        assert world.wait_until(lambda: world.send(alert).status == HTTPStatus.OK)
        assert [row["category"] for row in world.servicenow.incidents] == ["inquiry"]
        assert world.call("GET", f"{world.host.url}/api/health").body == {"status": "degraded", "down": ["rules"]}


def test_a_rules_file_of_the_app_counts_from_the_first_alert(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace("CATEGORY", "network"))
    with World(settings={"ITSM_RULES_FILE": str(path)}) as world:
        alert = MetricAlert(rule="cpu-high").fired()
        # A process that is just starting may ask Azure Monitor to send it again.
        assert world.wait_until(lambda: world.send(alert).status == HTTPStatus.OK)

        assert [row["category"] for row in world.servicenow.incidents] == ["network"]


def test_what_was_parked_for_want_of_a_caller_is_mended_by_a_rule(world: World, operator: Operator) -> None:
    Breaker(world).break_one("mandatory-field")
    parked = MetricAlert(rule="wants-a-caller").fired()
    world.send(parked)
    assert world.wait_until(lambda: cli.main(["status"]) == ACT)
    operator.reads()

    assert operator.pushes("version: 1\ndefaults: { set: { caller_id: { user_name: azure.monitor } } }\n")[0] == 0
    assert cli.main(["replay", "--parked"]) == 0

    assert world.wait_until(lambda: bool(world.servicenow.incidents))
    (row,) = world.servicenow.incidents
    assert row["caller_id"] == ci_sys_id("azure.monitor")
