import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsm_bridge.servicenow.verdicts import Effect, Verdict, classify, is_hibernating, unanswered

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
NODE = {"X-Transaction-ID": "096cc61b9736", "Content-Type": "application/json;charset=UTF-8"}
EDGE = {"Server": "snow_adc", "Content-Type": "text/html"}

CONFIRMED, REJECTED, SAFE, UNKNOWN = Effect.CONFIRMED, Effect.REJECTED, Effect.RETRY_SAFE, Effect.UNKNOWN

ROW = b'{"result":{"sys_id":"0123"}}'
ROWS = b'{"result":[{"sys_id":"0123"}]}'
CANCELLED = {"message": "Transaction cancelled: maximum execution time exceeded", "detail": "Check logs"}
HIBERNATING = b'<!DOCTYPE html><html><body class="instance-hibernating-page">Your instance is hibernating</body></html>'
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head></html>"


def judged(
    method: str, status: int, body: bytes | dict[str, Any] = b"", headers: dict[str, str] | None = None
) -> Verdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(method, status, NODE if headers is None else headers, raw, now=NOW)


def refusal(message: str, detail: str | None) -> bytes:
    return json.dumps({"error": {"message": message, "detail": detail}, "status": "failure"}).encode()


POLICY = refusal("Operation Failed", "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code")
RULE = refusal(
    "Operation Failed",
    "Operation against file 'incident' was aborted by Business Rule 'Check^d41d8cd98f00b204e9800998ecf8427e'. "
    "Business Rule Stack:Check",
)


