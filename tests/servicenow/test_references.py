"""Which record a rule means, over real HTTP."""

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.reconcile.ports import LinkEnd
from itsm_bridge.rules.ruling import Reference
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.references import TABLES, References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.troubles import Trouble, Troubles
from local.servicenow import faults
from local.servicenow.demo_cmdb import ci_sys_id
from local.servicenow.dictionary import Column
from local.servicenow.instance import ServiceNowStandIn

HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []
        assert running.injections == []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def references(instance: ServiceNowStandIn, clock: Clock) -> References:
    api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
    return References(api, clock=clock)


def find(references: References, name: str, field: str, value: str) -> LinkEnd:
    deadline = Deadline.after(timedelta(seconds=10))
    return references.find(name, Reference(field=field, value=value), deadline=deadline)


class TestFound:
    @pytest.mark.parametrize(
        ("name", "field", "value", "record"),
        [
            ("assignment_group", "name", "Shop Operations", "group"),
            ("caller_id", "user_name", "azure.monitor", "azure.monitor"),
            ("caller_id", "email", "azure.monitor@example.com", "azure.monitor"),
            ("assigned_to", "name", "Azure Monitor", "azure.monitor"),
            ("cmdb_ci", "name", "vm-web-02", "vm-web-02"),
            ("business_service", "name", "Web shop", "Web shop"),
            ("service_offering", "name", "Web shop, gold", "Web shop, gold"),
        ],
    )
    def test_a_unique_record_is_found_with_one_request(
        self, instance: ServiceNowStandIn, references: References, name: str, field: str, value: str, record: str
    ) -> None:
        end = find(references, name, field, value)

        assert (end.id, end.reason) == (ci_sys_id(record), "")
        assert [(call.method, call.table) for call in instance.calls] == [("GET", TABLES[name])]

    def test_a_record_is_named_by_its_sys_id_too_and_looked_at(self, references: References) -> None:
        sys_id = ci_sys_id("group")

        assert find(references, "assignment_group", "sys_id", sys_id).id == sys_id
        assert find(references, "assignment_group", "sys_id", "0" * 32).id == ""

    def test_a_field_that_is_not_known_is_asked_of_the_dictionary_once(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.glide.add_column("incident", Column(name="u_plant", type="reference", reference="cmn_location"))
        north = instance.insert("cmn_location", {"name": "Plant north"})
        instance.insert("cmn_location", {"name": "Plant south"})

        ends = [find(references, "u_plant", "name", name) for name in ("Plant north", "Plant south", "Plant west")]

        assert ends[0].id == north
        assert [bool(end.id) for end in ends] == [True, True, False]
        assert ends[2].reason == 'U plant not set: there is no record of cmn_location whose name is "Plant west".'
        assert len(instance.calls_to("sys_dictionary")) == 1

    def test_a_retired_record_of_the_same_name_does_not_count(self, references: References) -> None:
        assert find(references, "cmdb_ci", "name", "vm-web-01").id == ci_sys_id("vm-web-01")

    def test_an_inactive_group_of_the_same_name_does_not_count(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        live = instance.insert("sys_user_group", {"name": "Data centre"})

        assert find(references, "assignment_group", "name", "Data centre").id == live

    def test_where_the_instance_ignores_case_so_does_the_reference(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.switches.queries_match_case = False

        assert find(references, "assignment_group", "name", "SHOP operations").id == ci_sys_id("group")

    def test_of_names_that_differ_by_case_the_one_as_written_counts(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.switches.queries_match_case = False
        instance.insert("sys_user_group", {"name": "SHOP OPERATIONS"})

        assert find(references, "assignment_group", "name", "Shop Operations").id == ci_sys_id("group")
        assert "several groups" in find(references, "assignment_group", "name", "shop operations").reason

    @pytest.mark.parametrize("name", ["Büro Süd", "R&D (EU)", "a,b;c", "100% = all", "it's *", 'the "A" team', "名前"])
    def test_names_as_people_give_them_can_be_looked_up(
        self, instance: ServiceNowStandIn, references: References, name: str
    ) -> None:
        sys_id = instance.insert("sys_user_group", {"name": name})

        assert find(references, "assignment_group", "name", f" {name} ").id == sys_id
        assert instance.widened == []


class TestNotFound:
    @pytest.mark.parametrize(
        ("name", "field", "value", "reason"),
        [
            ("assignment_group", "name", "Shop", 'Assignment group not set: there is no group whose name is "Shop".'),
            (
                "assignment_group",
                "name",
                "Network",
                'Assignment group not set: there are several groups whose name is "Network".',
            ),
            (
                "assignment_group",
                "name",
                "Data centre",
                'Assignment group not set: the group whose name is "Data centre" is not active.',
            ),
            (
                "caller_id",
                "user_name",
                "left.long.ago",
                'Caller not set: the user whose user_name is "left.long.ago" is not active.',
            ),
            (
                "caller_id",
                "nickname",
                "beth",
                "Caller not set: sys_user has no field nickname that our account may read.",
            ),
            ("u_nothing", "name", "x", "U nothing not set: an incident has no reference field of this name."),
            ("category", "name", "x", "Category not set: an incident has no reference field of this name."),
        ],
    )
    def test_the_reason_is_a_sentence_for_people(
        self, references: References, name: str, field: str, value: str, reason: str
    ) -> None:
        end = find(references, name, field, value)

        assert (end.id, end.reason) == ("", reason)

    def test_more_records_than_a_page_holds_are_several(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        for _ in range(20):
            instance.insert("sys_user_group", {"name": "Former", "active": "false"})
        instance.insert("sys_user_group", {"name": "Former"})

        assert "several groups" in find(references, "assignment_group", "name", "Former").reason

    def test_a_user_that_the_instance_hides_because_it_is_inactive_does_not_exist(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.switches.hides_inactive_users = True

        assert "there is no user" in find(references, "caller_id", "user_name", "left.long.ago").reason

    def test_records_that_are_hidden_from_us_are_not_taken_for_absent(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.switches.unreadable_rows.add(ci_sys_id("group Network"))

        reason = find(references, "assignment_group", "name", "Network").reason

        assert "our account may not read sys_user_group, or not all groups that are meant" in reason

    @pytest.mark.parametrize("how", ["unreadable", "forbidden"])
    @pytest.mark.parametrize(("name", "table"), [("caller_id", "sys_user"), ("u_plant", "sys_dictionary")])
    def test_a_table_that_we_may_not_read_is_named(
        self, instance: ServiceNowStandIn, references: References, how: str, name: str, table: str
    ) -> None:
        instance.glide.add_column("incident", Column(name="u_plant", type="reference", reference="cmn_location"))
        switches = instance.switches
        (switches.unreadable_tables if how == "unreadable" else switches.forbidden_tables).add(table)

        end = find(references, name, "name", "Azure Monitor")

        assert end.id == ""
        assert f"may not read {table}" in end.reason

    def test_a_table_that_is_not_there_is_named(self, instance: ServiceNowStandIn, references: References) -> None:
        instance.glide.add_column("incident", Column(name="u_plant", type="reference", reference="u_plants"))

        assert "no table u_plants" in find(references, "u_plant", "name", "north").reason

    def test_an_instance_that_answers_with_other_records_binds_none(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        """As a database does that takes `u` for `ü`."""
        instance.insert("sys_user_group", {"name": "Buro"})

        def loosely(name: str, _: str) -> list[dict[str, str]]:
            return [row for row in instance.glide._rows[name].values() if row["name"] == "Buro"]

        instance.glide.select = loosely  # type: ignore[assignment,method-assign] # the instance, not the program

        reason = find(references, "assignment_group", "name", "Büro").reason

        assert reason == "Assignment group not set: the instance answers with other groups than were asked for."

    def test_it_is_told_once_and_not_by_its_value_which_may_come_from_the_alert(
        self, instance: ServiceNowStandIn, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        troubles = Troubles()
        api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
        references = References(api, clock=clock, troubles=troubles)
        with caplog.at_level(logging.DEBUG, logger="itsm_bridge"):
            for _ in range(3):
                find(references, "assignment_group", "name", "Secret project")

        counted = {trouble: (tally.count, tally.detail) for trouble, tally in troubles.take().items()}
        assert counted == {Trouble.RECORD: (1, "assignment_group by name")}
        assert "Secret" not in caplog.text


class TestInjection:
    @pytest.mark.parametrize(
        "value",
        [
            "",
            "  ",
            "x^ORname=Shop Operations",
            "x^NQactive=true",
            "x^EQ",
            "javascript:gs.getUserID()",
            "x JavaScript:alert(1)",
            "two\nlines",
            "x\u2028y",
            "x" * 256,
            "x\ud800",
        ],
    )
    def test_what_would_change_the_query_is_not_asked(
        self, instance: ServiceNowStandIn, references: References, value: str
    ) -> None:
        end = find(references, "assignment_group", "name", value)

        assert end.id == ""
        assert "cannot be looked up" in end.reason
        assert instance.calls == []

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("assignment_group", "name^ORname"),
            ("assignment_group", ""),
            ("assignment_group", "Name"),
            ("", "name"),
            ("u_x^y", "name"),
            ("../sys_user", "name"),
        ],
    )
    def test_names_that_are_none_are_not_asked(
        self, instance: ServiceNowStandIn, references: References, name: str, field: str
    ) -> None:
        assert "the rule names no field" in find(references, name, field, "Shop Operations").reason
        assert instance.calls == []

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=st.text(max_size=40) | st.text(alphabet="^=ORNQE,@!<>jascript: IN", max_size=30))
    def test_no_value_finds_a_record_that_is_not_called_so(
        self, instance: ServiceNowStandIn, references: References, value: str
    ) -> None:
        end = find(references, "assignment_group", "name", value)

        assert not end.id
        assert instance.widened == []
        assert instance.injections == []

    def test_a_reason_has_no_power_over_the_browser_that_shows_it(self, references: References) -> None:
        reason = find(references, "assignment_group", "name", "[code]<script>alert(1)</script>[/code]").reason

        assert "[code]" not in reason
        assert "<script" not in reason


class TestMemory:
    def test_a_record_is_looked_up_once_an_hour(
        self, instance: ServiceNowStandIn, references: References, clock: Clock
    ) -> None:
        for passed in (0.0, HOUR - 1, 2.0):
            clock.now += passed
            find(references, "assignment_group", "name", "Shop Operations")

        assert len(instance.calls) == 2

    def test_the_lack_of_a_record_is_remembered_for_five_minutes(
        self, instance: ServiceNowStandIn, references: References, clock: Clock
    ) -> None:
        missing = [find(references, "assignment_group", "name", "Night shift").id for _ in range(3)]
        sys_id = instance.insert("sys_user_group", {"name": "Night shift"})
        clock.now += 301

        assert missing == ["", "", ""]
        assert find(references, "assignment_group", "name", "Night shift").id == sys_id
        assert len(instance.calls) == 2

    def test_an_answer_that_did_not_come_is_not_remembered(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.faults.add(faults.node_failed(), table="sys_user_group")

        with pytest.raises(Unavailable):
            find(references, "assignment_group", "name", "Shop Operations")

        assert find(references, "assignment_group", "name", "Shop Operations").id == ci_sys_id("group")

    def test_a_refusal_of_a_moment_leaves_no_field_empty(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.faults.add(faults.acl_validation_failed(), table="sys_user_group")

        assert find(references, "assignment_group", "name", "Shop Operations").id == ci_sys_id("group")

    def test_a_slow_instance_costs_no_more_than_the_time_that_is_left(
        self, instance: ServiceNowStandIn, references: References
    ) -> None:
        instance.delay = 20
        deadline = Deadline.after(timedelta(seconds=0.5))

        with pytest.raises(Unavailable):
            references.find("assignment_group", Reference(field="name", value="Shop Operations"), deadline=deadline)

        assert not deadline.left

    def test_threads_share_it(self, references: References) -> None:
        ends: list[str] = []

        def ask() -> None:
            ends.append(find(references, "assignment_group", "name", "Shop Operations").id)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ends == [ci_sys_id("group")] * 6
