"""What happens to one notification, from its token to its answer?

`function_app.receive_alert` calls `answer`, and `app` hands `Webhook.recover` the alerts that no call brought. Nothing
here knows Azure Functions.

    verify ▸ size ▸ parse ▸ subscription ▸ rules ▸ render ▸ take ▸ answer

`ANSWERS` says what each error becomes. Any other error becomes 503, because Azure Monitor repeats a call only after
408, 429, 503 and 504 (https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook).
"""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from itsm_bridge.azure_monitor.alert import Alert, parse_alert
from itsm_bridge.deadline import Deadline
from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import (
    BridgeError,
    Forbidden,
    InvalidAlert,
    InvalidToken,
    PermanentError,
    TemporaryError,
    TooLarge,
    place_of,
)
from itsm_bridge.reconcile.attempt import Outcome, Result
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from itsm_bridge.rules.ruling import Ruling
from itsm_bridge.settings import TENANT
from itsm_bridge.telemetry import NOTHING, Metric, Role, Telemetry
from itsm_bridge.troubles import Trouble, Troubles

# Not `__name__`: alert rules and operators look for the lines of the edge under the app's own name.
log = logging.getLogger("itsm_bridge")

#: The largest alert in the common schema is 256 KB; a body of four times that holds no alert.
LARGEST_BODY: Final = 1024 * 1024
#: How long 503 asks the caller to wait, in seconds. Azure Monitor has a schedule of its own.
RETRY_AFTER: Final = "10"


class Answer(NamedTuple):
    """The answer to the caller; the body is sent as JSON."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = MappingProxyType({})


class Webhook:
    """The parts that take a notification in; the composition root makes one webhook per process."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        allowed_subscriptions: frozenset[str],
        reconciler: Reconciler,
        rules: Callable[[Alert], Ruling],
        troubles: Troubles | None = None,
        telemetry: Telemetry = NOTHING,
    ) -> None:
        """Remember the parts; nothing is sent yet.

        Args:
            verifier: Who may call.
            allowed_subscriptions: Lower-cased, with `TENANT` for alerts that name none; empty: all.
            reconciler: Who is told.
            rules: What the rules in force say of an alert.
            troubles: Where refused calls are counted, because Azure Monitor tells nobody of them.
            telemetry: Who is told of them besides.
        """
        self.verifier = verifier
        self.allowed_subscriptions = allowed_subscriptions
        self.reconciler = reconciler
        self.rules = rules
        self.troubles = troubles or Troubles()
        self.telemetry = telemetry

    def take(self, read: Callable[[], tuple[str | None, bytes]], deadline: Deadline) -> Result:
        """Take one notification in, and count an error that nobody foresaw.

        Raises:
            BridgeError: it is not taken in; `ANSWERS` has a line for every such error.
        """
        try:
            news = self._news_of(self.alert_of(*read()))
            return self.reconciler.take(news, deadline=deadline)
        except BridgeError:
            raise
        except Exception as error:
            self.troubles.count(Trouble.UNEXPECTED, f"{type(error).__name__} at {place_of(error)}")
            raise

    def recover(self, alert: Alert, how: str, deadline: Deadline) -> Result:
        """Take an alert in that no call brought, as if one had; `how` tells people how it was found.

        Raises:
            TemporaryError: it is not taken in now.
        """
        return self.reconciler.take(self._news_of(alert, recovered=how), deadline=deadline)

    def _news_of(self, alert: Alert, *, recovered: str = "") -> News:
        """Return what an alert says that is new, as the rules in force want it."""
        ruling = self.rules(alert)
        for fault in ruling.faults:
            log.warning("rules: %s; the text of the program stands", fault)
        return self.reconciler.news_of(ruling, recovered=recovered)

    def alert_of(self, authorization: str | None, body: bytes) -> Alert:
        """Return the alert that was sent with this `Authorization` header, if its caller may send it.

        Raises:
            BridgeError: it is not taken in; `ANSWERS` has a line for every such error.
        """
        try:
            return self._taken(authorization, body)
        except PermanentError as error:
            is_body = isinstance(error, (InvalidAlert, TooLarge))
            trouble = Trouble.BODY if is_body else Trouble(error.trouble or Trouble.TOKEN)
            self.troubles.count(trouble, str(error))
            self.telemetry.tell(Metric.REFUSED, reason=trouble)
            raise

    def _taken(self, authorization: str | None, body: bytes) -> Alert:
        self.verifier.verify(authorization)
        if len(body) > LARGEST_BODY:
            raise TooLarge("The body is larger than 1 MiB; an alert is at most 256 KB.")
        alert = parse_alert(body)
        self._check_subscription(alert.subscription_id)
        return alert

    def _check_subscription(self, subscription: str) -> None:
        if not self.allowed_subscriptions or (subscription or TENANT) in self.allowed_subscriptions:
            return
        if not subscription:
            raise Forbidden(
                f"it names no subscription, and ALLOWED_SUBSCRIPTIONS lacks the word {TENANT}",
                trouble=Trouble.SUBSCRIPTION,
            )
        raise Forbidden(
            f"subscription {subscription!a:.80} is not in ALLOWED_SUBSCRIPTIONS", trouble=Trouble.SUBSCRIPTION
        )


