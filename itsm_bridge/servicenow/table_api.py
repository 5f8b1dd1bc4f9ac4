"""How are rows of a ServiceNow table read and written?

`incidents` and `cmdb.lookup` call this with names of tables and fields. The meaning of a row is not known here.

1. A query that ServiceNow does not understand returns all rows, and a value with `^` or `javascript:` makes a query
   mean what the sender of that value wants. So only plain values get into a query, and names that an operator wrote
   (`Named`) if nothing in them can end or extend a condition; and each row that comes back is compared with them.
2. A read that got no answer is repeated once if its connection was dropped. A write is repeated after 401 alone, which
   says that ServiceNow did not look at it.
3. `verdicts` judges what has come of a request; here its verdict becomes one of the errors.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

import json
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict, Rejected, Unavailable, Unconfirmed
from itsm_bridge.servicenow.advice import AWAY, Advice, advice_for, reading_advice
from itsm_bridge.servicenow.credentials import Credentials
from itsm_bridge.servicenow.verdicts import Effect, Verdict, classify, unanswered
from itsm_bridge.telemetry import NOTHING, Metric, Role, Telemetry
from itsm_bridge.transport import NoAnswer, Received, Transport
from itsm_bridge.troubles import Troubles

log = logging.getLogger(__name__)

#: How long any single request may take.
REQUEST_BUDGET = timedelta(seconds=10)

Row = Mapping[str, str]

#: The values that may stand in a query. Hash any other value, or do not ask.
_PLAIN_VALUE = re.compile(r"(?!(?i:javascript):)[A-Za-z0-9._:/-]+")
#: What no name may hold that stands in a query: `^` begins another condition, `javascript:` a script that the instance
#: runs, control characters are in nobody's name, and half a surrogate pair cannot be sent.
_NOT_ASKABLE = re.compile(r"\^|javascript:|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", re.IGNORECASE)
#: Characters of a name; columns that hold names keep 255 at most.
_LONGEST_NAME = 255
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")

#: When a row changed last, whoever changed it.
_CHANGED = "sys_updated_on"
#: In the last so many minutes, by the clock of the instance.
_CHANGED_LATELY = "RELATIVEGE@minute@ago@"

_RAW = {"sysparm_display_value": "false", "sysparm_exclude_reference_link": "true"}
_BOTH = {"sysparm_display_value": "all", "sysparm_exclude_reference_link": "true"}


#: How long it may take to sign in before anything is asked: a request that comes meanwhile waits for it.
SIGN_IN_BUDGET = timedelta(seconds=3)


class NotAllowed(Unavailable):
    """ServiceNow knows who we are and does not let us: a role is missing, or it refuses for now."""


class NoSuchTable(Unavailable):
    """A node says that it has no such table or API: for good, or because it is just starting."""


class TooLargeAnswer(Unavailable):
    """The answer is larger than anything we read: ask for less."""


class UnknownField(Rejected):
    """The table has no such field, or hides it, so that a query by it says nothing."""


class OtherRows(Unavailable):
    """Nothing came back but rows that were not asked for: the query was read as another one."""


class Named(NamedTuple):
    """A name that an operator wrote, as the value of a condition; it must be `is_askable`."""

    name: str


class Page(NamedTuple):
    """Some of the rows of a table."""

    #: Those that we may read.
    rows: tuple[Row, ...]
    #: How many there are in all, hidden ones too; None if ServiceNow does not tell.
    matching: int | None


class _Request(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str]
    values: Mapping[str, str] | None = None

    @property
    def table(self) -> str:
        return self.path.partition("/")[0]

    def __str__(self) -> str:
        return f"ServiceNow, {self.method} {self.path}"


class TableApi:
    """The tables of one instance; safe to share between threads."""

    def __init__(
        self,
        instance_url: str,
        credentials: Credentials,
        *,
        troubles: Troubles | None = None,
        telemetry: Telemetry = NOTHING,
    ) -> None:
        """Remember where the instance is, and count in `troubles` what it refuses; nothing is sent yet."""
        self._troubles = troubles or Troubles()
        self._telemetry = telemetry
        self._url = f"{instance_url.rstrip('/')}/api/now/table"
        self._credentials = credentials
        self._transport = Transport()

    def query(  # noqa: PLR0913 - all that one question can say
        self,
        table: str,
        conditions: Mapping[str, str | Named | Collection[str]],
        *,
        fields: Sequence[str],
        limit: int,
        deadline: Deadline,
        order_by: str = "",
        newest_first: bool = False,
        displayed: Sequence[str] = (),
        must_see_all: bool = False,
    ) -> tuple[Row, ...]:
        """Return the rows that fulfil all `conditions`, at most `limit`; only those that we may read.

        Args:
            table: The table, or one that it extends.
            conditions: The value or name that each field must have, or several values of which it must have one, in any
                case.
            fields: The fields to return, besides those of the conditions and `sys_id`.
            limit: How many rows. ServiceNow counts to it before it hides those that we may not read.
            deadline: By when the answer must be there.
            order_by: Field to sort by.
            newest_first: Whether to sort descending.
            displayed: The fields to return as people see them, because a journal has no raw value.
            must_see_all: Whether rows that are hidden from us are an error, because one may be the row that is meant.
                ServiceNow counts the rows that match before it hides some.

        Raises:
            Unavailable: ServiceNow did not answer.
            NoSuchTable: it says that it has no such table.
            NotAllowed: rows are hidden from us, and all must be seen.
            Rejected: it refuses the question for good.
            UnknownField: the rows lack a field of the conditions.
            OtherRows: all must be seen, and nothing came but rows that were not asked for.
            ValueError: there is no condition, or one without a value, or a value that is not plain. A bug.
        """
        params = {"sysparm_query": _encoded(conditions, order_by, newest_first=newest_first)}
        wanted = {name: _values(value) for name, value in conditions.items()}
        params |= {
            "sysparm_fields": _listed("sys_id", *fields, *wanted, *displayed),
            "sysparm_limit": str(limit),
            "sysparm_no_count": "false" if must_see_all else "true",
            **(_BOTH if displayed else _RAW),
        }
        request = _Request(method="GET", path=_name(table), params=params)
        answer = self._confirmed(request, deadline)
        if not isinstance(answer.result, list):
            # A 404 comes here too: a list that holds nothing is answered 200, so 404 is not about rows.
            raise Unavailable(f"{request}: no list where one belongs")
        rows = [_shown(row, displayed) for row in answer.result]
        if must_see_all and len(rows) < min(answer.matching or 0, limit):
            log.error("%s: of %d rows that match %d are shown to our account", request, answer.matching, len(rows))
            advice = reading_advice(table)
            self._count(advice, f"{request}: rows that match are hidden")
            told = f"; {advice}" if advice else ""
            raise NotAllowed(
                f"{request}: what is asked for exists and is hidden from our account{told}", is_refusal=True
            )
        if any(name not in row for row in rows for name in wanted):
            raise UnknownField(f"{request}: the rows lack a field that was asked for")
        found = tuple(row for row in rows if _fulfils(row, wanted))
        if must_see_all and rows and not found:
            raise OtherRows(f"{request}: nothing but rows that were not asked for")
        return found

    def changed(
        self,
        table: str,
        *,
        filled: str,
        within: timedelta,
        fields: Sequence[str],
        limit: int,
        offset: int,
        deadline: Deadline,
    ) -> Page:
        """Return the rows that changed in the last minutes and whose field `filled` is not empty, the oldest first.

        The query tells how long ago, because an instance would read a moment in the time zone of whoever asks; its own
        clock counts back. ServiceNow counts to `offset` and `limit` before it hides the rows that we may not read.

        Raises:
            OtherRows: rows came that were not asked for, or in another order.
            UnknownField: the rows lack a field of the query.
            Unavailable, NoSuchTable, NotAllowed, Rejected: as `query`.
        """
        minutes = max(1, -(-within // timedelta(minutes=1)))
        params = {
            "sysparm_query": f"{_name(filled)}ISNOTEMPTY^{_CHANGED}{_CHANGED_LATELY}{minutes}"
            f"^ORDERBY{_CHANGED}^ORDERBYsys_id",
            "sysparm_fields": _listed("sys_id", *fields, filled, _CHANGED),
            "sysparm_limit": str(limit),
            "sysparm_offset": str(offset),
            "sysparm_no_count": "false",
            **_RAW,
        }
        request = _Request(method="GET", path=_name(table), params=params)
        answer = self._confirmed(request, deadline)
        if not isinstance(answer.result, list):
            raise Unavailable(f"{request}: no list where one belongs")
        rows = tuple(_shown(row, ()) for row in answer.result)
        if any(filled not in row or _CHANGED not in row for row in rows):
            raise UnknownField(f"{request}: the rows lack a field that was asked for")
        times = [row[_CHANGED] for row in rows]
        if not all(row[filled] for row in rows) or times != sorted(times):
            raise OtherRows(f"{request}: rows that were not asked for, or in another order")
        return Page(rows, answer.matching)

    def insert(self, table: str, values: Mapping[str, str], *, fields: Sequence[str], deadline: Deadline) -> Row:
        """Insert a row and return its `fields` and `sys_id` as stored.

        Raises:
            Unavailable: ServiceNow did not take the request; there is no new row.
            Unconfirmed: there may be a new row, now or later.
            Rejected: ServiceNow refuses it for good.
        """
        request = _Request(method="POST", path=_name(table), params=_answering(fields), values=values)
        return _row_of(self._confirmed(request, deadline))

    def patch(
        self, table: str, sys_id: str, values: Mapping[str, str], *, fields: Sequence[str], deadline: Deadline
    ) -> Row:
        """Change a row and return its `fields` and `sys_id` as stored.

        Raises:
            Unavailable: ServiceNow did not take the request; nothing has changed.
            Unconfirmed: it may have changed, or may yet.
            Conflict: there is no such row any more.
            Rejected: ServiceNow refuses the change for good.
        """
        path = f"{_name(table)}/{_checked(sys_id)}"
        request = _Request(method="PATCH", path=path, params=_answering(fields), values=values)
        return _row_of(self._confirmed(request, deadline))

    def sign_in(self) -> None:
        """Fetch a token if the credentials need one and there is none; idempotent.

        Raises:
            Unavailable: no token was to be had.
        """
        self._credentials.headers(Deadline.after(SIGN_IN_BUDGET))

    def probe(self, table: str, *, deadline: Deadline) -> None:
        """Ask for one row, whichever.

        Raises:
            Unavailable: ServiceNow did not answer, or does not let us.
            Rejected: there is no such table.
        """
        params = {"sysparm_limit": "1", "sysparm_fields": "sys_id", "sysparm_no_count": "true"}
        self._confirmed(_Request(method="GET", path=_name(table), params=params), deadline)

    def _confirmed(self, request: _Request, deadline: Deadline) -> Verdict:
        headers = self._credentials.headers(deadline)
        answer = self._answer(request, headers, deadline)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials.forget(headers):
            answer = self._answer(request, self._credentials.headers(deadline), deadline)
        if answer.effect is Effect.CONFIRMED:
            return answer
        advice = advice_for(request.method, request.table, answer, way=self._credentials.way)
        # A configuration item is looked for in so little time that no answer says nothing of the instance.
        if not (advice is AWAY and request.table != "incident"):
            # ServiceNow's own words may quote a field, so that they are for the log and the row of the alert alone.
            self._count(advice, f"{request}: {answer.status or answer.reason}")
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            log.error("%s: %s%s", request, answer.reason, f"; {advice}" if advice else "")
        raise _error_of(request, answer, advice)

    def _count(self, advice: Advice | None, detail: str) -> None:
        if advice is not None and advice.trouble is not None:
            self._troubles.count(advice.trouble, detail)

    def _answer(self, request: _Request, authorization: Mapping[str, str], deadline: Deadline) -> Verdict:
        """Send a request and judge its answer; a read whose kept connection was dropped is sent once more."""
        headers = {"Accept": "application/json", "Content-Type": "application/json", **authorization}
        body = None if request.values is None else json.dumps(request.values).encode()
        for may_repeat in (request.method == "GET", False):
            try:
                received = self._exchanged(request, headers, body, deadline)
            except NoAnswer as error:
                if may_repeat and error.was_dropped:
                    continue
                return unanswered(
                    request.method, was_sent=error.was_sent, reason=str(error), is_too_large=error.was_too_large
                )
            break
        return classify(request.method, received.status, received.headers, received.body, now=datetime.now(UTC))

    def _exchanged(
        self, request: _Request, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Received:
        """Send a request; return its answer, and tell that it was made.

        Raises:
            NoAnswer: none came.
        """
        method, url, status = request.method, f"{self._url}/{request.path}", 0
        with self._telemetry.span(f"{method} {request.table}", Role.CLIENT, method=method, table=request.table):
            try:
                received = self._transport.exchange(
                    method, url, headers=headers, params=request.params, body=body, deadline=deadline
                )
                status = received.status
            finally:
                self._telemetry.describe(status=status)
                self._telemetry.tell(Metric.SERVICENOW_CALLS, method=method, table=request.table, status=status)
        limit = received.headers.get("X-RateLimit-Limit", "")
        if limit.isascii() and limit.isdigit():
            self._telemetry.tell(Metric.SERVICENOW_LIMIT, int(limit))
        return received


def _row_of(answer: Verdict) -> Row:
    result = answer.result
    return {name: _text(value) for name, value in result.items()} if isinstance(result, Mapping) else {}


def _error_of(request: _Request, answer: Verdict, advice: Advice | None) -> BridgeError:
    # Of an instance that is away the reason says enough.
    message = f"{request}: {answer.reason}" + (f"; {advice}" if advice not in (None, AWAY) else "")
    if answer.effect is Effect.REJECTED:
        return Rejected(message)
    if answer.effect is Effect.UNKNOWN:
        return Unconfirmed(message, retry_after=answer.retry_after, is_refusal=answer.is_refusal)
    if answer.is_absent:
        return Conflict(message)
    if answer.is_no_table:
        return NoSuchTable(message)
    if answer.is_too_large:
        return TooLargeAnswer(message)
    kind = NotAllowed if answer.status == HTTPStatus.FORBIDDEN and answer.is_refusal else Unavailable
    return kind(message, retry_after=answer.retry_after, is_refusal=answer.is_refusal)


def is_plain(value: str) -> bool:
    """Return whether `value` may stand in a query: letters, digits and `._:/-`, and no script."""
    return bool(_PLAIN_VALUE.fullmatch(value))


def _shown(row: Mapping[str, object], displayed: Sequence[str]) -> Row:
    return {name: _text(value, "display_value" if name in displayed else "value") for name, value in row.items()}


def is_askable(name: str) -> bool:
    """Return whether `name` may stand in a query as the one value of a condition: nothing in it changes the query."""
    return bool(name) and name == name.strip() and len(name) <= _LONGEST_NAME and not _NOT_ASKABLE.search(name)


def _values(value: str | Named | Collection[str]) -> tuple[str, ...]:
    if isinstance(value, Named):
        return (value.name,)
    return (value,) if isinstance(value, str) else tuple(value)


def _encoded(conditions: Mapping[str, str | Named | Collection[str]], order_by: str, *, newest_first: bool) -> str:
    """Return conditions as an encoded query.

    Raises:
        ValueError: the query would ask for something else.
    """
    if not conditions or not all(_values(value) for value in conditions.values()):
        raise ValueError("a query without a condition asks for the whole table")
    terms = []
    for name, value in conditions.items():
        values = _values(value)
        is_allowed = is_askable if isinstance(value, Named) else is_plain
        for each in values:
            if not is_allowed(each):
                raise ValueError(f"{each!r} must not stand in a query")
        terms.append(f"{_name(name)}={values[0]}" if len(values) == 1 else f"{_name(name)}IN{','.join(values)}")
    keyword = "ORDERBYDESC" if newest_first else "ORDERBY"
    return "^".join([*terms, *([f"{keyword}{_name(order_by)}"] if order_by else [])])


def _fulfils(row: Row, conditions: Mapping[str, tuple[str, ...]]) -> bool:
    return all(row[name].casefold() in {value.casefold() for value in values} for name, values in conditions.items())


def _answering(fields: Sequence[str]) -> Mapping[str, str]:
    """Ask for raw values, and let the values that are sent be taken as raw."""
    return {"sysparm_fields": _listed("sys_id", *fields), "sysparm_input_display_value": "false", **_RAW}


def _listed(*names: str) -> str:
    return ",".join(dict.fromkeys(_name(name) for name in names))


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a table or field")
    return name


def _checked(sys_id: str) -> str:
    if not _SYS_ID.fullmatch(sys_id):
        raise ValueError(f"{sys_id!r} is no sys_id")
    return sys_id


def _text(value: object, part: str = "value") -> str:
    """Return a field's value as text, whatever JSON makes of it; of a pair of value and display value that `part`."""
    if isinstance(value, Mapping):
        value = value.get(part)
    if isinstance(value, bool):
        return "true" if value else "false"
    # Half of a surrogate pair can be written in JSON and nowhere else.
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, (str, int, float)) else ""
