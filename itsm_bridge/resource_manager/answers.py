"""What does an answer of Azure Resource Manager mean that is not what was asked for?

`client` asks for each answer, and those that call it catch these errors. Nothing of a body is quoted but Azure's code.

Sources of truth: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling,
https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from itsm_bridge.azure_monitor.json_body import Section, load
from itsm_bridge.errors import BridgeError, Conflict, InvalidAlert, PermanentError, Unavailable, Unconfirmed
from itsm_bridge.transport import Received
from itsm_bridge.troubles import Trouble

#: A pause that Azure asks for is believed up to this.
_LONGEST_PAUSE: Final = timedelta(hours=1)
_PAUSE: Final = timedelta(seconds=30)


class Away(Unavailable):
    """Azure did not answer as documented, or not at all; nothing was changed."""


class Throttled(Away):
    """Azure was asked too often; `retry_after` says how long it wants to be left alone."""


class Malformed(Away):
    """The answer is not what Azure's documentation says: nothing of it counts."""


class TooLarge(Malformed):
    """An answer is larger than anything that is read here: ask for less."""


class TooManyChanges(Away):
    """More alerts changed than one look can take: look at a shorter time."""

    def __init__(self, message: str, *, reached: datetime) -> None:
        super().__init__(message)
        #: Up to when, from the newest back, the look came. Aware UTC.
        self.reached = reached


class MissingRole(PermanentError):
    """Azure knows who asks and does not allow it: a role is missing."""


class Gone(PermanentError):
    """Azure has no such alert any more."""


class Refused(PermanentError):
    """Azure understood the request and said no."""


_OTHERS: Final[Mapping[int, type[BridgeError]]] = {
    HTTPStatus.NOT_FOUND: Gone,
    HTTPStatus.GONE: Gone,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
}


def error_of(answer: Received, *, changes: bool) -> BridgeError:
    """Return what an answer other than 200 means."""
    status, code = answer.status, _code(answer)
    told = f"Azure Resource Manager answered {status}{f' ({code})' if code else ''}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unconfirmed(told) if changes else Away(told, retry_after=_pause(answer))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(told, retry_after=_pause(answer))
    if status == HTTPStatus.UNAUTHORIZED:
        return Refused(f"{told}: it does not accept our token", trouble=Trouble.AZURE_SIGN_IN)
    if status == HTTPStatus.FORBIDDEN:
        trouble = Trouble.AZURE_MAY_NOT_CHANGE if changes else Trouble.AZURE_MAY_NOT_READ
        return MissingRole(f"{told}: our identity lacks a role", trouble=trouble)
    # A redirect is none of these and not followed, because it would carry the token elsewhere.
    return _OTHERS.get(status, Refused if status >= HTTPStatus.BAD_REQUEST else Malformed)(told)


def _code(answer: Received) -> str:
    """Return Azure's error code, "" if it gives none; messages may quote what was asked."""
    try:
        code = Section(load(answer.body)).section("error").text("code")
    except InvalidAlert:
        return ""
    return code if code.isascii() and code.isalnum() and len(code) <= 64 else ""  # noqa: PLR2004 - a word


def _pause(answer: Received) -> timedelta:
    """Return how long Azure wants to be left alone; it says seconds."""
    said = answer.headers.get("Retry-After", "").strip()
    is_number = said.isascii() and said.isdecimal() and len(said) < 7  # noqa: PLR2004 - digits
    return min(timedelta(seconds=int(said)), _LONGEST_PAUSE) if is_number else _PAUSE
