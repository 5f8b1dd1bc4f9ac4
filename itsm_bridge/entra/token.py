"""Who is calling? Azure Monitor, if Entra ID signed an access token that says so for our application.

`webhook` calls `TokenVerifier.verify` before it looks at anything else of a call.

1. Nothing in a token is believed before its signature is checked. Until then it only picks, among the configured
   tenants and the two token versions, whose published keys to try; a token that fits none costs no request.
2. Issuers and keys come from the authority's OpenID metadata, never from the token.
3. Messages go to the log: they name parts of the token, bounded and printable, and never quote it.
   Outsiders get a fixed sentence from the webhook.

Sources of truth:
https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
https://learn.microsoft.com/entra/identity-platform/claims-validation
"""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NewType

import jwt

from itsm_bridge.entra.signing_keys import KeyRing
from itsm_bridge.errors import Forbidden, InvalidToken
from itsm_bridge.troubles import Trouble

#: The claims of a token that passed every check. Only `TokenVerifier.verify` makes them.
VerifiedClaims = NewType("VerifiedClaims", Mapping[str, object])

#: Where the metadata of a tenant is, by the token version (`ver`): each has its own issuer.
METADATA_PATHS = {"1.0": "/.well-known/openid-configuration", "2.0": "/v2.0/.well-known/openid-configuration"}
#: The claim that names the calling application, by the token version.
_CALLER_CLAIMS = {"1.0": "appid", "2.0": "azp"}
#: How claims are spelled in JSON. PyJWT also takes a time in a string and true for a number.
_TIMES = ("exp", "iat", "nbf")
_TEXTS = ("appid", "azp", "iss", "tid")

#: Characters; Entra's tokens for applications have one to two thousand.
_HEADER_LIMIT = 16 * 1024
#: How far our clock and Entra's may differ. Both follow NTP; a minute is little beside the hour that a token lives.
_LEEWAY = timedelta(seconds=60)

#: The reason that the log gives when PyJWT refuses a token, and the kind of trouble. PyJWT's own sentences may quote
#: the token.
_REASONS: Mapping[type[Exception], tuple[str, Trouble]] = {
    jwt.ExpiredSignatureError: ("it has expired", Trouble.EXPIRED),
    jwt.ImmatureSignatureError: ("it is not valid yet", Trouble.EXPIRED),
    jwt.InvalidAlgorithmError: ("it is not signed with RS256", Trouble.SIGNATURE),
    jwt.InvalidAudienceError: ("it is for another audience", Trouble.AUDIENCE),
    jwt.InvalidIssuerError: ("its issuer is not the one of its tenant and version", Trouble.TENANT),
    jwt.InvalidSignatureError: ("its signature is wrong", Trouble.SIGNATURE),
    jwt.MissingRequiredClaimError: ("a required claim is missing", Trouble.TOKEN),
}


