"""Each example in docs/rules, through real storage and a ServiceNow over HTTP: what its incidents are in the end."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.app import compile_rules
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET
from local.alerts import MetricAlert
from local.azurite import Azurite
from local.servicenow.demo_cmdb import ci_sys_id
from tests.alert_files import document_of
from tests.builders import HOUR, MINUTE, NOW
from tests.rig import Rig, rig
from tests.rules.page import FOLDER

DAY = timedelta(days=1)
NIGHT = NOW.replace(hour=22)  # a Sunday in UTC; Berlin is an hour ahead


class Played:
    """One example, and what comes of alerts by it."""

    def __init__(self, world: Rig, name: str) -> None:
        self.world = world
        self.rules = compile_rules((FOLDER / f"{name}.yaml").read_bytes())
        self.outcomes: list[str] = []
        self.keys: list[str] = []

    def send(self, *alerts: Mapping[str, Any]) -> None:
        for alert in alerts:
            ruling = self.rules.apply(parse_alert(json.dumps(alert).encode()), self.world.now)
            news = self.world.reconciler.news_of(ruling)
            result = self.world.reconciler.take(news, deadline=self.world.within(INLINE_BUDGET))
            self.outcomes.append(str(result.outcome))
            self.keys.append(result.record.key)

    def wait(self, span: timedelta) -> None:
        """Let time pass, the timer come, and then every wake-up that is due."""
        self.world.now += span
        self.world.reconciler.resync()
        for key in dict.fromkeys(self.keys):
            row = self.world.store.read(key)
            if row is not None and row.awaits_work:
                self.world.now = max(self.world.now, row.work.wake_up_at)
                self.world.wake(row.key)

    @property
    def incidents(self) -> list[dict[str, str]]:
        return list(self.world.instance.incidents)

    @property
    def states(self) -> list[str]:
        return [row["state"] for row in self.incidents]


@pytest.fixture
def world(azurite: Azurite) -> Iterator[Rig]:
    with rig(azurite) as made:
        yield made


@pytest.fixture
def play(request: pytest.FixtureRequest, world: Rig) -> Played:
    """The example that the test is named for."""
    return Played(world, request.function.__name__.removeprefix("test_").replace("_", "-"))


def metric(rule: str = "cpu", resource: str = "vm-web-01", severity: str = "Sev2", **changes: Any) -> MetricAlert:
    return replace(MetricAlert(rule=rule, resource=resource, severity=severity, fired_at=NOW), **changes)


def sample(name: str, *, number: int = 0, **essentials: Any) -> dict[str, Any]:
    """A sample, as another alert for each number."""
    document: dict[str, Any] = copy.deepcopy(document_of(name))
    if number:
        essentials["alertId"] = f"{document['data']['essentials']['alertId'][:-4]}{number:04}"
    document["data"]["essentials"].update(essentials)
    return document


def in_group(group: str, alert: dict[str, Any]) -> dict[str, Any]:
    renamed: dict[str, Any] = json.loads(json.dumps(alert).replace("rg-shop", group))
    return renamed


def test_there_is_a_test_of_each_example() -> None:
    tried = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}

    assert {path.stem for path in Path(FOLDER).glob("*.yaml")} <= tried


def test_caller_and_group(play: Played) -> None:
    play.send(metric().fired())

    (row,) = play.incidents
    assert (row["caller_id"], row["contact_type"]) == (ci_sys_id("azure.monitor"), "monitoring")


def test_route_by_resource_group(play: Played) -> None:
    # Some instances tell names apart that differ by case alone.
    play.world.instance.edit(ci_sys_id("group"), {"name": "Shop operations"}, table="sys_user_group")
    play.send(in_group("rg-cart", metric(resource="vm-in-no-cmdb").fired()), metric(resource="vm-nowhere").fired())

    assert [row["assignment_group"] for row in play.incidents] == [ci_sys_id("group"), ""]


def test_ignore_autoscale(play: Played) -> None:
    play.send(document_of("activity-log-autoscale"), document_of("activity-log-policy"))

    assert (play.outcomes, len(play.incidents)) == (["ignored", "created"], 1)


def test_one_incident_per_machine(play: Played) -> None:
    cpu, disk = metric("cpu"), metric("disk")
    play.send(cpu.fired(), disk.fired(), metric("cpu", "vm-web-02").fired(), cpu.resolved())
    assert play.states == ["1", "1"]

    play.send(disk.resolved())
    assert play.states == ["6", "1"]


def test_close_what_never_ends(play: Played) -> None:
    play.send(document_of("activity-log-policy"), metric().fired())

    play.wait(2 * DAY)
    assert play.states == ["1", "1"]

    play.wait(DAY + MINUTE)
    assert play.states == ["6", "1"]


def test_itsmc_one_per_alert(play: Played) -> None:
    play.send(*(sample("log-search.fired", number=number) for number in (1, 2)))

    assert play.states == ["1", "1"]


def test_itsmc_one_per_configuration_item(play: Played) -> None:
    play.send(*(sample("log-search.fired", number=number, alertRule=f"rule {number}") for number in (1, 2)))
    assert play.states == ["1"]

    play.send(*(sample("log-search.resolved", number=number, alertRule=f"rule {number}") for number in (1, 2)))
    assert play.states == ["6"]

    play.world.instance.close(play.incidents[0]["sys_id"])
    play.send(sample("log-search.fired", number=3))
    assert play.states == ["7", "1"]


def test_itsmc_one_per_rule(play: Played) -> None:
    play.send(
        sample("log-search.fired", number=1),
        sample("log-search.fired", number=2),
        sample("log-search.fired", number=3, alertRule="another rule"),
    )

    assert play.states == ["1", "1"]
    assert "stands for 2 alerts of the alert rule" in play.incidents[0]["description"]


def test_one_incident_per_event(play: Played) -> None:
    event = json.dumps(document_of("service-health-incident.active"))
    elsewhere = event.replace(play_subscription(event), "00000000-0000-0000-0000-00000000abcd")
    play.send(json.loads(event), json.loads(elsewhere))
    assert play.states == ["1"]

    play.send(document_of("service-health-incident.resolved"))
    assert play.states == ["1"]


def play_subscription(text: str) -> str:
    return text.partition("/subscriptions/")[2][:36]


def test_steady_rule(play: Played) -> None:
    for minute in range(4):
        play.world.now = NOW + minute * MINUTE
        play.send(sample("prometheus.fired", number=minute + 1, firedDateTime=play.world.now.isoformat()))
    assert play.states == ["1"]

    play.wait(2 * HOUR + MINUTE)
    assert play.states == ["6"]

    play.send(sample("prometheus.fired", number=9, firedDateTime=play.world.now.isoformat()))
    assert play.states == ["6", "1"]


def test_people_end_it(play: Played) -> None:
    security = sample("activity-log-security", number=1)
    play.send(security, {**security, "data": {**security["data"], "essentials": over(security)}})
    assert play.states == ["1"]

    play.world.instance.close(play.incidents[0]["sys_id"])
    play.send(sample("activity-log-security", number=1, firedDateTime="2026-12-01T10:00:00Z"))
    play.send(document_of("test-metric"))
    assert (play.states, play.outcomes[-1]) == (["7"], "ignored")


def over(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **alert["data"]["essentials"],
        "monitorCondition": "Resolved",
        "resolvedDateTime": "2026-11-30T10:00:00Z",
    }


def test_maintenance(play: Played) -> None:
    patched = in_group("shop-prod", metric().fired())
    for moment in ("2026-03-07T20:59:00+00:00", "2026-03-07T21:01:00+00:00", "2026-03-08T03:01:00+00:00"):
        play.world.now = type(NOW).fromisoformat(moment)  # Saturday, 22:00 to 04:00 in Berlin
        play.send(json.loads(json.dumps(patched).replace(alert_guid(patched), f"0{play.world.now:%d%H%M}0")))

    assert play.outcomes == ["created", "ignored", "created"]


def alert_guid(alert: Mapping[str, Any]) -> str:
    return str(alert["data"]["essentials"]["alertId"].rpartition("/")[2])


def test_trial(play: Played) -> None:
    alert = metric()
    play.send(alert.fired(), document_of("activity-log-autoscale"))
    assert (play.outcomes, play.world.instance.calls) == (["ignored", "ignored"], [])

    play.rules = compile_rules(None)
    play.send(alert.fired(severity="Sev1"))
    assert play.states == ["1"]


def test_severity(play: Played) -> None:
    database = metric(resource="sql-shop-1", resource_type="Microsoft.Sql/servers", severity="Sev1")
    play.send(database.fired(), in_group("a-sandbox", metric(severity="Sev1").fired()), metric(severity="Sev3").fired())

    shown = [(row["short_description"][:4], row["impact"], row["urgency"]) for row in play.incidents]
    assert shown == [("Sev0", "1", "1"), ("Sev4", "3", "3"), ("Sev3", "3", "2")]


def test_steady_alerts(play: Played) -> None:
    passing, lasting = metric("passing", severity="Sev3"), metric("lasting", severity="Sev3")
    play.send(passing.fired(), lasting.fired())
    play.world.now += 5 * MINUTE
    play.send(passing.resolved())
    play.wait(6 * MINUTE)
    assert [row["short_description"] for row in play.incidents] == [f"Sev3: {headline(lasting)}"]

    play.send(*(metric(f"storm-{number}", severity="Sev3").fired() for number in range(30)))
    play.wait(11 * MINUTE)
    assert len(play.incidents) == 22  # the one before, those that came first, and one for all others


def headline(alert: MetricAlert) -> str:
    return f"{alert.metric} above {alert.threshold} % on {alert.resource}"


def test_templates(play: Played) -> None:
    alert = metric(severity="Sev1").fired()
    alert["data"]["customProperties"] = {"team": "Shop Operations"}
    play.send(alert)

    (row,) = play.incidents
    assert row["short_description"].startswith("Sev1 | vm-web-01 | Percentage CPU")
    assert row["assignment_group"] == ci_sys_id("group")


def test_everything(play: Played) -> None:
    """The file that has every key is for reading; by it an ordinary alert is an ordinary incident."""
    play.send(metric().fired())

    assert (play.states, play.incidents[0]["contact_type"]) == (["1"], "monitoring")
