"""Does an incident come out as it went in?

The command `doctor --write` calls `try_incident`: one incident marked as a test is created as the program creates one,
looked at, given a work note and resolved, and each field is compared with what was sent. What ServiceNow refuses is
worded by the client itself (`table_api`).
"""

import secrets
from collections.abc import Mapping
from typing import Final

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Rejected, TemporaryError, Unconfirmed
from itsm_bridge.finding import Finding, Report, broken, ok, warning
from itsm_bridge.reconcile.ports import Incident
from itsm_bridge.servicenow.advice import ADMINISTRATOR, BY_TROUBLE
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.incident import IncidentState
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET, TableApi
from itsm_bridge.settings import ServiceNowSettings
from itsm_bridge.troubles import Troubles

_TITLE: Final = "[TEST] itsm-bridge doctor: does an incident come out as it went in?"

_RULE: Final = f"{ADMINISTRATOR} looks for a business rule on incident that does so, and exempts our account"
_POLICY: Final = f"{ADMINISTRATOR} exempts our account from the data policy, or a rule of the bridge fills these fields"


def try_incident(settings: ServiceNowSettings, report: Report) -> None:
    """Create, look at and resolve one incident, and report what did not come out as it went in."""
    troubles = Troubles()
    table_api = TableApi(settings.instance_url, credentials_of(settings, troubles), troubles=troubles)
    incidents = Incidents(table_api, close_code=settings.close_code)
    sys_id = secrets.token_hex(16)
    sent = {
        "sys_id": sys_id,
        "correlation_id": f"itsm-bridge-doctor-{sys_id}",
        "correlation_display": "Azure Monitor: itsm-bridge doctor",
        "short_description": _TITLE,
        "description": "Made by `python -m itsm_bridge doctor --write`. It is resolved at once, and means nothing.",
        "impact": "3",
        "urgency": "3",
    }
    try:
        created, is_refused = _create(incidents, sent, troubles)
    except BridgeError as error:
        what = "no incident was created"
        if isinstance(error, Unconfirmed) and not error.is_refusal:
            what = f"whether an incident was created is not known; look for one with the title {_TITLE!r}"
        report(_refused("servicenow.create", what, error, troubles))
        return
    try:
        found = incidents.find(created.id, deadline=_soon())
    except BridgeError as error:
        told = f"{created.number} was created and cannot be read again: resolve it by hand"
        report(_refused("servicenow.create", told, error, troubles))
        return
    if found is None:
        told = f"ServiceNow answered that {created.number} was created, and it is not there: something swallows it"
        report(broken("servicenow.create", told, _RULE))
        return
    report(_created(found))
    report(_sys_id(sys_id, created, is_refused=is_refused))
    report(_stored(created))
    if not found.is_closed:
        report(_resolved(incidents, created, troubles))


def _create(incidents: Incidents, sent: Mapping[str, str], troubles: Troubles) -> tuple[Incident, bool]:
    """Create the incident; return it and whether ServiceNow refused our sys_id, which looks like a lack of rights.

    Raises:
        BridgeError: it was not created.
    """
    try:
        return incidents.create(sent, deadline=_soon()), False
    except TemporaryError as error:
        # After a lost answer there may be an incident, and a second attempt would make another.
        if not error.is_refusal:
            raise
        rest = {name: value for name, value in sent.items() if name != "sys_id"}
        created = incidents.create(rest, deadline=_soon())
        troubles.take()
        return created, True


def _created(found: Incident) -> Finding:
    check = "servicenow.create"
    if found.is_open:
        return ok(check, f"{found.number} was created, marked as a test")
    state = _state(found)
    return broken(
        check, f"{found.number} was created and is {state} at once: a business rule ends new incidents", _RULE
    )


def _sys_id(wanted: str, created: Incident, *, is_refused: bool) -> Finding:
    check = "servicenow.sys-id"
    if created.id == wanted:
        return ok(check, "the instance keeps the sys_id that we choose")
    how = "refuses a sys_id of ours" if is_refused else "chooses a sys_id of its own"
    return warning(
        check,
        f"the instance {how}: after a lost answer a creation is repeated only once it is certain"
        " that there is no incident, which takes minutes",
        f"{ADMINISTRATOR} lets our account write incident.sys_id; without that nothing is doubled, only late",
    )


def _stored(created: Incident) -> Finding:
    check = "servicenow.fields"
    if created.not_stored:
        return broken(
            check,
            f"not stored as they were sent: {', '.join(created.not_stored)}",
            f"{ADMINISTRATOR} lets our account write these fields, or looks for a business rule that changes them",
        )
    return ok(check, "every field was stored as it was sent")


def _resolved(incidents: Incidents, created: Incident, troubles: Troubles) -> Finding:
    check = "servicenow.resolve"
    try:
        code = incidents.close_code(deadline=_soon())
        notes = {"work_notes": "Resolved by `doctor --write`.", "close_notes": "This was a test of itsm-bridge."}
        fields = {"state": str(int(IncidentState.RESOLVED)), **notes, **({"close_code": code} if code else {})}
        resolved = incidents.update(created.id, fields, deadline=_soon())
    except BridgeError as error:
        return _refused(
            check, f"{created.number} cannot be resolved, and stays open: resolve it by hand", error, troubles
        )
    if not resolved.is_resolved:
        told = f"{created.number} was resolved and is {_state(resolved)} all the same: resolve it by hand"
        return broken(check, told, _RULE)
    return ok(check, f"{created.number} was resolved")


def _refused(check: str, what: str, error: BridgeError, troubles: Troubles) -> Finding:
    """Return what a refusal means."""
    told = next((BY_TROUBLE[trouble] for trouble in troubles.take() if trouble in BY_TROUBLE), None)
    if told is not None:
        return broken(check, f"{told.meaning}: {what}", told.remedy)
    remedy = "try again; if it stays so, look at the other lines"
    if isinstance(error, Rejected):
        remedy = _POLICY if "mandatory" in str(error) else _RULE
    return broken(check, f"{what}: {error}", remedy)


def _state(incident: Incident) -> str:
    known = {str(int(state)): state.name.replace("_", " ").title() for state in IncidentState}
    return known.get(incident.state, incident.state)


def _soon() -> Deadline:
    return Deadline.after(REQUEST_BUDGET)
