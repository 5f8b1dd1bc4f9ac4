"""What a person is told of alerts that Azure Monitor failed to bring."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from itsm_bridge.operate.cli import main
from itsm_bridge.storage.alert_table import AlertTable
from local.alerts import SUBSCRIPTION, MetricAlert
from local.resource_manager.service import ACTION_GROUP, READ, ResourceManagerStandIn
from tests.operate.rows import SETTINGS

AGO = timedelta(minutes=10)


@pytest.fixture
def azure(table: AlertTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResourceManagerStandIn]:
    assert table.read("0" * 64) is None, "the table is there, and empty"
    with ResourceManagerStandIn(now=lambda: datetime.now(UTC) - AGO) as running:
        settings = {
            "AZURE_ACTION_GROUP_IDS": ACTION_GROUP,
            "ALLOWED_SUBSCRIPTIONS": SUBSCRIPTION,
            **running.settings,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        # Without these a run looks for what was missed, and not at states.
        for name in SETTINGS:
            if name.startswith("SERVICENOW_"):
                monkeypatch.delenv(name)
        yield running


def missed(rule: str = "cpu-high") -> MetricAlert:
    return MetricAlert(rule=rule, fired_at=datetime.now(UTC) - timedelta(minutes=30))


def test_what_would_come_in_is_told_in_words(azure: ResourceManagerStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    fires, ends = missed("it-fires"), missed("it\x1b[31mends")
    for notification in (fires.fired(), ends.fired(), ends.resolved()):
        azure.told(notification)

    status = main(["follow", "--dry-run"])

    told = capsys.readouterr().out
    assert status == 0
    assert told.startswith("2 alerts changed since the last look; 2 of them would come in.\n")
    assert "it-fires: Fired  (/subscriptions/" in told
    assert "ends: Fired and Resolved" in told
    assert "\x1b" not in told
    assert azure.identity.asked


def test_nothing_missed_is_told_too(azure: ResourceManagerStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["follow", "--dry-run"]) == 0
    assert capsys.readouterr().out == "0 alerts changed since the last look; none of them would come in.\n"
    assert azure.requests


def test_what_nobody_can_tell_takes_a_person(azure: ResourceManagerStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    azure.has_details = False
    azure.told(missed().fired())

    assert main(["follow", "--dry-run"]) == 1
    assert "Of 1 alert nobody can tell whether it was meant for us:\n" in capsys.readouterr().out


def test_what_azure_refuses_is_told(azure: ResourceManagerStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    azure.denied = {READ}

    assert main(["follow", "--dry-run", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    [trouble] = told["troubles"]
    assert trouble.startswith(f"subscription {SUBSCRIPTION}: Azure Resource Manager answered 403 (AuthorizationFailed)")
    assert trouble.endswith("our identity lacks a role")
    assert told["complete"] is False


def test_a_person_can_look_back_further(azure: ResourceManagerStandIn, capsys: pytest.CaptureFixture[str]) -> None:
    azure.now = lambda: datetime.now(UTC) - timedelta(hours=5)
    azure.told(missed().fired())
    azure.now = lambda: datetime.now(UTC)

    found = []
    for words in ([], ["--since", "6h"]):
        assert main(["follow", "--dry-run", "--json", *words]) == 0
        found.append(len(json.loads(capsys.readouterr().out)["found"]))

    assert found == [0, 1]


def test_settings_that_are_missing_are_named(
    azure: ResourceManagerStandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["follow", "--dry-run", "--subscription", "5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90"]) == 2
    assert "ALLOWED_SUBSCRIPTIONS does not name" in capsys.readouterr().err

    monkeypatch.setenv("AZURE_ACTION_GROUP_IDS", "")
    assert main(["follow", "--dry-run"]) == 2
    assert "AZURE_ACTION_GROUP_IDS is missing" in capsys.readouterr().err
    assert azure.requests == []
