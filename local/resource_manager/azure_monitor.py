"""How does Azure Monitor call a webhook, and when does it give up?

The scene of the demonstration and the tests of missed alerts play it in virtual time: `fires` plans a call, `run` lets
time pass and makes those that are due. As documented: five repetitions after 5, 20, 5, 40 and 5 seconds, for 408, 429,
503, 504 and no answer; when the last one fails too, nobody calls that address for 15 minutes, and what would have been
sent meanwhile is never sent. Whatever becomes of the call, the alert is in Azure's list.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from local.resource_manager.service import ResourceManagerStandIn

PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 20, 5, 40, 5))
SILENCE = timedelta(minutes=15)
_REPEATED = frozenset({0, 408, 429, 503, 504})


class VirtualClock:
    """A time that is set by whoever plays with it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time, aware UTC."""
        return self.now


class AzureMonitor:
    """One action group with one secure webhook."""

    def __init__(
        self,
        clock: VirtualClock,
        resource_manager: ResourceManagerStandIn,
        call: Callable[[Mapping[str, Any]], int],
    ) -> None:
        """Call nobody yet.

        Args:
            clock: What the time is; `run` sets it.
            resource_manager: Azure's list, which is told of each alert.
            call: Sends a notification to the webhook; returns the status of the answer, 0 if there was none.
        """
        self._clock = clock
        self._list = resource_manager
        self._call = call
        self._order = count()
        self._planned: list[tuple[datetime, int, int, Mapping[str, Any]]] = []
        self._silent_until: datetime | None = None
        #: How many notifications were answered, given up, and never sent.
        self.ended: Counter[str] = Counter()
        #: Notifications that nobody took.
        self.lost: list[Mapping[str, Any]] = []

    def fires(self, notification: Mapping[str, Any]) -> None:
        """Let an alert begin, end or change now: it is in the list at once, and the webhook is called next."""
        self._list.told(notification)
        self._plan(self._clock(), 0, notification)

    def run(self, until: datetime) -> None:
        """Make the calls that are due until then, in order, and let that be the time."""
        while self._planned and self._planned[0][0] <= until:
            at, _, attempt, notification = heapq.heappop(self._planned)
            self._clock.now = max(self._clock.now, at)
            self._attempt(attempt, notification)
        self._clock.now = max(self._clock.now, until)

    @property
    def last_call(self) -> datetime:
        """Return when the last call is due that is planned, at the earliest; now if there is none."""
        return max((at for at, *_ in self._planned), default=self._clock())

    def _plan(self, at: datetime, attempt: int, notification: Mapping[str, Any]) -> None:
        heapq.heappush(self._planned, (at, next(self._order), attempt, notification))

    def _attempt(self, attempt: int, notification: Mapping[str, Any]) -> None:
        now = self._clock()
        if self._silent_until is not None and now < self._silent_until:
            self._lose("never sent" if attempt == 0 else "given up", notification)
            return
        status = self._call(notification)
        if status not in _REPEATED:
            if status < 300:  # noqa: PLR2004 - success
                self.ended["answered"] += 1
            else:
                self._lose("refused", notification)
        elif attempt < len(PAUSES):
            self._plan(now + PAUSES[attempt], attempt + 1, notification)
        else:
            self._silent_until = now + SILENCE
            self._lose("given up", notification)

    def _lose(self, how: str, notification: Mapping[str, Any]) -> None:
        self.ended[how] += 1
        self.lost.append(notification)
