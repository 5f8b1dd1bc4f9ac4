"""What does a notification change in what we remember of its key?

The reconciler calls `merge` for a webhook. It changes the desired part of the record, and the notes and the wake-up
that follow from it; the next step for the incident is decided in `plan`. It is pure, and repeating it changes nothing:
a repetition leaves the very same record, and so does a notification that is older than what is known, unless it is the
end of the firing before the present one, or the first word of the beginning of an alert that is over.

Azure promises no order of delivery, so the times that it sends decide, as far as they can:

1. An alert with an alertId ends once, because a firing after that has another alertId. Its end wins over a beginning
   that is up to `END_WINS_WITHIN` later, because services round times, drop digits and have clocks of their own, and
   many a Resolved gives only the time when its alert fired.
2. A key with a single voice (health, and metric alerts of the older schema) begins and ends again and again. There the
   order decides. If the digits that were sent cannot tell the order, the end wins as well, unless it already ended a
   firing that we know: then the beginning belongs to another firing.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview (stateful alerts)
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from itsm_bridge.azure_monitor.notification import changed_note
from itsm_bridge.azure_monitor.timestamps import is_before, utc_text
from itsm_bridge.reconcile.crowd import crowded
from itsm_bridge.reconcile.desired import Desired, News, Signal
from itsm_bridge.reconcile.found import is_found_twice, is_missed_beginning, knows_end_alone
from itsm_bridge.reconcile.gathering import Group
from itsm_bridge.reconcile.observed import Observed
from itsm_bridge.reconcile.record import Record, fingerprint
from itsm_bridge.reconcile.work import Note, Work
from itsm_bridge.rules.ruling import AutoResolve

#: How much later than its end the beginning of an alert may be dated, and how much earlier the end of one that fires.
END_WINS_WITHIN = timedelta(seconds=2)

#: How many characters of notes are owed at most. A resource that flaps through a long outage must not outgrow its row
#: (12 bytes for the worst of characters), and one journal entry holds a tenth: the target says there that earlier notes
#: are left out.
NOTES_LENGTH = 40_000

#: How many notifications of a signal are recognised when they come again; several action groups repeat theirs in turn.
_SAID_KEPT = 24


def first_record(news: News, now: datetime, *, key: str = "") -> Record:
    """Return the record that a key begins with; settled if rules ignore it.

    `key` is that of a group that the alert shares its incident with; "" if it has an incident of its own.
    """
    if news.ignored_by:
        desired = Desired(signals={news.signal: _ignored(news, None)}, firing_count=0, revision=1, changed_at=now)
        return Record(
            key=news.key, created_at=now, desired=desired, observed=Observed(revision=1), work=Work(wake_up_at=now)
        )
    says_anything = _says_anything(news)
    is_shared = key not in ("", news.key)
    group = _group_of(news, key) if is_shared else None
    desired = Desired(
        signals={_name_of(news, key or news.key): _signal_of(news, None, revision=1)} if says_anything else {},
        shared=group.shared if group else None,
        shared_name=group.name if group else "",
        firing_count=1 if news.opens else 0,
        revision=1 if says_anything else 0,
        changed_at=now,
        held_until=_held_until(None, news, now),
        shadowed_by=news.shadowed_by if says_anything else "",
    )
    notes = (Note(revision=1, text=news.recovered, after_end=False),) if news.recovered and news.opens else ()
    work = Work(wake_up_at=desired.held_until or now, notes=notes)
    return Record(key=key or news.key, created_at=now, desired=desired, work=work)


def _count(desired: Desired) -> str:
    """Return the sentence that ends a note about one of several alerts."""
    if not desired.stands_for_several:
        return ""
    fire = {0: "none fires", 1: "1 fires"}.get(desired.firing, f"{desired.firing} fire")
    return f"\nOf the {desired.count} alerts of this incident, {fire} now."


def _group_of(news: News, key: str) -> Group | None:
    """Return the group of `news` whose incident has this key."""
    if news.group is not None and (news.storm is None or key == news.group.key):
        return news.group
    return news.storm or news.group


def _name_of(news: News, key: str) -> str:
    """Return how the row of `key` names the signal that speaks: in a group, a single voice has its own key for one."""
    return news.signal or ("" if news.key == key else news.key)


def merge(record: Record, news: News, now: datetime) -> Record:
    """Return the record with the news taken in, or the very same object if they say nothing new.

    A repetition says nothing new, nor does a notification that is older than the last one of its signal. The same words
    at a later time are no news either (`revision` stays), but from then on a notification older than they is outdated.
    """
    known = record.desired.signals.get(_name_of(news, record.key))
    if known is None and not _says_anything(news):
        return record
    if _is_ignored(known, news):
        return _with_ignored(record, known, news)
    # Of a signal that was ignored so far, nothing is known that could outdate this.
    if known is None or (known.at is None and known.ignored_by):
        return _with_news(record, None, news, now)
    return _with_next(record, known, news, now)


def _with_next(record: Record, known: Signal, news: News, now: datetime) -> Record:
    """Return the record with the next word of a signal that is known."""
    if _was_said(known, news) or is_found_twice(known, news):
        return record
    if is_missed_beginning(known, news):
        return _with_missed_firing(record, known, news, now)
    if not _is_outdated(known, news):
        return _with_word(record, known, news, now)
    if news.signal and news.opens and knows_end_alone(known):
        return _with_signal(record, news, replace(known, began_late=True))
    return _with_firing_between(record, known, news, now)


def _with_word(record: Record, known: Signal, news: News, now: datetime) -> Record:
    """Return the record with a word of a signal that is the last one so far."""
    if not _says_anything(news) and not record.desired.is_firing:
        return record
    if _ends_trial(record, news):
        return _with_news(record, known, news, now)
    if _is_said_again(known, news):
        said_again = replace(known, at=_later(known.at, news.at), said=_with_saying(known, news))
        return record if said_again.at == known.at else _with_signal(record, news, said_again)
    return _with_news(record, known, news, now)


def _with_firing_between(record: Record, known: Signal, notification: News, now: datetime) -> Record:
    """Return the record with one more firing if `notification` is the end of the firing before the present one.

    Then the last update was a new beginning, and people who had ended the incident before did not know of it.
    """
    if notification.signal or notification.opens or not known.is_firing:
        return record
    if known.began_at is None or notification.at is None:
        return record
    if not (is_before(known.began_at, notification.at) and _is_earlier(known, notification)):
        return record
    signal = replace(known, began_at=known.at, said=_with_saying(known, notification))
    return _anew(_with_signal(record, notification, signal), firing_count=record.desired.firing_count + 1, now=now)


def _with_missed_firing(record: Record, known: Signal, news: News, now: datetime) -> Record:
    """Return the record with the firing that the known end ended: people get an incident of it that is over."""
    told = _signal_of(news, known, revision=record.desired.revision + 1)
    over = replace(told, is_firing=False, began_at=None, ended_firing=True, digest=known.digest, closing=known.closing)
    note = Note(revision=over.revision, text=news.recovered, after_end=False)
    with_note = record.with_work(replace(record.work, notes=_newest((*record.work.notes, note))))
    shadowed = replace(with_note, desired=replace(record.desired, shadowed_by=_shadowed_by(record, news)))
    merged = _with_signal(shadowed, news, over)
    return _anew(merged, firing_count=record.desired.firing_count + 1, now=now)


def _with_news(record: Record, known: Signal | None, news: News, now: datetime) -> Record:
    desired = record.desired
    revision = desired.revision + 1
    fires_anew = news.opens and (not desired.is_firing or _fires_anew(known, news))
    note = _note_for(record, known, news, revision=revision, fires_anew=fires_anew)
    told = _with_signal(record, news, _signal_of(news, known, revision=revision))
    told = replace(told, desired=replace(told.desired, shadowed_by=_shadowed_by(record, news)))
    if note:
        counted = replace(note, text=f"{note.text}{_count(told.desired)}")
        told = told.with_work(replace(told.work, notes=_newest((*told.work.notes, counted))))
    return _on_hold(_anew(told, firing_count=desired.firing_count + (1 if fires_anew else 0), now=now), record, news)


def _anew(record: Record, *, firing_count: int, now: datetime) -> Record:
    """Return the record with news that no worker has seen yet."""
    desired = replace(record.desired, revision=record.desired.revision + 1, firing_count=firing_count, changed_at=now)
    work = replace(record.work.without_failure(), wake_up_at=now, wake_up_id="")
    merged = replace(record, desired=desired, work=work)
    # The holder of the lease goes on from the newer row, and may send all that this wants.
    return merged if work.leased_until is None else merged.asking()


def _on_hold(record: Record, before: Record, news: News) -> Record:
    """Return the record with what `news` changed, put on hold, or released from it, as the rules want."""
    now, still_fires = record.desired.changed_at, record.desired.is_firing
    # A word that begins nothing, or the end of another alert, says nothing of what goes on firing.
    held_until = before.desired.held_until if still_fires and not news.opens else _held_until(before, news, now)
    cleared = before.desired.cleared_firing_count
    if before.is_on_hold(now) and not still_fires:
        cleared = record.desired.firing_count
    if held_until is None and (None, cleared) == (before.desired.held_until, before.desired.cleared_firing_count):
        return record
    desired = replace(record.desired, held_until=held_until, cleared_firing_count=cleared)
    wake_up_at = max(held_until or now, record.work.wake_up_at)
    return replace(record, desired=desired, work=replace(record.work, wake_up_at=wake_up_at))


def _held_until(before: Record | None, news: News, now: datetime) -> datetime | None:
    """Return until when what fires is on hold: one that is goes on, and what nobody was told of yet needs none."""
    if not news.opens or news.closes or not news.lifecycle.hold:
        return None
    if before is None or not (before.desired.is_firing or before.has_news):
        return now + news.lifecycle.hold
    return before.desired.held_until


def expire(record: Record, now: datetime) -> Record:
    """Return the record with what fires ended by our clock, because Azure never ends it; idempotent."""
    expires_at = record.desired.expires_at
    if expires_at is None or now < expires_at:
        return record
    revision = record.desired.revision + 1
    last = utc_text(record.desired.changed_at)
    text = f"Azure Monitor does not end this alert, and last spoke of it at {last}. A rule closes it after that time."
    signals = {
        name: replace(each, is_firing=False, is_expired=True, closing=text, revision=revision)
        if each.is_firing
        else each
        for name, each in record.desired.signals.items()
    }
    ended = replace(record, desired=replace(record.desired, signals=signals, held_until=None))
    return _anew(ended, firing_count=record.desired.firing_count, now=now)


def bring_in(record: Record, now: datetime) -> Record:
    """Return the record of what fires on trial with its trial ended: it is news to the target; idempotent."""
    if not record.desired.is_shadowed or not record.desired.is_firing:
        return record
    ended = replace(record, desired=replace(record.desired, shadowed_by=""))
    return _anew(ended, firing_count=record.desired.firing_count, now=now)


def _shadowed_by(record: Record, news: News) -> str:
    """Return the rule that keeps the key from the target after `news`; "" if none does.

    A trial begins and ends with a beginning. What has an incident, or is owed one, goes on until Azure ends it, because
    nobody else would resolve that incident; and the end of what was on trial is on trial too.
    """
    desired = record.desired
    is_live = not desired.is_shadowed and (desired.is_firing or not record.is_settled)
    return desired.shadowed_by if is_live or not news.opens else news.shadowed_by


def _ends_trial(record: Record, news: News) -> bool:
    """Whether what fires on trial is to have an incident by now, even if nothing else is new."""
    return record.desired.is_shadowed and record.desired.is_firing and news.opens and not news.shadowed_by


def _is_ignored(known: Signal | None, news: News) -> bool:
    """Whether there is to be no incident of `news`; the end of a firing that has one is always taken in."""
    has_incident = known is not None and known.is_firing
    if news.opens:
        return bool(news.ignored_by)
    return not has_incident and bool(news.ignored_by or (known is not None and known.ignored_by))


def _with_ignored(record: Record, known: Signal | None, news: News) -> Record:
    """Return the record knowing what was ignored; what fires already goes on until Azure ends it."""
    if known is not None and (known.is_firing or _was_said(known, news)):
        return record
    return _with_signal(record, news, _ignored(news, known))


def _ignored(news: News, known: Signal | None) -> Signal:
    before = known or Signal(is_firing=False, at=None, digest="")
    return replace(
        before,
        # An end leaves its time behind: what it ended is over, whatever rules say of a beginning that comes late. Else
        # there is none, because by other rules the same beginning would not be outdated.
        at=_later(before.at, news.at) if news.closes and not news.opens else before.at,
        said=_with_saying(known, news),
        facts=news.facts,
        ignored_by=news.ignored_by or before.ignored_by,
    )


def _with_signal(record: Record, notification: News, signal: Signal) -> Record:
    signals = {**record.desired.signals, _name_of(notification, record.key): signal}
    desired = replace(record.desired, signals=signals)
    return replace(record, desired=desired if desired.shared is None else crowded(desired))


def _newest(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Return the newest notes that fit."""
    while sum(len(note.text) for note in notes) > NOTES_LENGTH:
        notes = notes[1:]
    return notes


