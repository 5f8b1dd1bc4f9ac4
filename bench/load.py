"""What is it like to be Azure Monitor? Clients that send signed alerts over kept connections and wait for the answers.

Threads of the process that measures; one token for all, as Azure Monitor uses a token until it expires.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from local.alerts import MetricAlert

#: Azure Monitor repeats a call five times.
_MOST_SENDINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One alert that was sent, and its answer."""

    #: By `time.monotonic`, which all processes share.
    sent_at: float
    answered_at: float
    status: int
    outcome: str
    key: str
    #: How often it was sent before: answers that asked for it.
    refusals: int = 0

    @property
    def seconds(self) -> float:
        """How long the answer took."""
        return self.answered_at - self.sent_at


class Clients:
    """Connections to one webhook, one per thread."""

    def __init__(self, webhook: str, token: str) -> None:
        self._address = urlsplit(webhook)
        self._headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Bearer {token}"}
        self._local = threading.local()

    def send(self, body: bytes) -> Sent:
        """Send one alert and wait for its answer."""
        connection = self._connection()
        sent_at = time.monotonic()
        connection.request("POST", f"{self._address.path}?{self._address.query}", body, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        answered_at = time.monotonic()
        told: dict[str, Any] = json.loads(content or b"{}")
        return Sent(
            sent_at=sent_at,
            answered_at=answered_at,
            status=answer.status,
            outcome=str(told.get("outcome", "")),
            key=str(told.get("alert_key", "")),
        )

    def send_until_taken(self, body: bytes) -> Sent:
        """Send one alert, at once again after 503, as often as Azure Monitor would; return from the first sending on.

        Raises:
            RuntimeError: it was not taken.
        """
        first = self.send(body)
        sent = first
        for refusals in range(_MOST_SENDINGS):
            if sent.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
                return replace(sent, sent_at=first.sent_at, refusals=refusals)
            sent = self.send(body)
        raise RuntimeError(f"an alert was answered {sent.status} {_MOST_SENDINGS} times")

    def each(self, bodies: Sequence[bytes], *, clients: int) -> list[Sent]:
        """Send each body, so many at a time."""
        with ThreadPoolExecutor(clients) as threads:
            return list(threads.map(self.send_until_taken, bodies))

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(
                self._address.hostname or "", self._address.port, timeout=60
            )
        return connection


def alerts(number: int, make: Callable[[], MetricAlert] = MetricAlert) -> list[bytes]:
    """Return so many different alerts that fire."""
    return [json.dumps(make().fired()).encode() for _ in range(number)]


def in_time(sent: Iterable[Sent]) -> list[float]:
    """Return how long the answers took."""
    return [each.seconds for each in sent]
