import base64
import hashlib
import hmac
import json
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import BridgeError, Forbidden, InvalidToken, Unavailable
from local.entra.authority import APP_ROLE, AZURE_MONITOR, CLIENT_ID, TENANT_ID, Entra, SigningKey, base64url, sign

OTHER_TENANT = "9d1c0b7e-2f3a-4c5d-8e6f-1a2b3c4d5e6f"
OTHER_CALLER = "11c4e9a2-6d0b-4f57-9c83-b2a1d4e5f607"
IDENTIFIER_URI = f"api://{CLIENT_ID}"
METADATA_V2 = f"/{TENANT_ID}/v2.0/.well-known/openid-configuration"
KEYS_V2 = f"/{TENANT_ID}/discovery/v2.0/keys"
METADATA_V1 = f"/{TENANT_ID}/.well-known/openid-configuration"
KEYS_V1 = f"/{TENANT_ID}/discovery/keys"


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def entra() -> Iterator[Entra]:
    """Shared by the tests that leave it as it is."""
    with Entra() as shared:
        yield shared


@pytest.fixture
def own_entra(entra: Entra) -> Iterator[Entra]:
    """For the tests that stop it, slow it, change what it publishes or count what is fetched."""
    with Entra(keys=entra.keys) as own:
        yield own


def verifier(
    entra: Entra,
    *,
    tenants: Sequence[str] = (TENANT_ID,),
    audiences: Sequence[str] = (CLIENT_ID, IDENTIFIER_URI),
    allowed_callers: Sequence[str] = (AZURE_MONITOR,),
    required_role: str = APP_ROLE,
    clock: Callable[[], float] = time.monotonic,
) -> TokenVerifier:
    return TokenVerifier(
        tenants=tenants,
        audiences=audiences,
        allowed_callers=allowed_callers,
        required_role=required_role,
        authority=entra.authority,
        clock=clock,
    )


def bearer(token: str) -> str:
    return f"Bearer {token}"


def in_minutes(minutes: float) -> int:
    return int(time.time() + minutes * 60)


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = [json.loads(base64.urlsafe_b64decode(part + "===")) for part in token.split(".")[:2]]
    return parts[0], parts[1]


def unsigned(entra: Entra) -> str:
    header, claims = decoded(entra.mint())
    return f"{base64url(json.dumps(header | {'alg': 'none'}).encode())}.{base64url(json.dumps(claims).encode())}."


def signed_with_public_key(entra: Entra) -> str:
    header, claims = decoded(entra.mint())
    public_key = entra.keys[-1].private_key.public_key()
    pem = public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header | {"alg": "HS256"}, claims))
    return f"{signed}.{base64url(hmac.digest(pem, signed.encode(), hashlib.sha256))}"


def with_claims_of_another(entra: Entra) -> str:
    header, _, signature = entra.mint(caller=OTHER_CALLER).split(".")
    return f"{header}.{entra.mint().split('.')[1]}.{signature}"


def beginning_with(entra: Entra, header: bytes) -> str:
    return f"{base64url(header)}.{entra.mint().partition('.')[2]}"


ACCEPTED: dict[str, Callable[[Entra], str]] = {
    "version 1": lambda entra: entra.mint(version=1),
    "version 2": lambda entra: entra.mint(version=2),
    "version 1 for the client id": lambda entra: entra.mint(version=1, aud=CLIENT_ID),
    "expired within the leeway": lambda entra: entra.mint(exp=in_minutes(-0.5)),
    "valid from within the leeway": lambda entra: entra.mint(nbf=in_minutes(0.5), iat=in_minutes(0.5)),
    "idtyp app": lambda entra: entra.mint(idtyp="app"),
    "more roles": lambda entra: entra.mint(roles=["Reader", APP_ROLE]),
    "caller in capitals": lambda entra: entra.mint(azp=AZURE_MONITOR.upper()),
}

