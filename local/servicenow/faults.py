"""What can go wrong between a client and the instance?

A test or the proof adds faults to an instance, and the instance and its connections carry them out.
A fault is chosen per request and says two things: whether the request takes effect, and what the client
gets to see. A client must take both for independent, because a refusal may hide a row that exists.
`executed` says it everywhere: True means that the request takes effect before the client sees the fault.

    instance.faults.add(late_commit(after=0.2), method="POST", table="incident")

Sources of truth: the messages are quoted from live instances and from support articles KB0546297, KB0747638,
KB2466644, KB2697679 and KB3047080 at https://support.servicenow.com.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from threading import Lock

from local.servicenow.exchange import Headers, Request, Response, from_edge, from_node, refusal

#: Bytes of the page that a sleeping instance answers everything with.
HIBERNATION_PAGE_LENGTH = 5904

#: The answer that the client gets, made from the request and, if it took effect, from the true answer.
Answer = Callable[[Request, Response | None], Response]


class Wire(Enum):
    """How the answer reaches the client."""

    WHOLE = "whole"
    #: Nothing is sent; the connection stays open until the client gives up.
    SILENCE = "silence"
    #: The connection is closed without an answer.
    CLOSED = "closed"
    #: As before, and the body of the request was not even read.
    CLOSED_UNREAD = "closed unread"
    #: A header without end, a byte every `Faults.pace` seconds.
    TRICKLING_HEADERS = "trickling headers"
    #: The true headers, then a body without end, a byte every `Faults.pace` seconds.
    TRICKLING_BODY = "trickling body"
    #: Bytes that are not HTTP.
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    name: str
    #: Whether the request takes effect before the client sees anything.
    executed: bool = False
    #: Seconds after the answer at which the request takes effect; None if it does not then.
    executed_after: float | None = None
    #: None if nothing but the wire is at fault: then the true answer is sent, if there is one.
    answer: Answer | None = None
    wire: Wire = Wire.WHOLE


@dataclass(slots=True, kw_only=True, eq=False)
class Planned:
    """A fault that waits for its requests."""

    fault: Fault
    #: How many requests it still hits; None is all of them.
    times: int | None
    is_meant: Callable[[Request], bool]
    #: How many it has hit.
    hits: int = 0


class Faults:
    """The faults that wait to happen, the oldest first."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []
        self._lock = Lock()
        #: Seconds between two pieces of an answer that trickles.
        self.pace = 0.05

    def add(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        method: str | None = None,
        table: str | None = None,
        when: Callable[[Request], bool] | None = None,
        everywhere: bool = False,
    ) -> Planned:
        """Let `fault` hit the next `times` requests that fit all that is given; None is all until it is removed.

        Without `table`, requests to the Table API are meant: not those for a token (`table="oauth_token"`),
        nor those for the page. Batches (`table="batch"`) are meant too unless a `method` is given, because theirs says
        nothing of what is in them; what fits a request inside of a batch hits it there. `everywhere` means all of
        these, as when the instance sleeps.
        """

        def is_meant(request: Request) -> bool:
            others = {"oauth_token", "batch"} if method else {"oauth_token"}
            is_place = everywhere or (
                request.table == table if table else request.path.startswith("/api/") and request.table not in others
            )
            return is_place and method in (None, request.method) and (when is None or when(request))

        planned = Planned(fault=fault, times=times, is_meant=is_meant)
        with self._lock:
            self._planned.append(planned)
        return planned

    def remove(self, planned: Planned) -> None:
        """Take back a fault; nothing happens if it is used up."""
        with self._lock:
            self._planned = [each for each in self._planned if each is not planned]

    def clear(self) -> None:
        """Take back all faults."""
        with self._lock:
            self._planned.clear()

    @property
    def waiting(self) -> list[Fault]:
        """The faults that have not been used up."""
        with self._lock:
            return [each.fault for each in self._planned]

    def take(self, request: Request, *, is_read: bool) -> Fault | None:
        """Return the fault that hits this request, and count it as used.

        Before its body `is_read` only a fault that leaves the body unread can hit, afterwards every other one.
        """
        return self._take(request, lambda fault: (fault.wire is not Wire.CLOSED_UNREAD) is is_read)

    def take_inside(self, request: Request, *, on_the_wire: bool) -> Fault | None:
        """Return the fault that hits a request inside of a batch, and count it as used.

        On the wire there is but the batch, so that a fault of the wire hits all of it; any other hits this one request.
        """
        return self._take(request, lambda fault: (fault.wire is not Wire.WHOLE) is on_the_wire)

    def _take(self, request: Request, is_ready: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            ready = (each for each in self._planned if is_ready(each.fault))
            found = next((each for each in ready if each.is_meant(request)), None)
            if found is None:
                return None
            found.hits += 1
            if found.times is not None and found.hits >= found.times:
                self._planned.remove(found)
            return found.fault


def _always(response: Response) -> Answer:
    return lambda _request, _true: response


# 200 and 202 that are no success


def hibernating() -> Fault:
    """The instance sleeps: every path answers 200 with the same page, and nothing is executed."""
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head><title>Instance Hibernating page</title></head>\n'
        '<body class="instance-hibernating-page">\n<h1>Your instance is hibernating</h1>\n'
        "<p>Sign in to the Developer Site to wake your instance.</p>\n<!-- %s -->\n</body>\n</html>\n"
    )
    page %= "." * (HIBERNATION_PAGE_LENGTH - len(page) + 2)
    headers: Headers = (("Server", "snow_adc"), ("Content-Type", "text/html"))
    return Fault(name="hibernating", answer=_always(Response(status=200, headers=headers, body=page.encode())))


