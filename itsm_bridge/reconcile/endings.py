"""How does an attempt end, and what does the row say then?

The worker comes here when a step ends its attempt: the incident says what it should, or it cannot be made to for now or
for good. Each ending is written onto the row as it is by then, because webhooks may have written its desired part
meanwhile, and has a wake-up on its way before it is.
"""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from itsm_bridge.azure_monitor.timestamps import utc_text
from itsm_bridge.errors import Conflict, TemporaryError, Unavailable, Unconfirmed, place_of
from itsm_bridge.reconcile import orders
from itsm_bridge.reconcile.attempt import Attempt, Outcome, Result
from itsm_bridge.reconcile.backoff import FIRST_LOOK, backoff
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.orders import Change
from itsm_bridge.reconcile.plan import UNSEEN, Action
from itsm_bridge.reconcile.ports import LinkEnd, Store
from itsm_bridge.reconcile.record import MOST_CREATIONS, Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.reconcile.waking import Waking
from itsm_bridge.telemetry import NOTHING, Metric, Telemetry

log = logging.getLogger(__name__)

#: How much sooner than asked for a wake-up may come, because the queue counts whole seconds.
WHOLE_SECOND: Final = timedelta(seconds=1)


class Endings:
    """Ends attempts; safe to share between threads."""

    def __init__(
        self,
        *,
        store: Store,
        waking: Waking,
        circuit: Circuit,
        retry_horizon: timedelta,
        now: Callable[[], datetime],
        telemetry: Telemetry = NOTHING,
    ) -> None:
        self._store = store
        self._waking = waking
        self._circuit = circuit
        self._retry_horizon = retry_horizon
        self._now = now
        self._telemetry = telemetry

    def settle(self, attempt: Attempt, record: Record) -> Result | None:
        """Remember that the incident says what it should; None if something newer has come meanwhile."""
        if record.desired.is_shadowed:
            attempt.note(f'on trial by the rule "{record.desired.shadowed_by}"', self._now())
            attempt.outcome = Outcome.IGNORED
        elif not attempt.has_acted:
            attempt.note("left as it is", self._now())
        if attempt.link_error and record.missing_link:
            attempt.decision = replace(attempt.decision, action=Action.LINK, link=record.missing_link)
            attempt.change(partial(Record.settled, planned=record, links_later=True))
            # The links wait as long as the target asked for; whatever else it has to be told may not be limited.
            wait = attempt.link_error.retry_after
            delay = backoff(attempt.record.work.attempts, wait) if wait else None
            return self.retry_later(attempt, Unavailable(str(attempt.link_error)), delay=delay)
        self.write(attempt, partial(Record.settled, planned=record))
        if not attempt.row.is_settled:
            # People may have changed the incident meanwhile, too.
            attempt.observed = UNSEEN
            return None
        self._tell(attempt, record)
        return Result(outcome=attempt.outcome, record=attempt.row)

    def _tell(self, attempt: Attempt, record: Record) -> None:
        """Tell what was done, and how long after Azure Monitor said so, or after the end of the hold."""
        seconds = max((self._now() - record.told_at).total_seconds(), 0.0)
        what = "on trial" if record.desired.is_shadowed else record.observed.number or "no incident"
        log.info("%s: %s (%s), %.1f s after it was told", record.key, attempt.outcome, what, seconds)
        self._telemetry.describe(outcome=attempt.outcome)
        self._telemetry.tell(Metric.OUTCOMES, outcome=attempt.outcome)
        self._telemetry.tell(Metric.TIME_TO_INCIDENT, seconds, outcome=attempt.outcome)

    def retry_later(self, attempt: Attempt, error: TemporaryError, *, delay: timedelta | None = None) -> Result:
        """Have the row looked at again after `delay`, or by the backoff; beyond the horizon it is parked."""
        now, doubt = self._now(), attempt.unconfirmed_write
        reason = str(error) if doubt in (None, error) else f"{doubt}; then {error}"
        if attempt.record.work.failing_for(now) >= self._retry_horizon:
            reason = f"given up after {self._retry_horizon}: {reason}"
            return self.unlinked(attempt, reason) if attempt.record.is_settled else self.park(attempt, reason)
        if error.retry_after is not None:
            self._circuit.pause(error.retry_after)
        # Another process may get the wake-up and know of no pause, so the wake-up must not come too early.
        attempts = attempt.record.work.attempts
        if doubt is not None and not attempts and error.retry_after is None:
            delay = delay or FIRST_LOOK
        delay = delay or backoff(attempts, error.retry_after)
        due, counting = now + delay, self._woken(attempt, delay)
        attempt.note(reason, now)
        self.write(attempt, lambda row: counting(row.with_work(row.work.failed(reason=reason, now=now))))
        row = attempt.row
        self._telemetry.tell(Metric.RETRIES)
        log.warning("%s: attempt %d failed, next at %s: %s", row.key, row.work.attempts, due.isoformat(), reason)
        # An incident that only lacks a link says what the alert says.
        is_told = row.is_settled and not row.work.is_parked
        return Result(outcome=attempt.outcome if is_told else Outcome.ACCEPTED, record=row)

    def wait_out_hold(self, attempt: Attempt, record: Record) -> Result:
        """Have the row looked at when its hold is over; no attempt has failed."""
        until = record.desired.held_until or self._now()
        return self._rest(attempt, until=until, why=f"on hold until {utc_text(until)}")

    def wait_out_doubt(self, attempt: Attempt, record: Record) -> Result:
        """Have the row looked at when the write of unknown outcome must have ended.

        A creation is looked for before that too, because once its incident is there the doubt is over. An attempt that
        left the doubt itself has failed.
        """
        now, reason = self._now(), "a write of unknown outcome may still take effect"
        until = record.observed.in_doubt_until or now
        left = until - now + WHOLE_SECOND
        if record.observed.incident_id and attempt.unconfirmed_write is None:
            return self._rest(attempt, until=now + left, why=f"{reason}, until {utc_text(until)}")
        if not record.observed.incident_id:
            left = min(left, backoff(record.work.attempts))
        return self.retry_later(attempt, Unconfirmed(reason), delay=left)

    def _rest(self, attempt: Attempt, *, until: datetime, why: str) -> Result:
        """Have the row looked at at `until`; nothing has failed."""
        now = self._now()
        counting = self._woken(attempt, until - now)
        attempt.note(why, now)
        self.write(attempt, lambda row: counting(row.with_work(row.work.released())))
        return Result(outcome=Outcome.ACCEPTED, record=attempt.row)

    def _woken(self, attempt: Attempt, delay: timedelta) -> Change:
        """Send a wake-up that comes after `delay`; return how the row counts on it.

        It counts on any other as well where news came meanwhile, because they have one of their own that comes sooner,
        and where this process stood still until the wake-up may have come, because it found the row leased then.
        """
        revision, due = attempt.record.desired.revision, self._now() + delay
        wake_up = self._waking.wake(attempt.row.key, delay=delay)

        def counting(row: Record) -> Record:
            is_next = row.desired.revision == revision and self._now() + WHOLE_SECOND < due
            return row.with_work(row.work.awaiting(wake_up_at=due, wake_up_id=wake_up.message_id if is_next else ""))

        return counting

    def unlinked(self, attempt: Attempt, reason: str) -> Result:
        """Give up on the link alone: the incident says what the alert says, and no person has to act."""
        attempt.note(reason, self._now())
        names = attempt.record.missing_links
        attempt.change(*(partial(Record.linked, name=name, end=LinkEnd(reason="")) for name in names))
        planned = attempt.record

        def settled(row: Record) -> Record:
            # A notification that came meanwhile has a wake-up of its own, and a doubt lasts until its time is over.
            after = row.settled(planned)
            doubt = replace(after.observed, in_doubt_until=row.observed.in_doubt_until)
            return replace(after, observed=doubt, work=after.work.released())

        self.write(attempt, settled)
        log.warning("%s stays without its %s: %s", attempt.row.key, " and ".join(map(in_words, names)), reason)
        return Result(outcome=attempt.outcome, record=attempt.row)

    def stumbled(self, attempt: Attempt, error: Exception) -> Result:
        """Count an error that was not foreseen as a failed attempt.

        Its message may quote the alert, so the row and the log tell its place instead.

        Raises:
            TemporaryError: not even that could be written down.
        """
        reason = f"unexpected {type(error).__name__} at {place_of(error)}"
        log.error("%s: %s", attempt.row.key, reason)
        # The step that was under way may have had an effect, and a change not written yet may be what fails.
        attempt.change_only(partial(Record.doubted, now=self._now()))
        return self.retry_later(attempt, Unconfirmed(reason))

    def limited(self, attempt: Attempt, record: Record) -> Result:
        """Let the next incident of a key wait until the last hour has seen few enough."""
        until = record.creation_allowed_at(self._now())
        reason = f"{MOST_CREATIONS} incidents were created for this alert within an hour; the next one may come later"
        log.error("%s: %s, at %s", record.key, reason, until.isoformat())
        return self.retry_later(attempt, Unavailable(reason), delay=until - self._now())

    def tell_refusal(self, attempt: Attempt, record: Record, reason: str) -> None:
        """Have the incident say what Azure Monitor reports and that its state could not follow."""
        note = orders.refusal_note(attempt.decision, reason)
        attempt.note(f"refused: {reason}", self._now())
        # The row must know the note before it is sent: if this process dies then, the next one is refused too and must
        # not tell it again.
        self.write(attempt, partial(Record.refused, reason=reason, note=note, revision=record.desired.revision))

    def park(self, attempt: Attempt, reason: str) -> Result:
        """Put the row aside until a person acts or Azure Monitor says something new."""
        revision = attempt.record.desired.revision
        attempt.note(reason, self._now())

        def parked(row: Record) -> Record:
            # A notification that came meanwhile deserves an attempt of its own.
            return row.with_work(row.work.parked(reason) if row.desired.revision == revision else row.work.released())

        self.write(attempt, parked)
        log.error("%s is parked until somebody acts: %s", attempt.row.key, reason)
        return Result(outcome=Outcome.ACCEPTED, record=attempt.row)

    def let_go(self, attempt: Attempt) -> None:
        """Write down what was done, which storage did not take before, and give back the lease if it is not yet.

        The row says then what may be under way, and nothing else is. Where storage fails again, the lease runs out, and
        the next worker has to take anything for possible.
        """

        def released(row: Record) -> Record:
            work = replace(row.work.released(), wake_up_at=self._now(), wake_up_id="")
            return row.with_work(work) if row.work.lease_holder else row

        with suppress(TemporaryError):
            self.write(attempt, released)

    def write(self, attempt: Attempt, change: Change) -> None:
        """Write what was done, and `change`, onto the row as it is now.

        Raises:
            Conflict: the lease was lost; the worker that has it now will see what we did.
            Unavailable: the table did not answer.
        """
        holder = attempt.row.work.lease_holder
        attempt.change(change)

        def onto(row: Record | None) -> Record | None:
            if row is None or row.work.lease_holder != holder:
                raise Conflict(f"the lease of {attempt.row.key} was lost")
            if row is not attempt.row:
                attempt.rebase(row)
            if not attempt.changes:
                return None
            mark = uuid.uuid4().hex
            attempt.marks[mark] = len(attempt.changes)
            changed = attempt.record
            return changed.with_work(replace(changed.work, write_mark=mark))

        row = swap(self._store, attempt.row.key, onto, row=attempt.row)
        if row is not None and row is not attempt.row:
            attempt.rebase(row)


def in_words(link: str) -> str:
    """Return the name of a link as people read it."""
    return link.replace("_", " ")
