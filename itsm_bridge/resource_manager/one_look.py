"""How do two followers look at the same list with one request?

`app` makes one `OneLook` per process where missed alerts and states are followed. What `StateFollower` asked for at the
beginning of a run answers what `MissedAlerts` asks for afterwards, if that lies within it.
"""

from datetime import datetime

from itsm_bridge.deadline import Deadline
from itsm_bridge.resource_manager.client import MOST_PAGES, Changes, ResourceManager


class OneLook(ResourceManager):
    """Azure's own list, which remembers what it was last asked for; called by one thread at a time."""

    def forget(self) -> None:
        """Forget what was asked for: another run begins."""
        self._known: dict[str, tuple[datetime, datetime, Changes]] = {}

    def changed(
        self,
        subscription: str,
        *,
        since: datetime,
        until: datetime,
        deadline: Deadline,
        monitor_condition: str = "",
        most_pages: int = MOST_PAGES,
    ) -> Changes:
        """Return what changed between two moments; raises as `ResourceManager.changed`."""
        known = getattr(self, "_known", {})
        if subscription in known and not monitor_condition:
            known_since, known_until, changes = known[subscription]
            if known_since <= since and until <= known_until:
                return _within(changes, since, until)
        found = super().changed(
            subscription,
            since=since,
            until=until,
            deadline=deadline,
            monitor_condition=monitor_condition,
            most_pages=most_pages,
        )
        if not monitor_condition:
            known[subscription] = (since, until, found)
        return found


def _within(changes: Changes, since: datetime, until: datetime) -> Changes:
    alerts = tuple(each for each in changes.alerts if since <= each.modified_at <= until)
    return Changes(alerts, tuple(each for each in changes.unreadable if since <= each.since <= until))