#: Status, code, sentence ("" for the error's own), and headers. The first class that fits.
ANSWERS: Final[Mapping[type[BridgeError], tuple[int, str, str, Mapping[str, str]]]] = {
    InvalidToken: (
        401,
        "invalid_token",
        "A valid access token of Azure Monitor is required.",
        {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    ),
    Forbidden: (403, "forbidden", "This caller or its subscription is not allowed.", {}),
    InvalidAlert: (400, "invalid_alert", "", {}),
    TooLarge: (413, "too_large", "", {}),
    BridgeError: (503, "unavailable", "The alert could not be taken now. Send it again.", {"Retry-After": RETRY_AFTER}),
}


def answer(
    build: Callable[[], Webhook],
    read: Callable[[], tuple[str | None, bytes]],
    *,
    telemetry: Telemetry = NOTHING,
    traceparent: str = "",
) -> Answer:
    """Take one notification; return what the caller is answered, whatever happens.

    Args:
        build: Returns the webhook. It may raise, and its time counts towards the time of the answer.
        read: Returns the `Authorization` header, None if there is none, and the body as it was sent. It may raise too.
        telemetry: Who is told of the answer.
        traceparent: The step of a trace that the call belongs to; "" if there is none.
    """
    deadline = Deadline.after(INLINE_BUDGET)
    with telemetry.span("receive_alert", Role.SERVER, parent=traceparent):
        try:
            told = _answer_to(build().take(read, deadline))
        except BridgeError as error:
            told = _refusal(error)
        except Exception as error:  # noqa: BLE001 - the edge: any other answer than 503 would lose the alert
            name, where = type(error).__name__, place_of(error)
            log.error("unexpected %s at %s; Azure Monitor is asked to send the alert again", name, where)
            told = _error_answer(BridgeError)
        outcome = str(told.body.get("outcome", "none"))
        telemetry.describe(status=told.status, outcome=outcome)
    telemetry.tell(Metric.RECEIVED, status=told.status, outcome=outcome)
    return told


def _answer_to(result: Result) -> Answer:
    seen = result.record.observed
    body: dict[str, object] = {"alert_key": result.record.key, "outcome": str(result.outcome)}
    if result.outcome is Outcome.ACCEPTED:
        return Answer(status=202, body=body)
    is_there = seen.incident_id and result.outcome is not Outcome.IGNORED
    body["incident"] = {"number": seen.number, "sys_id": seen.incident_id} if is_there else None
    return Answer(status=200, body=body)


def _refusal(error: BridgeError) -> Answer:
    kind = next(kind for kind in ANSWERS if isinstance(error, kind))
    is_expected = isinstance(error, (TemporaryError, InvalidToken, InvalidAlert))
    log.log(logging.WARNING if is_expected else logging.ERROR, "answered %d: %s", ANSWERS[kind][0], error)
    return _error_answer(kind, str(error))


def _error_answer(kind: type[BridgeError], sentence: str = "") -> Answer:
    status, code, message, headers = ANSWERS[kind]
    return Answer(status=status, body={"error": {"code": code, "message": message or sentence}}, headers=headers)
