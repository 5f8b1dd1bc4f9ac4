"""Does the index name every open row, and which rows are kept for nothing?

`resync` calls `Sweep.run` with what the index says. Each run looks at a few pages of the table, without documents, and
the next one goes on from there: every row is looked at within a day or a few, and none more than once an hour.

1. A row is put right in the index if the two differ: an older version of the program, which knows no index, may have
   written the row, or left an outline of one that is settled.
2. Where that happened, or a run was missed, the following runs look at many pages, for longer than two versions run
   side by side.
3. What has long been over is deleted. A row is read before, and deleted only if it still says so.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from itsm_bridge.deadline import Clock, Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, NewerVersion, Rejected, TemporaryError
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.outline import Outline, outline_of
from itsm_bridge.reconcile.pages import START, GroupRow, Page, Progress, Swept
from itsm_bridge.reconcile.ports import Store
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.row_by_row import each_alone
from itsm_bridge.reconcile.worker import LOOK_BUDGET, Worker

log = logging.getLogger(__name__)

#: How long work waits for a slot before it comes back later.
SLOT_PATIENCE = timedelta(seconds=2)

#: How many pages a run looks at, and how many in haste.
PAGES: Final = 4
PAGES_IN_HASTE: Final = 1000
#: For how long a run begins another page, and until how many changes of rows.
LONGEST: Final = timedelta(minutes=1)
CHANGES: Final = 1000
#: How often a sweep asks whether the incident of an alert that never ends is closed, and for how many alerts in a run.
LOOK_AGAIN: Final = timedelta(days=7)
LOOKS: Final = 10


@dataclass(slots=True)
class _Run:
    """What one run saw and did."""

    #: By key, what the index says.
    known: Mapping[str, Outline]
    #: The keys of the rows of alerts that were met.
    seen: set[str] = field(default_factory=set)
    #: The groups that have a row.
    living: set[str] = field(default_factory=set)
    healed: int = 0
    purged: int = 0
    looks: int = 0


class Sweep:
    """Goes through the table little by little; safe to share between threads."""

    def __init__(
        self,
        *,
        store: Store,
        circuit: Circuit,
        worker: Worker,
        retention: timedelta,
        now: Callable[[], datetime],
        clock: Clock = time.monotonic,
    ) -> None:
        self._store = store
        self._circuit = circuit
        self._worker = worker
        self._retention = retention
        self._now = now
        self._clock = clock

    def run(self, known: Mapping[str, Outline]) -> None:
        """Look at the next pages, if it is time; `known` holds what the index says of each open row, by key.

        Where another process does the same at this moment, it is left to that one.

        Raises:
            Unavailable: storage did not answer; the next run goes on where this one came to.
        """
        now, run = self._now(), _Run(known)
        progress, failure = self._store.progress().begun(now), None
        try:
            # First of all, so that a run which dies over a page does not look like one that was missed.
            progress = self._store.save_progress(progress)
            if not progress.has_work(now):
                return
            progress, failure = self._advanced(progress, run)
            if run.healed and progress.hasty_since is None:
                progress = progress.hastened(now)
            self._store.save_progress(progress)
        except Conflict as error:
            log.info("resync: another process sweeps too: %s", error)
        if run.healed or run.purged:
            log.info("resync: %d rows were put right in the index, %d were purged", run.healed, run.purged)
        if failure is not None:
            raise failure

    def _advanced(self, progress: Progress, run: _Run) -> tuple[Progress, TemporaryError | None]:
        """Look at pages as long as there is time; return how far that is, and why no further if storage failed."""
        limit = PAGES if progress.hasty_since is None else PAGES_IN_HASTE
        until = Deadline.after(LONGEST, clock=self._clock)
        try:
            for page in islice(self._store.pages(progress.place), limit):
                self._look_at(page, run)
                progress = progress.advanced(page.end)
                if page.end == START or run.healed + run.purged >= CHANGES or until.left <= timedelta(0):
                    break
        except TemporaryError as error:
            return progress, error
        return progress, None

    def _look_at(self, page: Page, run: _Run) -> None:
        now = self._now()
        before = now - self._retention
        run.seen.update(row.key for row in page.rows)
        doubtful = [row.key for row in page.rows if _differs(row, run.known.get(row.key))]
        doubtful += [key for key in page.indexed if key not in run.seen]
        idle = [row for row in page.rows if not row.is_open and row.changed_at < before]
        unending = [row for row in idle if row.is_firing and row.looked_at < now - LOOK_AGAIN]
        each_alone(doubtful, lambda key: self._heal(key, run))
        each_alone((row.key for row in idle if not row.is_firing), lambda key: self._purge(key, before, run))
        each_alone((row.key for row in unending), lambda key: self._purge_if_closed(key, before, run))
        old = (row for row in page.groups if row.changed_at < before and row.leads_to not in run.living)
        each_alone(old, lambda row: self._purge_group(row, before, run))

    def _heal(self, key: str, run: _Run) -> None:
        run.healed += self._store.heal(key)

    def _purge(self, key: str, before: datetime, run: _Run) -> None:
        """Delete the row of an alert that has long been over."""
        row = self._idle(key, before)
        if row is not None and not row.desired.is_firing:
            self._store.delete(row)
            run.purged += 1

    def _purge_group(self, row: GroupRow, before: datetime, run: _Run) -> None:
        """Delete what leads to a group that is gone, or tells who joined one long ago."""
        if self._store.purge_group(row, changed_before=before):
            run.purged += 1
        elif row.leads_to:
            run.living.add(row.leads_to)

    def _purge_if_closed(self, key: str, before: datetime, run: _Run) -> None:
        """Delete the row of an alert that Azure never ends once people have closed or deleted its incident.

        Raises:
            Unavailable: storage or the target did not answer.
        """
        row = self._idle(key, before) if run.looks < LOOKS else None
        if row is None or not row.desired.is_firing:
            return
        run.looks += 1
        with self._circuit.slot(wait=SLOT_PATIENCE) as has_slot:
            if not has_slot or self._circuit.paused_for():
                return
            try:
                is_over = self._worker.is_over(row, deadline=Deadline.after(LOOK_BUDGET, clock=self._clock))
            except Rejected as error:
                # The row stays, and the target is asked about it again next week.
                log.warning("%s is kept: %s", row.key, error)
                is_over = False
        if is_over:
            self._store.delete(row)
            run.purged += 1
        else:
            self._store.replace(row.with_work(replace(row.work, looked_at=self._now())))

    def _idle(self, key: str, before: datetime) -> Record | None:
        """Return the row if nothing is left to do about it and it last changed before `before`."""
        with suppress(Damaged, LeadsNowhere, NewerVersion):
            row = self._store.read(key)
            if row is not None and row.key == key and not outline_of(row).is_open:
                return row if row.desired.changed_at < before else None
        return None


def _differs(row: Swept, known: Outline | None) -> bool:
    """Whether the index seems to say something else of a row than the row does.

    A row that knows of an entry was written together with it: if the entry is another one by now, so is the row.
    """
    if not row.is_open:
        return known is not None
    return known is None or row.indexed_as is None
