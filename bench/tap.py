"""Which storage operations does the app cause? A tap before Azurite's table and queue that passes on and counts.

Nothing in the app is changed or replaced for it: the connection string points here. It costs time,
so what is counted is not timed.
"""

import http.client
import re
import threading
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from local.http_server import Answer, HttpServer, Request

_ENDPOINT = re.compile(r"(Table|Queue)Endpoint=([^;]+)")
#: Names of operations, by the method and the first thing that fits the path behind the account.
_NAMES = (
    ("POST", re.compile(r"/\w+"), "table insert"),
    ("GET", re.compile(r"/\w+\(PartitionKey.+\)"), "table read"),
    ("PUT", re.compile(r"/\w+\(PartitionKey.+\)"), "table replace"),
    ("POST", re.compile(r"/[\w-]+/messages"), "queue send"),
    ("DELETE", re.compile(r"/[\w-]+/messages/.+"), "queue delete"),
    ("PUT", re.compile(r"/[\w-]+/messages/.+"), "queue renew"),
    ("GET", re.compile(r"/[\w-]+/messages"), "queue poll"),
)
#: Connection-wise: what a proxy must not pass on.
_OWN_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class Tap:
    """Two proxies, running while the `with` block lasts."""

    def __init__(self, connection_string: str) -> None:
        self._connection_string = connection_string
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stack = ExitStack()

    @property
    def counted(self) -> Counter[str]:
        """How often each operation was asked for, whatever it was answered."""
        with self._lock:
            return Counter(self._counted)

    def __enter__(self) -> Self:
        """Start."""
        self.connection_string = _ENDPOINT.sub(self._tapped, self._connection_string)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stack.close()

    def _tapped(self, endpoint: re.Match[str]) -> str:
        name, url = endpoint.groups()
        there = urlsplit(url)
        local = threading.local()

        def pass_on(request: Request) -> Answer:
            upstream: http.client.HTTPConnection | None = getattr(local, "upstream", None)
            if upstream is None:
                upstream = local.upstream = http.client.HTTPConnection(there.hostname or "", there.port, timeout=30)
            with self._lock:
                self._counted[_operation(request.method, request.target.removeprefix(there.path))] += 1
            headers = {key: value for key, value in request.headers.items() if key not in _OWN_HEADERS}
            upstream.request(request.method, request.target, request.body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            told = {key: value for key, value in answer.getheaders() if key.lower() not in _OWN_HEADERS}
            return Answer(status=answer.status, headers=told, body=content)

        server = self._stack.enter_context(HttpServer(0, pass_on))
        self._stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"{name}Endpoint={server.url}{there.path}"


def _operation(method: str, target: str) -> str:
    path = target.partition("?")[0]
    for wanted, pattern, name in _NAMES:
        if method == wanted and pattern.fullmatch(path):
            return name
    return f"other {method}"
