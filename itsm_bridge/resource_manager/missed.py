"""Which alerts did Azure Monitor fail to bring, and how do they come in after all?

`follow_azure` runs this every two minutes, and the command `follow` once. Whatever Azure Monitor says, it says once:
after five repetitions it gives up, and then calls nobody at that address for 15 minutes. Azure's own list has the
alerts all the same, for 30 days.

1. What is younger than Azure Monitor's own repetitions take is left to them (`look.SETTLES_AFTER`).
2. A look begins a while before the end of the last one (`look.OVERLAP`), because the list knows some alerts late.
3. How far the looks came never passes what was not judged: the next run goes on there.
4. A run ends at its deadline, and asks about so many single alerts (`look.MOST_REQUESTS`)
   at most.
5. Whatever is handed on twice, by two processes or by a call that comes after all, changes nothing the second time.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook
"""

from collections.abc import Callable, Collection

from itsm_bridge.deadline import Deadline
from itsm_bridge.resource_manager.judging import Judge
from itsm_bridge.resource_manager.look import LEAST_TURN, MOST_REQUESTS, Look, Parts, Report


class MissedAlerts:
    """Finds what Azure Monitor failed to bring; called by one thread at a time."""

    def __init__(self, parts: Parts, subscriptions: Callable[[], Collection[str]]) -> None:
        """Connect the parts; `subscriptions` returns the followed ones, lower-cased, or raises a TemporaryError."""
        self._parts = parts
        self._subscriptions = subscriptions

    def run(self, deadline: Deadline) -> Report:
        """Look at each subscription, until all is judged or the time is up. Repeating it does no harm.

        Raises:
            TemporaryError: storage did not answer at the beginning.
        """
        report = Report()
        parts = self._parts
        judge = Judge(parts.azure, parts.rows, groups=parts.groups, rows_kept_for=parts.rows_kept_for, now=parts.now)
        looks = [Look(self._parts, judge, report, name) for name in sorted(self._subscriptions())]
        # The one that is furthest behind comes first, and leaves the others their share of time and requests.
        for place, look in enumerate(sorted(looks, key=lambda each: each.place)):
            turns = len(looks) - place
            turn = deadline.within(max(deadline.left / turns, LEAST_TURN))
            look.run(turn, most_requests=(MOST_REQUESTS - judge.requests) // turns)
        return report