class TokenVerifier:
    """The callers that are allowed, and the published keys that prove a token. Safe to share between threads."""

    def __init__(
        self,
        *,
        tenants: Sequence[str],
        audiences: Sequence[str],
        allowed_callers: Sequence[str],
        required_role: str,
        authority: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the allowed callers; nothing is fetched yet.

        Args:
            tenants: Ids of the tenants whose tokens are accepted.
            audiences: Accepted audiences, letter by letter: client ids and application ID URIs.
            allowed_callers: Ids of the applications that may call.
            required_role: The app role that the caller must have been granted; "": none.
            authority: URL of the host that publishes metadata; plain http only to loopback.
            clock: Seconds from any origin, for the age of keys. A token's times are held against real time.
        """
        self._audiences = tuple(audiences)
        self._allowed_callers = frozenset(caller.casefold() for caller in allowed_callers)
        self._required_role = required_role
        self._key_rings = {
            (tenant.casefold(), version): KeyRing(tenant, f"{authority.rstrip('/')}/{tenant}{path}", clock)
            for tenant in tenants
            for version, path in METADATA_PATHS.items()
        }

    def warm(self) -> None:
        """Fetch all keys that are missing or not fresh, side by side; idempotent, and free while all are fresh.

        Raises:
            Unavailable: the keys of a tenant could not be fetched; tokens may pass all the same.
        """
        for ring, fetch in [(ring, ring.fetch()) for ring in self._key_rings.values() if not ring.is_fresh]:
            ring.wait_for(fetch)

    def verify(self, authorization: str | None) -> VerifiedClaims:
        """Return the claims of the access token in an `Authorization` header.

        Raises:
            InvalidToken: there is no token, or a bad one.
            Forbidden: the token is genuine, and its bearer may not call.
            Unavailable: the key that would tell cannot be fetched now.
        """
        token = _bearer_token(authorization)
        header, unverified_claims = _peek(token)
        key_ring = self._key_rings.get(_tenant_and_version(unverified_claims))
        if key_ring is None:
            raise InvalidToken(
                f"The access token is of no accepted tenant ({_received(header, unverified_claims)}).",
                trouble=Trouble.TENANT,
            )
        published = key_ring.look_up(header["kid"])
        key = published.keys.get(header["kid"])
        if key is None:
            raise InvalidToken(
                f"The signing key is not published ({_received(header, unverified_claims)}).",
                trouble=Trouble.SIGNATURE,
            )
        try:
            claims = self._decode(token, key, published.issuer)
        except jwt.PyJWTError as error:
            reason, trouble = _REASONS.get(type(error), ("it is malformed", Trouble.TOKEN))
            raise InvalidToken(
                f"The access token is refused: {reason} ({_received(header, unverified_claims)}).", trouble=trouble
            ) from error
        self._judge(claims)
        return VerifiedClaims(claims)

    def _decode(self, token: str, key: jwt.PyJWK, issuer: str) -> Mapping[str, Any]:
        # Most options are defaults, written out because the verification must not depend on defaults.
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=self._audiences,
            issuer=issuer,
            leeway=_LEEWAY,
            options={
                "require": ["aud", "exp", "iat", "iss", "nbf"],
                "verify_signature": True,
                "verify_aud": True,
                "verify_exp": True,
                "verify_iat": True,
                "verify_iss": True,
                "verify_jti": True,
                "verify_nbf": True,
                "verify_sub": True,
                # It would allow a single audience; lists in the token are refused below.
                "strict_aud": False,
                "enforce_minimum_key_length": True,
            },
        )
        if not _is_well_typed(claims):
            raise jwt.DecodeError("a claim of another type")
        if not isinstance(claims["aud"], str):
            # A token for several applications could be passed on by any of them; Entra issues none.
            raise jwt.InvalidAudienceError("a list of audiences")
        return claims

    def _judge(self, claims: Mapping[str, Any]) -> None:
        # `_decode` let only lists pass as roles: in a string, `in` would find parts of names.
        caller = claims.get(_CALLER_CLAIMS[claims["ver"]])
        roles = claims.get("roles", ())
        if "scp" in claims or claims.get("idtyp", "app") != "app":
            objection, trouble = "the token speaks for a user", Trouble.CALLER
        elif caller is None or caller.casefold() not in self._allowed_callers:
            objection, trouble = "the application is not an allowed caller", Trouble.CALLER
        elif self._required_role and self._required_role not in roles:
            objection, trouble = f"the application lacks the role {_shown(self._required_role)}", Trouble.ROLE
        else:
            return
        raise Forbidden(
            f"The caller may not call: {objection}"
            f" (application {_shown(caller)}, roles {_shown(roles)}, tenant {_shown(claims['tid'])}).",
            trouble=trouble,
        )


def _bearer_token(authorization: str | None) -> str:
    if not authorization:
        raise InvalidToken("There is no Authorization header.", trouble=Trouble.NO_TOKEN)
    if len(authorization) > _HEADER_LIMIT:
        raise InvalidToken(f"The Authorization header has {len(authorization)} characters.", trouble=Trouble.NO_TOKEN)
    match authorization.split():
        case [scheme, token] if scheme.casefold() == "bearer" and token.isascii():
            return token
    raise InvalidToken("The Authorization header is not one bearer token.", trouble=Trouble.NO_TOKEN)


def _peek(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the header, with a `kid` that is a string, and the claims of a token, none of them verified.

    PyJWT takes a token apart strictly, when it verifies it. That takes several times as long and is done once.
    """
    try:
        header, claims = (_object_in(segment) for segment in token.split(".")[:2])
    except (ValueError, TypeError, RecursionError):
        # The error holds what could not be read.
        raise InvalidToken("The access token cannot be read.", trouble=Trouble.TOKEN) from None
    if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
        raise InvalidToken("The access token is not signed with RS256 and a named key.", trouble=Trouble.SIGNATURE)
    return header, claims


def _object_in(segment: str) -> Mapping[str, Any]:
    value = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    if not isinstance(value, dict):
        raise TypeError("no JSON object")
    return value


def _tenant_and_version(claims: Mapping[str, object]) -> tuple[str, str]:
    tenant, version = claims.get("tid"), claims.get("ver")
    return (tenant.casefold(), version) if isinstance(tenant, str) and isinstance(version, str) else ("", "")


def _is_well_typed(claims: Mapping[str, Any]) -> bool:
    """Return whether each claim that is judged has the type that Entra gives it; some may be missing."""
    audience, roles = claims["aud"], claims.get("roles", [])
    return (
        all(isinstance(claims[name], (int, float)) and not isinstance(claims[name], bool) for name in _TIMES)
        and all(isinstance(claims.get(name, ""), str) for name in _TEXTS)
        and (isinstance(audience, str) or _is_list_of_texts(audience))
        and _is_list_of_texts(roles)
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _received(header: Mapping[str, object], claims: Mapping[str, object]) -> str:
    return f"tenant {_shown(claims.get('tid'))}, audience {_shown(claims.get('aud'))}, key {_shown(header['kid'])}"


def _shown(value: object) -> str:
    """Return a string, or a list of strings, from a token fit for the log: printable ASCII, at most 80 characters."""
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value[:5] if isinstance(item, str)):.78}]"
    return f"{value!a:.80}" if isinstance(value, str) else "none"
