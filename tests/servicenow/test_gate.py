"""The limit is seen where it counts: at the instance, over HTTP."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest

from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import Unavailable
from itsm_bridge.servicenow.credentials import OAuth
from itsm_bridge.servicenow.gate import Gate, Gated
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.table_api import TableApi
from local.servicenow import faults
from local.servicenow.instance import ServiceNowStandIn

PATIENCE = 20


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(has_demo_cmdb=False) as running:
        yield running
        assert running.crashes == []


def signed_in(instance: ServiceNowStandIn, gate: Gate) -> TableApi:
    """With tokens, so that sign-ins pass the gate too."""
    known = instance.credentials
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    return TableApi(instance.url, OAuth(f"{instance.url}/oauth_token.do", form, gate=gate), gate=gate)


def within(seconds: float = PATIENCE) -> Deadline:
    return Deadline.after(timedelta(seconds=seconds))


@pytest.mark.parametrize("permits", [1, 2, 4])
def test_creations_probes_and_sign_ins_together_never_exceed_the_permits(
    instance: ServiceNowStandIn, permits: int
) -> None:
    api = signed_in(instance, Gate(permits))
    incidents = Incidents(api)
    instance.delay = 0.01

    def create(number: int) -> None:
        incidents.create({"sys_id": f"{number:032x}", "short_description": "Disk full"}, deadline=within())

    def probe(_: int) -> None:
        incidents.probe(deadline=within())

    def sign_in_anew(_: int) -> None:
        instance.revoke_tokens()
        with suppress(Unavailable):  # another thread may revoke the new token at once
            incidents.probe(deadline=within())

    work: list[tuple[Callable[[int], None], int]] = [
        (kind, number) for number in range(8) for kind in (create, probe, sign_in_anew)
    ]
    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(kind, number) for kind, number in work]:
            with suppress(Unavailable):
                done.result(PATIENCE)

    assert instance.max_in_flight == permits
    assert instance.calls_to("oauth_token")
    assert {call.method for call in instance.calls_to("incident")} == {"GET", "POST"}


def test_one_permit_is_enough_for_a_request_that_has_to_sign_in_twice(instance: ServiceNowStandIn) -> None:
    api = signed_in(instance, Gate(1))
    api.sign_in()
    instance.revoke_tokens()
    instance.forget_calls()

    api.probe("incident", deadline=within())

    assert [call.table for call in instance.calls] == ["incident", "oauth_token", "incident"]


def test_who_gets_no_turn_in_time_has_sent_nothing(instance: ServiceNowStandIn) -> None:
    gate = Gate(1)
    api = signed_in(instance, gate)
    api.sign_in()
    instance.forget_calls()

    with gate.turn(within()), pytest.raises(TimeIsUp):
        Incidents(api).create({"sys_id": "a" * 32}, deadline=within(0.4))

    assert instance.calls == []
    assert gate.free == 1


def test_a_request_that_fails_gives_its_permit_back(instance: ServiceNowStandIn) -> None:
    gate = Gate(1)
    transport = Gated(gate)
    instance.faults.add(faults.closed(), times=None)

    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            transport.exchange("GET", f"{instance.url}/api/now/table/incident", headers={}, deadline=within())

    assert gate.free == 1


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    gate, order = Gate(1), list[int]()

    def wait_and_note(number: int) -> None:
        with gate.turn(within()):
            order.append(number)

    with ThreadPoolExecutor(5) as threads, gate.turn(within()):
        for number in range(5):
            threads.submit(wait_and_note, number)
            until(lambda: len(gate._turns._line) == number + 1)  # noqa: B023 - called before the next number

    assert order == [0, 1, 2, 3, 4]


def test_a_permit_that_is_given_back_goes_to_who_waits_and_to_nobody_who_comes_later() -> None:
    gate = Gate(1)
    with ThreadPoolExecutor(1) as threads:
        with gate.turn(within()):
            got = threads.submit(lambda: gate.turn(within()).__enter__())
            until(lambda: bool(gate._turns._line))
        assert gate.free == 0
        got.result(PATIENCE)


def test_who_gives_up_waiting_leaves_no_trace() -> None:
    gate = Gate(2)
    with gate.turn(within()), gate.turn(within()):
        for _ in range(3):
            with pytest.raises(TimeIsUp), gate.turn(within(0.31)):
                raise AssertionError("there was a turn")

    assert gate.free == 2


def test_a_gate_without_a_permit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs a permit"):
        Gate(0)


def until(is_so: Callable[[], bool]) -> None:
    deadline = within()
    while not is_so():
        assert deadline.left
        threading.Event().wait(0.001)
