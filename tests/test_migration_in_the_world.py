"""From ITSM actions to incidents: the rules that `migrate` writes, in an app that runs.

What the connector did is what its documentation says:
https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-definition
"""

import copy
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.operate import cli
from local.alerts import MetricAlert, samples
from local.servicenow.demo_cmdb import ci_sys_id
from local.world import World
from tests.migration.estate import SUBSCRIPTION, exported


def emitted(folder: Path) -> Path:
    """Return the folder with what `migrate` writes of the estate."""
    export = folder / "export.json"
    export.write_bytes(exported())
    cli.main(["migrate", "--from", str(export), "--out", str(folder / "out")])
    return folder / "out"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rules = emitted(tmp_path_factory.mktemp("migrate")) / "rules.yaml"
    with World(settings={"ITSM_RULES_FILE": str(rules)}) as running:
        yield running
        assert running.servicenow.crashes == []


def log_alert(rule: str, computer: str, *, condition: str = "Fired", guid: str = "") -> dict[str, Any]:
    """Return an alert of log search about a computer, as the sample of this repository has it."""
    alert: dict[str, Any] = copy.deepcopy(json.loads(samples()["log-search.fired"]))
    essentials = alert["data"]["essentials"]
    guid = guid or str(uuid.uuid4())
    essentials |= {
        "alertId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{guid}",
        "alertRule": rule,
        "configurationItems": [computer],
        "monitorCondition": condition,
        "firedDateTime": datetime.now(UTC).isoformat(),
    }
    alert["data"]["alertContext"]["condition"]["allOf"][0]["dimensions"] = [{"name": "Computer", "value": computer}]
    return alert


def of(world: World, text: str) -> list[Mapping[str, str]]:
    """Return the incidents that tell of a rule or a computer, oldest first."""
    return [row for row in world.servicenow.incidents if text in row["short_description"] or text in row["description"]]


def test_one_for_each_configuration_item(world: World) -> None:
    for computer in ("ci-1", "ci-1", "ci-2"):
        world.send(log_alert("disk-full", computer))

    assert [len(of(world, computer)) for computer in ("ci-1", "ci-2")] == [1, 1]
    (row,) = of(world, "ci-2")
    assert [row[name] for name in ("contact_type", "impact", "urgency", "category")] == ["email", "3", "2", "software"]


def test_one_for_each_rule_to_which_further_items_are_added_until_people_close_it(world: World) -> None:
    for computer in ("pr-1", "pr-2"):
        world.send(log_alert("errors", computer))

    (row,) = of(world, "pr-2")
    assert "pr-2" in row["description"]
    assert "2 alerts" in row["description"]

    world.servicenow.close(row["sys_id"])
    world.send(log_alert("errors", "pr-3"))

    (after,) = of(world, "pr-3")
    assert (after["number"] != row["number"], after["state"]) == (True, "1")


def test_every_other_alert_has_one_of_its_own(world: World) -> None:
    alerts = [replace(MetricAlert(rule="cpu-high"), resource=f"vm-metric-{number}") for number in (1, 1, 2)]

    for alert in alerts:
        world.send(alert.fired(firedDateTime=datetime.now(UTC).isoformat()))

    rows = of(world, "vm-metric-")
    assert [(row["impact"], row["urgency"], row["state"]) for row in rows] == [("1", "1", "1")] * 3


def test_nothing_is_resolved_but_people_are_told(world: World) -> None:
    alert = replace(MetricAlert(rule="cpu-high"), resource="vm-over")

    for said in (alert.fired(), alert.resolved()):
        world.send(said)

    (row,) = of(world, "vm-over")
    assert row["state"] == "1"
    assert any("Resolved" in note or "is over" in note for note in world.servicenow.notes(row["sys_id"]))


def test_a_rule_of_another_group_has_the_fields_of_that_group(world: World) -> None:
    world.send(replace(MetricAlert(rule="memory-low"), resource="vm-memory").fired())

    (row,) = of(world, "vm-memory")
    assert row["assignment_group"] == ci_sys_id("group")


@pytest.fixture
def on_trial(tmp_path: Path) -> Iterator[tuple[World, Path]]:
    folder = emitted(tmp_path)
    rules = tmp_path / "in-force.yaml"
    rules.write_text((folder / "rules-trial.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with World(settings={"ITSM_RULES_FILE": str(rules)}) as running:
        yield running, rules
        assert running.servicenow.crashes == []


def test_a_trial_from_its_first_alert_to_its_end(
    on_trial: tuple[World, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, rules = on_trial
    goes_on, ends = (replace(MetricAlert(rule="cpu-high"), resource=f"vm-{each}") for each in ("on", "over"))
    both = [log_alert("errors", computer) for computer in ("log-1", "log-2")]

    answers = [world.send(each) for each in (goes_on.fired(), ends.fired(), ends.resolved(), *both)]

    assert [(each.status, each.outcome, each.body["incident"]) for each in answers] == [(200, "ignored", None)] * 5
    assert world.servicenow.incidents == []

    for name, value in world.settings.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert cli.main(["list", "--shadow", "--json"]) == 0
    listed = {row["rule"]: row["trial"]["would_be"] for row in json.loads(capsys.readouterr().out)}
    assert listed["errors"] == "its incident would be open"
    assert len(listed) == 2

    rules.write_text((rules.parent / "out" / "rules.yaml").read_text(encoding="utf-8"), encoding="utf-8")

    def is_brought_in() -> bool:
        world.invoke("resync")
        return len(world.servicenow.incidents) == 2

    assert world.wait_until(is_brought_in, within=timedelta(seconds=120))
    titles = sorted(row["description"] for row in world.servicenow.incidents)
    assert any("vm-on" in text for text in titles)
    assert any("log-1" in text and "log-2" in text for text in titles)
    assert of(world, "vm-over") == []
