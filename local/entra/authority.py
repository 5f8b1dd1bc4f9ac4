r"""How does a caller on this machine prove who it is? With real RS256 tokens of this stand-in for Entra ID.

The world, the tests and `local.send` take tokens from it, and the app takes keys. It publishes OpenID metadata and
signing keys for its tenants, in both token versions, and mints the access tokens that Azure Monitor's webhook
application presents. Issuers are the real ones; only the addresses in the metadata point here. It checks no secret
and gives a token to anybody who asks, so it binds loopback alone.

    python -m local.entra --port 8601
    curl -d grant_type=client_credentials -d client_id=461e8683-5575-4561-ac7f-899cc907d62a \
         -d scope=api://<application>/.default http://127.0.0.1:8601/<tenant>/oauth2/v2.0/token

Sources of truth:
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import argparse
import base64
import hashlib
import json
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: The tenant that it serves unless told otherwise, and the application that alerts are sent to.
TENANT_ID = "0f6c3a52-7d41-4b8e-9a26-c15e84d2b790"
CLIENT_ID = "5e5b7a0c-1b1a-4c6e-9d3f-6a2f0c9b8e71"
#: Azure Monitor's webhook application and the app role that it is granted, the same in every tenant of the
#: public cloud: https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups
AZURE_MONITOR = "461e8683-5575-4561-ac7f-899cc907d62a"
APP_ROLE = "ActionGroupsSecureWebhook"

#: Seconds. Entra picks 60 to 90 minutes, and dates a token five minutes back.
_LIFETIME = 75 * 60
_BACKDATED = 5 * 60
#: Seconds between looks at whether to stop.
_POLL = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """An RSA key and the `kid` under which it is published."""

    kid: str
    private_key: rsa.RSAPrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Return a new key of 2048 bits, as Entra's are; its `kid` is a thumbprint, as Entra's is."""
        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        thumbprint = hashlib.sha1(der, usedforsecurity=False).digest()
        return cls(kid=base64url(thumbprint), private_key=private_key)

    @property
    def jwk(self) -> dict[str, str]:
        """Return the public half as both key documents list it."""
        numbers = self.private_key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": base64url(numbers.n.to_bytes(256)),
            "e": base64url(numbers.e.to_bytes(3)),
        }


