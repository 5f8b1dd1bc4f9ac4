"""What does the worker that holds a lease do with it?

The reconciler makes one `Attempt` for each lease and gives it to the `Worker`. The worker takes step after step, until
the incident says what Azure Monitor says or cannot be made to for now: observe, decide, write down what the row must
say before, act, remember. What to do is decided in `plan` and `orders`, how it ends is written down in `endings`.

Webhooks may write the desired part of the row meanwhile. Each write here is conditional; if the row has changed, the
worker applies what it did to the newer version and goes on from there.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.deadline import LEAST_TIME, Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unavailable, Unconfirmed
from itsm_bridge.reconcile import orders
from itsm_bridge.reconcile.attempt import Attempt, Outcome, Result
from itsm_bridge.reconcile.circuit import Circuit, Kind
from itsm_bridge.reconcile.endings import Endings, in_words
from itsm_bridge.reconcile.plan import UNSEEN, Action, decide
from itsm_bridge.reconcile.ports import Incident, LinkEnd, Target
from itsm_bridge.reconcile.record import Record

log = logging.getLogger(__name__)

#: How much of an attempt the search for a link may take, and in how many attempts it is begun once the incident says
#: all else: attempts that fail because the target is away say nothing of the search.
LINKING_BUDGET = timedelta(seconds=1.2)
LINKING_ATTEMPTS = 5
#: How long an incident waits for its links if the target asks to wait. A limit of an hour may hold for reads alone.
LONGEST_WAIT_FOR_LINKS = timedelta(minutes=1)

#: How long the purge may look at one incident; no alert waits for it.
LOOK_BUDGET = timedelta(seconds=10)

_MOST_STEPS = 10

_OUTCOMES: Mapping[Action, Outcome] = {
    Action.CREATE: Outcome.CREATED,
    Action.UPDATE: Outcome.UPDATED,
    Action.RESOLVE: Outcome.RESOLVED,
    Action.REOPEN: Outcome.REOPENED,
}

#: The actions that end an attempt.
_ENDS = frozenset({Action.NOTHING, Action.WAIT, Action.HOLD, Action.LIMIT, Action.PARK})

#: The actions whose refusal for good is told in a note.
_STATES_REFUSED = frozenset({Action.RESOLVE, Action.REOPEN})


class Worker:
    """Works off attempts; safe to share between threads."""

    def __init__(self, *, target: Target, circuit: Circuit, endings: Endings, now: Callable[[], datetime]) -> None:
        self._target = target
        self._circuit = circuit
        self._endings = endings
        self._now = now
        self._steps: Mapping[Action, Callable[[Attempt, Record], None]] = {
            Action.OBSERVE: self._observe,
            Action.LINK: self._link,
            Action.SUCCEED: self._succeed,
            **dict.fromkeys((Action.CREATE, Action.UPDATE, Action.RESOLVE, Action.REOPEN), self._change),
        }

    def work(self, attempt: Attempt) -> Result:
        """Take step after step until the incident says what it should or cannot be made to for now.

        An error that was not foreseen is a failed attempt too.

        Raises:
            Conflict: the lease was lost; the worker that has it now will see what we did.
            Unavailable: storage did not answer.
        """
        try:
            for _ in range(_MOST_STEPS):
                result = self._advance(attempt)
                if result is not None:
                    return result
            return self._endings.retry_later(attempt, Unavailable("the incident keeps changing"))
        except BridgeError:
            raise
        except Exception as error:  # noqa: BLE001 - an alert that always meets a bug must be parked, not tried for ever
            return self._endings.stumbled(attempt, error)

    def is_over(self, row: Record, *, deadline: Deadline) -> bool:
        """Return whether people ended or deleted the incident of a row.

        Raises:
            Unavailable: the target did not answer, or hides it.
        """
        incident = self._target.find(row.incident_id, with_journal=False, deadline=deadline.within(LOOK_BUDGET))
        return incident is None or incident.is_closed

    def _advance(self, attempt: Attempt) -> Result | None:
        """Decide and take one step; return a result if that ends the attempt."""
        now, record, is_repeatable = self._now(), attempt.record, self._target.creation_is_repeatable
        attempt.forget_outdated_look(now)
        decision = attempt.decision = decide(
            record,
            attempt.observed,
            now=now,
            creation_is_repeatable=is_repeatable,
            may_link=attempt.link_error is None,
        )
        if decision.action in _ENDS:
            return self._ended(attempt, record)
        intent = orders.intent(decision, record, attempt.row, now=self._now(), creation_is_repeatable=is_repeatable)
        if intent:
            self._endings.write(attempt, intent)
            return None
        try:
            self._steps[decision.action](attempt, record)
        except Conflict as error:
            self._look_again(attempt, error)
        except Rejected as error:
            return self._rejected(attempt, record, error)
        except Unconfirmed as error:
            return self._doubt(attempt, record, error)
        except TemporaryError as error:
            return self._endings.retry_later(attempt, error)
        if decision.action is Action.SUCCEED:
            # The intent of another incident is written down before it is created; a lost lease ends the attempt.
            self._endings.write(attempt, orders.as_it_is)
        return None

    def _ended(self, attempt: Attempt, record: Record) -> Result | None:
        """End the attempt with what was decided; None if there is more to do after all."""
        if attempt.decision.action is Action.NOTHING:
            return self._endings.settle(attempt, record)
        if attempt.decision.action is Action.HOLD:
            return self._endings.wait_out_hold(attempt, record)
        if attempt.decision.action is Action.LIMIT:
            return self._endings.limited(attempt, record)
        if attempt.decision.action is Action.PARK:
            return self._endings.park(attempt, record.work.refusal)
        return self._endings.wait_out_doubt(attempt, record)

    # The steps.

    def _succeed(self, attempt: Attempt, _: Record) -> None:
        """Go on to the next generation; its incident is not there yet."""
        if not isinstance(attempt.observed, Incident):
            raise Unavailable("there is no incident to follow; it is looked at again")
        now = self._now()
        attempt.change(partial(Record.succeeded, closed=attempt.observed, now=now))
        attempt.observed = None
        attempt.note("a new incident follows", now)

    def _observe(self, attempt: Attempt, record: Record) -> None:
        """Look at the incident; with its journal if a write of unknown outcome may have reached it."""
        attempt.looked_in_doubt = record.is_in_doubt(self._now())
        with self._counted(attempt, record, Kind.READ):
            found = self._found(attempt, record)
        self._circuit.succeeded(record.key, Kind.READ)
        attempt.observed = found
        if found is not None:
            attempt.change(partial(Record.seen, incident=found))
        if not attempt.record.observed.in_doubt_until:
            attempt.unconfirmed_write = None

    def _found(self, attempt: Attempt, record: Record) -> Incident | None:
        is_doubtful = record.observed.in_doubt_until is not None
        for way in orders.ways_to_look(record, creation_is_repeatable=self._target.creation_is_repeatable):
            if way is orders.Way.BY_ID:
                found = self._target.find(
                    record.incident_id, with_journal=is_doubtful, names=record.names, deadline=attempt.deadline
                )
            else:
                found = self._found_by_key(attempt, record)
            if found is not None:
                return found
        return None

    def _found_by_key(self, attempt: Attempt, record: Record) -> Incident | None:
        known, doubles = orders.pick(record, self._target.search(record.key, deadline=attempt.deadline))
        # A search shows no journal.
        incident = known and self._target.find(
            known.id, with_journal=True, names=record.names, deadline=attempt.deadline
        )
        if incident is not None:
            for double in doubles:
                log.error("%s: %s is a double of %s", record.key, double.number, incident.number)
                self._target.retire(double, incident, deadline=attempt.deadline)
        return incident

    def _link(self, attempt: Attempt, record: Record) -> None:
        """Look for the other ends of links, for a short time, so that a slow search delays only the links."""
        deadline = attempt.deadline.within(LINKING_BUDGET)
        for name in record.missing_links:
            end = self._link_end(attempt, record, name, deadline)
            if end is None:
                continue
            attempt.change(partial(Record.linked, name=name, end=end))
            if end.detail:
                attempt.note(end.detail, self._now())

    def _link_end(self, attempt: Attempt, record: Record, name: str, deadline: Deadline) -> LinkEnd | None:
        """Return the other end of a link; None if it has to be looked for later."""
        with self._counted(attempt, record, Kind.WRITE):
            try:
                return self._target.find_link(name, record.desired.links[name], deadline=deadline)
            except Unavailable as error:
                if error.retry_after is not None and error.retry_after <= LONGEST_WAIT_FOR_LINKS:
                    raise
                attempt.link_error = error
        if not record.work.links_later or record.work.attempts < LINKING_ATTEMPTS:
            return None
        return LinkEnd(reason=f"No {in_words(name)}: the search for it did not answer.")

    def _change(self, attempt: Attempt, record: Record) -> None:
        """Create or change the incident with one write, and take in the answer."""
        is_creation = attempt.decision.action is Action.CREATE
        began, incident = self._now(), attempt.observed if isinstance(attempt.observed, Incident) else None
        write = orders.write_for(
            attempt.decision, record, incident, creation_is_repeatable=self._target.creation_is_repeatable
        )
        send = {
            Action.CREATE: self._target.create,
            Action.UPDATE: self._target.update,
            Action.RESOLVE: self._target.resolve,
            Action.REOPEN: self._target.reopen,
        }[attempt.decision.action]
        with self._counted(attempt, record, Kind.WRITE):
            changed = send(write, deadline=attempt.deadline)
        self._circuit.succeeded(record.key, Kind.WRITE)
        attempt.unconfirmed_write = None
        created_at = began if is_creation else None
        attempt.change(
            partial(
                Record.written,
                incident=changed,
                sent=record,
                write=write,
                created_at=created_at,
                holds_notes=attempt.decision.holds_notes,
            )
        )
        attempt.observed = changed
        attempt.outcome = _OUTCOMES[attempt.decision.action]
        if not orders.had_effect(attempt.decision, changed):
            raise Rejected(f"the write was confirmed and did not {attempt.decision.action} the incident")
        attempt.note(f"{changed.number} in state {changed.state}", self._now())

    def _look_again(self, attempt: Attempt, error: Conflict) -> None:
        """Look at an incident that another process changed, ended or created meanwhile."""
        if attempt.decision.action is Action.CREATE:
            # The incident is there, by this creation or an earlier one; its journal tells which of our notes it has.
            attempt.change(partial(Record.doubted, now=self._now()))
        attempt.note(str(error), self._now())
        attempt.observed = UNSEEN

    def _doubt(self, attempt: Attempt, record: Record, error: Unconfirmed) -> Result | None:
        """Remember a write of unknown outcome and look at the incident; a second such write ends the attempt."""
        now = self._now()
        attempt.change(partial(Record.doubted, now=now, wanted=record.desired.revision))
        if attempt.decision.action is Action.CREATE:
            repeatable = self._target.creation_is_repeatable
            attempt.change(
                *orders.after_unconfirmed_creation(
                    record, is_refusal=error.is_refusal, creation_is_repeatable=repeatable, now=now
                )
            )
        if attempt.unconfirmed_write is not None:
            return self._endings.retry_later(attempt, error)
        attempt.note(f"unknown: {error}", now)
        attempt.unconfirmed_write, attempt.observed = error, UNSEEN
        return None

    def _rejected(self, attempt: Attempt, record: Record, error: Rejected) -> Result | None:
        """Tell people once that a state was refused; park the row if any other write was refused for good."""
        if attempt.decision.action is Action.CREATE and attempt.link_error is not None:
            # What could not be looked for may be the very field that the target demands, as a caller. How often it was
            # tried before says nothing of that: an outage counts attempts too.
            return self._endings.retry_later(attempt, Unavailable(f"{error}; and {attempt.link_error}"))
        if attempt.decision.action not in _STATES_REFUSED or record.work.refusal:
            return self._endings.park(attempt, str(error))
        self._endings.tell_refusal(attempt, record, str(error))
        return None

    @contextmanager
    def _counted(self, attempt: Attempt, record: Record, kind: Kind) -> Iterator[None]:
        """Tell the circuit what a failure of the block says of the target: whether it answers this kind of request."""
        try:
            yield
        except TimeIsUp:
            raise
        except (Rejected, Conflict):
            self._circuit.succeeded(record.key, kind)
            raise
        except (Unavailable, Unconfirmed) as error:
            if attempt.deadline.left < LEAST_TIME:
                # Our own time ran out: the target may only be slow.
                self._circuit.ran_out(record.key)
            elif not error.is_refusal:
                self._circuit.failed(record.key, str(error), kind)
            raise
