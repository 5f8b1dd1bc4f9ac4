"""Alerts that no call brought become incidents all the same, each once."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.resource_manager import look, missed
from itsm_bridge.resource_manager.look import RECOVERED
from itsm_bridge.storage.row_format import VERSION
from itsm_bridge.troubles import Trouble
from local.alerts import SUBSCRIPTION
from local.azurite import Azurite
from local.resource_manager import refusals
from local.resource_manager.service import ACTION_GROUP, READ, READ_HISTORY
from local.resource_manager.stored_alert import StoredAlert
from tests.alert_files import document_of
from tests.resource_manager.scene import OPEN, RESOLVED, Scene, alert, scene

MINUTE = timedelta(minutes=1)
OTHER_GROUP = ACTION_GROUP.replace("itsm-bridge", "mail")
OTHER_SUBSCRIPTION = "00000000-0000-0000-0000-000000000002"
KEY_OF_1 = key_of_alert_id(alert(1).fired()["data"]["essentials"]["alertId"])


@pytest.fixture
def azure(azurite: Azurite) -> Iterator[Scene]:
    with scene(azurite) as playing:
        yield playing


# What comes in.


def test_an_alert_that_no_call_brought_becomes_an_incident_that_says_so(azure: Scene) -> None:
    azure.miss(alert().fired())

    report = azure.follow_and_work()

    assert azure.states() == {"rule-1": [OPEN]}
    [(_, notes)] = azure.rig.story()
    assert notes[0] == RECOVERED
    [found] = report.found
    assert (found.missed, found.alert_id) == (("Fired",), alert().fired()["data"]["essentials"]["alertId"])


def test_an_end_that_no_call_brought_resolves_the_incident_and_says_so(azure: Scene) -> None:
    azure.monitor.fires(alert().fired())
    azure.pass_(MINUTE)
    azure.work()
    azure.miss(alert().resolved())

    report = azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}
    [row] = azure.rig.instance.incidents
    assert RECOVERED in row["close_notes"]
    assert [found.missed for found in report.found] == [("Resolved",)]


def test_an_alert_that_came_and_went_unseen_is_one_resolved_incident(azure: Scene) -> None:
    azure.miss(alert().fired(), alert().resolved())

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}
    [row] = azure.rig.instance.incidents
    assert "12.5" not in row["description"]
    assert "when it fired" in azure.rig.story()[0][1][0]


def test_an_alert_whose_end_alone_came_is_one_resolved_incident(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.monitor.fires(alert().resolved())
    azure.pass_(MINUTE)
    azure.work()
    assert azure.states() == {}

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}


def test_an_alert_that_was_over_before_anybody_was_called_is_one_resolved_incident(azure: Scene) -> None:
    azure.miss(alert().fired(), alert().resolved(), groups=[])
    azure.azure.alerts[alert().guid].actions([ACTION_GROUP], at=azure.rig.now + timedelta(seconds=3))

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}


@pytest.mark.parametrize("late", [["fired"], ["fired", "resolved"], ["resolved", "fired"], ["resolved"] * 2])
def test_calls_that_come_after_all_change_nothing(late: list[str], azure: Scene) -> None:
    azure.miss(alert().fired(), alert().resolved())
    azure.follow_and_work()
    before = azure.rig.story()

    for each in late:
        azure.call(getattr(alert(), each)())
        azure.work()
    azure.follow_and_work()

    assert azure.rig.story() == before
    assert azure.states() == {"rule-1": [RESOLVED]}


def test_what_calls_brought_is_left_alone_and_costs_one_request(azure: Scene) -> None:
    for number in range(5):
        azure.monitor.fires(alert(number).fired())
    azure.pass_(MINUTE)
    azure.monitor.fires(alert(1).resolved())
    azure.pass_(MINUTE)
    azure.work()
    before = azure.rig.story()

    report = azure.follow_and_work()

    assert azure.rig.story() == before
    assert report.found == []
    assert azure.asked() == ["list"]


def test_what_is_found_is_found_once(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.follow_and_work()
    before = azure.rig.story()
    azure.asked()

    for _ in range(5):
        assert azure.follow_and_work().found == []

    assert azure.rig.story() == before
    assert azure.asked() == ["list"] * 5


def test_a_person_who_takes_the_alert_in_azure_brings_nothing_up(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.follow_and_work()
    before = azure.rig.story()
    azure.azure.set_state(alert().guid, "Acknowledged")

    azure.follow_and_work()

    assert azure.rig.story() == before


def test_an_alert_is_left_to_azure_monitors_own_repetitions_for_two_minutes(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.pass_(MINUTE)
    assert azure.follow().found == []

    azure.pass_(2 * MINUTE)

    assert len(azure.follow().found) == 1


def test_an_alert_that_the_list_knows_ten_minutes_late_is_found(azure: Scene) -> None:
    azure.azure.lag = 10 * MINUTE
    azure.miss(alert().fired())

    seen = [len(azure.follow_and_work().found) for _ in range(5)]

    assert sum(seen) == 1
    assert azure.states() == {"rule-1": [OPEN]}


@pytest.mark.parametrize("time_range_of", ["startDateTime", "lastModifiedDateTime"])
def test_the_end_of_an_alert_that_fired_days_ago_is_found(time_range_of: str, azure: Scene) -> None:
    azure.azure.time_range_of = time_range_of
    azure.monitor.fires(alert().fired())
    azure.pass_(MINUTE)
    azure.work()
    azure.follow_and_work()
    azure.pass_(timedelta(days=3))
    azure.follow_and_work()
    azure.miss(alert().resolved())

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}


# What stays out.


@pytest.mark.parametrize(
    "called",
    [
        {"groups": [OTHER_GROUP]},
        {"groups": [], "suppressed": [ACTION_GROUP]},
        {"groups": [OTHER_GROUP], "suppressed": [ACTION_GROUP]},
    ],
)
def test_what_was_not_meant_for_us_stays_out_and_is_not_asked_about_again(called: dict[str, Any], azure: Scene) -> None:
    azure.miss(alert().fired(), **called)
    azure.follow_and_work()
    assert azure.asked() == ["list", "history"]

    azure.follow_and_work()
    azure.pass_(timedelta(hours=2))
    azure.follow_and_work()

    assert azure.states() == {}
    assert azure.asked() == ["list"] * 2
    assert azure.troubles.take() == {}


def test_an_alert_without_any_action_group_is_asked_about_twice_because_histories_may_be_late(azure: Scene) -> None:
    azure.miss(alert().fired(), groups=[])

    for _ in range(10):
        azure.follow_and_work()

    assert azure.states() == {}
    assert azure.asked().count("history") == 2


def test_an_alert_whose_history_is_late_is_found(azure: Scene) -> None:
    azure.miss(alert().fired(), groups=[])
    azure.follow_and_work()
    azure.azure.alerts[alert().guid].actions([ACTION_GROUP], at=azure.rig.now)

    for _ in range(5):
        azure.follow_and_work()

    assert azure.states() == {"rule-1": [OPEN]}


def test_an_alert_that_azure_lists_and_does_not_know_is_tried_again(azure: Scene) -> None:
    azure.miss(alert(1).fired(), alert(2).fired())
    listed = azure.azure.alerts[alert(1).guid]
    target = listed.essentials["targetResource"]
    listed.essentials["targetResource"] = "/subscriptions/elsewhere"
    azure.follow_and_work()
    assert azure.states() == {"rule-2": [OPEN]}

    listed.essentials["targetResource"] = target
    azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN], "rule-2": [OPEN]}


def test_an_item_without_a_time_neither_turns_back_the_looks_nor_ends_them(azure: Scene) -> None:
    azure.miss(alert().fired())
    broken = azure.azure.alerts[alert().guid]

    def spoil(page: dict[str, Any]) -> None:
        item = json.loads(json.dumps(broken.document))
        item["properties"]["essentials"] |= {"lastModifiedDateTime": None, "startDateTime": None}
        page["value"] = [*(each for each in page["value"] if each["id"] != item["id"]), item]

    azure.azure.spoil = spoil
    places = []
    for _ in range(40):
        azure.follow_and_work()
        row = azure.table.get_entity("progress", f"missed-{SUBSCRIPTION}")
        places.append(json.loads(row["document"])["complete_until"])

    assert places == sorted(places)
    assert places[-1] > places[0]
    assert azure.troubles.take()[Trouble.AZURE_UNCLEAR].count == 1


def test_an_alert_whose_row_may_have_been_purged_is_told_and_not_doubled(azure: Scene) -> None:
    azure.miss(alert().fired(), alert().resolved())
    azure.pass_(timedelta(days=3))
    azure.azure.set_state(alert().guid, "Closed")

    report = azure.follow_and_work(retention=timedelta(days=2))

    assert azure.states() == {}
    assert ["longer ago than rows are kept" in found.reason for found in report.found] == [True]


def test_a_person_can_have_it_look_back_further(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.pass_(timedelta(hours=5))
    assert azure.follow_and_work().found == []

    report = azure.follow_and_work(since=azure.rig.now - timedelta(hours=6))

    assert len(report.found) == 1
    assert azure.states() == {"rule-1": [OPEN]}
    assert azure.follow_and_work().found == []


def test_if_only_alerts_without_a_subscription_are_allowed_none_is_followed(azure: Scene) -> None:
    azure.miss(alert().fired())

    azure.follow_and_work(allowed=["tenant"])

    assert azure.asked() == []


def test_the_end_of_an_alert_of_others_is_not_asked_about_either(azure: Scene) -> None:
    azure.miss(alert().fired(), groups=[OTHER_GROUP])
    azure.follow_and_work()
    azure.miss(alert().resolved(), groups=[OTHER_GROUP])
    azure.asked()

    azure.follow_and_work()

    assert azure.asked() == ["list"]


def test_a_beginning_that_was_suppressed_stays_so_though_its_end_was_not(azure: Scene) -> None:
    azure.miss(alert().fired(), groups=[], suppressed=[ACTION_GROUP])
    azure.pass_(10 * MINUTE)
    azure.miss(alert().resolved())

    azure.follow_and_work()

    assert azure.states() == {}


def test_of_an_old_history_it_is_told_once_that_nobody_can_tell(azure: Scene) -> None:
    azure.azure.has_details = False
    azure.miss(alert().fired())

    reports = [azure.follow_and_work() for _ in range(3)]

    assert azure.states() == {}
    assert [len(report.found) for report in reports] == [1, 0, 0]
    assert "does not tell which action groups" in reports[0].found[0].reason
    assert azure.troubles.take()[Trouble.AZURE_UNCLEAR].count == 1


def test_the_end_of_an_alert_of_which_nobody_could_tell_counts_once_its_call_came(azure: Scene) -> None:
    azure.azure.has_details = False
    azure.miss(alert().fired())
    azure.follow_and_work()
    azure.call(alert().fired())
    azure.pass_(MINUTE)
    azure.miss(alert().resolved())

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}


def test_of_a_service_that_is_not_known_it_is_told_once_if_it_was_meant_for_us(azure: Scene) -> None:
    for number, group in ((1, ACTION_GROUP), (2, OTHER_GROUP)):
        azure.miss(alert(number).fired(monitoringService="SCOM"), groups=[group])

    reports = [azure.follow_and_work() for _ in range(3)]

    assert azure.states() == {}
    assert [found.reason for report in reports for found in report.found] == [
        "alerts of the monitoring service 'SCOM' are not known here"
    ]


def test_test_notifications_are_in_no_list(azure: Scene) -> None:
    azure.miss(document_of("test-metric"))

    assert azure.azure.alerts == {}


def test_a_subscription_that_is_not_followed_is_not_asked_about(azure: Scene) -> None:
    azure.miss(alert().fired())

    azure.follow_and_work(allowed=[OTHER_SUBSCRIPTION])

    assert azure.states() == {}
    assert all(OTHER_SUBSCRIPTION in request for request in azure.azure.requests)


# Health.


def of_health(sample: str, number: int) -> dict[str, Any]:
    text = json.dumps(document_of(sample)).replace("5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90", SUBSCRIPTION)
    document: dict[str, Any] = json.loads(text)
    document["data"]["essentials"]["alertId"] = alert(number).fired()["data"]["essentials"]["alertId"]
    return document


@pytest.mark.parametrize(
    ("began", "ended"),
    [
        ("service-health-incident.active", "service-health-incident.resolved"),
        ("resource-health.unavailable", "resource-health.available"),
    ],
)
def test_events_of_health_come_in_by_their_own_keys(began: str, ended: str, azure: Scene) -> None:
    azure.miss(of_health(began, 1))
    azure.follow_and_work()
    assert [row["state"] for row in azure.rig.instance.incidents] == [OPEN]

    azure.miss(of_health(ended, 2))
    azure.follow_and_work()
    before = azure.rig.story()
    assert [row["state"] for row in azure.rig.instance.incidents] == [RESOLVED]

    # Another rule tells of the same event, and the calls come after all.
    azure.miss(of_health(began, 3), of_health(ended, 4))
    azure.call(of_health(began, 1))
    azure.call(of_health(ended, 2))
    azure.follow_and_work()
    assert azure.rig.story() == before


# Bad answers, and limits.


def test_a_missing_role_is_told_and_what_is_behind_comes_in_once_it_is_there(azure: Scene) -> None:
    azure.miss(alert().fired())
    for action in (READ, READ_HISTORY):
        azure.azure.denied = {action}

        report = azure.follow_and_work()

        assert report.found == []
        assert [each.startswith(f"subscription {SUBSCRIPTION}: ") for each in report.troubles] == [True]
        assert azure.troubles.take()[Trouble.AZURE_MAY_NOT_READ].count == 1
    azure.azure.denied = set()
    azure.pass_(timedelta(hours=5))

    azure.follow_and_work()

    assert azure.states() == {"rule-1": [OPEN]}


def test_azure_is_left_alone_for_as_long_as_it_asks(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.azure.throttle(seconds="600")
    assert azure.follow_and_work().troubles
    azure.asked()

    azure.follow_and_work()
    azure.follow_and_work()
    assert azure.asked() == []

    azure.pass_(6 * MINUTE)
    azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN]}


@pytest.mark.parametrize("place", [0, 1, 2, 4, 6])
@pytest.mark.parametrize(
    "answer",
    [refusals.html(), refusals.html(status=502), refusals.throttled("1"), refusals.as_json({}), refusals.as_json([])],
    ids=["html", "502", "429", "nothing", "a list"],
)
def test_a_bad_answer_at_any_place_delays_and_doubles_nothing(answer: Any, place: int, azure: Scene) -> None:
    for number in (1, 2, 3):
        azure.miss(alert(number).fired())
        azure.pass_(MINUTE)
    good = azure.azure._answer
    azure.pass_(3 * MINUTE)

    def spoilt(request: Any) -> Any:
        if len(azure.azure.requests) == place:
            azure.azure.next_answers.append(answer)
        return good(request)

    azure.azure._server.answer = spoilt
    azure.follow()
    azure.azure._server.answer = good
    azure.work()
    for _ in range(2):
        azure.follow_and_work()

    assert azure.states() == {f"rule-{number}": [OPEN] for number in (1, 2, 3)}


@pytest.mark.parametrize(
    "answer",
    [refusals.error(500, "InternalServerError"), refusals.error(400, "BadRequest")],
    ids=["500", "400"],
)
def test_an_alert_of_which_azure_answers_nothing_holds_nobody_up_and_comes_in_once_it_does(
    answer: Any, azure: Scene
) -> None:
    for number in (1, 2):
        azure.miss(alert(number).fired())
        azure.pass_(MINUTE)
    azure.azure.broken[alert(1).guid] = answer

    assert not azure.follow_and_work().is_complete
    assert azure.states() == {"rule-2": [OPEN]}
    azure.pass_(timedelta(hours=20))
    azure.follow_and_work()
    azure.azure.broken.clear()
    azure.follow_and_work()
    assert azure.states() == {"rule-2": [OPEN], "rule-1": [OPEN]}


def test_an_alert_of_which_azure_never_answers_anything_is_passed_by_after_a_day(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.azure.broken[alert().guid] = refusals.error(500, "InternalServerError")
    azure.follow_and_work()
    azure.pass_(timedelta(days=1))

    azure.follow_and_work()

    assert azure.troubles.take()[Trouble.AZURE_UNCLEAR].count == 1
    assert azure.follow_and_work().is_complete


def test_while_azure_answers_nothing_of_several_alerts_all_of_them_wait(azure: Scene) -> None:
    for number in range(4):
        azure.miss(alert(number).fired())
        azure.azure.broken[alert(number).guid] = refusals.error(500, "InternalServerError")
    azure.follow_and_work()
    assert azure.asked() == ["list", *["history"] * 3]

    azure.azure.broken.clear()
    azure.follow_and_work()

    assert azure.states() == {f"rule-{number}": [OPEN] for number in range(4)}


def test_an_item_that_is_no_alert_holds_nobody_up_and_is_passed_by_after_an_hour(azure: Scene) -> None:
    for number in (1, 2, 3):
        azure.miss(alert(number).fired())
    broken = azure.azure.alerts[alert(2).guid].document["properties"]
    essentials = dict(broken["essentials"])
    broken["essentials"].pop("monitorCondition")

    azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN], "rule-3": [OPEN]}
    assert azure.troubles.take() == {}

    # It is mended within the hour.
    azure.pass_(30 * MINUTE)
    broken["essentials"] = essentials
    azure.follow_and_work()
    assert azure.states() == {f"rule-{number}": [OPEN] for number in (1, 3, 2)}


def test_a_row_of_a_newer_version_holds_nobody_else_up_and_is_gone_on_with_later(azure: Scene) -> None:
    azure.monitor.fires(alert(1).fired())
    azure.pass_(MINUTE)
    azure.work()
    [row] = azure.table.query_entities(f"RowKey eq '{KEY_OF_1}'")
    azure.table.update_entity({**row, "needs_version": VERSION + 1})
    azure.miss(alert(1).resolved())
    azure.pass_(MINUTE)
    azure.miss(alert(2).fired())

    for _ in range(22):
        azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN], "rule-2": [OPEN]}

    azure.table.update_entity(row)
    azure.follow_and_work()
    assert azure.states() == {"rule-1": [RESOLVED], "rule-2": [OPEN]}


def test_an_item_that_stays_broken_is_told_and_the_looks_go_on(azure: Scene) -> None:
    azure.miss(alert(1).fired())
    azure.azure.alerts[alert(1).guid].document["properties"]["essentials"].pop("monitorCondition")

    for _ in range(30):
        azure.follow_and_work()
    azure.miss(alert(2).fired())
    azure.follow_and_work()

    assert azure.states() == {"rule-2": [OPEN]}
    assert azure.troubles.take()[Trouble.AZURE_UNCLEAR].count == 1
    azure.pass_(timedelta(hours=3))
    azure.follow_and_work()
    assert azure.follow_and_work().is_complete


def test_a_run_makes_only_so_many_requests_and_the_next_one_goes_on(
    azure: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "MOST_REQUESTS", 4)
    for number in range(7):
        azure.miss(alert(number).fired())
        azure.pass_(timedelta(seconds=1))

    reports = [azure.follow_and_work() for _ in range(4)]

    assert [[each.rule.rpartition("/")[2] for each in report.found] for report in reports] == [
        ["rule-0", "rule-1"],
        ["rule-2", "rule-3"],
        ["rule-4", "rule-5"],
        ["rule-6"],
    ]
    assert [report.is_complete for report in reports] == [False, False, False, True]


def test_a_run_without_time_does_nothing_and_loses_nothing(azure: Scene) -> None:
    azure.miss(alert().fired())

    assert azure.follow_and_work(budget=timedelta(seconds=4)).found == []
    assert azure.follow_and_work(budget=timedelta(0)).troubles == []

    assert len(azure.follow_and_work().found) == 1


@pytest.mark.parametrize("every", [timedelta(seconds=20), timedelta(seconds=1)])
@pytest.mark.parametrize("time_range_of", ["startDateTime", "lastModifiedDateTime"])
def test_more_changes_than_a_look_can_take_come_in_bit_by_bit(
    time_range_of: str, every: timedelta, azure: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.azure.time_range_of = time_range_of
    monkeypatch.setattr(look, "MOST_PAGES", 1)
    monkeypatch.setattr("itsm_bridge.resource_manager.client._LONG_PAGE", 30)
    monkeypatch.setattr("itsm_bridge.resource_manager.client._SHORT_PAGE", 30)
    for number in range(150):
        azure.miss(alert(number).fired(), groups=[OTHER_GROUP] if number % 10 else [ACTION_GROUP])
        azure.pass_(every)

    runs = 0
    while not azure.follow_and_work().is_complete:
        runs += 1
        assert runs < 30

    assert azure.states() == {f"rule-{number}": [OPEN] for number in range(0, 150, 10)}


def test_two_processes_at_once_do_no_harm(azure: Scene) -> None:
    for number in range(8):
        azure.miss(alert(number).fired(), *([alert(number).resolved()] if number % 2 else []))
    azure.pass_(3 * MINUTE)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: azure.follow(), range(2)))
    azure.work()

    assert azure.states() == {f"rule-{number}": [RESOLVED if number % 2 else OPEN] for number in range(8)}


def test_a_mark_that_cannot_be_read_begins_anew_and_doubles_nothing(azure: Scene) -> None:
    azure.miss(alert().fired())
    azure.follow_and_work()
    before = azure.rig.story()
    row = azure.table.get_entity("progress", f"missed-{SUBSCRIPTION}")
    for document in ("{", "[]", json.dumps({"complete_until": "soon"}), json.dumps({"complete_until": 7, "marks": 1})):
        azure.table.upsert_entity({**row, "document": document})

        assert azure.follow_and_work().is_complete

    assert azure.rig.story() == before


def test_a_dry_run_tells_what_would_come_in_and_changes_nothing(azure: Scene) -> None:
    azure.miss(alert(1).fired(), alert(2).fired(), alert(2).resolved())
    azure.pass_(3 * MINUTE)

    reports = [azure.follow(is_dry=True) for _ in range(2)]

    assert [sorted(each.missed for each in report.found) for report in reports] == [
        [("Fired",), ("Fired", "Resolved")],
    ] * 2
    assert azure.rig.instance.incidents == []
    assert azure.rig.take() == []
    azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN], "rule-2": [RESOLVED]}


def test_without_allowed_subscriptions_those_of_rows_and_of_action_groups_are_followed(azure: Scene) -> None:
    elsewhere = alert(2).fired()
    elsewhere = json.loads(json.dumps(elsewhere).replace(SUBSCRIPTION, OTHER_SUBSCRIPTION))
    azure.call(elsewhere)
    azure.miss(alert(1).fired())
    azure.pass_(3 * MINUTE)
    azure.asked()

    azure.follow(allowed=())

    lists = {request.split("/")[2] for request in azure.azure.requests if "/alerts?" in request}
    assert lists == {SUBSCRIPTION, OTHER_SUBSCRIPTION}
    azure.work()
    assert azure.states()["rule-1"] == [OPEN]


def test_ten_thousand_alerts_and_nothing_new_cost_a_request_per_subscription_and_little_work(azure: Scene) -> None:
    first = azure.azure.told(alert().fired())
    assert first is not None
    for number in range(10_000):
        guid = f"10000000-0000-4000-8000-{number:012}"
        document = {**first.document, "id": first.document["id"].replace(first.guid, guid)}
        azure.azure.alerts[guid] = StoredAlert(guid=guid, document=document, stored_at=azure.rig.now)
    azure.follow_and_work(allowed=[OTHER_SUBSCRIPTION])
    azure.pass_(timedelta(hours=20))
    azure.table.upsert_entity(
        {
            "PartitionKey": "progress",
            "RowKey": f"missed-{SUBSCRIPTION}",
            "document": json.dumps({"complete_until": azure.rig.now.isoformat()}),
        }
    )
    azure.asked()
    began = time.thread_time()

    report = azure.follow(allowed=[SUBSCRIPTION, OTHER_SUBSCRIPTION])

    assert azure.asked() == ["list", "list"]
    assert (report.judged, report.is_complete) == (0, True)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("scope", ["/resourceGroups/rg-shop", "its target"])
def test_an_alert_that_calls_name_by_a_longer_id_is_known_by_that(scope: str, azure: Scene) -> None:
    prefix = alert().target if scope == "its target" else f"/subscriptions/{SUBSCRIPTION}{scope}"
    longer = f"{prefix}/providers/Microsoft.AlertsManagement/alerts/{alert().guid}"
    azure.miss(alert().fired())
    azure.call(alert().fired(alertId=longer))
    azure.work()
    azure.follow_and_work()
    assert azure.states() == {"rule-1": [OPEN]}

    azure.miss(alert().resolved())
    azure.follow_and_work()

    assert azure.states() == {"rule-1": [RESOLVED]}


def test_a_subscription_that_is_far_behind_leaves_the_others_their_turn(
    azure: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "MOST_REQUESTS", 8)
    for number in range(12):
        azure.miss(alert(number).fired())
    elsewhere = json.dumps(alert(100, rule="elsewhere").fired()).replace(SUBSCRIPTION, OTHER_SUBSCRIPTION)
    azure.miss(json.loads(elsewhere))

    azure.follow_and_work(allowed=[SUBSCRIPTION, OTHER_SUBSCRIPTION])

    assert azure.states()["elsewhere"] == [OPEN]
    assert len(azure.rig.instance.incidents) < 10