def base64url(content: bytes) -> str:
    """Return `content` as the parts of a token are written: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def sign(header: Mapping[str, object], claims: Mapping[str, object], key: SigningKey) -> str:
    """Return the token with exactly this header and these claims, signed RS256 whatever the header says."""
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = key.private_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64url(signature)}"


class Entra:
    """The stand-in, serving while its `with` block lasts or between `start` and `stop`."""

    def __init__(
        self,
        *,
        tenants: Sequence[str] = (TENANT_ID,),
        client_id: str = CLIENT_ID,
        version: int = 2,
        keys: Sequence[SigningKey] = (),
        port: int = 0,
    ) -> None:
        self.tenants = tuple(tenants)
        #: The application that tokens are for; callers name it by its URI, version 2 tokens by its id.
        self.client_id = client_id
        self.identifier_uri = f"api://{client_id}"
        #: The token version that the application's manifest asks for (`requestedAccessTokenVersion`), 1 or 2.
        self.version = version
        #: App roles by the application id that they are granted to.
        self.granted_roles = {AZURE_MONITOR: [APP_ROLE]}
        #: The published keys; the last one signs.
        self.keys = [*keys] or [SigningKey.generate()]
        #: How often each path was asked for, requests that still wait for their answer included.
        self.fetches: Counter[str] = Counter()
        #: Status, headers and body that replace the answer to a path, as a broken proxy may replace it.
        self.replaced: dict[str, tuple[int, Mapping[str, str], bytes]] = {}
        #: Seconds that each answer waits; a change also concerns the answers that are waiting.
        self.delay = 0.0
        self._port = port
        self._server: _Server | None = None
        self._count_lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def authority(self) -> str:
        """Return the URL that stands for https://login.microsoftonline.com."""
        return f"http://127.0.0.1:{self._port}"

    @cached_property
    def evil_key(self) -> SigningKey:
        """A key that is never published."""
        return SigningKey.generate()

    def start(self) -> None:
        """Serve; after a `stop`, at the same address as before."""
        self._server = _Server(self, self._port)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port; answers that still wait are never given. Idempotent."""
        if self._server is not None:
            self._server.is_stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def rotate_keys(self, *, keep: bool = True) -> None:
        """Sign with a new key from now on; the old ones stay published unless `keep` is false."""
        self.keys = [*(self.keys if keep else ()), SigningKey.generate()]

    def mint(
        self,
        *,
        version: int | None = None,
        tenant: str | None = None,
        caller: str = AZURE_MONITOR,
        without: Iterable[str] = (),
        header: Mapping[str, object] | None = None,
        evil: bool = False,
        **claims: object,
    ) -> str:
        """Return an access token of `version` for `caller`, as Entra would issue it to an application.

        Keywords replace or add claims, `without` removes them, `header` replaces or adds header parameters.
        An `evil` token names the real signing key and is signed by another.
        """
        key = self.keys[-1]
        version = version or self.version
        genuine = self._claims(version, tenant or self.tenants[0], caller)
        names = {"typ": "JWT", "alg": "RS256", "kid": key.kid} | ({"x5t": key.kid} if version == 1 else {})
        return sign(
            names | dict(header or {}),
            {name: value for name, value in (genuine | claims).items() if name not in set(without)},
            self.evil_key if evil else key,
        )

    def _claims(self, version: int, tenant: str, caller: str) -> dict[str, object]:
        issuer = _issuer(tenant, version)
        issued = int(time.time()) - _BACKDATED
        # Entra knows an application's service principal by an id of the tenant; any stable one will do.
        principal = _guid(f"{tenant}/{caller}")
        claims: dict[str, object] = {
            "aud": self.identifier_uri if version == 1 else self.client_id,
            "iss": issuer,
            "iat": issued,
            "nbf": issued,
            "exp": issued + _BACKDATED + _LIFETIME,
            "aio": secrets.token_urlsafe(33),
            "oid": principal,
            "rh": f"1.{secrets.token_urlsafe(30)}.",
            "sub": principal,
            "tid": tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": f"{version}.0",
        }
        claims |= {"appid": caller, "appidacr": "2", "idp": issuer} if version == 1 else {"azp": caller, "azpacr": "2"}
        if caller in self.granted_roles:
            claims["roles"] = list(self.granted_roles[caller])
        return claims

    def count(self, path: str) -> None:
        """Note that `path` was asked for."""
        with self._count_lock:
            self.fetches[path] += 1

    def answer_get(self, path: str) -> tuple[HTTPStatus, object]:
        """Return what a GET of `path` is answered with: a status and a JSON document."""
        tenant, _, document = path.removeprefix("/").partition("/")
        if tenant not in self.tenants:
            return _refusal("invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found.")
        match document:
            case ".well-known/openid-configuration":
                return HTTPStatus.OK, self._metadata(tenant, 1)
            case "v2.0/.well-known/openid-configuration":
                return HTTPStatus.OK, self._metadata(tenant, 2)
            # The keys of the first version name no issuer, those of the second do.
            case "discovery/keys":
                return HTTPStatus.OK, {"keys": [key.jwk for key in self.keys]}
            case "discovery/v2.0/keys":
                return HTTPStatus.OK, {"keys": [key.jwk | {"issuer": _issuer(tenant, 2)} for key in self.keys]}
        return HTTPStatus.NOT_FOUND, {"error": "not_found"}

    def answer_post(self, path: str, form: Mapping[str, str]) -> tuple[HTTPStatus, object]:
        """Return what a POST of `form` is answered with: a token by client credentials, whatever the secret."""
        tenant, _, endpoint = path.removeprefix("/").partition("/")
        if tenant not in self.tenants:
            return _refusal("invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found.")
        if endpoint not in ("oauth2/token", "oauth2/v2.0/token"):
            return HTTPStatus.NOT_FOUND, {"error": "not_found"}
        if form.get("grant_type") != "client_credentials":
            return _refusal("unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")
        if "client_id" not in form:
            return _refusal("invalid_request", "AADSTS900144: The request body must contain: 'client_id'.")
        resource = form.get("resource", "") or form.get("scope", "").removesuffix("/.default")
        if resource not in (self.identifier_uri, self.client_id):
            return _refusal("invalid_resource", f"AADSTS500011: The resource '{resource}' was not found.")
        # A first version token names the audience as it was asked for.
        audience = resource if self.version == 1 else self.client_id
        token = self.mint(tenant=tenant, caller=form["client_id"], aud=audience)
        return HTTPStatus.OK, {"token_type": "Bearer", "expires_in": _LIFETIME - 1, "access_token": token}

    def _metadata(self, tenant: str, version: int) -> dict[str, object]:
        base = f"{self.authority}/{tenant}"
        keys, endpoints = ("discovery/keys", "oauth2") if version == 1 else ("discovery/v2.0/keys", "oauth2/v2.0")
        return {
            "issuer": _issuer(tenant, version),
            "jwks_uri": f"{base}/{keys}",
            "token_endpoint": f"{base}/{endpoints}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


def _issuer(tenant: str, version: int) -> str:
    if version == 1:
        return f"https://sts.windows.net/{tenant}/"
    return f"https://login.microsoftonline.com/{tenant}/v2.0"


def _guid(seed: str) -> str:
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def _refusal(error: str, description: str) -> tuple[HTTPStatus, object]:
    return HTTPStatus.BAD_REQUEST, {"error": error, "error_description": description}


class _Server(ThreadingHTTPServer):
    """The listening side of one `start`."""

    def __init__(self, entra: Entra, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Endpoint)
        self.entra = entra
        self.is_stopping = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Report what went wrong in a connection, unless the other side just left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # typed narrower than it is called


class _Endpoint(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    #: Seconds after which a connection that says nothing is dropped.
    timeout = 10

    @property
    def _asked_for(self) -> str:
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        self._answer(*self.server.entra.answer_get(self._asked_for))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.server.entra.answer_post(self._asked_for, form))

    def _answer(self, status: int, document: object) -> None:
        entra = self.server.entra
        entra.count(self._asked_for)
        asked_at = time.monotonic()
        while time.monotonic() < asked_at + entra.delay:
            if self.server.is_stopping.wait(_POLL):
                return
        genuine = (status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(document).encode())
        status, headers, body = entra.replaced.get(self._asked_for, genuine)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: requests are counted in `fetches`."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.entra", description="Stand in for Entra ID on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--tenant", action="append", help="tenant id; may be repeated")
    parser.add_argument("--client-id", default=CLIENT_ID, help="application that tokens are for")
    parser.add_argument("--token-version", type=int, choices=(1, 2), default=2, help="of that application's tokens")
    asked = parser.parse_args()
    with Entra(
        tenants=asked.tenant or [TENANT_ID], client_id=asked.client_id, version=asked.token_version, port=asked.port
    ) as entra:
        print(f"Entra stand-in at {entra.authority}; a token:")
        print(
            f"  curl -d grant_type=client_credentials -d client_id={AZURE_MONITOR}"
            f" -d scope={entra.identifier_uri}/.default {entra.authority}/{entra.tenants[0]}/oauth2/v2.0/token",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")
