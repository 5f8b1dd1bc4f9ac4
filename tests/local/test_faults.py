"""Does each fault look to a client as it does at a real instance?"""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.servicenow import faults
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn

A = "a" * 32


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(has_demo_cmdb=False) as running:
        yield running
        assert running.crashes == []


def send(instance: ServiceNowStandIn, method: str = "POST", timeout: float = 5, **values: object) -> requests.Response:
    known = instance.credentials
    url = f"{instance.url}/api/now/table/incident" + ("" if method == "POST" else f"/{A}")
    with requests.Session() as session:
        session.auth = (known.username, known.password)
        return session.request(method, url, json={"sys_id": A, **values}, timeout=timeout)


def error(message: str, detail: str | None) -> dict[str, object]:
    return {"error": {"message": message, "detail": detail}, "status": "failure"}


REFUSALS: tuple[tuple[Fault, int, str, str | None], ...] = (
    (faults.not_authenticated(), 401, "User is not authenticated", "Required to provide Auth information"),
    (
        faults.not_authenticated(is_older=True),
        401,
        "User Not Authenticated",
        "Required to provide Auth information",
    ),
    (faults.acl_validation_failed(), 403, "User Not Authorized", "Failed API level ACL Validation"),
    (faults.unscoped_api(), 403, "User Not Authorized", "Access to unscoped api is not allowed"),
    (
        faults.acl_exception(),
        403,
        "Operation Failed",
        "ACL Exception Insert Failed due to security constraints",
    ),
    (
        faults.business_rule_aborted(rule="Stop"),
        403,
        "Operation Failed",
        (
            "Operation against file 'incident' was aborted by Business Rule 'Stop^d41d8cd98f00b204e9800998ecf8427e'. "
            "Business Rule Stack:Stop"
        ),
    ),
    (
        faults.data_policy_violated(),
        403,
        "Operation Failed",
        "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code, Close notes",
    ),
    (faults.error_during_insert(), 403, "Operation Failed", "Error during insert of incident (INC0099999)"),
    (
        faults.no_record(),
        404,
        "No Record found",
        "Record doesn't exist or ACL restricts the record retrieval",
    ),
    (faults.invalid_table(), 400, "Invalid table incident", None),
    (faults.no_resource(), 400, "Requested URI does not represent any resource", None),
    (faults.no_resource(status=404), 404, "Requested URI does not represent any resource", None),
    (
        faults.payload_rejected(),
        400,
        "Exception while reading request",
        "Rejected large REST payload with content-length = 10485761 bytes. Max allowed: 10485760 bytes.",
    ),
    (
        faults.rate_limited(),
        429,
        "Rate limit exceeded",
        "Rate limit of 100 requests per hour for Table API exceeded",
    ),
)


@pytest.mark.parametrize(("fault", "status", "message", "detail"), REFUSALS, ids=lambda value: str(value)[:40])
def test_a_refusal_speaks_the_words_of_the_instance_and_nothing_is_executed(
    instance: ServiceNowStandIn, fault: Fault, status: int, message: str, detail: str | None
) -> None:
    instance.faults.add(fault)

    answer = send(instance)

    assert (answer.status_code, answer.json()) == (status, error(message, detail))
    assert answer.headers["Server"] == "ServiceNow"
    assert "X-Transaction-ID" in answer.headers
    assert instance.incidents == []
    assert send(instance).status_code == 201


def test_an_update_that_access_control_forbids_is_named_so(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.acl_exception())

    assert send(instance, "PATCH").json() == error(
        "Operation Failed", "ACL Exception Update Failed due to security constraints"
    )


def test_a_demand_for_a_second_factor_is_a_header(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.not_authenticated(asks_for_mfa=True))

    answer = send(instance)

    assert (answer.status_code, answer.headers["X-MFA_TOKEN"]) == (401, "invalid")


def test_a_rate_limit_says_how_long_to_wait(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.rate_limited(retry_after=7, limit=9, reset_at=1767225600))

    headers = send(instance).headers

    assert (headers["Retry-After"], headers["X-RateLimit-Limit"]) == ("7", "9")
    assert (headers["X-RateLimit-Reset"], len(headers["X-RateLimit-Rule"])) == ("1767225600", 32)


def test_exhausted_semaphores_say_nothing(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.semaphores_exhausted())

    answer = send(instance)

    assert (answer.status_code, answer.content) == (429, b"")
    assert not {"Retry-After", "X-RateLimit-Limit"} & set(answer.headers)
    assert instance.incidents == []


