"""What the target says of links; incidents, CMDB and references have tests of their own."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Rejected
from itsm_bridge.reconcile.ports import LinkEnd
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from local.servicenow.demo_cmdb import arm_id, ci_sys_id
from local.servicenow.instance import ServiceNowStandIn
from tests.builders import write

VM = arm_id("Microsoft.Compute/virtualMachines/vm-web-01")


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running


def linked(
    instance: ServiceNowStandIn, wanted: Sequence[str], name: str = CONFIGURATION_ITEM, **options: Any
) -> LinkEnd:
    table_api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
    target = ServiceNow(Incidents(table_api), Cmdb(table_api), **options)
    return target.find_link(name, wanted, deadline=Deadline.after(timedelta(seconds=10)))


def test_an_item_is_told_whatever_is_said_of_missing_ones(instance: ServiceNowStandIn) -> None:
    for notes_missing_item in (True, False):
        end = linked(instance, [VM], notes_missing_item=notes_missing_item)

        assert (end.id, end.reason) == (ci_sys_id("vm-web-01"), "Configuration item: vm-web-01.")


def test_a_missing_item_is_a_note_or_only_a_detail(instance: ServiceNowStandIn) -> None:
    noted, silent = (linked(instance, ["vm-nowhere"], notes_missing_item=notes) for notes in (True, False))

    assert noted.reason == "No configuration item: vm-nowhere is not in the CMDB."
    assert (silent.id, silent.reason, silent.detail) == ("", "", noted.detail)
    assert "cmdb_ci_vm_instance by name" in silent.detail


def test_without_references_there_is_no_other_link(instance: ServiceNowStandIn) -> None:
    assert linked(instance, [VM], name="parent_incident") == LinkEnd(reason="")
    assert instance.calls == []


def target(instance: ServiceNowStandIn) -> ServiceNow:
    table_api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
    return ServiceNow(Incidents(table_api), Cmdb(table_api), references=References(table_api))


def in_time() -> Deadline:
    return Deadline.after(timedelta(seconds=10))


def test_any_other_link_is_the_record_that_a_field_of_it_names(instance: ServiceNowStandIn) -> None:
    end = target(instance).find_link("assignment_group", ["name=Shop Operations"], deadline=in_time())

    assert (end.id, end.reason) == (ci_sys_id("group"), "")


def test_a_value_may_hold_what_parts_it_from_its_field(instance: ServiceNowStandIn) -> None:
    sys_id = instance.insert("sys_user_group", {"name": "R=D"})

    assert target(instance).find_link("assignment_group", ["name=R=D"], deadline=in_time()).id == sys_id


def test_of_several_candidates_the_first_that_is_there_counts(instance: ServiceNowStandIn) -> None:
    wanted = ["name=Night shift", "name=Network", "name=Shop Operations"]

    assert target(instance).find_link("assignment_group", wanted, deadline=in_time()).id == ci_sys_id("group")
    missing = target(instance).find_link("assignment_group", wanted[:2], deadline=in_time())
    assert missing.reason == 'Assignment group not set: there is no group whose name is "Night shift".'


@pytest.mark.parametrize("wanted", [[], ["Shop Operations"], ["="], [""]])
def test_a_candidate_that_is_none_leads_nowhere(instance: ServiceNowStandIn, wanted: list[str]) -> None:
    assert target(instance).find_link("assignment_group", wanted, deadline=in_time()).id == ""
    assert instance.calls == []


def test_an_incident_is_created_with_the_records_that_a_rule_names(instance: ServiceNowStandIn) -> None:
    servicenow = target(instance)
    named = {"assignment_group": "name=Shop Operations", "caller_id": "user_name=azure.monitor"}
    links = {name: servicenow.find_link(name, [text], deadline=in_time()).id for name, text in named.items()}
    links |= {CONFIGURATION_ITEM: ci_sys_id("vm-web-01")}

    created = servicenow.create(write(links=links), deadline=in_time())

    [row] = instance.incidents
    assert (row["assignment_group"], row["caller_id"]) == (ci_sys_id("group"), ci_sys_id("azure.monitor"))
    assert row["cmdb_ci"] == ci_sys_id("vm-web-01")
    assert created.links == links
    assert created.not_stored == ()


def test_an_update_writes_the_links_that_it_is_given_and_no_other(instance: ServiceNowStandIn) -> None:
    servicenow = target(instance)
    created = servicenow.create(write(links={"caller_id": ci_sys_id("azure.monitor")}), deadline=in_time())
    changed = write(incident_id=created.id, links={"assignment_group": ci_sys_id("group")})

    updated = servicenow.update(changed, deadline=in_time())

    row = instance.incident(created.id)
    assert (row["caller_id"], row["assignment_group"]) == (ci_sys_id("azure.monitor"), ci_sys_id("group"))
    assert updated.links["assignment_group"] == ci_sys_id("group")


def test_a_link_that_leads_nowhere_is_not_written(instance: ServiceNowStandIn) -> None:
    servicenow = target(instance)
    created = servicenow.create(write(links={"caller_id": ci_sys_id("azure.monitor")}), deadline=in_time())

    servicenow.update(write(incident_id=created.id, links={"caller_id": ""}), deadline=in_time())

    assert instance.incident(created.id)["caller_id"] == ci_sys_id("azure.monitor")


def test_an_instance_that_insists_on_a_caller_gets_one(instance: ServiceNowStandIn) -> None:
    instance.switches.mandatory_always = ("caller_id",)
    servicenow = target(instance)

    with pytest.raises(Rejected, match="fields are mandatory: Caller"):
        servicenow.create(write(links={}), deadline=in_time())

    caller = servicenow.find_link("caller_id", ["user_name=azure.monitor"], deadline=in_time())
    servicenow.create(write(links={"caller_id": caller.id}), deadline=in_time())
    assert [row["caller_id"] for row in instance.incidents] == [ci_sys_id("azure.monitor")]
