"""A batch is judged read by read, over HTTP, and whatever comes instead of one is told from an answer."""

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from itsm_bridge import troubles
from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, Rejected, Unavailable
from itsm_bridge.servicenow.batch import MOST_READS, Batch, Batches
from itsm_bridge.servicenow.credentials import Header, OAuth
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.queries import Query
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, NotTogether, UnknownField
from itsm_bridge.servicenow.table_api import Page, TableApi
from itsm_bridge.servicenow.verdicts import Effect, Verdict
from itsm_bridge.transport import Received
from local.servicenow import batch_faults, faults
from local.servicenow.demo_cmdb import ci_sys_id
from local.servicenow.exchange import Request, Response, from_node, refusal
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn

LONG = timedelta(seconds=10)


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []


@pytest.fixture
def api(instance: ServiceNowStandIn) -> TableApi:
    return TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))


def by_name(name: str, table: str = "cmdb_ci_vm_instance", **more: Any) -> Query:
    return Query(table=table, conditions={"name": name}, fields=("name",), limit=20, **more)


THREE = (by_name("vm-web-01"), by_name("nobody"), by_name("vm-web-02"))


def asked(api: TableApi, *queries: Query, within: timedelta = LONG) -> Sequence[Page | BridgeError | None]:
    return api.pages(queries, deadline=Deadline.after(within))


def names(pages: Sequence[Page | BridgeError | None]) -> list[Any]:
    """What was found, by name; what is no page as it is."""
    return [sorted({row["name"] for row in page.rows}) if isinstance(page, Page) else page for page in pages]


def answering(response: Response) -> Fault:
    def answer(_request: Request, _true: Response | None) -> Response:
        return response

    return Fault(name="made-up answer", answer=answer)


