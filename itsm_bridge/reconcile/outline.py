"""What does the index say of a row, so that nobody has to read the row to know whether to act on it?

`resync` reads the outlines of all open rows instead of the table; the store writes one in the same transaction as its
row. A row is open as long as something may have to be done about it: it awaits work, is parked, is ended by our clock
some day, or fires on trial. Nothing is stored here: `storage` lays outlines out and keeps them right.

An outline decides which rows are worth reading, and nothing else. Before a row is changed it is read, and asked anew.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from itsm_bridge.reconcile.record import Record, place_in_line
from itsm_bridge.reconcile.work import WAKE_UP_GRACE

#: How long after its time a row may stay without work for which no wake-up is known to be on its way: whoever took it
#: in was to finish it within that time.
UNCOVERED_GRACE = timedelta(minutes=1)
#: How long after its wake-up was due a row is in the hand of a worker that lives: longer than that waits for a slot and
#: for storage, with room for clocks that differ.
TAKEN_UP_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What one row says in its record, as far as `resync` needs it. All times are aware UTC, our clock."""

    key: str
    awaits_work: bool
    is_settled: bool
    is_parked: bool
    is_waiting: bool
    #: Whether a worker has it, or died over it.
    is_leased: bool
    is_firing: bool
    #: The rule that keeps it from the target for a trial; "" if none does.
    shadowed_by: str
    #: When our clock ends what fires; None if it does not.
    expires_at: datetime | None
    #: When the last news came that the target is to be told, or the end of their hold.
    told_at: datetime
    wake_up_at: datetime
    #: "" if no wake-up is known to be on its way.
    wake_up_id: str
    failing_since: datetime | None
    #: Its place among those that wait, as `record.place_in_line` gives it.
    place: tuple[bool, datetime]
    #: Names what the index holds, for comparison with the row; "" where the outline was made of a record.
    mark: str = field(default="", compare=False)

    @property
    def is_open(self) -> bool:
        """Whether something may have to be done about the row some day."""
        return self.awaits_work or self.is_parked or self.expires_at is not None or self.is_on_trial

    @property
    def is_on_trial(self) -> bool:
        """Whether its alert fires, is settled, and is kept from the target for a trial."""
        return self.is_firing and bool(self.shadowed_by) and not self.awaits_work

    @property
    def is_in_hand(self) -> bool:
        """Whether a worker has it, or died over it, and no wake-up is known to come if it did."""
        return self.awaits_work and self.is_leased and not (self.is_waiting or self.wake_up_id)

    def is_overdue(self, worked_up_to: datetime) -> bool:
        """Whether its wake-up should have come by now, if those that were due until `worked_up_to` have come."""
        grace = WAKE_UP_GRACE if self.wake_up_id else UNCOVERED_GRACE
        return self.awaits_work and not self.is_waiting and self.wake_up_at < worked_up_to - grace

    def is_left(self, worked_up_to: datetime) -> bool:
        """Whether its wake-up is likely to have gone with a worker that died before it had a lease."""
        return self.awaits_work and self.wake_up_id != "" and self.wake_up_at < worked_up_to - TAKEN_UP_WITHIN

    def waits_until_before(self, moment: datetime) -> bool:
        """Whether it waits for the target, without a wake-up, until before `moment`."""
        return self.awaits_work and self.is_waiting and self.wake_up_at < moment

    def has_expired(self, now: datetime) -> bool:
        """Whether it is settled, and our clock has to end it."""
        is_idle = not self.awaits_work and not self.is_parked
        return is_idle and self.expires_at is not None and self.expires_at < now

    def failing_for(self, now: datetime) -> timedelta:
        """Return how long every attempt has failed; zero if the last one did not."""
        return now - self.failing_since if self.failing_since else timedelta(0)


def outline_of(record: Record) -> Outline:
    """Return what is to be known of a row without reading it."""
    desired, work = record.desired, record.work
    return Outline(
        key=record.key,
        awaits_work=record.awaits_work,
        is_settled=record.is_settled,
        is_parked=work.is_parked,
        is_waiting=work.is_waiting,
        is_leased=work.leased_until is not None,
        is_firing=desired.is_firing,
        shadowed_by=desired.shadowed_by,
        expires_at=desired.expires_at,
        told_at=record.told_at,
        wake_up_at=work.wake_up_at,
        wake_up_id=work.wake_up_id,
        failing_since=work.failing_since,
        place=place_in_line(record),
    )
