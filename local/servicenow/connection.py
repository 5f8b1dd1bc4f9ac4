"""How does an answer reach the client, or fail to?

The instance starts a `Server` here and decides what to answer; these are the sockets: connections that stay open over
many requests, and every way in which one can break.
"""

import contextlib
import gzip
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from local.servicenow import incident_page
from local.servicenow.batch import is_for_batch, requests_in
from local.servicenow.exchange import JSON, Request, Response
from local.servicenow.faults import Fault, Faults, Wire
from local.servicenow.glide import Glide
from local.servicenow.traffic import Disconnected, Recorder, Traffic


class Instance(Protocol):
    """What a connection asks of the instance behind it."""

    crashes: list[BaseException]
    faults: Faults
    glide: Glide
    traffic: Traffic

    def answer(self, request: Request, fault: Fault | None, is_stopping: threading.Event) -> Response | None: ...


class Server(ThreadingHTTPServer):
    """The listening socket and its connections."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, instance: Instance, port: int) -> None:
        self.instance = instance
        self.is_stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Connection)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 # as the base class
        with self._lock:
            self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)

    def handle_error(self, *_: object) -> None:
        error = sys.exception()
        if isinstance(error, (Disconnected, ConnectionError)) or error is None:
            return
        self.instance.crashes.append(error)

    def cut_connections(self) -> None:
        """Close every connection, so that its thread ends."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Connection(BaseHTTPRequestHandler):
    """One connection, kept alive over many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def answer(self) -> None:
        """Read one request, let it take effect, and answer it as its fault wants."""
        instance = self.server.instance
        request = Request(method=self._method(), target=self.path, headers=self.headers)
        if fault := instance.faults.take(request, is_read=False):
            with instance.traffic.recorded(request, fault):
                raise Disconnected
        request = replace(request, body=self._body())
        fault = instance.faults.take(request, is_read=True) or self._fault_inside(request)
        if not fault and request.method == "GET" and not request.path.startswith("/api/") and not request.table:
            self._send(incident_page.respond(instance.glide, request))
            return
        with instance.traffic.recorded(request, fault) as recorder:
            response = instance.answer(request, fault, self.server.is_stopping)
            self._deliver(response, fault.wire if fault else Wire.WHOLE, recorder)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 # the base class's names

    def _fault_inside(self, request: Request) -> Fault | None:
        """Return the fault of the wire that a request inside of a batch brings upon all of it."""
        take = self.server.instance.faults.take_inside
        inside = filter(None, requests_in(request)) if is_for_batch(request) else ()
        return next((fault for each in inside if (fault := take(each, on_the_wire=True))), None)

    def log_message(self, *_: object) -> None:
        """Say nothing: what was asked is in `ServiceNowStandIn.calls`."""

    def _method(self) -> str:
        return str(self.headers.get("X-HTTP-Method-Override", self.command)).upper()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise Disconnected
        return body

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _deliver(self, response: Response | None, wire: Wire, recorder: Recorder) -> None:
        match wire:
            case Wire.WHOLE if response is not None:
                recorder.complete(response.status)
                recorder.leave()
                self._send(response)
                return
            case Wire.SILENCE:
                self._wait_for_hang_up()
            case Wire.GARBAGE:
                self.wfile.write(bytes(range(256)) * 4)
            case Wire.TRICKLING_HEADERS:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Trickle: ")
                self._trickle(b"x")
            case Wire.TRICKLING_BODY if response is not None:
                recorder.complete(response.status)
                self._send(replace(response, headers=(*response.headers, ("Content-Length", "1000000000"))))
                self._trickle(b"x")
        raise Disconnected

    def _trickle(self, piece: bytes) -> None:
        while not self.server.is_stopping.wait(self.server.instance.faults.pace):
            self.wfile.write(piece)

    def _wait_for_hang_up(self) -> None:
        # The server throws away what the client sends meanwhile, because the client gets no answer either.
        while self.connection.recv(4096):
            pass

    def _send(self, response: Response) -> None:
        body = response.body if self.command != "HEAD" else b""
        headers = list(response.headers)
        is_json = response.header("Content-Type") == JSON
        if is_json and body and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        if is_json and body:
            headers.append(("Transfer-Encoding", "chunked"))
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        elif not response.header("Content-Length") and response.status != 204:  # noqa: PLR2004 # No Content
            headers.append(("Content-Length", str(len(body))))
        self.send_response_only(response.status)
        now = datetime.now(UTC) + self.server.instance.glide.switches.clock_ahead
        self.send_header("Date", format_datetime(now, usegmt=True))
        for name, value in headers:
            self.send_header(name, value)
        # One write for headers and body: a small answer is one packet.
        self._headers_buffer.extend((b"\r\n", body))  # type: ignore[attr-defined] # kept by the base class
        self.flush_headers()