@pytest.mark.parametrize("method", ["POST", "GET", "PATCH"])
def test_a_sleeping_instance_answers_everything_with_one_page(instance: ServiceNowStandIn, method: str) -> None:
    instance.faults.add(faults.hibernating(), times=None, everywhere=True)

    answer = send(instance, method)

    assert (answer.status_code, len(answer.content)) == (200, 5904)
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Server"] == "snow_adc"
    assert not {"X-Transaction-ID", "WWW-Authenticate", "X-Is-Logged-In"} & set(answer.headers)
    assert b"Your instance is hibernating" in answer.content
    assert b"instance-hibernating-page" in answer.content
    assert requests.get(instance.url, timeout=5).content == answer.content
    assert requests.post(f"{instance.url}/oauth_token.do", timeout=5).content == answer.content
    assert instance.incidents == []


EITHER_WAY: tuple[tuple[Callable[..., Fault], int], ...] = (
    (faults.empty_200, 200),
    (faults.accepted_202, 202),
    (faults.acl_exception, 403),
    (faults.business_rule_aborted, 403),
    (faults.data_policy_violated, 403),
    (faults.error_during_insert, 403),
    (faults.no_record, 404),
    (faults.node_failed, 500),
    (faults.edge_failed, 502),
    (faults.transaction_cancelled, 200),
    (faults.huge_body, 200),
)


@pytest.mark.parametrize("is_executed", [False, True])
@pytest.mark.parametrize(("make", "status"), EITHER_WAY)
def test_an_answer_does_not_tell_whether_the_request_took_effect(
    instance: ServiceNowStandIn, make: Callable[..., Fault], status: int, *, is_executed: bool
) -> None:
    instance.faults.add(make(executed=is_executed))

    answer = send(instance)

    assert answer.status_code == status
    assert [row["sys_id"] for row in instance.incidents] == ([A] if is_executed else [])


def test_an_empty_200_does_not_say_who_is_logged_in(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.empty_200())

    answer = send(instance)

    assert (answer.content, answer.headers["Content-Length"]) == (b"", "0")
    assert "X-Is-Logged-In" not in answer.headers


def test_an_empty_202_has_length_0(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.accepted_202())

    assert send(instance).headers["Content-Length"] == "0"


def test_a_failed_insert_that_was_none_names_its_incident(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.error_during_insert(executed=True))

    assert send(instance).json() == error("Operation Failed", "Error during insert of incident (INC0010001)")


@pytest.mark.parametrize("is_valid", [True, False])
def test_a_cancelled_transaction_has_status_200_and_an_error(instance: ServiceNowStandIn, *, is_valid: bool) -> None:
    instance.faults.add(faults.transaction_cancelled(is_valid_json=is_valid))

    answer = send(instance)

    assert answer.status_code == 200
    assert "Transaction cancelled: maximum execution time exceeded Check logs for error trace" in answer.text
    if is_valid:
        content = answer.json()
        assert content["error"]["message"] == "Transaction cancelled: maximum execution time exceeded"
        assert "result" in content
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.text)


def test_json_can_be_truncated(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.truncated_json())

    answer = send(instance)

    assert answer.status_code == 201
    assert answer.text.startswith('{"result": {"sys_id": "aaaa')
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_a_result_can_be_of_a_wrong_type(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.result_of_wrong_type())

    assert [row["sys_id"] for row in send(instance).json()["result"]] == [A]


def test_values_can_be_of_wrong_types(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.values_of_wrong_type())

    result: dict[str, Any] = send(instance).json()["result"]

    assert (result["state"], result["active"], result["close_notes"]) == (1, True, None)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("is_html", [False, True])
def test_a_node_that_fails_leaves_its_transaction(instance: ServiceNowStandIn, status: int, *, is_html: bool) -> None:
    instance.faults.add(faults.node_failed(status=status, is_html=is_html))

    answer = send(instance)

    assert (answer.status_code, answer.headers["Server"]) == (status, "ServiceNow")
    assert "X-Transaction-ID" in answer.headers
    assert answer.text.startswith("<html>") is is_html


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_edge_that_fails_leaves_none(instance: ServiceNowStandIn, status: int) -> None:
    instance.faults.add(faults.edge_failed(status=status))

    answer = send(instance)

    assert (answer.status_code, answer.headers["Server"]) == (status, "snow_adc")
    assert "X-Transaction-ID" not in answer.headers
    assert answer.text.startswith("<html>")
    assert status != 502 or len(answer.content) == 153


def test_the_edge_refuses_with_a_page(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.edge_refused())

    assert (send(instance).status_code, send(instance).status_code) == (400, 201)


@pytest.mark.parametrize("is_executed", [False, True])
def test_a_client_can_be_left_without_an_answer(instance: ServiceNowStandIn, *, is_executed: bool) -> None:
    instance.faults.add(faults.silence(executed=is_executed))

    with pytest.raises(requests.ReadTimeout):
        send(instance, timeout=0.1)

    assert len(instance.incidents) == (1 if is_executed else 0)
    assert instance.calls[0].status is None


