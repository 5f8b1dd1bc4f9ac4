"""What does a sweep see of the table, and how far has it come?

The store shows its rows a page at a time, from a place on and in the order of their keys; `sweep` goes on from run to
run, and remembers in the store where it stopped. Nothing is stored here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

from itsm_bridge.errors import TemporaryError
from itsm_bridge.reconcile.outline import Outline

#: A run every five minutes notes its time. Where more time passed, an older version of the program may have run
#: meanwhile, which writes rows and leaves the index as it is.
RUN_MISSED: Final = timedelta(minutes=8)
#: A round through a small table begins no sooner after the one before.
ROUND: Final = timedelta(hours=1)
#: For how long an older version may go on beside this one, once this one was seen to run.
OVERLAP: Final = timedelta(minutes=30)


class Place(NamedTuple):
    """A place in the table: after the row with these keys."""

    partition: str
    row: str


#: Before the first row.
START: Final = Place("", "")


class Index(NamedTuple):
    """What the index says of all open rows."""

    outlines: Sequence[Outline]
    #: Why the outlines of some rows are missing; None if none are.
    failure: TemporaryError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A row of an alert as a sweep sees it: its columns, without its document."""

    key: str
    #: Whether the index should have an outline of it.
    is_open: bool
    is_firing: bool
    is_on_trial: bool
    changed_at: datetime
    #: When `resync` last asked whether its incident is closed; when it changed, if it never did.
    looked_at: datetime
    #: The mark of the outline that was written with it, "" for none; None if an older version of the program wrote it.
    indexed_as: str | None


class GroupRow(NamedTuple):
    """A row that leads to a group, or that tells who joined one, as a sweep sees it."""

    #: Its own key, or that of the group whose gathering it is.
    key: str
    #: The group to which it leads; "" for a gathering.
    leads_to: str
    changed_at: datetime


class Page(NamedTuple):
    """Some rows that follow each other."""

    rows: Sequence[Swept]
    groups: Sequence[GroupRow]
    #: The keys of which the index says something.
    indexed: Sequence[str]
    #: Where the next page begins: START if this is the last one.
    end: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far sweeps have come, whichever process made them. All times are aware UTC, our clock."""

    #: Where the next run begins.
    place: Place = START
    #: When the last run began; None if there was none.
    ran_at: datetime | None = None
    #: When the round began that goes on, or that was the last one.
    round_began_at: datetime | None = None
    #: Since when rows may be missing in the index, so that many are looked at in a run; None if that is unlikely.
    hasty_since: datetime | None = None
    #: The version of what was read; "" if there was nothing.
    etag: str = ""

    def is_current(self, now: datetime) -> bool:
        """Whether the last run is no longer ago than it should be."""
        return self.ran_at is not None and abs(now - self.ran_at) <= RUN_MISSED

    def vouches_for_index(self, now: datetime) -> bool:
        """Whether the index can be relied upon to name all open rows."""
        return self.is_current(now) and self.hasty_since is None

    def begun(self, now: datetime) -> Self:
        """Return it as a run begins; from the start and in haste, if a run was missed."""
        if not self.is_current(now):
            return replace(self.hastened(now), ran_at=now, round_began_at=now)
        return replace(self, ran_at=now, round_began_at=now if self._begins_round(now) else self.round_began_at)

    def has_work(self, now: datetime) -> bool:
        """Whether a run that began `now` has pages to look at: it goes on with a round or begins one."""
        return self.place != START or self.round_began_at == now

    def _begins_round(self, now: datetime) -> bool:
        began_at = self.round_began_at
        is_time = self.hasty_since is not None or began_at is None or now >= began_at + ROUND
        return self.place == START and is_time

    def hastened(self, now: datetime) -> Self:
        """Return it from the start and in haste, because rows may be missing in the index."""
        return replace(self, place=START, hasty_since=now)

    def advanced(self, end: Place) -> Self:
        """Return it after the page that ended there; a whole round after the overlap of versions ends the haste."""
        began_at, since = self.round_began_at, self.hasty_since
        is_over = end == START and since is not None and began_at is not None and began_at >= since + OVERLAP
        return replace(self, place=end, hasty_since=None if is_over else since)
