import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge import troubles
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidSettings, Unavailable
from itsm_bridge.servicenow.advice import HIBERNATES, refused_sign_in
from itsm_bridge.servicenow.credentials import Credentials, Header, OAuth, credentials_of
from itsm_bridge.settings import ServiceNowSettings
from local.servicenow import faults
from local.servicenow.exchange import Request, Response, from_node
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn

SECRETS = ("made-up-client-secret", "made-up-password", "made-up-api-key")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(has_demo_cmdb=False) as running:
        yield running
        assert running.crashes == []


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings_for(instance: ServiceNowStandIn, **changes: Any) -> ServiceNowSettings:
    known = instance.credentials
    everything = {
        "instance_url": instance.url,
        "client_id": known.client_id,
        "client_secret": known.client_secret,
        "api_key": known.api_key,
        "username": known.username,
        "password": known.password,
        "max_concurrency": 4,
    }
    return ServiceNowSettings(**{**everything, **changes})


def oauth(instance: ServiceNowStandIn, clock: Clock) -> OAuth:
    known = instance.credentials
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    return OAuth(f"{instance.url}/oauth_token.do", form, clock=clock)


def headers(credentials: Credentials, *, within: float = 5) -> dict[str, str]:
    return dict(credentials.headers(Deadline.after(timedelta(seconds=within))))


def token(text: str, *, expires_in: object = 1799) -> Fault:
    """A token endpoint that answers with this token."""
    content = {"access_token": text, "token_type": "Bearer", "scope": "useraccount", "expires_in": expires_in}
    return answering(from_node(200, {key: value for key, value in content.items() if value is not None}))


def answering(response: Response) -> Fault:
    def answer(_request: Request, _true: Response | None) -> Response:
        return response

    return Fault(name="made-up answer", answer=answer)


def plan(instance: ServiceNowStandIn, *planned: Fault) -> None:
    for fault in planned:
        instance.faults.add(fault, table="oauth_token")


def fetches(instance: ServiceNowStandIn) -> int:
    return len(instance.calls_to("oauth_token"))


class TestChoice:
    def test_a_client_with_a_user_asks_with_the_password_grant(self, instance: ServiceNowStandIn) -> None:
        instance.switches.allows_client_credentials = False

        assert headers(credentials_of(settings_for(instance)))["Authorization"].startswith("Bearer ")

    def test_a_client_without_a_user_asks_with_client_credentials(self, instance: ServiceNowStandIn) -> None:
        credentials = credentials_of(settings_for(instance, username="", password="made-up"))

        assert headers(credentials)["Authorization"].startswith("Bearer ")

    def test_an_api_key_is_better_than_a_password(self, instance: ServiceNowStandIn) -> None:
        credentials = credentials_of(settings_for(instance, client_id="", client_secret=""))

        assert headers(credentials) == {"x-sn-apikey": "made-up-api-key"}

    def test_a_password_is_sent_as_utf_8(self, instance: ServiceNowStandIn) -> None:
        settings = settings_for(instance, client_id="", api_key="", username="jörg", password="pass:wörd")

        assert headers(credentials_of(settings)) == {"Authorization": "Basic asO2cmc6cGFzczp3w7ZyZA=="}

    @pytest.mark.parametrize("api_key", ["a b", "a\nb", "schlüssel"])
    def test_an_api_key_that_no_header_can_carry_is_a_wrong_setting(
        self, instance: ServiceNowStandIn, api_key: str
    ) -> None:
        with pytest.raises(InvalidSettings) as caught:
            credentials_of(settings_for(instance, client_id="", api_key=api_key))

        assert api_key not in str(caught.value)

    @pytest.mark.parametrize("missing", [{}, {"client_id": ""}, {"client_id": "", "api_key": ""}])
    def test_no_secret_is_shown(self, instance: ServiceNowStandIn, missing: dict[str, str]) -> None:
        credentials = credentials_of(settings_for(instance, **missing))
        sent = headers(credentials)

        assert not any(secret in repr(credentials) for secret in (*SECRETS, *sent.values()))
        assert not any(secret in repr(vars(credentials)) for secret in sent.values()) if missing == {} else True


