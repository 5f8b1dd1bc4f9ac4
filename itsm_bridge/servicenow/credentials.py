"""How do we prove to ServiceNow who we are?

`app` makes the credentials from the settings, and `table_api` asks them for the header of each request. Whether a
request was refused is judged in `verdicts`.

OAuth if there is a client id (password grant if there is also a user, else client credentials),
else an API key, else basic authentication. Each comes down to one header.

1. A token is fetched when it is needed, kept until shortly before it ends, and renewed by one thread at a time;
   while it is being renewed and still valid, the other threads go on using it.
2. A token that ServiceNow refused is forgotten, unless another one has taken its place meanwhile.
3. Every answer of the token endpoint without a token is temporary, because secrets get renewed, and the endpoint has
   the same 401 for every cause.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-platform-security/page/administer/security/concept/c_OAuthApplications.html
"""

import base64
import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidSettings, Unavailable
from itsm_bridge.servicenow.advice import AWAY, HIBERNATES, LIMITED, REFUSES_ADDRESS, Advice, refused_sign_in
from itsm_bridge.servicenow.gate import Gate, Gated
from itsm_bridge.servicenow.verdicts import is_hibernating, parsed, retry_after
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.transport import NoAnswer, Received
from itsm_bridge.troubles import Trouble, Troubles

log = logging.getLogger(__name__)

# Seconds, as `time.monotonic` counts them.
#: How long before its end a token is renewed; one of a short life at half of it.
_RENEWED_EARLY = 60.0
#: How long a token lives that does not say so.
_SHORT_LIFE = 60.0
#: How long a token that is still valid is used on before its renewal is tried again.
_RENEWAL_PAUSE = 10.0

#: The tokens that a header can carry.
_TOKEN = re.compile(r"[\x21-\x7e]+")

_CLIENT = "SERVICENOW_CLIENT_ID, SERVICENOW_CLIENT_SECRET"
_USER = "SERVICENOW_USERNAME, SERVICENOW_PASSWORD"

