"""Fields and choices of an instance, over real HTTP."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.dictionary import Column, Dictionary
from itsm_bridge.servicenow.refusals import NotAllowed
from itsm_bridge.servicenow.table_api import TableApi
from local.servicenow import dictionary as tables
from local.servicenow import faults
from local.servicenow.instance import ServiceNowStandIn


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(has_demo_cmdb=False) as running:
        yield running
        assert (running.crashes, running.injections, running.widened) == ([], [], [])


@pytest.fixture
def dictionary(instance: ServiceNowStandIn) -> Dictionary:
    return Dictionary(TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key)))


def in_time() -> Deadline:
    return Deadline.after(timedelta(seconds=10))


def test_fields_of_the_incident_and_of_the_task_that_it_extends_are_known_by_one_request(
    instance: ServiceNowStandIn, dictionary: Dictionary
) -> None:
    names = ("caller_id", "assignment_group", "description", "u_nothing")

    columns = dictionary.columns(names, deadline=in_time())

    assert columns == {
        "caller_id": Column(name="caller_id", type="reference", reference="sys_user", length=32),
        "assignment_group": Column(name="assignment_group", type="reference", reference="sys_user_group", length=32),
        "description": Column(name="description", type="string", length=4000),
    }
    assert dictionary.columns(names, deadline=in_time()) == columns
    assert len(instance.calls) == 1


def test_the_incidents_own_entry_counts_before_that_of_the_task(
    instance: ServiceNowStandIn, dictionary: Dictionary
) -> None:
    instance.glide.add_column("task", tables.Column(name="u_plant", type="reference", reference="cmn_location"))
    instance.glide.add_column("incident", tables.Column(name="u_plant", type="reference", reference="core_company"))

    assert dictionary.columns(["u_plant"], deadline=in_time())["u_plant"].reference == "core_company"


def test_a_field_of_another_table_is_none_of_an_incident(instance: ServiceNowStandIn, dictionary: Dictionary) -> None:
    instance.glide.add_column("cmdb_ci", tables.Column(name="u_plant"))

    assert dictionary.columns(["u_plant", "not plain^"], deadline=in_time()) == {}


def test_a_dictionary_that_is_hidden_is_not_taken_for_empty(
    instance: ServiceNowStandIn, dictionary: Dictionary
) -> None:
    instance.switches.unreadable_tables |= {"sys_dictionary", "sys_choice"}

    with pytest.raises(NotAllowed):
        dictionary.columns(["caller_id"], deadline=in_time())
    with pytest.raises(NotAllowed):
        dictionary.choices("category", deadline=in_time())


def test_an_answer_that_did_not_come_is_not_remembered(instance: ServiceNowStandIn, dictionary: Dictionary) -> None:
    instance.faults.add(faults.node_failed(), table="sys_dictionary")

    with pytest.raises(Unavailable):
        dictionary.columns(["caller_id"], deadline=in_time())

    assert "caller_id" in dictionary.columns(["caller_id"], deadline=in_time())


def test_choices_are_those_of_the_incident_or_else_of_the_task(
    instance: ServiceNowStandIn, dictionary: Dictionary
) -> None:
    assert "software" in dictionary.choices("category", deadline=in_time())
    assert list(dictionary.choices("impact", deadline=in_time())) == ["1", "2", "3"]
    assert list(dictionary.choices("description", deadline=in_time())) == []
    instance.glide.set_choices("incident", "impact", ["1", "4"])
    assert list(dictionary.choices("impact", deadline=in_time())) == ["1", "2", "3"]
