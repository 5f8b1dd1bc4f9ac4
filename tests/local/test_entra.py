import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
import requests

from local.entra.authority import APP_ROLE, AZURE_MONITOR, CLIENT_ID, TENANT_ID, Entra

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def entra() -> Iterator[Entra]:
    with Entra() as shared:
        yield shared


def get(entra: Entra, path: str) -> Any:
    return requests.get(f"{entra.authority}/{TENANT_ID}/{path}", timeout=5).json()


def verified(entra: Entra, token: str, metadata_path: str, audience: str) -> dict[str, Any]:
    """Verify a token as any relying party would, by the published documents alone."""
    metadata = get(entra, metadata_path)
    keys = jwt.PyJWKSet.from_dict(requests.get(metadata["jwks_uri"], timeout=5).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=metadata["issuer"])


def test_a_version_1_token_is_what_entra_issues_to_azure_monitor(entra: Entra) -> None:
    token = entra.mint(version=1)

    claims = verified(entra, token, ".well-known/openid-configuration", f"api://{CLIENT_ID}")

    assert jwt.get_unverified_header(token) == {
        "typ": "JWT",
        "alg": "RS256",
        "kid": entra.keys[-1].kid,
        "x5t": entra.keys[-1].kid,
    }
    assert claims["iss"] == claims["idp"] == f"https://sts.windows.net/{TENANT_ID}/"
    assert (claims["ver"], claims["tid"], claims["appid"]) == ("1.0", TENANT_ID, AZURE_MONITOR)
    assert claims["roles"] == [APP_ROLE]
    assert not {"azp", "scp", "idtyp"} & set(claims)


def test_a_version_2_token_is_what_entra_issues_to_azure_monitor(entra: Entra) -> None:
    token = entra.mint(version=2)

    claims = verified(entra, token, "v2.0/.well-known/openid-configuration", CLIENT_ID)

    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "RS256", "kid": entra.keys[-1].kid}
    assert claims["iss"] == f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"
    assert (claims["ver"], claims["tid"], claims["azp"]) == ("2.0", TENANT_ID, AZURE_MONITOR)
    assert claims["roles"] == [APP_ROLE]
    assert not {"appid", "scp", "idtyp"} & set(claims)
    assert claims["sub"] == claims["oid"]
    assert GUID.fullmatch(claims["oid"])
    assert 60 * 60 <= claims["exp"] - time.time() <= 90 * 60


def test_keys_are_published_with_what_entra_says_of_them(entra: Entra) -> None:
    (first,) = get(entra, "discovery/keys")["keys"]
    (second,) = get(entra, "discovery/v2.0/keys")["keys"]

    assert set(first) == {"kty", "use", "kid", "x5t", "n", "e"}
    assert second == first | {"issuer": f"https://login.microsoftonline.com/{TENANT_ID}/v2.0"}
    assert (first["kty"], first["use"], first["e"], len(first["n"])) == ("RSA", "sig", "AQAB", 342)


def test_claims_and_header_are_replaced_added_and_removed(entra: Entra) -> None:
    token = entra.mint(header={"kid": "other"}, without=["roles"], aud="api://other", idtyp="app")

    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["kid"] == "other"
    assert (claims["aud"], claims["idtyp"]) == ("api://other", "app")
    assert "roles" not in claims


def test_an_evil_token_names_a_published_key_that_did_not_sign_it(entra: Entra) -> None:
    with pytest.raises(jwt.InvalidSignatureError):
        verified(entra, entra.mint(evil=True), "v2.0/.well-known/openid-configuration", CLIENT_ID)


@pytest.mark.parametrize(("keep", "published"), [(True, 2), (False, 1)])
def test_rotation_publishes_a_new_key_and_signs_with_it(keep: bool, published: int) -> None:
    with Entra() as entra:
        old = jwt.get_unverified_header(entra.mint())["kid"]

        entra.rotate_keys(keep=keep)

        assert jwt.get_unverified_header(entra.mint())["kid"] != old
        assert len(get(entra, "discovery/v2.0/keys")["keys"]) == published
        assert verified(entra, entra.mint(), "v2.0/.well-known/openid-configuration", CLIENT_ID)