@pytest.mark.parametrize("closes", [False, True])
def test_a_write_can_take_effect_long_after_its_client_gave_up(instance: ServiceNowStandIn, *, closes: bool) -> None:
    instance.faults.add(faults.late_commit(after=0.4, closes=closes))

    with pytest.raises((requests.ReadTimeout, requests.ConnectionError)):
        send(instance, timeout=0.1)
    before = len(instance.incidents)
    instance.wait_for_late_commits()

    assert (before, len(instance.incidents)) == (0, 1)


def test_a_write_can_take_effect_after_a_refusal(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.late_commit_behind(faults.edge_failed(status=504), after=0.3))

    assert send(instance).status_code == 504
    assert instance.incidents == []
    instance.wait_for_late_commits()

    assert len(instance.incidents) == 1


def test_a_late_write_dies_with_the_instance(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.late_commit(after=30, closes=True))

    with pytest.raises(requests.ConnectionError):
        send(instance)
    instance.stop()
    instance.wait_for_late_commits(deadline=1)

    assert instance.incidents == []
    instance.start()


@pytest.mark.parametrize(
    ("fault", "rows"),
    [
        (faults.closed_unread(), 0),
        (faults.closed(), 0),
        (faults.closed(executed=True), 1),
        (faults.garbage(), 0),
        (faults.garbage(executed=True), 1),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_connection_can_break(instance: ServiceNowStandIn, fault: Fault, rows: int) -> None:
    instance.faults.add(fault)

    with pytest.raises(requests.ConnectionError):
        send(instance)

    assert len(instance.incidents) == rows


@pytest.mark.parametrize("make", [faults.trickling_headers, faults.trickling_body])
@pytest.mark.parametrize("is_executed", [False, True])
def test_an_answer_can_trickle_for_longer_than_any_timeout_between_bytes(
    instance: ServiceNowStandIn, make: Callable[..., Fault], *, is_executed: bool
) -> None:
    instance.faults.add(make(executed=is_executed))
    instance.faults.pace = 0.01
    known = instance.credentials
    auth = requests.auth._basic_auth_str(known.username, known.password)
    connection = http.client.HTTPConnection(instance.url.removeprefix("http://"), timeout=2)
    headers = {"Authorization": auth, "Accept": "*/*", "Content-Type": "application/json"}

    connection.request("POST", "/api/now/table/incident", body=json.dumps({"sys_id": A}), headers=headers)
    pieces = [connection.sock.recv(65536) for _ in range(20)]
    connection.close()

    assert all(pieces)
    assert pieces[-1].strip(b"x") == b""
    assert len(instance.incidents) == (1 if is_executed else 0)


def test_a_body_can_be_huge(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.huge_body())

    assert len(send(instance).content) > 10_000_000


def test_a_fault_hits_as_often_as_it_is_told(instance: ServiceNowStandIn) -> None:
    planned = instance.faults.add(faults.edge_failed(), times=2)

    assert [send(instance).status_code for _ in range(3)] == [502, 502, 201]
    assert planned.hits == 2
    assert instance.faults.waiting == []


def test_a_fault_for_all_requests_stays_until_it_is_removed(instance: ServiceNowStandIn) -> None:
    planned = instance.faults.add(faults.edge_failed(), times=None)

    assert [send(instance).status_code for _ in range(3)] == [502, 502, 502]
    instance.faults.remove(planned)
    assert send(instance).status_code == 201


def test_faults_wait_for_the_requests_that_are_meant(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.edge_failed(status=500), method="PATCH")
    instance.faults.add(faults.edge_failed(status=503), table="sys_choice")
    instance.faults.add(faults.edge_failed(status=504), when=lambda request: "work_notes" in request.fields)

    assert send(instance).status_code == 201
    assert send(instance, "PATCH").status_code == 500
    assert [fault.name for fault in instance.faults.waiting] == ["503 of the edge", "504 of the edge"]
    assert send(instance, "PATCH", work_notes="x").status_code == 504
    instance.faults.clear()
    assert instance.faults.waiting == []


def test_the_token_endpoint_is_spared_unless_it_is_named(instance: ServiceNowStandIn) -> None:
    known = instance.credentials
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    instance.faults.add(faults.edge_failed(), method="POST")

    assert requests.post(f"{instance.url}/oauth_token.do", data=form, timeout=5).status_code == 200
    instance.faults.add(faults.token_denied(), table="oauth_token")
    answer = requests.post(f"{instance.url}/oauth_token.do", data=form, timeout=5)

    assert (answer.status_code, answer.json()["error"]) == (401, "server_error")


def test_a_call_names_the_fault_that_hit_it(instance: ServiceNowStandIn) -> None:
    instance.faults.add(faults.edge_failed())

    send(instance)

    assert [(call.status, call.fault) for call in instance.calls] == [(502, "502 of the edge")]
