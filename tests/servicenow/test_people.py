"""Which incidents changed and what people did, asked of the stand-in over HTTP."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.followed import TouchedIncident
from itsm_bridge.servicenow import people as room
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.people import People, Touched, touched_incident
from itsm_bridge.servicenow.queries import Row
from itsm_bridge.servicenow.refusals import OtherRows, UnknownField
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.settings import ServiceNowSettings
from local.servicenow.glide import User
from local.servicenow.instance import BETH, ServiceNowStandIn
from tests.builders import HOUR, MINUTE, NOW

KEY = "5f" * 32
US = User(user_name="bridge.account", name="Azure Bridge", is_admin=True)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def instance(clock: Clock) -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(now=clock) as running:
        running.glide.add_user(US)
        yield running
        assert running.widened == []
        assert running.injections == []


def ask(instance: ServiceNowStandIn, within: timedelta = 15 * MINUTE) -> Touched:
    settings = ServiceNowSettings(
        instance_url=instance.url,
        client_id="",
        client_secret="",
        api_key=instance.credentials.api_key,
        username="",
        password="",
        max_concurrency=4,
    )
    api = TableApi(settings.instance_url, credentials_of(settings))
    return People(api).touched(within, deadline=Deadline.after(timedelta(seconds=20)))


def incident(instance: ServiceNowStandIn, number: int = 1, **values: Any) -> str:
    key = f"{number:064x}"
    return instance.insert("incident", {"short_description": "CPU", "correlation_id": key, **values}, by=US)


def only(touched: Touched) -> TouchedIncident:
    [one] = touched.incidents
    return one


def test_what_changed_lately_comes_oldest_first(instance: ServiceNowStandIn, clock: Clock) -> None:
    old, changed, young = (incident(instance, number) for number in (1, 2, 3))
    clock.now += HOUR
    instance.edit(changed, {"state": "2"})
    clock.now += MINUTE
    instance.edit(young, {"state": "2"})

    touched = ask(instance)

    assert [each.id for each in touched.incidents] == [changed, young]
    assert touched.first_at == NOW + HOUR
    assert touched.cut_at is None
    assert old not in {each.id for each in touched.incidents}


def test_incidents_of_nobody_and_of_other_integrations_are_not_ours(instance: ServiceNowStandIn) -> None:
    incident(instance)
    instance.insert("incident", {"short_description": "Printer"})
    instance.insert("incident", {"short_description": "Printer", "correlation_id": "JIRA-7"})

    assert only(ask(instance)).key == f"{1:064x}"


def test_all_pages_are_read_also_where_most_rows_are_hidden(
    instance: ServiceNowStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_PAGE", 4)
    monkeypatch.setattr(room, "_OVERLAP", 1)
    ids = {incident(instance, number) for number in range(1, 12)}
    hidden = sorted(ids)[:7]
    instance.switches.unreadable_rows |= set(hidden)

    touched = ask(instance)

    assert {each.id for each in touched.incidents} == ids - set(hidden)
    assert touched.cut_at is None


@pytest.mark.parametrize("column", ["sys_id", "correlation_id", "sys_updated_on"])
def test_rows_without_what_tells_them_apart_are_no_answer(instance: ServiceNowStandIn, column: str) -> None:
    incident(instance)
    instance.switches.unreadable_columns |= {column}

    with pytest.raises(UnknownField):
        ask(instance)


def test_more_than_one_run_looks_at_is_told(instance: ServiceNowStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PAGE", 4)
    monkeypatch.setattr(room, "_OVERLAP", 1)
    monkeypatch.setattr(room, "MOST_ROWS", 6)
    for number in range(1, 12):
        incident(instance, number)

    touched = ask(instance)

    assert touched.cut_at == NOW
    assert 4 <= len(touched.incidents) < 11


def test_an_instance_that_does_not_understand_how_long_ago_is_not_believed(
    instance: ServiceNowStandIn, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident(instance, 1)
    clock.now += HOUR
    incident(instance, 2)
    monkeypatch.setattr("itsm_bridge.servicenow.queries._CHANGED_LATELY", "RELATIVEXX@minute@ago@")

    with pytest.raises(OtherRows):
        ask(instance)
    assert instance.widened
    instance.glide.widened.clear()


def test_an_instance_whose_clock_is_wrong_is_understood(instance: ServiceNowStandIn, clock: Clock) -> None:
    clock.now += timedelta(days=400)
    incident(instance)

    assert only(ask(instance)).changed_at == NOW + timedelta(days=400)


def test_who_did_it_is_told_by_who_opened_it(instance: ServiceNowStandIn, clock: Clock) -> None:
    by_us, by_beth = incident(instance, 1), incident(instance, 2)
    clock.now += 5 * MINUTE
    instance.resolve(by_us, by=US)
    instance.resolve(by_beth, by=BETH)
    clock.now += MINUTE
    # Whoever touches it afterwards did not end it.
    instance.edit(by_us, {"work_notes": "Thanks."}, by=BETH)
    instance.edit(by_beth, {"work_notes": "Thanks."}, by=US)

    ended = {each.id: each.is_ended_by_us for each in ask(instance).incidents}

    assert ended == {by_us: True, by_beth: False}
    assert {each.ended_at for each in ask(instance).incidents} == {NOW + 5 * MINUTE}


def test_whom_a_rule_names_as_opener_is_not_taken_for_us(instance: ServiceNowStandIn) -> None:
    by_us, by_beth = (incident(instance, number, opened_by=BETH.sys_id) for number in (1, 2))
    instance.resolve(by_us, by=US)
    instance.resolve(by_beth, by=BETH)

    assert {each.id: each.is_ended_by_us for each in ask(instance).incidents} == {by_us: True, by_beth: False}


def test_without_a_right_to_read_users_who_opened_it_is_us(instance: ServiceNowStandIn) -> None:
    by_us, by_beth = incident(instance, 1), incident(instance, 2)
    instance.switches.unreadable_tables.add("sys_user")
    instance.resolve(by_us, by=US)
    instance.resolve(by_beth, by=BETH)

    assert {each.id: each.is_ended_by_us for each in ask(instance).incidents} == {by_us: True, by_beth: False}


def test_closing_what_the_bridge_resolved_ends_nothing_more(instance: ServiceNowStandIn) -> None:
    resolved = incident(instance)
    instance.resolve(resolved, by=US)
    instance.close(resolved, by=BETH)

    assert only(ask(instance)).is_ended_by_us


def test_an_incident_that_is_reopened_by_the_bridge_is_in_nobodys_work(instance: ServiceNowStandIn) -> None:
    by_us, by_beth = incident(instance, 1), incident(instance, 2)
    for each, user in ((by_us, US), (by_beth, BETH)):
        instance.resolve(each, by=US)
        instance.edit(each, {"state": "2"}, by=user)

    found = {each.id: (each.is_reopened_by_us, each.is_in_work) for each in ask(instance).incidents}

    assert found == {by_us: (True, False), by_beth: (False, True)}


def test_a_state_that_a_rule_gives_a_new_incident_is_nobodys_work(instance: ServiceNowStandIn) -> None:
    begun = incident(instance, state="2")

    assert not only(ask(instance)).is_in_work
    assert only(ask(instance)).begun_in == "2"
    instance.edit(begun, {"work_notes": "No configuration item."}, by=US)
    assert only(ask(instance)).begun_in == ""


def test_an_incident_that_begins_new_has_no_beginning_to_be_remembered(instance: ServiceNowStandIn) -> None:
    incident(instance, state="1")

    assert only(ask(instance)).begun_in == ""


def test_what_the_bridge_adds_right_after_the_creation_is_part_of_it(instance: ServiceNowStandIn, clock: Clock) -> None:
    one, other = incident(instance, 1, assigned_to=BETH.sys_id), incident(instance, 2)
    clock.now += MINUTE
    instance.edit(one, {"work_notes": "No configuration item."}, by=US)
    instance.edit(other, {"assigned_to": BETH.sys_id}, by=BETH)

    assert {each.id: each.is_as_created for each in ask(instance).incidents} == {one: True, other: False}


ROW: Row = {
    "sys_id": "a" * 32,
    "number": "INC0010001",
    "state": "1",
    "correlation_id": KEY,
    "sys_updated_on": "2026-03-01 10:00:00",
}


@pytest.mark.parametrize(
    "change",
    [
        {"correlation_id": "JIRA-7"},
        {"correlation_id": ""},
        {"state": "New"},
        {"state": ""},
        {"number": ""},
        {"sys_updated_on": "yesterday"},
        {"sys_updated_on": "01.03.2026 10:00"},
    ],
)
def test_a_row_that_is_no_incident_of_ours_is_passed_by(change: dict[str, str]) -> None:
    assert touched_incident(ROW) is not None
    assert touched_incident({**ROW, **change}) is None


def test_columns_that_are_hidden_from_us_say_nothing() -> None:
    found = touched_incident({**ROW, "state": "6"})

    assert found is not None
    assert (found.is_open, found.assignee, found.ended_at, found.reopened_at) == (False, "", None, None)
