"""Where is the ServiceNow instance of a benchmark? In a process of its own, which notes when incidents came to be."""

import threading
import time
from collections import Counter
from http import HTTPStatus
from types import TracebackType
from typing import Self

from local.servicenow.exchange import Request, Response
from local.servicenow.faults import Fault
from local.servicenow.instance import ServiceNowStandIn
from proof.apart import Apart


class Instance:
    """The stand-in, seen from the process that measures."""

    def __init__(self) -> None:
        self._apart = Apart(_Timed)

    def __enter__(self) -> Self:
        """Start it."""
        self._apart.__enter__()
        self.url: str = self._apart.call("address")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._apart.__exit__(kind, error, trace)

    @property
    def settings(self) -> dict[str, str]:
        """What points the app at it; the OAuth client of the world is known to every stand-in."""
        return {"SERVICENOW_INSTANCE_URL": self.url}

    def delay(self, seconds: float) -> None:
        """Let each request wait so long before it is executed and answered."""
        self._apart.call("set_delay", seconds)

    def forget(self) -> None:
        """Forget calls, creations and the greatest number in flight."""
        self._apart.call("forget")

    def calls(self) -> Counter[str]:
        """Return how often each method was called on each table, such as `POST incident`."""
        counted: Counter[str] = self._apart.call("counted")
        return counted

    def max_in_flight(self) -> int:
        """Return how many requests waited for their answers at once, at most."""
        most: int = self._apart.call("most")
        return most

    def created(self) -> dict[str, list[float]]:
        """Return when the incidents of each correlation id came to be, by `time.monotonic`, one clock for all."""
        created: dict[str, list[float]] = self._apart.call("creations")
        return created

    def wait_for(self, key: str, *, within: float = 60) -> float:
        """Return when the incident of `key` came to be, waiting until it does.

        Raises:
            RuntimeError: it does not come in time.
        """
        ends_at = time.monotonic() + within
        while (at := self._apart.call("created_at", key)) is None:
            if time.monotonic() > ends_at:
                raise RuntimeError(f"no incident of {key} within {within} s")
            time.sleep(0.05)
        created_at: float = at
        return created_at


class _Timed(ServiceNowStandIn):
    def __init__(self) -> None:
        super().__init__()
        self._creations: dict[str, list[float]] = {}
        self._creations_lock = threading.Lock()

    def answer(self, request: Request, fault: Fault | None, is_stopping: threading.Event) -> Response | None:
        response = super().answer(request, fault, is_stopping)
        if (
            request.method == "POST"
            and request.table == "incident"
            and response
            and response.status == HTTPStatus.CREATED
        ):
            with self._creations_lock:
                key = str(request.fields.get("correlation_id", ""))
                self._creations.setdefault(key, []).append(time.monotonic())
        return response

    # Called from the other process.

    def address(self) -> str:
        return self.url

    def set_delay(self, seconds: float) -> None:
        self.delay = seconds

    def forget(self) -> None:
        self.forget_calls()
        with self._creations_lock:
            self._creations.clear()

    def counted(self) -> Counter[str]:
        return Counter(f"{call.method} {call.table}" for call in self.calls)

    def most(self) -> int:
        return self.max_in_flight

    def creations(self) -> dict[str, list[float]]:
        with self._creations_lock:
            return dict(self._creations)

    def created_at(self, key: str) -> float | None:
        with self._creations_lock:
            return next(iter(self._creations.get(key, ())), None)