_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class NoToken(Unavailable):
    """The token endpoint gave none, for now."""

    def __init__(self, message: str, *, advice: Advice, retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        #: What it means for people.
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Header:
    """A header that stays the same: an API key, or a user name and password."""

    name: str
    value: str = field(repr=False)
    #: How we sign in, and by which settings, for people.
    way: str = "a fixed header"

    def headers(self, deadline: Deadline) -> Mapping[str, str]:  # noqa: ARG002 - a token is waited for, this is not
        """Return the header that each request carries."""
        return {self.name: self.value}

    def forget(self, refused: Mapping[str, str]) -> bool:  # noqa: ARG002 - there is nothing else to try
        """Return False, because a header that was refused once is refused again."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    header: str = field(repr=False)
    renewed_at: float
    ends_at: float


class OAuth:
    """Access tokens of one instance; safe to share between threads."""

    def __init__(
        self,
        token_url: str,
        form: Mapping[str, str],
        *,
        way: str = "OAuth",
        troubles: Troubles | None = None,
        gate: Gate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember where tokens come from; nothing is sent yet.

        Args:
            token_url: The token endpoint.
            form: The fields that are posted there.
            way: The grant and its settings, for people.
            troubles: Where a sign-in that is refused is counted.
            gate: What each request passes.
            clock: Seconds from any origin, for the life of tokens.
        """
        #: How we sign in, and by which settings, for people.
        self.way = way
        self._troubles = troubles or Troubles()
        self._token_url = token_url
        self._body = urlencode(form).encode()
        self._clock = clock
        self._transport = Gated(gate)
        self._renewing = threading.Lock()
        self._token: _Token | None = None

    def __repr__(self) -> str:
        """Name no secret."""
        return f"OAuth({self._token_url})"

    def headers(self, deadline: Deadline) -> Mapping[str, str]:
        """Return the header that each request carries, fetching a token if there is none that is good for a while.

        Raises:
            Unavailable: there is no token, and none was to be had.
        """
        token = self._token
        if token is None or token.renewed_at <= self._clock():
            token = self._renewed(deadline)
        return {"Authorization": token.header}

    def forget(self, refused: Mapping[str, str]) -> bool:
        """Drop the token that was refused, if it is still the one in use; return True, because another one may do."""
        token = self._token
        if token is not None and token.header == refused["Authorization"]:
            # If another thread replaces it at this very moment, one token more is fetched, and that is all.
            self._token = None
        return True

    def _renewed(self, deadline: Deadline) -> _Token:
        usable = self._usable()
        patience = 0.0 if usable else deadline.left.total_seconds()
        if not self._renewing.acquire(timeout=patience):
            if usable:
                return usable
            raise Unavailable("ServiceNow: no token in time")
        try:
            token = self._token
            if token is None or token.renewed_at <= self._clock():
                token = self._token = self._fetched_or(self._usable(), deadline)
            return token
        finally:
            self._renewing.release()

    def _usable(self) -> _Token | None:
        token = self._token
        return token if token is not None and self._clock() < token.ends_at else None

    def _fetched_or(self, usable: _Token | None, deadline: Deadline) -> _Token:
        """Return a new token, or else the one that is still valid, which must leave time to be used."""
        try:
            return self._fetch(deadline.within(deadline.left / 2) if usable else deadline)
        except Unavailable:
            if usable is None:
                raise
            return replace(usable, renewed_at=self._clock() + _RENEWAL_PAUSE)

    def _fetch(self, deadline: Deadline) -> _Token:
        try:
            received = self._transport.exchange(
                "POST",
                self._token_url,
                headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
                body=self._body,
                deadline=deadline,
            )
        except NoAnswer as error:
            self._troubles.count(Trouble.AWAY, str(error))
            raise NoToken(f"ServiceNow gave no token: {error}", advice=AWAY) from error
        return self._token_of(received)

    def _token_of(self, received: Received) -> _Token:
        content = parsed(received.body) if received.status == HTTPStatus.OK else None
        access_token = content.get("access_token") if isinstance(content, dict) else None
        if not (isinstance(access_token, str) and _TOKEN.fullmatch(access_token)):
            raise self._no_token(received)
        lifetime = _lifetime(content.get("expires_in") if isinstance(content, dict) else None)
        now = self._clock()
        return _Token(
            header=f"Bearer {access_token}",
            renewed_at=now + lifetime - min(_RENEWED_EARLY, lifetime / 2),
            ends_at=now + lifetime,
        )

    def _no_token(self, received: Received) -> Unavailable:
        """Count and log why there is no token; return it as the error to raise."""
        headers = {name.lower(): value for name, value in received.headers.items()}
        # An edge or a firewall that refuses every caller says nothing of our credentials.
        is_from_node = "x-transaction-id" in headers or received.status == HTTPStatus.UNAUTHORIZED
        if is_hibernating(headers, received.body):
            advice, why = HIBERNATES, "the instance hibernates"
        elif received.status in _REFUSALS and is_from_node:
            advice, why = refused_sign_in(self.way), f"answer {received.status}"
        elif received.status == HTTPStatus.FORBIDDEN:
            advice, why = REFUSES_ADDRESS, "answer 403, not by an application node"
        elif received.status == HTTPStatus.TOO_MANY_REQUESTS:
            advice, why = LIMITED, "answer 429"
        else:
            advice, why = AWAY, f"answer {received.status}"
        told = "" if advice is AWAY else f"; {advice.remedy if advice.meaning in why else advice}"
        error = NoToken(
            f"ServiceNow gave no token: {why}{told}",
            advice=advice,
            retry_after=retry_after(headers, now=datetime.now(UTC)),
        )
        if advice.trouble is not None:
            self._troubles.count(advice.trouble, f"{why}; {advice.meaning}")
        if received.status in _REFUSALS:
            log.error("%s", error)
        return error


Credentials = Header | OAuth


def credentials_of(
    settings: ServiceNowSettings, troubles: Troubles | None = None, *, gate: Gate | None = None
) -> Credentials:
    """Return the best credentials that `settings` allow; a sign-in that is refused is counted in `troubles`.

    Requests for tokens pass `gate`.

    Raises:
        InvalidSettings: the API key cannot be sent.
    """
    if settings.client_id:
        form = {"client_id": settings.client_id, "client_secret": settings.client_secret}
        if settings.username:
            form |= {"grant_type": "password", "username": settings.username, "password": settings.password}
            way = f"OAuth password grant ({_CLIENT}, {_USER})"
        else:
            form |= {"grant_type": "client_credentials"}
            way = f"OAuth client credentials ({_CLIENT})"
        return OAuth(f"{settings.instance_url}/oauth_token.do", form, way=way, troubles=troubles, gate=gate)
    if settings.api_key:
        if not _TOKEN.fullmatch(settings.api_key):
            raise InvalidSettings("SERVICENOW_API_KEY holds characters that no header can")
        return Header("x-sn-apikey", settings.api_key, "API key (SERVICENOW_API_KEY)")
    pair = f"{settings.username}:{settings.password}".encode()
    return Header("Authorization", f"Basic {base64.b64encode(pair).decode()}", f"basic authentication ({_USER})")


def account_of(settings: ServiceNowSettings) -> str:
    """Return who we are at the instance: how we sign in, and as whom. It holds no secret and differs between accounts.

    An API key names nobody, so that a digest stands for its account. `scrypt` makes it useless for finding the key, and
    takes some 50 ms.
    """
    if settings.client_id:
        return f"OAuth {settings.client_id} {settings.username}"
    if settings.api_key:
        salt = settings.instance_url.encode()
        return f"API key {hashlib.scrypt(settings.api_key.encode(), salt=salt, n=2**14, r=8, p=1).hex()}"
    return f"basic {settings.username}"


def _lifetime(expires_in: object) -> float:
    if isinstance(expires_in, str) and re.fullmatch("[0-9]{1,9}", expires_in):
        return float(expires_in)
    if isinstance(expires_in, (int, float)) and 0 <= expires_in < timedelta(days=365).total_seconds():
        return float(expires_in)
    return _SHORT_LIFE
