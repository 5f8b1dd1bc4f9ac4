"""What do we remember of one correlation key?

A record has two halves, so that two writers never undo each other's work:

1. The *desired* half says what Azure Monitor last said. Whoever receives a notification writes it, with `merge`.
2. The *observed* half says what ServiceNow was last seen to hold. Only the holder of the lease writes it.

`revision` counts the accepted notifications, `observed_revision` is the one last brought to ServiceNow;
the record is settled when they are equal. (Kubernetes: generation and observedGeneration.)

The lease is the intent that is written before every effect: a lease that ran out without being released means that
its holder died and may have sent a write whose outcome nobody knows. Such a record is *in doubt* until the write
must have ended, one way or the other. The same holds for a write whose answer was lost.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from itsm_bridge.servicenow.incident import OWNED_FIELDS, Incident, IncidentState, sys_id_for

#: How long a write may go on inside ServiceNow after its sender gave up:
#: 60 s of quota, queueing before it, and an edge that cuts requests at about 5 minutes.
SETTLE_TIME = timedelta(minutes=6)

#: How much older than its row an incident must be to belong to a time that the row does not know:
#: far more than two clocks differ, far less than the shortest retention of rows.
PREDATES = timedelta(hours=1)

#: How long a wake-up may be overdue before nobody counts on it any more.
WAKE_UP_GRACE = timedelta(minutes=10)

#: How many decisions are remembered.
DECISIONS_KEPT = 10

#: How many incidents one key may be given within an hour. People and rules that close each new one at once must not
#: turn a resource that flaps into a flood.
MOST_CREATIONS = 6
CREATIONS_WITHIN = timedelta(hours=1)

#: How long before this generation was begun, by our clock, ServiceNow's clock may date its incident.
CLOCKS_DIFFER = timedelta(minutes=2)

#: How many values of a field are remembered that may have been sent and were never confirmed: more than an alert says
#: in all the time that it may wait, and what a row has room for.
WISHES_KEPT = 4000

#: In place of a revision, for the note that tells of the configuration item.
_BINDING = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What one of the key's alerts said last."""

    is_firing: bool
    #: When Azure says it happened, aware UTC; None if it did not tell.
    at: datetime | None
    digest: str
    #: What it said lately, as `fingerprint`s of digest and time: several action groups send several texts of one
    #: moment, and Azure Monitor repeats each of them.
    said: tuple[str, ...] = ()
    #: Whether its end ended a firing that we knew; if not, the beginning that belongs to it may still come.
    ended_firing: bool = False
    #: When the firing that goes on began, as far as we know; None if it does not fire, or Azure did not tell.
    began_at: datetime | None = None
    #: What a newer version of this program wrote here; it is kept.
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A work note that the incident does not have yet."""

    #: The revision that it belongs to: unique within a record. 0 tells of the configuration item, a negative one that
    #: ServiceNow refused the state which this revision asks for.
    revision: int
    text: str
    #: Whether it tells something after the end was told, so that it belongs on a resolved incident too.
    after_end: bool = False

    def marked(self, key: str) -> str:
        """Return the text with a mark by which the note is recognised in the journal."""
        return f"{self.text}\n({self.mark(key)})"

    def mark(self, key: str) -> str:
        """Return the mark: the same for the same note of the same key, whoever writes it."""
        return "ref " + hashlib.sha256(f"{key}|{self.revision}".encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was done about the incident, and why: for people who ask later."""

    #: When it was last done, our clock, aware UTC.
    at: datetime
    #: The step, as the table of `plan` names it.
    action: str
    #: What the step follows from: a row and a column of that table.
    reason: str
    #: What came of it.
    result: str
    #: How often in a row the same was done for the same reason with the same result.
    times: int = 1

    def is_like(self, other: "Decision") -> bool:
        """Whether both are the same, at whatever time."""
        return (self.action, self.reason, self.result) == (other.action, other.reason, other.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of the table `alerts`. Every change returns a new record."""

    key: str
    #: When the row was made, our clock, aware UTC.
    created_at: datetime

    # Desired: what Azure Monitor last said.
    signals: Mapping[str, Signal]
    #: How often the key began to fire; 0 if only its end was seen.
    firing: int
    revision: int
    fields: Mapping[str, str]
    facts: Mapping[str, str]
    notes: tuple[Note, ...]
    #: What to write into `close_notes`; "" before anything closed.
    close_notes: str
    resources: tuple[str, ...]
    #: When a notification was last accepted, our clock.
    changed_at: datetime

    # Observed: what ServiceNow was last seen to hold.
    #: Whether the row before could not be read, so that the incident it knew of must be searched for.
    is_restored: bool = False
    #: Which incident of this key: a new one follows when the old one is closed.
    generation: int = 1
    #: The `firing` for which this generation was begun, and when; None for the first one.
    generation_firing: int = 1
    generation_since: datetime | None = None
    #: The `firing` for which ServiceNow last confirmed a creation: none is ever created twice.
    created_firing: int = 0
    #: When incidents of this key were created or may have been, the last few.
    creations: tuple[datetime, ...] = ()
    #: The `firing` that the incident is known to tell of.
    reported_firing: int = 0
    observed_revision: int = 0
    sys_id: str = ""
    number: str = ""
    #: The number of the generation before, if there was one.
    previous_number: str = ""
    #: Whether it was or will be created without a sys_id of ours, so that it is found by `correlation_id` alone.
    omits_sys_id: bool = False
    #: Whether the instance itself refused a creation that named our sys_id, which may be why.
    sys_id_refused: bool = False
    #: The sys_id of its configuration item; "" if nothing is bound, None as long as nobody looked.
    ci_sys_id: str | None = None
    #: Whether a note about its configuration item may be in a journal that is hidden from us.
    item_may_be_told: bool = False
    #: Whether the configuration item could not be looked for and is to be, although all else is told.
    binds_later: bool = False
    #: What we last asked ServiceNow to store in each owned field and what it stored, as `fingerprint`s.
    applied: Mapping[str, str]
    #: What else we may have sent since then, as `fingerprint`s: it may be there although no answer said so.
    wished: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Up to which revision notes may have been sent under the present lease, and under those that left a doubt.
    asked_revision: int = 0
    doubted_revision: int = 0
    #: How often the incident had been changed when it was last seen; "" if that is not known.
    mod_count: str = ""
    #: The fields that ServiceNow did not store as we last sent them: refused, cut or mangled.
    dropped: tuple[str, ...] = ()
    #: Until when a write may still take effect whose outcome is unknown; None if there is none.
    in_doubt_until: datetime | None = None

    # The work itself.
    #: Names the last write by a holder of the lease, so that it recognises one whose answer was lost.
    write_mark: str = ""
    leased_until: datetime | None = None
    lease_holder: str = ""
    #: When the wake-up that this row counts on is due, and its message id; "" if it is not known.
    wake_up_at: datetime
    wake_up_id: str = ""
    attempts: int = 0
    #: When an attempt last failed.
    attempted_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str = ""
    is_parked: bool = False
    #: Whether no wake-up is on its way, because ServiceNow is away: `resync` has it looked at after `wake_up_at`.
    is_waiting: bool = False
    #: When it was woken because ServiceNow was seen to be back; None if that is not why.
    woken_at: datetime | None = None
    #: Why ServiceNow refuses the state that Azure Monitor's last word asks for; "" if it does not.
    refusal: str = ""
    #: The revision whose refusal a note tells.
    refusal_revision: int = 0
    #: When `resync` last looked whether the incident of an alert that never ends is closed.
    looked_at: datetime | None = None
    #: The last decisions, the newest last; nothing depends on them.
    decisions: tuple[Decision, ...] = ()

    #: The version of the row that this record was read from; "" if it was not.
    etag: str = ""
    #: What a newer version of this program wrote into the row; it is kept.
    unknown: Mapping[str, Any] = field(default_factory=dict)

    # Questions.

    @property
    def is_firing(self) -> bool:
        """Whether any of the key's alerts is firing."""
        return any(signal.is_firing for signal in self.signals.values())

    @property
    def is_settled(self) -> bool:
        """Whether the incident says what Azure Monitor last said."""
        return self.observed_revision == self.revision

    @property
    def awaits_work(self) -> bool:
        """Whether somebody should still reconcile it without being asked."""
        return not self.is_parked and (not self.is_settled or self.binds_later)

    @property
    def needs_binding(self) -> bool:
        """Whether its configuration item was not looked for yet."""
        return self.ci_sys_id is None and bool(self.resources)

    @property
    def incident_sys_id(self) -> str:
        """The sys_id of its incident: as ServiceNow gave it, else as we choose it."""
        return self.sys_id or sys_id_for(self.key, self.generation)

    @property
    def may_have_incident(self) -> bool:
        """Whether ServiceNow must be asked before an incident is created.

        If not: no write of ours was ever confirmed or is of unknown outcome, so there is nothing to find.
        """
        return bool(self.sys_id) or self.in_doubt_until is not None or self.firing == 0 or self.is_restored

    @property
    def has_news(self) -> bool:
        """Whether ServiceNow was not told of this firing yet. What a creation was confirmed for was told."""
        return self.firing > max(self.reported_firing, self.created_firing)

    def creation_allowed_at(self, now: datetime) -> datetime:
        """Return when another incident may be created: now, unless the last hour saw too many."""
        if len(self.creations) < MOST_CREATIONS:
            return now
        return max(now, self.creations[-MOST_CREATIONS] + CREATIONS_WITHIN)

    def notes_for(self, incident: Incident) -> tuple[Note, ...]:
        """Return the notes that belong on `incident`: once people resolved it they need no word of the end."""
        if self.has_news or self.is_firing or incident.is_open:
            return self.notes
        return tuple(note for note in self.notes if note.after_end)

    def is_leased(self, now: datetime) -> bool:
        """Whether somebody may be reconciling it at this moment."""
        return self.leased_until is not None and now < self.leased_until

    def is_in_doubt(self, now: datetime) -> bool:
        """Whether a write of unknown outcome may still take effect."""
        return self.in_doubt_until is not None and now < self.in_doubt_until

    def failing_for(self, now: datetime) -> timedelta:
        """Return how long every attempt has failed; zero if the last one did not."""
        return now - self.failing_since if self.failing_since else timedelta(0)

    def counts_on_another(self, wake_up_id: str, now: datetime) -> bool:
        """Whether `wake_up_id` is a stray: the row counts on another wake-up that is still to come."""
        is_another = self.wake_up_id not in ("", wake_up_id)
        return is_another and now < self.wake_up_at + WAKE_UP_GRACE

    def changed_fields(self, incident: Incident) -> Mapping[str, str]:
        """Return the fields to write: the owned ones that we want different and that no person has edited.

        The configuration item is written once, and only where there is none.
        """
        changed = {
            name: value
            for name, value in self.fields.items()
            if name in OWNED_FIELDS and self._wants(name, value, incident.fields.get(name, ""))
        }
        has_ci = bool(incident.fields.get("cmdb_ci")) or "cmdb_ci" in self.applied
        return changed if has_ci or not self.ci_sys_id else {**changed, "cmdb_ci": self.ci_sys_id}

    def _wants(self, name: str, value: str, stored: str) -> bool:
        asked, kept = self.applied.get(name, ":").split(":")
        wanted, shown = fingerprint(value), fingerprint(stored)
        if shown == wanted or (wanted, shown) == (asked, kept):
            return False
        return shown in (kept, *self.wished.get(name, ()))

    def is_of_this_row(self, incident: Incident) -> bool:
        """Whether an incident is no older than this row: else the row before was purged or lost."""
        created_at = created_at_of(incident)
        return created_at is None or created_at >= self.created_at - PREDATES

    def may_be_of_this_generation(self, incident: Incident) -> bool:
        """Whether an incident is no older than the generation that the row is in."""
        created_at = created_at_of(incident)
        if created_at is None or self.generation_since is None:
            return True
        return created_at >= self.generation_since - CLOCKS_DIFFER

    def _tells_of_this_firing(self, incident: Incident) -> bool:
        # A row that was lost may have known of a firing before; only an open incident surely stands for this one.
        return self.is_of_this_row(incident) and (incident.is_open or not self.is_restored)

    # Changes of the observed half, each idempotent, so that it can be repeated on a newer version of the row.

    def leased(self, *, holder: str, now: datetime, until: datetime) -> Self:
        """Return the record leased to `holder`; in doubt if the lease before was never released."""
        row = self
        if self.leased_until is not None and self.lease_holder != holder:
            in_doubt_until = max(self.in_doubt_until or now, self.leased_until + SETTLE_TIME)
            row = replace(self, in_doubt_until=in_doubt_until, doubted_revision=self.asked_revision)
        return replace(row, lease_holder=holder, leased_until=until, is_waiting=False).asking()

    def asking(self) -> Self:
        """Return the record remembering that all it wants now may be sent."""
        wished = {
            name: tuple(dict.fromkeys((*self.wished.get(name, ()), fingerprint(value))))[-WISHES_KEPT:]
            for name, value in self.fields.items()
            if name in OWNED_FIELDS
        }
        return replace(self, wished={**self.wished, **wished}, asked_revision=self.revision)

    def released(self) -> Self:
        """Return the record without a lease."""
        return replace(self, lease_holder="", leased_until=None)

    def doubted(self, now: datetime) -> Self:
        """Return the record after a write whose outcome is unknown."""
        return replace(self, in_doubt_until=now + SETTLE_TIME, doubted_revision=self.asked_revision)

    def seen(self, incident: Incident) -> Self:
        """Return the record after `incident` was read: notes found in its journal are no longer owed."""
        journal = incident.work_notes or ""
        told = self.generation_firing if self._tells_of_this_firing(incident) else 0
        return replace(
            self,
            is_restored=False,
            reported_firing=max(self.reported_firing, told),
            sys_id=incident.sys_id,
            number=incident.number,
            mod_count=incident.fields.get("sys_mod_count", ""),
            applied=self.applied if self.sys_id or self._may_have_written(incident) else _as_found(incident),
            notes=tuple(note for note in self.notes if not self._may_be_there(note, incident)),
            # The process that created the incident crashed before saving the row; take the configuration item from
            # the incident.
            ci_sys_id=incident.fields.get("cmdb_ci", "") if self._tells_of_its_item(journal) else self.ci_sys_id,
            item_may_be_told=self.item_may_be_told or (incident.work_notes is None and self.in_doubt_until is not None),
            # As long as the row knows no incident, only a creation can be in doubt; and there it is.
            in_doubt_until=self.in_doubt_until if self.sys_id else None,
        )

    def _may_have_written(self, incident: Incident) -> bool:
        return self.in_doubt_until is not None and not self.is_restored and self.is_of_this_row(incident)

    def _may_be_there(self, note: Note, incident: Incident) -> bool:
        """Whether a note must not be sent again: it is in the journal, or the journal is hidden and it may be."""
        if incident.work_notes is not None:
            return note.mark(self.key) in incident.work_notes
        is_the_same = self.mod_count != "" and incident.number == self.number
        is_untouched = is_the_same and incident.fields.get("sys_mod_count") == self.mod_count
        return self.in_doubt_until is not None and not is_untouched and note.revision <= self.doubted_revision

    def _tells_of_its_item(self, journal: str) -> bool:
        return self.ci_sys_id is None and Note(revision=_BINDING, text="").mark(self.key) in journal

    def bound(self, *, ci_sys_id: str, reason: str) -> Self:
        """Return the record after its configuration item was looked for; `reason` becomes a note."""
        if self.ci_sys_id is not None:
            return self
        is_told = not reason or self.item_may_be_told
        notes = self.notes if is_told else (*self.notes, Note(revision=_BINDING, text=reason))
        return replace(self, ci_sys_id=ci_sys_id, notes=notes)

    def written(
        self, incident: Incident, *, sent: "Record", fields: Mapping[str, str], created_at: datetime | None = None
    ) -> Self:
        """Return the record after ServiceNow confirmed a write of `fields` and of the notes of `sent`.

        A creation, made at `created_at` by our clock, tells of its firing in whatever state a rule of the instance
        left the incident.
        """
        resolves = fields.get("state") == str(int(IncidentState.RESOLVED))
        ours = [name for name in fields if name in OWNED_FIELDS or name == "cmdb_ci"]
        stored = {name: fingerprint(incident.fields.get(name, "")) for name in ours}
        asked = {name: f"{fingerprint(fields[name])}:{stored[name]}" for name in stored}
        return replace(
            self,
            sys_id=incident.sys_id,
            number=incident.number,
            notes=tuple(note for note in self.notes if note not in sent.notes),
            applied={**self.applied, **asked},
            dropped=tuple(sorted({*(name for name in self.dropped if name not in fields), *incident.dropped})),
            wished={name: prints for name, prints in self.wished.items() if name not in fields},
            # The person who resolved or closed it meanwhile did not know of this firing.
            reported_firing=sent.firing if incident.is_open or resolves else self.reported_firing,
            in_doubt_until=None,
            is_restored=False,
            mod_count=incident.fields.get("sys_mod_count", ""),
            created_firing=self.created_firing if created_at is None else sent.firing,
            creations=self.creations if created_at is None else _with_moment(self.creations, created_at),
        )

    def may_have_created(self, now: datetime) -> Self:
        """Return the record after a creation of unknown outcome that, repeated, would make another incident."""
        return replace(self, creations=_with_moment(self.creations, now))

    def succeeded(self, closed: Incident, *, now: datetime) -> Self:
        """Return the record in its next generation, after `closed`."""
        return replace(
            self.begun(now=now),
            generation=self.generation + 1,
            previous_number=closed.number,
            in_doubt_until=None,
        )

    def begun(self, *, now: datetime) -> Self:
        """Return the record before another incident takes the place of one that is closed, or that people deleted."""
        nothing_known = replace(self, sys_id="", number="", applied={}, wished={}, mod_count="")
        return replace(nothing_known, generation_firing=self.firing, generation_since=now).asking()

    def refused(self, reason: str, note: str, *, revision: int) -> Self:
        """Return the record after ServiceNow refused for good the state that `revision` wants.

        `note` tells people, once. What Azure Monitor said meanwhile may want another state.
        """
        if self.revision != revision:
            return self
        is_told = self.refusal_revision == revision
        notes = self.notes if is_told else (*self.notes, Note(revision=-revision, text=note, after_end=True))
        return replace(self, refusal=reason, refusal_revision=revision, notes=notes)

    def with_sys_id_refused(self) -> Self:
        """Return the record after ServiceNow itself refused a creation that named our sys_id."""
        return replace(self, sys_id_refused=True)

    def restored(self, now: datetime) -> Self:
        """Return the record in place of one that could not be read: what a worker made of that may not be there yet."""
        return replace(self, is_restored=True, in_doubt_until=now + SETTLE_TIME)

    def omitting_sys_id(self) -> Self:
        """Return the record before it is created under a sys_id of ServiceNow's choice."""
        return replace(self, omits_sys_id=True)

    def settled(self, planned: "Record", *, binds_later: bool = False) -> Self:
        """Return the record brought to the revision of `planned`; released if nothing newer has come."""
        settled = replace(
            self,
            observed_revision=planned.revision,
            binds_later=binds_later,
            reported_firing=max(self.reported_firing, planned.firing),
            notes=tuple(note for note in self.notes if note.revision > planned.revision),
            attempts=self.attempts if binds_later else 0,
            attempted_at=self.attempted_at if binds_later else None,
            failing_since=None,
            last_error="",
            refusal="",
            in_doubt_until=None,
        )
        return settled.released() if settled.is_settled else settled

    def failed(self, *, reason: str, now: datetime) -> Self:
        """Return the record after an attempt that may succeed later."""
        return replace(
            self.released(),
            attempts=self.attempts + 1,
            attempted_at=now,
            failing_since=self.failing_since or now,
            last_error=reason,
        )

    def held(self, *, reason: str, now: datetime) -> Self:
        """Return the record that nobody attempts for now. Whoever died under its lease may still have left a doubt."""
        return replace(self, failing_since=self.failing_since or now, last_error=reason)

    def parked(self, reason: str) -> Self:
        """Return the record put aside until somebody acts or Azure Monitor says something new."""
        return replace(self.released(), is_parked=True, last_error=reason)

    def decided(self, decision: Decision) -> Self:
        """Return the record remembering one more decision; like ones that follow each other are counted."""
        if any(each.at == decision.at and each.is_like(decision) for each in self.decisions):
            return self
        *before, last = self.decisions or (decision,)
        if last.is_like(decision) and self.decisions:
            decision = replace(decision, times=last.times + 1)
        else:
            before = list(self.decisions)
        return replace(self, decisions=(*before, decision)[-DECISIONS_KEPT:])

    def awaiting(self, *, wake_up_at: datetime, wake_up_id: str) -> Self:
        """Return the record counting on this wake-up."""
        return replace(self, wake_up_at=wake_up_at, wake_up_id=wake_up_id, is_waiting=False)

    def waiting(self, *, until: datetime) -> Self:
        """Return the record counting on no wake-up: `resync` has it looked at after `until`."""
        return replace(self, wake_up_at=until, wake_up_id="", is_waiting=True, woken_at=None)

    def replayed(self, now: datetime) -> Self:
        """Return the record as if it had never failed, counting on any wake-up that comes."""
        return replace(
            self,
            is_parked=False,
            is_waiting=False,
            attempts=0,
            attempted_at=None,
            failing_since=None,
            last_error="",
            refusal="",
            wake_up_at=now,
            wake_up_id="",
        )


def place_in_line(record: Record) -> tuple[bool, datetime]:
    """Return what rows that wait are ordered by: first what was never tried, the oldest of it first."""
    return record.attempted_at is not None, record.attempted_at or record.failing_since or record.changed_at


def created_at_of(incident: Incident) -> datetime | None:
    """Return when ServiceNow says that it created an incident, aware UTC; None if it does not say."""
    try:
        return datetime.strptime(incident.fields.get("sys_created_on", ""), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _as_found(incident: Incident) -> Mapping[str, str]:
    """Return what an incident shows as if we had asked for just that: nobody knows any more what was asked for."""
    shown = {name: fingerprint(incident.fields.get(name, "")) for name in OWNED_FIELDS}
    return {name: f"{text}:{text}" for name, text in shown.items()}


def _with_moment(moments: tuple[datetime, ...], moment: datetime) -> tuple[datetime, ...]:
    return moments if moment in moments else (*moments, moment)[-MOST_CREATIONS:]


def fingerprint(text: str) -> str:
    """Return a short hash of a field's value, enough to tell two values apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