@pytest.mark.parametrize(
    ("status", "headers", "body", "read", "insert", "change"),
    [
        # Successes, real and apparent.
        pytest.param(200, NODE, ROW, CONFIRMED, CONFIRMED, CONFIRMED, id="200 with a row"),
        pytest.param(201, NODE, ROW, CONFIRMED, CONFIRMED, CONFIRMED, id="201 with a row"),
        pytest.param(200, NODE, ROWS, CONFIRMED, UNKNOWN, UNKNOWN, id="200 with rows"),
        pytest.param(200, {}, ROW, CONFIRMED, CONFIRMED, CONFIRMED, id="200 with a row, headers stripped"),
        pytest.param(200, EDGE, HIBERNATING, SAFE, SAFE, SAFE, id="hibernating"),
        pytest.param(200, NODE, HIBERNATING, SAFE, UNKNOWN, UNKNOWN, id="a node's page that says hibernating"),
        pytest.param(200, EDGE, b"<html>Welcome</html>", SAFE, UNKNOWN, UNKNOWN, id="another page"),
        pytest.param(200, {}, b'{"result":{"description":"hibernating', SAFE, UNKNOWN, UNKNOWN, id="cut, hibernating"),
        pytest.param(200, {}, b"", SAFE, UNKNOWN, UNKNOWN, id="200 empty"),
        pytest.param(200, NODE, ROW[:9], SAFE, UNKNOWN, UNKNOWN, id="200 cut"),
        pytest.param(201, NODE, ROW[:-1], SAFE, UNKNOWN, UNKNOWN, id="201 cut"),
        pytest.param(200, NODE, {"result": {}, "error": CANCELLED}, SAFE, UNKNOWN, UNKNOWN, id="cancelled"),
        pytest.param(200, NODE, {"result": [], "error": CANCELLED}, SAFE, UNKNOWN, UNKNOWN, id="cancelled list"),
        pytest.param(200, NODE, {"result": {}, "error": "no"}, SAFE, UNKNOWN, UNKNOWN, id="200 with a bare error"),
        pytest.param(200, NODE, b'{"result":{},"error":{"mess', SAFE, UNKNOWN, UNKNOWN, id="cancelled and cut"),
        pytest.param(200, NODE, {"result": "ok"}, SAFE, UNKNOWN, UNKNOWN, id="200 with a text"),
        pytest.param(200, NODE, {"result": ["ok"]}, SAFE, UNKNOWN, UNKNOWN, id="200 with a list of texts"),
        pytest.param(200, NODE, b"[]", SAFE, UNKNOWN, UNKNOWN, id="200 without an envelope"),
        pytest.param(202, NODE, b"", SAFE, UNKNOWN, UNKNOWN, id="202"),
        pytest.param(202, NODE, ROW, SAFE, UNKNOWN, UNKNOWN, id="202 with a row"),
        pytest.param(204, NODE, b"", SAFE, UNKNOWN, UNKNOWN, id="204"),
        # Nobody looked at it.
        pytest.param(
            401,
            NODE,
            refusal("User is not authenticated", "Required to provide Auth information"),
            *(SAFE, SAFE, SAFE),
            id="401",
        ),
        pytest.param(
            401,
            NODE,
            refusal("User Not Authenticated", "Required to provide Auth information"),
            *(SAFE, SAFE, SAFE),
            id="401 older",
        ),
        pytest.param(401, {**NODE, "X-MFA_TOKEN": "invalid"}, b"", SAFE, SAFE, SAFE, id="401 asks for MFA"),
        pytest.param(407, {}, b"", SAFE, SAFE, SAFE, id="407 of a proxy"),
        pytest.param(
            429,
            {**NODE, "Retry-After": "30"},
            refusal("Rate limit exceeded", "Rate limit of 100 requests per hour for Table API exceeded"),
            *(SAFE, SAFE, SAFE),
            id="429 of a rate limit",
        ),
        pytest.param(429, NODE, b"", SAFE, SAFE, SAFE, id="429 of a full queue"),
        # 403: who refuses, and when.
        pytest.param(
            403,
            NODE,
            refusal("User Not Authorized", "Failed API level ACL Validation"),
            *(SAFE, UNKNOWN, SAFE),
            id="403 of the API, now and then",
        ),
        pytest.param(
            403,
            NODE,
            refusal("User Not Authorized", "Access to unscoped api is not allowed"),
            *(SAFE, UNKNOWN, SAFE),
            id="403 unscoped",
        ),
        pytest.param(
            403,
            NODE,
            refusal("Operation Failed", "ACL Exception Insert Failed due to security constraints"),
            *(SAFE, UNKNOWN, SAFE),
            id="403 ACL",
        ),
        pytest.param(403, NODE, RULE, SAFE, REJECTED, REJECTED, id="403 business rule"),
        pytest.param(403, NODE, POLICY, SAFE, REJECTED, REJECTED, id="403 data policy"),
        pytest.param(
            403,
            NODE,
            refusal("Operation Failed", "Error during insert of incident (INC0010001)"),
            *(SAFE, UNKNOWN, UNKNOWN),
            id="403 of the database",
        ),
        pytest.param(403, NODE, b"", SAFE, UNKNOWN, UNKNOWN, id="403 without a word"),
        # 404 and 400.
        pytest.param(
            404,
            NODE,
            refusal("No Record found", "Record doesn't exist or ACL restricts the record retrieval"),
            *(CONFIRMED, UNKNOWN, SAFE),
            id="404 no row",
        ),
        pytest.param(
            404, NODE, refusal("Kein Datensatz", None), CONFIRMED, UNKNOWN, SAFE, id="404 no row, in another language"
        ),
        pytest.param(
            404,
            NODE,
            refusal("Requested URI does not represent any resource", None),
            *(SAFE, SAFE, SAFE),
            id="404 no API",
        ),
        pytest.param(
            400,
            NODE,
            refusal("Requested URI does not represent any resource", None),
            *(SAFE, SAFE, SAFE),
            id="400 no API",
        ),
        pytest.param(404, EDGE, b"<html>", SAFE, UNKNOWN, UNKNOWN, id="404 of the edge"),
        pytest.param(404, {}, {"error": "not found"}, SAFE, UNKNOWN, UNKNOWN, id="404 of somebody else"),
        pytest.param(404, {}, refusal("Not found", None), SAFE, UNKNOWN, UNKNOWN, id="404 of a gateway"),
        pytest.param(404, EDGE, refusal("No Record found", "x"), SAFE, UNKNOWN, UNKNOWN, id="404 no row, by the edge"),
        pytest.param(403, NODE, {"error": {"message": "No"}}, SAFE, UNKNOWN, UNKNOWN, id="403 without a detail"),
        pytest.param(400, NODE, refusal("Invalid table x", None), SAFE, SAFE, SAFE, id="400 no such table"),
        pytest.param(400, EDGE, b"<html>", SAFE, UNKNOWN, UNKNOWN, id="400 of the edge"),
        *(
            pytest.param(status, EDGE, b"<html>blocked", SAFE, UNKNOWN, UNKNOWN, id=f"{status} of a firewall")
            for status in (402, 403, 405, 406, 409, 410, 413, 415, 421, 422, 423, 451)
        ),
        pytest.param(400, NODE, b"<html>Bad request", SAFE, UNKNOWN, UNKNOWN, id="400 of what runs the node"),
        pytest.param(400, {}, refusal("Bad", "no"), SAFE, UNKNOWN, UNKNOWN, id="400 in an envelope that no node sent"),
        pytest.param(403, {}, POLICY, SAFE, UNKNOWN, UNKNOWN, id="403 data policy that no node sent"),
        pytest.param(409, NODE, refusal("Conflict", "no"), REJECTED, REJECTED, REJECTED, id="409 of a node"),
        pytest.param(
            400,
            NODE,
            refusal("Exception while reading request", "Rejected large REST payload with content-length = 1 bytes."),
            *(REJECTED, REJECTED, REJECTED),
            id="400 too large",
        ),
        pytest.param(422, NODE, refusal("Unprocessable", None), REJECTED, REJECTED, REJECTED, id="422"),
        pytest.param(422, NODE, b"", SAFE, UNKNOWN, UNKNOWN, id="422 without a word"),
        # Doubt.
        pytest.param(408, EDGE, b"", SAFE, UNKNOWN, UNKNOWN, id="408"),
        pytest.param(499, EDGE, b"", SAFE, UNKNOWN, UNKNOWN, id="499"),
        pytest.param(500, NODE, refusal("Internal Error", None), SAFE, UNKNOWN, UNKNOWN, id="500 of a node"),
        pytest.param(502, EDGE, BAD_GATEWAY, SAFE, UNKNOWN, UNKNOWN, id="502 of the edge"),
        pytest.param(503, EDGE, b"", SAFE, UNKNOWN, UNKNOWN, id="503 of the edge"),
        pytest.param(503, NODE, b"", SAFE, UNKNOWN, UNKNOWN, id="503 of a node"),
        pytest.param(504, EDGE, b"", SAFE, UNKNOWN, UNKNOWN, id="504 of the edge"),
        pytest.param(302, {"Location": "/login.do"}, b"", SAFE, UNKNOWN, UNKNOWN, id="302"),
    ],
)
def test_each_known_answer_has_its_outcome(
    status: int,
    headers: dict[str, str],
    body: bytes | dict[str, Any],
    read: Effect,
    insert: Effect,
    change: Effect,
) -> None:
    outcomes = [judged(method, status, body, headers).effect for method in ("GET", "POST", "PATCH")]

    assert outcomes == [read, insert, change]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_every_status_without_a_word_has_an_outcome(method: str) -> None:
    expected = dict.fromkeys(range(100, 600), SAFE if method == "GET" else UNKNOWN)
    expected |= dict.fromkeys((401, 407, 429), SAFE)

    outcomes = {status: judged(method, status).effect for status in range(100, 600)}

    assert outcomes == expected


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_nothing_is_final_that_no_node_said(method: str) -> None:
    bodies = (b"", b"<html>", POLICY, RULE, refusal("Invalid table incident", None), refusal("Bad", "no"))

    outcomes = {judged(method, status, body, {}).effect for status in range(400, 600) for body in bodies}

    assert REJECTED not in outcomes


