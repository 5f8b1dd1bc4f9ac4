"""What does ServiceNow hold?

Source of truth: the incident table and its state model,
https://www.servicenow.com/docs/bundle/zurich-it-service-management/page/product/incident-management/concept/c_IncidentManagementStateModel.html
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

#: The fields of an incident that this program writes after creating it. All others belong to people.
OWNED_FIELDS = ("short_description", "description", "impact", "urgency")

#: How many characters ServiceNow keeps of a field; the rest is cut without a word.
FIELD_LENGTHS: Mapping[str, int] = {
    "short_description": 160,
    "description": 4000,
    "correlation_id": 100,
    "correlation_display": 100,
}


class IncidentState(IntEnum):
    """The values of `incident.state` as ServiceNow ships them."""

    NEW = 1
    IN_PROGRESS = 2
    ON_HOLD = 3
    RESOLVED = 6
    CLOSED = 7
    CANCELED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One row of the incident table, as just read or as a write answered it."""

    sys_id: str
    number: str
    #: The raw value of `state`; customers add states of their own, so it is not an enum.
    state: int
    correlation_id: str
    #: Every field that was read, by ServiceNow's names, as raw values.
    fields: Mapping[str, str]
    #: The journal as one text, newest entry first; None if it was not asked for.
    work_notes: str | None = None
    #: What a write sent and ServiceNow stored otherwise: fields that it refused, cut or mangled.
    dropped: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether people may still work on it: neither resolved, nor closed, nor canceled."""
        return not (self.is_resolved or self.is_closed)

    @property
    def is_resolved(self) -> bool:
        """Whether it waits to be closed and can still be reopened."""
        return self.state == IncidentState.RESOLVED

    @property
    def is_closed(self) -> bool:
        """Whether it is final: closed or canceled, never to be written again."""
        return self.state in (IncidentState.CLOSED, IncidentState.CANCELED)


def sys_id_for(key: str, generation: int) -> str:
    """Return the sys_id that the incident of `key` has in its `generation`: 32 hex characters.

    ServiceNow honours a sys_id sent with an insert, so its primary key makes a second insert impossible.
    """
    return hashlib.sha256(f"{key}|{generation}".encode()).hexdigest()[:32]
