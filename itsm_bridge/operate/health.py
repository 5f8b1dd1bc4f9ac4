"""Can the app do its work?

Anybody may ask, so the answer names parts and nothing else, and asking often costs nothing:
one look is remembered for a while, and ServiceNow is not called while it asked us to wait.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import BridgeError
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.servicenow.incidents import ServiceNow
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.wakeup_queue import WakeUpQueue

#: How long one look is good for.
FRESH = timedelta(seconds=15)
#: How long ServiceNow may take to answer.
PROBE_BUDGET = timedelta(seconds=3)


class Health:
    """The parts that the app depends on."""

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        store: AlertTable,
        wakeups: WakeUpQueue,
        servicenow: ServiceNow,
        circuit: Circuit,
        now: Callable[[], datetime],
    ) -> None:
        self._checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("entra", verifier.warm),
            ("table", store.check),
            ("queue", wakeups.check),
            ("servicenow", self._check_servicenow),
        )
        self._servicenow = servicenow
        self._circuit = circuit
        self._now = now
        self._lock = threading.Lock()
        self._looked_at: datetime | None = None
        self._down: tuple[str, ...] = ("not looked yet",)

    def down(self) -> tuple[str, ...]:
        """Return the names of the parts that are down, at most `FRESH` old."""
        is_fresh = self._looked_at is not None and self._now() - self._looked_at < FRESH
        # One looks; whoever asks meanwhile is told what was seen last, because waiting would hold a thread
        # that Azure Monitor may need.
        if not is_fresh and self._lock.acquire(blocking=False):
            try:
                self._down = tuple(name for name, check in self._checks if not _passes(check))
                self._looked_at = self._now()
            finally:
                self._lock.release()
        return self._down

    def _check_servicenow(self) -> bool:
        if self._circuit.paused_for():
            return False
        self._servicenow.probe(within=PROBE_BUDGET)
        # The process may be given no wake-ups that would find out.
        self._circuit.succeeded("", Kind.READ)
        return True


def _passes(check: Callable[[], object]) -> bool:
    try:
        return check() is not False
    except BridgeError:
        return False
