"""Who last changed the state of an alert: a person, or the bridge?

`asking` asks for each alert that it looks at. Pure.
A change of ours is known by the mark in its comment, or by the name under which earlier ones stand in histories.
Whatever else changed a state is a person's word: the system never changes it.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-history
"""

from collections.abc import Collection, Iterable
from typing import Final

from itsm_bridge.resource_manager.history import STATE_CHANGE, Modification
from itsm_bridge.resource_manager.listed_alert import AlertState, ListedAlert
from itsm_bridge.resource_manager.states import Look

#: In the comment of each change that we make.
MARK: Final = "passed on by itsm-bridge"
_SYSTEM: Final = "system"


def is_of_system(alert: ListedAlert) -> bool:
    """Return whether the system changed the alert last, whatever people did before."""
    return alert.modified_by.lower() == _SYSTEM


def needs_history(alert: ListedAlert) -> bool:
    """Return whether an alert may hold a person's word."""
    return alert.alert_state is not AlertState.NEW or not is_of_system(alert)


def look_of(alert: ListedAlert, entries: Iterable[Modification], *, known_as: Collection[str]) -> Look:
    """Return the state of an alert and who gave it that.

    Args:
        alert: as Azure has it now.
        entries: its history, the oldest entry first; () if it was not asked for.
        known_as: the names under which our own changes stand in histories, lower-cased.
    """
    changes = [each for each in entries if each.is_a(STATE_CHANGE)]
    if not changes:
        # The history may not know yet what the alert shows.
        is_of_person = alert.alert_state is not AlertState.NEW
        return Look(state=alert.alert_state, person_at=alert.modified_at if is_of_person else None)
    last = changes[-1]
    if MARK in last.comments or last.by.lower() in known_as:
        return Look(state=alert.alert_state)
    return Look(state=alert.alert_state, person_at=last.at or alert.modified_at, by=last.by, comment=last.comments)
