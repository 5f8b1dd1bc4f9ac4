"""How are rows of a ServiceNow table read and written?

`incidents`, `references` and `cmdb.lookup` call this with names of tables and fields. The meaning of a row is not known
here.

1. `queries` spells what is asked for, and compares the rows that come back with it.
2. `sending` sends it, and says what has come of it.
3. Several reads go out as one request where the instance allows it (`batch`).

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Rejected, Unavailable
from itsm_bridge.servicenow import batch
from itsm_bridge.servicenow.batch import Batch, Batches
from itsm_bridge.servicenow.credentials import Credentials
from itsm_bridge.servicenow.gate import Gate
from itsm_bridge.servicenow.knowledge import Knowledge
from itsm_bridge.servicenow.queries import Lately, Named, Query, Row, answering, checked, named, stored
from itsm_bridge.servicenow.refusals import NotTogether, OtherRows
from itsm_bridge.servicenow.sending import Request, Sender
from itsm_bridge.servicenow.verdicts import Effect, Verdict, classify
from itsm_bridge.telemetry import NOTHING, Telemetry
from itsm_bridge.transport import Received
from itsm_bridge.troubles import Troubles

#: How long any single request may take.
REQUEST_BUDGET = timedelta(seconds=10)

#: How long it may take to sign in before anything is asked: a request that comes meanwhile waits for it.
SIGN_IN_BUDGET = timedelta(seconds=3)


class Page(NamedTuple):
    """The rows that one query found."""

    rows: tuple[Row, ...]
    #: Whether there may be more, because the limit was reached before rows were hidden from us.
    is_full: bool


class Changed(NamedTuple):
    """Some of the rows that changed lately."""

    #: Those that we may read.
    rows: tuple[Row, ...]
    #: How many there are in all, hidden ones too; None if ServiceNow does not tell.
    matching: int | None


class TableApi:
    """The tables of one instance; safe to share between threads."""

    def __init__(
        self,
        instance_url: str,
        credentials: Credentials,
        *,
        troubles: Troubles | None = None,
        gate: Gate | None = None,
        knowledge: Knowledge | None = None,
        telemetry: Telemetry = NOTHING,
    ) -> None:
        """Remember where the instance is; nothing is sent yet.

        Args:
            instance_url: The address of the instance.
            credentials: Who we are there.
            troubles: Where it is counted what it refuses.
            gate: What each request passes; the credentials share it.
            knowledge: Whether it answers batches; without it, what this object learns.
            telemetry: Who is told of each request.
        """
        self._sender = Sender(
            instance_url, credentials, troubles=troubles or Troubles(), gate=gate, telemetry=telemetry
        )
        self._batches = Batches(knowledge or Knowledge())

    @property
    def free_turns(self) -> int:
        """How many more requests could go out at this moment."""
        return self._sender.free_turns

    @property
    def answers_batches(self) -> bool:
        """Whether nothing speaks against asking several questions with one request."""
        return self._batches.may_be_sent

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
        """Return the rows that a `Query` means; only those that we may read.

        Args:
            table: As in `Query`, and so are the others.
            conditions: The value or name that each field must have.
            fields: The fields to return.
            limit: How many rows.
            deadline: By when the answer must be there.
            order_by: Field to sort by.
            newest_first: Whether to sort descending.
            displayed: The fields to return as people see them.
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
        query = Query(
            table=table,
            conditions=conditions,
            fields=fields,
            limit=limit,
            order_by=order_by,
            newest_first=newest_first,
            displayed=displayed,
            is_counted=must_see_all,
        )
        request = _request_of(query)
        answer = self._sender.confirmed(request, deadline)
        result = _list_of(request, answer)
        if must_see_all and len(result) < min(answer.matching or 0, limit):
            raise self._sender.hidden(request, answer, shown=len(result))
        found = query.meant(result)
        if must_see_all and result and not found:
            raise OtherRows(f"{request}: nothing but rows that were not asked for")
        return found

    def page(self, query: Query, *, deadline: Deadline) -> Page:
        """Return the rows that a query means, of those that we may read; raises as `query`."""
        request = _request_of(query)
        return _page_of(request, query, self._sender.confirmed(request, deadline))

    def pages(self, queries: Sequence[Query], *, deadline: Deadline) -> Sequence[Page | BridgeError | None]:
        """Return with one request, for each query, what `page` would return or raise.

        None stands for a query that has no usable answer, and is to be asked alone.

        Args:
            queries: At most `batch.MOST_READS`.
            deadline: By when the answers must be there.

        Raises:
            NotTogether: the instance answers no batches, now or for us; nothing was found out.
            Unavailable: ServiceNow did not answer.
            ValueError: as `query`.
        """
        asked = Batch.of(uuid.uuid4().hex[:12], queries)
        request = Request(method="POST", table=batch.TABLE, path=batch.PATH, body=asked.body, is_read=True)
        verdict, received = self._sender.sent(request, deadline)
        answers = asked.answers_in(received) if received is not None else None
        if answers is None:
            if self._batches.failed(verdict):
                raise NotTogether(f"{request}: {verdict.reason}")
            raise self._sender.failure(request, verdict)
        found = [
            None if answer is None else self._found(query, answer)
            for query, answer in zip(queries, answers, strict=True)
        ]
        if any(each is not None for each in found):
            self._batches.answered()
        elif queries:
            self._batches.failed(verdict._replace(reason="a batch without any usable answer"))
        return found

    def _found(self, query: Query, answer: Received) -> Page | BridgeError | None:
        """Judge the answer to one read of a batch; None if it is not usable."""
        request = _request_of(query)
        verdict = classify("GET", answer.status, answer.headers, answer.body, now=datetime.now(UTC))
        if verdict.effect is not Effect.CONFIRMED:
            is_final = verdict.is_no_table or verdict.is_refusal or verdict.effect is Effect.REJECTED
            # Whatever is asked alone next is counted as a trouble there, or was none.
            return self._sender.failure(request, verdict) if is_final else None
        try:
            return _page_of(request, query, verdict)
        except Rejected as error:
            return error
        except Unavailable:
            return None

    def changed(self, lately: Lately, *, deadline: Deadline) -> Changed:
        """Return a page of the rows that changed lately, the oldest first.

        Raises:
            OtherRows: rows came that were not asked for, or in another order.
            UnknownField: the rows lack a field of the query.
            Unavailable, NoSuchTable, NotAllowed, Rejected: as `query`.
        """
        request = _reading(lately.table, lately.params)
        answer = self._sender.confirmed(request, deadline)
        return Changed(rows=lately.meant(_list_of(request, answer)), matching=answer.matching)

    def insert(self, table: str, values: Mapping[str, str], *, fields: Sequence[str], deadline: Deadline) -> Row:
        """Insert a row and return its `fields` and `sys_id` as stored.

        Raises:
            Unavailable: ServiceNow did not take the request; there is no new row.
            Unconfirmed: there may be a new row, now or later.
            Rejected: ServiceNow refuses it for good.
        """
        request = _writing("POST", table, named(table), values, fields)
        return _row_of(self._sender.confirmed(request, deadline))

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
        request = _writing("PATCH", table, f"{named(table)}/{checked(sys_id)}", values, fields)
        return _row_of(self._sender.confirmed(request, deadline))

    def sign_in(self) -> None:
        """Fetch a token if the credentials need one and there is none; idempotent.

        Raises:
            Unavailable: no token was to be had.
        """
        self._sender.sign_in(Deadline.after(SIGN_IN_BUDGET))

    def probe(self, table: str, *, deadline: Deadline) -> None:
        """Ask for one row, whichever.

        Raises:
            Unavailable: ServiceNow did not answer, or does not let us.
            Rejected: there is no such table.
        """
        params = {"sysparm_limit": "1", "sysparm_fields": "sys_id", "sysparm_no_count": "true"}
        self._sender.confirmed(_reading(table, params), deadline)


def _request_of(query: Query) -> Request:
    return _reading(query.table, query.params)


def _reading(table: str, params: Mapping[str, str]) -> Request:
    return Request(method="GET", table=table, path=f"table/{named(table)}", params=params, is_read=True)


def _writing(method: str, table: str, path: str, values: Mapping[str, str], fields: Sequence[str]) -> Request:
    body = json.dumps(values).encode()
    return Request(method=method, table=table, path=f"table/{path}", params=answering(fields), body=body)


def _list_of(request: Request, answer: Verdict) -> Sequence[Mapping[str, object]]:
    if not isinstance(answer.result, list):
        # A 404 comes here too: a list that holds nothing is answered 200, so 404 is not about rows.
        raise Unavailable(f"{request}: no list where one belongs")
    return answer.result


def _page_of(request: Request, query: Query, answer: Verdict) -> Page:
    result = _list_of(request, answer)
    return Page(rows=query.meant(result), is_full=max(len(result), answer.matching or 0) >= query.limit)


def _row_of(answer: Verdict) -> Row:
    return stored(answer.result) if isinstance(answer.result, Mapping) else {}