@pytest.mark.parametrize(
    ("version", "endpoint", "asked_for", "caller_claim", "audience"),
    [
        (2, "oauth2/v2.0/token", {"scope": f"api://{CLIENT_ID}/.default"}, "azp", CLIENT_ID),
        (1, "oauth2/v2.0/token", {"scope": f"api://{CLIENT_ID}/.default"}, "appid", f"api://{CLIENT_ID}"),
        (1, "oauth2/token", {"resource": CLIENT_ID}, "appid", CLIENT_ID),
    ],
)
def test_client_credentials_give_a_token_of_the_application_s_version(
    version: int, endpoint: str, asked_for: dict[str, str], caller_claim: str, audience: str
) -> None:
    form = {"grant_type": "client_credentials", "client_id": AZURE_MONITOR, "client_secret": "any"} | asked_for

    with Entra(version=version) as entra:
        answer = requests.post(f"{entra.authority}/{TENANT_ID}/{endpoint}", data=form, timeout=5).json()

    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert answer["token_type"] == "Bearer"
    assert (claims[caller_claim], claims["aud"], claims["roles"]) == (AZURE_MONITOR, audience, [APP_ROLE])


def test_an_application_without_the_role_gets_a_token_without_roles(entra: Entra) -> None:
    form = {"grant_type": "client_credentials", "client_id": TENANT_ID, "scope": f"{entra.identifier_uri}/.default"}

    answer = requests.post(f"{entra.authority}/{TENANT_ID}/oauth2/v2.0/token", data=form, timeout=5).json()

    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["azp"] == TENANT_ID
    assert "roles" not in claims


@pytest.mark.parametrize(
    ("path", "form", "status", "error"),
    [
        (f"{CLIENT_ID}/oauth2/v2.0/token", {}, 400, "invalid_tenant"),
        (f"{TENANT_ID}/oauth2/v2.0/authorize", {}, 404, "not_found"),
        (f"{TENANT_ID}/oauth2/v2.0/token", {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (f"{TENANT_ID}/oauth2/v2.0/token", {"grant_type": "client_credentials"}, 400, "invalid_request"),
        (
            f"{TENANT_ID}/oauth2/v2.0/token",
            {"grant_type": "client_credentials", "client_id": AZURE_MONITOR, "scope": "api://other/.default"},
            400,
            "invalid_resource",
        ),
    ],
)
def test_a_token_request_that_makes_no_sense_is_refused(
    entra: Entra, path: str, form: dict[str, str], status: int, error: str
) -> None:
    answer = requests.post(f"{entra.authority}/{path}", data=form, timeout=5)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize(
    ("path", "status"),
    [("", 400), (f"{CLIENT_ID}/v2.0/.well-known/openid-configuration", 400), (f"{TENANT_ID}/other", 404)],
)
def test_what_is_not_there_is_not_published(entra: Entra, path: str, status: int) -> None:
    assert requests.get(f"{entra.authority}/{path}", timeout=5).status_code == status


def test_fetches_are_counted_by_path_without_the_query() -> None:
    with Entra() as entra:
        get(entra, "discovery/keys?appid=1")
        get(entra, "discovery/keys")

        assert entra.fetches == {f"/{TENANT_ID}/discovery/keys": 2}


def test_it_stops_and_starts_again_at_the_same_address(entra: Entra) -> None:
    with Entra(keys=entra.keys) as own:
        authority = own.authority
        own.stop()
        own.stop()
        with pytest.raises(requests.ConnectionError):
            get(own, "discovery/keys")

        own.start()

        assert own.authority == authority
        assert get(own, "discovery/keys") == get(entra, "discovery/keys")


def test_stopping_cuts_a_delayed_answer_off(entra: Entra) -> None:
    with Entra(keys=entra.keys) as own, ThreadPoolExecutor(1) as pool:
        own.delay = 60
        answer = pool.submit(get, own, "discovery/keys")
        deadline = time.monotonic() + 10
        while not own.fetches and time.monotonic() < deadline:
            threading.Event().wait(0.005)

        own.stop()

        with pytest.raises(requests.ConnectionError):
            answer.result()


def test_a_replaced_answer_is_given_as_it_is(entra: Entra) -> None:
    with Entra(keys=entra.keys) as own:
        own.replaced[f"/{TENANT_ID}/discovery/keys"] = (502, {"Retry-After": "5"}, b"<html>")

        answer = requests.get(f"{own.authority}/{TENANT_ID}/discovery/keys", timeout=5)

        assert (answer.status_code, answer.headers["Retry-After"], answer.content) == (502, "5", b"<html>")


def test_run_alone_it_prints_a_command_that_gets_a_token() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "local.entra", "--token-version", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ) as alone:
        try:
            assert alone.stdout
            banner, command = alone.stdout.readline(), alone.stdout.readline().split()
            form = "&".join(command[position + 1] for position, word in enumerate(command) if word == "-d")
            answer = requests.post(
                command[-1], data=form, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=5
            )
        finally:
            alone.terminate()

    assert banner.startswith("Entra stand-in at http://127.0.0.1:")
    assert jwt.decode(answer.json()["access_token"], options={"verify_signature": False})["appid"] == AZURE_MONITOR
