"""What does the directory hold? Microsoft Graph, as far as the set-up of Entra ID needs it.

`setup` is the only caller.

1. Requests that were throttled or failed are repeated, when Graph asks and no longer than `PATIENCE` in all.
   A POST whose outcome is unknown is not repeated, because the next run of the set-up finds its object.
2. Graph answers from replicas: after a write, other replicas do not know of it at first. `after_write` says that a
   refusal which can come of that is to be repeated too.
3. An error tells Graph's code and message, and never a token.

Sources of truth:
https://learn.microsoft.com/graph/throttling
https://learn.microsoft.com/graph/errors
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import requests

from itsm_bridge.errors import PermanentError, Unavailable

#: Seconds that one answer may take, and that a call may take with all its repetitions.
TIMEOUT: Final = (5.0, 30.0)
PATIENCE: Final = 90.0

#: Graph answers the first before it has done anything, and may answer the others after it has.
_NOT_DONE = frozenset({429, 503})
_UNKNOWN = frozenset({500, 502, 504})
#: A replica that does not know an object yet answers 404, or one of these.
_NOT_YET = (
    "does not reference a valid application object",
    "NoBackingApplicationObject",
    "was not found on application",
)
_MESSAGE_LENGTH = 256


class Refused(PermanentError):
    """Graph understood the request and said no."""

    def __init__(self, *, status: int, code: str, message: str) -> None:
        super().__init__(f"Microsoft Graph answered {status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class Graph:
    """The directory of the tenant that gave the token."""

    def __init__(
        self,
        *,
        host: str,
        token: Callable[[], str],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember how to get there; nothing is sent yet.

        Args:
            host: For example https://graph.microsoft.com; other clouds have others.
            token: Returns an access token for that host.
            sleep: Waits that many seconds.
            clock: Seconds from any origin.
        """
        self._root = f"{host.rstrip('/')}/v1.0"
        self._token = token
        self._sleep = sleep
        self._clock = clock
        self._session = requests.Session()

    def read(self, path: str) -> dict[str, Any] | None:
        """Return the object at `path`, which begins with a slash; None if there is none.

        Raises:
            Refused: Graph said no.
            Unavailable: Graph did not answer in time.
        """
        try:
            return self._send("GET", f"{self._root}{path}", None, after_write=False)
        except Refused as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def list(self, path: str, *, after_write: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the objects of a collection, over all its pages.

        Raises:
            Refused: Graph said no.
            Unavailable: Graph did not answer in time.
        """
        address = f"{self._root}{path}"
        while address:
            page = self._send("GET", address, None, after_write=after_write)
            yield from page["value"]
            address = page.get("@odata.nextLink", "")
            # The token goes along, so the next page must be Graph's own.
            if address and not address.startswith(f"{self._root}/"):
                raise Unavailable("Microsoft Graph named a next page on another host")

    def write(self, method: str, path: str, body: Mapping[str, Any], *, after_write: bool = False) -> dict[str, Any]:
        """Send a change; return the object that it made, or {} if it made none.

        Raises:
            Refused: Graph said no.
            Unavailable: Graph did not answer in time; the change may or may not have been made.
        """
        return self._send(method, f"{self._root}{path}", body, after_write=after_write)

    def reference(self, path: str) -> dict[str, str]:
        """Return the body of a `$ref` request that names the object at `path`."""
        return {"@odata.id": f"{self._root}{path}"}

    def _send(self, method: str, address: str, body: Mapping[str, Any] | None, *, after_write: bool) -> dict[str, Any]:
        deadline = self._clock() + PATIENCE
        wait = 1.0
        while True:
            answer = self._sent(method, address, body)
            if answer.status_code in {200, 201, 202, 204}:
                return _object(answer)
            refused = _refusal(answer)
            if not _may_repeat(method, refused, after_write=after_write):
                raise refused
            pause = _retry_after(answer) or wait
            if self._clock() + pause > deadline:
                raise Unavailable(f"Microsoft Graph kept refusing: {refused}") from refused
            self._sleep(pause)
            wait = min(wait * 2, 15.0)

    def _sent(self, method: str, address: str, body: Mapping[str, Any] | None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._token()}"}
        try:
            return self._session.request(
                method, address, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unavailable(f"Microsoft Graph did not answer: {type(error).__name__}") from error


def _object(answer: requests.Response) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        content = answer.json()
    except ValueError as error:
        raise Unavailable("something in between answered for Microsoft Graph, and not in JSON") from error
    return content if isinstance(content, dict) else {}


def _may_repeat(method: str, refused: Refused, *, after_write: bool) -> bool:
    if refused.status in _UNKNOWN:
        return method != "POST"
    return refused.status in _NOT_DONE or (after_write and _may_be_replication(refused))


def _refusal(answer: requests.Response) -> Refused:
    try:
        told = answer.json()["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", "no reason given"
    return Refused(status=answer.status_code, code=code, message=message[:_MESSAGE_LENGTH])


def _may_be_replication(refused: Refused) -> bool:
    is_unknown = refused.status == requests.codes.not_found
    return is_unknown or any(sign in f"{refused.code} {refused.message}" for sign in _NOT_YET)


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
