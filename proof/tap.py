"""Which calls does the app make to storage and to ServiceNow? Proxies before them pass on, count, and may cut in.

The benchmarks count with it, and `every_call` kills with it. The app is not changed for it, because its settings point
here. The proxies cost time, so a run that counts is not timed. A `watch` is entered before each request is passed on
and left before its answer is: an error that it raises cuts the connection there.
"""

import http.client
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from local.http_server import Answer, HttpServer, Request

#: Given the name of an operation.
Watch = Callable[[str], AbstractContextManager[object]]

#: The call that the host makes on its own account, as long as it runs.
POLL = "queue poll"
#: The calls that the app makes on its own account, as long as it is called: it looks for other rules.
RULES_LOOK = "rules look"
#: And for what other processes learnt of the instance, which it writes down once a day.
FACTS_LOOK = "facts look"

_ENDPOINT = re.compile(r"(Table|Queue)Endpoint=([^;]+)")
#: Names of operations, by the method and the first thing that fits the path behind the account.
_NAMES = (
    *(
        (method, re.compile(r"/\w+\(PartitionKey=(?:'|%27)rules(?:'|%27).+\)"), RULES_LOOK)
        for method in ("GET", "DELETE")
    ),
    *(
        (method, re.compile(r"/\w+\(PartitionKey=(?:'|%27)instance(?:'|%27).+\)"), FACTS_LOOK)
        for method in ("GET", "PUT")
    ),
    ("POST", re.compile(r"/Tables"), "table create"),
    ("PUT", re.compile(r"/[\w-]+"), "queue create"),
    ("POST", re.compile(r"/\w+"), "table insert"),
    ("GET", re.compile(r"/\w+\(PartitionKey.+\)"), "table read"),
    ("PUT", re.compile(r"/\w+\(PartitionKey.+\)"), "table replace"),
    ("POST", re.compile(r"/[\w-]+/messages"), "queue send"),
    ("DELETE", re.compile(r"/[\w-]+/messages/.+"), "queue delete"),
    ("PUT", re.compile(r"/[\w-]+/messages/.+"), "queue renew"),
    ("GET", re.compile(r"/[\w-]+/messages"), POLL),
    ("GET", re.compile(r"/[\w-]+"), "queue look"),
)
#: An operation in the body of a transaction.
_IN_TRANSACTION = re.compile(rb"^(POST|PUT|PATCH|DELETE) \w+://[^/\s]+(/\S*) HTTP/1\.1", re.MULTILINE)
#: Headers that belong to one connection: a proxy must not pass them on.
_OWN_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


class Cut(ConnectionAbortedError):
    """The caller is gone, so that its call cannot be answered."""


class Tap:
    """Proxies before the table, the queue and, if its address is given, the instance; a context manager."""

    def __init__(self, connection_string: str, instance_url: str = "", *, watch: Watch = nullcontext) -> None:
        self._there = (connection_string, instance_url)
        self._watch = watch
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stack = ExitStack()
        #: The addresses that the app is given instead.
        self.connection_string = ""
        self.instance_url = ""

    @property
    def counted(self) -> Counter[str]:
        """How often each operation was asked for, whatever it was answered."""
        with self._lock:
            return Counter(self._counted)

    def __enter__(self) -> Self:
        """Start."""
        connection_string, instance_url = self._there
        self.connection_string = _ENDPOINT.sub(
            lambda endpoint: f"{endpoint[1]}Endpoint={self._tapped(endpoint[2], _operation)}", connection_string
        )
        self.instance_url = self._tapped(instance_url, _call) if instance_url else ""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._stack.close()

    def _tapped(self, url: str, name_of: Callable[[str, str], str]) -> str:
        there = urlsplit(url)

        def pass_on(request: Request) -> Answer:
            method, target = _asked(request)
            name = name_of(method, target.removeprefix(there.path))
            with self._lock:
                self._counted[name] += 1
            # A connection of its own: one that is kept may be gone by the next request.
            connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=30)
            with self._watch(name), closing(connection) as upstream:
                headers = {key: value for key, value in request.headers.items() if key not in _OWN_HEADERS}
                upstream.request(request.method, request.target, request.body, headers)
                answer = upstream.getresponse()
                content = answer.read()
            told = {key: value for key, value in answer.getheaders() if key.lower() not in _OWN_HEADERS}
            return Answer(status=answer.status, headers=told, body=content)

        server = self._stack.enter_context(HttpServer(0, pass_on))
        self._stack.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"{server.url}{there.path}"


def _asked(request: Request) -> tuple[str, str]:
    """Return the method and the target of a request; of a transaction those of its first operation."""
    inner = _IN_TRANSACTION.search(request.body) if request.target.partition("?")[0].endswith("/$batch") else None
    return (inner[1].decode(), inner[2].decode()) if inner else (request.method, request.target)


def _operation(method: str, target: str) -> str:
    """Return the name of what is asked of storage."""
    path = target.partition("?")[0]
    for wanted, pattern, name in _NAMES:
        if method == wanted and pattern.fullmatch(path):
            return name
    return f"other {method}"


def _call(method: str, target: str) -> str:
    """Return the name of what is asked of ServiceNow: the method and the table."""
    parts = target.partition("?")[0].split("/")
    return f"{method} {parts[parts.index('table') + 1] if 'table' in parts else parts[-1]}"
