"""How is a notification remembered, before anything is promised?

The reconciler calls this for each webhook. It places the notification, merges it into its row and writes the row: on
the condition that no other process changed it, and together with the other webhooks of this process where alerts share
an incident. The lease is taken in the same write.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, Unavailable
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.giving_back import GivingBack
from itsm_bridge.reconcile.merge import first_record, merge, shown
from itsm_bridge.reconcile.placing import Placing
from itsm_bridge.reconcile.ports import Store, Target
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.reconcile.together import Together

log = logging.getLogger(__name__)

#: How much time must be left when the notification is durable: storage that is slower is as good as down.
LEFT_BY_STORAGE = timedelta(seconds=1)

_ATTEMPTS = 5


@dataclass(slots=True, kw_only=True)
class _Telling:
    """One notification on its way into its row; it may be told to several versions of the row, the last one counts."""

    news: News
    target: Target
    now: Callable[[], datetime]
    #: Who wants the lease, and until when; "" if nobody does.
    holder: str
    lease_until: datetime
    deadline: Deadline
    #: The key of its row.
    key: str
    #: The step of a trace that it belongs to; "" if nothing is traced.
    traceparent: str
    #: Whether it said anything new that has to be told.
    is_news: bool = False

    def first(self) -> Record:
        """Return the row that begins with it."""
        return first_record(self.news, self.now(), key=self.key)

    def told(self, row: Record | None) -> Record | None:
        """Return the row with the notification, None if there is nothing to write."""
        check_storage(self.deadline)
        if row is not None and self.holder and row.work.lease_holder == self.holder:
            # Our own write took effect, and its answer was lost: the library repeated it and was refused.
            self.is_news = True
            return row
        merged = self.first() if row is None else merge(row, self.news, self.now())
        if merged.desired.stands_for_several:
            merged = shown(merged, self.target.combine(merged.desired))
        self.is_news = merged.desired.revision != (row.desired.revision if row else 0) and not merged.is_settled
        if row is None and merged.desired.revision == 0:
            return None
        return self.leased(self.traced(merged)) if self.is_news else merged

    def traced(self, row: Record) -> Record:
        """Return the row with the trace in which it was told the news."""
        if row.work.traceparent == self.traceparent:
            return row
        return row.with_work(replace(row.work, traceparent=self.traceparent))

    def leased(self, row: Record) -> Record:
        """Return the row leased to the holder, unless another worker has it or nothing is to be done yet."""
        now = self.now()
        may_lease = self.holder and not row.work.is_leased(now) and row.rests_until(now) <= now
        return row.leased(holder=self.holder, now=now, until=self.lease_until) if may_lease else row


class Intake:
    """Remembers notifications; safe to share between threads."""

    def __init__(
        self,
        *,
        store: Store,
        target: Target,
        together: Together,
        giving_back: GivingBack,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._target = target
        self._together = together
        self._giving_back = giving_back
        self._placing = Placing(store, now=now)
        self._now = now

    def remember(
        self, news: News, *, holder: str, lease_until: datetime, deadline: Deadline, traceparent: str = ""
    ) -> tuple[Record, bool]:
        """Write the desired part of the row; return it and whether the news were new.

        The lease, if `holder` is given and no other worker has it, is taken in the same write. Repeating it is
        harmless, because news that say nothing new change nothing. The row keeps `traceparent`, so that whoever works
        on the news later carries the trace on.

        Raises:
            Unavailable: storage did not answer in time; nothing is promised.
            Conflict: other processes kept changing the row; nothing is promised.
        """
        telling = _Telling(
            news=news,
            target=self._target,
            now=self._now,
            holder=holder,
            lease_until=lease_until,
            deadline=deadline,
            key=self._placing.key_of(news, deadline=deadline),
            traceparent=traceparent,
        )
        try:
            return self._remembered(telling), telling.is_news
        except Unavailable:
            self._giving_back.soon(telling.key, holder)
            raise

    def _remembered(self, telling: _Telling) -> Record:
        """Write the desired part of the row; return it. Raises as `remember`; the lease may be taken all the same."""
        for _ in range(_ATTEMPTS):
            with suppress(Conflict):
                row = self._written(telling)
                check_storage(telling.deadline)
                return row
        raise Conflict(f"the row {telling.key} keeps changing")

    def _written(self, telling: _Telling) -> Record:
        """Write the row; return it as it is then.

        Raises:
            Conflict: it has to be tried again.
        """
        try:
            if telling.key != telling.news.key:
                row = self._together.swap(telling.key, telling.told, deadline=telling.deadline)
            else:
                # A beginning is mostly the first word of its alert, so the row is written without a look.
                row = swap(self._store, telling.key, telling.told, begins_absent=telling.news.opens)
        except LeadsNowhere as error:
            # Its process died right after the alert was placed, or the row of the group was purged.
            telling.key = error.key
            raise Conflict(str(error)) from error
        except Damaged as error:
            check_storage(telling.deadline)
            return self._restored(telling, error)
        return row or telling.first()

    def _restored(self, telling: _Telling, error: Damaged) -> Record:
        if not telling.news.opens:
            # The row that is lost may have known of a firing, whose end counts whatever rules say by now.
            telling.news = replace(telling.news, ignored_by="", shadowed_by="")
        first = telling.first()
        telling.is_news = not first.is_settled
        if first.desired.revision == 0:
            return first
        log.error("%s; it is set aside, and its key goes on", error)
        restored = first.restored(self._now())
        return self._store.restore(telling.leased(telling.traced(restored)) if telling.is_news else restored)


def check_storage(deadline: Deadline) -> None:
    """Make sure that enough time is left for the target.

    Raises:
        Unavailable: it is not.
    """
    if deadline.left < LEFT_BY_STORAGE:
        raise Unavailable("storage is too slow to remember the alert in time")