def _signal_of(news: News, known: Signal | None, *, revision: int) -> Signal:
    """Return the signal after `news`; `known` is the signal before."""
    content = news.content
    before = known or Signal(is_firing=False, at=None, digest="")
    said_now = replace(
        before,
        said=_with_saying(known, news),
        facts=news.facts,
        links=content.links if any(content.links.values()) else before.links,
        revision=revision,
        lifecycle=news.lifecycle,
    )
    if not _says_anything(news):
        return said_now
    told = replace(
        said_now,
        is_firing=news.opens and not news.closes,
        at=_later(before.at, news.at),
        digest=news.digest,
        began_at=_began_at(news, known),
        ended_firing=news.closes and (before.is_firing or before.ended_firing),
        closing=news.note if news.closes else before.closing,
        ignored_by="",
        is_expired=False,
        is_recovered=bool(news.recovered),
    )
    if not news.opens:
        return told
    return replace(told, fields=content.fields, fields_at_creation=content.fields_at_creation)


def _began_at(notification: News, known: Signal | None) -> datetime | None:
    if not notification.opens or notification.closes:
        return None
    return known.began_at if known is not None and known.is_firing else notification.at


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return other if one is None or (other is not None and other > one) else one


def _says_anything(notification: News) -> bool:
    """Whether it begins or ends anything: an update of a resource that was available before and is now does not."""
    return notification.opens or notification.closes