class TestAnswers:
    def test_several_reads_are_one_request(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        pages = asked(api, *THREE)

        assert names(pages) == [["vm-web-01"], [], ["vm-web-02"]]
        assert [call.table for call in instance.calls] == ["batch"]
        assert [part.table for part in instance.calls[0].parts] == ["cmdb_ci_vm_instance"] * 3

    def test_each_answer_is_what_the_read_alone_would_get(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        queries = (*THREE, by_name("vm-web-01", "cmdb_ci"), by_name("vm-web-01", is_counted=True))

        assert asked(api, *queries) == [api.page(query, deadline=Deadline.after(LONG)) for query in queries]
        assert instance.calls_to("batch")

    def test_a_read_without_any_rows_is_a_page_without_rows(self, api: TableApi) -> None:
        assert asked(api, by_name("nobody")) == [Page(rows=(), is_full=False)]

    def test_access_control_applies_to_each_read(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.switches.forbidden_tables |= {"sys_user_group"}

        first, refused, missing, wrong = asked(
            api,
            by_name("vm-web-01"),
            by_name("x", "sys_user_group"),
            by_name("x", "cmdb_ci_vault"),
            Query(table="cmdb_ci_service", conditions={"object_id": "x"}, fields=("name",), limit=20),
        )

        assert isinstance(first, Page)
        assert isinstance(refused, NotAllowed)
        assert isinstance(missing, NoSuchTable)
        assert isinstance(wrong, UnknownField)

    def test_a_page_that_is_full_before_rows_are_hidden_is_told(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        rows = [instance.insert("cmdb_ci_vm_instance", {"name": "twin"}) for _ in range(3)]
        instance.switches.unreadable_rows |= set(rows[:2])
        query = Query(table="cmdb_ci_vm_instance", conditions={"name": "twin"}, fields=(), limit=3, is_counted=True)

        (page,) = asked(api, query)

        assert isinstance(page, Page)
        assert (len(page.rows), page.is_full) == (1, True)

    def test_a_token_that_was_revoked_is_renewed_once(self, instance: ServiceNowStandIn) -> None:
        known = instance.credentials
        form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
        gate = Gate(1)
        api = TableApi(instance.url, OAuth(f"{instance.url}/oauth_token.do", form, gate=gate), gate=gate)
        api.sign_in()
        instance.revoke_tokens()

        assert names(asked(api, by_name("vm-web-01"))) == [["vm-web-01"]]

    def test_a_batch_whose_kept_connection_was_dropped_is_sent_once_more(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.faults.add(faults.closed(), table="batch")

        assert names(asked(api, by_name("vm-web-01"))) == [["vm-web-01"]]

    def test_a_batch_is_bounded(self, api: TableApi) -> None:
        with pytest.raises(ValueError, match="too large"):
            asked(api, *[by_name("x")] * (MOST_READS + 1))

    @pytest.mark.parametrize("name", ["x^ORname=y", "javascript:gs.log()", "", "a,b"])
    def test_what_no_query_may_hold_is_in_no_batch(self, instance: ServiceNowStandIn, api: TableApi, name: str) -> None:
        with pytest.raises(ValueError, match=r"must not stand|without a condition"):
            asked(api, by_name("vm-web-01"), by_name(name))
        assert instance.calls == []


class TestSpoiledAnswers:
    """Each is answered 200; what is not usable is to be asked alone."""

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (batch_faults.shuffled(), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.incomplete(0), [None, [], ["vm-web-02"]]),
            (batch_faults.incomplete(1, 2), [["vm-web-01"], None, None]),
            (batch_faults.unserviced(after=1), [["vm-web-01"], None, None]),
            (batch_faults.doubled(differs=False), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.items_cut(0), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, body="%%%"), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, body="abc"), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, body=None), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, body=5), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, body=base64.b64encode(b"<html>").decode()), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, status_code=None), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, status_code=True), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, status_code="200"), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.items(0, id="7"), [None, [], ["vm-web-02"]]),
            (batch_faults.items(0, id=0), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.items(0, id={"0": 0}), [None, [], ["vm-web-02"]]),
            (batch_faults.items(headers=None), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.items(headers=["X-Total-Count", {"name": "x"}]), [["vm-web-01"], [], ["vm-web-02"]]),
            (batch_faults.items_refused(0, status=500), [None, [], ["vm-web-02"]]),
            (batch_faults.items_refused(0, status=429), [None, [], ["vm-web-02"]]),
        ],
        ids=lambda value: value.name if isinstance(value, Fault) else None,
    )
    def test_every_usable_answer_goes_to_its_read_and_no_other(
        self, instance: ServiceNowStandIn, api: TableApi, fault: Fault, expected: list[Any]
    ) -> None:
        instance.faults.add(fault, table="batch")

        assert names(asked(api, *THREE)) == expected
        assert api.answers_batches

    def test_a_base64_body_may_have_line_breaks(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        body = base64.encodebytes(json.dumps({"result": [{"sys_id": "a", "name": "vm-web-01"}]}).encode() * 1).decode()
        assert "\n" in body
        instance.faults.add(batch_faults.items(0, body=body), table="batch")

        assert names(asked(api, by_name("vm-web-01"))) == [["vm-web-01"]]

    def test_a_read_that_is_refused_inside_is_refused(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.faults.add(batch_faults.items_refused(1), table="batch")

        first, second, third = asked(api, *THREE)

        assert isinstance(second, NotAllowed)
        assert names([first, third]) == [["vm-web-01"], ["vm-web-02"]]

    @pytest.mark.parametrize(
        "fault",
        [
            batch_faults.items_cut(),
            batch_faults.items_refused(status=500),
            batch_faults.unserviced(after=0),
            batch_faults.doubled(differs=True),
        ],
    )
    def test_a_batch_without_any_usable_answer_is_not_repeated_for_a_while(
        self, instance: ServiceNowStandIn, api: TableApi, fault: Fault
    ) -> None:
        instance.faults.add(fault, table="batch")

        assert asked(api, *THREE) == [None] * 3
        assert not api.answers_batches

    def test_reads_after_the_quota_are_left(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.switches.batch_work, instance.switches.batch_quota = 0.01, 0.025

        assert names(asked(api, *THREE)) == [["vm-web-01"], [], None]

    def test_an_answer_that_is_too_large_and_what_comes_after_it_are_left(
        self, instance: ServiceNowStandIn, api: TableApi
    ) -> None:
        instance.switches.batch_output = 60

        assert names(asked(api, by_name("nobody"), by_name("vm-web-01"), by_name("nobody"))) == [[], None, None]

    def test_items_count_against_a_rate_limit(self, instance: ServiceNowStandIn, api: TableApi) -> None:
        instance.switches.requests_per_hour = 2

        assert names(asked(api, *THREE)) == [["vm-web-01"], [], None]


NO_BATCHES = [
    faults.no_resource(status=400),
    faults.no_resource(status=404),
    faults.acl_validation_failed(),
    faults.unscoped_api(),
    faults.not_authenticated(),
    faults.no_record(),
    faults.rate_limited(),
    faults.semaphores_exhausted(),
    faults.payload_rejected(),
    faults.page(200),
    faults.page(403),
    faults.page(404),
    faults.page(405),
    faults.edge_refused(),
    faults.empty_200(),
    faults.accepted_202(),
    faults.truncated_json(),
    faults.transaction_cancelled(),
    faults.huge_body(),
    faults.node_failed(),
    batch_faults.of_another(),
    batch_faults.list_of_wrong_type(),
    answering(from_node(200, [])),
    answering(from_node(200, {"batch_request_id": "1", "serviced_requests": [], "unserviced_requests": []})),
    answering(from_node(200, {"result": []})),
    answering(refusal(405, "Method not supported", "POST")),
]


class TestNoBatches:
    @pytest.mark.parametrize("fault", NO_BATCHES, ids=lambda fault: fault.name)
    def test_whoever_gets_no_answer_to_a_batch_may_ask_one_by_one_at_once(
        self, instance: ServiceNowStandIn, api: TableApi, fault: Fault
    ) -> None:
        instance.faults.add(fault, table="batch", times=None)

        with pytest.raises(NotTogether):
            asked(api, *THREE)

        assert not api.answers_batches
        assert ci_sys_id("vm-web-02") in {
            row["sys_id"] for row in api.page(THREE[2], deadline=Deadline.after(LONG)).rows
        }

    @pytest.mark.parametrize(
        "fault",
        [
            faults.hibernating(),
            *(faults.edge_failed(status=status) for status in (502, 503, 504)),
            faults.garbage(),
            faults.silence(),
            faults.trickling_body(),
        ],
        ids=lambda fault: fault.name,
    )
    def test_an_instance_that_is_away_is_not_asked_again_at_once(
        self, instance: ServiceNowStandIn, api: TableApi, fault: Fault
    ) -> None:
        instance.faults.add(fault, table="batch", times=None)

        with pytest.raises(Unavailable) as caught:
            asked(api, *THREE, within=timedelta(seconds=0.5))

        assert not isinstance(caught.value, NotTogether)
        assert not api.answers_batches

    def test_a_refusal_is_logged_without_an_answer_and_counts_as_no_trouble(
        self, instance: ServiceNowStandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        counted = troubles.Troubles()
        api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key), troubles=counted)
        instance.faults.add(faults.acl_validation_failed(), table="batch")

        with caplog.at_level(logging.INFO), pytest.raises(NotTogether):
            asked(api, *THREE)

        assert [(record.name, record.levelno) for record in caplog.records] == [
            ("itsm_bridge.servicenow.batch", logging.WARNING)
        ]
        assert counted.take() == {}

    def test_who_gets_no_turn_says_nothing_of_batches(self, instance: ServiceNowStandIn) -> None:
        gate = Gate(1)
        api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key), gate=gate)

        with gate.turn(Deadline.after(LONG)), pytest.raises(TimeIsUp):
            asked(api, *THREE, within=timedelta(seconds=0.4))

        assert api.answers_batches
        assert instance.calls == []


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def verdict(**changes: Any) -> Verdict:
    return Verdict(**{"effect": Effect.RETRY_SAFE, "reason": "made up", "status": 500, **changes})


