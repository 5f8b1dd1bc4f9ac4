"""Which fields of an incident may a rule set, and which of them name another record?

`consistency` asks for each field of a file. The names are those of ServiceNow's incident table, and of what a customer
adds to it; whether an instance has a field is known to the instance alone.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-platform-administration/page/administer/reference-pages/concept/c_IncidentTable.html
"""

import re
from collections.abc import Mapping
from typing import Final

from itsm_bridge.rules.faults import Trouble, quoted

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}")
#: As ServiceNow writes the id of a record.
SYS_ID: Final = re.compile(r"[0-9a-fA-F]{32}")

#: Why a rule may not set a field.
_KEPT: Mapping[str, str] = {
    "sys_id": "the bridge chooses it, so that a repeated creation makes no second incident",
    "number": "ServiceNow gives it",
    "state": "it follows the alert: see lifecycle",
    "incident_state": "it follows the alert: see lifecycle",
    "active": "ServiceNow derives it from the state",
    "correlation_id": "the bridge finds the incident by it",
    "close_code": "it belongs to the end of the incident; the app setting SERVICENOW_CLOSE_CODE names it",
    "close_notes": "they tell how the alert ended",
    "work_notes": "each update would write them again; put the text into the description",
    "comments": "each update would write them again; put the text into the description",
    "priority": "ServiceNow computes it from impact and urgency: set those",
    **dict.fromkeys(("resolved_at", "resolved_by", "closed_at", "closed_by"), "ServiceNow keeps it"),
}

#: The fields of every incident that name another record.
REFERENCES: Final = frozenset(
    {
        "assigned_to",
        "assignment_group",
        "business_service",
        "caller_id",
        "caused_by",
        "cmdb_ci",
        "company",
        "location",
        "opened_by",
        "parent",
        "parent_incident",
        "problem_id",
        "rfc",
        "service_offering",
    }
)
#: For the hint: by which field of the other record people know it.
_KNOWN_BY: Mapping[str, str] = {"caller_id": "user_name", "assigned_to": "user_name", "opened_by": "user_name"}


def trouble_of_field(name: str) -> Trouble | None:
    """Return why a rule may not set the field `name`, None if it may."""
    if name in _KEPT:
        return Trouble(f"no rule may set {name}", _KEPT[name])
    if name.startswith("sys_"):
        return Trouble(f"no rule may set {quoted(name)}", "ServiceNow keeps the fields that begin with sys_")
    if not _NAME.fullmatch(name):
        return Trouble(f"{quoted(name)} is no name of a field", "small letters, digits and _, as in assignment_group")
    return None


def trouble_of_reference(name: str, text: str) -> Trouble | None:
    """Return why a text cannot be the value of the field `name`; templates are known when they are rendered."""
    if name not in REFERENCES or not text or "{{" in text or "{%" in text or SYS_ID.fullmatch(text):
        return None
    by = _KNOWN_BY.get(name, "name")
    return Trouble(f"{name} names another record", f"write {{ {by}: {text[:40]} }}, or its sys_id of 32 digits")