@pytest.mark.parametrize(("header", "count"), [("103", 103), (" 0 ", 0), ("", None), ("-1", None), ("many", None)])
def test_the_rows_that_match_are_counted_by_the_header(header: str, count: int | None) -> None:
    assert judged("GET", 200, b'{"result":[]}', {**NODE, "X-Total-Count": header}).matching == count


METHODS = pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
SAID = refusal("Operation Failed", "No.")


@METHODS
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(NODE, b"", id="a node without a word"),
        pytest.param(NODE, b"<html><body>blocked</body></html>", id="a page that kept the header"),
        pytest.param(NODE, {"error": {"message": "Forbidden", "code": 1}}, id="the envelope of somebody else"),
        pytest.param(NODE, {"error": "no"}, id="a bare error"),
        pytest.param({}, SAID, id="the envelope without the header"),
        pytest.param(EDGE, SAID, id="the envelope of an edge"),
        pytest.param(EDGE, b"<html><body>blocked</body></html>", id="a page"),
        pytest.param({}, b"", id="nothing at all"),
    ],
)
def test_no_status_is_final_unless_a_node_says_so(
    method: str, headers: dict[str, str], body: bytes | dict[str, Any]
) -> None:
    doubt = SAFE if method == "GET" else UNKNOWN
    expected = dict.fromkeys(range(100, 600), doubt) | dict.fromkeys((401, 407, 429), SAFE)

    answers = {status: judged(method, status, body, headers) for status in range(100, 600)}

    assert {status: answer.effect for status, answer in answers.items()} == expected
    assert not any(answer.is_refusal or answer.is_absent for answer in answers.values())


