"""How is one request sent to the instance, and what has come of it?

`table_api` sends everything through one `Sender`. What a request asks for is not known here.

1. A read that got no answer is repeated once if its connection was dropped. A write is repeated after 401 alone, which
   says that ServiceNow did not look at it.
2. `verdicts` judges what has come of a request; here its verdict becomes one of the errors.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict, Rejected, Unavailable, Unconfirmed
from itsm_bridge.servicenow.advice import AWAY, Advice, advice_for, reading_advice
from itsm_bridge.servicenow.credentials import Credentials
from itsm_bridge.servicenow.gate import Gate, Gated
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, TooLargeAnswer
from itsm_bridge.servicenow.verdicts import Effect, Verdict, classify, unanswered
from itsm_bridge.telemetry import Metric, Role, Telemetry
from itsm_bridge.transport import NoAnswer, Received
from itsm_bridge.troubles import Troubles

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """One request."""

    method: str
    #: What the log, metrics and advice call it.
    table: str
    #: Below `/api/now/`.
    path: str
    params: Mapping[str, str] | None = None
    body: bytes | None = None
    #: Whether it only reads, so that it may be sent again.
    is_read: bool = False

    def __str__(self) -> str:
        """Name the request in messages, without its values."""
        return f"ServiceNow, {self.method} {self.path.removeprefix('table/')}"


class _Call:
    """One sending of a request, and the answer to it once there is one."""

    received: Received | None = None


class Sender:
    """Sends requests to one instance; safe to share between threads."""

    def __init__(
        self,
        instance_url: str,
        credentials: Credentials,
        *,
        troubles: Troubles,
        gate: Gate | None,
        telemetry: Telemetry,
    ) -> None:
        """Remember where the instance is; nothing is sent yet. The arguments are those of `TableApi`."""
        self._troubles = troubles
        self._telemetry = telemetry
        self._url = f"{instance_url.rstrip('/')}/api/now"
        self._credentials = credentials
        self._transport = Gated(gate)

    @property
    def free_turns(self) -> int:
        """How many more requests could go out at this moment."""
        return self._transport.gate.free

    def sign_in(self, deadline: Deadline) -> None:
        """Fetch a token if the credentials need one and there is none; idempotent.

        Raises:
            Unavailable: no token was to be had.
        """
        self._credentials.headers(deadline)

    def confirmed(self, request: Request, deadline: Deadline) -> Verdict:
        """Send a request and return its verdict, which is a confirmation.

        Raises:
            Unavailable: ServiceNow did not take the request, or did not answer a read.
            Unconfirmed: a write may have taken effect, or may yet.
            Conflict: there is no such row any more.
            Rejected: ServiceNow refuses it for good.
        """
        answer, _ = self.sent(request, deadline)
        if answer.effect is Effect.CONFIRMED:
            return answer
        raise self.failure(request, answer)

    def sent(self, request: Request, deadline: Deadline) -> tuple[Verdict, Received | None]:
        """Send a request and judge its answer; return both, and None if no answer came.

        It is sent once more with another token if it was refused for that, and once more if it only reads and its kept
        connection was dropped.

        Raises:
            Unavailable: there is no token, or no turn in time; nothing was sent.
        """
        # What is only read is judged as a read, by whichever method it is asked for.
        method = "GET" if request.is_read else request.method
        may_be_dropped, may_sign_in = request.is_read, True
        while True:
            authorization = self._credentials.headers(deadline)
            try:
                with self._told(request) as call:
                    received = call.received = self._transport.exchange(
                        request.method,
                        f"{self._url}/{request.path}",
                        headers={"Accept": "application/json", "Content-Type": "application/json", **authorization},
                        params=request.params,
                        body=request.body,
                        deadline=deadline,
                    )
            except NoAnswer as error:
                if may_be_dropped and error.was_dropped:
                    may_be_dropped = False
                    continue
                too_large = error.was_too_large
                return unanswered(method, was_sent=error.was_sent, reason=str(error), is_too_large=too_large), None
            now = datetime.now(UTC)
            answer = classify(method, received.status, received.headers, received.body, now=now)
            is_refused = answer.status == HTTPStatus.UNAUTHORIZED
            if not (is_refused and may_sign_in and self._credentials.forget(authorization)):
                return answer, received
            may_sign_in = False

    def failure(self, request: Request, answer: Verdict) -> BridgeError:
        """Count and log that a request was not confirmed; return the error that says so."""
        advice = advice_for(request.method, request.table, answer, way=self._credentials.way)
        # A configuration item is looked for in so little time that no answer says nothing of the instance.
        if not (advice is AWAY and request.table != "incident"):
            # ServiceNow's own words may quote a field, so that they are for the log and the row of the alert alone.
            self._count(advice, f"{request}: {answer.status or answer.reason}")
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            log.error("%s: %s%s", request, answer.reason, f"; {advice}" if advice else "")
        return _error_of(request, answer, advice)

    def hidden(self, request: Request, answer: Verdict, *, shown: int) -> NotAllowed:
        """Count and log that rows which match are hidden from us; return the error that says so."""
        log.error("%s: of %d rows that match %d are shown to our account", request, answer.matching, shown)
        advice = reading_advice(request.table)
        self._count(advice, f"{request}: rows that match are hidden")
        told = f"; {advice}" if advice else ""
        return NotAllowed(f"{request}: what is asked for exists and is hidden from our account{told}", is_refusal=True)

    def _count(self, advice: Advice | None, detail: str) -> None:
        if advice is not None and advice.trouble is not None:
            self._troubles.count(advice.trouble, detail)

    @contextmanager
    def _told(self, request: Request) -> Iterator[_Call]:
        """Tell that the block sends a request, and what was answered, whether or not anything was."""
        call, method, table = _Call(), request.method, request.table
        with self._telemetry.span(f"{method} {table}", Role.CLIENT, method=method, table=table):
            try:
                yield call
            finally:
                status = call.received.status if call.received else 0
                self._telemetry.describe(status=status)
                self._telemetry.tell(Metric.SERVICENOW_CALLS, method=method, table=table, status=status)
        limit = call.received.headers.get("X-RateLimit-Limit", "") if call.received else ""
        if limit.isascii() and limit.isdigit():
            self._telemetry.tell(Metric.SERVICENOW_LIMIT, int(limit))


def _error_of(request: Request, answer: Verdict, advice: Advice | None) -> BridgeError:
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
