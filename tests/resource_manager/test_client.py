"""The client, against the stand-in of Azure Resource Manager over HTTP."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import MonitorCondition
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidSettings, PermanentError, Unavailable, Unconfirmed
from itsm_bridge.resource_manager import client as room
from itsm_bridge.resource_manager.answers import Gone, Malformed, MissingRole, Refused, Throttled, TooManyChanges
from itsm_bridge.resource_manager.client import ResourceManager
from itsm_bridge.resource_manager.history import Call, call_of
from itsm_bridge.resource_manager.identity import NoIdentity, managed_identity
from itsm_bridge.resource_manager.listed_alert import AlertState, ListedAlert
from itsm_bridge.troubles import Trouble
from local.alerts import SUBSCRIPTION, MetricAlert
from local.http_server import Answer
from local.resource_manager import refusals
from local.resource_manager.azure_monitor import VirtualClock
from local.resource_manager.service import ACTION_GROUP, CHANGE, READ, READ_HISTORY, ResourceManagerStandIn
from tests.builders import NOW

OTHER_GROUP = ACTION_GROUP.replace("itsm-bridge", "mail")


def fire(azure: ResourceManagerStandIn, number: int = 1, **more: Any) -> MetricAlert:
    alert = MetricAlert(rule=f"rule-{number}", guid=f"00000000-0000-4000-8000-{number:012}", fired_at=azure.now())
    azure.told(alert.fired(), **more)
    return alert


def changed(client: ResourceManager, deadline: Deadline, clock: VirtualClock, **more: Any) -> list[ListedAlert]:
    span = {"since": clock.now - timedelta(hours=1), "until": clock.now, **more}
    return list(client.alerts(SUBSCRIPTION, **span, deadline=deadline))


def first(client: ResourceManager, deadline: Deadline, clock: VirtualClock) -> ListedAlert:
    [alert] = changed(client, deadline, clock)
    return alert


def test_changed_alerts_come_oldest_first_and_without_context(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    alerts = []
    for number in (1, 2, 3):
        alerts.append(fire(azure, number))
        clock.now += timedelta(minutes=1)
    azure.told(alerts[0].resolved())

    found = changed(client, deadline, clock)

    assert [(each.guid, each.condition) for each in found] == [
        (alerts[1].guid, MonitorCondition.FIRED),
        (alerts[2].guid, MonitorCondition.FIRED),
        (alerts[0].guid, MonitorCondition.RESOLVED),
    ]
    assert not any(each.has_context for each in found)
    assert found[0].short_id == alerts[1].fired()["data"]["essentials"]["alertId"]
    assert found[0].id != found[0].short_id


@pytest.mark.parametrize("time_range_of", ["startDateTime", "lastModifiedDateTime"])
def test_an_alert_that_changes_while_pages_are_read_hides_no_other(
    time_range_of: str,
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    azure.time_range_of = time_range_of
    alerts = []
    for number in range(60):
        alerts.append(fire(azure, number))
        clock.now += timedelta(seconds=10)
    since, until = clock.now - timedelta(minutes=30), clock.now
    clock.now += timedelta(minutes=2)

    def change(_: dict[str, Any]) -> None:
        # Somebody takes an alert of the first page before the second one is asked for.
        azure.set_state(alerts[-1].guid, "Acknowledged")

    azure.spoil = change
    found = changed(client, deadline, clock, since=since, until=until)

    assert {each.guid for each in found} >= {each.guid for each in alerts[:-1]}


def test_nothing_new_costs_one_request(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    for number in range(120):
        fire(azure, number)
    clock.now += timedelta(hours=2)
    azure.requests.clear()

    assert changed(client, deadline, clock) == []
    assert len(azure.requests) == 1


@pytest.mark.parametrize("time_range_of", ["startDateTime", "lastModifiedDateTime"])
def test_an_old_alert_that_changed_is_found_whatever_azures_time_range_speaks_of(
    time_range_of: str, azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    azure.time_range_of = time_range_of
    alert = fire(azure)
    clock.now += timedelta(days=3)
    azure.told(alert.resolved())

    assert [each.guid for each in changed(client, deadline, clock)] == [alert.guid]
    assert changed(client, deadline, clock, monitor_condition="Fired") == []


def test_more_alerts_than_a_page_holds_are_all_found_each_once(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    for number in range(130):
        fire(azure, number)
        clock.now += timedelta(seconds=1)

    found = changed(client, deadline, clock)

    assert [each.guid for each in found] == list(azure.alerts)
    assert len(azure.requests) == 3


def test_more_changes_than_a_look_can_take_are_told_and_a_shorter_look_takes_the_oldest(
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    for number in range(130):
        fire(azure, number)
        clock.now += timedelta(seconds=1)

    with pytest.raises(TooManyChanges) as told:
        client.changed(SUBSCRIPTION, since=NOW, until=clock.now, most_pages=2, deadline=deadline)

    assert NOW < told.value.reached < clock.now
    clock.now += timedelta(minutes=3)
    until = NOW + timedelta(seconds=50)
    found = client.changed(SUBSCRIPTION, since=NOW, until=until, most_pages=2, deadline=deadline)
    assert [each.guid for each in found.alerts] == list(azure.alerts)[:51]


def test_an_alert_is_asked_for_with_its_context_and_its_history_tells_who_was_called(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    fire(azure, groups=[OTHER_GROUP, ACTION_GROUP.upper()])
    listed = first(client, deadline, clock)

    alert = client.alert(listed.id, deadline=deadline)
    history = client.history(listed.id, deadline=deadline)

    assert alert is not None
    assert alert.has_context
    assert [each.event for each in history] == ["AlertCreated", "ActionsTriggered", "ActionsTriggered"]
    assert call_of(history, {ACTION_GROUP.lower()}) is Call.TRIGGERED
    assert call_of(history, {"/subscriptions/another"}) is Call.NOT_OURS


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ({"groups": [], "suppressed": [ACTION_GROUP]}, Call.SUPPRESSED),
        ({"groups": [OTHER_GROUP], "suppressed": [ACTION_GROUP]}, Call.SUPPRESSED),
        ({"groups": [ACTION_GROUP], "suppressed": [OTHER_GROUP]}, Call.TRIGGERED),
        ({"groups": [], "failed": [ACTION_GROUP]}, Call.TRIGGERED),
        ({"groups": []}, Call.NOBODY),
    ],
)
def test_the_history_tells_what_became_of_our_action_group(
    called: dict[str, Any],
    expected: Call,
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    fire(azure, **called)

    history = client.history(first(client, deadline, clock).id, deadline=deadline)

    assert call_of(history, {ACTION_GROUP.lower()}) is expected


def test_of_two_groups_of_ours_one_that_was_called_is_enough(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    fire(azure, groups=[OTHER_GROUP], suppressed=[ACTION_GROUP])

    history = client.history(first(client, deadline, clock).id, deadline=deadline)

    assert call_of(history, {ACTION_GROUP.lower(), OTHER_GROUP.lower()}) is Call.TRIGGERED


def test_a_history_without_details_leaves_it_open_whom_azure_called(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    azure.has_details = False
    fire(azure)

    history = client.history(first(client, deadline, clock).id, deadline=deadline)

    assert call_of(history, {ACTION_GROUP.lower()}) is Call.UNKNOWN


def test_a_state_is_changed_once_and_the_history_says_by_whom_and_why(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    fire(azure)
    listed = first(client, deadline, clock)

    for _ in range(2):
        after = client.change_state(listed, AlertState.ACKNOWLEDGED, comment="INC0010001 is taken", deadline=deadline)

    entries = [each for each in client.history(listed.id, deadline=deadline) if each.event == "StateChange"]
    assert after.alert_state is AlertState.ACKNOWLEDGED
    assert [(each.by, each.old_value, each.new_value, each.comments) for each in entries] == [
        ("itsm-bridge", "New", "Acknowledged", "INC0010001 is taken")
    ]


def test_an_alert_whose_resource_was_deleted_is_found_below_its_resource_group(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    alert = fire(azure)
    listed = first(client, deadline, clock)
    azure.deleted.add(alert.target)

    assert client.alert(listed.id, deadline=deadline) is not None
    assert client.history(listed.id, deadline=deadline)
    assert client.change_state(listed, AlertState.CLOSED, comment="", deadline=deadline).alert_state == "Closed"


def test_an_alert_that_azure_does_not_keep_any_more_is_gone(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    fire(azure)
    listed = first(client, deadline, clock)
    clock.now += timedelta(days=31)

    assert client.alert(listed.id, deadline=deadline) is None
    with pytest.raises(Gone):
        client.history(listed.id, deadline=deadline)
    with pytest.raises(Gone):
        client.change_state(listed, AlertState.CLOSED, comment="", deadline=deadline)


@pytest.mark.parametrize(
    ("action", "trouble"),
    [
        (READ, Trouble.AZURE_MAY_NOT_READ),
        (READ_HISTORY, Trouble.AZURE_MAY_NOT_READ),
        (CHANGE, Trouble.AZURE_MAY_NOT_CHANGE),
    ],
)
def test_a_missing_role_is_told_as_such(
    action: str,
    trouble: Trouble,
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    fire(azure)
    listed = first(client, deadline, clock)
    azure.denied.add(action)

    asked: dict[str, Callable[[], object]] = {
        READ: partial(client.alert, listed.id, deadline=deadline),
        READ_HISTORY: partial(client.history, listed.id, deadline=deadline),
        CHANGE: partial(client.change_state, listed, AlertState.CLOSED, comment="", deadline=deadline),
    }

    with pytest.raises(MissingRole) as told:
        asked[action]()

    assert told.value.trouble == trouble


@pytest.mark.parametrize(("said", "seconds"), [("7", 7), (None, 30), ("soon", 30), ("99999", 3600)])
def test_being_asked_to_wait_is_told_with_the_time(
    said: str | None,
    seconds: int,
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    azure.throttle(seconds=said)

    with pytest.raises(Throttled) as told:
        changed(client, deadline, clock)

    assert told.value.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusals.html(), Malformed),
        (refusals.html(status=502), Unavailable),
        (refusals.html(status=302), Malformed),
        (Answer(status=200, body=b""), Malformed),
        (Answer(status=200, body=b'{"value": [{"id": "/sub'), Malformed),
        (Answer(status=200, body=b"[]"), Malformed),
        (refusals.as_json({"value": {}}), Malformed),
        (refusals.as_json({"values": []}), Malformed),
        (refusals.error(400, "BadRequest", "no"), Refused),
        (refusals.error(401, "ExpiredAuthenticationToken", "no"), Refused),
    ],
)
def test_whatever_the_answer_is_it_becomes_one_sentence(
    answer: Answer,
    kind: type[Exception],
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    azure.next_answers.append(answer)

    with pytest.raises(kind) as told:
        changed(client, deadline, clock)

    assert str(told.value).startswith("Azure Resource Manager ")
    assert "<html>" not in str(told.value)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda page: page.update(nextLink="https://management.azure.example/next"), "another server"),
        (lambda page: page.update(nextLink=page.get("nextLink", "").replace("http:", "https:")), "another server"),
        (lambda page: page.update(nextLink="http://127.0.0.1:1/next"), "another server"),
        (lambda page: page.update(nextLink="/subscriptions/next"), "another server"),
        (lambda page: page.update(nextLink="http://[::1"), "another server"),
        (lambda page: page["value"].reverse(), "another order"),
    ],
)
def test_a_link_that_leads_elsewhere_is_not_followed(
    spoil: Callable[[dict[str, Any]], object],
    said: str,
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    for number in range(60):
        fire(azure, number)
        clock.now += timedelta(seconds=1)
    azure.spoil = spoil

    with pytest.raises(Malformed, match=said):
        changed(client, deadline, clock)

    assert len(azure.requests) == 1


def test_a_loop_of_links_ends(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    for number in range(60):
        fire(azure, number)
    azure.spoil = lambda page: page.update(nextLink=f"{azure.url}{azure.requests[0].split(' ')[1]}")

    with pytest.raises(Malformed, match="loop"):
        changed(client, deadline, clock)

    assert len(azure.requests) == 1


@pytest.mark.parametrize(
    "answer", [Answer(status=200, body=b"x" * 5_000_000), refusals.as_json({"value": [[]] * 90_000})]
)
def test_what_is_too_large_is_asked_for_in_smaller_pages(
    answer: Answer, azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    for number in range(25):
        fire(azure, number)
        clock.now += timedelta(seconds=1)
    azure.next_answers.append(answer)

    assert len(changed(client, deadline, clock)) == 25
    assert len(azure.requests) == 4


def test_a_link_with_the_port_that_everybody_knows_leads_to_the_same_server() -> None:
    assert room._origin("https://management.azure.com:443/next") == room._origin("https://management.azure.com")
    assert room._origin("https://name@management.azure.com/next") != room._origin("https://management.azure.com")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda item: item["properties"].pop("essentials"),
        lambda item: item.pop("properties"),
        lambda item: item.update(properties=[1]),
        lambda item: item.pop("id"),
        lambda item: item.update(id="/subscriptions/../../alerts/x"),
        lambda item: item["properties"]["essentials"].update(lastModifiedDateTime=None, startDateTime=None),
        lambda item: item["properties"]["essentials"].update(monitorCondition="Perhaps"),
    ],
)
def test_an_item_that_is_no_alert_is_left_out_and_told_with_its_place(
    spoil: Callable[[dict[str, Any]], object],
    azure: ResourceManagerStandIn,
    client: ResourceManager,
    clock: VirtualClock,
    deadline: Deadline,
) -> None:
    for number in range(3):
        fire(azure, number)
        clock.now += timedelta(minutes=1)
    azure.spoil = lambda page: spoil(page["value"][1])

    found = client.changed(SUBSCRIPTION, since=NOW - timedelta(hours=1), until=clock.now, deadline=deadline)

    assert [each.rule.rpartition("/")[2] for each in found.alerts] == ["rule-0", "rule-2"]
    [unreadable] = found.unreadable
    assert NOW <= unreadable.since <= NOW + timedelta(minutes=1)


def test_a_state_that_was_sent_without_an_answer_is_in_doubt(
    azure: ResourceManagerStandIn, client: ResourceManager, clock: VirtualClock, deadline: Deadline
) -> None:
    fire(azure)
    listed = first(client, deadline, clock)
    for answer in (refusals.html(), refusals.html(status=503), refusals.as_json({})):
        azure.next_answers.append(answer)

        with pytest.raises(Unconfirmed):
            client.change_state(listed, AlertState.CLOSED, comment="", deadline=deadline)


def test_what_does_not_answer_in_time_is_unavailable(client: ResourceManager, clock: VirtualClock) -> None:
    with pytest.raises(Unavailable):
        changed(client, Deadline.after(timedelta(seconds=0.1)), clock)


def test_a_token_is_sent_over_no_network_unencrypted() -> None:
    with pytest.raises(InvalidSettings):
        ResourceManager("http://management.azure.example", lambda _: "token")


def test_the_managed_identity_gets_a_token_for_the_endpoint_of_any_cloud(
    azure: ResourceManagerStandIn, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in azure.identity.environment.items():
        monkeypatch.setenv(name, value)
    azure.identity.client_id = "c0ffee00-0000-4000-8000-000000000001"
    token = managed_identity("https://management.usgovcloudapi.net", azure.identity.client_id)

    assert [token(deadline), token(deadline)] == [azure.identity.token] * 2
    assert azure.identity.asked == [("https://management.usgovcloudapi.net", azure.identity.client_id)]


def test_an_identity_that_the_app_does_not_have_is_told_as_such(
    azure: ResourceManagerStandIn, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in azure.identity.environment.items():
        monkeypatch.setenv(name, value)
    azure.identity.client_id = "c0ffee00-0000-4000-8000-000000000001"

    with pytest.raises(NoIdentity) as told:
        managed_identity(azure.url, "another")(deadline)

    assert isinstance(told.value, PermanentError)
    assert told.value.trouble == Trouble.AZURE_SIGN_IN