@METHODS
def test_what_a_node_says_is_final_but_for_what_may_pass(method: str) -> None:
    is_read, is_insert = method == "GET", method == "POST"
    doubt = SAFE if is_read else UNKNOWN
    forbidden = UNKNOWN if is_insert else SAFE
    absent = CONFIRMED if is_read else forbidden
    known = {401: SAFE, 403: forbidden, 404: absent, 407: SAFE, 408: doubt, 429: SAFE, 499: doubt}
    expected = dict.fromkeys(range(100, 600), doubt)
    expected |= {status: known.get(status, REJECTED) for status in range(400, 500)}

    outcomes = {status: judged(method, status, SAID).effect for status in range(100, 600)}

    assert outcomes == expected


@METHODS
@pytest.mark.parametrize("message", ["Requested URI does not represent any resource", "Invalid table incident"])
@pytest.mark.parametrize("status", [400, 404])
def test_that_there_is_no_such_table_is_temporary_and_about_the_instance(
    method: str, message: str, status: int
) -> None:
    answer = judged(method, status, refusal(message, None))

    assert (answer.effect, answer.is_no_table) == (SAFE, True)
    assert (answer.is_refusal, answer.is_absent) == (False, False)


def test_a_refusal_of_one_request_is_told_from_one_of_all() -> None:
    refused = {status: judged("PATCH", status, SAID).is_refusal for status in range(100, 600)}

    assert [status for status, is_refusal in refused.items() if is_refusal] == [403, 404]


@pytest.mark.parametrize("status", range(100, 600))
def test_a_write_is_confirmed_by_200_and_201_alone(status: int) -> None:
    assert (judged("POST", status, ROW).effect is CONFIRMED) == (status in (200, 201))


def test_a_result_is_handed_on_only_when_confirmed() -> None:
    assert judged("GET", 200, ROWS).result == [{"sys_id": "0123"}]
    assert judged("POST", 201, ROW).result == {"sys_id": "0123"}
    assert judged("POST", 502, ROW).result is None
    assert judged("POST", 200, {"result": {"sys_id": "0123"}, "error": CANCELLED}).result is None


def test_an_absent_row_is_told_from_an_empty_one() -> None:
    absent = judged("GET", 404, refusal("No Record found", "Record doesn't exist"))
    empty = judged("GET", 200, {"result": {}})

    assert (absent.is_absent, absent.result) == (True, None)
    assert (empty.is_absent, empty.result) == (False, {})


