"""Rules, from the file to the incident: real runtime library, real Azurite, real HTTP. End states in ServiceNow."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.operate import cli
from local.alerts import MetricAlert
from local.servicenow.demo_cmdb import ci_sys_id
from local.world import World

RULES = "tests/rules/world.yaml"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(settings={"ITSM_RULES_FILE": RULES}) as running:
        yield running


@pytest.fixture(autouse=True)
def _stands(world: World) -> Iterator[None]:
    yield
    assert world.servicenow.crashes == []


def of(world: World, *alerts: MetricAlert) -> list[dict[str, str]]:
    """Return the incidents that tell of these alerts, each once, oldest first."""
    names = {alert.rule for alert in alerts}
    told = "short_description", "description"
    return [row for row in world.servicenow.incidents if any(name in row[each] for name in names for each in told)]


def alert(rule: str, **changes: Any) -> MetricAlert:
    return replace(MetricAlert(rule=rule), **changes)


def test_an_incident_is_routed_and_worded_as_the_rule_says(world: World) -> None:
    routed = alert("routed-1", severity="Sev2")

    answer = world.send(routed.fired())

    (row,) = of(world, routed)
    assert (answer.status, answer.outcome) == (200, "created")
    assert row["short_description"] == "Sev2 routed-1 on vm-web-01"
    assert row["assignment_group"] == ci_sys_id("group")
    assert (row["category"], row["contact_type"]) == ("software", "monitoring")


def test_what_people_change_of_it_stays(world: World) -> None:
    routed = alert("routed-2")
    world.send(routed.fired())
    (row,) = of(world, routed)
    world.servicenow.edit(row["sys_id"], {"category": "network", "assignment_group": ci_sys_id("group Network")})

    world.send(routed.fired(severity="Sev0"))

    (row,) = of(world, routed)
    assert row["category"] == "network"
    assert row["short_description"].startswith("Sev0 ")


def test_a_group_that_nobody_has_leaves_the_field_out_and_is_told(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The instance gives the group of the configuration item to an incident that has one.
    lost = alert("goes-nowhere", resource="vm-in-no-cmdb")

    answer = world.send(lost.fired())

    (row,) = of(world, lost)
    assert (answer.outcome, row["assignment_group"]) == ("created", "")
    for name, value in world.settings.items():
        monkeypatch.setenv(name, value)
    cli.main(["show", row["number"]])
    assert "Nobody at all" in capsys.readouterr().out


def test_a_text_that_cannot_be_made_is_that_of_the_program(world: World) -> None:
    broken = alert("text-endless")

    answer = world.send(broken.fired())

    (row,) = of(world, broken)
    assert (answer.outcome, row["short_description"][:5]) == ("created", "Sev1:")


def test_what_nobody_wants_is_answered_as_ignored(world: World) -> None:
    noise = alert("noise-1")

    answers = [world.send(said) for said in (noise.fired(), noise.resolved())]

    assert [(each.status, each.outcome, each.body["incident"]) for each in answers] == [(200, "ignored", None)] * 2
    assert of(world, noise) == []


def test_a_severity_that_a_rule_restates_counts_and_says_why(world: World) -> None:
    vital = alert("vital-1", severity="Sev4")

    world.send(vital.fired())

    (row,) = of(world, vital)
    assert (row["impact"], row["urgency"], row["short_description"][:5]) == ("1", "1", "Sev0:")
    assert "because the shop is closed without it" in row["description"]


def test_alerts_of_one_machine_share_an_incident_that_ends_with_the_last(world: World) -> None:
    first, second = alert("machine-cpu", resource="vm-web-02"), alert("machine-disk", resource="vm-web-02")

    for said in (first.fired(), second.fired(), first.resolved()):
        world.send(said)
    (row,) = of(world, first, second)
    assert row["state"] == "1"
    assert "stands for 2 alerts on vm-web-02; 1 fires now" in row["description"]

    answer = world.send(second.resolved())
    (row,) = of(world, first, second)
    assert (answer.outcome, row["state"], row["cmdb_ci"]) == ("resolved", "6", ci_sys_id("vm-web-02"))


def test_a_storm_is_one_incident_after_the_first_few(world: World) -> None:
    storm = [alert(f"storm-{number}", resource=f"vm-{number}") for number in range(6)]

    for each in storm:
        assert world.send(each.fired()).status in (200, 202)

    rows = of(world, *storm)
    assert len(rows) == 3
    assert "stands for 4 alerts in a storm" in rows[-1]["description"]

    for each in storm:
        world.send(each.resolved())
    assert world.wait_until(lambda: {row["state"] for row in of(world, *storm)} == {"6"})


def test_what_passes_by_itself_is_no_incident(world: World) -> None:
    brief, lasting = alert("brief-passes"), alert("brief-lasts")

    assert [world.send(each.fired()).outcome for each in (brief, lasting)] == ["accepted", "accepted"]
    world.send(brief.resolved())

    assert world.wait_until(lambda: bool(of(world, lasting)), within=timedelta(seconds=60))
    assert of(world, brief) == []


def test_an_end_that_people_decide_is_a_note(world: World) -> None:
    manual = alert("manual-1")

    answers = [world.send(said).outcome for said in (manual.fired(), manual.resolved())]

    (row,) = of(world, manual)
    assert (answers, row["state"]) == (["created", "updated"], "1")
    assert any("Resolved" in note for note in world.servicenow.notes(row["sys_id"]))


def test_one_that_is_never_reopened_is_followed_by_another(world: World) -> None:
    anew = alert("anew-1")
    for said in (anew.fired(), anew.resolved()):
        world.send(said)

    again = replace(anew, fired_at=anew.fired_at + timedelta(hours=1))
    world.send(again.fired())

    assert [row["state"] for row in of(world, anew)] == ["6", "1"]
