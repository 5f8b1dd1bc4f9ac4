"""Which fields does an action write?

Only owned fields, the state, and work notes: what people edit is never overwritten.
Priority is never sent, ServiceNow computes it from impact and urgency.
"""

from collections.abc import Mapping, Sequence

from itsm_bridge.reconcile.record import Note, Record
from itsm_bridge.servicenow.incident import Incident, IncidentState
from itsm_bridge.text import plain

#: How long a journal entry may be, in characters; ServiceNow cuts the rest without a word.
JOURNAL_LENGTH = 4000

_PARAGRAPH = "\n\n"
_LEFT_OUT = "Earlier notes are left out."


def creation(record: Record, *, chooses_sys_id: bool = True) -> Mapping[str, str]:
    """Return the fields of a new incident: its identity, what it says, and the notes that are owed."""
    identity = {"correlation_id": record.key}
    if chooses_sys_id:
        identity["sys_id"] = record.incident_sys_id
    before = f"{record.previous_number} is closed; this incident follows it." if record.previous_number else ""
    notes = _noted(record.key, record.notes, before=before)
    return {**identity, **record.fields, **_unless_empty(cmdb_ci=record.ci_sys_id or "", work_notes=notes)}


def update(record: Record, incident: Incident) -> Mapping[str, str]:
    """Return what differs and the notes that are owed; on a resolved incident the notes only."""
    changed = record.changed_fields(incident) if incident.is_open else {}
    return {**changed, **_unless_empty(work_notes=_noted(record.key, record.notes_for(incident)))}


def resolution(record: Record, close_code: str) -> Mapping[str, str]:
    """Return what resolves the incident. ServiceNow demands close notes, and mostly a close code.

    Without a code that states the truth the instance is left to fill it in, as a rule or a default of its own may.
    """
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_notes": record.close_notes or "Azure Monitor reports the alert as resolved.",
        **_unless_empty(close_code=close_code, work_notes=_noted(record.key, record.notes)),
    }


def retirement(kept: Incident, close_code: str) -> Mapping[str, str]:
    """Return what resolves an incident that is the double of `kept`."""
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_notes": f"Duplicate of {kept.number}.",
        "work_notes": f"This is a duplicate of {kept.number}, which stays.",
        **_unless_empty(close_code=close_code),
    }


def reopening(record: Record, incident: Incident) -> Mapping[str, str]:
    """Return what brings a resolved incident back to work."""
    return {
        "state": str(int(IncidentState.IN_PROGRESS)),
        **record.changed_fields(incident),
        "work_notes": _noted(record.key, record.notes) or "Azure Monitor reports that the alert fired again.",
    }


def refusal(*, reopens: bool, reason: str) -> str:
    """Return the work note that tells why the state of the incident does not follow the alert."""
    if reopens:
        what = "Azure Monitor reports that the alert fired again. This incident could not be reopened"
    else:
        what = "Azure Monitor reports the alert as resolved. This incident could not be resolved"
    return f"{what} by the integration: {plain(reason)}"


def _noted(key: str, notes: Sequence[Note], *, before: str = "") -> str:
    """Return `before` and notes, oldest first; if a journal entry cannot hold all, the newest of them."""
    kept: list[str] = []
    room = JOURNAL_LENGTH - len(_joined(before, _LEFT_OUT)) - len(_PARAGRAPH)
    for note in reversed(notes):
        text = note.marked(key)
        room -= len(text) + len(_PARAGRAPH)
        if kept and room < 0:
            return _joined(before, _LEFT_OUT, *kept)
        kept.insert(0, text)
    return _joined(before, *kept)


def _joined(*texts: str) -> str:
    return _PARAGRAPH.join(text for text in texts if text)


def _unless_empty(**fields: str) -> Mapping[str, str]:
    return {name: value for name, value in fields.items() if value}