@pytest.mark.parametrize(
    ("method", "was_sent", "expected"),
    [
        ("GET", False, SAFE),
        ("GET", True, SAFE),
        ("POST", False, SAFE),
        ("POST", True, UNKNOWN),
        ("PATCH", False, SAFE),
        ("PATCH", True, UNKNOWN),
        ("DELETE", True, UNKNOWN),
    ],
)
def test_without_an_answer_what_was_sent_decides(method: str, was_sent: bool, expected: Effect) -> None:
    assert unanswered(method, was_sent=was_sent, reason="x").effect is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "30"}, timedelta(seconds=30)),
        ({"RETRY-AFTER": " 0 "}, timedelta(0)),
        ({"Retry-After": "7200"}, timedelta(hours=2)),
        ({"Retry-After": "7201"}, timedelta(hours=2)),
        ({"Retry-After": "9" * 5000}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "٣٠"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Sun, 01 Mar 2026 10:01:00 GMT"}, timedelta(minutes=1)),
        ({"Retry-After": "Sun, 01 Mar 2026 10:01:00 -0000"}, timedelta(minutes=1)),
        ({"Retry-After": "Sun, 01 Mar 2026 09:00:00 GMT"}, timedelta(0)),
        ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, timedelta(hours=2)),
        ({"X-RateLimit-Reset": "1772359230"}, timedelta(seconds=30)),
        ({"X-RateLimit-Reset": "1772359100"}, timedelta(0)),
        ({"X-RateLimit-Reset": "4102444800"}, timedelta(hours=2)),
        ({"X-RateLimit-Reset": "later"}, None),
        ({"Retry-After": "5", "X-RateLimit-Reset": "1772359230"}, timedelta(seconds=5)),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "1772359230"}, timedelta(seconds=30)),
    ],
)
def test_what_we_are_asked_to_wait_is_read_and_bounded(headers: dict[str, str], expected: timedelta | None) -> None:
    assert judged("POST", 503, headers=headers).retry_after == expected


def test_a_full_queue_names_no_time_and_wants_a_pause_all_the_same() -> None:
    assert judged("POST", 429, headers={}).retry_after == timedelta(seconds=10)
    assert judged("POST", 429, headers={"Retry-After": "0"}).retry_after == timedelta(0)


def test_the_reason_names_what_servicenow_misses() -> None:
    assert judged("PATCH", 403, POLICY).reason == (
        "403, a rule forbids it: Operation Failed: Data Policy Exception: "
        "The following fields are mandatory: Resolution code"
    )


def test_the_reason_tells_who_answered_without_quoting_a_page() -> None:
    assert judged("POST", 502, BAD_GATEWAY, EDGE).reason == "502, no usable answer: not by an application node"
    assert judged("POST", 502, BAD_GATEWAY).reason == "502, no usable answer: by an application node"


def test_a_long_reason_is_cut_visibly() -> None:
    reason = judged("POST", 400, refusal("x" * 1000, "y")).reason

    assert len(reason) == 256
    assert reason.endswith("x…")


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"result":' * 90_000, b"9" * 5000, b"\xff\xfe", b'"\\ud800"'])
def test_hostile_json_is_no_result(body: bytes) -> None:
    assert judged("POST", 200, body).effect is UNKNOWN


def test_values_that_belong_to_nobody_are_no_hibernation() -> None:
    assert is_hibernating(EDGE, HIBERNATING)
    assert not is_hibernating({"x-transaction-id": "1"}, HIBERNATING)
    assert not is_hibernating(EDGE, b'{"result":{"short_description":"host is hibernating"}}')


ENVELOPE = ["result", "error", "message", "detail", "status", "sys_id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ENVELOPE), inner, max_size=3),
    max_leaves=12,
)
BODIES = st.binary(max_size=200) | JSON.map(lambda content: json.dumps(content).encode())
NAMES = st.sampled_from(["Retry-After", "X-RateLimit-Reset", "X-Transaction-ID", "content-type", "Location"])
DATES = st.from_regex(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}", fullmatch=True)


@given(
    method=st.sampled_from(["GET", "POST", "PATCH"]),
    status=st.integers(100, 599) | st.sampled_from([200, 201, 403, 404, 429]),
    headers=st.dictionaries(NAMES, st.text(max_size=40) | DATES),
    body=BODIES,
)
def test_whatever_is_answered_is_judged(method: str, status: int, headers: dict[str, str], body: bytes) -> None:
    answer = classify(method, status, headers, body, now=NOW)

    assert answer.reason.isprintable()
    assert len(answer.reason) <= 256
    assert answer.retry_after is None or timedelta(0) <= answer.retry_after <= timedelta(hours=2)
    assert method != "GET" or answer.effect is not UNKNOWN
    assert (answer.result is not None) == (answer.effect is CONFIRMED and not answer.is_absent)
