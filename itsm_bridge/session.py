"""What do our requests leave out that `requests` and `urllib3` would do again for each of them?

`transport` and `storage` make their sessions and connections of these.

1. `requests` looks up at every request which proxy and whose certificates the environment names, and a `.netrc` file
   besides: a tenth of the processor time of a call to storage. Nothing of that changes while a process lives, so
   `Session` looks it up once for each of the few hosts that we call.
2. `urllib3` hands the head of a request and its body to the socket apart. `Connection` hands them over in one piece:
   one packet instead of two, and a thread gives up the interpreter, and has to wait for it again, half as often.

Sources of truth: https://requests.readthedocs.io/en/latest/user/advanced/#proxies
                  https://urllib3.readthedocs.io/en/stable/reference/urllib3.connection.html
"""

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool


class Session(requests.Session):
    """A session that remembers what the environment says of a host; threads may share it as they share its base."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _as_it_is
        self._remembered: dict[str, Any] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:  # noqa: ANN401 - as the base class
        """Return proxies and certificates for the host of `url`; no request of ours asks for others of its own."""
        host = urlsplit(url).netloc
        if host not in self._remembered:
            self._remembered[host] = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**self._remembered[host], "stream": stream}

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no redirect, because none is followed: `requests` would read its whole body to prepare for it."""


class Connection(HTTPConnection):
    """A connection on which a request is sent in one piece; one thread at a time has it, as `urllib3` sees to."""

    #: What there is of the request that is being put together; None while there is none.
    _pieces: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request whose body, if it has one, is text or bytes."""
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            super().request(*args, **kwargs)
        finally:
            self._pieces = None
        super().send(b"".join(pieces))

    def send(self, data: Any) -> None:  # noqa: ANN401 - as the base class
        """Keep what belongs to the request that is being put together, and send anything else, as to a proxy."""
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)


class TlsConnection(Connection, HTTPSConnection):
    """The same over TLS."""


class Adapter(HTTPAdapter):
    """Makes the connections of a session."""

    connection: type[HTTPConnection] = Connection
    tls_connection: type[HTTPConnection] = TlsConnection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """Return the pool of connections to a host, as the base class, but of our connections."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if isinstance(pool, HTTPConnectionPool):
            pool.ConnectionCls = self.tls_connection if pool.scheme == "https" else self.connection
        return pool


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep `requests` from replacing the Authorization header by the content of a .netrc file."""
    return request
