"""What the target says of configuration items; its incidents and its CMDB have tests of their own."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.ports import LinkEnd
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.servicenow.target import ServiceNow
from local.servicenow.demo_cmdb import arm_id, ci_sys_id
from local.servicenow.instance import ServiceNowStandIn

VM = arm_id("Microsoft.Compute/virtualMachines/vm-web-01")


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running


def linked(
    instance: ServiceNowStandIn, wanted: Sequence[str], name: str = CONFIGURATION_ITEM, **options: bool
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


def test_there_is_no_other_link(instance: ServiceNowStandIn) -> None:
    assert linked(instance, [VM], name="parent_incident") == LinkEnd(reason="")
    assert instance.calls == []
