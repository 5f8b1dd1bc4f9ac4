"""What `doctor` says of Azure's own list, asked over HTTP."""

from datetime import datetime, timedelta

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.finding import Finding, Status
from itsm_bridge.resource_manager import checkup
from itsm_bridge.resource_manager.client import ResourceManager
from itsm_bridge.settings import AzureSettings
from local.alerts import SUBSCRIPTION
from local.resource_manager.service import ACTION_GROUP, READ, READ_HISTORY, ResourceManagerStandIn
from tests.builders import HOUR, MINUTE, NOW
from tests.resource_manager.scene import alert


def look(azure: ResourceManagerStandIn, client: ResourceManager, *, is_person: bool = False) -> dict[str, Finding]:
    found: list[Finding] = []
    settings = AzureSettings(frozenset({ACTION_GROUP.lower()}), True, True, "", azure.url)

    def token(_: Deadline) -> str:
        if not azure.identity.token:
            raise Unavailable("the identity endpoint did not answer")
        return azure.identity.token

    looks: dict[str, datetime | None] = {"missed": NOW - MINUTE, "states": NOW - MINUTE}
    checkup.examine(
        settings,
        client,
        found.append,
        token=token,
        subscriptions={SUBSCRIPTION},
        looks=looks,
        now=NOW,
        is_person=is_person,
    )
    assert len({each.check for each in found}) == len(found)
    return {each.check: each for each in found}


@pytest.fixture
def fired(azure: ResourceManagerStandIn) -> None:
    azure.told(alert().fired())


@pytest.mark.usefixtures("fired")
def test_what_is_well_is_told(azure: ResourceManagerStandIn, client: ResourceManager) -> None:
    found = look(azure, client)

    assert set(found) == {"azure.token", "azure.alerts", "azure.missed", "azure.states", "azure.groups"}
    assert {each.status for each in found.values()} == {Status.OK}


@pytest.mark.usefixtures("fired")
@pytest.mark.parametrize("action", [READ, READ_HISTORY])
@pytest.mark.parametrize(("is_person", "status"), [(False, Status.BROKEN), (True, Status.WARNING)])
def test_a_missing_role_is_named_with_who_can_grant_it(
    azure: ResourceManagerStandIn, client: ResourceManager, action: str, is_person: bool, status: Status
) -> None:
    azure.denied.add(action)

    finding = look(azure, client, is_person=is_person)["azure.alerts"]

    assert finding.status is status
    assert SUBSCRIPTION in finding.message
    assert ("Monitoring Reader" if is_person else "infra/followed.bicep") in finding.remedy


def test_without_a_token_nothing_more_is_asked(azure: ResourceManagerStandIn, client: ResourceManager) -> None:
    azure.identity.token = ""

    [finding] = look(azure, client).values()

    assert finding.status is Status.BROKEN
    assert azure.requests == []


def test_an_answer_that_is_no_list_is_told(azure: ResourceManagerStandIn, client: ResourceManager) -> None:
    azure.throttle(times=5)

    assert look(azure, client)["azure.alerts"].status is Status.BROKEN


@pytest.mark.parametrize(
    ("at", "status"),
    [
        (NOW - MINUTE, Status.OK),
        (NOW - timedelta(minutes=15), Status.OK),
        (NOW - HOUR, Status.WARNING),
        (None, Status.WARNING),
    ],
)
def test_looks_that_do_not_come_to_an_end_are_told(at: datetime | None, status: Status) -> None:
    found: list[Finding] = []

    checkup._look_at_mark("states", at, found.append, NOW)

    assert [each.status for each in found] == [status]
