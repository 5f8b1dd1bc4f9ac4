"""What does a notification change in what we remember of its key?

Only the desired half of the record. Whoever receives a notification merges it; that is pure, and repeating it changes
nothing: a repetition, and whatever is older than what is known, leave the very same record.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from itsm_bridge.incident import OWNED_FIELDS
from itsm_bridge.notification import Notification, changed_note
from itsm_bridge.record import Note, Record, Signal, fingerprint

#: How many characters of notes are owed at most. A resource that flaps through a long outage must not outgrow its row
#: (12 bytes for the worst of characters), and one journal entry holds a tenth: `writes` says there what is left out.
NOTES_LENGTH = 40_000

#: How many values of a field are remembered that were asked for and never confirmed.
_WISHES = 10


def first_record(notification: Notification, now: datetime) -> Record:
    """Return the record that a key begins with."""
    return Record(
        key=notification.key,
        created_at=now,
        signals={notification.signal: _signal_of(notification)},
        firing=1 if notification.opens else 0,
        revision=1,
        fields=notification.fields if notification.opens else {},
        facts=notification.facts,
        notes=(),
        close_notes=notification.note if notification.closes else "",
        resources=notification.resources,
        changed_at=now,
        applied={},
        wake_up_at=now,
    )


def merge(record: Record, notification: Notification, now: datetime) -> Record:
    """Return the record with the notification taken in, or the very same object if it says nothing new.

    A repetition says nothing new, nor does anything older than what its signal said last.
    The end of a signal is final unless it fires at a later time by Azure's clock.
    """
    known = record.signals.get(notification.signal)
    if known is not None and (_is_repetition(known, notification) or _is_outdated(known, notification)):
        return record
    revision = record.revision + 1
    fires_anew = notification.opens and (not record.is_firing or _fires_anew(known, notification))
    note = _note_for(record, notification, fires_anew=fires_anew)
    return replace(
        record,
        signals={**record.signals, notification.signal: _signal_of(notification)},
        firing=record.firing + (1 if fires_anew else 0),
        revision=revision,
        fields=notification.fields if notification.opens else record.fields,
        wished=_wished(record) if notification.opens else record.wished,
        facts=notification.facts,
        notes=_newest((*record.notes, Note(revision=revision, text=note))) if note else record.notes,
        close_notes=notification.note if notification.closes else record.close_notes,
        resources=notification.resources or record.resources,
        changed_at=now,
        wake_up_at=now,
        wake_up_id="",
        attempts=0,
        attempted_at=None,
        failing_since=None,
        last_error="",
        is_parked=False,
    )


def _newest(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Return the newest notes that fit."""
    while sum(len(note.text) for note in notes) > NOTES_LENGTH:
        notes = notes[1:]
    return notes


def _wished(record: Record) -> Mapping[str, tuple[str, ...]]:
    """Return what was asked for so far, the newest last."""
    return {
        name: (*record.wished.get(name, ()), fingerprint(value))[-_WISHES:]
        for name, value in record.fields.items()
        if name in OWNED_FIELDS
    }


def _signal_of(notification: Notification) -> Signal:
    return Signal(
        is_firing=notification.opens and not notification.closes, at=notification.at, digest=notification.digest
    )


def _is_repetition(known: Signal, notification: Notification) -> bool:
    """Whether it says what its signal said last. Health is told by several rules, each at a time of its own."""
    return known.digest == notification.digest and (notification.at == known.at or not notification.signal)


def _is_outdated(known: Signal, notification: Notification) -> bool:
    """Whether Azure said `notification` before what it said last.

    Azure gives no order of delivery, and a Resolved often carries no time but that of its Fired: at equal times,
    and where a time is missing, the end wins over the beginning.
    """
    reopens = notification.opens and not known.is_firing
    if notification.at is None or known.at is None:
        return reopens
    return notification.at < known.at or (reopens and notification.at == known.at)


def _fires_anew(known: Signal | None, notification: Notification) -> bool:
    """Whether a key that fires already fires once more: by another alert, or by the same one at a later time.

    What its one voice says of a health event that goes on is an update: people who closed its incident meant it.
    """
    if known is None or not notification.signal:
        return known is None
    return notification.at is not None and known.at is not None and notification.at > known.at


def _note_for(record: Record, notification: Notification, *, fires_anew: bool) -> str:
    if record.firing == 0:
        return ""
    if notification.opens and not fires_anew:
        return changed_note(record.facts, notification)
    return notification.note
