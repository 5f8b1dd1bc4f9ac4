import contextlib
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.settings import StorageSettings
from itsm_bridge.storage.account import connect_queue
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from itsm_bridge.transport import LARGEST_BODY, NoAnswer, Received, Transport

SHORT = timedelta(seconds=0.25)
LONG = timedelta(seconds=10)
#: How much later than its deadline an exchange may end on a busy machine, in seconds.
SLACK = 5

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Talk = Callable[[socket.socket, bytes], None]


class Server:
    """Speaks whatever `talk` says to each request: its head is read, the rest is up to `talk`."""

    def __init__(self, talk: Talk, *, tls: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.requests: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for connection in self._open:
            connection.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/x"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection.dup())
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            while head := _head(connection):
                self.requests.append(head)
                self._talk(connection, head)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def says(*answers: bytes) -> Talk:
    """Give these answers in turn; the last one to all further requests."""
    left = list(answers)

    def talk(connection: socket.socket, _: bytes) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return talk


class Together:
    """Notes what came in the same TLS record as the head of a request, and answers."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.found: list[bytes] = []

    def __call__(self, connection: socket.socket, _: bytes) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        self.found.append(connection.recv(there) if (there := connection.pending()) else b"")
        connection.sendall(self._answer)


def says_and_closes(answer: bytes) -> Talk:
    def talk(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    return talk


def trickles(beginning: bytes, piece: bytes) -> Talk:
    """Say the beginning, then a piece every 20 ms until nobody listens."""

    def talk(connection: socket.socket, _: bytes) -> None:
        connection.sendall(beginning)
        while True:
            connection.sendall(piece)
            time.sleep(0.02)

    return talk


def is_silent(connection: socket.socket, _: bytes) -> None:
    while connection.recv(1024):
        pass


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

NEVER_DONE: dict[str, Talk] = {
    "silence": is_silent,
    "status line": trickles(b"", b"H"),
    "header": trickles(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "headers": trickles(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    "100 Continue": trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": trickles(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    "body without length": trickles(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
    "chunks": trickles(_CHUNKED, b"1\r\nx\r\n"),
    "chunk size": trickles(_CHUNKED, b"0"),
}


def exchange(url: str, *, method: str = "GET", within: timedelta = LONG, **arguments: Any) -> Received:
    return Transport().exchange(
        method, url, headers=arguments.pop("headers", {}), deadline=Deadline.after(within), **arguments
    )


def failed(url: str, *, within: timedelta = SHORT, **arguments: Any) -> NoAnswer:
    """The failure of an exchange, which must have ended in time."""
    began = time.monotonic()
    with pytest.raises(NoAnswer) as caught:
        exchange(url, within=within, **arguments)
    assert time.monotonic() - began < within.total_seconds() + SLACK
    return caught.value


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A certificate for loopback that nobody has signed but itself: the server's context, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, key_file = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_file)
    return context, pem


class TestAnswers:
    def test_status_headers_and_body_come_back(self) -> None:
        with Server(says(b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbody")) as server:
            received = exchange(server.url, method="POST", body=b"x")

        assert (received.status, received.headers["retry-after"], received.body) == (503, "7", b"body")

    def test_the_query_is_encoded(self) -> None:
        with Server(says(OK)) as server:
            exchange(server.url, params={"sysparm_query": "a=1^b=c/d"})

        assert server.requests[0].startswith(b"GET /x?sysparm_query=a%3D1%5Eb%3Dc%2Fd HTTP/1.1\r\n")

    def test_chunks_are_joined(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        with Server(says(chunked)) as server:
            assert exchange(server.url).body == b"abc"

    def test_a_compressed_body_is_unpacked_although_none_is_asked_for(self) -> None:
        body = gzip.compress(b"hello")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with Server(says(head + body)) as server:
            assert exchange(server.url).body == b"hello"

        assert b"accept-encoding: identity\r\n" in server.requests[0].lower()

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_an_answer_and_not_followed(self, status: int) -> None:
        with Server(says(OK)) as other:
            moved = f"HTTP/1.1 {status} Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
            with Server(says(moved.encode())) as server:
                received = exchange(server.url, headers={"Authorization": "Bearer made-up"})

        assert received.status == status
        assert (len(server.requests), other.connections) == (1, 0)

    def test_a_redirect_to_nonsense_is_an_answer(self) -> None:
        with Server(says(b"HTTP/1.1 302 Moved\r\nLocation: http://[\xff\r\nContent-Length: 0\r\n\r\n")) as server:
            assert exchange(server.url).status == 302


class TestTime:
    @pytest.mark.parametrize("talk", NEVER_DONE.values(), ids=NEVER_DONE)
    def test_no_answer_outlasts_the_deadline(self, talk: Talk) -> None:
        with Server(talk) as server:
            error = failed(server.url, method="POST", body=b"")

        assert (str(error), error.was_sent, error.was_dropped) == ("no answer in time", True, False)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("what", ["silence", "header", "chunk size"])
    def test_nor_does_one_over_tls(
        self, what: str, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context, certificate = tls
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with Server(NEVER_DONE[what], tls=context) as server:
            error = failed(server.url, within=timedelta(seconds=0.6))

        assert (str(error), error.was_sent) == ("no answer in time", True)

    def test_a_deadline_that_has_passed_lets_nothing_out(self) -> None:
        with Server(says(OK)) as server:
            error = failed(server.url, within=timedelta(0))

        assert (error.was_sent, server.connections) == (False, 0)

    def test_a_deadline_that_passes_before_a_kept_connection_is_used_lets_nothing_out(self) -> None:
        class Passing(Deadline):
            @property
            def left(self) -> timedelta:
                return looks.pop(0) if looks else timedelta(0)

        looks = [LONG, LONG]
        transport = Transport()
        with Server(says(OK)) as server:
            transport.exchange("GET", server.url, headers={}, deadline=Deadline.after(LONG))
            with pytest.raises(NoAnswer) as caught:
                transport.exchange("POST", server.url, headers={}, body=b"", deadline=Passing(0))

        assert (caught.value.was_sent, len(server.requests)) == (False, 1)

    def test_a_handshake_that_hangs_ends_in_time_with_nothing_sent(self) -> None:
        with Server(is_silent) as server:
            error = failed(server.url.replace("http", "https"))

        assert not error.was_sent

    def test_a_connection_that_hangs_ends_in_time_with_nothing_sent(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
            address = listener.getsockname()
            for _ in range(4):
                queued = stack.enter_context(socket.socket())
                queued.setblocking(False)
                queued.connect_ex(address)
            error = failed(f"http://127.0.0.1:{address[1]}/")

        assert not error.was_sent

    def test_a_name_that_is_not_resolved_ends_in_time_and_nothing_is_sent_afterwards(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        is_over, resolve = threading.Event(), socket.getaddrinfo

        def slow(*arguments: Any) -> Any:
            is_over.wait(10)
            return resolve(*arguments)

        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with Server(says(OK)) as server:
            error = failed(server.url)
            is_over.set()
            for thread in threading.enumerate():
                if thread.name == "resolve":
                    thread.join(5)

        assert (error.was_sent, server.connections) == (False, 0)

    def test_after_a_late_answer_the_next_one_is_the_right_one(self) -> None:
        is_late = threading.Event()

        def talk(connection: socket.socket, head: bytes) -> None:
            body = b"late" if b"/late" in head else b"next"
            if body == b"late":
                is_late.wait(5)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)

        transport = Transport()
        with Server(talk) as server:
            with pytest.raises(NoAnswer):
                transport.exchange("GET", server.url + "/late", headers={}, deadline=Deadline.after(SHORT))
            is_late.set()
            received = transport.exchange("GET", server.url, headers={}, deadline=Deadline.after(LONG))

        assert received.body == b"next"


class TestNothingSent:
    def test_a_refused_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        error = failed(f"http://127.0.0.1:{port}/", method="POST")

        assert (error.was_sent, error.was_dropped) == (False, False)
        assert "Connection refused" in str(error)

    def test_an_unknown_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        error = failed("http://instance.invalid/")

        assert (error.was_sent, "Name or service not known" in str(error)) == (False, True)

    def test_a_host_that_is_no_name(self) -> None:
        assert not failed(f"http://{'x' * 70}.invalid/").was_sent

    def test_a_certificate_that_nobody_trusts(self, tls: tuple[ssl.SSLContext, Path]) -> None:
        with Server(says(OK), tls=tls[0]) as server:
            error = failed(server.url, within=LONG)

        assert (error.was_sent, "CERTIFICATE_VERIFY_FAILED" in str(error)) == (False, True)
        assert server.requests == []

    def test_a_header_that_cannot_be_sent_is_not_quoted(self) -> None:
        with Server(says(OK)) as server:
            error = failed(server.url, headers={"Authorization": "Bearer made-up\r\nX: y"})

        assert (error.was_sent, str(error)) == (False, "InvalidHeader")


class TestHalfAnAnswer:
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b"", id="none"),
            pytest.param(b"HTTP/1.1 20", id="half a status line"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", id="half a body"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", id="half a chunk"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a chunk of no size"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nok", id="two lengths"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", id="no gzip"),
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n", id="too many headers"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", id="a header too long"),
            pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="another protocol"),
        ],
    )
    def test_it_is_none_and_the_request_was_sent(self, answer: bytes) -> None:
        with Server(says_and_closes(answer)) as server:
            assert failed(server.url, within=LONG).was_sent

    def test_a_dropped_connection_is_told_from_the_rest(self) -> None:
        with Server(says_and_closes(b"")) as server:
            assert failed(server.url, within=LONG).was_dropped

    def test_a_body_that_is_too_long_is_not_read_to_its_end(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
        with Server(trickles(head, b"x" * 1_000_000)) as server:
            error = failed(server.url, within=LONG)

        assert (error.was_sent, str(error)) == (True, f"the answer is over {LARGEST_BODY} bytes")

    def test_a_compressed_body_is_measured_unpacked(self) -> None:
        body = gzip.compress(b"\0" * (LARGEST_BODY + 1))
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with Server(says(head + body)) as server:
            assert "over" in str(failed(server.url, within=LONG))

    def test_the_largest_body_is_read(self) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {LARGEST_BODY}\r\n\r\n".encode()
        with Server(says(head + b"x" * LARGEST_BODY)) as server:
            assert len(exchange(server.url).body) == LARGEST_BODY


class TestConnections:
    def get(self, transport: Transport, url: str) -> Received:
        return transport.exchange("GET", url, headers={}, deadline=Deadline.after(LONG))

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_a_connection_is_kept(
        self, scheme: str, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
        transport = Transport()
        with Server(says(OK), tls=tls[0] if scheme == "https" else None) as server:
            for _ in range(3):
                assert self.get(transport, server.url).body == b"ok"

        assert (server.connections, len(server.requests)) == (1, 3)

    def test_a_request_is_sent_in_one_piece(
        self, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
        with Server(together := Together(OK), tls=tls[0]) as server:
            transport, until = Transport(), Deadline.after(LONG)
            for _ in range(2):
                transport.exchange("POST", server.url, headers={}, deadline=until, body=b'{"state": 6}')

        assert together.found == [b'{"state": 6}'] * 2

    def test_storage_is_asked_in_one_piece_too(
        self, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
        refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        with Server(together := Together(refused), tls=tls[0]) as server:
            settings = StorageSettings(
                connection_string="DefaultEndpointsProtocol=https;AccountName=account;AccountKey=bm8ga2V5;"
                f"QueueEndpoint={server.url}",
                table_service_uri="",
                queue_service_uri="",
                credential="",
                client_id="",
            )
            with pytest.raises(Unavailable):
                WakeUpQueue(lambda: connect_queue(settings)).send("a" * 64, delay=timedelta(0))

        assert b"<MessageText>" in together.found[0]

    def test_one_that_was_idle_for_long_is_not_used_again(self) -> None:
        transport = Transport(idle=timedelta(0))
        with Server(says(OK)) as server:
            for _ in range(3):
                self.get(transport, server.url)

        assert server.connections == 3

    def test_one_that_the_server_closed_is_replaced_before_a_write(self) -> None:
        is_closed = threading.Event()

        def talk(connection: socket.socket, _: bytes) -> None:
            connection.sendall(OK)
            connection.shutdown(socket.SHUT_RDWR)
            is_closed.set()

        transport = Transport()
        with Server(talk) as server:
            for _ in range(3):
                received = transport.exchange("POST", server.url, headers={}, body=b"", deadline=Deadline.after(LONG))
                assert received.status == 200
                assert is_closed.wait(5)
                is_closed.clear()

        assert (server.connections, len(server.requests)) == (3, 3)

    def test_cookies_and_connections_belong_to_one_thread(self) -> None:
        transport = Transport()
        with Server(says(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: JSESSIONID=A; Path=/\r\n\r\n"))) as server:
            self.get(transport, server.url)
            self.get(transport, server.url)
            other = threading.Thread(target=self.get, args=(transport, server.url))
            other.start()
            other.join(5)

        assert [b"JSESSIONID=A" in head for head in server.requests] == [False, True, False]
        assert server.connections == 2

    def test_the_next_address_is_tried_if_one_refuses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve = socket.getaddrinfo

        def resolve_both(_: str, port: int, *arguments: Any) -> Any:
            return [*resolve("127.0.0.2", port, *arguments), *resolve("127.0.0.1", port, *arguments)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve_both)
        with Server(says(OK)) as server:
            received = exchange(f"http://twice.invalid:{server.port}/x")

        assert received.body == b"ok"

    def test_a_netrc_file_replaces_no_credentials(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with Server(says(OK)) as server:
            exchange(server.url, headers={"Authorization": "Bearer made-up"})

        assert b"Authorization: Bearer made-up\r\n" in server.requests[0]


class TestProxies:
    @pytest.fixture(autouse=True)
    def _no_exceptions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

    def test_the_proxy_of_the_environment_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Server(says(OK)) as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            exchange("http://instance.invalid/x")

        assert proxy.requests[0].startswith(b"GET http://instance.invalid/x HTTP/1.1\r\n")

    def test_tls_goes_through_the_tunnel_of_a_proxy(
        self, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def tunnel(connection: socket.socket, _: bytes) -> None:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with tls[0].wrap_socket(connection, server_side=True) as inside:
                inner.append(_head(inside))
                inside.sendall(OK)

        inner: list[bytes] = []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
        with Server(tunnel) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            received = exchange("https://127.0.0.1:1/x")

        assert received.body == b"ok"
        assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:1 HTTP/1.")
        assert inner[0].startswith(b"GET /x HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        ("talk", "reason"),
        [
            pytest.param(trickles(b"HTTP/1.1 200 OK\r\nX: ", b"x"), "no answer in time", id="trickles"),
            pytest.param(
                says(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
                "Tunnel connection failed: 407 Proxy Authentication Required",
                id="refuses",
            ),
        ],
    )
    def test_a_tunnel_that_is_not_built_lets_nothing_out(
        self, talk: Talk, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Server(talk) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            error = failed("https://instance.invalid/x")

        assert (error.was_sent, str(error)) == (False, reason)


@pytest.fixture(scope="module")
def speaker() -> Iterator[tuple[Server, list[bytes]]]:
    """A server that says what stands last in the list, then hangs up."""
    said = [b""]

    def talk(connection: socket.socket, _: bytes) -> None:
        connection.sendall(said[-1])
        connection.shutdown(socket.SHUT_RDWR)

    with Server(talk) as server:
        yield server, said


LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 302 X",
        b"HTTP/1.0 999 \xff",
        b"Content-Length: 4",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip, deflate, zstd",
        b"Location: //[",
        b"Set-Cookie: \xff=\x01; Expires=never; Max-Age=x",
        b"Content-Type: ;charset=\xe9",
        b"Connection: close",
        b"",
        b"4",
        b"body",
        b"0",
    ]
)


@settings(deadline=None, max_examples=150)
@given(lines=st.lists(LINES | st.binary(max_size=30), max_size=8), is_http=st.booleans())
def test_whatever_is_said_is_an_answer_or_none(
    speaker: tuple[Server, list[bytes]], lines: list[bytes], is_http: bool
) -> None:
    server, said = speaker
    said.append(b"\r\n".join([b"HTTP/1.1 200 OK", *lines] if is_http else lines))

    with contextlib.suppress(NoAnswer):
        assert exchange(server.url).status >= 0
