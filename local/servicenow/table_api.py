"""What does an application node answer?

The instance hands it each request that reaches a node; the rows and their rules are in `glide`.
It checks in the platform's order: who asks, how often, in which format, and only then what.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/api-reference/rest-apis/c_TableAPI.md
with one exception: a DELETE may lack Content-Type, since ServiceNow's own client sends none.
"""

import base64
import binascii
import json
import math
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode

from local.servicenow.batch import answer_batch, is_for_batch
from local.servicenow.exchange import Headers, Request, Response, from_node, refusal
from local.servicenow.faults import Faults
from local.servicenow.glide import Glide, Refused, Row, Switches, User

#: glide.rest.max_content_length, in bytes.
MAX_CONTENT = 10_485_760

#: How many rows a list holds at most if the request does not say.
_DEFAULT_LIMIT = 10_000

_NO_RECORD = ("No Record found", "Record doesn't exist or ACL restricts the record retrieval")
_NO_RESOURCE = "Requested URI does not represent any resource"
_NOT_AUTHENTICATED = ("User is not authenticated", "Required to provide Auth information")


@dataclass(slots=True, kw_only=True)
class Credentials:
    """The made-up secrets of the integration's account."""

    username: str = "itsm.bridge"
    password: str = "made-up-password"
    client_id: str = "0123456789abcdef0123456789abcdef"
    client_secret: str = "made-up-client-secret"
    api_key: str = "made-up-api-key"


