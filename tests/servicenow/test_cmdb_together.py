"""Questions that are asked together find what they would find one after the other, with fewer requests."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import Unavailable
from itsm_bridge.servicenow.cmdb.classes import (
    ACCOUNTS,
    SOURCES,
    SUBSCRIPTION,
    Question,
    lineage,
    questions_of,
    resource_of,
)
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.cmdb.match import FIELDS, CiMatch, Rows, first_of, live_rows, match_of, not_found
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.queries import Query
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, UnknownField
from itsm_bridge.servicenow.table_api import Page, TableApi
from local.servicenow import batch_faults, faults
from local.servicenow.demo_cmdb import RESOURCE_GROUP, arm_id, ci_sys_id
from local.servicenow.demo_cmdb import SUBSCRIPTION as SHOP
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn

PATIENCE = timedelta(seconds=20)
VM = arm_id("Microsoft.Compute/virtualMachines/vm-web-01")
UNKNOWN_VM = arm_id("Microsoft.Compute/virtualMachines/vm-unknown")
UNKNOWN_VAULT = arm_id("Microsoft.KeyVault/vaults/kv-unknown")
SQL_VM = arm_id("Microsoft.SqlVirtualMachine/sqlVirtualMachines/vm-erp-01")


class Clock:
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
        assert (running.crashes, running.injections) == ([], [])


def api_of(instance: ServiceNowStandIn, *, permits: int = 4, batches: bool | None = None) -> TableApi:
    knowledge = Knowledge()
    if batches is not None:
        knowledge.learn(Subject.ANSWERS_BATCHES, value=batches)
    header = Header("x-sn-apikey", instance.credentials.api_key)
    return TableApi(instance.url, header, gate=Gate(permits), knowledge=knowledge)


@pytest.fixture
def cmdb(instance: ServiceNowStandIn, clock: Clock) -> Cmdb:
    return Cmdb(api_of(instance), clock=clock)


def bound(cmdb: Cmdb, *resources: str, within: timedelta = PATIENCE) -> CiMatch:
    return cmdb.find(resources, deadline=Deadline.after(within))


def tables(instance: ServiceNowStandIn) -> list[str]:
    return [call.table for call in instance.calls]


def machines(count: int) -> list[str]:
    return [arm_id(f"Microsoft.Compute/virtualMachines/vm-nowhere-{number:03}") for number in range(count)]


class TestRequests:
    def test_a_resource_that_is_nowhere_takes_one(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, UNKNOWN_VM)

        assert binding.reason == "No configuration item: vm-unknown is not in the CMDB."
        assert tables(instance) == ["batch"]
        assert [part.table for part in instance.calls[0].parts] == [
            "cmdb_ci_vm_instance",
            "cmdb_ci_computer",
            "sys_object_source",
            "cmdb_ci_vm_instance",
            "cmdb_ci_computer",
        ]

    @pytest.mark.parametrize(
        "resource",
        [
            VM,
            RESOURCE_GROUP,
            SHOP,
            "vm-web-02",
            arm_id("Microsoft.Compute/virtualMachines/vm-batch-01"),
            arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/snet-new"),
            arm_id("Microsoft.Storage/storageAccounts/stshopdata/blobServices/default/containers/photos"),
        ],
    )
    def test_whatever_finds_it_takes_one(self, instance: ServiceNowStandIn, cmdb: Cmdb, resource: str) -> None:
        assert bound(cmdb, resource).sys_id
        assert tables(instance) == ["batch"]

    def test_only_the_items_behind_a_source_take_a_second(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        assert bound(cmdb, SQL_VM).sys_id == ci_sys_id("SQL01@vm-erp-01")
        assert [[part.table for part in call.parts] for call in instance.calls] == [
            ["cmdb_ci_cmp_resource", "sys_object_source", "cmdb_ci_cmp_resource"],
            ["cmdb_ci"],
        ]

    def test_all_resources_of_an_alert_take_one(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        assert bound(cmdb, UNKNOWN_VM, UNKNOWN_VAULT, "nobody", VM).sys_id == ci_sys_id("vm-web-01")
        assert tables(instance) == ["batch"]

    def test_a_subscription_that_is_nowhere_takes_one(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        binding = bound(cmdb, "/subscriptions/00000000-0000-0000-0000-0000000000ff")

        assert binding.reason == "No configuration item: the subscription is not in the CMDB."
        assert tables(instance) == ["batch"]

    def test_what_is_known_is_asked_in_no_batch(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        bound(cmdb, arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/a"))
        instance.forget_calls()

        bound(cmdb, arm_id("Microsoft.Network/virtualNetworks/vnet-shop/subnets/b"))

        assert [part.table for part in instance.calls[0].parts] == [
            "cmdb_ci_cloud_subnet",
            "sys_object_source",
            "cmdb_ci_cloud_subnet",
        ]

    def test_twenty_questions_go_out_and_the_next_search_goes_on(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        slots = [arm_id(f"Microsoft.Web/sites/app-{each}/slots/s") for each in range(5)]

        assert bound(cmdb, *slots).reason == "No configuration item: none was found with 20 questions."
        assert len(instance.calls) == 1
        while "20 questions" in bound(cmdb, *slots).reason:
            assert len(instance.calls) < 10

    def test_ten_threads_make_one_search(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.delay = 0.1
        start = threading.Barrier(10)

        def search(_: int) -> CiMatch:
            start.wait(10)
            return bound(cmdb, UNKNOWN_VM)

        with ThreadPoolExecutor(10) as threads:
            assert len(set(threads.map(search, range(10)))) == 1

        assert tables(instance) == ["batch"]


class TestWithoutBatches:
    def test_an_instance_that_has_none_is_asked_for_one_once(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        instance.switches.has_batch_api = False
        api = api_of(instance, permits=1)

        first = bound(Cmdb(api, clock=clock), UNKNOWN_VM)
        second = bound(Cmdb(api, clock=clock), UNKNOWN_VM)

        assert first == second
        assert first.reason == "No configuration item: vm-unknown is not in the CMDB."
        assert tables(instance).count("batch") == 1
        assert len(instance.calls) == 1 + 5 + 5

    def test_the_usual_item_takes_one_request(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        cmdb = Cmdb(api_of(instance, batches=False), clock=clock)

        assert bound(cmdb, VM).sys_id == ci_sys_id("vm-web-01")
        assert tables(instance) == ["cmdb_ci_vm_instance"]

    def test_other_questions_go_side_by_side_while_turns_are_free(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        instance.delay = 0.3

        binding = bound(Cmdb(api_of(instance, batches=False), clock=clock), UNKNOWN_VM)

        assert binding.reason == "No configuration item: vm-unknown is not in the CMDB."
        assert len(instance.calls) == 5
        assert 1 < instance.max_in_flight <= 4

    def test_they_wait_for_no_turn_that_others_have(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        gate = Gate(4)
        knowledge = Knowledge()
        knowledge.learn(Subject.ANSWERS_BATCHES, value=False)
        api = TableApi(
            instance.url, Header("x-sn-apikey", instance.credentials.api_key), gate=gate, knowledge=knowledge
        )

        with ExitStack() as others:
            for _ in range(3):
                others.enter_context(gate.turn(Deadline.after(PATIENCE)))
            bound(Cmdb(api, clock=clock), UNKNOWN_VM)

        assert len(instance.calls) == 5
        assert instance.max_in_flight == 1

    @pytest.mark.parametrize(
        "fault",
        [
            faults.acl_validation_failed(),
            faults.not_authenticated(),
            faults.no_record(),
            faults.rate_limited(),
            faults.node_failed(),
            faults.page(200),
            faults.page(403),
            faults.truncated_json(),
            faults.huge_body(),
            batch_faults.of_another(),
            batch_faults.shuffled(),
            batch_faults.incomplete(0, 3),
            batch_faults.unserviced(after=0),
            batch_faults.unserviced(after=1),
            batch_faults.doubled(differs=True),
            batch_faults.items_cut(),
            batch_faults.items(body="%%%"),
            batch_faults.items(0, id="1"),
            batch_faults.items(2, status_code="none"),
            batch_faults.items_refused(status=500),
            batch_faults.items_refused(1, status=429),
            batch_faults.list_of_wrong_type(),
        ],
        ids=lambda fault: fault.name,
    )
    @pytest.mark.parametrize("resource", [VM, UNKNOWN_VM, SQL_VM])
    def test_whatever_is_wrong_with_batches_the_search_finds_the_same(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock, fault: Fault, resource: str
    ) -> None:
        expected = bound(Cmdb(api_of(instance, batches=False), clock=clock), resource)
        instance.faults.add(fault, table="batch", times=None)

        assert bound(cmdb, resource) == expected

    def test_a_question_that_fails_also_alone_fails_the_search_and_the_others_are_kept(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        instance.faults.add(faults.node_failed(), table="sys_object_source", times=2)
        with pytest.raises(Unavailable):
            bound(cmdb, UNKNOWN_VM)
        instance.forget_calls()

        assert bound(cmdb, UNKNOWN_VM).missing == ""
        assert [[part.table for part in call.parts] for call in instance.calls] == [["sys_object_source"]]

    def test_a_batch_that_hangs_leaves_the_next_search_to_single_questions(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        instance.faults.add(faults.silence(), table="batch")
        with pytest.raises(Unavailable):
            bound(cmdb, VM, within=timedelta(seconds=0.5))
        instance.forget_calls()

        assert bound(cmdb, VM).sys_id == ci_sys_id("vm-web-01")
        assert tables(instance) == ["cmdb_ci_vm_instance"]

    def test_a_refused_question_does_not_end_the_search(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        instance.switches.forbidden_tables |= {"sys_object_source"}

        binding = bound(cmdb, UNKNOWN_VAULT)

        assert "sys_object_source by Azure id (we may not read it)" in binding.detail
        assert [[part.table for part in call.parts] for call in instance.calls][1:] == [["sys_object_source"]]

    @pytest.mark.parametrize(
        "fault", [batch_faults.items_refused(), batch_faults.items_refused(0)], ids=["all of them", "the first"]
    )
    def test_what_a_node_refuses_for_a_moment_is_asked_again(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, fault: Fault
    ) -> None:
        instance.faults.add(fault, table="batch")

        assert bound(cmdb, VM).detail.endswith("found in cmdb_ci_vm_instance by Azure id")
        assert tables(instance) == ["batch", "batch"]


class TestExpected:
    def test_what_waits_is_answered_by_the_question_of_another(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        cmdb.expect([VM])
        assert instance.calls == []
        bound(cmdb, UNKNOWN_VM)
        assert len(instance.calls[0].parts) == 5

        assert bound(cmdb, VM).sys_id == ci_sys_id("vm-web-01")
        assert tables(instance) == ["batch"]

    @pytest.mark.parametrize(("batches", "most"), [(None, 0.3), (False, 3.0)])
    def test_a_storm_of_unknown_machines_asks_little_of_each(
        self, instance: ServiceNowStandIn, clock: Clock, batches: bool | None, most: float
    ) -> None:
        storm = machines(60)
        cmdb = Cmdb(api_of(instance, batches=batches), clock=clock)
        for machine in storm:
            cmdb.expect([machine])

        with ThreadPoolExecutor(4) as threads:
            bindings = list(threads.map(lambda machine: bound(cmdb, machine), storm))

        assert [binding.reason for binding in bindings] == [
            f"No configuration item: vm-nowhere-{number:03} is not in the CMDB." for number in range(60)
        ]
        assert len(instance.calls) <= most * len(storm)

    def test_what_was_answered_for_thousands_is_remembered_until_it_is_their_turn(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        storm = machines(1440)
        for begin in range(0, len(storm), 24):
            for machine in storm[begin : begin + 24]:
                cmdb.expect([machine])
            bound(cmdb, arm_id(f"Microsoft.Compute/virtualMachines/vm-other-{begin}"))
        instance.forget_calls()

        for machine in storm:
            bound(cmdb, machine)

        assert instance.calls == []

    def test_only_questions_of_the_same_kind_are_taken_along(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        cmdb.expect([UNKNOWN_VAULT])

        bound(cmdb, UNKNOWN_VM)

        asked = {part.table: part.query["sysparm_query"] for part in instance.calls[0].parts}
        assert "kv-unknown" in asked["sys_object_source"]
        assert all("kv-unknown" not in query for table, query in asked.items() if table != "sys_object_source")

    def test_what_waits_and_was_never_looked_for_is_forgotten_after_minutes(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        cmdb.expect([VM])
        clock.now += 301

        bound(cmdb, UNKNOWN_VM)

        assert all("vm-web-01" not in part.query["sysparm_query"] for part in instance.calls[0].parts)

    def test_what_was_looked_for_is_expected_no_more(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        cmdb.expect([VM])
        bound(cmdb, VM)
        clock.now += 299
        instance.forget_calls()
        cmdb.expect([VM])  # it is known

        bound(cmdb, UNKNOWN_VM)

        assert all("vm-web-01" not in part.query["sysparm_query"] for part in instance.calls[0].parts)

    @pytest.mark.parametrize("resource", ["x^ORname=a", "javascript:gs.log()", "x" * 600, "", " /"])
    def test_what_no_query_may_hold_is_not_taken_along(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, resource: str
    ) -> None:
        cmdb.expect([resource])

        bound(cmdb, "vm-web-02")

        assert all("^" not in part.query["sysparm_query"] for part in instance.calls[0].parts)
        assert instance.widened == []

    @pytest.mark.parametrize(("batches", "longest"), [(None, 24000), (False, 2000)])
    def test_addresses_are_bounded(
        self, instance: ServiceNowStandIn, clock: Clock, batches: bool | None, longest: int
    ) -> None:
        cmdb = Cmdb(api_of(instance, batches=batches), clock=clock)
        for machine in machines(100):
            cmdb.expect([machine])

        bound(cmdb, UNKNOWN_VM)

        asked = [part for call in instance.calls for part in call.parts or (call,)]
        assert max(len(urlencode(part.query)) for part in asked) <= longest
        assert max(int(part.query["sysparm_limit"]) for part in asked) > 20

    def test_a_page_that_others_filled_hides_nothing(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        crowded = arm_id("Microsoft.Compute/virtualMachines/vm-crowded")
        for _ in range(45):
            instance.insert("cmdb_ci_vm_instance", {"name": "x", "object_id": crowded, "install_status": "7"})
        late = instance.insert("cmdb_ci_vm_instance", {"sys_id": "f" * 32, "object_id": UNKNOWN_VM})
        cmdb.expect([crowded])

        assert bound(cmdb, UNKNOWN_VM).sys_id == late
        assert bound(cmdb, crowded).sys_id == ""

    def test_a_page_that_hidden_rows_filled_hides_nothing(self, instance: ServiceNowStandIn, cmdb: Cmdb) -> None:
        crowded = arm_id("Microsoft.Compute/virtualMachines/vm-crowded")
        hidden = [instance.insert("cmdb_ci_vm_instance", {"name": "x", "object_id": crowded}) for _ in range(45)]
        instance.switches.unreadable_rows |= set(hidden)
        # Rows come in the order of their sys_id.
        late = instance.insert("cmdb_ci_vm_instance", {"sys_id": "f" * 32, "object_id": UNKNOWN_VM})
        cmdb.expect([crowded])

        assert bound(cmdb, UNKNOWN_VM).sys_id == late

    def test_a_question_with_a_full_page_of_its_own_is_asked_alone(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        for _ in range(21):
            instance.insert("cmdb_ci_vm_instance", {"name": "x", "object_id": UNKNOWN_VM})
        alone = bound(Cmdb(api_of(instance), clock=clock), UNKNOWN_VM)
        cmdb.expect(machines(3))

        assert bound(cmdb, UNKNOWN_VM) == alone
        assert "20 or more records" in alone.detail

    def test_what_fails_with_riders_is_asked_without_them_and_nothing_rides_for_a_while(
        self, instance: ServiceNowStandIn, cmdb: Cmdb, clock: Clock
    ) -> None:
        cmdb.expect([arm_id("Microsoft.KeyVault/vaults/kv-1")])
        instance.faults.add(batch_faults.items_refused(2, status=500), table="batch")
        assert bound(cmdb, UNKNOWN_VM).reason == "No configuration item: vm-unknown is not in the CMDB."
        assert [call.table for call in instance.calls] == ["batch", "sys_object_source"]
        assert "kv-1" in instance.calls[0].parts[2].query["sysparm_query"]
        assert "kv-1" not in instance.calls[1].query["sysparm_query"]

        instance.forget_calls()
        bound(cmdb, machines(1)[0])
        assert all("kv-1" not in part.query["sysparm_query"] for part in instance.calls[0].parts)

        clock.now += 60
        instance.forget_calls()
        bound(cmdb, machines(2)[1])
        assert any("kv-1" in part.query["sysparm_query"] for part in instance.calls[0].parts)

    def test_a_query_that_had_no_turn_says_nothing_against_riders(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        gate = Gate(1)
        cmdb = Cmdb(TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key), gate=gate), clock=clock)
        cmdb.expect([VM])
        with gate.turn(Deadline.after(PATIENCE)), pytest.raises(TimeIsUp):
            bound(cmdb, UNKNOWN_VM, within=timedelta(seconds=0.4))
        assert instance.calls == []

        bound(cmdb, UNKNOWN_VM)

        assert "vm-web-01" in instance.calls[0].parts[0].query["sysparm_query"]

    def test_a_thread_waits_for_the_question_that_another_took_along(
        self, instance: ServiceNowStandIn, cmdb: Cmdb
    ) -> None:
        instance.delay = 0.2
        cmdb.expect([VM])

        with ThreadPoolExecutor(1) as threads:
            other = threads.submit(bound, cmdb, UNKNOWN_VM)
            while not instance.in_flight:
                threading.Event().wait(0.001)
            assert bound(cmdb, VM).sys_id == ci_sys_id("vm-web-01")
            other.result(20)

        assert tables(instance) == ["batch"]


# The property: however questions travel, they find what one after the other would.

NAMES = ("vm-a", "vm-b", "vm-c")
RESOURCES = (
    *(arm_id(f"Microsoft.Compute/virtualMachines/{name}") for name in NAMES),
    *(arm_id(f"Microsoft.KeyVault/vaults/{name}") for name in NAMES),
    *(arm_id(f"Microsoft.Sql/servers/sql/databases/{name}") for name in ("vm-a", "master")),
    arm_id("Microsoft.Sql/servers/sql"),
    arm_id("Microsoft.DocumentDB/databaseAccounts/vm-a"),
    SHOP,
    "/subscriptions/5d8f",
    "vm-a",
    "vm-b.contoso.com",
    "a^b",
)
TABLES = (
    *("cmdb_ci_vm_instance", "cmdb_ci_linux_server", "cmdb_ci_cmp_resource", "cmdb_ci_cloud_database"),
    *("cmdb_ci_cloud_service_account", "cmdb_ci_service"),
)


def _spelled(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text, text.lower(), text.upper(), text.replace("rg-shop", "RG-SHOP"), text.title()])


def _rows(resources: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    names = [resource.rpartition("/")[2] for resource in resources]
    return st.fixed_dictionaries(
        {
            "table": st.sampled_from(TABLES),
            "name": st.sampled_from([*names, "VM-A", "nobody"]),
            "object_id": st.one_of(st.just(""), st.sampled_from(resources).flatmap(_spelled)),
            "install_status": st.sampled_from(["1", "1", "1", "7", ""]),
            "is_known_by_source": st.booleans(),
            "is_hidden": st.sampled_from([False, False, False, True]),
            "copies": st.sampled_from([1, 1, 1, 2, 21]),
        }
    )


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[str]], list[str]]:
    """Rows, what is searched for, and what is expected: all about the same few resources."""
    resources = draw(st.lists(st.sampled_from(RESOURCES), min_size=2, max_size=4, unique=True))
    rows = draw(st.lists(_rows(resources), max_size=6))
    searches = st.lists(st.sampled_from(resources), min_size=1, max_size=2, unique=True)
    return rows, draw(st.lists(searches, min_size=1, max_size=3)), draw(st.sampled_from([resources, []]))


class OneByOne:
    """The search as its steps say: each question is one request, asked when its turn comes."""

    def __init__(self, api: TableApi, overrides: Mapping[str, str]) -> None:
        self.api = api
        self.overrides = overrides
        self.closed: dict[tuple[str, str], str] = {}

    def find(self, text: str) -> CiMatch:
        resource, asked = resource_of(text), []
        for target in islice(lineage(resource), 4):
            for question in questions_of(target, self.overrides):
                rows = self.items(question)
                if (match := match_of(resource, target, question, rows)) is not None:
                    return match
                asked.append((question, rows))
                any_account = Question(ACCOUNTS, "sys_class_name", (ACCOUNTS,))
                if target.type == SUBSCRIPTION and not self.rows(any_account).rows:
                    return not_found(resource, asked)
        return not_found(resource, asked)

    def items(self, question: Question) -> Rows:
        rows = self.rows(question)
        if question.table != SOURCES or not rows.rows:
            return rows
        return self.rows(Question("cmdb_ci", "sys_id", tuple(sorted({row["target_sys_id"] for row in rows.rows}))))

    def rows(self, question: Question) -> Rows:
        if any("^" in value for value in question.values):
            return Rows(remark="not asked: too long, or with characters that no query may hold")
        place = (question.table, question.field)
        if place not in self.closed:
            try:
                page = self.asked(question)
                return live_rows(page.rows, is_cut=page.is_full)
            except UnknownField:
                self.closed[place] = "there is no such field"
            except NotAllowed:
                self.closed[place] = "we may not read it"
            except NoSuchTable:
                self.closed[place] = "there is no such table"
        return Rows(remark=self.closed[place])

    def asked(self, question: Question) -> Page:
        query = Query(
            table=question.table,
            conditions={question.field: question.values},
            fields=("target_sys_id",) if question.table == SOURCES else FIELDS,
            limit=20,
            is_counted=question.field == "name",
        )
        return self.api.page(query, deadline=Deadline.after(PATIENCE))


def one_by_one(api: TableApi, resources: Sequence[str], overrides: Mapping[str, str]) -> CiMatch | None:
    return first_of(resources, OneByOne(api, overrides).find)


def _in_short(match: CiMatch | None) -> CiMatch | None:
    """Return a match without the words that say that there may be more: a list of questions has the longer page."""
    return match and match._replace(detail=match.detail.replace(" or more", ""))


FAULTS = st.sampled_from(
    [
        None,
        None,
        batch_faults.shuffled(),
        batch_faults.incomplete(0, 2),
        batch_faults.unserviced(after=1),
        batch_faults.items_cut(1),
        batch_faults.items_refused(0, status=500),
        faults.no_resource(),
        faults.page(200),
    ]
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    world=_worlds(),
    switches=st.fixed_dictionaries(
        {"queries_match_case": st.booleans(), "invalid_query_returns_no_rows": st.booleans()}
    ),
    forbidden=st.sets(st.sampled_from([*TABLES, SOURCES]), max_size=1),
    overridden=st.booleans(),
    fault=FAULTS,
)
def test_however_questions_travel_they_find_what_one_after_the_other_would(
    world: tuple[list[dict[str, Any]], list[list[str]], list[str]],
    switches: dict[str, bool],
    forbidden: set[str],
    overridden: bool,
    fault: Fault | None,
) -> None:
    rows, searches, expected = world
    overrides = {"microsoft.keyvault/vaults": "cmdb_ci_service"} if overridden else {}
    with ServiceNowStandIn(has_demo_cmdb=False) as instance:
        for name, value in switches.items():
            setattr(instance.switches, name, value)
        for row in rows:
            _fill(instance, row)
        instance.switches.forbidden_tables |= forbidden
        told = [_in_short(one_by_one(api_of(instance, batches=False), each, overrides)) for each in searches]
        if fault is not None:
            instance.faults.add(fault, table="batch", times=None)

        for batches, permits in ((None, 4), (False, 1), (False, 4)):
            cmdb = Cmdb(api_of(instance, permits=permits, batches=batches), overrides=overrides)
            for resource in expected:
                cmdb.expect([resource])
            assert [_in_short(bound(cmdb, *each)) for each in searches] == told

        assert instance.crashes == []


def _fill(instance: ServiceNowStandIn, row: Mapping[str, Any]) -> None:
    for _ in range(row["copies"]):
        values = {name: row[name] for name in ("name", "install_status")}
        sys_id = instance.insert(row["table"], values | {"object_id": row["object_id"]})
        if row["is_hidden"]:
            instance.switches.unreadable_rows.add(sys_id)
        if row["is_known_by_source"] and row["object_id"]:
            instance.insert(SOURCES, {"name": "Other", "id": row["object_id"], "target_sys_id": sys_id})
