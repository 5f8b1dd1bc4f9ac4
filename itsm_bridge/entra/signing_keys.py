"""Which keys does Entra ID sign with now?

`token` looks keys up here.

1. Issuers and keys come from the authority's OpenID metadata, never from a token.
2. A look-up never waits longer than `_PATIENCE` for Entra, and not at all while the key that it needs is known.
3. However many tokens arrive, genuine or not, the keys of one tenant and version are fetched by one thread at a
   time and seldom (`_WINDOW`).

Source of truth: https://learn.microsoft.com/entra/identity-platform/signing-key-rollover
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
import requests

from itsm_bridge.errors import Unavailable
from itsm_bridge.settings import is_private

# Seconds, as `time.monotonic` counts them.
#: How long a check waits for keys, from the start of the fetch: the whole answer must come within five seconds.
_PATIENCE = 3.0
#: So many fetches may start within so many seconds, whichever keys the tokens name. Microsoft suggests five minutes
#: between fetches because of unknown keys. But Azure Monitor does not repeat a call that was answered 401: a stranger
#: who sends made-up key ids could hide a new key for five minutes.
_FETCHES_PER_WINDOW = 2
_WINDOW = 10.0
#: From this age on, keys are fetched again in the background.
_FRESH = 3600.0
#: To this age, keys are trusted if Entra cannot be reached. Then a key that was withdrawn has to stop working.
_TRUSTED = 24 * 3600.0
#: For one connection and one read, in the background: longer than a check waits, so that a slow answer
#: still serves the next one.
_TIMEOUT = 5.0

#: How long callers are asked to wait: as long as Azure Monitor waits before it repeats a call for the first time.
_RETRY_AFTER = timedelta(seconds=5)


class Published(NamedTuple):
    """The keys that the authority publishes for one tenant and token version."""

    issuer: str
    #: By `kid`.
    keys: Mapping[str, jwt.PyJWK]
    #: When its fetch started, by the clock of the key ring.
    fetched_at: float


class Fetch:
    """One attempt to learn the published keys; its thread writes it, all callers that wait for it read it."""

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.is_over = threading.Event()
        #: None until it succeeded.
        self.published: Published | None = None
        self.failure = Unavailable("there is no answer yet")


class KeyRing:
    """The published keys of one tenant and token version, kept fresh.

    `jwt.PyJWKClient` is not enough: it fetches under the lock that guards known keys, drops them when their time is
    up and the fetch fails, and while the host hangs, each caller waits in turn for a fetch of its own.
    """

    def __init__(self, tenant: str, metadata_url: str, clock: Callable[[], float]) -> None:
        self._tenant = tenant
        self._metadata_url = metadata_url
        self._clock = clock
        #: The result of the last successful fetch.
        self._published: Published | None = None
        #: The last fetches, oldest first.
        self._fetches: deque[Fetch] = deque(maxlen=_FETCHES_PER_WINDOW)
        self._lock = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether there is nothing to fetch."""
        return self._published is not None and self._age(self._published) < _FRESH

    def look_up(self, kid: str) -> Published:
        """Return the published keys: the known ones if `kid` is among them; else those that the latest fetch found.

        Raises:
            Unavailable: that fetch failed or takes too long.
        """
        known = self._published
        if known is None or kid not in known.keys or self._age(known) >= _TRUSTED:
            return self.wait_for(self.fetch())
        if not self.is_fresh:
            self.fetch()
        return known

    def fetch(self) -> Fetch:
        """Return a new fetch if one is due, else the latest, which may be over."""
        with self._lock:
            if not self._is_due():
                return self._fetches[-1]
            fetch = Fetch(self._clock())
            self._fetches.append(fetch)
        # A daemon, so that a host that hangs does not keep this process from ending.
        threading.Thread(target=self._run, args=(fetch,), daemon=True).start()
        return fetch

    def wait_for(self, fetch: Fetch) -> Published:
        """Return the keys that `fetch` finds.

        Raises:
            Unavailable: it failed or takes too long.
        """
        fetch.is_over.wait(max(0.0, fetch.started_at + _PATIENCE - self._clock()))
        if fetch.published is None:
            # A new error each time: one that many threads raise would gather all their tracebacks.
            raise Unavailable(
                f"Signing keys cannot be read from {self._metadata_url}: {fetch.failure}.", retry_after=_RETRY_AFTER
            ) from fetch.failure
        return fetch.published

    def _is_due(self) -> bool:
        if not self._fetches:
            return True
        oldest, latest, now = self._fetches[0], self._fetches[-1], self._clock()
        is_window_full = len(self._fetches) == _FETCHES_PER_WINDOW and now - oldest.started_at < _WINDOW
        # A fetch that has not ended after so long is given up.
        is_under_way = not latest.is_over.is_set() and now - latest.started_at < _WINDOW
        return not (is_window_full or is_under_way)

    def _run(self, fetch: Fetch) -> None:
        try:
            self._published = fetch.published = read_published(self._tenant, self._metadata_url, fetch.started_at)
        except Unavailable as error:
            fetch.failure = error
        finally:
            fetch.is_over.set()

    def _age(self, published: Published) -> float:
        return self._clock() - published.fetched_at


def read_published(tenant: str, metadata_url: str, now: float) -> Published:
    """Return the keys that the authority publishes now.

    Raises:
        Unavailable: there are none; the message says why.
    """
    metadata = _read_json(metadata_url)
    issuer = metadata.get("issuer")
    # A proxy, or the host of a wrong authority setting, may answer in Entra's place; it must not choose the tenant.
    if not isinstance(issuer, str) or not _names_tenant(issuer, tenant):
        raise Unavailable("the metadata name no issuer of the tenant")
    keys = _read_json(str(metadata.get("jwks_uri"))).get("keys")
    usable = [key for key in keys if _is_usable(key, tenant)] if isinstance(keys, list) else []
    try:
        key_set = jwt.PyJWKSet(usable)
    except jwt.PyJWTError as error:
        raise Unavailable("there is no usable signing key") from error
    return Published(issuer=issuer, keys={str(key.key_id): key for key in key_set.keys}, fetched_at=now)


def _is_usable(key: object, tenant: str) -> bool:
    """Whether a published key signs access tokens of `tenant`; Entra lists keys of other issuers beside its own."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    issuer = key.get("issuer")
    is_ours = issuer is None or (isinstance(issuer, str) and ("{tenantid}" in issuer or _names_tenant(issuer, tenant)))
    is_for_rs256 = key.get("kty") == "RSA" and key.get("use") in ("sig", None) and key.get("alg") in ("RS256", None)
    return is_ours and is_for_rs256


def _names_tenant(issuer: str, tenant: str) -> bool:
    return tenant.casefold() in issuer.casefold().split("/")


def _read_json(url: str) -> Mapping[str, Any]:
    if not _is_trustworthy(url):
        raise Unavailable("the address is neither https nor loopback")
    try:
        # A redirect could lead away from https, and Entra sends none.
        response = requests.get(url, timeout=_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise Unavailable(f"the request failed with {type(error).__name__}") from error
    if response.status_code != HTTPStatus.OK:
        raise Unavailable(f"the answer has status {response.status_code}")
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise Unavailable("the answer is not JSON") from error
    if not isinstance(document, dict):
        raise Unavailable("the answer is not a JSON object")
    return document


def _is_trustworthy(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return is_private(parts.scheme, parts.hostname)
