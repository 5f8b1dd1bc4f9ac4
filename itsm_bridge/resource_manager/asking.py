"""What may one run still ask Azure about single alerts?

`telling_alerts` and `telling_incidents` share one `Asking` per run. It counts requests, keeps the deadline, and asks
no more about a subscription that refused a change.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from itsm_bridge.deadline import Deadline
from itsm_bridge.resource_manager.answers import Gone, MissingRole
from itsm_bridge.resource_manager.client import ResourceManager
from itsm_bridge.resource_manager.last_word import MARK, is_of_system, look_of, needs_history
from itsm_bridge.resource_manager.listed_alert import AlertState, ListedAlert, subscription_of
from itsm_bridge.resource_manager.states import Look

#: How many requests about single alerts one run makes.
MOST_REQUESTS: Final = 300
#: How much time must be left to begin with one more alert.
_LEAST_TIME: Final = timedelta(seconds=5)


class EnoughForNow(Exception):
    """The run has asked as much as it may, or its time is up: the next one goes on."""


class Asking:
    """The requests of one run about single alerts."""

    def __init__(self, azure: ResourceManager, deadline: Deadline, *, known_as: Collection[str], is_dry: bool) -> None:
        self._azure = azure
        self._deadline = deadline
        self._requests = 0
        self._refusals: dict[str, MissingRole] = {}
        self._is_dry = is_dry
        #: The names under which our own changes stand in histories, lower-cased.
        self.known_as = set(known_as)

    def alert(self, alert_id: str, *, to_change: bool = False) -> ListedAlert | None:
        """Return an alert with its context, None if Azure has it no more; raises as `ResourceManager.alert`.

        Raises:
            EnoughForNow: it was not asked for.
            MissingRole: it is to be changed, and a change was refused in its subscription before.
        """
        if to_change and subscription_of(alert_id) in self._refusals:
            raise self._refusals[subscription_of(alert_id)]
        if self._requests >= MOST_REQUESTS or self._deadline.left <= _LEAST_TIME:
            raise EnoughForNow
        self._requests += 1
        return self._azure.alert(alert_id, deadline=self._deadline)

    def look(self, alert: ListedAlert) -> Look | None:
        """Return who gave the alert its state, None if Azure has it no more; raises as `ResourceManager.history`.

        Raises:
            EnoughForNow: it was not asked for.
        """
        if not needs_history(alert):
            return Look(state=alert.alert_state)
        if self._deadline.left <= _LEAST_TIME:
            raise EnoughForNow
        self._requests += 1
        try:
            entries = self._azure.history(alert.id, deadline=self._deadline)
        except Gone:
            return None
        return look_of(alert, entries, known_as=self.known_as)

    def change(self, alert: ListedAlert, state: AlertState, *, comment: str) -> bool:
        """Change the state of an alert, and return whether Azure still has it; raises as `ResourceManager`."""
        if self._is_dry:
            return True
        self._requests += 1
        try:
            changed = self._azure.change_state(alert, state, comment=f"{comment} ({MARK})", deadline=self._deadline)
        except Gone:
            return False
        except MissingRole as error:
            self._refusals[alert.subscription] = error
            raise
        if changed.alert_state is state and changed.modified_by and not is_of_system(changed):
            self.known_as.add(changed.modified_by.lower())
        return True
