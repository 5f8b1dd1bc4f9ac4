"""What is still to be done for one correlation key, and which worker is at it?

This is the work part of a record: notes that are owed, the lease, the wake-up, failures, and the last steps for people
who ask later. The reconciler, the worker and `merge` change it through the methods here; when a lease is taken and when
a wake-up is sent is decided there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

#: How long a wake-up may be overdue before the row does not count on it any more.
WAKE_UP_GRACE = timedelta(minutes=10)

#: How many steps are remembered.
STEPS_KEPT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A work note that the incident does not have yet."""

    #: The revision that it belongs to: unique within a record. 0 tells of a link, a negative one that the target
    #: refused the state which this revision asks for.
    revision: int
    text: str
    #: The name of the link that it tells of, or of what else it tells that no revision names; "" if its revision does.
    link: str = ""
    #: Whether it tells something after the end was told, so that it belongs on a resolved incident too.
    after_end: bool = False

    def marked(self, key: str) -> str:
        """Return the text with a mark by which the note is recognised in the journal."""
        return f"{self.text}\n({self.mark(key)}, by which itsm-bridge knows its note)"

    def mark(self, key: str) -> str:
        """Return the mark: the same for the same note of the same key, whichever process writes it."""
        return "ref " + hashlib.sha256(f"{key}|{self.link or self.revision}".encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step that a worker took, and why: for people who ask later."""

    #: When it was last done, our clock, aware UTC.
    at: datetime
    #: The action, as the table of `plan` names it.
    action: str
    #: The row and the column of that table, from which the action follows.
    reason: str
    #: Its result, in words for people.
    result: str
    #: How often in a row the same was done for the same reason with the same result.
    times: int = 1

    def is_like(self, other: "Step") -> bool:
        """Whether both are the same, at whatever time."""
        return (self.action, self.reason, self.result) == (other.action, other.reason, other.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work that is left for a key. Every change returns a new object."""

    #: The notes that are owed, oldest first.
    notes: tuple[Note, ...] = ()
    #: Whether the incident says all but a link, which could not be looked for and has to be looked for later.
    links_later: bool = False

    # The lease.
    leased_until: datetime | None = None
    lease_holder: str = ""
    #: Names the last write by the holder of the lease, so that the holder recognises one whose answer was lost.
    write_mark: str = ""

    # The wake-up.
    #: When the wake-up that this row counts on is due, and its message id; "" if it is not known.
    wake_up_at: datetime
    wake_up_id: str = ""
    #: Whether no wake-up is on its way, because the target is away or asked for a long pause: `resync` has the row
    #: looked at after `wake_up_at`.
    is_waiting: bool = False
    #: When the row was woken because the target was seen to be back; None if it was not woken for that reason.
    woken_at: datetime | None = None

    # What failed.
    attempts: int = 0
    #: When an attempt last failed.
    attempted_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str = ""
    is_parked: bool = False
    #: Why the target refuses the state that Azure Monitor's last word asks for; "" if it does not.
    refusal: str = ""
    #: The revision whose refusal a note tells.
    refusal_revision: int = 0

    #: The step of a trace in which the last news came, as W3C trace context writes it, so that the work on them belongs
    #: to that trace; "" if nothing is traced. No decision depends on it.
    traceparent: str = ""
    #: When `resync` last looked whether the incident of an alert that never ends is closed.
    looked_at: datetime | None = None
    #: The last steps, the newest last; no decision depends on them.
    steps: tuple[Step, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)

    # Questions.

    def is_leased(self, now: datetime) -> bool:
        """Whether a worker may be reconciling it at this moment."""
        return self.leased_until is not None and now < self.leased_until

    def free_at(self, now: datetime) -> datetime:
        """Return when a worker may take it up: now, or when the lease has run out."""
        return self.leased_until + timedelta(seconds=1) if self.leased_until and self.is_leased(now) else now

    def failing_for(self, now: datetime) -> timedelta:
        """Return how long every attempt has failed; zero if the last one did not."""
        return now - self.failing_since if self.failing_since else timedelta(0)

    def counts_on_another(self, wake_up_id: str, now: datetime) -> bool:
        """Whether `wake_up_id` is a stray: the row counts on another wake-up that is still to come."""
        is_another = self.wake_up_id not in ("", wake_up_id)
        return is_another and now < self.wake_up_at + WAKE_UP_GRACE

    # Changes, each idempotent, so that it can be repeated on a newer version of the row.

    def without_failure(self) -> Self:
        """Return the work as if no attempt had ever failed."""
        return replace(
            self,
            attempts=0,
            attempted_at=None,
            failing_since=None,
            last_error="",
            refusal="",
            is_parked=False,
            is_waiting=False,
            woken_at=None,
        )

    def released(self) -> Self:
        """Return the work without a lease."""
        return replace(self, lease_holder="", leased_until=None)

    def failed(self, *, reason: str, now: datetime) -> Self:
        """Return the work after an attempt that may succeed later."""
        return replace(
            self.released(),
            attempts=self.attempts + 1,
            attempted_at=now,
            failing_since=self.failing_since or now,
            last_error=reason,
        )

    def held(self, *, reason: str, now: datetime) -> Self:
        """Return the work put off without an attempt. A lease that ran out stays: its worker may have left a doubt."""
        return replace(self, failing_since=self.failing_since or now, last_error=reason)

    def parked(self, reason: str) -> Self:
        """Return the work put aside until a person acts or Azure Monitor says something new."""
        return replace(self.released(), is_parked=True, last_error=reason)

    def awaiting(self, *, wake_up_at: datetime, wake_up_id: str) -> Self:
        """Return the work counting on this wake-up."""
        return replace(self, wake_up_at=wake_up_at, wake_up_id=wake_up_id, is_waiting=False)

    def waiting(self, *, until: datetime) -> Self:
        """Return the work counting on no wake-up: `resync` has it looked at after `until`."""
        return replace(self, wake_up_at=until, wake_up_id="", is_waiting=True, woken_at=None)

    def owing(self, note: Note) -> Self:
        """Return the work with one more note."""
        return replace(self, notes=(*self.notes, note))

    def done(self, step: Step) -> Self:
        """Return the work remembering one more step; equal steps that follow each other are counted."""
        if any(each.at == step.at and each.is_like(step) for each in self.steps):
            return self
        *before, last = self.steps or (step,)
        if last.is_like(step) and self.steps:
            step = replace(step, times=last.times + 1)
        else:
            before = list(self.steps)
        return replace(self, steps=(*before, step)[-STEPS_KEPT:])
