import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidSettings, Unavailable
from itsm_bridge.servicenow.cmdb.classes import CLASSES, lineage, questions_of, resource_of
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.cmdb.match import CiMatch, first_of, key_of
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.table_api import TableApi
from local.servicenow import faults
from local.servicenow.demo_cmdb import RESOURCE_GROUP, SUBSCRIPTION, arm_id, ci_sys_id
from local.servicenow.dictionary import column
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn

VM = arm_id("Microsoft.Compute/virtualMachines/vm-web-01")
UNKNOWN_VAULT = arm_id("Microsoft.KeyVault/vaults/kv-unknown")
DEADLINE = 10


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []
        assert running.injections == []


@pytest.fixture(scope="module")
def shared() -> Iterator[ServiceNowStandIn]:
    """An instance for tests that change nothing in it."""
    with ServiceNowStandIn() as running:
        yield running
        assert (running.crashes, running.injections, running.widened) == ([], [], [])


@pytest.fixture
def untouched(shared: ServiceNowStandIn) -> ServiceNowStandIn:
    shared.forget_calls()
    return shared


def cached(cmdb: Cmdb, resources: Sequence[str]) -> CiMatch | None:
    """What `find` would return without any request; None if that takes one."""
    return first_of(resources, lambda resource: cmdb._matches.get(key_of(resource)))


def cmdb_of(instance: ServiceNowStandIn, clock: Clock, **overrides: str) -> Cmdb:
    """Signed in with an API key, without batches, and one request at a time: each question is one request."""
    knowledge = Knowledge()
    knowledge.learn(Subject.ANSWERS_BATCHES, value=False)
    header = Header("x-sn-apikey", instance.credentials.api_key)
    table_api = TableApi(instance.url, header, gate=Gate(1), knowledge=knowledge)
    return Cmdb(table_api, overrides=overrides, clock=clock)


@pytest.fixture
def cmdb(instance: ServiceNowStandIn, clock: Clock) -> Cmdb:
    return cmdb_of(instance, clock)


def plenty() -> Deadline:
    return Deadline.after(timedelta(seconds=DEADLINE))


def scripted(script: Callable[[], Deadline]) -> Deadline:
    """A deadline whose requests are told by a test."""

    class Scripted(Deadline):
        def for_request(self, most: timedelta) -> Deadline:
            assert most
            return script()

    return Scripted(ends_at=0)


def bound(cmdb: Cmdb, *resources: str) -> CiMatch:
    return cmdb.find(resources, deadline=plenty())


def tables(instance: ServiceNowStandIn) -> list[str]:
    return [call.table for call in instance.calls]


def insert(instance: ServiceNowStandIn, table: str, name: str, **values: str) -> str:
    return instance.insert(table, {"name": name, **values})


