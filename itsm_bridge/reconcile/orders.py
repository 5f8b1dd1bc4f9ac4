"""What belongs to a step that was decided?

The worker asks here after `plan`: what the row must say before the step, what exactly is written, which of several
incidents is meant, and whether a confirmed write had its effect. Like `plan` this is pure. Nothing is sent here, and
the target only spells what is decided.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial

from itsm_bridge.reconcile.plan import CHANGES, Action, Decision
from itsm_bridge.reconcile.ports import Incident, Write
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import Note
from itsm_bridge.text import plain

#: How a record changes; idempotent, so that it can be applied to a newer version of the row.
Change = Callable[[Record], Record]


def intent(
    decision: Decision, record: Record, row: Record, *, now: datetime, creation_is_repeatable: bool | None
) -> Change | None:
    """Return how the row changes before the step is taken, because a process that dies then leaves only the row.

    None if the row says already what it must. `row` is the row as last written; `record` has the changes since, too.
    """
    if decision.action in CHANGES and not row.observed.incident_id:
        # A row that knows no incident can only have a creation in doubt, so it must name the incident first.
        return as_it_is
    if decision.action is Action.RESOLVE and decision.holds_notes and not _all_after_end(record):
        # Who finds it resolved later must know that it was not told why.
        return Record.telling_after_end
    if decision.holds_notes and not record.observed.is_repeated:
        # Who finds what both writes want must not take it for the arrival of the one in doubt.
        return Record.repeating
    if decision.action is not Action.CREATE:
        return None
    seen = record.observed
    # While a creation is in doubt, it may be the one that is found, and it told of no later firing. Any other doubt is
    # of a change to an incident that is gone.
    may_be_found = record.is_in_doubt(now) and not seen.incident_id
    if seen.generation_firing_count < record.desired.firing_count and not may_be_found:
        return partial(Record.begun, now=now)
    is_why = seen.in_doubt_until is not None and seen.id_refused and creation_is_repeatable is not True
    return Record.omitting_id if is_why and not seen.omits_id else None


def chooses_id(record: Record, *, creation_is_repeatable: bool | None) -> bool:
    """Whether to send our id: not to a target that ignores it, and not again if it may be why nothing was created.

    `intent` decides the latter when a creation was in doubt, the doubt has passed, and no incident was found.
    """
    return creation_is_repeatable is not False and not record.observed.omits_id


def after_unconfirmed_creation(
    record: Record, *, is_refusal: bool, creation_is_repeatable: bool | None, now: datetime
) -> Sequence[Change]:
    """Return how the record changes after a creation of unknown outcome, for the sake of the next creation."""
    chooses = chooses_id(record, creation_is_repeatable=creation_is_repeatable)
    counts = [] if chooses and creation_is_repeatable is True else [partial(Record.may_have_created, now=now)]
    return [*counts, *([Record.with_id_refused] if chooses and is_refusal else [])]


def had_effect(decision: Decision, observed: Incident | None) -> bool:
    """Whether a confirmed write left the incident in the state that it asked for."""
    if decision.action is Action.RESOLVE:
        return observed is not None and not observed.is_open
    if decision.action is Action.REOPEN:
        return observed is not None and observed.is_open
    return True


class Way(StrEnum):
    """How an incident is looked for."""

    BY_ID = "by id"
    BY_KEY = "by key"


def ways_to_look(record: Record, *, creation_is_repeatable: bool | None) -> Sequence[Way]:
    """Return how to look for the incident, until one way finds it.

    Its id proves that it is ours, whatever other integrations made of its key since, because the target told us the id,
    or the id follows from the key and no other program can have chosen it.
    """
    if record.observed.is_restored:
        # The row that knew its id is lost.
        return (Way.BY_KEY, Way.BY_ID)
    is_doubtful = record.observed.in_doubt_until is not None
    may_have_another = creation_is_repeatable is not True or record.observed.omits_id
    return (Way.BY_ID, Way.BY_KEY) if is_doubtful and may_have_another else (Way.BY_ID,)


def pick(record: Record, found: Sequence[Incident]) -> tuple[Incident | None, Sequence[Incident]]:
    """Return the incident of this generation among those of its key, oldest first, and its open doubles.

    Of several that are not closed the oldest counts, after a row was lost the oldest that is open, and of several that
    are closed the newest.
    """
    meant = [each for each in found if record.may_be_of_this_generation(each)]
    numbers = [incident.number for incident in meant]
    if record.observed.previous_number in numbers:
        meant = meant[numbers.index(record.observed.previous_number) + 1 :]
    unfinished = [incident for incident in meant if not incident.is_closed]
    # The row that is lost may have let another generation follow one that is resolved, but never one that is open.
    first = [incident for incident in unfinished if incident.is_open and record.observed.is_restored]
    known = next(iter((*first, *unfinished, *reversed(meant))), None)
    if known is None:
        return None, ()
    return known, [each for each in unfinished if each.is_open and each.id != known.id]


def write_for(
    decision: Decision, record: Record, incident: Incident | None, *, creation_is_repeatable: bool | None
) -> Write:
    """Return the write of the step; for an `incident` that is there it holds only what differs."""
    if incident is None:
        previous = record.observed.previous_number
        return Write(
            key=record.key,
            incident_id=record.incident_id if chooses_id(record, creation_is_repeatable=creation_is_repeatable) else "",
            fields=record.desired.fields,
            fields_at_creation=record.desired.fields_at_creation,
            links={name: end for name, end in record.observed.links.items() if end},
            notes=_marked(record, record.work.notes),
            preface=f"{previous} is over; this incident follows it." if previous else "",
            names=record.names,
        )
    resolves, reopens = decision.action is Action.RESOLVE, decision.action is Action.REOPEN
    is_changed = reopens or (incident.is_open and not resolves)
    notes = record.work.notes if resolves or reopens else record.notes_for(incident)
    notes = () if decision.holds_notes else notes
    return Write(
        key=record.key,
        incident_id=incident.id,
        fields=record.changed_fields(incident) if is_changed else {},
        links=record.changed_links(incident) if is_changed else {},
        notes=_marked(record, notes),
        preface="Azure Monitor reports that the alert fired again."
        if reopens and not notes and not decision.holds_notes
        else "",
        closing=record.desired.closing or "Azure Monitor reports the alert as resolved." if resolves else "",
        names=record.names,
    )


def refusal_note(decision: Decision, reason: str) -> str:
    """Return the work note that tells why the state of the incident does not follow the alert."""
    if decision.action is Action.REOPEN:
        what = "Azure Monitor reports that the alert fired again. This incident could not be reopened"
    else:
        what = "Azure Monitor reports the alert as resolved. This incident could not be resolved"
    return f"{what} by the integration: {plain(reason)}"


def _marked(record: Record, notes: Sequence[Note]) -> tuple[str, ...]:
    return tuple(note.marked(record.key) for note in notes)


def _all_after_end(record: Record) -> bool:
    return all(note.after_end for note in record.work.notes)


def as_it_is(record: Record) -> Record:
    """Return the record: only what was done so far is to be written."""
    return record
