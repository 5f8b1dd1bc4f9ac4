"""The answers of the webhook, without a host and without servers."""

import json
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from itsm_bridge.errors import Forbidden, InvalidSettings, InvalidToken, Rejected, Unavailable
from itsm_bridge.reconcile.attempt import Outcome, Result
from itsm_bridge.webhook import LARGEST_BODY, Webhook, answer
from tests.alert_files import document_of
from tests.builders import known_record, record, ruled

BODY = json.dumps(document_of("metric-static.fired")).encode()


class Stub:
    """A verifier and a reconciler; notes which of them was asked."""

    def __init__(self, result: Result | None = None, *, verify: Callable[[], object] = bool) -> None:
        self.asked: list[str] = []
        self._result = result
        self._verify = verify

    def verify(self, authorization: str | None) -> None:
        self.asked.append(f"verify {authorization}")
        self._verify()

    def news_of(self, ruling: Any, *, recovered: str = "") -> str:
        assert not recovered
        return f"news of {ruling.alert.kind}"

    def take(self, news: str, *, deadline: Any) -> Result | None:
        assert deadline
        self.asked.append(f"take {news}")
        return self._result


def webhook(stub: Any, *subscriptions: str) -> Webhook:
    return Webhook(verifier=stub, allowed_subscriptions=frozenset(subscriptions), reconciler=stub, rules=ruled)


def raising(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def test_an_incident_is_named_and_an_alert_that_waits_is_accepted() -> None:
    done = Stub(Result(outcome=Outcome.UPDATED, record=known_record()))
    waits = Stub(Result(outcome=Outcome.ACCEPTED, record=record()))

    first = answer(lambda: webhook(done), lambda: ("Bearer t", BODY))
    second = answer(lambda: webhook(waits), lambda: ("Bearer t", BODY))

    known = known_record()
    assert (first.status, first.body["outcome"]) == (200, "updated")
    assert first.body["incident"] == {"number": known.observed.number, "sys_id": known.observed.incident_id}
    assert (second.status, second.body) == (202, {"alert_key": record().key, "outcome": "accepted"})
    assert done.asked == ["verify Bearer t", "take news of metric"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidToken("no"), 401, "invalid_token"),
        (Forbidden("no"), 403, "forbidden"),
        (Unavailable("no keys"), 503, "unavailable"),
        (Rejected("no"), 503, "unavailable"),
        (ValueError("an alert"), 503, "unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_nothing_is_read_before_the_token_is_verified(error: Exception, status: int, code: str) -> None:
    stub = Stub(verify=raising(error))

    told: Any = answer(lambda: webhook(stub), lambda: (None, b"not JSON"))

    assert (told.status, told.body["error"]["code"]) == (status, code)
    assert ("Retry-After" in told.headers) == (status == 503)
    assert stub.asked == ["verify None"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[]", 400), (b"x" * (LARGEST_BODY + 1), 413), (BODY, 403)],
    ids=["no object", "size", "whose"],
)
def test_what_is_refused_never_reaches_the_reconciler(body: bytes, status: int) -> None:
    stub = Stub()

    told = answer(lambda: webhook(stub, "another"), lambda: ("Bearer t", body))

    assert (told.status, stub.asked) == (status, ["verify Bearer t"])


SUBSCRIPTION = "5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90"
OTHER = "00000000-0000-0000-0000-000000000002"


@pytest.mark.parametrize(
    ("sample", "allowed", "status"),
    [
        ("metric-static.fired", [], 202),
        ("metric-static.fired", [OTHER, SUBSCRIPTION], 202),
        ("metric-static.fired", [OTHER], 403),
        ("metric-static.fired", ["tenant"], 403),
        ("service-health-tenant.active", [], 202),
        ("service-health-tenant.active", [OTHER, "tenant"], 202),
        ("service-health-tenant.active", [SUBSCRIPTION], 403),
    ],
)
def test_a_list_of_subscriptions_admits_those_and_by_a_word_the_alerts_that_name_none(
    sample: str, allowed: list[str], status: int
) -> None:
    stub = Stub(Result(outcome=Outcome.ACCEPTED, record=record()))

    told = answer(lambda: webhook(stub, *allowed), lambda: ("Bearer t", json.dumps(document_of(sample)).encode()))

    assert told.status == status


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("metric-static.fired", f"subscription '{SUBSCRIPTION}' is not in ALLOWED_SUBSCRIPTIONS"),
        ("service-health-tenant.active", "it names no subscription, and ALLOWED_SUBSCRIPTIONS lacks the word tenant"),
    ],
)
def test_the_log_names_what_the_list_of_subscriptions_lacks(
    sample: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer(lambda: webhook(Stub(), OTHER), lambda: ("Bearer t", json.dumps(document_of(sample)).encode()))

    assert reason in caplog.text


@pytest.mark.parametrize("error", [InvalidSettings("X is missing"), KeyError("an alert")], ids=["settings", "bug"])
def test_a_program_that_cannot_be_built_asks_for_the_alert_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    told: Any = answer(raising(error), lambda: ("Bearer t", BODY))

    assert (told.status, told.headers) == (503, {"Retry-After": "10"})
    assert [(line.name, line.levelno) for line in caplog.records] == [("itsm_bridge", logging.ERROR)]
    assert "an alert" not in caplog.text


def test_a_request_that_cannot_be_read_is_sent_again() -> None:
    told: Any = answer(lambda: webhook(Stub()), raising(ValueError("an alert")))

    assert (told.status, told.body["error"]["code"]) == (503, "unavailable")
