"""What does a notification change in what we remember of its key?

Only the desired half of the record. The webhook that receives a notification merges it; that is pure, and repeating it
changes nothing: a repetition, and whatever is older than what is known, leave the very same record.

Azure promises no order of delivery, so the times that it sends decide, as far as they can:

1. An alert with an alertId ends once, because a firing after that has another alertId. Its end wins over a beginning
   that is up to `END_WINS_WITHIN` later: services round times, drop digests, and have clocks of their own, and many a
   Resolved knows only when its alert fired.
2. A key with a single voice (health, and metric alerts of the older schema) begins and ends again and again. There the
   order decides, unless the digits that were sent cannot tell it; then the end wins as well, but not over a beginning
   that nobody has seen while the end already has one.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview (stateful alerts)
"""

from dataclasses import replace
from datetime import datetime, timedelta

from itsm_bridge.azure_monitor.notification import Notification, changed_note
from itsm_bridge.azure_monitor.timestamps import is_before
from itsm_bridge.reconcile.record import Note, Record, Signal, fingerprint

#: How much later than its end the beginning of an alert may be dated, and the end of one that fires how much earlier.
END_WINS_WITHIN = timedelta(seconds=2)

#: How many characters of notes are owed at most. A resource that flaps through a long outage must not outgrow its row
#: (12 bytes for the worst of characters), and one journal entry holds a tenth: `writes` says there what is left out.
NOTES_LENGTH = 40_000

#: How many notifications of a signal are recognised when they come again: several action groups repeat theirs in turn.
_SAID_KEPT = 24


