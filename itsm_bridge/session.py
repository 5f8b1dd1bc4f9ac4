"""What does the environment say about our requests: which proxy, whose certificates?

`transport` and `storage` make a session for their connections. `requests` looks the environment up at every request,
and for a `.netrc` file besides: a tenth of the processor time of a call to storage. Nothing of that changes while a
process lives, so it is looked up once for each of the few hosts that we call.

Source of truth: https://requests.readthedocs.io/en/latest/user/advanced/#proxies
"""

from typing import Any
from urllib.parse import urlsplit

import requests


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


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep `requests` from replacing the Authorization header by the content of a .netrc file."""
    return request
