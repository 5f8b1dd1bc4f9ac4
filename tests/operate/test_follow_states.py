"""The commands `follow` and `doctor` where alerts follow their incidents, with everything over HTTP."""

import argparse
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableClient

from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.errors import InvalidSettings
from itsm_bridge.finding import Finding, Status
from itsm_bridge.operate import follow
from itsm_bridge.operate.doctor import Asked, examined
from itsm_bridge.operate.exit_status import DONE, NO_ANSWER
from itsm_bridge.storage.account import QUEUE, TABLE
from itsm_bridge.storage.progress_table import ProgressTable
from local.alerts import SUBSCRIPTION, MetricAlert
from local.azurite import Azurite
from local.resource_manager.service import ACTION_GROUP, READ, ResourceManagerStandIn
from local.servicenow.instance import ServiceNowStandIn
from tests.builders import news_of
from tests.rig import Rig


class Sides:
    """An alert with its incident, which a person took, and the settings of a command."""

    def __init__(self, azurite: Azurite, servicenow: ServiceNowStandIn, azure: ResourceManagerStandIn) -> None:
        self.azure = azure
        self.settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "SERVICENOW_INSTANCE_URL": servicenow.url,
            "SERVICENOW_API_KEY": servicenow.credentials.api_key,
            "ALLOWED_SUBSCRIPTIONS": SUBSCRIPTION,
            **azure.settings,
        }
        self.table = TableClient.from_connection_string(azurite.connection_string, TABLE)
        with suppress(ResourceExistsError):
            self.table.create_table()
        rig = Rig(azurite, servicenow)
        rig.now = datetime.now(UTC)
        rig.place = replace(rig.place, table=TABLE, queue=QUEUE)
        rig.parts = rig.place.parts()
        self.alert = MetricAlert(fired_at=rig.now)
        azure.told(self.alert.fired())
        rig.receive(news_of(parse_alert(json.dumps(self.alert.fired()).encode())), rig.make())
        [incident] = servicenow.incidents
        self.number = incident["number"]
        servicenow.edit(incident["sys_id"], {"state": "2"})

    def follow(self, *, dry_run: bool, as_json: bool = False, states: bool = True, **settings: str) -> tuple[int, str]:
        asked = argparse.Namespace(dry_run=dry_run, subscription="", since=None, states=states, json=as_json)
        out = io.StringIO()
        status = follow.run(asked, {**self.settings, **settings}, out=out)
        return status, out.getvalue()

    def doctor(self, **settings: str) -> dict[str, Finding]:
        found = examined(Asked(environ={**self.settings, **settings}, graph=lambda _: None))
        return {each.check: each for each in found if each.check.startswith("azure.")}

    @property
    def state(self) -> str:
        return str(self.azure.alerts[self.alert.guid].essentials["alertState"])


@pytest.fixture
def sides(account: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    with ServiceNowStandIn() as servicenow, ResourceManagerStandIn() as azure:
        for name, value in azure.identity.environment.items():
            monkeypatch.setenv(name, value)
        made = Sides(account, servicenow, azure)
        yield made
        made.table.delete_table()
        made.table.close()


def test_a_dry_run_before_anything_is_switched_on_tells_what_would_be_passed_on(sides: Sides) -> None:
    status, told = sides.follow(dry_run=True)

    assert status == DONE
    assert "1 doings of people would be passed on." in told
    assert f"{sides.number}: acknowledge  incident taken; alert new" in told
    assert sides.state == "New"


def test_scripts_are_told_the_same(sides: Sides) -> None:
    _, told = sides.follow(dry_run=True, as_json=True)

    document = json.loads(told)
    assert set(document) == {"states"}
    [change] = document["states"]["changes"]
    assert change["alert_id"].endswith(sides.alert.guid)
    assert (change["incident"], change["action"]) == (sides.number, "acknowledge")


def test_both_directions_are_told_where_the_action_groups_are_known(sides: Sides) -> None:
    _, told = sides.follow(dry_run=True, as_json=True, AZURE_ACTION_GROUP_IDS=ACTION_GROUP)

    assert {"found", "judged", "states"} <= set(json.loads(told))


def test_a_run_passes_on_only_where_that_is_switched_on(sides: Sides) -> None:
    with pytest.raises(InvalidSettings):
        sides.follow(dry_run=False)

    # The first run begins, the second one goes on from there.
    sides.follow(dry_run=False, SYNC_ALERT_STATE="true")
    status, told = sides.follow(dry_run=False, SYNC_ALERT_STATE="true")

    assert status == DONE
    assert "1 doings of people were passed on." in told
    assert sides.state == "Acknowledged"


def test_missed_alerts_alone_ask_servicenow_nothing(sides: Sides) -> None:
    _, told = sides.follow(dry_run=True, as_json=True, states=False, AZURE_ACTION_GROUP_IDS=ACTION_GROUP)

    assert "states" not in json.loads(told)


def test_what_keeps_a_run_from_its_end_is_told(sides: Sides) -> None:
    sides.azure.denied.add(READ)

    status, told = sides.follow(dry_run=True)

    assert status == NO_ANSWER
    assert "lacks a role" in told


def test_doctor_says_nothing_of_it_where_nothing_is_switched_on(sides: Sides) -> None:
    assert sides.doctor() == {}
    assert sides.azure.requests == []


def test_doctor_says_whether_alerts_can_be_read_and_when_looks_came_to_an_end(sides: Sides) -> None:
    switched_on = {"SYNC_ALERT_STATE": "true", "RECOVER_MISSED_ALERTS": "true", "AZURE_ACTION_GROUP_IDS": ACTION_GROUP}

    before = sides.doctor(**switched_on)
    sides.follow(dry_run=False, SYNC_ALERT_STATE="true")
    after = sides.doctor(**switched_on)

    assert {each.check for each in before.values() if each.status is not Status.OK} == {"azure.missed", "azure.states"}
    assert after["azure.states"].status is Status.OK
    assert ProgressTable(sides.table).read("states").document["complete_at"]
    sides.azure.denied.add(READ)
    assert sides.doctor(**switched_on)["azure.alerts"].status is Status.BROKEN
