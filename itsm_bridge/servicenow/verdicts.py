"""What has come of a request to ServiceNow?

`table_api` asks for each request that it sent, and `credentials` reads the answers of the token endpoint with the same
functions. Which error a verdict becomes is decided in `table_api`.

Rule 1: whether a request took effect is judged here, by one table, from the answer alone. Nothing here has an effect.
Rule 2: "unknown" is the answer to doubt. A status says who answered, not what happened: an edge stands before the
        application nodes, a transaction outlives its client, and 200 is sent before the work is done.
Rule 3: "rejected" needs the word of an application node itself, with its header and in ServiceNow's envelope. An edge,
        a proxy or a firewall refuses every caller and only for a while; and a firewall may hold back the answer to a
        write that took effect.

    the answer                                       read         insert       change
    ──────────────────────────────────────────────   ──────────   ──────────   ──────────
    the page of a hibernating instance               retry safe   retry safe   retry safe
    200 or 201 with a result and no error            confirmed    confirmed    confirmed
    any other success: 202, empty, cut, cancelled    retry safe   unknown      unknown
    401, 407, 429                                    retry safe   retry safe   retry safe
    a node: there is no such API or table            retry safe   retry safe   retry safe
    404, a node: no such row, or it is hidden        confirmed    unknown      retry safe
    403: a data policy or a business rule forbids    retry safe   rejected     rejected
    403: the database failed                         retry safe   unknown      unknown
    403, a node, for any other reason                retry safe   unknown      retry safe
    a node: 400 and all 4xx but 404, 408 and 499     rejected     rejected     rejected
    anything else: 5xx, 3xx, 4xx of an edge, …       retry safe   unknown      unknown
    none, and nothing was sent                       retry safe   retry safe   retry safe
    none, or half of one                             retry safe   unknown      unknown

An insert that was refused with 403 may have left its row all the same (support article KB2697679).

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_RESTAPI.html
and https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/inbound-REST-API-rate-limiting.html
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

#: Characters of a reason.
_REASON_LENGTH = 256

#: How long to wait after a 429 that names no time: the node's queue is full (50 requests of about a second each).
_FULL_QUEUE_WAIT = timedelta(seconds=10)

#: The longest wait that we let ServiceNow ask for. Rate limits are per hour.
_LONGEST_WAIT = timedelta(hours=2)

#: The statuses by which an application node refuses one request, and not every caller.
_REFUSALS = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})

_READS = frozenset({"GET", "HEAD", "OPTIONS"})

#: One row, or the rows of a list.
Result = Mapping[str, object] | list[Mapping[str, object]]


class Effect(StrEnum):
    """The effect of a request."""

    #: It took effect, and the answer tells how.
    CONFIRMED = "confirmed"
    #: It did not and will not take effect, and a repetition would not either.
    REJECTED = "rejected"
    #: It did not and will not take effect; a repetition may.
    RETRY_SAFE = "retry safe"
    #: It may have taken effect, or may yet.
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """One answer, judged."""

    effect: Effect
    #: For people: the status and ServiceNow's message, printable, at most 256 characters.
    reason: str
    #: None if there was no answer.
    status: int | None = None
    #: The `result` of a confirmed answer: an object or a list of objects; None if there is no such row.
    result: Result | None = None
    #: Whether the answer says that there is no such row, or none for us.
    is_absent: bool = False
    #: Whether a node says that it has no such table or API: for good, or because it is just starting.
    is_no_table: bool = False
    #: Whether the instance sleeps and did not look at the request.
    is_hibernating: bool = False
    #: Whether there is an answer that is larger than anything we read.
    is_too_large: bool = False
    #: How many rows match, those that are hidden from us included; None if that was not told.
    matching: int | None = None
    #: How long we were asked to wait; None if nothing was said.
    retry_after: timedelta | None = None
    #: Whether an application node refused this one request: the instance is well.
    is_refusal: bool = False


class _Seen(NamedTuple):
    """The parts of an answer that the table looks at."""

    method: str
    status: int
    #: By lower-case name.
    headers: Mapping[str, str]
    body: bytes
    #: The body as JSON; None if it is none.
    content: object

    @property
    def is_from_node(self) -> bool:
        """Whether an application node answered; the edge alone sends no such header."""
        return "x-transaction-id" in self.headers

    @property
    def is_said(self) -> bool:
        """Whether an application node said this in ServiceNow's envelope: with a message, and a detail if only null."""
        return self.is_from_node and bool(self.message) and "detail" in self.error

    @property
    def error(self) -> Mapping[str, object]:
        """The error of ServiceNow's envelope; empty if there is none."""
        error = self.content.get("error") if isinstance(self.content, dict) else None
        return error if isinstance(error, dict) else {"message": error} if error else {}

    @property
    def message(self) -> str:
        """The words of ServiceNow, message and detail."""
        parts = (self.error.get("message"), self.error.get("detail"))
        return ": ".join(part for part in parts if part and isinstance(part, str))

    @property
    def result(self) -> Result | None:
        """The object that was asked for, or for a read the list of objects; None if it is not there."""
        result = self.content.get("result") if isinstance(self.content, dict) else None
        is_list = isinstance(result, list) and all(isinstance(row, dict) for row in result)
        return result if isinstance(result, dict) or (is_list and self.method in _READS) else None