class TestByAzureId:
    @pytest.mark.parametrize(
        ("resource", "name"),
        [
            (VM, "vm-web-01"),
            (arm_id("Microsoft.Compute/virtualMachineScaleSets/vmss-api"), "vmss-api"),
            (arm_id("Microsoft.Compute/disks/disk-web-01-os"), "disk-web-01-os"),
            (arm_id("Microsoft.Network/loadBalancers/lb-shop"), "lb-shop"),
            (arm_id("Microsoft.Network/virtualNetworks/vnet-shop"), "vnet-shop"),
            (arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/snet-web"), "snet-web"),
            (arm_id("Microsoft.Network/networkInterfaces/nic-web-01"), "nic-web-01"),
            (arm_id("Microsoft.Network/publicIPAddresses/pip-shop"), "pip-shop"),
            (arm_id("Microsoft.Network/networkSecurityGroups/nsg-web"), "nsg-web"),
            (arm_id("Microsoft.Storage/storageAccounts/stshopdata"), "stshopdata"),
            (arm_id("Microsoft.Sql/servers/sql-shop/databases/sqldb-orders"), "sqldb-orders"),
            (arm_id("Microsoft.DBforPostgreSQL/flexibleServers/pg-catalog"), "pg-catalog"),
            (arm_id("Microsoft.Web/sites/app-shop"), "app-shop"),
            (arm_id("Microsoft.ContainerService/managedClusters/aks-shop"), "aks-shop"),
            (RESOURCE_GROUP, "rg-shop"),
            (SUBSCRIPTION, "sub-shop"),
        ],
    )
    @pytest.mark.parametrize("in_lower_case", [False, True])
    def test_each_type_is_found_with_one_request(
        self, untouched: ServiceNowStandIn, clock: Clock, resource: str, name: str, in_lower_case: bool
    ) -> None:
        cmdb = cmdb_of(untouched, clock)

        binding = bound(cmdb, resource.lower() if in_lower_case else resource)

        assert (binding.sys_id, binding.name) == (ci_sys_id(name), name)
        assert len(untouched.calls) == 1

    @pytest.mark.parametrize(
        "resource_type", ["Microsoft.KeyVault/vaults/kv-shop", "Microsoft.ServiceBus/namespaces/sb-orders"]
    )
    @pytest.mark.parametrize(("in_lower_case", "requests"), [(False, 1), (True, 3)])
    def test_a_type_without_a_class_of_its_own_is_found_and_by_its_name_if_we_cannot_write_it_as_azure_does(
        self, untouched: ServiceNowStandIn, clock: Clock, resource_type: str, in_lower_case: bool, requests: int
    ) -> None:
        resource = arm_id(resource_type)

        binding = bound(cmdb_of(untouched, clock), resource.lower() if in_lower_case else resource)

        assert binding.sys_id == ci_sys_id(resource.rpartition("/")[2])
        assert len(untouched.calls) == requests

    @pytest.mark.parametrize(
        ("resource", "name", "table"),
        [
            (arm_id("Microsoft.Compute/virtualMachines/vm-batch-01"), "vm-batch-01", "cmdb_ci_linux_server"),
            (arm_id("Microsoft.Compute/virtualMachines/vm-erp-01"), "vm-erp-01", "cmdb_ci_win_server"),
            (arm_id("Microsoft.Web/sites/func-mail"), "func-mail", "cmdb_ci_cloud_function"),
        ],
    )
    def test_the_next_class_is_asked_if_the_first_does_not_know_it(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, resource: str, name: str, table: str
    ) -> None:
        binding = bound(cmdb, resource)

        assert binding.sys_id == ci_sys_id(name)
        assert f"{name} ({table})" in binding.detail
        assert len(instance.calls) == 2

    def test_the_reason_tells_what_matched(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, VM).detail == ("vm-web-01 (cmdb_ci_vm_instance), found in cmdb_ci_vm_instance by Azure id")

    @pytest.mark.parametrize(
        "stored",
        [
            VM.lower(),
            VM.replace("rg-shop", "RG-SHOP"),
            VM.replace("resourceGroups", "resourcegroups").lower(),
            VM,
        ],
    )
    def test_the_usual_casings_are_found_where_case_matters(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, stored: str
    ) -> None:
        instance.edit(ci_sys_id("vm-web-01"), {"object_id": stored}, table="cmdb_ci_vm_instance")

        binding = bound(cmdb, VM.lower())

        assert binding.sys_id == ci_sys_id("vm-web-01")
        assert len(instance.calls) == 1

    def test_any_other_casing_is_found_by_name_and_compared_here(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        odd = VM.replace("rg-shop", "Rg-Shop")
        instance.edit(ci_sys_id("vm-web-01"), {"object_id": odd}, table="cmdb_ci_vm_instance")
        insert(instance, "cmdb_ci_vm_instance", "vm-web-01", object_id=VM.replace("rg-shop", "rg-other"))

        binding = bound(cmdb, VM)

        assert binding.sys_id == ci_sys_id("vm-web-01")
        assert binding.detail.endswith("found in cmdb_ci_vm_instance by name")

    def test_any_casing_is_found_at_once_where_case_does_not_matter(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        instance.switches.queries_match_case = False

        binding = bound(cmdb, arm_id("Microsoft.KeyVault/vaults/kv-shop").upper())

        assert binding.sys_id == ci_sys_id("kv-shop")
        assert len(instance.calls) == 1

    def test_a_slash_at_the_end_makes_no_difference(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, f" {VM}/ ").sys_id == ci_sys_id("vm-web-01")

    def test_a_retired_item_does_not_count(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.edit(ci_sys_id("vm-web-01"), {"install_status": "100"}, table="cmdb_ci_vm_instance")

        binding = bound(cmdb, VM)

        assert binding.sys_id == ""
        assert "cmdb_ci_vm_instance by Azure id (2 retired or absent)" in binding.detail

    def test_an_item_without_a_status_counts(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.edit(ci_sys_id("vm-web-02"), {"install_status": ""}, table="cmdb_ci_vm_instance")

        assert bound(cmdb, VM.replace("web-01", "web-02")).sys_id == ci_sys_id("vm-web-02")

    def test_two_live_items_bind_nothing_and_end_the_search(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, arm_id("Microsoft.Cache/redis/redis-cart"))

        assert binding == CiMatch(
            reason="No configuration item: redis-cart is in the CMDB more than once.",
            detail="redis-cart: 2 records, cmdb_ci_cmp_resource by Azure id",
        )
        assert tables(instance) == ["cmdb_ci_cloud_database", "cmdb_ci_cmp_resource"]

    def test_a_full_page_may_hide_another_item(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        for _ in range(19):
            insert(instance, "cmdb_ci_vm_instance", "vm-web-02", object_id=VM, install_status="7")

        assert "vm-web-01: 1 or more records" in bound(cmdb, VM).detail

    def test_a_page_that_hidden_items_fill_may_hide_another_of_that_name(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        # Rows come in the order of their sys_id: the first page shows one item, the next one would show another.
        for number in range(50):
            sys_id = insert(instance, "cmdb_ci_cmp_resource", "kv-unknown", sys_id=f"{number:032x}")
            if number not in (7, 40):
                instance.switches.unreadable_rows.add(sys_id)

        binding = bound(cmdb, UNKNOWN_VAULT)

        assert binding.sys_id == ""
        assert "kv-unknown: 1 or more records, cmdb_ci_cmp_resource by name" in binding.detail


class TestBySource:
    SQL_VM = arm_id("Microsoft.SqlVirtualMachine/sqlVirtualMachines/vm-erp-01")

    def test_an_item_that_only_its_source_knows_is_found(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, self.SQL_VM)

        assert binding.sys_id == ci_sys_id("SQL01@vm-erp-01")
        assert binding.detail == ("SQL01@vm-erp-01 (cmdb_ci_db_mssql_instance), found in sys_object_source by Azure id")
        assert tables(instance) == ["cmdb_ci_cmp_resource", "sys_object_source", "cmdb_ci"]

    def test_two_sources_of_one_item_are_one(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        again = {"name": "Other", "id": self.SQL_VM, "target_sys_id": ci_sys_id("SQL01@vm-erp-01")}
        instance.insert("sys_object_source", again)

        assert bound(cmdb, self.SQL_VM).sys_id == ci_sys_id("SQL01@vm-erp-01")

    def test_sources_of_two_items_are_ambiguous_unless_one_is_retired(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        other = {"name": "Other", "id": self.SQL_VM, "target_sys_id": ci_sys_id("vm-erp-01")}
        instance.insert("sys_object_source", other)
        assert "vm-erp-01: 2 records, sys_object_source" in bound(cmdb, self.SQL_VM).detail

        instance.edit(ci_sys_id("vm-erp-01"), {"install_status": "7"}, table="cmdb_ci_win_server")
        clock.now += 301

        assert bound(cmdb, self.SQL_VM).sys_id == ci_sys_id("SQL01@vm-erp-01")

    @pytest.mark.parametrize("target", ["", "nowhere", "x^ORname=SQL01"])
    def test_a_source_of_what_has_no_sys_id_binds_nothing(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, target: str
    ) -> None:
        instance.insert("sys_object_source", {"name": "Other", "id": UNKNOWN_VAULT, "target_sys_id": target})

        assert bound(cmdb, UNKNOWN_VAULT).sys_id == ""
        assert tables(instance) == ["cmdb_ci_cmp_resource", "sys_object_source", "cmdb_ci_cmp_resource"]

    def test_a_source_of_what_is_gone_binds_nothing(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.insert("sys_object_source", {"name": "Other", "id": UNKNOWN_VAULT, "target_sys_id": "0" * 32})

        assert bound(cmdb, UNKNOWN_VAULT).sys_id == ""


class TestByName:
    def test_the_only_item_of_its_class_without_an_azure_id_is_bound(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        sys_id = insert(instance, "cmdb_ci_cmp_resource", "KV-UNKNOWN")

        binding = bound(cmdb, UNKNOWN_VAULT)

        assert (binding.sys_id, binding.name) == (sys_id, "KV-UNKNOWN")
        assert "by name" in binding.detail

    def test_an_item_of_another_resource_is_not(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        insert(instance, "cmdb_ci_cmp_resource", "kv-unknown", object_id=UNKNOWN_VAULT.replace("rg-shop", "rg-other"))

        assert bound(cmdb, UNKNOWN_VAULT).detail == (
            "kv-unknown was not found: cmdb_ci_cmp_resource by Azure id, "
            "sys_object_source by Azure id, cmdb_ci_cmp_resource by name (those of other resources)"
        )

    def test_two_items_of_that_name_are_ambiguous(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        insert(instance, "cmdb_ci_cmp_resource", "kv-unknown")
        insert(instance, "cmdb_ci_cmp_resource", "kv-unknown")

        assert "kv-unknown: 2 records, cmdb_ci_cmp_resource by name" in bound(cmdb, UNKNOWN_VAULT).detail

    def test_a_resource_group_that_no_query_may_hold_leaves_the_name(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        resource = UNKNOWN_VAULT.replace("rg-shop", "rg (prod)")
        sys_id = insert(instance, "cmdb_ci_cmp_resource", "kv-unknown", object_id=resource.upper())

        assert bound(cmdb, resource).sys_id == sys_id
        assert tables(instance) == ["cmdb_ci_cmp_resource"]

    def test_underscores_can_be_asked(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        resource = arm_id("Microsoft.KeyVault/vaults/kv_1").replace("rg-shop", "rg_prod")
        sys_id = insert(instance, "cmdb_ci_cmp_resource", "kv_1", object_id=resource)

        assert bound(cmdb, resource).sys_id == sys_id

    def test_a_cluster_is_recognised_by_its_resource_id(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        table, cluster = "cmdb_ci_kubernetes_cluster", arm_id("Microsoft.ContainerService/managedClusters/aks-new")
        instance.glide.add_column(table, column("cluster_resource_id:255"))
        insert(instance, table, "aks-new", cluster_resource_id=cluster.replace("rg-shop", "rg-other"))
        sys_id = insert(instance, table, "aks-new", cluster_resource_id=cluster)

        assert bound(cmdb, cluster).sys_id == sys_id


class TestParents:
    SERVER = arm_id("Microsoft.Sql/servers/sql-shop")

    def test_a_part_that_is_unknown_falls_back_to_what_it_is_a_part_of(self, cmdb: Cmdb) -> None:
        binding = bound(cmdb, arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/snet-new"))

        assert binding.sys_id == ci_sys_id("vnet-shop")
        assert binding.reason == "Configuration item: vnet-shop. snet-new is a part of it."
        assert binding.detail == "vnet-shop (cmdb_ci_network), found in cmdb_ci_network by Azure id"

    def test_it_goes_on_step_by_step(self, cmdb: Cmdb) -> None:
        container = arm_id("Microsoft.Storage/storageAccounts/stshopdata/blobServices/default/containers/photos")

        assert bound(cmdb, container).sys_id == ci_sys_id("stshopdata")

    def test_it_goes_three_steps_at_most(self, cmdb: Cmdb) -> None:
        account = arm_id("Microsoft.Storage/storageAccounts/stshopdata")

        assert bound(cmdb, f"{account}/a/1/b/2/c/3").sys_id == ci_sys_id("stshopdata")
        assert bound(cmdb, f"{account}/a/1/b/2/c/4/d/5").sys_id == ""

    def test_an_extension_belongs_to_what_it_extends(self, cmdb: Cmdb) -> None:
        extension = f"{VM}/providers/Microsoft.GuestConfiguration/guestConfigurationAssignments/audit"

        assert bound(cmdb, extension).sys_id == ci_sys_id("vm-web-01")

    def test_it_ends_before_the_resource_group(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, f"{self.SERVER}/databases/unknown")

        assert binding.sys_id == ""
        assert "cmdb_ci_resource_group" not in tables(instance)

    def test_the_name_of_a_part_says_nothing_without_its_azure_id(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        insert(instance, "cmdb_ci_cloud_database", "master")

        assert bound(cmdb, f"{self.SERVER}/databases/master").sys_id == ""

    def test_an_ambiguous_part_is_not_given_to_its_parent(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        subnet = arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/snet-web")
        insert(instance, "cmdb_ci_cloud_subnet", "snet-web", object_id=subnet)

        assert bound(cmdb, subnet).reason == "No configuration item: snet-web is in the CMDB more than once."

    def test_parts_share_what_was_learnt_of_their_parent(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        subnets = arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets")
        bound(cmdb, f"{subnets}/a")
        instance.forget_calls()

        bound(cmdb, f"{subnets}/b")

        assert "cmdb_ci_network" not in tables(instance)


class TestHostNames:
    @pytest.mark.parametrize("name", ["vm-web-02", "VM-WEB-02"])
    def test_a_bare_name_is_that_of_a_host(self, cmdb: Cmdb, name: str) -> None:
        assert bound(cmdb, name).sys_id == ci_sys_id("vm-web-02")

    def test_a_server_that_is_no_machine_of_azure_is_found(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, "vm-erp-01").sys_id == ci_sys_id("vm-erp-01")

    def test_a_machine_is_preferred_to_its_operating_system(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        insert(instance, "cmdb_ci_linux_server", "vm-web-02")

        assert bound(cmdb, "vm-web-02").sys_id == ci_sys_id("vm-web-02")

    def test_a_domain_name_is_looked_for_as_such(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        sys_id = insert(instance, "cmdb_ci_win_server", "dc01", fqdn="dc01.contoso.com")

        assert bound(cmdb, "DC01.contoso.com").sys_id == sys_id
        assert bound(cmdb, "dc01.contoso").sys_id == ""

    def test_what_is_no_host_is_not_found_by_name_alone(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, "kv-shop").detail == (
            "kv-shop was not found: cmdb_ci_vm_instance by name, cmdb_ci_computer by name"
        )

    def test_two_hosts_of_that_name_are_ambiguous(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        insert(instance, "cmdb_ci_vm_instance", "vm-web-02")

        assert "vm-web-02: 2 records" in bound(cmdb, "vm-web-02").detail


class TestSeveralResources:
    def test_the_first_that_has_an_item_wins(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, UNKNOWN_VAULT, VM, "vm-web-02").sys_id == ci_sys_id("vm-web-01")

    def test_the_order_is_that_of_the_first_mention(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, "vm-web-02", VM, "VM-WEB-02").sys_id == ci_sys_id("vm-web-02")

    def test_an_ambiguous_one_does_not_keep_the_next_from_being_bound(self, cmdb: Cmdb) -> None:
        assert bound(cmdb, arm_id("Microsoft.Cache/redis/redis-cart"), VM).sys_id == ci_sys_id("vm-web-01")

    def test_five_are_looked_up(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, "a", "b", "A", "c", "d", "e", "vm-web-02", "f")

        assert binding.sys_id == ""
        assert binding.reason.endswith("; 2 more resources were not looked up.")
        # Five names in each of the two classes of hosts.
        assert [call.query["sysparm_query"].count(",") + 1 for call in instance.calls] == [10, 10]

    @pytest.mark.parametrize("resources", [[], [""], [" ", "/"]])
    def test_none_is_none(self, instance: ServiceNowStandIn, cmdb: Cmdb, resources: Sequence[str]) -> None:
        nothing = CiMatch(reason="No configuration item: the alert names no resource.")

        assert cached(cmdb, resources) == nothing
        assert bound(cmdb, *resources) == nothing
        assert instance.calls == []

    def test_one_call_asks_twenty_questions_at_most_and_the_next_goes_on(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        slots = [arm_id(f"Microsoft.Web/sites/app-{each}/slots/s") for each in range(5)]

        first = bound(cmdb, *slots)
        assert first == CiMatch(reason="No configuration item: none was found with 20 questions.")
        # Each question adds twenty rows to the limit of its query.
        assert sum(int(call.query["sysparm_limit"]) for call in instance.calls) == 20 * 20
        assert cached(cmdb, slots) is None

        while cached(cmdb, slots) is None:
            instance.forget_calls()
            bound(cmdb, *slots)
            assert 0 < len(instance.calls) <= 20

    def test_a_reason_fits_into_a_note(self, cmdb: Cmdb) -> None:
        slots = [arm_id(f"Microsoft.Web/sites/{'n' * 300}{each}/slots/s") for each in range(5)]

        while (binding := cached(cmdb, slots)) is None:
            bound(cmdb, *slots)

        assert max(len(binding.reason), len(binding.detail)) <= 1000


class TestTraps:
    def test_a_class_without_the_field_binds_no_row_and_is_not_asked_again(
        self, instance: ServiceNowStandIn, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        cmdb = cmdb_of(instance, clock, **{"Microsoft.KeyVault/vaults": "cmdb_ci_service"})

        with caplog.at_level(logging.WARNING, "itsm_bridge.servicenow.cmdb.lookup"):
            bindings = [bound(cmdb, UNKNOWN_VAULT), bound(cmdb, f"{UNKNOWN_VAULT}-2")]

        assert [binding.sys_id for binding in bindings] == ["", ""]
        assert "cmdb_ci_service by Azure id (there is no such field)" in bindings[1].detail
        assert len(instance.widened) == 1
        assert len(caplog.records) == 1

    def test_after_a_while_the_field_is_asked_for_again(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        cmdb = cmdb_of(instance, clock, **{"Microsoft.KeyVault/vaults": "cmdb_ci_service"})
        bound(cmdb, UNKNOWN_VAULT)
        clock.now += 301

        bound(cmdb, UNKNOWN_VAULT)

        assert len(instance.widened) == 2

    def test_a_class_without_the_field_can_still_be_asked_by_name(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        cmdb = cmdb_of(instance, clock, **{"MICROSOFT.KEYVAULT/VAULTS": "cmdb_ci_service"})

        binding = bound(cmdb, arm_id("Microsoft.KeyVault/vaults/Web-Shop"))
        assert binding.sys_id == ""

        sys_id = insert(instance, "cmdb_ci_service", "kv-unknown")
        assert bound(cmdb, UNKNOWN_VAULT).sys_id == sys_id

    def test_a_class_that_the_instance_lacks_is_told(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        cmdb = cmdb_of(instance, clock, **{"Microsoft.KeyVault/vaults": "cmdb_ci_vault"})

        assert "cmdb_ci_vault by Azure id (there is no such table)" in bound(cmdb, UNKNOWN_VAULT).detail

    @pytest.mark.parametrize("status", [403, 404, 405])
    def test_what_stands_before_the_instance_says_nothing_of_a_class(
        self, instance: ServiceNowStandIn, clock: Clock, status: int
    ) -> None:
        cmdb = cmdb_of(instance, clock, **{"Microsoft.KeyVault/vaults": "cmdb_ci_service"})
        sys_id = insert(instance, "cmdb_ci_service", "kv-unknown")
        instance.faults.add(faults.page(status))

        with pytest.raises(Unavailable):
            bound(cmdb, UNKNOWN_VAULT)
        assert bound(cmdb, UNKNOWN_VAULT).sys_id == sys_id

    def test_an_override_must_name_a_class(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        with pytest.raises(InvalidSettings, match=r"^no names of CMDB classes: a\^b, vault!$"):
            cmdb_of(instance, clock, **{"a/b": "vault!", "a/c": "cmdb_ci", "a/d": "a^b"})

    @pytest.mark.parametrize(
        "resource",
        [
            "vm-web-01^ORname=vm-web-02",
            "x^NQname=vm-web-02",
            "javascript:gs.getUserID()",
            "vm-web-01,vm-web-02",
            "x^ORDERBYname",
            arm_id("Microsoft.KeyVault/vaults/kv-shop^ORname=kv-shop"),
            arm_id("Microsoft.KeyVault/vaults/x").replace("rg-shop", "rg^ORnameISNOTEMPTY"),
            "javascript:alert(1)/subscriptions/x",
            f"{SUBSCRIPTION}^ORaccount_idISNOTEMPTY",
            "x" * 513,
        ],
    )
    def test_what_no_query_may_hold_is_not_asked(
        self, untouched: ServiceNowStandIn, clock: Clock, resource: str
    ) -> None:
        binding = bound(cmdb_of(untouched, clock), resource)

        assert binding.sys_id == ""
        assert "not asked" in binding.detail
        assert all("^" not in call.query["sysparm_query"] for call in untouched.calls)

    def test_names_of_others_have_no_power_in_the_reason(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        sys_id = insert(instance, "cmdb_ci_vm_instance", "[code]<b>vm</b>[/code]", object_id=VM.replace("01", "09"))

        binding = bound(cmdb, VM.replace("01", "09"))
        none = bound(cmdb, "[code]<script>\n\x07")

        assert binding.sys_id == sys_id
        assert binding.name == "(code)\u2039b>vm\u2039/b>(/code)"
        assert "(code)\u2039script> was not found" in none.detail

    def test_rows_that_we_may_not_read_are_not_there(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.switches.unreadable_tables |= {"cmdb_ci_vm_instance"}

        assert bound(cmdb, VM).sys_id == ""

    def test_a_table_that_we_may_not_read_holds_nothing_up(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, caplog: pytest.LogCaptureFixture
    ) -> None:
        instance.faults.add(faults.acl_validation_failed(), times=None, table="sys_object_source")
        sys_id = insert(instance, "cmdb_ci_cmp_resource", "kv-unknown")

        with caplog.at_level(logging.WARNING, "itsm_bridge.servicenow.cmdb.lookup"):
            binding = bound(cmdb, UNKNOWN_VAULT)
            none = bound(cmdb, f"{UNKNOWN_VAULT}-2")

        assert binding.sys_id == sys_id
        assert "sys_object_source by Azure id (we may not read it)" in none.detail
        assert len(instance.calls_to("sys_object_source")) == 2
        assert [record.name for record in caplog.records if record.levelno == logging.WARNING] == [
            "itsm_bridge.servicenow.cmdb.lookup"
        ]

    @pytest.mark.parametrize(
        "fault", [faults.acl_validation_failed(), faults.invalid_table()], ids=lambda each: each.name
    )
    def test_what_a_node_refuses_for_a_moment_is_asked_again(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, fault: Fault
    ) -> None:
        instance.faults.add(fault, table="sys_object_source")
        sys_id = insert(instance, "cmdb_ci_service", "another name")
        insert(instance, "sys_object_source", "Azure", id=UNKNOWN_VAULT, target_sys_id=sys_id)

        assert bound(cmdb, UNKNOWN_VAULT).sys_id == sys_id

    def test_an_instance_that_returns_nothing_for_an_invalid_query_is_no_different(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        instance.switches.invalid_query_returns_no_rows = True
        cmdb = cmdb_of(instance, clock, **{"Microsoft.KeyVault/vaults": "cmdb_ci_service"})

        assert bound(cmdb, UNKNOWN_VAULT).sys_id == ""


class TestMemory:
    def test_what_was_found_is_known_for_an_hour(self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock) -> None:
        assert cached(cmdb, [VM]) is None
        binding = bound(cmdb, VM)
        instance.forget_calls()

        clock.now += 3599
        assert cached(cmdb, [VM.lower(), "whatever"]) == binding
        assert bound(cmdb, f"{VM}/") == binding
        assert instance.calls == []

        clock.now += 1
        assert cached(cmdb, [VM]) is None
        assert bound(cmdb, VM) == binding
        assert len(instance.calls) == 1

    def test_what_was_not_found_is_looked_up_again_after_five_minutes(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        binding = bound(cmdb, UNKNOWN_VAULT)
        sys_id = insert(instance, "cmdb_ci_cmp_resource", "kv-unknown", object_id=UNKNOWN_VAULT)
        instance.forget_calls()

        clock.now += 299
        assert cached(cmdb, [UNKNOWN_VAULT]) == binding
        assert bound(cmdb, UNKNOWN_VAULT) == binding
        assert instance.calls == []

        clock.now += 1
        assert cached(cmdb, [UNKNOWN_VAULT]) is None
        assert bound(cmdb, UNKNOWN_VAULT).sys_id == sys_id

    def test_one_unknown_among_several_is_not_known(self, cmdb: Cmdb) -> None:
        bound(cmdb, UNKNOWN_VAULT)

        assert cached(cmdb, [UNKNOWN_VAULT, VM]) is None


class TestTime:
    def test_a_search_that_was_cut_goes_on_where_it_was(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        source = TestBySource.SQL_VM
        spans = iter([plenty()])

        def left() -> Deadline:
            span = next(spans, None)
            if span is None:
                raise Unavailable("the time is up")
            return span

        with pytest.raises(Unavailable, match="the time is up"):
            cmdb.find([source], deadline=scripted(left))
        assert cached(cmdb, [source]) is None
        assert bound(cmdb, source).sys_id == ci_sys_id("SQL01@vm-erp-01")
        assert tables(instance) == ["cmdb_ci_cmp_resource", "sys_object_source", "cmdb_ci"]

    def test_an_answer_that_never_comes_is_unavailable_and_later_resumed(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        instance.faults.add(faults.silence(), table="sys_object_source")

        with pytest.raises(Unavailable):
            cmdb.find([UNKNOWN_VAULT], deadline=Deadline.after(timedelta(seconds=0.4)))
        instance.forget_calls()

        assert bound(cmdb, UNKNOWN_VAULT).sys_id == ""
        assert tables(instance) == ["sys_object_source", "cmdb_ci_cmp_resource"]

    def test_an_instance_that_is_down_is_unavailable(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.faults.add(faults.hibernating(), everywhere=True)

        with pytest.raises(Unavailable):
            bound(cmdb, VM)

    def test_each_request_gets_the_time_that_is_left(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        asked = []

        def left() -> Deadline:
            asked.append(len(instance.calls))
            return plenty()

        cmdb.find([UNKNOWN_VAULT], deadline=scripted(left))

        assert asked == [0, 1, 2]


class TestThreads:
    def test_ten_threads_make_one_search(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.delay = 0.1
        start = threading.Barrier(10)

        def search(_: int) -> CiMatch:
            start.wait(DEADLINE)
            return bound(cmdb, UNKNOWN_VAULT)

        with ThreadPoolExecutor(10) as threads:
            bindings = set(threads.map(search, range(10)))

        assert len(bindings) == 1
        assert len(instance.calls) == 3

    def test_who_waits_for_another_waits_no_longer_than_allowed_and_the_next_may_search(self, cmdb: Cmdb) -> None:
        is_searching, may_go_on = threading.Event(), threading.Event()

        def slow() -> Deadline:
            is_searching.set()
            may_go_on.wait(DEADLINE)
            raise Unavailable("the time is up")

        with ThreadPoolExecutor(1) as threads:
            first = threads.submit(cmdb.find, [VM], deadline=scripted(slow))
            assert is_searching.wait(DEADLINE)
            with pytest.raises(Unavailable, match="another search"):
                cmdb.find([VM.lower()], deadline=Deadline.after(timedelta(seconds=0.4)))
            assert bound(cmdb, "vm-web-02").sys_id == ci_sys_id("vm-web-02")
            may_go_on.set()
            assert isinstance(first.exception(DEADLINE), Unavailable)

        assert bound(cmdb, VM).sys_id == ci_sys_id("vm-web-01")


class TestResources:
    def test_types_are_written_as_azure_does(self) -> None:
        assert all(each.count("/") >= 1 and each.startswith("Microsoft.") for each in CLASSES)

    def test_lineage_ends_below_the_resource_group(self) -> None:
        container = arm_id("microsoft.storage/storageaccounts/st/blobservices/default/containers/c")

        assert [(each.type, each.name) for each in lineage(resource_of(container))] == [
            ("microsoft.storage/storageaccounts/blobservices/containers", "c"),
            ("microsoft.storage/storageaccounts/blobservices", "default"),
            ("Microsoft.Storage/storageAccounts", "st"),
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "vm-web-01",
            "/subscriptions",
            "/subscriptions//resourceGroups/g",
            "/subscriptions/s/resourceGroups",
            "/subscriptions/s/locations/westeurope",
            "/subscriptions/s/providers/Microsoft.Web",
            "/subscriptions/s/providers/Microsoft.Web/sites",
            "https://example.com/subscriptions/s",
        ],
    )
    def test_what_has_not_the_shape_of_an_arm_id_is_a_name(self, text: str) -> None:
        resource = resource_of(text)

        assert (resource.arm_id, resource.name) == ("", text)

    def test_an_id_is_asked_for_in_four_casings(self) -> None:
        received = "/subscriptions/s1/resourcegroups/rg-A/providers/microsoft.web/sites/App"

        question = next(questions_of(resource_of(received), {}))

        assert (question.table, question.field) == ("cmdb_ci_cloud_webserver", "object_id")
        assert question.values == (
            received,
            "/subscriptions/s1/resourcegroups/rg-a/providers/microsoft.web/sites/app",
            "/subscriptions/s1/resourceGroups/rg-A/providers/Microsoft.Web/sites/App",
            "/subscriptions/s1/resourceGroups/RG-A/providers/Microsoft.Web/sites/App",
        )


_PARTS = st.one_of(
    st.sampled_from(["vm-web-01", "sql-shop", "providers", "rg-shop", "..", "x^ORname=a", "javascript:x", "a,b", "İ"]),
    st.text(max_size=8),
)
_TYPES = st.sampled_from([*CLASSES, "Microsoft.KeyVault/vaults", "microsoft.sql/servers", "x/providers"])


@st.composite
def _arm_ids(draw: st.DrawFn) -> str:
    namespace, *types = draw(_TYPES).split("/")
    pairs = "".join(f"/{each}/{draw(_PARTS)}" for each in types)
    more = "".join(f"/{draw(_PARTS)}/{draw(_PARTS)}" for _ in range(draw(st.integers(0, 5))))
    return f"/subscriptions/{draw(_PARTS)}/resourceGroups/{draw(_PARTS)}/providers/{namespace}{pairs}{more}"


def test_whatever_comes_in_is_bound_or_explained_and_never_widens_a_query() -> None:
    with ServiceNowStandIn() as instance:
        cmdb = cmdb_of(instance, Clock())
        live = {row["sys_id"] for row in instance.rows("cmdb_ci") if row["install_status"] != "7"}

        @settings(max_examples=150, deadline=None)
        @given(st.lists(st.one_of(_arm_ids(), _PARTS, st.text()), max_size=6))
        def check(resources: list[str]) -> None:
            binding = cmdb.find(resources, deadline=plenty())
            assert binding.sys_id in live | {""}
            assert binding.reason.endswith((".", "…"))
            assert max(len(binding.reason), len(binding.detail)) <= 1000

        check()

        assert (instance.crashes, instance.injections, instance.widened) == ([], [], [])


class TestTypedNames:
    @pytest.mark.parametrize(
        ("text", "table"),
        [
            ("/providers/Microsoft.ContainerService/managedClusters/aks-edge", "cmdb_ci_kubernetes_cluster"),
            ("/providers/microsoft.compute/virtualmachines/vm-1", "cmdb_ci_vm_instance"),
            ("/providers/Microsoft.Insights/components/appi-1", "cmdb_ci_cmp_resource"),
            ("vm-1", "cmdb_ci_vm_instance"),
        ],
    )
    def test_a_name_with_a_type_is_looked_for_among_its_classes(self, text: str, table: str) -> None:
        resource = resource_of(text)

        assert (resource.arm_id, resource.name) == ("", text.rpartition("/")[2])
        assert next(questions_of(resource, {})).table == table
        assert {question.field for question in questions_of(resource, {})} == {"name"}


class TestSentences:
    """What people read in a work note; where it was looked for is the detail."""

    def test_what_is_missing_is_one_sentence(self, cmdb: Cmdb) -> None:
        binding = bound(cmdb, UNKNOWN_VAULT, "vm-unknown")

        assert binding.reason == "No configuration item: kv-unknown and vm-unknown are not in the CMDB."
        assert binding.detail.startswith("kv-unknown was not found: cmdb_ci_cmp_resource by Azure id")

    def test_a_subscription_is_no_number_and_is_not_looked_for_where_no_account_is_known(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        for row in instance.rows("cmdb_ci_cloud_service_account"):
            instance.delete(row["sys_id"], table="cmdb_ci_cloud_service_account")

        binding = bound(cmdb, "/subscriptions/00000000-0000-0000-0000-0000000000ff")

        assert binding.reason == "No configuration item: the subscription is not in the CMDB."
        assert tables(instance) == ["cmdb_ci_cloud_service_account"] * 2
