"""What do we remember of one correlation key?

A record holds in memory what one row of the table `alerts` says. It has three parts, so that two writers never undo
each other's work:

    desired    what Azure Monitor last said; the webhook that receives a notification writes it, with `merge`
    observed   what the target was last seen to hold; only the worker that holds the lease writes it
    work       what is still to be done: the lease, the wake-up, owed notes, failures

and one that the loop takes no notice of:

    followed   what people did, and what the alerts in Azure say of that; `resource_manager` writes it

While a lease lasts, a webhook also notes in `observed` what its holder may send from now on.
The modules of the loop read and change records; `storage` turns them into rows. Nothing is stored or sent here.

`desired.revision` counts the accepted notifications, `observed.revision` is the one last brought to the target;
the record is settled when they are equal. (Kubernetes: generation and observedGeneration.)

The lease is the intent that is written before every effect: a lease that ran out without being released means that
its holder died and may have sent a write whose outcome is unknown. Such a record is *in doubt* until the write must
have ended, one way or the other. The same holds for a write whose answer was lost.

Every change here returns a new record and is idempotent, so that it can be repeated on a newer version of the row.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from itsm_bridge.reconcile.desired import Desired
from itsm_bridge.reconcile.followed import Followed
from itsm_bridge.reconcile.observed import Observed
from itsm_bridge.reconcile.ports import Incident, LinkEnd, Write
from itsm_bridge.reconcile.work import Note, Work

#: How long a write may go on inside the target after its sender gave up: for ServiceNow 60 s of quota, queueing
#: before it, and an edge that cuts requests at about 5 minutes.
SETTLE_TIME = timedelta(minutes=6)

#: An incident that is older than its row by more than this belongs to an earlier row of the key: far more than two
#: clocks differ, far less than the shortest retention of rows.
PREDATES = timedelta(hours=1)

#: By how much the generation is multiplied after an incident of an earlier row, which may have had any number of them:
#: few creations are needed to find an id that is free.
SKIP = 10

#: How many incidents one key may be given within an hour. A person or a rule that closes each new one at once must not
#: turn a resource that flaps into a flood.
MOST_CREATIONS = 6
CREATIONS_WITHIN = timedelta(hours=1)

#: How long before this generation was begun, by our clock, the target's clock may date its incident.
CLOCKS_DIFFER = timedelta(minutes=2)

#: How many values of a field are remembered that a worker may have sent and the target never confirmed: more than an
#: alert says in all the time that it may wait, and as many as a row has room for.
VALUES_KEPT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The content of one row of the table `alerts`."""

    key: str
    #: When the row was made, our clock, aware UTC.
    created_at: datetime
    desired: Desired
    observed: Observed = field(default_factory=Observed)
    work: Work
    followed: Followed = field(default_factory=Followed)
    #: The version of the row that this record was read from; "" if it was not read.
    etag: str = ""
    #: Names what the index says of the row since its last write, "" if nothing; None if it is not known.
    indexed_as: str | None = None
    #: Fields that a newer version of this program wrote into the row; they are kept.
    unknown: Mapping[str, Any] = field(default_factory=dict)

    # Questions.

    @property
    def is_settled(self) -> bool:
        """Whether the incident says what Azure Monitor last said."""
        return self.observed.revision == self.desired.revision

    @property
    def awaits_work(self) -> bool:
        """Whether a worker has to reconcile it although no operator asks for that."""
        return not self.work.is_parked and (not self.is_settled or self.work.links_later)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields and links that the incident should have."""
        return (*self.desired.fields, *self.desired.links)

    @property
    def missing_link(self) -> str:
        """The name of the first link that no worker has looked for yet; "" if there is none."""
        return next(iter(self.missing_links), "")

    @property
    def missing_links(self) -> tuple[str, ...]:
        """The names of the links that no worker has looked for yet."""
        return tuple(name for name in self.desired.links if name not in self.observed.links)

    @property
    def incident_id(self) -> str:
        """The id of its incident: as the target gave it, else as we choose it."""
        return self.observed.incident_id or id_for(self.key, self.observed.generation)

    @property
    def may_have_incident(self) -> bool:
        """Whether the target must be asked before an incident is created.

        If not: no write of ours was ever confirmed or is of unknown outcome, so there is nothing to find.
        """
        seen = self.observed
        is_known = bool(seen.incident_id) or seen.in_doubt_until is not None or seen.is_restored
        return is_known or self.desired.firing_count == 0

    @property
    def has_news(self) -> bool:
        """Whether the target was not told of this firing yet and has to be.

        A firing whose creation was confirmed was told, and one that ended while it was on hold never is.
        """
        desired, seen = self.desired, self.observed
        done = max(seen.told_firing_count, seen.created_firing_count, desired.cleared_firing_count)
        return desired.firing_count > done

    def is_on_hold(self, now: datetime) -> bool:
        """Whether what fires must last longer before there is an incident of it."""
        held_until = self.desired.held_until
        return self.has_news and held_until is not None and now < held_until

    def rests_until(self, now: datetime) -> datetime:
        """Return until when there is nothing to do: while it is on hold and has no incident yet; now if there is."""
        held_until = self.desired.held_until
        return held_until if held_until and self.is_on_hold(now) and not self.may_have_incident else now

    @property
    def told_at(self) -> datetime:
        """When the last news came, our clock; the end of the hold if they had to wait for that."""
        changed_at = self.desired.changed_at
        return max(changed_at, self.desired.held_until or changed_at, self.followed.word_at or changed_at)

    def creation_allowed_at(self, now: datetime) -> datetime:
        """Return when another incident may be created: now, unless the last hour saw too many."""
        if len(self.observed.creations) < MOST_CREATIONS:
            return now
        return max(now, self.observed.creations[-MOST_CREATIONS] + CREATIONS_WITHIN)

    def notes_for(self, incident: Incident) -> tuple[Note, ...]:
        """Return the notes that belong on `incident`: people who resolved it need no word of the end."""
        if self.has_news or self.desired.is_firing or incident.is_open:
            return self.work.notes
        return tuple(note for note in self.work.notes if note.after_end)

    def is_in_doubt(self, now: datetime) -> bool:
        """Whether a write of unknown outcome may still take effect."""
        return self.observed.in_doubt_until is not None and now < self.observed.in_doubt_until

    def changed_fields(self, incident: Incident) -> Mapping[str, str]:
        """Return the fields to write: those that we want different and that no person has edited."""
        fields = self.desired.fields
        return {name: text for name, text in fields.items() if self._wants(name, text, incident.fields.get(name, ""))}

    def changed_links(self, incident: Incident) -> Mapping[str, str]:
        """Return the links to write: each is written once, and only where there is none."""
        return {
            name: end
            for name, end in self.observed.links.items()
            if end and not incident.links.get(name) and name not in self.observed.confirmed_values
        }

    def _wants(self, name: str, value: str, stored: str) -> bool:
        if name not in self.observed.confirmed_values and not stored:
            # Rules ask for it since the incident is there, and nobody filled it.
            return bool(value)
        asked, kept = self.observed.confirmed_values.get(name, ":").split(":")
        wanted, shown = fingerprint(value), fingerprint(stored)
        if shown == wanted or (wanted, shown) == (asked, kept):
            return False
        return shown in (kept, *self.observed.unconfirmed_values.get(name, ()))

    def is_of_this_row(self, incident: Incident) -> bool:
        """Whether an incident is no older than this row; an older one belongs to a row that was purged or lost."""
        return incident.created_at is None or incident.created_at >= self.created_at - PREDATES

    def may_be_of_this_generation(self, incident: Incident) -> bool:
        """Whether an incident is no older than the generation that the row is in.

        The first generation began with the row, unless the row took the place of one that could not be read.
        """
        since = self.observed.generation_since
        if since is None:
            return self.observed.is_restored or self.is_of_this_row(incident)
        return incident.created_at is None or incident.created_at >= since - CLOCKS_DIFFER

    # Changes of the lease and of the work.

    def leased(self, *, holder: str, now: datetime, until: datetime) -> Self:
        """Return the record leased to `holder`; in doubt if the lease before was never released."""
        row, seen = self, self.observed
        if self.work.leased_until is not None and self.work.lease_holder != holder:
            row = self._doubted(until=max(seen.in_doubt_until or now, self.work.leased_until + SETTLE_TIME), now=now)
        # Whichever message made it come up, it counts on none any more: if its worker dies, the message may be gone.
        work = self.work.awaiting(wake_up_at=until, wake_up_id="")
        work = replace(work, lease_holder=holder, leased_until=until)
        asked = replace(row.observed, asked_from=self.desired.revision)
        return replace(row, observed=asked, work=work).asking()

    def asking(self) -> Self:
        """Return the record noting that a worker may send all that it wants now."""
        seen = self.observed
        values = {
            name: tuple(dict.fromkeys((*seen.unconfirmed_values.get(name, ()), fingerprint(text))))[-VALUES_KEPT:]
            for name, text in self.desired.fields.items()
        }
        unconfirmed = {**seen.unconfirmed_values, **values}
        return replace(
            self, observed=replace(seen, unconfirmed_values=unconfirmed, asked_revision=self.desired.revision)
        )

    def with_work(self, work: Work) -> Self:
        """Return the record with `work` in place of its own."""
        return replace(self, work=work)

    def with_followed(self, followed: Followed) -> Self:
        """Return the record with `followed` in place of its own; the same object if that says the same."""
        return self if followed == self.followed else replace(self, followed=followed)

    def owing_word(self, name: str, text: str, *, now: datetime) -> Self:
        """Return the record owing its incident a note that no notification brought; `name` makes its mark.

        The loop writes it like any other news. Whoever saves this sends a wake-up.
        """
        revision = self.desired.revision + 1
        work = self.work.owing(Note(revision=revision, link=name, text=text))
        if self.is_settled and not self.work.is_parked:
            work = replace(work, wake_up_at=now, wake_up_id="")
        desired, followed = replace(self.desired, revision=revision), replace(self.followed, word_at=now)
        return replace(self, desired=desired, followed=followed, work=work)

    def replayed(self, now: datetime) -> Self:
        """Return the record as if it had never failed, counting on any wake-up that comes."""
        return self.with_work(replace(self.work.without_failure(), wake_up_at=now, wake_up_id=""))

    # Changes of what was observed.

    def doubted(self, now: datetime, *, wanted: int | None = None) -> Self:
        """Return the record after a write whose outcome is unknown.

        `wanted` is the revision that it wanted; None if it may be any that was asked for under this lease.
        """
        return self._doubted(until=now + SETTLE_TIME, now=now, wanted=wanted)

    def _doubted(self, *, until: datetime, now: datetime, wanted: int | None = None) -> Self:
        seen = self.observed
        lowest = seen.asked_from if wanted is None else wanted
        doubted = replace(
            seen,
            in_doubt_until=until,
            doubted_revision=seen.asked_revision,
            doubted_from=min(lowest, seen.doubted_from) if self.is_in_doubt(now) else lowest,
            is_repeated=seen.is_repeated and self.is_in_doubt(now),
        )
        return replace(self, observed=doubted)

    def restored(self, now: datetime) -> Self:
        """Return the record in place of a row that could not be read, whose last write may still take effect.

        Its revisions go on from the minute, which the lost row's never reached, because they make the marks of notes.
        """
        revision = max(self.desired.revision, int(now.timestamp()) // 60)
        notes = tuple(replace(note, revision=revision) for note in self.work.notes)
        observed = replace(
            self.observed,
            revision=revision if self.is_settled else self.observed.revision,
            is_restored=True,
            in_doubt_until=now + SETTLE_TIME,
        )
        restored = self.with_work(replace(self.work, notes=notes))
        return replace(restored, desired=replace(self.desired, revision=revision), observed=observed)

    def seen(self, incident: Incident) -> Self:
        """Return the record after `incident` was read: notes found in its journal are no longer owed."""
        seen = self.observed
        may_have_written = seen.in_doubt_until is not None and not seen.is_restored and self.is_of_this_row(incident)
        may_be_told = incident.journal is None and seen.in_doubt_until is not None
        told = self._firing_told_by(incident) if self._tells_of_this_firing(incident) else 0
        observed = replace(
            seen,
            is_restored=False,
            told_firing_count=max(seen.told_firing_count, told),
            incident_id=incident.id,
            number=incident.number,
            incident_version=incident.version,
            confirmed_values=seen.confirmed_values if seen.incident_id or may_have_written else _as_found(incident),
            # A process that created the incident crashed before it saved the row: its link is taken from the incident.
            links={**seen.links, **{name: incident.links.get(name, "") for name in self._links_told(incident)}},
            link_may_be_told=seen.link_may_be_told or may_be_told,
            # As long as the row knows no incident, only a creation can be in doubt, and it made this incident.
            in_doubt_until=seen.in_doubt_until if seen.incident_id else None,
        )
        owed = tuple(note for note in self.work.notes if not self._may_be_there(note, incident))
        return replace(self, observed=observed, work=replace(self.work, notes=owed))

    def _tells_of_this_firing(self, incident: Incident) -> bool:
        if not (self.is_of_this_row(incident) and self.may_be_of_this_generation(incident)):
            return False
        # An incident that is over tells of it if a creation in doubt made it. A row that was lost may have known it for
        # a firing before, and once this row knows it, what it tells of was noted then.
        return incident.is_open or not (self.observed.is_restored or self.observed.incident_id)

    def _firing_told_by(self, incident: Incident) -> int:
        """Return the `firing_count` that `incident` tells of: that of its generation, if no note shows a later one."""
        desired, seen = self.desired, self.observed
        # A creation that was repeated in doubt brought what was said since, and people saw that from the beginning.
        is_creation = not (seen.incident_id or seen.is_restored)
        last = (note for note in self.work.notes if note.revision == desired.revision)
        if is_creation and any(note.mark(self.key) in (incident.journal or "") for note in last):
            return desired.firing_count
        return min(seen.generation_firing_count, desired.firing_count)

    def _may_be_there(self, note: Note, incident: Incident) -> bool:
        """Whether a note must not be sent again: it is in the journal, or the journal is hidden and it may be."""
        if incident.journal is not None:
            return note.mark(self.key) in incident.journal
        seen = self.observed
        is_the_same = seen.incident_version != "" and incident.number == seen.number
        is_untouched = is_the_same and incident.version == seen.incident_version
        return seen.in_doubt_until is not None and not is_untouched and note.revision <= seen.doubted_revision

    def _links_told(self, incident: Incident) -> tuple[str, ...]:
        journal = incident.journal or ""
        unknown = (name for name in self.desired.speaker.links if name not in self.observed.links)
        return tuple(name for name in unknown if Note(revision=0, link=name, text="").mark(self.key) in journal)

    def linked(self, name: str, end: LinkEnd) -> Self:
        """Return the record after the link `name` was looked for; the reason becomes a note."""
        if name in self.observed.links:
            return self
        observed = replace(self.observed, links={**self.observed.links, name: end.id})
        is_told = not end.reason or self.observed.link_may_be_told
        note = Note(revision=0, link=name, text=end.reason)
        return replace(self, observed=observed, work=self.work if is_told else self.work.owing(note))

    def written(
        self,
        incident: Incident,
        *,
        sent: "Record",
        write: Write,
        created_at: datetime | None = None,
        holds_notes: bool = False,
    ) -> Self:
        """Return the record after the target confirmed `write`, which holds what `sent` wanted.

        A creation was made at `created_at` by our clock. It tells of its firing, whatever state a rule of the target
        gave the incident. If the write held the notes back, they are owed still, and the doubt for whose sake they were
        held is not over.
        """
        seen = self.observed
        stored = {name: fingerprint(incident.fields.get(name, "")) for name in write.fields}
        linked = {name: fingerprint(incident.links.get(name, "")) for name in write.links}
        asked = {**write.fields, **write.links}
        confirmed = {name: f"{fingerprint(asked[name])}:{kept}" for name, kept in {**stored, **linked}.items()}
        observed = replace(
            seen,
            incident_id=incident.id,
            number=incident.number,
            incident_version=incident.version,
            confirmed_values={**seen.confirmed_values, **confirmed},
            unconfirmed_values={name: each for name, each in seen.unconfirmed_values.items() if name not in asked},
            fields_not_stored=tuple(
                sorted({*(name for name in seen.fields_not_stored if name not in asked), *incident.not_stored})
            ),
            # A person who resolved or closed it meanwhile did not know of this firing.
            told_firing_count=sent.desired.firing_count
            if incident.is_open or write.closing
            else seen.told_firing_count,
            in_doubt_until=seen.in_doubt_until if holds_notes else None,
            is_restored=False,
            created_firing_count=seen.created_firing_count if created_at is None else sent.desired.firing_count,
            creations=seen.creations if created_at is None else _with_moment(seen.creations, created_at),
        )
        owed = tuple(note for note in self.work.notes if holds_notes or note not in sent.work.notes)
        row = replace(self, observed=observed, work=replace(self.work, notes=owed))
        # What a webhook asked for meanwhile, the holder of the lease sends next.
        return row if row.desired.fields == sent.desired.fields else row.asking()

    def may_have_created(self, now: datetime) -> Self:
        """Return the record after a creation of unknown outcome that, repeated, would make another incident."""
        return replace(self, observed=replace(self.observed, creations=_with_moment(self.observed.creations, now)))

    def succeeded(self, closed: Incident, *, now: datetime) -> Self:
        """Return the record in its next generation, after `closed`."""
        begun, generation = self.begun(now=now), self.observed.generation
        following = replace(
            begun.observed,
            generation=generation + 1 if self.is_of_this_row(closed) else generation * SKIP,
            previous_number=closed.number,
            in_doubt_until=None,
        )
        return replace(begun, observed=following)

    def begun(self, *, now: datetime) -> Self:
        """Return the record before another incident takes the place of one that is closed, or that people deleted."""
        nothing_known = replace(
            self.observed,
            incident_id="",
            number="",
            confirmed_values={},
            unconfirmed_values={},
            fields_not_stored=(),
            incident_version="",
            generation_firing_count=self.desired.firing_count,
            generation_since=now,
        )
        return replace(self, observed=nothing_known).asking()

    def refused(self, reason: str, note: str, *, revision: int) -> Self:
        """Return the record after the target refused for good the state that `revision` wants.

        `note` tells people, once. If Azure Monitor has said something newer, nothing changes, because that may want
        another state.
        """
        if self.desired.revision != revision:
            return self
        work = replace(self.work, refusal=reason, refusal_revision=revision)
        is_told = self.work.refusal_revision == revision
        return self.with_work(work if is_told else work.owing(Note(revision=-revision, text=note, after_end=True)))

    def repeating(self) -> Self:
        """Return the record whose write in doubt is repeated, so that only time ends the doubt."""
        return replace(self, observed=replace(self.observed, is_repeated=True))

    def telling_after_end(self) -> Self:
        """Return the record whose notes belong on the incident also once it is resolved."""
        notes = tuple(replace(note, after_end=True) for note in self.work.notes)
        return self.with_work(replace(self.work, notes=notes))

    def with_id_refused(self) -> Self:
        """Return the record after the target itself refused a creation that named our id."""
        return replace(self, observed=replace(self.observed, id_refused=True))

    def omitting_id(self) -> Self:
        """Return the record whose incident will be created under an id of the target's choice."""
        return replace(self, observed=replace(self.observed, omits_id=True))

    def settled(self, planned: "Record", *, links_later: bool = False) -> Self:
        """Return the record brought to the revision of `planned`; released if nothing newer has come."""
        revision = planned.desired.revision
        # A firing on trial stays news to the target, for the day on which the trial ends.
        told = 0 if planned.desired.is_shadowed else planned.desired.firing_count
        observed = replace(
            self.observed,
            revision=revision,
            told_firing_count=max(self.observed.told_firing_count, told),
            in_doubt_until=None,
        )
        keeps_count = links_later and self.work.links_later
        work = replace(
            self.work,
            links_later=links_later,
            notes=tuple(note for note in self.work.notes if note.revision > revision),
            # Attempts at the links alone are counted apart.
            attempts=self.work.attempts if keeps_count else 0,
            attempted_at=self.work.attempted_at if links_later else None,
            failing_since=None,
            last_error="",
            refusal="",
        )
        settled = replace(self, observed=observed, work=work)
        return settled.with_work(work.released()) if settled.is_settled else settled


def place_in_line(record: Record) -> tuple[bool, datetime]:
    """Return the place of a row among those that wait: the rows never tried come first, the oldest of them first."""
    work = record.work
    return work.attempted_at is not None, work.attempted_at or work.failing_since or record.desired.changed_at


def id_for(key: str, generation: int) -> str:
    """Return the id that we choose for the incident of `key` in its `generation`: 32 hexadecimal digits.

    A target that honours it makes a second creation impossible: ServiceNow's `sys_id` is a primary key.
    """
    return hashlib.sha256(f"{key}|{generation}".encode()).hexdigest()[:32]


def fingerprint(text: str) -> str:
    """Return a short hash of a field's value, enough to tell two values apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _as_found(incident: Incident) -> Mapping[str, str]:
    """Return the values of an incident as if we had asked for them: no row tells any more which we asked for."""
    shown = {name: fingerprint(text) for name, text in incident.fields.items()}
    return {name: f"{text}:{text}" for name, text in shown.items()}


def _with_moment(moments: tuple[datetime, ...], moment: datetime) -> tuple[datetime, ...]:
    return moments if moment in moments else (*moments, moment)[-MOST_CREATIONS:]
