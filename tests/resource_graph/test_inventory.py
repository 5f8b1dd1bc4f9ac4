"""Resource Graph is asked for all rows, and no more often than it wants."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.resource_graph.inventory import QUERY, TYPES, Refused, Scope, rows_of
from local.http_server import Answer
from local.resource_graph import TOKEN, ResourceGraphStandIn
from tests.migration.estate import OTHER_SUBSCRIPTION, SUBSCRIPTION, resources

BOTH = Scope(subscriptions=(SUBSCRIPTION, OTHER_SUBSCRIPTION))


@pytest.fixture
def graph() -> Iterator[ResourceGraphStandIn]:
    with ResourceGraphStandIn(resources(), page=4) as running:
        yield running


def ask(graph: ResourceGraphStandIn, scope: Scope = BOTH, pauses: list[float] | None = None) -> list[str]:
    kept = pauses if pauses is not None else []
    return [row["name"] for row in rows_of(scope, token=TOKEN, resource_manager=graph.url, sleep=kept.append)]


def test_every_page_is_read_once(graph: ResourceGraphStandIn) -> None:
    assert ask(graph) == [row["name"] for row in resources()]
    assert len(graph.asked) == -(-len(resources()) // 4)


def test_pages_are_of_one_order_and_of_the_types_that_have_to_do_with_alerts(graph: ResourceGraphStandIn) -> None:
    ask(graph)

    assert {each["query"] for each in graph.asked} == {QUERY}
    assert "order by id asc" in QUERY
    assert all(each in QUERY for each in TYPES)


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        (Scope(subscriptions=(OTHER_SUBSCRIPTION.upper(),)), 1),
        (Scope(management_group="company"), len(resources())),
        (Scope(subscriptions=("99999999-0000-4000-8000-000000000009",)), 0),
    ],
)
def test_the_scope_is_that_which_was_asked_for(scope: Scope, count: int, graph: ResourceGraphStandIn) -> None:
    assert len(ask(graph, scope)) == count


def test_a_pause_that_it_asks_for_is_kept(graph: ResourceGraphStandIn) -> None:
    graph.throttle(seconds="7", times=2)
    pauses: list[float] = []

    assert len(ask(graph, pauses=pauses)) == len(resources())
    assert pauses == [7, 7]


def test_without_a_time_the_pauses_grow(graph: ResourceGraphStandIn) -> None:
    graph.throttle(seconds=None, times=3)
    pauses: list[float] = []

    ask(graph, pauses=pauses)

    assert pauses == [2, 4, 8]


def test_the_last_of_the_quota_is_spared(graph: ResourceGraphStandIn) -> None:
    graph.headers = {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:05"}
    pauses: list[float] = []

    ask(graph, pauses=pauses)

    assert set(pauses) == {5}


@pytest.mark.parametrize(("seconds", "times"), [("1", 5), ("100000", 1)])
def test_patience_ends(seconds: str, times: int, graph: ResourceGraphStandIn) -> None:
    graph.throttle(seconds=seconds, times=times)
    pauses: list[float] = []

    with pytest.raises(Unavailable, match="Resource Graph"):
        ask(graph, pauses=pauses)

    assert sum(pauses) < timedelta(minutes=10).total_seconds()


@pytest.mark.parametrize(
    ("status", "part"), [(400, "management group"), (401, "az login"), (403, "Reader"), (404, "404")]
)
def test_a_refusal_says_what_it_takes(status: int, part: str, graph: ResourceGraphStandIn) -> None:
    graph.next_answers.append(Answer(status=status, body=b'{"error":{"message":"No."}}'))

    with pytest.raises(Refused, match=part) as refused:
        ask(graph)

    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": {}}', b'{"data": [], "resultTruncated": "true"}'])
def test_an_answer_without_all_rows_is_none(body: bytes, graph: ResourceGraphStandIn) -> None:
    graph.next_answers.append(Answer(status=200, body=body))

    with pytest.raises(Unavailable):
        ask(graph)


@pytest.mark.parametrize("status", [500, 502])
def test_a_fault_of_azure_is_told_as_such(status: int, graph: ResourceGraphStandIn) -> None:
    graph.next_answers.append(Answer(status=status))

    with pytest.raises(Unavailable, match=str(status)):
        ask(graph)


def test_nobody_at_its_address() -> None:
    with ResourceGraphStandIn(()) as gone:
        url = gone.url

    with pytest.raises(Unavailable, match="did not answer"):
        rows_of(BOTH, token=TOKEN, resource_manager=url)