class TestFixedHeader:
    def test_a_refused_one_is_not_tried_again(self) -> None:
        credentials = Header("x-sn-apikey", "made-up-api-key")

        assert not credentials.forget(headers(credentials))


class TestLife:
    def test_one_token_serves_many_requests(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        credentials = oauth(instance, clock)

        assert len({headers(credentials)["Authorization"] for _ in range(5)}) == 1
        assert fetches(instance) == 1

    @pytest.mark.parametrize(
        ("expires_in", "fresh_for"),
        [
            (1799, 1739),
            ("1799", 1739),
            (1799.0, 1739),
            (120, 60),
            (60, 30),
            (10, 5),
            (None, 30),
            ("soon", 30),
            (-5, 30),
            (10**12, 30),
            ([1799], 30),
        ],
    )
    def test_it_is_renewed_before_it_ends(
        self, instance: ServiceNowStandIn, clock: Clock, expires_in: object, fresh_for: float
    ) -> None:
        plan(instance, token("first", expires_in=expires_in), token("second"))
        credentials = oauth(instance, clock)

        told = [headers(credentials)]
        clock.seconds += fresh_for - 0.5
        told.append(headers(credentials))
        clock.seconds += 1
        told.append(headers(credentials))

        assert [each["Authorization"] for each in told] == ["Bearer first", "Bearer first", "Bearer second"]

    def test_one_that_ends_at_once_is_used_once(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, token("first", expires_in=0), token("second"))
        credentials = oauth(instance, clock)

        assert [headers(credentials)["Authorization"] for _ in range(2)] == ["Bearer first", "Bearer second"]

    def test_a_failed_renewal_leaves_the_valid_one_in_use_and_is_not_repeated_at_once(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        plan(instance, token("first"), faults.token_denied(), token("second"))
        credentials = oauth(instance, clock)
        headers(credentials)
        clock.seconds += 1740

        told = [headers(credentials)["Authorization"] for _ in range(3)]
        clock.seconds += 10
        told.append(headers(credentials)["Authorization"])

        assert told == ["Bearer first"] * 3 + ["Bearer second"]
        assert fetches(instance) == 3

    def test_a_renewal_that_hangs_leaves_time_to_use_the_valid_one(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        plan(instance, token("first"), faults.silence())
        credentials = oauth(instance, clock)
        headers(credentials)
        clock.seconds += 1740
        deadline = Deadline.after(timedelta(seconds=1))

        assert credentials.headers(deadline) == {"Authorization": "Bearer first"}
        assert deadline.left > timedelta(seconds=0.3)

    def test_one_that_has_ended_is_never_used(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, token("first"), faults.token_denied())
        credentials = oauth(instance, clock)
        headers(credentials)
        clock.seconds += 1799

        with pytest.raises(Unavailable):
            headers(credentials)


class TestThreads:
    def test_many_threads_fetch_one_token(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        credentials = oauth(instance, clock)
        instance.delay = 0.1
        told: list[str] = []
        threads = [threading.Thread(target=lambda: told.append(str(headers(credentials)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert (len(told), len(set(told)), fetches(instance)) == (8, 1, 1)

    def test_while_one_renews_the_others_use_the_valid_one(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, token("first"), faults.silence())
        credentials = oauth(instance, clock)
        headers(credentials)
        clock.seconds += 1740
        renewing = threading.Thread(target=headers, args=(credentials,), kwargs={"within": 2})
        renewing.start()
        _wait_until(lambda: fetches(instance) == 2)

        began = time.monotonic()
        told = headers(credentials)

        assert told == {"Authorization": "Bearer first"}
        assert time.monotonic() - began < 0.5
        assert fetches(instance) == 2
        renewing.join(10)

    def test_who_waits_for_a_renewal_waits_no_longer_than_its_time(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        plan(instance, faults.silence())
        credentials = oauth(instance, clock)
        renewing = threading.Thread(target=_ignoring_failure, args=(credentials, 1.5))
        renewing.start()
        _wait_until(lambda: fetches(instance) == 1)

        began = time.monotonic()
        with pytest.raises(Unavailable):
            headers(credentials, within=0.2)

        assert time.monotonic() - began < 1
        assert fetches(instance) == 1
        renewing.join(10)


class TestForgetting:
    def test_a_refused_token_is_replaced(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, token("first"), token("second"))
        credentials = oauth(instance, clock)

        assert credentials.forget(headers(credentials))
        assert headers(credentials) == {"Authorization": "Bearer second"}

    def test_who_comes_late_with_a_refused_token_uses_the_new_one(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        plan(instance, token("first"), token("second"), token("third"))
        credentials = oauth(instance, clock)
        refused = headers(credentials)
        credentials.forget(refused)
        headers(credentials)

        assert credentials.forget(refused)
        assert headers(credentials) == {"Authorization": "Bearer second"}
        assert fetches(instance) == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (faults.token_denied(), f"answer 401; {refused_sign_in('OAuth')}"),
            (faults.hibernating(), f"the instance hibernates; {HIBERNATES.remedy}"),
            (faults.edge_failed(status=502), "answer 502"),
            (faults.node_failed(status=500), "answer 500"),
            (faults.empty_200(), "answer 200"),
            (faults.truncated_json(), "answer 200"),
            (faults.closed(), "Remote end closed connection without response"),
            (faults.garbage(), "BadStatusLine"),
            (token("two words"), "answer 200"),
            (token("zeile\r\nX-Injected: y"), "answer 200"),
            (token("schlüssel"), "answer 200"),
            (token(""), "answer 200"),
            (answering(from_node(200, [])), "answer 200"),
            (answering(from_node(200, {"access_token": 7})), "answer 200"),
            (answering(Response(status=302, headers=(("Location", "http://127.0.0.1:9/"),))), "answer 302"),
        ],
        ids=lambda each: each.name if isinstance(each, Fault) else "",
    )
    def test_whatever_is_no_token_is_temporary(
        self, instance: ServiceNowStandIn, clock: Clock, fault: Fault, reason: str
    ) -> None:
        plan(instance, fault)

        with pytest.raises(Unavailable) as caught:
            headers(oauth(instance, clock))

        assert str(caught.value) == f"ServiceNow gave no token: {reason}"

    def test_a_token_endpoint_that_hangs_ends_in_time(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, faults.trickling_headers())

        with pytest.raises(Unavailable) as caught:
            headers(oauth(instance, clock), within=0.2)

        assert str(caught.value) == "ServiceNow gave no token: no answer in time"

    def test_what_it_asks_us_to_wait_is_handed_on(self, instance: ServiceNowStandIn, clock: Clock) -> None:
        plan(instance, faults.rate_limited(retry_after=42))

        with pytest.raises(Unavailable) as caught:
            headers(oauth(instance, clock))

        assert caught.value.retry_after == timedelta(seconds=42)

    def test_a_refused_client_is_an_error_for_the_operator_and_names_no_secret(
        self, instance: ServiceNowStandIn, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        plan(instance, faults.token_denied())

        with pytest.raises(Unavailable) as caught:
            headers(oauth(instance, clock))

        own = [record for record in caplog.records if record.name != troubles.__name__]
        assert [record.levelno for record in own] == [logging.ERROR]
        told = caplog.text + str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)
        assert not any(secret in told for secret in SECRETS)


def _ignoring_failure(credentials: Credentials, within: float) -> None:
    with pytest.raises(Unavailable):
        headers(credentials, within=within)


def _wait_until(is_so: Any, *, seconds: float = 5) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.005)
