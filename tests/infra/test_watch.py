"""Each silent failure is told: the query of its alert rule finds it in the log that the program wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from itsm_bridge import app
from itsm_bridge.operate.health import FRESH
from itsm_bridge.troubles import Trouble, Troubles
from local.alerts import MetricAlert
from local.breakages import Breaker
from local.world import Answer, World
from tests.infra import bicep, kql
from tests.infra.app_log import request, traces
from tests.infra.test_bicep import FILES, ROOT

RULES: Mapping[str, Mapping[str, Any]] = {
    each["name"]: each for each in bicep.Template.parse(FILES["watch.bicep"]).variables["troubles"]
}
#: What the program met in each silent failure, and the rule that tells it.
TOLD = [
    ("audience", "calls-refused", "refused-audience"),
    ("role", "calls-refused", "refused-role"),
    ("no-rights", "rejected-by-servicenow", "servicenow-may-not-create"),
    ("wrong-secret", "rejected-by-servicenow", "servicenow-sign-in"),
    ("dropped-field", "rejected-by-servicenow", "servicenow-fields-not-stored"),
    ("mandatory-field", "alert-parked", "parked"),
]


class Watched:
    """A world, and what its app logs from a moment on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.begin()

    def begin(self) -> None:
        self._read = len(self.world.host.output())
        self._calls: list[dict[str, Any]] = []

    def send(self, rule: str, **arguments: Any) -> Answer:
        answer = self.world.send(MetricAlert(rule=rule).fired(), **arguments)
        self._calls.append(request("receive_alert", answer))
        return answer

    def health(self) -> Answer:
        answer = self.world.call("GET", f"{self.world.host.url}/api/health")
        self._calls.append(request("health", answer))
        return answer

    def told(self) -> set[tuple[str, str]]:
        """Return which rules would tell now, each with the trouble that it names."""
        tables = {"AppTraces": traces(self.world.host.output()[self._read :]), "AppRequests": self._calls}
        now = datetime.now(UTC)
        return {
            (name, row["trouble"]) for name, rule in RULES.items() for row in kql.run(rule["query"], tables, now=now)
        }

    def tells(self, rule: str, trouble: str) -> bool:
        return self.world.wait_until(lambda: (rule, trouble) in self.told(), within=timedelta(minutes=1))


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with World() as world:
        world.send(MetricAlert(rule="warms-up").fired())
        yield world


@pytest.fixture
def watched(running: World) -> Iterator[Watched]:
    yield Watched(running)
    # What a test left unsettled must not speak in the log of the next.
    for row in app.stored(running.settings).listing.unsettled():
        app.stored(running.settings).store.delete(row)


def test_a_bridge_that_works_is_told_of_by_no_rule(watched: Watched) -> None:
    alert = MetricAlert(rule="goes-well")
    answers = [watched.world.send(each).status for each in (alert.fired(), alert.resolved())]
    watched.world.invoke("resync")
    watched.health()

    assert watched.world.wait_until(lambda: "backlog: 0 waiting" in watched.world.host.output())
    assert set(answers) == {200}
    assert watched.told() == set()


@pytest.mark.parametrize(("breakage", "rule", "trouble"), TOLD)
def test_a_silent_failure_is_told_within_a_minute(breakage: str, rule: str, trouble: str, watched: Watched) -> None:
    breaker = Breaker(watched.world)
    breaker.break_one(breakage)
    try:
        watched.send(f"watched-{breakage}")

        assert watched.tells(rule, trouble)
        assert {name for name, _ in watched.told()} == {rule}
    finally:
        breaker.mend()


def test_alerts_that_wait_longer_than_ten_minutes_are_told(watched: Watched) -> None:
    breaker = Breaker(watched.world)
    breaker.break_one("servicenow-down")
    try:
        key = watched.send("waits").body["alert_key"]
        watched.world.invoke("resync")
        assert ("alerts-waiting", "waiting") not in watched.told()
        store = app.stored(watched.world.settings).store
        row = store.read(key)
        assert row is not None
        aged = replace(row.desired, changed_at=row.desired.changed_at - timedelta(minutes=11))
        store.replace(replace(row, desired=aged))

        watched.world.invoke("resync")

        assert watched.tells("alerts-waiting", "waiting")
    finally:
        breaker.mend()


def test_an_app_that_is_not_well_is_told(watched: Watched) -> None:
    breaker = Breaker(watched.world)
    breaker.break_one("wrong-secret")
    try:
        watched.send("not-well")
        assert watched.world.wait_until(lambda: watched.health().status == 503, within=FRESH * 3)

        assert ("bridge-degraded", "degraded") in watched.told()
    finally:
        breaker.mend()


def test_rules_that_are_not_valid_are_told_without_any_alert() -> None:
    with World(settings={"ITSM_RULES_FILE": "README.md"}) as world:
        watched = Watched(world)
        world.invoke("resync")
        # The first look at the rules may not have ended when the timer ran.
        world.invoke("resync")

        assert watched.tells("rules-not-valid", "rules-not-valid")


def test_a_bug_is_told() -> None:
    line = "2026-11-28 16:00:00,000 ERROR itsm_bridge unexpected TypeError at alert.py:10; Azure Monitor is asked again"

    found = kql.run(RULES["unexpected-error"]["query"], {"AppTraces": traces(line)}, now=datetime.now(UTC))

    assert [row["trouble"] for row in found] == ["unexpected"]
    assert 'log.error("unexpected %s at %s' in (ROOT / "itsm_bridge" / "webhook.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("trouble", [each for each in Trouble if each.startswith("azure-")])
def test_that_azures_own_list_cannot_be_followed_is_told(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    Troubles().count(trouble, "our identity lacks a role")
    [record] = [each for each in caplog.records if each.name == "itsm_bridge.troubles"]
    line = f"2026-11-28 16:00:00,000 WARNING itsm_bridge.troubles {record.getMessage()}"

    tables = {"AppTraces": traces(line)}
    found = kql.run(RULES["azure-list-not-followed"]["query"], tables, now=datetime.now(UTC))

    # An answer that does not come is Azure's affair, and comes again.
    assert [row["trouble"] for row in found] == ([] if trouble is Trouble.AZURE_AWAY else [str(trouble)])


def test_each_rule_is_tried_here() -> None:
    assert RULES.keys() == {rule for _, rule, _ in TOLD} | {
        *("alerts-waiting", "azure-list-not-followed", "bridge-degraded", "rules-not-valid", "unexpected-error")
    }