def _saying(notification: News) -> str:
    # A notification that neither begins nor ends anything is no news when it is repeated at another time.
    at = notification.at if _says_anything(notification) else None
    # Once a rule that ignored it or had it on trial is gone, the same notification may come again and counts.
    fate = " ignored" if notification.ignored_by else " on trial" if notification.shadowed_by else ""
    return fingerprint(f"{notification.digest} {at.isoformat() if at else ''}{fate}")


def _with_saying(known: Signal | None, notification: News) -> tuple[str, ...]:
    return ((known.said if known else ()) + (_saying(notification),))[-_SAID_KEPT:]


def _was_said(known: Signal, notification: News) -> bool:
    """Whether this very notification was taken in lately."""
    return _saying(notification) in known.said


def _is_said_again(known: Signal, notification: News) -> bool:
    """Whether it says what its signal said last, even if at a later time.

    An alert with an alertId that fires at a later time has fired once more. Several rules tell of one health event,
    each with a time of its own.
    """
    if known.digest != notification.digest:
        return False
    return not notification.signal or not notification.opens or not _is_later(known, notification)


def _is_outdated(known: Signal, notification: News) -> bool:
    """Whether Azure said `notification` before what it said last, as far as the times can tell."""
    if _is_earlier(known, notification):
        return True
    reopens = notification.opens and not known.is_firing
    if not reopens or _is_later(known, notification):
        return False
    return bool(notification.signal) or notification.at is None or known.at is None or not known.ended_firing