def first_record(notification: Notification, now: datetime) -> Record:
    """Return the record that a key begins with."""
    return Record(
        key=notification.key,
        created_at=now,
        signals={notification.signal: _signal_of(notification, None)} if _says_anything(notification) else {},
        firing=1 if notification.opens else 0,
        revision=1 if _says_anything(notification) else 0,
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

    A repetition says nothing new, nor does anything older than what its signal said last. The same words at a later
    time are no news either (`revision` stays), but what is older than they are is outdated from then on.
    """
    known = record.signals.get(notification.signal)
    if known is None and not _says_anything(notification):
        return record
    if known is not None:
        if _was_said(known, notification):
            return record
        if _is_outdated(known, notification):
            return _with_firing_between(record, known, notification, now)
        if not _says_anything(notification) and not record.is_firing:
            return record
        if _is_said_again(known, notification):
            said_again = replace(known, at=_later(known.at, notification.at), said=_with_saying(known, notification))
            return record if said_again.at == known.at else _with_signal(record, notification, said_again)
    return _with_news(record, known, notification, now)


def _with_firing_between(record: Record, known: Signal, notification: Notification, now: datetime) -> Record:
    """Return the record with one more firing if `notification` is the end of the one before that which goes on.

    What came as a mere update was a new beginning then: people who ended the incident before did not know of it.
    """
    if notification.signal or notification.opens or not known.is_firing:
        return record
    if known.began_at is None or notification.at is None:
        return record
    if not (is_before(known.began_at, notification.at) and _is_earlier(known, notification)):
        return record
    signal = replace(known, began_at=known.at, said=_with_saying(known, notification))
    return _anew(replace(_with_signal(record, notification, signal), firing=record.firing + 1), now)


def _with_news(record: Record, known: Signal | None, notification: Notification, now: datetime) -> Record:
    revision = record.revision + 1
    fires_anew = notification.opens and (not record.is_firing or _fires_anew(known, notification))
    note = _note_for(record, notification, revision=revision, fires_anew=fires_anew)
    merged = replace(
        _with_signal(record, notification, _signal_of(notification, known)),
        firing=record.firing + (1 if fires_anew else 0),
        fields=notification.fields if notification.opens else record.fields,
        facts=notification.facts,
        notes=_newest((*record.notes, note)) if note else record.notes,
        close_notes=notification.note if notification.closes else record.close_notes,
        resources=notification.resources or record.resources,
    )
    return _anew(merged, now)


def _anew(record: Record, now: datetime) -> Record:
    """Return the record with news that nobody has worked on yet."""
    merged = replace(
        record,
        revision=record.revision + 1,
        changed_at=now,
        wake_up_at=now,
        wake_up_id="",
        attempts=0,
        attempted_at=None,
        failing_since=None,
        last_error="",
        refusal="",
        is_parked=False,
        is_waiting=False,
        woken_at=None,
    )
    # The holder of the lease goes on from the newer row, and may send what it wants now.
    return merged if record.leased_until is None else merged.asking()


def _with_signal(record: Record, notification: Notification, signal: Signal) -> Record:
    return replace(record, signals={**record.signals, notification.signal: signal})


def _newest(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Return the newest notes that fit."""
    while sum(len(note.text) for note in notes) > NOTES_LENGTH:
        notes = notes[1:]
    return notes


def _signal_of(notification: Notification, known: Signal | None) -> Signal:
    """Return what a signal says after `notification`, when it had said `known`."""
    was_firing = known is not None and known.is_firing
    said = _with_saying(known, notification)
    if known is not None and not _says_anything(notification):
        return replace(known, said=said)
    return Signal(
        is_firing=notification.opens and not notification.closes,
        at=_later(known.at if known else None, notification.at),
        digest=notification.digest,
        said=said,
        began_at=_began_at(notification, known),
        ended_firing=notification.closes and (was_firing or (known is not None and known.ended_firing)),
        unknown=known.unknown if known else {},
    )


def _began_at(notification: Notification, known: Signal | None) -> datetime | None:
    if not notification.opens or notification.closes:
        return None
    return known.began_at if known is not None and known.is_firing else notification.at


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None or (other is not None and other > one) else one


def _says_anything(notification: Notification) -> bool:
    """Whether it begins or ends anything: an update of a resource that was available before and is now does not."""
    return notification.opens or notification.closes


def _saying(notification: Notification) -> str:
    # What neither begins nor ends anything is no news when it is said again, at whatever time.
    at = notification.at if _says_anything(notification) else None
    return fingerprint(f"{notification.digest} {at.isoformat() if at else ''}")


def _with_saying(known: Signal | None, notification: Notification) -> tuple[str, ...]:
    return ((known.said if known else ()) + (_saying(notification),))[-_SAID_KEPT:]


def _was_said(known: Signal, notification: Notification) -> bool:
    """Whether this very notification was taken in before, lately."""
    return _saying(notification) in known.said


def _is_said_again(known: Signal, notification: Notification) -> bool:
    """Whether it says what its signal said last, at whatever later time.

    An alert with an alertId that fires at a later time has fired once more. Health is told by several rules, each at a
    time of its own.
    """
    if known.digest != notification.digest:
        return False
    return not notification.signal or not notification.opens or not _is_later(known, notification)


def _is_outdated(known: Signal, notification: Notification) -> bool:
    """Whether Azure said `notification` before what it said last, as far as the times can tell."""
    if _is_earlier(known, notification):
        return True
    reopens = notification.opens and not known.is_firing
    if not reopens or _is_later(known, notification):
        return False
    return bool(notification.signal) or notification.at is None or known.at is None or not known.ended_firing


def _is_earlier(known: Signal, notification: Notification) -> bool:
    if notification.at is None or known.at is None:
        return False
    return is_before(notification.at, known.at, within=_unsure(notification))


def _is_later(known: Signal, notification: Notification) -> bool:
    if notification.at is None or known.at is None:
        return False
    return is_before(known.at, notification.at, within=_unsure(notification))


def _unsure(notification: Notification) -> timedelta:
    return END_WINS_WITHIN if notification.signal else timedelta(0)


def _fires_anew(known: Signal | None, notification: Notification) -> bool:
    """Whether a key that fires already fires once more: by another alert, or by the same one at a later time.

    What its one voice says of a health event that goes on is an update: people who closed its incident meant it.
    """
    if known is None or not notification.signal:
        return known is None
    return _is_later(known, notification)


def _note_for(record: Record, notification: Notification, *, revision: int, fires_anew: bool) -> Note | None:
    if record.firing == 0:
        return None
    text = notification.note if fires_anew or notification.closes else changed_note(record.facts, notification)
    tells_of_end = notification.closes and not notification.opens and not record.is_firing
    if not text or (tells_of_end and text == record.close_notes):
        return None
    return Note(revision=revision, text=text, after_end=tells_of_end)
