import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itsm_bridge import troubles
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.servicenow.credentials import Header, OAuth
from itsm_bridge.servicenow.queries import Named, Row, is_askable, is_plain
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, TooLargeAnswer, UnknownField
from itsm_bridge.servicenow.table_api import TableApi
from local.servicenow import faults
from local.servicenow.exchange import Request, Response
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn
from local.servicenow.table_api import Credentials as Known

SHORT, LONG = timedelta(seconds=0.3), timedelta(seconds=10)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The lines of the adapter itself: what troubles are counted has lines of its own."""
    return [record for record in caplog.records if record.name != troubles.__name__]


def short() -> Deadline:
    return Deadline.after(SHORT)


def long() -> Deadline:
    return Deadline.after(LONG)


SYS_ID = "0123456789abcdef0123456789abcdef"
ARM_ID = "/subscriptions/5d8f/resourcegroups/rg-web/providers/microsoft.compute/virtualmachines/vm-web-01"


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []
        assert running.injections == []


def oauth(instance: ServiceNowStandIn) -> OAuth:
    known = instance.credentials
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    return OAuth(f"{instance.url}/oauth_token.do", form)


@pytest.fixture
def api(instance: ServiceNowStandIn) -> TableApi:
    """Signed in with an API key: each call is one request."""
    return TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))


def insert_incident(instance: ServiceNowStandIn, **values: str) -> str:
    return instance.insert("incident", {"short_description": "Disk full", **values})


class TestQuery:
    def test_rows_come_back_with_the_fields_asked_for(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance, correlation_id="abc", impact="2")
        insert_incident(instance, correlation_id="def")

        rows = api.query("incident", {"correlation_id": "abc"}, fields=["impact"], limit=5, deadline=long())

        assert rows == ({"sys_id": sys_id, "impact": "2", "correlation_id": "abc"},)

    def test_it_is_one_bounded_request(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        api.query(
            "incident",
            {"correlation_id": "abc", "state": "1"},
            fields=["impact"],
            limit=5,
            deadline=long(),
        )

        assert [(call.method, call.table) for call in instance.calls] == [("GET", "incident")]
        assert instance.calls[0].query == {
            "sysparm_query": "correlation_id=abc^state=1",
            "sysparm_fields": "sys_id,impact,correlation_id,state",
            "sysparm_limit": "5",
            "sysparm_no_count": "true",
            "sysparm_display_value": "false",
            "sysparm_exclude_reference_link": "true",
        }

    def test_one_of_several_values_and_an_order_can_be_asked_for(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        for number in ("b", "c", "a"):
            insert_incident(instance, correlation_id=number, short_description=number)

        rows = api.query(
            "incident",
            {"correlation_id": ["a", "b"]},
            fields=["short_description"],
            limit=5,
            order_by="short_description",
            deadline=long(),
        )

        assert [row["short_description"] for row in rows] == ["a", "b"]

    def test_a_value_is_found_in_any_case_if_the_instance_finds_it(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.switches.queries_match_case = False
        sys_id = insert_incident(instance, correlation_id="ABC")

        rows = api.query("incident", {"correlation_id": "abc"}, fields=[], limit=5, deadline=long())

        assert [row["sys_id"] for row in rows] == [sys_id]

    def test_a_field_that_the_table_lacks_is_told_and_binds_no_row(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        with pytest.raises(UnknownField):
            api.query("cmdb_ci", {"object_id": ARM_ID}, fields=["name"], limit=2, deadline=long())

        assert instance.widened

    def test_an_instance_that_returns_no_rows_then_is_no_error(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.switches.invalid_query_returns_no_rows = True

        assert api.query("cmdb_ci", {"object_id": ARM_ID}, fields=["name"], limit=2, deadline=long()) == ()

    def test_rows_that_do_not_fulfil_the_conditions_are_dropped(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        body = b'{"result":[{"sys_id":"1","state":"6"},{"sys_id":"2","state":"1"},{"sys_id":"3","state":""}]}'
        instance.faults.add(answering(body))

        rows = api.query("incident", {"state": "1"}, fields=[], limit=5, deadline=long())

        assert [row["sys_id"] for row in rows] == ["2"]

    def test_a_reference_is_compared_by_its_sys_id(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        body = b'{"result":[{"sys_id":"1","cmdb_ci":{"link":"https://x/y","value":"AB"}}]}'
        instance.faults.add(answering(body))

        rows = api.query("incident", {"cmdb_ci": "ab"}, fields=[], limit=5, deadline=long())

        assert rows == ({"sys_id": "1", "cmdb_ci": "AB"},)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "a^b",
            "a^ORb=c",
            "x^NQstate=1",
            "javascript:gs.getUserID",
            "JavaScript:x",
            "a,b",
            "a b",
            "a\nb",
            "rg(1)",
            "ä",
            "٣",
            "a\n",
            "*",
            "@x",
            "a=b",
        ],
    )
    def test_a_value_that_is_not_plain_never_leaves(
        self, instance: ServiceNowStandIn, api: TableApi, value: str
    ) -> None:
        for condition in (value, ["a", value]):
            with pytest.raises(ValueError, match="query"):
                api.query("incident", {"correlation_id": condition}, fields=[], limit=1, deadline=long())

        assert not is_plain(value)
        assert instance.calls == []

    @pytest.mark.parametrize("value", [ARM_ID, ARM_ID.upper(), "a1-b2_c3.d4", "12:30", "xjavascript:y"])
    def test_ids_and_hashes_are_plain(self, value: str) -> None:
        assert is_plain(value)

    @pytest.mark.parametrize(
        "name", ["", " ", "x ", "a^b", "JAVASCRIPT:x", "x javascript:y", "a\nb", "a\x00", "x" * 256]
    )
    def test_a_name_that_could_change_the_query_never_leaves(
        self, instance: ServiceNowStandIn, api: TableApi, name: str
    ) -> None:
        with pytest.raises(ValueError, match="query"):
            api.query("sys_user_group", {"name": Named(name)}, fields=[], limit=1, deadline=long())

        assert not is_askable(name)
        assert instance.calls == []

    def test_a_name_is_one_value_whatever_is_in_it(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        for name in ("a,b", "IN a", "=", "ORDERBYname", "@x", "ä (b) & c"):
            sys_id = instance.insert("sys_user_group", {"name": name})

            rows = api.query("sys_user_group", {"name": Named(name)}, fields=[], limit=5, deadline=long())

            assert [row["sys_id"] for row in rows] == [sys_id]

    @pytest.mark.parametrize("conditions", [{}, {"state": ()}, {"correlation_id": "a", "state": []}])
    def test_a_query_for_everything_is_a_bug(self, api: TableApi, conditions: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="whole table"):
            api.query("incident", conditions, fields=[], limit=1, deadline=long())

    @pytest.mark.parametrize("name", ["", "state^x", "a=b", "../sys_user", "sys_user?x", "a,b", "a b"])
    def test_a_name_that_is_none_is_a_bug(self, api: TableApi, name: str) -> None:
        with pytest.raises(ValueError, match="no name"):
            api.query(name, {"state": "1"}, fields=[], limit=1, deadline=long())
        with pytest.raises(ValueError, match="no name"):
            api.query("incident", {name: "1"}, fields=[], limit=1, deadline=long())
        with pytest.raises(ValueError, match="no name"):
            api.query("incident", {"state": "1"}, fields=[name], limit=1, deadline=long())

    def test_a_table_that_does_not_exist_is_told_and_not_final(self, api: TableApi) -> None:
        with pytest.raises(NoSuchTable, match="Invalid table cmdb_ci_moon"):
            api.query("cmdb_ci_moon", {"object_id": "a"}, fields=[], limit=1, deadline=long())

    def test_one_row_where_a_list_belongs_is_no_answer(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(faults.result_of_wrong_type())

        with pytest.raises(Unavailable):
            api.query("incident", {"state": "1"}, fields=[], limit=1, deadline=long())


def one(
    api: TableApi, sys_id: str, *fields: str, displayed: Sequence[str] = (), deadline: Deadline | None = None
) -> Row | None:
    """Ask for one row by its sys_id, as the incidents do."""
    rows = api.query(
        "incident",
        {"sys_id": sys_id},
        fields=fields,
        displayed=displayed,
        limit=1,
        must_see_all=True,
        deadline=deadline or long(),
    )
    return rows[0] if rows else None


class TestRead:
    def test_a_row_comes_back_with_raw_values(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        caller = instance.rows("sys_user")[0]["sys_id"]
        sys_id = insert_incident(instance, caller_id=caller)

        row = one(api, sys_id, "state", "caller_id", "u_none")

        assert row == {"sys_id": sys_id, "state": "1", "caller_id": caller}

    def test_a_journal_comes_back_as_people_see_it_beside_raw_values(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        sys_id = insert_incident(instance, work_notes="first")
        instance.edit(sys_id, {"work_notes": "second"})

        row = one(api, sys_id, "state", displayed=["work_notes"])

        assert row is not None
        assert (row["sys_id"], row["state"]) == (sys_id, "1")
        assert row["work_notes"].index("second") < row["work_notes"].index("first")

    def test_none_is_no_row(self, api: TableApi) -> None:
        assert one(api, SYS_ID, "state") is None

    def test_one_that_is_hidden_is_told_from_none(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance)
        instance.switches.unreadable_rows.add(sys_id)

        with pytest.raises(NotAllowed) as caught:
            one(api, sys_id, "state")
        assert caught.value.is_refusal
        assert len(instance.calls) == 1

    def test_where_somebody_took_the_count_away_it_is_none(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(answering(b'{"result":[]}'))

        assert one(api, SYS_ID, "state") is None

    def test_rows_that_were_not_asked_for_are_not_none(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(answering(b'{"result":[{"sys_id":"x"}]}', headers=(("X-Total-Count", "1"),)))

        with pytest.raises(Unavailable, match="not asked for"):
            one(api, SYS_ID)

    def test_a_list_that_is_refused_as_absent_is_no_empty_one(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(faults.no_record())

        with pytest.raises(Unavailable, match="no list"):
            one(api, SYS_ID)

    def test_what_stands_before_the_instance_says_nothing_about_our_rights(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.faults.add(faults.page(403))

        with pytest.raises(Unavailable) as caught:
            one(api, SYS_ID)
        assert not isinstance(caught.value, NotAllowed)

    def test_more_that_match_than_were_asked_for_are_not_hidden(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        for _ in range(3):
            insert_incident(instance)

        rows = api.query("incident", {"state": "1"}, fields=[], limit=2, must_see_all=True, deadline=long())

        assert len(rows) == 2

    def test_a_column_that_is_hidden_is_left_out(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance, work_notes="first")
        instance.switches.unreadable_columns.add("work_notes")

        row = one(api, sys_id, "state", displayed=["work_notes"])

        assert row is not None
        assert "work_notes" not in row

    @pytest.mark.parametrize("sys_id", ["", "x" * 32, SYS_ID + "0", SYS_ID[:-1], "../sys_user", SYS_ID + "\n"])
    def test_what_is_no_sys_id_never_leaves(self, instance: ServiceNowStandIn, api: TableApi, sys_id: str) -> None:
        with pytest.raises(ValueError, match="no sys_id"):
            api.patch("incident", sys_id, {"state": "1"}, fields=[], deadline=long())

        assert instance.calls == []

    def test_values_of_any_type_become_text(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        body = (
            rb'{"result":[{"a":1,"b":true,"c":null,"d":{"value":"v","link":"l"},"e":[1],"f":"\ud800","g":{"value":{}},'
            rb'"sys_id":"%s"}]}'
        ) % SYS_ID.encode()
        instance.faults.add(answering(body))

        row = one(api, SYS_ID)

        assert row == {"a": "1", "b": "true", "c": "", "d": "v", "e": "", "f": "?", "g": "", "sys_id": SYS_ID}


class TestWrite:
    def test_an_inserted_row_comes_back_as_stored(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        values = {"sys_id": SYS_ID, "short_description": "x" * 200, "impact": "9", "u_none": "y"}

        row = api.insert("incident", values, fields=["short_description", "impact", "u_none"], deadline=long())

        assert row == {"sys_id": SYS_ID, "short_description": "x" * 160, "impact": "3"}
        assert [(call.method, call.status) for call in instance.calls] == [("POST", 201)]

    def test_a_patched_row_comes_back_as_stored(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance)

        row = api.patch("incident", sys_id, {"impact": "1"}, fields=["impact", "priority"], deadline=long())

        assert row == {"sys_id": sys_id, "impact": "1", "priority": "3"}

    def test_a_row_that_vanished_is_a_conflict(self, api: TableApi) -> None:
        with pytest.raises(Conflict):
            api.patch("incident", SYS_ID, {"impact": "1"}, fields=[], deadline=long())

    @pytest.mark.parametrize("text", ["ä€😀", "[code]<b>[/code]", 'quote " and \\', "line\nline"])
    def test_text_arrives_as_it_is(self, instance: ServiceNowStandIn, api: TableApi, text: str) -> None:
        row = api.insert("incident", {"description": text}, fields=["description"], deadline=long())

        assert row["description"] == text
        assert instance.calls[0].fields == ("description",)

    def test_a_refusal_names_what_is_missing(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance)

        with pytest.raises(Rejected, match="mandatory: Resolution code, Close notes"):
            api.patch("incident", sys_id, {"state": "6"}, fields=[], deadline=long())

    def test_a_row_that_may_not_be_read_back_is_empty(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.switches.unreadable_tables.add("incident")

        assert api.insert("incident", {"impact": "1"}, fields=["impact"], deadline=long()) == {}


READ, INSERT, PATCH = "GET", "POST", "PATCH"


def call(api: TableApi, method: str, sys_id: str, *, deadline: Deadline | None = None) -> object:
    if method == READ:
        return one(api, sys_id, "state", deadline=deadline or long())
    if method == INSERT:
        return api.insert("incident", {"impact": "1"}, fields=["impact"], deadline=deadline or long())
    return api.patch("incident", sys_id, {"impact": "1"}, fields=["impact"], deadline=deadline or long())


class TestTrouble:
    @pytest.mark.parametrize(
        ("fault", "read", "insert", "patch"),
        [
            (faults.hibernating(), Unavailable, Unavailable, Unavailable),
            (faults.empty_200(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.accepted_202(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.truncated_json(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.transaction_cancelled(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.transaction_cancelled(is_valid_json=False), Unavailable, Unconfirmed, Unconfirmed),
            (faults.result_of_wrong_type(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.huge_body(), TooLargeAnswer, Unconfirmed, Unconfirmed),
            (faults.rate_limited(), Unavailable, Unavailable, Unavailable),
            (faults.semaphores_exhausted(), Unavailable, Unavailable, Unavailable),
            (faults.not_authenticated(), Unavailable, Unavailable, Unavailable),
            (faults.not_authenticated(asks_for_mfa=True), Unavailable, Unavailable, Unavailable),
            (faults.acl_validation_failed(), NotAllowed, Unconfirmed, NotAllowed),
            (faults.unscoped_api(), NotAllowed, Unconfirmed, NotAllowed),
            (faults.acl_exception(), NotAllowed, Unconfirmed, NotAllowed),
            (faults.business_rule_aborted(), NotAllowed, Rejected, Rejected),
            (faults.data_policy_violated(), NotAllowed, Rejected, Rejected),
            (faults.error_during_insert(), NotAllowed, Unconfirmed, Unconfirmed),
            (faults.no_record(), Unavailable, Unconfirmed, Conflict),
            (faults.no_resource(), NoSuchTable, NoSuchTable, NoSuchTable),
            (faults.no_resource(status=404), NoSuchTable, NoSuchTable, NoSuchTable),
            (faults.invalid_table(), NoSuchTable, NoSuchTable, NoSuchTable),
            (faults.payload_rejected(), Rejected, Rejected, Rejected),
            (faults.edge_refused(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.node_failed(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.node_failed(is_html=True), Unavailable, Unconfirmed, Unconfirmed),
            (faults.edge_failed(status=502), Unavailable, Unconfirmed, Unconfirmed),
            (faults.edge_failed(status=503), Unavailable, Unconfirmed, Unconfirmed),
            (faults.closed(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.closed_unread(), Unavailable, Unconfirmed, Unconfirmed),
            (faults.garbage(), Unavailable, Unconfirmed, Unconfirmed),
        ],
        ids=lambda each: each.name if isinstance(each, Fault) else getattr(each, "__name__", ""),
    )
    def test_each_fault_becomes_its_error(
        self,
        instance: ServiceNowStandIn,
        api: TableApi,
        fault: Fault,
        read: type[BridgeError] | None,
        insert: type[BridgeError],
        patch: type[BridgeError],
    ) -> None:
        sys_id = insert_incident(instance)
        instance.faults.add(fault, times=None)
        became: list[type[BaseException] | None] = []
        for method in (READ, INSERT, PATCH):
            try:
                call(api, method, sys_id)
            except BridgeError as error:
                became.append(type(error))
            else:
                became.append(None)

        assert became == [read, insert, patch]
        writes = [each.method for each in instance.calls if each.method != READ]
        assert writes == [INSERT, PATCH]

    @pytest.mark.parametrize("fault", [faults.silence(), faults.trickling_headers(), faults.trickling_body()])
    def test_one_that_never_ends_is_left_in_time(
        self, instance: ServiceNowStandIn, api: TableApi, fault: Fault
    ) -> None:
        instance.faults.add(fault)

        with pytest.raises(Unconfirmed, match="no answer in time"):
            call(api, INSERT, SYS_ID, deadline=short())

    def test_an_instance_that_is_down_took_nothing(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.stop()

        for method in (READ, INSERT, PATCH):
            with pytest.raises(Unavailable):
                call(api, method, SYS_ID)

    def test_what_we_are_asked_to_wait_is_handed_on(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(faults.rate_limited(retry_after=1800))

        with pytest.raises(TemporaryError) as caught:
            call(api, INSERT, SYS_ID)

        assert caught.value.retry_after == timedelta(minutes=30)

    def test_a_read_whose_connection_was_dropped_is_repeated_once(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        sys_id = insert_incident(instance)
        instance.faults.add(faults.closed())

        assert call(api, READ, sys_id) == {"sys_id": sys_id, "state": "1"}
        assert len(instance.calls) == 2

    def test_a_read_whose_connection_is_dropped_again_is_given_up(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.faults.add(faults.closed(), times=4)

        with pytest.raises(Unavailable):
            call(api, READ, SYS_ID)

        assert len(instance.calls) == 2

    def test_a_read_whose_answer_is_no_use_is_not_repeated(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(faults.huge_body())

        with pytest.raises(Unavailable, match="over"):
            call(api, READ, SYS_ID)

        assert len(instance.calls) == 1

    def test_missing_rights_are_an_error_for_the_operator(
        self, instance: ServiceNowStandIn, api: TableApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        instance.faults.add(faults.acl_exception())

        with pytest.raises(NotAllowed):
            call(api, PATCH, SYS_ID)

        assert [record.levelno for record in told(caplog)] == [logging.ERROR]
        assert "ACL Exception Update Failed" in caplog.text


class TestSigningIn:
    def test_a_known_token_makes_each_call_one_request(self, instance: ServiceNowStandIn) -> None:
        api = TableApi(instance.url, oauth(instance))
        sys_id = insert_incident(instance)
        api.probe("incident", deadline=long())
        instance.forget_calls()

        for method in (READ, INSERT, PATCH):
            call(api, method, sys_id)

        assert [each.method for each in instance.calls] == [READ, INSERT, PATCH]

    @pytest.mark.parametrize("method", [READ, INSERT, PATCH])
    def test_a_revoked_token_is_renewed_once_within_the_call(self, instance: ServiceNowStandIn, method: str) -> None:
        api = TableApi(instance.url, oauth(instance))
        sys_id = insert_incident(instance)
        api.probe("incident", deadline=long())
        instance.revoke_tokens()
        instance.forget_calls()

        call(api, method, sys_id)

        assert [each.table for each in instance.calls] == ["incident", "oauth_token", "incident"]
        assert instance.calls[0].status == 401

    def test_a_second_refusal_is_temporary_and_told_to_the_operator(
        self, instance: ServiceNowStandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        api = TableApi(instance.url, oauth(instance))
        instance.faults.add(faults.not_authenticated(), times=None)

        with pytest.raises(Unavailable):
            call(api, INSERT, SYS_ID)

        assert [each.table for each in instance.calls] == ["oauth_token", "incident", "oauth_token", "incident"]
        assert [record.levelno for record in told(caplog)] == [logging.ERROR]

    def test_threads_that_are_refused_together_sign_in_again_together(self, instance: ServiceNowStandIn) -> None:
        api = TableApi(instance.url, oauth(instance))
        sys_id = insert_incident(instance)
        instance.switches.token_lifetime = 1800
        api.probe("incident", deadline=long())
        instance.revoke_tokens()
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(call(api, READ, sys_id))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert found == [{"sys_id": sys_id, "state": "1"}] * 4

    def test_a_wrong_key_tells_no_secret(self, instance: ServiceNowStandIn, caplog: pytest.LogCaptureFixture) -> None:
        api = TableApi(instance.url, Header("x-sn-apikey", "made-up-wrong-key"))

        with pytest.raises(Unavailable) as caught:
            call(api, INSERT, SYS_ID)

        assert "made-up-wrong-key" not in caplog.text + repr(caught.value) + str(caught.value)
        assert len(instance.calls) == 1

    def test_basic_authentication_works(self, instance: ServiceNowStandIn) -> None:
        api = TableApi(instance.url, Header("Authorization", "Basic aXRzbS5icmlkZ2U6bWFkZS11cC1wYXNzd29yZA=="))

        assert instance.credentials == Known()
        api.probe("incident", deadline=long())


class TestProbe:
    def test_it_is_one_small_request(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        api.probe("incident", deadline=long())

        assert [(each.method, each.query["sysparm_limit"]) for each in instance.calls] == [("GET", "1")]

    def test_a_sleeping_instance_fails_it(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(faults.hibernating(), everywhere=True)

        with pytest.raises(Unavailable, match="hibernates"):
            api.probe("incident", deadline=long())


class TestSessions:
    def test_threads_that_call_at_once_do_not_share_a_session(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        sys_id = insert_incident(instance)
        instance.switches.session_wait = 0
        instance.delay = 0.1
        found: list[object] = []

        def read_twice() -> None:
            found.extend(call(api, READ, sys_id) for _ in range(2))

        threads = [threading.Thread(target=read_twice) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert found == [{"sys_id": sys_id, "state": "1"}] * 8
        assert {each.status for each in instance.calls} == {200}


def answering(body: bytes, *, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Fault:
    """An answer with this body, byte by byte."""

    def answer(_request: Request, _true: Response | None) -> Response:
        return Response(status=status, headers=headers, body=body)

    return Fault(name="made-up answer", answer=answer)


ROWS: st.SearchStrategy[dict[str, object]] = st.dictionaries(
    st.sampled_from(["sys_id", "state", "number"]), st.none() | st.integers() | st.text(max_size=9) | st.just({})
)
BODIES = st.binary(max_size=60) | st.builds(
    lambda result: repr({"result": result}).replace("'", '"').replace("None", "null").encode("utf-8", "replace"),
    ROWS | st.lists(ROWS, max_size=2),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-Transaction-ID", "Content-Type", "Location", "Set-Cookie"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([READ, INSERT, PATCH]),
    status=st.sampled_from([200, 201, 202, 301, 400, 401, 403, 404, 429, 500, 503, 599]),
    headers=HEADERS,
    body=BODIES,
)
def test_whatever_is_answered_ends_as_a_row_or_as_one_of_our_errors(
    instance: ServiceNowStandIn, api: TableApi, method: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    instance.faults.add(answering(body, status=status, headers=tuple(headers.items())))
    errors = (Unavailable, Conflict, Rejected) if method == READ else (Unavailable, Unconfirmed, Conflict, Rejected)
    try:
        with contextlib.suppress(*errors):
            assert isinstance(call(api, method, SYS_ID), dict | None)
    finally:
        instance.faults.clear()