def _is_earlier(known: Signal, notification: News) -> bool:
    if notification.at is None or known.at is None:
        return False
    return is_before(notification.at, known.at, within=_unsure(notification))


def _is_later(known: Signal, notification: News) -> bool:
    if notification.at is None or known.at is None:
        return False
    return is_before(known.at, notification.at, within=_unsure(notification))


def _unsure(notification: News) -> timedelta:
    return END_WINS_WITHIN if notification.signal else timedelta(0)


def _fires_anew(known: Signal | None, notification: News) -> bool:
    """Whether a key that fires already fires once more: by another alert, or by the same one at a later time.

    A health event has one voice. While it goes on, that voice tells updates, and people who closed the incident meant
    the whole event.
    """
    if known is None or not notification.signal:
        return known is None
    return _is_later(known, notification)


def _note_for(
    record: Record, known: Signal | None, notification: News, *, revision: int, fires_anew: bool
) -> Note | None:
    desired = record.desired
    if desired.firing_count == 0:
        return None
    if notification.closes and notification.lifecycle.auto_resolve is AutoResolve.OFF:
        return None
    # Of an alert that is not one of the newest in a crowd, the facts were forgotten, and nothing can be compared.
    facts = (known or desired.speaker).facts or notification.facts
    text = notification.note if fires_anew or notification.closes else changed_note(facts, notification)
    tells_of_end = notification.closes and not notification.opens and not desired.is_firing
    if not text or (tells_of_end and text == desired.closing):
        return None
    return Note(revision=revision, text=text, after_end=tells_of_end)


def shown(record: Record, fields: Mapping[str, str]) -> Record:
    """Return the record of several alerts whose incident is to have these fields."""
    if record.desired.combined == fields:
        return record
    changed = replace(record, desired=replace(record.desired, combined=fields))
    return changed if record.work.leased_until is None else changed.asking()
