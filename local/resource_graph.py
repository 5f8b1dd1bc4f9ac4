"""Which resources does Azure know? A stand-in for Azure Resource Graph, as far as the command `migrate` asks.

The tests of `migrate` start it. It answers the one query with the rows that it was given, in pages with a skip token,
and can throttle as Azure does. It keeps what it was asked for, and evaluates no query.

Sources of truth: https://learn.microsoft.com/rest/api/azureresourcegraph/resourcegraph/resources/resources,
https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests
"""

import json
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Self

from local.http_server import Answer, HttpServer, Request

TOKEN = "made-up-resource-manager-token"
PATH = "/providers/Microsoft.ResourceGraph/resources"
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)


class ResourceGraphStandIn:
    """A tenant with these resources, answering while its `with` block lasts."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], *, page: int = 1000) -> None:
        self.rows = rows
        #: How many rows a page has at most, whatever is asked for.
        self.page = page
        #: The bodies of all requests that came to it.
        self.asked: list[dict[str, Any]] = []
        #: Answers that are given to the next requests before any other.
        self.next_answers: deque[Answer] = deque()
        #: Headers of every further answer.
        self.headers: dict[str, str] = {}
        self._server = HttpServer(0, self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Return what stands for https://management.azure.com."""
        return self._server.url

    def throttle(self, *, seconds: str | None, times: int = 1) -> None:
        """Refuse the next requests because there were too many; None says no time."""
        headers = {"Retry-After": seconds} if seconds is not None else {}
        self.next_answers.extend(
            _error(429, "RateLimiting", "Please provide below info", headers) for _ in range(times)
        )

    def _answer(self, request: Request) -> Answer:
        if request.method != "POST" or request.target.partition("?")[0] != PATH:
            return _error(404, "NotFound", "There is nothing here.")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "AuthenticationFailed", "Authentication failed.")
        asked = json.loads(request.body)
        self.asked.append(asked)
        if self.next_answers:
            return self.next_answers.popleft()
        wanted = {each.lower() for each in asked.get("subscriptions", ())}
        rows = [each for each in self.rows if asked.get("managementGroups") or _of(each) in wanted]
        first = int(asked["options"].get("$skipToken", "0"))
        size = min(self.page, asked["options"]["$top"])
        page: dict[str, Any] = {
            "totalRecords": len(rows),
            "count": len(rows[first : first + size]),
            "data": rows[first : first + size],
            "facets": [],
            "resultTruncated": "false",
        }
        if first + size < len(rows):
            page["$skipToken"] = str(first + size)
        return Answer(status=200, headers={"Content-Type": "application/json", **self.headers}, body=_json(page))


def _of(row: Mapping[str, Any]) -> str:
    found = _SUBSCRIPTION.match(str(row.get("id", "")))
    return found[1].lower() if found else ""


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = _json({"error": {"code": code, "message": message}})
    return Answer(status=status, headers={"Content-Type": "application/json", **(headers or {})}, body=body)


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
