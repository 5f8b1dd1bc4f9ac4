"""How is an alert, or a write that was decided, spelled in the fields of an incident?

The target calls this; nothing is decided here but lengths and markup.
Of an incident that is there only the fields and links that the loop decided to write, the state with its close code and
close notes, and work notes are written, because its other fields belong to people. Priority is never sent, because
ServiceNow computes it from impact and urgency.
The link `configuration_item`, which an alert has by its resource, is the field `cmdb_ci`; any other link is the field
of its name, `cmdb_ci` included, which then wins because an operator asked for it.
"""

from collections.abc import Collection, Mapping, Sequence

from itsm_bridge.azure_monitor.notification import affected_resources
from itsm_bridge.azure_monitor.wording.description import description_of
from itsm_bridge.azure_monitor.wording.form import name_of
from itsm_bridge.reconcile.ports import Content, Incident, Write
from itsm_bridge.rules.ruling import Reference, Ruling
from itsm_bridge.servicenow.incident import CI_FIELD, CONFIGURATION_ITEM, FIELD_LENGTHS, OWNED_FIELDS, IncidentState
from itsm_bridge.text import clip, narrow, one_line, plain

#: How long a journal entry may be, in characters; ServiceNow cuts the rest without a word.
JOURNAL_LENGTH = 4000

#: Columns up to this length hold no characters of four bytes.
_SHORT_COLUMN = 255

_PARAGRAPH = "\n\n"
_LEFT_OUT = "Earlier notes are left out."


def content_of(ruling: Ruling) -> Content:
    """Return what the incident of an alert says as the rules want it, and the candidates for its configuration item.

    The text of the program stands where no rule sets title, description or display. What a rule sets is made harmless
    and fitted as that text is.
    """
    alert, wording = ruling.alert, ruling.wording
    title, is_cut = _title(ruling)
    source = name_of(alert.alert_rule) or alert.monitoring_service
    fields = {
        "description": description_of(alert, wording, limit=FIELD_LENGTHS["description"], is_cut=is_cut),
        "correlation_display": one_line(f"Azure Monitor: {source}" if source else "Azure Monitor"),
        **ruling.fields,
        "short_description": title,
    }
    texts = {name: fitted(name, text) for name, text in fields.items()}
    # What a rule sets is kept up to date like our own fields, until a person edits it.
    kept = dict.fromkeys((*OWNED_FIELDS, *ruling.fields))
    named = {*ruling.fields, *ruling.references}
    return Content(
        fields={name: texts[name] for name in kept if name in texts},
        fields_at_creation={name: text for name, text in texts.items() if name not in kept},
        links={
            **{name: (str(each),) for name, each in ruling.references.items()},
            # A rule that names the configuration item leaves nothing to look for.
            CONFIGURATION_ITEM: () if CI_FIELD in named else affected_resources(alert),
        },
    )


def common_content(fields: Mapping[str, str], references: Mapping[str, Reference]) -> Content:
    """Return what rules give every incident, whatever its alert."""
    return Content(
        fields={name: fitted(name, text) for name, text in fields.items()},
        links={name: (str(each),) for name, each in references.items()},
    )


def _title(ruling: Ruling) -> tuple[str, bool]:
    """Return the title, and whether it does not hold the whole headline."""
    alert, wording = ruling.alert, ruling.wording
    test = "[TEST] " if alert.is_test else ""
    if said := ruling.fields.get("short_description"):
        title = f"{test}{one_line(said)}"
        return title, plain(wording.headline) not in fitted("short_description", title)
    prefix = test + (f"{alert.severity}: " if alert.severity else "")
    title = f"{prefix}{wording.title(FIELD_LENGTHS['short_description'] - len(prefix))}"
    # The title is cut to its length, and to the characters that its column holds.
    return title, fitted("short_description", title) != plain(f"{prefix}{wording.headline}")


def creation(write: Write) -> Mapping[str, str]:
    """Return the fields of a new incident: its identity, what it says, and the notes that are owed."""
    return {
        "correlation_id": write.key,
        **_unless_empty(sys_id=write.incident_id),
        **write.fields,
        **write.fields_at_creation,
        **_beside(write),
    }


def change(write: Write) -> Mapping[str, str]:
    """Return the fields that differ and the notes that are owed."""
    return {**write.fields, **_beside(write)}


def resolution(write: Write, close_code: str) -> Mapping[str, str]:
    """Return the fields that resolve the incident. ServiceNow demands close notes, and mostly a close code.

    If no code of the instance states the truth, none is sent; a rule or a default of the instance may fill one in.
    """
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_notes": write.closing,
        **_unless_empty(close_code=close_code),
        **change(write),
    }


def reopening(write: Write) -> Mapping[str, str]:
    """Return the fields that bring a resolved incident back to work."""
    return {"state": str(int(IncidentState.IN_PROGRESS)), **change(write)}


def retirement(kept: Incident, close_code: str) -> Mapping[str, str]:
    """Return the fields that resolve an incident that is the double of `kept`."""
    return {
        "state": str(int(IncidentState.RESOLVED)),
        "close_notes": f"Duplicate of {kept.number}.",
        "work_notes": f"This is a duplicate of {kept.number}, which stays.",
        **_unless_empty(close_code=close_code),
    }


def shown(names: Collection[str]) -> Sequence[str]:
    """Return the fields of these names, but for that of the configuration item, with which every incident is read."""
    return tuple(name for name in names if name != CONFIGURATION_ITEM)


def _beside(write: Write) -> Mapping[str, str]:
    """Return the links by their fields, and the notes."""
    links = {CI_FIELD: write.links.get(CONFIGURATION_ITEM, "")}
    links |= {name: end for name, end in write.links.items() if name != CONFIGURATION_ITEM and end}
    return _unless_empty(**links, work_notes=_noted(write.notes, before=write.preface))


def _noted(notes: Sequence[str], *, before: str = "") -> str:
    """Return `before` and notes, oldest first; if a journal entry cannot hold all, the newest of them."""
    kept: list[str] = []
    room = JOURNAL_LENGTH - len(_joined(before, _LEFT_OUT)) - len(_PARAGRAPH)
    for text in reversed(notes):
        room -= len(text) + len(_PARAGRAPH)
        if kept and room < 0:
            return _joined(before, _LEFT_OUT, *kept)
        kept.insert(0, text)
    return _joined(before, *kept)


def fitted(name: str, text: str) -> str:
    """Return `text` without markup, in the characters and the length that the column `name` holds."""
    # Of a field that only a rule knows, the instance knows the length; it may be a short column.
    is_short = FIELD_LENGTHS.get(name, _SHORT_COLUMN) <= _SHORT_COLUMN
    limit = FIELD_LENGTHS.get(name, FIELD_LENGTHS["description"])
    return clip(narrow(plain(text)) if is_short else plain(text), limit)


def _joined(*texts: str) -> str:
    return _PARAGRAPH.join(text for text in texts if text)


def _unless_empty(**fields: str) -> Mapping[str, str]:
    return {name: value for name, value in fields.items() if value}
