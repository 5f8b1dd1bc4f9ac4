"""Whom do the followers of state ask and tell, and what do they report?

`app` makes the parts; `following_state`, `telling_alerts` and `telling_incidents` share them.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Damaged, LeadsNowhere, NewerVersion
from itsm_bridge.reconcile.followed import TouchedIncident
from itsm_bridge.reconcile.ports import Store, WakeUps
from itsm_bridge.reconcile.record import Record
from itsm_bridge.resource_manager.look import Progress
from itsm_bridge.resource_manager.one_look import OneLook
from itsm_bridge.troubles import Troubles

log = logging.getLogger(__name__)

#: A wake-up must not overtake the write of its row.
WAKE_UP_DELAY: Final = timedelta(seconds=5)


class TouchedIncidents(Protocol):
    """What the target tells of the incidents that changed; see `servicenow.people`."""

    @property
    def incidents(self) -> tuple[TouchedIncident, ...]:
        """The oldest change first."""

    @property
    def first_at(self) -> datetime | None:
        """The oldest change of all that were looked at, by the target's clock; None if there is none."""

    @property
    def cut_at(self) -> datetime | None:
        """The last change that was looked at, if there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateParts:
    """Whom a run asks and tells."""

    azure: OneLook
    #: Returns the incidents that changed in the last time; it may raise a BridgeError.
    touched: Callable[[timedelta, Deadline], TouchedIncidents]
    store: Store
    wakeups: WakeUps
    progress: Progress
    #: Returns the followed subscriptions, lower-cased; it may raise a TemporaryError.
    subscriptions: Callable[[], Collection[str]]
    #: Our clock, aware UTC.
    now: Callable[[], datetime]
    troubles: Troubles
    #: Alerts of other subscriptions are left alone, lower-cased; None: none are.
    only: frozenset[str] | None = None
    #: Whether nothing is changed anywhere and nothing written down.
    is_dry: bool = False
    #: From when on is looked, if that is before the end of the last look; our clock, aware UTC.
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """What was done about one alert, or would be."""

    #: The ARM id of the alert, as a notification or the list told it.
    alert_id: str
    #: The number of its incident.
    incident: str
    #: "acknowledge", "close" or "leave" of the alert; "note" in the incident.
    action: str
    #: For people.
    reason: str


@dataclass(slots=True, kw_only=True)
class StateReport:
    """What one run did."""

    changes: list[StateChange] = field(default_factory=list)
    #: What kept the run from its end, in sentences.
    troubles: list[str] = field(default_factory=list)
    #: Whether nothing is left for the next run.
    is_complete: bool = True


def row_of(store: Store, key: str) -> Record | None:
    """Return the row of a key; None if there is none, or none that this program may read and write.

    Raises:
        Unavailable: storage did not answer.
    """
    try:
        return store.read(key)
    except (Damaged, LeadsNowhere, NewerVersion) as error:
        log.warning("what people did is not passed on: %s", error)
        return None
