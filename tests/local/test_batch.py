"""A batch of the stand-in is no kinder than its requests alone."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from local.servicenow import faults
from local.servicenow.instance import ServiceNowStandIn

HEADERS = [{"name": "Accept", "value": "application/json"}, {"name": "Content-Type", "value": "application/json"}]


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []


def send(instance: ServiceNowStandIn, *items: Mapping[str, Any], path: str = "/api/now/v1/batch") -> requests.Response:
    return requests.post(
        f"{instance.url}{path}",
        headers={"x-sn-apikey": instance.credentials.api_key, "Accept": "application/json"},
        json={"batch_request_id": "7", "rest_requests": items},
        timeout=10,
    )


def read(item_id: str, table: str = "cmdb_ci_vm_instance", **more: Any) -> dict[str, Any]:
    url = f"/api/now/table/{table}?sysparm_query=name%3Dvm-web-02&sysparm_fields=name"
    return {"id": item_id, "method": "GET", "url": url, "headers": HEADERS, **more}


def told(response: requests.Response) -> list[tuple[str, int, Any]]:
    return [
        (one["id"], one["status_code"], json.loads(base64.b64decode(one["body"]) or b"null"))
        for one in response.json()["serviced_requests"]
    ]


@pytest.mark.parametrize("path", ["/api/now/v1/batch", "/api/now/batch"])
def test_each_request_is_answered_under_its_id(instance: ServiceNowStandIn, path: str) -> None:
    response = send(instance, read("a"), read("b", "cmdb_ci_computer"), path=path)

    assert told(response) == [("a", 200, {"result": [{"name": "vm-web-02"}]}), ("b", 200, {"result": []})]
    assert (response.json()["batch_request_id"], response.json()["unserviced_requests"]) == ("7", [])
    assert "X-Transaction-ID" in response.headers


def test_the_answers_inside_do_not_show_which_transaction_they_were(instance: ServiceNowStandIn) -> None:
    (one,) = send(instance, read("a")).json()["serviced_requests"]

    names = {header["name"].lower() for header in one["headers"]}
    assert "x-transaction-id" not in names
    assert "content-type" in names


def test_headers_can_be_left_out(instance: ServiceNowStandIn) -> None:
    (one,) = send(instance, read("a", exclude_response_headers=True)).json()["serviced_requests"]

    assert one["headers"] == []


def test_a_write_takes_effect(instance: ServiceNowStandIn) -> None:
    body = base64.b64encode(b'{"short_description":"Disk full"}').decode()
    response = send(instance, {**read("a"), "method": "POST", "url": "/api/now/table/incident", "body": body})

    assert [status for _, status, _ in told(response)] == [201]
    assert [row["short_description"] for row in instance.incidents] == ["Disk full"]


@pytest.mark.parametrize(
    ("item", "status"),
    [
        (read("a", headers=[]), 400),
        (read("a", "no_such_table"), 400),
        (read("a", "sys_user_group"), 403),
        (read("a", url="/api/now/v1/batch", method="POST"), 400),
        (read("a", url="/somewhere"), 400),
        (read("a", url="/api/now/table/incident/" + "a" * 32), 404),
    ],
)
def test_each_is_refused_as_if_it_had_come_alone(
    instance: ServiceNowStandIn, item: Mapping[str, Any], status: int
) -> None:
    instance.switches.forbidden_tables |= {"sys_user_group"}

    assert [each[1] for each in told(send(instance, item, read("b")))] == [status, 200]


@pytest.mark.parametrize("missing", ["id", "method", "url"])
def test_a_request_that_is_not_complete_spoils_the_batch(instance: ServiceNowStandIn, missing: str) -> None:
    item = {name: value for name, value in read("a").items() if name != missing}

    assert send(instance, item, read("b")).status_code == 400


def test_what_is_too_large_and_what_comes_after_it_is_unserviced(instance: ServiceNowStandIn) -> None:
    instance.switches.batch_input = 400

    response = send(instance, read("a"), read("b", body="x" * 400), read("c"))

    assert [each[0] for each in told(response)] == ["a"]
    assert response.json()["unserviced_requests"] == ["b", "c"]


def test_a_batch_waits_once_for_the_way_and_for_the_work_of_each(instance: ServiceNowStandIn) -> None:
    instance.delay, instance.switches.batch_work, instance.switches.batch_quota = 0.1, 0.05, 0.12

    began = time.monotonic()
    response = send(instance, *(read(str(number)) for number in range(3)))

    assert time.monotonic() - began >= 0.1 + 0.12
    assert response.json()["unserviced_requests"] == ["2"]


def test_who_may_not_use_it_and_who_has_none_is_told(instance: ServiceNowStandIn) -> None:
    instance.switches.forbidden_tables |= {"batch"}
    assert send(instance, read("a")).status_code == 403

    instance.switches.has_batch_api = False
    response = send(instance, read("a"))
    assert (response.status_code, response.json()["error"]["message"]) == (
        400,
        "Requested URI does not represent any resource",
    )


def test_a_batch_is_one_call_and_shows_its_parts(instance: ServiceNowStandIn) -> None:
    send(instance, read("a"), read("b", "cmdb_ci_computer"))

    (call,) = instance.calls
    assert (call.table, call.method, [part.table for part in call.parts]) == (
        "batch",
        "POST",
        ["cmdb_ci_vm_instance", "cmdb_ci_computer"],
    )


class TestFaults:
    def test_what_fits_a_request_inside_hits_it_there(self, instance: ServiceNowStandIn) -> None:
        instance.faults.add(faults.node_failed(), table="cmdb_ci_computer")

        response = send(instance, read("a"), read("b", "cmdb_ci_computer"), read("c", "cmdb_ci_computer"))

        assert [each[1] for each in told(response)] == [200, 500, 200]

    def test_a_fault_of_the_wire_hits_all_of_it(self, instance: ServiceNowStandIn) -> None:
        instance.faults.add(faults.closed(), table="cmdb_ci_computer")

        with pytest.raises(requests.ConnectionError):
            send(instance, read("a"), read("b", "cmdb_ci_computer"))

    def test_a_fault_of_a_method_does_not_mean_the_batch_itself(self, instance: ServiceNowStandIn) -> None:
        instance.faults.add(faults.node_failed(), method="POST")

        assert send(instance, read("a")).status_code == 200

    def test_a_fault_of_everything_hits_the_batch(self, instance: ServiceNowStandIn) -> None:
        instance.faults.add(faults.node_failed())

        assert send(instance, read("a")).status_code == 500
