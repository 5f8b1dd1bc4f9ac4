"""What goes over the wire?

All modules of the room speak in these types: one request as it was received, one answer as it will be sent. There are
two that answer: an application node of the instance, and the edge in front of it.
`X-Transaction-ID` tells them apart: only a node sends it.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, unquote, urlsplit

Headers = tuple[tuple[str, str], ...]

JSON = "application/json;charset=UTF-8"

_NOT_CACHED: Headers = (
    ("Cache-Control", "no-cache,no-store,must-revalidate,max-age=-1"),
    ("Pragma", "no-store,no-cache"),
    ("Expires", "0"),
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
)

_EDGE_PHRASES = {
    400: "Bad Request",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; `body` is empty until it has been read."""

    method: str
    target: str
    headers: Message
    body: bytes = b""

    @cached_property
    def path(self) -> str:
        """The path without its query."""
        return urlsplit(self.target).path

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query parameters; the last one wins."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def resource(self) -> tuple[str, str, str]:
        """The API version ("" if none is named), the table and the sys_id of a Table API path; "" for what is absent.

        The token endpoint counts as the table `oauth_token` and the Batch API as `batch`, so that their requests can be
        told apart.
        """
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        if parts == ["oauth_token.do"]:
            return "", "oauth_token", ""
        if parts[:2] != ["api", "now"]:
            return "", "", ""
        version = parts.pop(2) if parts[2:3] in (["v1"], ["v2"]) else ""
        if parts[2:] == ["batch"]:
            return version, "batch", ""
        if parts[2:3] != ["table"] or len(parts) not in (4, 5):
            return version, "", ""
        return version, parts[3], parts[4] if len(parts) > 4 else ""  # noqa: PLR2004 # /api/now/table/NAME/SYS_ID

    @property
    def table(self) -> str:
        """The table that is asked for, `oauth_token` at the token endpoint, `batch` for a batch, "" elsewhere."""
        return self.resource[1]

    @property
    def sys_id(self) -> str:
        """The row that is asked for; "" if none is."""
        return self.resource[2]

    @cached_property
    def fields(self) -> Mapping[str, object]:
        """The columns that the body names; empty if it is not JSON."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        first = parsed[0] if isinstance(parsed, list) and parsed else parsed
        return first if isinstance(first, dict) else {}

    @cached_property
    def session(self) -> str:
        """The session cookie; "" if there is none."""
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        return cookies["JSESSIONID"].value if "JSESSIONID" in cookies else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, "" if it is not there."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


def from_node(status: int, content: object = None, *, headers: Headers = (), is_logged_in: bool = True) -> Response:
    """Return what an application node answers; no content is no body."""
    kind: Headers = () if content is None else (("Content-Type", JSON),)
    return Response(
        status=status,
        headers=(
            ("Server", "ServiceNow"),
            ("X-Is-Logged-In", "true" if is_logged_in else "false"),
            ("X-Transaction-ID", uuid.uuid4().hex[:12]),
            ("Server-Timing", "sem_wait;dur=0, sesh_wait;dur=0"),
            *_NOT_CACHED,
            *kind,
            *headers,
        ),
        body=b"" if content is None else json.dumps(content, ensure_ascii=False).encode(),
    )


def refusal(
    status: int, message: str, detail: str | None, *, headers: Headers = (), is_logged_in: bool = True
) -> Response:
    """Return an error in ServiceNow's envelope."""
    content = {"error": {"message": message, "detail": detail}, "status": "failure"}
    return from_node(status, content, headers=headers, is_logged_in=is_logged_in)


def from_edge(status: int) -> Response:
    """Return what the edge answers when no node does."""
    title = f"{status} {_EDGE_PHRASES[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>snow_adc</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(status=status, headers=(("Server", "snow_adc"), ("Content-Type", "text/html")), body=page.encode())
