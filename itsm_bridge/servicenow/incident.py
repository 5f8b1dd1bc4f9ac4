"""What are the states and fields of an incident in ServiceNow?

`target`, `fields` and `incidents` look here. Nothing is read or written.

Source of truth: the incident table and its state model,
https://www.servicenow.com/docs/bundle/zurich-it-service-management/page/product/incident-management/concept/c_IncidentManagementStateModel.html
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from itsm_bridge.reconcile.ports import Status

#: The fields of an incident that this program writes after creating it. All others belong to people.
OWNED_FIELDS = ("short_description", "description", "impact", "urgency")

#: How many characters ServiceNow keeps of a field; the rest is cut without a word.
FIELD_LENGTHS: Mapping[str, int] = {
    "short_description": 160,
    "description": 4000,
    "correlation_id": 100,
    "correlation_display": 100,
}


#: The link to the configuration item, and the field that holds it.
CONFIGURATION_ITEM: Final = "configuration_item"
CI_FIELD: Final = "cmdb_ci"


class IncidentState(IntEnum):
    """The values of `incident.state` as ServiceNow ships them."""

    NEW = 1
    IN_PROGRESS = 2
    ON_HOLD = 3
    RESOLVED = 6
    CLOSED = 7
    CANCELED = 8


def status_of(state: int) -> Status:
    """Return what may still be done with an incident in `state`; a state of the customer's own is open."""
    if state in (IncidentState.CLOSED, IncidentState.CANCELED):
        return Status.CLOSED
    return Status.RESOLVED if state == IncidentState.RESOLVED else Status.OPEN