class Node:
    """One application node: it knows who asks and answers each request from the rows."""

    def __init__(
        self,
        *,
        glide: Glide,
        switches: Switches,
        credentials: Credentials,
        faults: Faults,
        now: Callable[[], datetime],
    ) -> None:
        self.account = User(user_name=credentials.username, name="ITSM Bridge")
        self.credentials = credentials
        self._glide = glide
        self._switches = switches
        self._faults = faults
        self._now = now
        #: Sessions that were handed out as a cookie.
        self._sessions: set[str] = set()
        #: By access token, when it ends on the monotonic clock.
        self._tokens: dict[str, float] = {}
        self._refresh_tokens: set[str] = set()
        #: The hour that requests are counted in, and how many there were.
        self._counted: tuple[datetime, int] = (datetime.min, 0)  # noqa: DTZ901 # replaced by the first count
        glide.add_user(self.account)

    def revoke_tokens(self) -> None:
        """Make every token that was issued invalid."""
        with self._glide.lock:
            self._tokens.clear()
            self._refresh_tokens.clear()

    def forget_sessions(self) -> None:
        """Forget every session, as a restart does."""
        with self._glide.lock:
            self._sessions.clear()

    def respond(self, request: Request) -> Response:
        """Execute the request and return its answer."""
        with self._glide.lock:
            if request.table == "oauth_token":
                return self._issue_token(request)
            cookies = self._open_session(request)
            try:
                limits = self._admit(request)
                response = self._execute(request)
            except Refused as refused:
                is_logged_in = refused.status != HTTPStatus.UNAUTHORIZED
                headers: Headers = () if is_logged_in else (("WWW-Authenticate", 'BASIC realm="Service-now"'),)
                return refusal(
                    refused.status,
                    refused.message,
                    refused.detail,
                    headers=(*cookies, *headers, *self._retry_after(refused)),
                    is_logged_in=is_logged_in,
                )
            return _with_headers(response, (*cookies, *limits))

    # Who asks, how often, in which format

    def _open_session(self, request: Request) -> Headers:
        if request.session in self._sessions:
            return ()
        session = secrets.token_hex(16).upper()
        self._sessions.add(session)
        # A real instance adds `Secure`, which would keep clients from sending it back over plain HTTP.
        return (
            ("Set-Cookie", f"JSESSIONID={session}; Path=/; HttpOnly; SameSite=None"),
            ("Set-Cookie", f"glide_user_route=glide.{secrets.token_hex(16)}; Path=/; Max-Age=2147483647; HttpOnly"),
            ("Set-Cookie", f"glide_session_store={secrets.token_hex(16).upper()}; Path=/; Max-Age=1800; HttpOnly"),
            ("Set-Cookie", "BIGipServerpool_standin=171006474.33086.0000; Path=/; HttpOnly"),
        )

    def _admit(self, request: Request) -> Headers:
        if not self._is_authenticated(request):
            raise Refused(401, *_NOT_AUTHENTICATED)
        limits = () if is_for_batch(request) else self._count(request)
        self._insist_on_headers(request)
        return limits

    def _insist_on_headers(self, request: Request) -> None:
        if not request.headers.get("Accept"):
            raise Refused(400, "Bad Request", "Accept header is required")
        if request.method in ("POST", "PUT", "PATCH") and not request.headers.get("Content-Type"):
            raise Refused(400, "Bad Request", "Content-Type header is required")

    def _is_authenticated(self, request: Request) -> bool:
        if "x-sn-apikey" in request.headers:
            return request.headers["x-sn-apikey"] == self.credentials.api_key
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._tokens.get(value, 0) > time.monotonic()
        if scheme.lower() == "basic" and self._switches.allows_basic_authentication:
            expected = f"{self.credentials.username}:{self.credentials.password}"
            return _decoded(value) == expected.encode()
        return False

    def _count(self, request: Request) -> Headers:
        limit = self._switches.requests_per_hour
        if limit is None or not request.table:
            return ()
        hour = self._now().replace(minute=0, second=0, microsecond=0)
        count = self._counted[1] + 1 if self._counted[0] == hour else 1
        self._counted = (hour, count)
        if count > limit:
            raise Refused(429, "Rate limit exceeded", f"Rate limit of {limit} requests per hour for Table API exceeded")
        return self._limit_headers(limit)

    def _limit_headers(self, limit: int) -> Headers:
        return (
            ("X-RateLimit-Limit", str(limit)),
            ("X-RateLimit-Reset", str(int(self._next_hour().timestamp()))),
            ("X-RateLimit-Rule", uuid.uuid5(uuid.NAMESPACE_DNS, "rate limit rule").hex),
        )

    def _retry_after(self, refused: Refused) -> Headers:
        if refused.status != HTTPStatus.TOO_MANY_REQUESTS:
            return ()
        wait = math.ceil((self._next_hour() - self._now()).total_seconds())
        return (*self._limit_headers(self._switches.requests_per_hour or 0), ("Retry-After", str(wait)))

    def _next_hour(self) -> datetime:
        return self._now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    # Tokens

    def _issue_token(self, request: Request) -> Response:
        form = {key: values[-1] for key, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        is_form = request.headers.get_content_type() == "application/x-www-form-urlencoded"
        if not (request.method == "POST" and is_form and self._is_granted(form)):
            denied = {"error_description": "access_denied", "error": "server_error"}
            return from_node(401, denied, is_logged_in=False)
        current = time.monotonic()
        token = next((each for each, ends_at in self._tokens.items() if ends_at > current), "")
        if not token:
            token = secrets.token_urlsafe(64)
            self._tokens[token] = current + self._switches.token_lifetime
        content: dict[str, object] = {"access_token": token}
        if form["grant_type"] != "client_credentials":
            content["refresh_token"] = secrets.token_urlsafe(64)
            self._refresh_tokens.add(str(content["refresh_token"]))
        left = max(0, round(self._tokens[token] - current) - 1)
        return from_node(200, content | {"scope": "useraccount", "token_type": "Bearer", "expires_in": left})

    def _is_granted(self, form: Mapping[str, str]) -> bool:
        known = self.credentials
        if (form.get("client_id"), form.get("client_secret")) != (known.client_id, known.client_secret):
            return False
        match form.get("grant_type"):
            case "client_credentials":
                return self._switches.allows_client_credentials
            case "password":
                return (form.get("username"), form.get("password")) == (known.username, known.password)
            case "refresh_token":
                return form.get("refresh_token", "") in self._refresh_tokens
        return False

    # What is asked

    def _execute(self, request: Request) -> Response:
        if is_for_batch(request) and self._switches.has_batch_api:
            if request.table in self._switches.forbidden_tables:
                raise Refused(403, "User Not Authorized", "Failed API level ACL Validation")
            return answer_batch(request, self._answer_one, self._switches)
        return self._execute_one(request)

    def _execute_one(self, request: Request) -> Response:
        if request.table in ("", "batch", "oauth_token"):
            raise Refused(400, _NO_RESOURCE, None)
        self._glide.columns(request.table)
        if request.table in self._switches.forbidden_tables:
            raise Refused(403, "User Not Authorized", "Failed API level ACL Validation")
        match request.method, bool(request.sys_id):
            case (("GET" | "HEAD"), True):
                return from_node(200, {"result": self._render(request, self._readable_row(request))})
            case (("GET" | "HEAD"), False):
                return self._list(request)
            case "POST", False:
                return self._insert(request)
            case (("PATCH" | "PUT"), True):
                return self._update(request)
            case "DELETE", True:
                self._readable_row(request)
                self._glide.delete(request.table, request.sys_id)
                return from_node(204)
        raise Refused(400, _NO_RESOURCE, None)

    def _answer_one(self, request: Request) -> Response:
        """Answer one request of a batch as if it had come alone, fault included; a refusal is an answer too."""
        fault = self._faults.take_inside(request, on_the_wire=False)
        if fault is None:
            return self._true_answer(request)
        true = self._true_answer(request) if fault.executed else None
        return fault.answer(request, true) if fault.answer else self._true_answer(request)

    def _true_answer(self, request: Request) -> Response:
        """Answer one request of a batch.

        Whether each counts against a rate limit is not documented; here it does, as the Table API request that it is.
        """
        try:
            limits = self._count(request)
            self._insist_on_headers(request)
            return _with_headers(self._execute_one(request), limits)
        except Refused as refused:
            headers = self._retry_after(refused)
            return refusal(refused.status, refused.message, refused.detail, headers=headers)

    def _insert(self, request: Request) -> Response:
        if request.table in self._switches.uninsertable_tables:
            raise Refused(403, "Operation Failed", "ACL Exception Insert Failed due to security constraints")
        row = self._glide.insert(
            request.table,
            _content(request),
            by=self.account,
            as_display_values=_is_true(request, "input_display_value"),
        )
        version = request.resource[0] or "v2"
        location = f"{_origin(request)}/api/now/{version}/table/{request.table}/{row['sys_id']}"
        if request.headers.get("X-no-response-body", "").lower() == "true":
            return from_node(201, headers=(("Location", location),))
        # An account that may insert but not read gets no column back.
        shown = self._render(request, row) if self._may_read(request.table, row) else {}
        return from_node(201, {"result": shown}, headers=(("Location", location),))

    def _update(self, request: Request) -> Response:
        if request.table in self._switches.unchangeable_tables:
            raise Refused(403, "Operation Failed", "ACL Exception Update Failed due to security constraints")
        content = _content(request)
        self._readable_row(request)
        row = self._glide.update(
            request.table,
            request.sys_id,
            content,
            by=self.account,
            as_display_values=_is_true(request, "input_display_value"),
        )
        return from_node(200, {"result": self._render(request, row)})

    def _list(self, request: Request) -> Response:
        rows = self._glide.select(request.table, self._filter(request))
        limit, offset = _number(request, "limit", _DEFAULT_LIMIT), _number(request, "offset", 0)
        page = rows[offset : offset + limit]
        # The count and the limit come first, access control comes last: a page may be short while rows exist.
        shown = [self._render(request, row) for row in page if self._may_read(request.table, row)]
        headers: Headers = ()
        if not _is_true(request, "no_count"):
            headers += (("X-Total-Count", str(len(rows))),)
        if not _is_true(request, "suppress_pagination_header"):
            headers += _links(request, limit, offset, len(rows))
        if not shown and request.resource[0] == "v1":
            return refusal(404, *_NO_RECORD, headers=headers)
        return from_node(200, {"result": shown}, headers=headers)

    def _filter(self, request: Request) -> str:
        if "sysparm_query" in request.query:
            return request.query["sysparm_query"]
        pairs = {key: value for key, value in request.query.items() if not key.startswith("sysparm_")}
        return "^".join(f"{key}={value}" for key, value in pairs.items())

    def _readable_row(self, request: Request) -> Row:
        row = self._glide.find(request.table, request.sys_id)
        if row is None or not self._may_read(request.table, row):
            raise Refused(404, *_NO_RECORD)
        return row

    def _may_read(self, name: str, row: Row) -> bool:
        switches = self._switches
        return name not in switches.unreadable_tables and row["sys_id"] not in switches.unreadable_rows

    # How rows are shown

    def _render(self, request: Request, row: Row) -> dict[str, object]:
        known = self._glide.columns(request.table)
        wanted = request.query.get("sysparm_fields", "")
        paths = [path.strip() for path in wanted.split(",")] if wanted else list(known)
        return {
            path: self._show(request, row, path)
            for path in paths
            if path
            and path not in self._switches.unreadable_columns
            and self._glide.resolve_column(request.table, path) is not None
        }

    def _show(self, request: Request, row: Row, path: str) -> object:
        column = self._glide.resolve_column(request.table, path)
        value = self._glide.value(request.table, row, path)
        link = ""
        if column and column.reference and value and not _is_true(request, "exclude_reference_link"):
            link = f"{_origin(request)}/api/now/table/{column.reference}/{value}"
        match request.query.get("sysparm_display_value", "false"):
            case "true":
                display = self._glide.display_value(request.table, row, path)
                return {"display_value": display, "link": link} if link else display
            case "all":
                shown = {"display_value": self._glide.display_value(request.table, row, path), "value": value}
                return shown | {"link": link} if link else shown
        return {"link": link, "value": value} if link else value


def _content(request: Request) -> Mapping[str, object]:
    """Return the columns that the body names: of an array the first element, the rest is ignored.

    Raises:
        Refused: the body cannot be read.
    """
    if len(request.body) > MAX_CONTENT:
        detail = f"Rejected large REST payload with content-length = {len(request.body)} bytes. "
        raise Refused(400, "Exception while reading request", f"{detail}Max allowed: {MAX_CONTENT} bytes.")
    try:
        content = json.loads(request.body)
    except ValueError as error:
        raise Refused(400, "Exception while reading request", f"The payload is not valid JSON. {error}") from error
    if isinstance(content, list):
        content = content[0] if content else None
    if not isinstance(content, dict):
        raise Refused(400, "Exception while reading request", "The payload is not a JSON object.")
    return content


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _is_true(request: Request, name: str) -> bool:
    return request.query.get(f"sysparm_{name}", "").lower() == "true"


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(f"sysparm_{name}", "")
    return int(text) if text.isdecimal() else default


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('Host', '127.0.0.1')}"


def _links(request: Request, limit: int, offset: int, total: int) -> Headers:
    """Return the Link header; `prev` is not clamped, so it can point at offset -1."""
    if total <= limit and not offset:
        return ()
    offsets = {"first": 0}
    if offset:
        offsets["prev"] = offset - limit
    if offset + limit < total:
        offsets["next"] = offset + limit
    offsets["last"] = (total - 1) // max(limit, 1) * limit
    links = (
        f"<{_origin(request)}{request.path}?"
        f'{urlencode({**request.query, "sysparm_limit": limit, "sysparm_offset": each})}>;rel="{rel}"'
        for rel, each in offsets.items()
    )
    return (("Link", ",".join(links)),)


def _with_headers(response: Response, headers: Headers) -> Response:
    return Response(status=response.status, headers=(*response.headers, *headers), body=response.body)
