"""How are requests taken and answers given? By an HTTP/1.1 server with kept connections and `Expect: 100-continue`.

The host, the stand-in for Graph and the proof's proxies give it a function that answers. Each connection has a thread,
so that function may block. A request with a chunked body is read to its end and answered as if it had none, because the
real host hands such a body to no Python function.
Source: https://github.com/Azure/azure-functions-host/issues/4926
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

#: The limit of the real host, in bytes.
MAX_BODY_LENGTH = 104_857_600

CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}(;.*)?\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    #: Path and query, as sent.
    target: str
    #: Lower-case names; repeated headers are joined with a comma.
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpServer(ThreadingHTTPServer):
    """Answers requests on loopback; port 0 takes a free port. `serve_forever` serves until `shutdown`."""

    daemon_threads = True
    # A storm of alerts opens many connections at once; the default of 5 would refuse some.
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[Request], Answer]) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.answer = answer
        #: The connections whose request is being read or answered.
        self.answering: set[object] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def is_busy(self) -> bool:
        return bool(self.answering)

    def handle_error(self, *connection: Any) -> None:
        """Keep clients that went away out of the log; anything else is a fault of this host and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*connection)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "local-functions-host"
    sys_version = ""
    # As long as the real host's server keeps an idle connection, in seconds.
    timeout = 130
    disable_nagle_algorithm = True
    # Headers and body are one write: a small answer is one packet.
    wbufsize = -1

    def _reply(self) -> None:
        server = cast("HttpServer", self.server)
        server.answering.add(self)
        try:
            self._answer(server)
        finally:
            server.answering.discard(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _reply  # noqa: N815 -- http.server's names

    def _answer(self, server: HttpServer) -> None:
        body = self._read_body()
        if isinstance(body, HTTPStatus):
            # The server cannot tell the rest of the body from the next request.
            self.close_connection = True
            self._write(Answer(status=body))
        else:
            headers = {name.lower(): ",".join(self.headers.get_all(name, ())) for name in self.headers}
            request = Request(method=self.command, target=self.path, headers=headers, body=body)
            self._write(server.answer(request))

    def _read_body(self) -> bytes | HTTPStatus:
        """Read the body; or return the status to refuse it with."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"" if self._skip_chunks() else HTTPStatus.BAD_REQUEST
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            return HTTPStatus.BAD_REQUEST
        if int(length) > MAX_BODY_LENGTH:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = self.rfile.read(int(length))
        # A client that went away halfway must not be taken for one that sent half.
        return body if len(body) == int(length) else HTTPStatus.BAD_REQUEST

    def _skip_chunks(self) -> bool:
        """Read a chunked body to its end; return whether it was well-formed."""
        while CHUNK_SIZE.fullmatch(line := self.rfile.readline()):
            size = int(line.split(b";")[0], 16)
            # Each chunk ends with an empty line, as do the trailers after the last one.
            if size == 0:
                return self.rfile.readline() == b"\r\n"
            self.rfile.read(size + len(b"\r\n"))
        return False

    def _write(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        has_body = answer.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        if has_body:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(answer.body)
        # Now, because whoever asks `is_busy` afterwards may end the process.
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Tell a client to go on at once: it waits for that with the body."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def log_message(self, *_: object) -> None:
        """Say nothing: invocations are logged where they run."""
