"""Can the app do its work?

`function_app.health` asks `Health.down`; the composition root names the parts.

Anybody may ask, so the answer names parts and nothing else, and asking often costs nothing: one look is remembered for
a while, and ServiceNow is not called while it asked us to wait.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Unavailable
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.servicenow.incidents import Incidents

#: How long one look is good for.
FRESH: Final = timedelta(seconds=15)
#: How long ServiceNow may take to answer.
PROBE_BUDGET: Final = timedelta(seconds=3)


class Check(NamedTuple):
    """A part that the app depends on, and how to find out whether it is up."""

    name: str
    #: Raises a BridgeError that says why the part is down.
    run: Callable[[], object]


class Health:
    """The parts that the app depends on, looked at together."""

    def __init__(
        self, *checks: Check, now: Callable[[], datetime], standing: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """Look at `checks`, and name the parts that `standing` knows to be down, as other processes found.

        `standing` may raise a BridgeError if it cannot tell.
        """
        self._checks = checks
        self._standing = standing
        self._now = now
        self._lock = threading.Lock()
        self._looked_at: datetime | None = None
        self._down: tuple[str, ...] = ("not looked yet",)

    def down(self) -> tuple[str, ...]:
        """Return the names of the parts that are down, at most `FRESH` old."""
        is_fresh = self._looked_at is not None and self._now() - self._looked_at < FRESH
        # One caller looks. The others get what was seen last, because waiting would hold threads that Azure Monitor
        # may need.
        if not is_fresh and self._lock.acquire(blocking=False):
            try:
                down = [check.name for check in self._checks if not _passes(check)]
                # The table has a check of its own.
                with suppress(BridgeError):
                    down += self._standing()
                self._down = tuple(dict.fromkeys(down))
                self._looked_at = self._now()
            finally:
                self._lock.release()
        return self._down


def servicenow_check(incidents: Incidents, circuit: Circuit) -> Check:
    """Return the check of ServiceNow, which does not call it during a pause and ends a pause that is over."""

    def run() -> None:
        pause = circuit.paused_for()
        if pause:
            raise Unavailable("nobody calls ServiceNow now", retry_after=pause)
        incidents.probe(deadline=Deadline.after(PROBE_BUDGET))
        # The process may be given no wake-ups that would find out.
        circuit.succeeded("", Kind.READ)

    return Check(name="servicenow", run=run)


def _passes(check: Check) -> bool:
    try:
        check.run()
    except BridgeError:
        return False
    return True
