"""How does one HTTP exchange end in time?

The clients of ServiceNow's Table API and of its tokens call `Transport.exchange`.

`requests` counts its timeouts per socket operation and resolves names without any, so a server that sends
a byte now and then is read without end. Here one deadline holds for the whole exchange:

1. Resolving, connecting, the TLS handshake, headers and body all end at the deadline; nothing is sent after it.
2. A caller that gets no answer learns whether anything of the request was sent.
3. Nothing is repeated, and no redirect is followed: it would carry the credentials elsewhere.
4. TLS certificates are always verified; proxies are taken from the environment, as `requests` does.
5. Each thread has its own connection and cookies: ServiceNow runs one transaction at a time per session.

Source of truth: https://requests.readthedocs.io/en/latest/user/advanced/#timeouts
"""

import http.client
import io
import queue
import socket
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import HTTPError
from urllib3.util.connection import allowed_gai_family, create_connection

from itsm_bridge.deadline import Deadline
from itsm_bridge.session import Adapter, Connection, Session, TlsConnection

#: Bytes. The answers that we ask for have a few KiB.
LARGEST_BODY = 4 * 1024 * 1024

#: A connection that was idle for longer is not used again: firewalls and load balancers forget idle connections
#: without a word, Azure's after 4 minutes, and a request sent into one of them is a write of unknown outcome.
_IDLE = timedelta(seconds=60)


class Received(NamedTuple):
    """One answer, complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """The exchange came to no complete answer."""

    def __init__(self, reason: str, *, was_sent: bool, was_dropped: bool = False, was_too_large: bool = False) -> None:
        super().__init__(reason)
        #: Whether any of the request may have reached the other side.
        self.was_sent = was_sent
        #: Whether the connection ended before an answer began, as a kept connection may at any time.
        self.was_dropped = was_dropped
        #: Whether an answer came that is larger than anything we read.
        self.was_too_large = was_too_large


class _Exchange:
    """The exchange that this thread is in."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.was_sent = False
        self.response: http.client.HTTPResponse | None = None

    def seconds_left(self) -> float:
        """Return the time left, more than 0.

        Raises:
            TimeoutError: there is none.
        """
        seconds = self.deadline.left.total_seconds()
        if not seconds:
            raise TimeoutError("the time is up")
        return seconds


#: The connection classes are made by urllib3, which cannot hand them anything.
_current: ContextVar[_Exchange] = ContextVar("exchange")


class Transport:
    """Connections, one per thread; safe to share between threads."""

    def __init__(self, *, idle: timedelta = _IDLE) -> None:
        self._local = threading.local()
        self._idle = idle.total_seconds()

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        deadline: Deadline,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Received:
        """Send one request and return its answer, whatever its status.

        Raises:
            NoAnswer: none came, or not in time, or it is over `LARGEST_BODY`.
        """
        exchange = _Exchange(deadline)
        if not deadline.left:
            raise NoAnswer("the time is up", was_sent=False)
        reset = _current.set(exchange)
        try:
            with self._session().request(
                method,
                url,
                params=params,
                data=body,
                headers={"Accept-Encoding": "identity", **headers},
                timeout=deadline.left.total_seconds() or None,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = response.raw.read(LARGEST_BODY + 1, decode_content=True)
        except (requests.RequestException, HTTPError, OSError) as error:
            if exchange.response is not None:
                # urllib3 leaves it open if it makes no sense of its head.
                exchange.response.close()
            dropped = exchange.was_sent and isinstance(error, requests.ConnectionError) and bool(deadline.left)
            reason = _reason(error) if deadline.left else "no answer in time"
            raise NoAnswer(reason, was_sent=exchange.was_sent, was_dropped=dropped) from error
        finally:
            _current.reset(reset)
        if len(content) > LARGEST_BODY:
            raise NoAnswer(f"the answer is over {LARGEST_BODY} bytes", was_sent=True, was_too_large=True)
        return Received(status=response.status_code, headers=response.headers, body=content)

    def _session(self) -> requests.Session:
        now = time.monotonic()
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session()
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Adapter())
        elif now - self._local.used_at > self._idle:
            session.close()
        self._local.used_at = now
        return session


def _reason(error: BaseException) -> str:
    """Name the innermost cause; only the system's own messages are quoted, others may hold headers or addresses."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    is_of_system = isinstance(error, OSError) and not isinstance(error, requests.RequestException)
    return str(error) if is_of_system else type(error).__name__


class _TimedReader(io.RawIOBase):
    """The bytes that a socket receives until the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as the base class
        self._sock.settimeout(_current.get().seconds_left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))
        _current.get().response = self


class _TimedConnection(Connection):
    response_class = _TimedResponse

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; those that are tried share the time that is left."""
        exchange = _current.get()
        addresses = _resolve(self._dns_host, self.port, exchange.seconds_left())
        while True:
            address = addresses.pop(0)
            patience = exchange.seconds_left() / (len(addresses) + 1)
            try:
                connected = create_connection((address, self.port), patience, self.source_address, self.socket_options)
            except OSError:
                if not addresses:
                    raise
            else:
                # For the TLS handshake. A time that is up by now is noticed before anything is sent.
                connected.settimeout(exchange.deadline.left.total_seconds() or patience)
                return connected

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            self.connect()
        exchange = _current.get()
        exchange.seconds_left()
        exchange.was_sent = True
        super().request(*args, **kwargs)


class _TimedTlsConnection(_TimedConnection, TlsConnection):
    pass


class _Adapter(Adapter):
    connection = _TimedConnection
    tls_connection = _TimedTlsConnection


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of `host`. getaddrinfo knows no timeout, so it runs aside and may be left behind.

    Raises:
        OSError: there are none, or they did not come in time.
    """
    found: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            rows = socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
        except OSError as error:
            found.put(error)
        except UnicodeError:
            found.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))
        else:
            found.put(list(dict.fromkeys(str(row[4][0]) for row in rows)))

    threading.Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except queue.Empty as error:
        raise TimeoutError("no address in time") from error
    if isinstance(answer, OSError):
        raise answer
    return answer
