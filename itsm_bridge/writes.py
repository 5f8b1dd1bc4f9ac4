"""Which fields does an action write?

Only owned fields, the state, and work notes: what people edit is never overwritten.
Priority is never sent, ServiceNow computes it from impact and urgency.
"""

from collections.abc import Mapping

from itsm_bridge.incident import Incident, IncidentState
from itsm_bridge.record import Record

#: How long a journal entry may be, in characters; ServiceNow cuts the rest without a word.
JOURNAL_LENGTH = 4000

_PARAGRAPH = "\n\n"
_LEFT_OUT = "Earlier notes are left out."


def creation(record: Record, *, chooses_sys_id: bool = True) -> Mapping[str, str]:
    """Return the fields of a new incident: its identity, what it says, and the notes that are owed."""
    identity = {"correlation_id": record.key}
    if chooses_sys_id:
        identity["sys_id"] = record.incident_sys_id
    notes = _notes(record)
    if record.previous_number:
        notes = _joined(f"{record.previous_number} is closed; this incident follows it.", notes)
    return {**identity, **record.fields, **_unless_empty(cmdb_ci=record.ci_sys_id or "", work_notes=notes)}


def update(record: Record, incident: Incident) -> Mapping[str, str]:
    """Return what differs and the notes that are owed; on a resolved incident the notes only."""
    changed = record.changed_fields(incident) if incident.is_open else {}
    return {**changed, **_unless_empty(work_notes=_notes(record))}


def resolution(record: Record, close_code: str) -> Mapping[str, str]:
    """Return what resolves the incident. ServiceNow demands a close code and close notes."""
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_code": close_code,
        "close_notes": record.close_notes or "Azure Monitor reports the alert as resolved.",
        **_unless_empty(work_notes=_notes(record)),
    }


def retirement(kept: Incident, close_code: str) -> Mapping[str, str]:
    """Return what resolves an incident that is the double of `kept`."""
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_code": close_code,
        "close_notes": f"Duplicate of {kept.number}.",
        "work_notes": f"This is a duplicate of {kept.number}, which stays.",
    }


def reopening(record: Record, incident: Incident) -> Mapping[str, str]:
    """Return what brings a resolved incident back to work."""
    return {
        "state": str(int(IncidentState.IN_PROGRESS)),
        **record.changed_fields(incident),
        "work_notes": _notes(record) or "Azure Monitor reports that the alert fired again.",
    }


def _notes(record: Record) -> str:
    """Return the notes that are owed, oldest first; if a journal entry cannot hold all, the newest of them."""
    kept: list[str] = []
    room = JOURNAL_LENGTH - len(_LEFT_OUT) - len(_PARAGRAPH)
    for note in reversed(record.notes):
        text = note.marked(record.key)
        room -= len(text) + len(_PARAGRAPH)
        if kept and room < 0:
            return _joined(_LEFT_OUT, *kept)
        kept.insert(0, text)
    return _joined(*kept)


def _joined(*texts: str) -> str:
    return _PARAGRAPH.join(text for text in texts if text)


def _unless_empty(**fields: str) -> Mapping[str, str]:
    return {name: value for name, value in fields.items() if value}