REFUSED: dict[str, tuple[Callable[[Entra], str], type[BridgeError], str]] = {
    "another audience": (lambda e: e.mint(aud="api://other"), InvalidToken, "another audience"),
    "a list of audiences": (lambda e: e.mint(aud=[CLIENT_ID]), InvalidToken, "another audience"),
    "no audience": (lambda e: e.mint(without=["aud"]), InvalidToken, "claim is missing"),
    "another issuer": (lambda e: e.mint(iss="https://evil.example/"), InvalidToken, "its issuer"),
    "no issuer": (lambda e: e.mint(without=["iss"]), InvalidToken, "claim is missing"),
    "v1 with the v2 issuer": (
        lambda e: e.mint(version=1, iss=f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"),
        InvalidToken,
        "its issuer",
    ),
    "v2 with the v1 issuer": (
        lambda e: e.mint(version=2, iss=f"https://sts.windows.net/{TENANT_ID}/"),
        InvalidToken,
        "its issuer",
    ),
    "v1 that says it is v2": (lambda e: e.mint(version=1, ver="2.0"), InvalidToken, "its issuer"),
    "an unknown version": (lambda e: e.mint(ver="3.0"), InvalidToken, "no accepted tenant"),
    "a version that is a list": (lambda e: e.mint(ver=["2.0"]), InvalidToken, "no accepted tenant"),
    "no version": (lambda e: e.mint(without=["ver"]), InvalidToken, "no accepted tenant"),
    "another tenant": (lambda e: e.mint(tenant=OTHER_TENANT), InvalidToken, "no accepted tenant"),
    "no tenant": (lambda e: e.mint(without=["tid"]), InvalidToken, "no accepted tenant"),
    "expired": (lambda e: e.mint(exp=in_minutes(-1.5)), InvalidToken, "has expired"),
    "no expiry": (lambda e: e.mint(without=["exp"]), InvalidToken, "claim is missing"),
    "an expiry in words": (lambda e: e.mint(exp="tomorrow"), InvalidToken, "malformed"),
    "valid later": (lambda e: e.mint(nbf=in_minutes(2)), InvalidToken, "not valid yet"),
    "no nbf": (lambda e: e.mint(without=["nbf"]), InvalidToken, "claim is missing"),
    "issued later": (lambda e: e.mint(iat=in_minutes(2)), InvalidToken, "not valid yet"),
    "no iat": (lambda e: e.mint(without=["iat"]), InvalidToken, "claim is missing"),
    "alg none": (unsigned, InvalidToken, "not signed with RS256"),
    "HS256 with the public key": (signed_with_public_key, InvalidToken, "not signed with RS256"),
    "RS512 in the header": (lambda e: e.mint(header={"alg": "RS512"}), InvalidToken, "not signed with RS256"),
    "the right kid, the wrong key": (lambda e: e.mint(evil=True), InvalidToken, "signature is wrong"),
    "claims of another token": (with_claims_of_another, InvalidToken, "signature is wrong"),
    "an unknown kid": (lambda e: e.mint(header={"kid": "unknown"}), InvalidToken, "not published"),
    "a kid that is a list": (lambda e: e.mint(header={"kid": []}), InvalidToken, "a named key"),
    "x5t alone": (
        lambda e: sign({"alg": "RS256", "x5t": e.keys[-1].kid}, decoded(e.mint())[1], e.keys[-1]),
        InvalidToken,
        "a named key",
    ),
    "a critical extension": (lambda e: e.mint(header={"crit": ["exp"], "exp": 1}), InvalidToken, "is malformed"),
    "garbage": (lambda _: "garbage", InvalidToken, "cannot be read"),
    "garbage in three parts": (lambda _: "a.b.c", InvalidToken, "cannot be read"),
    "a header that is no object": (lambda e: beginning_with(e, b"[]"), InvalidToken, "cannot be read"),
    "a header nested too deep": (lambda e: beginning_with(e, b"[" * 9000), InvalidToken, "cannot be read"),
    "a header of half characters": (lambda e: beginning_with(e, b"\xff"), InvalidToken, "cannot be read"),
    "no signature": (lambda e: e.mint().rpartition(".")[0], InvalidToken, "is malformed"),
    "a part too many": (lambda e: f"{e.mint()}.x", InvalidToken, "is malformed"),
    "a character too many": (lambda e: e.mint().replace(".", ".%", 1), InvalidToken, "is malformed|cannot be read"),
    "another caller": (lambda e: e.mint(azp=OTHER_CALLER), Forbidden, "not an allowed caller"),
    "no caller": (lambda e: e.mint(without=["azp"]), Forbidden, "not an allowed caller"),
    "appid in a v2 token": (
        lambda e: e.mint(version=2, without=["azp"], appid=AZURE_MONITOR),
        Forbidden,
        "not an allowed caller",
    ),
    "azp in a v1 token": (
        lambda e: e.mint(version=1, without=["appid"], azp=AZURE_MONITOR),
        Forbidden,
        "not an allowed caller",
    ),
    "no roles": (lambda e: e.mint(without=["roles"]), Forbidden, "lacks the role"),
    "another role": (lambda e: e.mint(roles=["Reader"]), Forbidden, "lacks the role"),
    "a role that contains ours": (lambda e: e.mint(roles=[f"{APP_ROLE}Reader"]), Forbidden, "lacks the role"),
    "scp": (lambda e: e.mint(scp="user_impersonation"), Forbidden, "speaks for a user"),
    "idtyp user": (lambda e: e.mint(idtyp="user"), Forbidden, "speaks for a user"),
}


#: Claims as no issuer spells them, in tokens that are right otherwise. The times in strings would pass as numbers.
NO_NUMBERS: list[object] = [True, None, [1_700_000_000], {}, "", "tomorrow"]
NO_TEXTS: list[object] = [[AZURE_MONITOR], {AZURE_MONITOR: True}, None, 1, True, []]
NO_ROLES: list[object] = [APP_ROLE, {APP_ROLE: True}, [APP_ROLE, 1], [[APP_ROLE]], [APP_ROLE, None], None, True]
MISSPELT: list[tuple[str, object]] = [
    *(("exp", odd) for odd in ["4102444800", float("inf"), *NO_NUMBERS]),
    *((name, odd) for name in ("nbf", "iat") for odd in ["1700000000", *NO_NUMBERS]),
    *((name, odd) for name in ("azp", "appid") for odd in NO_TEXTS),
    *(("roles", odd) for odd in NO_ROLES),
]


def misspelt(entra: Entra, claim: str, odd: object) -> str:
    claims: dict[str, Any] = {claim: odd}
    return entra.mint(**claims)


@pytest.mark.parametrize("role", [APP_ROLE, ""], ids=["with a role", "without a role"])
@pytest.mark.parametrize(("claim", "odd"), MISSPELT, ids=[f"{claim} {odd!r:.20}" for claim, odd in MISSPELT])
def test_a_claim_of_another_type_is_refused_without_detail(entra: Entra, claim: str, odd: object, role: str) -> None:
    # PyJWT itself takes null for a missing claim, and true for the second after the epoch.
    reason = "it is malformed|it has expired|a required claim is missing"

    with pytest.raises(
        InvalidToken, match=rf"refused: ({reason}) \(tenant '[^']+', audience '[^']+', key '[^']+'\)\.$"
    ):
        verifier(entra, required_role=role).verify(bearer(misspelt(entra, claim, odd)))


@pytest.mark.parametrize("claim", ["iss", "tid", "aud"])
@pytest.mark.parametrize("odd", [None, True, 1, 1.5, {}, [], [1], [[]]], ids=repr)
def test_an_issuer_a_tenant_and_an_audience_are_texts(entra: Entra, claim: str, odd: object) -> None:
    with pytest.raises(InvalidToken):
        verifier(entra).verify(bearer(misspelt(entra, claim, odd)))


def test_times_may_have_fractions(entra: Entra) -> None:
    assert verifier(entra).verify(bearer(entra.mint(exp=time.time() + 60.5)))


@pytest.mark.parametrize("mint", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_genuine_token_is_accepted(entra: Entra, mint: Callable[[Entra], str]) -> None:
    token = mint(entra)

    claims = verifier(entra).verify(bearer(token))

    assert claims == decoded(token)[1]


@pytest.mark.parametrize(("mint", "error", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_token_with_one_flaw_is_refused(
    entra: Entra, mint: Callable[[Entra], str], error: type[BridgeError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        verifier(entra).verify(bearer(mint(entra)))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", " Bearer\t"])
def test_the_scheme_is_read_without_regard_to_case_and_spaces(entra: Entra, scheme: str) -> None:
    assert verifier(entra).verify(f"{scheme}{entra.mint()}")["azp"] == AZURE_MONITOR


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "   ",
        "Bearer",
        "Bearer ",
        "{token}",
        "Basic {token}",
        "Bearer {token} {token}",
        "Bearer {token}, Bearer {token}",
        "Bearer {token},{token}",
        "Bearer \udc80{token}",
        "Bearer é",
    ],
)
def test_a_header_that_is_not_one_bearer_token_is_refused(entra: Entra, header: str | None) -> None:
    with pytest.raises(InvalidToken):
        verifier(entra).verify(header and header.replace("{token}", entra.mint()))


def test_a_header_over_16_kib_is_refused_unread(own_entra: Entra) -> None:
    with pytest.raises(InvalidToken, match="has 16385 characters"):
        verifier(own_entra).verify(bearer(own_entra.mint()).ljust(16 * 1024 + 1))

    assert own_entra.fetches == {}


def test_without_a_required_role_roles_do_not_matter(entra: Entra) -> None:
    lenient = verifier(entra, required_role="")

    assert lenient.verify(bearer(entra.mint(without=["roles"])))
    assert lenient.verify(bearer(entra.mint(roles=["nonsense"])))
    with pytest.raises(Forbidden):
        lenient.verify(bearer(entra.mint(azp=OTHER_CALLER)))


def test_several_tenants_each_need_their_own_issuer() -> None:
    with Entra(tenants=[TENANT_ID, OTHER_TENANT]) as entra:
        both = verifier(entra, tenants=[TENANT_ID.upper(), OTHER_TENANT])
        # Ids are compared without regard to case, but are asked for as they are configured.
        entra.tenants = (TENANT_ID.upper(), *entra.tenants)

        assert both.verify(bearer(entra.mint(tenant=OTHER_TENANT)))["tid"] == OTHER_TENANT
        assert both.verify(bearer(entra.mint(tenant=TENANT_ID.upper())))["tid"] == TENANT_ID.upper()
        with pytest.raises(InvalidToken, match="its issuer"):
            both.verify(bearer(entra.mint(tenant=OTHER_TENANT, tid=TENANT_ID.upper())))


def test_each_configured_audience_and_no_other_is_accepted(entra: Entra) -> None:
    only_uri = verifier(entra, audiences=["api://first", IDENTIFIER_URI])

    assert only_uri.verify(bearer(entra.mint(version=1)))["aud"] == IDENTIFIER_URI
    assert only_uri.verify(bearer(entra.mint(version=1, aud="api://first")))["aud"] == "api://first"
    with pytest.raises(InvalidToken, match=f"audience '{CLIENT_ID}'"):
        only_uri.verify(bearer(entra.mint(version=2)))


@pytest.mark.parametrize("empty", ["tenants", "audiences", "allowed_callers"])
def test_an_empty_list_lets_nobody_in(entra: Entra, empty: str) -> None:
    nobody: dict[str, Any] = {empty: []}

    with pytest.raises((InvalidToken, Forbidden)):
        verifier(entra, **nobody).verify(bearer(entra.mint()))


def test_a_refused_caller_is_named_for_the_log(entra: Entra) -> None:
    with pytest.raises(Forbidden) as refusal:
        verifier(entra).verify(bearer(entra.mint(azp=OTHER_CALLER, roles=["Reader", "Writer"])))

    assert str(refusal.value) == (
        "The caller may not call: the application is not an allowed caller"
        f" (application '{OTHER_CALLER}', roles ['Reader', 'Writer'], tenant '{TENANT_ID}')."
    )


def test_what_is_named_for_the_log_is_short_and_printable(entra: Entra) -> None:
    hostile = "x\n\r\x1b[31m\u202e\ud800é" * 50
    tokens = {
        "application 'x": entra.mint(azp=hostile),
        "roles ['x": entra.mint(roles=[hostile] * 3),
        "roles []": entra.mint(roles=[]),
        "roles none": entra.mint(without=["roles"]),
        "malformed": entra.mint(roles={hostile: hostile}),
        "audience 'x": entra.mint(aud=hostile),
        "tenant 'x": entra.mint(tid=hostile),
        "key 'x": entra.mint(header={"kid": hostile}),
    }

    for named, token in tokens.items():
        with pytest.raises((InvalidToken, Forbidden)) as refusal:
            verifier(entra).verify(bearer(token))
        message = str(refusal.value)
        assert named in message
        assert message.isascii()
        assert message.isprintable()
        assert len(message) < 400


def test_tokens_that_fit_no_key_ring_cost_no_request(own_entra: Entra) -> None:
    untouched = verifier(own_entra)
    tokens = [
        own_entra.mint(tenant=OTHER_TENANT),
        own_entra.mint(ver="9"),
        own_entra.mint(header={"alg": "HS256"}),
        unsigned(own_entra),
        "garbage",
    ]

    for token in tokens:
        with pytest.raises(InvalidToken):
            untouched.verify(bearer(token))

    assert own_entra.fetches == {}


def test_each_version_is_fetched_once_and_only_when_needed(own_entra: Entra) -> None:
    lazy = verifier(own_entra)

    for _ in range(5):
        lazy.verify(bearer(own_entra.mint(version=2)))

    assert own_entra.fetches == {METADATA_V2: 1, KEYS_V2: 1}
    lazy.verify(bearer(own_entra.mint(version=1)))
    assert own_entra.fetches == {METADATA_V2: 1, KEYS_V2: 1, METADATA_V1: 1, KEYS_V1: 1}


def test_concurrent_first_tokens_share_one_fetch(own_entra: Entra) -> None:
    cold, header = verifier(own_entra), bearer(own_entra.mint())
    own_entra.delay = 0.1

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(cold.verify, [header] * 20))

    assert len(answers) == 20
    assert own_entra.fetches == {METADATA_V2: 1, KEYS_V2: 1}


def test_fifty_unknown_kids_cause_two_fetches_in_ten_seconds(own_entra: Entra) -> None:
    clock = Clock()
    flooded = verifier(own_entra, clock=clock)

    def flood() -> None:
        for number in range(50):
            with pytest.raises(InvalidToken, match="not published"):
                flooded.verify(bearer(own_entra.mint(header={"kid": f"unknown {number}"})))

    flood()
    assert own_entra.fetches[KEYS_V2] == 2
    clock.seconds += 9.9
    flood()
    assert own_entra.fetches[KEYS_V2] == 2
    clock.seconds += 0.1
    flood()
    assert own_entra.fetches[KEYS_V2] == 4
    assert flooded.verify(bearer(own_entra.mint()))


def test_a_rotated_key_is_accepted_at_its_first_token(own_entra: Entra) -> None:
    rotated = verifier(own_entra)
    old = own_entra.mint()
    rotated.verify(bearer(old))

    own_entra.rotate_keys()

    assert rotated.verify(bearer(own_entra.mint()))
    assert rotated.verify(bearer(old))


def test_a_withdrawn_key_is_refused_after_the_next_fetch(own_entra: Entra) -> None:
    rotated = verifier(own_entra)
    old = own_entra.mint()
    rotated.verify(bearer(old))

    own_entra.rotate_keys(keep=False)

    assert rotated.verify(bearer(own_entra.mint()))
    with pytest.raises(InvalidToken, match="not published"):
        rotated.verify(bearer(old))


def test_after_an_hour_keys_are_fetched_again_without_waiting(own_entra: Entra) -> None:
    clock = Clock()
    aged, header = verifier(own_entra, clock=clock), bearer(own_entra.mint())
    aged.verify(header)
    clock.seconds += 3599
    aged.verify(header)
    assert own_entra.fetches[METADATA_V2] == 1

    clock.seconds += 1
    own_entra.delay = 60
    aged.verify(header)

    until(lambda: own_entra.fetches[METADATA_V2] == 2)


def test_known_keys_are_trusted_for_a_day_while_entra_is_down(own_entra: Entra) -> None:
    clock = Clock()
    aged, header = verifier(own_entra, clock=clock), bearer(own_entra.mint())
    aged.verify(header)
    own_entra.stop()

    clock.seconds += 24 * 3600 - 1
    assert aged.verify(header)
    with pytest.raises(Unavailable):
        aged.verify(bearer(own_entra.mint(header={"kid": "unknown"})))
    clock.seconds += 1
    with pytest.raises(Unavailable):
        aged.verify(header)


def test_an_unreachable_entra_is_temporary_and_is_tried_again(own_entra: Entra) -> None:
    clock = Clock()
    down, header = verifier(own_entra, clock=clock), bearer(own_entra.mint())
    own_entra.stop()

    for _ in range(10):
        with pytest.raises(Unavailable, match="the request failed with ConnectionError") as failure:
            down.verify(header)
    assert failure.value.retry_after == timedelta(seconds=5)

    own_entra.start()
    clock.seconds += 10
    assert down.verify(header)


def test_a_slow_entra_costs_three_seconds_once_and_no_one_who_has_a_key(own_entra: Entra) -> None:
    slow = verifier(own_entra)
    genuine, unknown = bearer(own_entra.mint()), bearer(own_entra.mint(header={"kid": "unknown"}))
    cold = bearer(own_entra.mint(version=1))
    slow.verify(genuine)
    own_entra.delay = 60

    def seconds_until_unavailable(header: str) -> float:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="no answer yet"):
            slow.verify(header)
        return time.monotonic() - started

    with ThreadPoolExecutor(8) as pool:
        waits = [pool.submit(seconds_until_unavailable, header) for header in [unknown, cold] * 4]
        until(lambda: own_entra.fetches[METADATA_V1] == 1 and own_entra.fetches[METADATA_V2] == 2)
        for _ in range(20):
            slow.verify(genuine)
        assert not any(wait.done() for wait in waits)
        assert all(2.5 < wait.result() < 3.5 for wait in waits)

    assert seconds_until_unavailable(cold) < 0.5


def test_an_answer_that_came_too_late_serves_the_next_token(own_entra: Entra) -> None:
    clock = Clock()
    late, header = verifier(own_entra, clock=clock), bearer(own_entra.mint())
    own_entra.delay = 60

    with ThreadPoolExecutor(1) as pool:
        pool.submit(late.verify, header)
        until(lambda: own_entra.fetches[METADATA_V2] == 1)
        clock.seconds += 3
        with pytest.raises(Unavailable, match="no answer yet"):
            late.verify(header)
        own_entra.delay = 0

    until(lambda: is_accepted(late, header))
    assert own_entra.fetches == {METADATA_V2: 1, KEYS_V2: 1}


def test_a_fetch_that_never_ends_is_given_up(own_entra: Entra) -> None:
    clock = Clock()
    stuck, header = verifier(own_entra, clock=clock), bearer(own_entra.mint())
    own_entra.replaced[METADATA_V2] = (500, {}, b"")
    own_entra.delay = 60

    with ThreadPoolExecutor(2) as pool:
        pool.submit(stuck.verify, header)
        until(lambda: own_entra.fetches[METADATA_V2] == 1)
        clock.seconds += 10
        pool.submit(stuck.verify, header)
        until(lambda: own_entra.fetches[METADATA_V2] == 2)
        own_entra.delay = 0


def test_warming_fetches_everything_once(own_entra: Entra) -> None:
    clock = Clock()
    warm = verifier(own_entra, clock=clock)

    warm.warm()
    warm.warm()

    everything = {METADATA_V1: 1, KEYS_V1: 1, METADATA_V2: 1, KEYS_V2: 1}
    assert own_entra.fetches == everything
    warm.verify(bearer(own_entra.mint(version=1)))
    warm.verify(bearer(own_entra.mint(version=2)))
    assert own_entra.fetches == everything
    clock.seconds += 3600
    warm.warm()
    assert own_entra.fetches == dict.fromkeys(everything, 2)


def test_warming_tells_that_entra_is_down(own_entra: Entra) -> None:
    own_entra.stop()

    with pytest.raises(Unavailable, match="openid-configuration"):
        verifier(own_entra).warm()


def metadata(**changes: object) -> bytes:
    good = {
        "issuer": f"https://login.microsoftonline.com/{TENANT_ID}/v2.0",
        "jwks_uri": "http://127.0.0.1:1/keys",
    }
    return json.dumps(good | changes).encode()


@pytest.mark.parametrize(
    ("path", "status", "body", "reason"),
    [
        (METADATA_V2, 500, b"{}", "status 500"),
        (METADATA_V2, 200, b"<html>Please log in", "not JSON"),
        (METADATA_V2, 200, b"\xff\xfe\xff", "not JSON"),
        (METADATA_V2, 200, b"[" * 100_000, "not JSON"),
        (METADATA_V2, 200, b"[]", "not a JSON object"),
        (METADATA_V2, 200, b"{}", "no issuer of the tenant"),
        (METADATA_V2, 200, metadata(issuer="https://login.microsoftonline.com/{tenantid}/v2.0"), "no issuer"),
        (METADATA_V2, 200, metadata(issuer=f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"), "no issuer"),
        (METADATA_V2, 200, metadata(issuer=f"https://evil.example/?{TENANT_ID}"), "no issuer"),
        (METADATA_V2, 200, metadata(jwks_uri="http://login.microsoftonline.com/keys"), "neither https nor loopback"),
        (METADATA_V2, 200, metadata(jwks_uri="http://127.0.0.1:1@evil.example/keys"), "neither https nor loopback"),
        (METADATA_V2, 200, metadata(jwks_uri="file:///etc/keys"), "neither https nor loopback"),
        (METADATA_V2, 200, metadata(jwks_uri="http://[::1/keys"), "neither https nor loopback"),
        (METADATA_V2, 200, metadata(jwks_uri=None), "neither https nor loopback"),
        (METADATA_V2, 200, metadata(jwks_uri="https://[/"), "the request failed|neither"),
        (KEYS_V2, 404, b"", "status 404"),
        (KEYS_V2, 200, b'{"keys": []}', "no usable signing key"),
        (KEYS_V2, 200, b'{"keys": "none"}', "no usable signing key"),
        (KEYS_V2, 200, b'{"keys": [1, {}, {"kid": []}, {"kid": "a", "kty": "RSA"}]}', "no usable signing key"),
        (KEYS_V2, 200, b'{"keys": [{"kid": "a", "kty": "oct", "k": "c2VjcmV0"}]}', "no usable signing key"),
    ],
)
def test_metadata_that_cannot_be_trusted_are_a_temporary_failure(
    own_entra: Entra, path: str, status: int, body: bytes, reason: str
) -> None:
    own_entra.replaced[path] = (status, {}, body)

    with pytest.raises(Unavailable, match=reason):
        verifier(own_entra).verify(bearer(own_entra.mint()))


def test_a_redirect_is_not_followed(own_entra: Entra) -> None:
    own_entra.replaced[METADATA_V2] = (302, {"Location": f"{own_entra.authority}{METADATA_V1}"}, b"")

    with pytest.raises(Unavailable, match="status 302"):
        verifier(own_entra).verify(bearer(own_entra.mint()))

    assert own_entra.fetches == {METADATA_V2: 1}


def test_a_short_key_proves_nothing_even_if_it_is_published() -> None:
    short = SigningKey(kid="short", private_key=rsa.generate_private_key(public_exponent=65537, key_size=1024))

    with Entra(keys=[short]) as entra, pytest.raises(InvalidToken, match="malformed"):
        verifier(entra).verify(bearer(entra.mint()))


def test_a_plain_http_authority_elsewhere_is_never_asked(entra: Entra) -> None:
    insecure = TokenVerifier(
        tenants=[TENANT_ID],
        audiences=[CLIENT_ID],
        allowed_callers=[AZURE_MONITOR],
        required_role="",
        authority="http://login.microsoftonline.com",
    )

    with pytest.raises(Unavailable, match="neither https nor loopback"):
        insecure.verify(bearer(entra.mint()))


@pytest.mark.parametrize(
    ("change", "is_ours"),
    [
        ({"issuer": f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"}, True),
        ({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, True),
        ({"use": None}, True),
        ({"alg": "RS256"}, True),
        ({"alg": "RS512"}, False),
        ({"alg": []}, False),
        ({"issuer": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"}, False),
        ({"issuer": 1}, False),
        ({"use": "enc"}, False),
    ],
)
def test_a_key_serves_only_its_purpose_and_its_issuer(
    own_entra: Entra, change: dict[str, object], is_ours: bool
) -> None:
    signing, other = own_entra.keys[-1].jwk | change, own_entra.evil_key.jwk
    own_entra.replaced[KEYS_V2] = (200, {}, json.dumps({"keys": [other, signing]}).encode())
    header = bearer(own_entra.mint())

    if is_ours:
        assert verifier(own_entra).verify(header)
    else:
        with pytest.raises(InvalidToken, match="not published"):
            verifier(own_entra).verify(header)


def test_nothing_but_the_valid_token_survives_mutation(entra: Entra) -> None:
    """Bytes of a valid token are changed: whatever is accepted must say the same."""
    rng = random.Random(461)
    strict, valid = verifier(entra), entra.mint()
    outcomes = {"accepted": 0, "refused": 0}

    for _ in range(1500):
        token = mutated(valid, rng)
        try:
            claims = strict.verify(bearer(token))
        except InvalidToken:
            outcomes["refused"] += 1
        else:
            outcomes["accepted"] += 1
            assert claims == decoded(valid)[1]

    assert outcomes["refused"] > 1400


def test_nothing_odd_survives_even_with_a_genuine_signature(entra: Entra) -> None:
    """Claims and headers are replaced by odd values, correctly signed: what is accepted obeys the rules."""
    rng = random.Random(5575)
    strict, (header, claims) = verifier(entra), decoded(entra.mint())
    odd: list[object] = [
        None,
        True,
        0,
        -1,
        1e300,
        float("inf"),
        float("nan"),
        10**400,
        "",
        "é",
        "\ud800",
        "app",
        [],
        [[]],
        {},
    ]
    odd += [CLIENT_ID, [CLIENT_ID], TENANT_ID, AZURE_MONITOR, APP_ROLE, [APP_ROLE, 1], "1.0", "2.0"]
    names = [*claims, "appid", "scp", "idtyp", "jti"]

    for _ in range(600):
        changed = claims | {rng.choice(names): rng.choice(odd) for _ in range(rng.randint(1, 2))}
        extra = {rng.choice(["alg", "kid", "typ", "b64", "crit", "jku"]): rng.choice(odd)} if rng.random() < 0.2 else {}
        token = sign(header | extra, changed, entra.keys[-1])
        try:
            accepted = strict.verify(bearer(token))
        except (InvalidToken, Forbidden):
            continue
        assert accepted["aud"] in (CLIENT_ID, IDENTIFIER_URI)
        assert {name: accepted[name] for name in ("iss", "tid", "ver")} == {
            name: claims[name] for name in ("iss", "tid", "ver")
        }
        assert accepted["azp"] == AZURE_MONITOR
        assert isinstance(accepted["roles"], list)
        assert APP_ROLE in accepted["roles"]
        assert "scp" not in accepted
        assert accepted.get("idtyp", "app") == "app"
        assert float(str(accepted["exp"])) > time.time() - 60


def mutated(token: str, rng: random.Random) -> str:
    parts = token.split(".")
    match rng.randrange(6):
        case 0:
            position = rng.randrange(len(token))
            return token[:position] + rng.choice("aZ09-_.=+/ \x00é") + token[position + 1 :]
        case 1:
            return token[: rng.randrange(len(token))]
        case 2:
            position = rng.randrange(len(token))
            return token[:position] + chr(rng.randrange(256)) + token[position:]
        case 3:
            return ".".join(rng.sample(parts, rng.randint(1, 3)))
        case 4:
            part = rng.randrange(3)
            parts[part] = base64url(rng.randbytes(rng.randrange(300)))
            return ".".join(parts)
        case _:
            part = rng.randrange(2)
            names = list(decoded(token)[part])
            changed = decoded(token)[part] | {rng.choice(names): rng.choice(["", "none", 0, None, [], {}])}
            parts[part] = base64url(json.dumps(changed).encode())
            return ".".join(parts)


def test_no_error_holds_the_token(entra: Entra, own_entra: Entra) -> None:
    """Neither its message, nor its representation, nor what a logged traceback shows of it and its causes."""
    broken = "Bearer " + base64url(b"\xff\xfeheader with secret") + "." + base64url(b"claims") + ".c2ln"
    down = verifier(own_entra)
    own_entra.stop()
    principal = decoded(entra.mint())[1]["oid"]
    attempts = [(verifier(entra), bearer(mint(entra))) for mint, _, _ in REFUSED.values()]
    attempts += [(verifier(entra), broken), (down, bearer(entra.mint()))]

    for refusing, header in attempts:
        with pytest.raises(BridgeError) as refusal:
            refusing.verify(header)
        shown = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value)
        parts = header.removeprefix("Bearer ").split(".")
        assert not any(part[:16] in shown for part in parts if len(part) > 3)
        assert principal not in shown


def is_accepted(by: TokenVerifier, header: str) -> bool:
    try:
        by.verify(header)
    except Unavailable:
        return False
    return True


def until(is_so: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
