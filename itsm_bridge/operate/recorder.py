"""When is it written down what goes wrong again and again?

`app` makes one `Recorder` per process. It writes soon after the first trouble and then at most every so often, in a
thread of its own, so that no call waits for it and a storm of refused calls costs a handful of writes. A process that
is killed loses the counts of the last seconds and nothing else.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from itsm_bridge.errors import BridgeError
from itsm_bridge.troubles import Tally, Trouble, Troubles

log = logging.getLogger(__name__)

#: How soon the first trouble after a quiet time is written down, and how often at most after that.
SOON: Final = timedelta(seconds=1)
INTERVAL: Final = timedelta(seconds=5)


class Recorder:
    """Writes the counts of one process; safe to share between threads."""

    def __init__(
        self, troubles: Troubles, add: Callable[[Trouble, Tally], object], *, interval: timedelta = INTERVAL
    ) -> None:
        """Write what `troubles` counts from now on by calling `add`, which may raise a BridgeError."""
        self._troubles = troubles
        self._add = add
        self._interval = interval
        self._lock = threading.Lock()
        self._is_planned = False
        self._wait = SOON
        troubles.on_count = self._plan

    def write(self) -> None:
        """Write now what was counted; what cannot be written is kept for the next time."""
        tallies = self._troubles.take()
        failed: dict[Trouble, Tally] = {}
        for trouble, tally in tallies.items():
            try:
                self._add(trouble, tally)
            except BridgeError as error:
                log.warning("what went wrong could not be written down: %s", error)
                failed[trouble] = tally
        self._keep(failed)

    def _keep(self, tallies: Mapping[Trouble, Tally]) -> None:
        self._troubles.put_back(tallies)
        if tallies:
            self._plan()

    def _plan(self) -> None:
        with self._lock:
            if self._is_planned:
                return
            self._is_planned = True
            timer = threading.Timer(self._wait.total_seconds(), self._run)
            self._wait = self._interval
        timer.daemon = True
        timer.start()

    def _run(self) -> None:
        with self._lock:
            self._is_planned = False
        self.write()