class _Rule(NamedTuple):
    """One row of the table; the first one that fits decides."""

    name: str
    fits: Callable[[_Seen], bool]
    read: Effect
    insert: Effect
    change: Effect

    def effect_of(self, method: str) -> Effect:
        if method in _READS:
            return self.read
        return self.insert if method == "POST" else self.change


def is_hibernating(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether this is the page by which a sleeping instance answers everything, whatever its path."""
    is_page = body.lstrip().startswith(b"<") and b"hibernating" in body.lower()
    return is_page and "x-transaction-id" not in _lower_case(headers)


def _has_result(seen: _Seen) -> bool:
    return seen.status in (HTTPStatus.OK, HTTPStatus.CREATED) and not seen.error and seen.result is not None


def _says(pattern: str, *statuses: int) -> Callable[[_Seen], bool]:
    said = re.compile(pattern, re.IGNORECASE)
    return lambda seen: seen.status in statuses and seen.is_said and bool(said.search(seen.message))


def _is(*statuses: int) -> Callable[[_Seen], bool]:
    return lambda seen: seen.status in statuses


def _says_anything(*statuses: int) -> Callable[[_Seen], bool]:
    return lambda seen: seen.status in statuses and seen.is_said


_CONFIRMED, _REJECTED, _SAFE, _UNKNOWN = Effect.CONFIRMED, Effect.REJECTED, Effect.RETRY_SAFE, Effect.UNKNOWN

_HIBERNATES = _Rule("the instance hibernates", lambda seen: is_hibernating(seen.headers, seen.body), *(_SAFE,) * 3)

_RESULT = _Rule("a result", _has_result, _CONFIRMED, _CONFIRMED, _CONFIRMED)
_ABSENT = _Rule(
    "there is no such row, or it is hidden",
    lambda seen: seen.status == HTTPStatus.NOT_FOUND and seen.is_said,
    *(_CONFIRMED, _UNKNOWN, _SAFE),
)

_NO_TABLE = _Rule(
    "there is no such API or table",
    _says("does not represent any resource|invalid table", 400, 404),
    *(_SAFE, _SAFE, _SAFE),
)

_RULES: tuple[_Rule, ...] = (
    _HIBERNATES,
    _RESULT,
    _Rule("no complete result", _is(*range(200, 300)), _SAFE, _UNKNOWN, _UNKNOWN),
    _Rule("not authenticated", _is(401, 407), _SAFE, _SAFE, _SAFE),
    _Rule("too many requests", _is(429), _SAFE, _SAFE, _SAFE),
    _NO_TABLE,
    _ABSENT,
    _Rule("a rule forbids it", _says("data policy|aborted by business rule", 403), _SAFE, _REJECTED, _REJECTED),
    _Rule("the database failed", _says("error during", 403), _SAFE, _UNKNOWN, _UNKNOWN),
    _Rule("forbidden", _says_anything(403), _SAFE, _UNKNOWN, _SAFE),
    _Rule("refused", _says_anything(*(set(range(400, 500)) - {404, 408, 499})), _REJECTED, _REJECTED, _REJECTED),
    _Rule("no usable answer", lambda _: True, _SAFE, _UNKNOWN, _UNKNOWN),
)


def classify(method: str, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
    """Judge a complete answer. `now` is aware and turns the dates of headers into spans."""
    names = _lower_case(headers)
    seen = _Seen(method=method, status=status, headers=names, body=body, content=parsed(body))
    rule = next(rule for rule in _RULES if rule.fits(seen))
    wait = retry_after(names, now=now)
    if wait is None and status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = _FULL_QUEUE_WAIT
    return Verdict(
        effect=rule.effect_of(method),
        reason=_reason(rule, seen),
        status=status,
        result=seen.result if rule is _RESULT else None,
        is_absent=rule is _ABSENT,
        is_no_table=rule is _NO_TABLE,
        is_hibernating=rule is _HIBERNATES,
        matching=_count_of(names),
        retry_after=wait,
        is_refusal=seen.is_said and status in _REFUSALS and rule is not _NO_TABLE,
    )


def unanswered(method: str, *, was_sent: bool, reason: str, is_too_large: bool = False) -> Verdict:
    """Judge a request that got no complete answer. `was_sent`: whether any of it may have reached ServiceNow."""
    outcome = Effect.RETRY_SAFE if method in _READS or not was_sent else Effect.UNKNOWN
    return Verdict(effect=outcome, reason=_printable(reason), is_too_large=is_too_large)


def parsed(body: bytes) -> object:
    """Return a body as JSON; None if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def retry_after(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """Return how long `headers`, by lower-case name, ask to wait: from nothing to 2 hours, None if they do not."""
    wait = headers.get("retry-after", "").strip()
    reset = headers.get("x-ratelimit-reset", "").strip()
    if re.fullmatch("[0-9]{1,9}", wait):
        span = timedelta(seconds=int(wait))
    elif (moment := _http_date(wait)) is not None:
        span = moment - now
    elif re.fullmatch("[0-9]{1,10}", reset):
        span = datetime.fromtimestamp(int(reset), UTC) - now
    else:
        return None
    return min(max(span, timedelta(0)), _LONGEST_WAIT)


def _count_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-total-count", "").strip()
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date that names no zone is in UTC, as HTTP has it.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reason(rule: _Rule, seen: _Seen) -> str:
    said = seen.message or ("by an application node" if seen.is_from_node else "not by an application node")
    return _printable(f"{seen.status}, {rule.name}: {said}")


def _printable(text: str) -> str:
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def _lower_case(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.items()}