class TestMemory:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def knowledge(self) -> Knowledge:
        return Knowledge()

    @pytest.fixture
    def batches(self, knowledge: Knowledge, clock: Clock) -> Batches:
        return Batches(knowledge, clock=clock)

    def test_batches_are_sent_until_something_speaks_against_them(self, batches: Batches) -> None:
        assert batches.may_be_sent

    def test_a_failure_counts_for_minutes_and_for_this_process(
        self, batches: Batches, knowledge: Knowledge, clock: Clock
    ) -> None:
        batches.failed(verdict())
        assert not batches.may_be_sent

        clock.now += 300

        assert batches.may_be_sent
        assert knowledge.says(Subject.ANSWERS_BATCHES) is None

    def test_an_api_that_is_absent_is_known_to_all_processes(self, batches: Batches, knowledge: Knowledge) -> None:
        batches.failed(verdict(is_no_table=True, status=400))

        assert knowledge.says(Subject.ANSWERS_BATCHES) is False

    @pytest.mark.parametrize(
        "refused", [verdict(is_refusal=True, status=403), verdict(effect=Effect.REJECTED, status=405)]
    )
    def test_one_refusal_may_be_a_mistake_of_a_node_and_two_are_none(
        self, batches: Batches, knowledge: Knowledge, clock: Clock, refused: Verdict
    ) -> None:
        batches.failed(refused)
        assert knowledge.says(Subject.ANSWERS_BATCHES) is None
        clock.now += 300

        batches.failed(refused)

        assert knowledge.says(Subject.ANSWERS_BATCHES) is False
        clock.now += 3600
        assert not batches.may_be_sent

    def test_an_answer_between_two_refusals_forgives_the_first(self, batches: Batches, knowledge: Knowledge) -> None:
        batches.failed(verdict(is_refusal=True, status=403))
        batches.answered()
        batches.failed(verdict(is_refusal=True, status=403))

        assert knowledge.says(Subject.ANSWERS_BATCHES) is True

    def test_a_limit_on_batches_is_waited_out_within_reason(self, batches: Batches, clock: Clock) -> None:
        batches.failed(verdict(status=429, retry_after=timedelta(minutes=20)))
        clock.now += 1199
        assert not batches.may_be_sent
        clock.now += 1
        assert batches.may_be_sent

        batches.failed(verdict(status=429, retry_after=timedelta(hours=2)))
        clock.now += 3600
        assert batches.may_be_sent

    def test_an_instance_that_is_too_slow_for_batches_is_asked_for_one_ever_less_often(
        self, batches: Batches, clock: Clock
    ) -> None:
        for minutes in (5, 10, 20, 40, 60, 60):
            batches.failed(verdict(status=None))
            batches.failed(verdict(status=None))  # it was under way at the same time
            clock.now += 60 * minutes - 1
            assert not batches.may_be_sent
            clock.now += 1
            assert batches.may_be_sent

        batches.answered()
        batches.failed(verdict(status=None))
        clock.now += 300
        assert batches.may_be_sent


def _items() -> st.SearchStrategy[Any]:
    scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 700), st.text(max_size=8))
    return st.recursive(scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), _objects(inner)), max_leaves=6)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(["id", "body", "status_code", "headers", "name", "value", "serviced_requests"])
    return st.dictionaries(keys, inner, max_size=5)


@given(items=st.one_of(_items(), st.lists(_objects(_items()), max_size=4)))
def test_whatever_is_told_of_a_batch_is_an_answer_or_none(items: Any) -> None:
    batch = Batch.of("b", THREE)
    body = json.dumps({"batch_request_id": "b", "serviced_requests": items}).encode()

    answers = batch.answers_in(Received(status=200, headers={}, body=body))

    assert answers is None or len(answers) == len(THREE)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(status=st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 503]), items=_items())
def test_whatever_is_answered_ends_as_pages_or_as_one_of_our_errors(
    instance: ServiceNowStandIn, status: int, items: Any
) -> None:
    api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
    instance.faults.clear()
    instance.faults.add(batch_faults.items(0, status_code=status, body=items, headers=items), table="batch")

    first, *others = asked(api, *THREE)

    assert first is None or isinstance(first, (Page, Unavailable, Rejected))
    assert names(others) == [[], ["vm-web-02"]]