def empty_200(*, executed: bool = False) -> Fault:
    """200 without a body and without X-Is-Logged-In."""
    headers: Headers = (("Server", "ServiceNow"),)
    return Fault(name="empty 200", executed=executed, answer=_always(Response(status=200, headers=headers)))


def accepted_202(*, executed: bool = False) -> Fault:
    """202 without a body, as for many parallel requests of one session."""
    return Fault(name="empty 202", executed=executed, answer=_always(from_node(202)))


def _body_of(true: Response | None) -> bytes:
    return true.body if true else b'{"result":{"sys_id":"","number":""}}'


def truncated_json(*, executed: bool = True) -> Fault:
    """200 or 201 with the first half of the JSON."""

    def answer(_request: Request, true: Response | None) -> Response:
        body = _body_of(true)
        return replace(true or from_node(200, {}), body=body[: len(body) // 2])

    return Fault(name="truncated JSON", executed=executed, answer=answer)


def transaction_cancelled(*, executed: bool = True, is_valid_json: bool = True) -> Fault:
    """The quota of 60 s ended the transaction when its status 200 was already sent: part of a result, then an error."""
    message = "Transaction cancelled: maximum execution time exceeded"
    detail = (
        f"{message} Check logs for error trace or enable glide.rest.debug property to verify REST request processing"
    )
    error = json.dumps({"message": message, "detail": detail})

    def answer(request: Request, true: Response | None) -> Response:
        partial = b'"result":[]' if not request.sys_id and request.method == "GET" else b'"result":{}'
        if not is_valid_json:
            body = _body_of(true)
            partial = body.strip()[1:-2]
        body = b"{" + partial + f',"error":{error},"status":"failure"}}'.encode()
        return replace(from_node(200, {}), body=body)

    return Fault(name="transaction cancelled", executed=executed, answer=answer)


def result_of_wrong_type(*, executed: bool = True) -> Fault:
    """The true answer with a list where an object belongs, or an object where a list belongs."""

    def answer(_request: Request, true: Response | None) -> Response:
        result = json.loads(_body_of(true)).get("result", {})
        turned = [result] if isinstance(result, dict) else {"rows": result}
        return replace(true or from_node(200, {}), body=json.dumps({"result": turned}).encode())

    return Fault(name="result of a wrong type", executed=executed, answer=answer)


def values_of_wrong_type(*, executed: bool = True) -> Fault:
    """The true answer with numbers, booleans and nulls where strings belong."""

    def answer(_request: Request, true: Response | None) -> Response:
        content = json.loads(_body_of(true))
        result = content.get("result")
        turned = [_retyped(row) for row in result] if isinstance(result, list) else _retyped(result or {})
        return replace(true or from_node(200, {}), body=json.dumps({**content, "result": turned}).encode())

    return Fault(name="values of a wrong type", executed=executed, answer=answer)


def _retyped(row: dict[str, object]) -> dict[str, object]:
    def turn(value: object) -> object:
        if value in ("true", "false"):
            return value == "true"
        if value == "":
            return None
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    return {key: turn(value) for key, value in row.items()}


def huge_body(*, executed: bool = True, length: int = 10_000_000) -> Fault:
    """200 with a JSON body of `length` bytes and more."""
    body = b'{"result":{"description":"' + b"x" * length + b'"}}'
    return Fault(name="huge body", executed=executed, answer=_always(replace(from_node(200, {}), body=body)))


# 4xx


def rate_limited(*, retry_after: int = 30, limit: int = 100, reset_at: int = 4102444800) -> Fault:
    """429 of a rate limit rule: nothing was executed; `reset_at` is Unix time."""
    answer = refusal(
        429,
        "Rate limit exceeded",
        f"Rate limit of {limit} requests per hour for Table API exceeded",
        headers=(
            ("X-RateLimit-Limit", str(limit)),
            ("X-RateLimit-Reset", str(reset_at)),
            ("X-RateLimit-Rule", "f5a3716d0f6002003a2d47bce1050ed4"),
            ("Retry-After", str(retry_after)),
        ),
    )
    return Fault(name="rate limited", answer=_always(answer))


def semaphores_exhausted() -> Fault:
    """429 without any of the headers of a rate limit: the node's queue is full, nothing was executed."""
    return Fault(name="semaphores exhausted", answer=_always(from_node(429, is_logged_in=False)))


def not_authenticated(*, is_older: bool = False, asks_for_mfa: bool = False) -> Fault:
    """401, the same for a wrong user, a wrong password, an ended token and forbidden basic authentication."""
    message = "User Not Authenticated" if is_older else "User is not authenticated"
    headers: Headers = (("WWW-Authenticate", 'BASIC realm="Service-now"'),)
    if asks_for_mfa:
        headers += (("X-MFA_TOKEN", "invalid"),)
    answer = refusal(401, message, "Required to provide Auth information", headers=headers, is_logged_in=False)
    return Fault(name="not authenticated", answer=_always(answer))


def token_denied() -> Fault:
    """401 of the token endpoint, which has one answer for every cause; add it with `table="oauth_token"`."""
    denied = {"error_description": "access_denied", "error": "server_error"}
    return Fault(name="token denied", answer=_always(from_node(401, denied, is_logged_in=False)))


def _refused(status: int, message: str, detail: str | None, *, executed: bool = False) -> Fault:
    name = f"{status} {detail or message}"
    return Fault(name=name, executed=executed, answer=_always(refusal(status, message, detail)))


def acl_validation_failed() -> Fault:
    """403 that also happens now and then when a node is switched."""
    return _refused(403, "User Not Authorized", "Failed API level ACL Validation")


def unscoped_api() -> Fault:
    """403 for an OAuth client that is securely scoped."""
    return _refused(403, "User Not Authorized", "Access to unscoped api is not allowed")


def acl_exception(*, executed: bool = False) -> Fault:
    """403 on a write; executed, the row exists nevertheless."""

    def answer(request: Request, _true: Response | None) -> Response:
        verb = {"POST": "Insert", "DELETE": "Delete"}.get(request.method, "Update")
        return refusal(403, "Operation Failed", f"ACL Exception {verb} Failed due to security constraints")

    return Fault(name="ACL exception", executed=executed, answer=answer)


def business_rule_aborted(*, rule: str = "Check mandatory tags", executed: bool = False) -> Fault:
    """403 of a business rule; what the rule says to people does not cross REST."""
    detail = (
        f"Operation against file 'incident' was aborted by Business Rule '{rule}^d41d8cd98f00b204e9800998ecf8427e'. "
        f"Business Rule Stack:{rule}"
    )
    return _refused(403, "Operation Failed", detail, executed=executed)


def data_policy_violated(*labels: str, executed: bool = False) -> Fault:
    """403 that names the labels, not the names, of mandatory columns."""
    detail = "Data Policy Exception: \n\tThe following fields are mandatory: "
    return _refused(
        403, "Operation Failed", detail + ", ".join(labels or ("Resolution code", "Close notes")), executed=executed
    )


def error_during_insert(*, executed: bool = False) -> Fault:
    """403 of a failed insert, or of one that was not: the row may exist."""

    def answer(request: Request, true: Response | None) -> Response:
        result = json.loads(_body_of(true)).get("result", {})
        number = result.get("number") if isinstance(result, dict) else ""
        return refusal(403, "Operation Failed", f"Error during insert of {request.table} ({number or 'INC0099999'})")

    return Fault(name="error during insert", executed=executed, answer=answer)


def no_record(*, executed: bool = False) -> Fault:
    """404: absent, or hidden by access control."""
    return _refused(
        404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval", executed=executed
    )


def no_resource(*, status: int = 400) -> Fault:
    """400 or 404 of an API that is absent or inactive."""
    return _refused(status, "Requested URI does not represent any resource", None)


def invalid_table(*, table: str = "incident") -> Fault:
    """400 of a table that does not exist."""
    return _refused(400, f"Invalid table {table}", None)


def payload_rejected(*, length: int = 10_485_761) -> Fault:
    """400 of a body that is over glide.rest.max_content_length."""
    detail = f"Rejected large REST payload with content-length = {length} bytes. Max allowed: 10485760 bytes."
    return _refused(400, "Exception while reading request", detail)


def edge_refused() -> Fault:
    """400 of the edge."""
    return Fault(name="400 of the edge", answer=_always(from_edge(400)))


def page(status: int, *, executed: bool = False) -> Fault:
    """An HTML page of a proxy or a firewall, which no application node gave; executed, it hides a write."""
    headers: Headers = (("Server", "proxy"), ("Content-Type", "text/html"))
    answer = Response(status=status, headers=headers, body=b"<html><body>blocked</body></html>")
    return Fault(name=f"page with {status}", executed=executed, answer=_always(answer))


# 5xx


def node_failed(*, status: int = 500, executed: bool = False, is_html: bool = False) -> Fault:
    """5xx of an application node, with X-Transaction-ID."""
    response = refusal(status, "Internal Error", "An unexpected error occurred")
    if is_html:
        headers = (*from_node(status).headers, ("Content-Type", "text/html"))
        response = Response(status=status, headers=headers, body=b"<html><body>An error occurred</body></html>")
    return Fault(name=f"{status} of a node", executed=executed, answer=_always(response))


def edge_failed(*, status: int = 502, executed: bool = False) -> Fault:
    """5xx of the edge, in HTML; executed, it hides a write."""
    return Fault(name=f"{status} of the edge", executed=executed, answer=_always(from_edge(status)))


# The connection itself


def silence(*, executed: bool = False) -> Fault:
    """No answer ever; executed, this is the write that takes effect while its client times out."""
    return Fault(name="silence", executed=executed, wire=Wire.SILENCE)


def late_commit(*, after: float, closes: bool = False) -> Fault:
    """The client times out, or is hung up on; `after` seconds later the write takes effect all the same."""
    return Fault(name="late commit", executed_after=after, wire=Wire.CLOSED if closes else Wire.SILENCE)


def late_commit_behind(fault: Fault, *, after: float) -> Fault:
    """The client sees `fault`; `after` seconds later the write takes effect all the same."""
    return replace(fault, name=f"late commit behind {fault.name}", executed=False, executed_after=after)


def closed(*, executed: bool = False) -> Fault:
    """The connection is closed once the request has been read, before or after it was executed."""
    return Fault(name="closed", executed=executed, wire=Wire.CLOSED)


def closed_unread() -> Fault:
    """The connection is closed before the body of the request was read."""
    return Fault(name="closed unread", wire=Wire.CLOSED_UNREAD)


def trickling_headers(*, executed: bool = False) -> Fault:
    """A header without end; no timeout that counts from byte to byte ends it."""
    return Fault(name="trickling headers", executed=executed, wire=Wire.TRICKLING_HEADERS)


def trickling_body(*, executed: bool = False) -> Fault:
    """A body without end."""
    headers: Headers = (("Server", "ServiceNow"), ("Content-Type", "application/json"))
    answer = Response(status=200, headers=headers, body=b'{"result":{"description":"')
    return Fault(name="trickling body", executed=executed, answer=_always(answer), wire=Wire.TRICKLING_BODY)


def garbage(*, executed: bool = False) -> Fault:
    """Bytes that are not HTTP."""
    return Fault(name="garbage", executed=executed, wire=Wire.GARBAGE)
