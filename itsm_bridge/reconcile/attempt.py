"""What is known while one lease lasts?

The reconciler makes one `Attempt` for each lease; the worker takes its steps with it, and `endings` writes what came of
them onto the row. Nothing is sent or stored here.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable, Unconfirmed
from itsm_bridge.reconcile.orders import Change
from itsm_bridge.reconcile.plan import UNSEEN, Action, Decision, Observation
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import Step

_UNDECIDED = Decision(action=Action.NOTHING, reason="")


class Outcome(StrEnum):
    """The outcome of a notification, as the HTTP caller is told it."""

    CREATED = "created"
    UPDATED = "updated"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    UNCHANGED = "unchanged"
    #: Remembered durably; a worker will tell the target.
    ACCEPTED = "accepted"
    #: A rule says that there is to be no incident, or only as a trial.
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one look at a key."""

    outcome: Outcome
    record: Record


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One lease: the row as last written, what was done since, and what was observed."""

    row: Record
    #: The row as it will be once the changes are written.
    record: Record
    changes: list[Change] = field(default_factory=list)
    observed: Observation
    #: Whether a write of unknown outcome could still take effect when the worker last looked.
    looked_in_doubt: bool = False
    deadline: Deadline
    outcome: Outcome = Outcome.UNCHANGED
    #: The last decision.
    decision: Decision = _UNDECIDED
    #: Whether a step of this attempt was noted.
    has_acted: bool = False
    #: The write of this attempt whose outcome is unknown, if there is one.
    unconfirmed_write: Unconfirmed | None = None
    #: Why a link could not be looked for; None if there was no such failure.
    link_error: Unavailable | None = None
    #: The marks of the row writes since the row was read, and how many of the changes each held.
    marks: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Record, *, deadline: Deadline) -> Self:
        """Return the attempt for a row that was just leased."""
        observed = UNSEEN if row.may_have_incident else None
        return cls(row=row, record=row, observed=observed, deadline=deadline)

    def change(self, *changes: Change) -> None:
        """Change the row with the next write."""
        for change in changes:
            self.changes.append(change)
            self.record = change(self.record)

    def forget_outdated_look(self, now: datetime) -> None:
        """Have the incident looked at again if a doubt ended since the worker looked.

        The write in doubt may have taken effect in between.
        """
        has_doubt = self.record.observed.in_doubt_until is not None
        if self.looked_in_doubt and has_doubt and not self.record.is_in_doubt(now):
            self.observed = UNSEEN

    def rebase(self, row: Record) -> None:
        """Go on from `row` without the changes that it has already, by a write whose answer may have been lost."""
        left = self.changes[self.marks.get(row.work.write_mark, 0) :]
        self.row, self.marks = row, {}
        self.change_only(*left)

    def change_only(self, *changes: Change) -> None:
        """Change the row with the next write as `changes` say, and in nothing else."""
        self.record, self.changes = self.row, []
        self.change(*changes)

    def note(self, result: str, now: datetime) -> None:
        """Have the row remember the step that was taken and its result."""
        step = Step(at=now, action=self.decision.action, reason=self.decision.reason, result=result)
        self.change(lambda row: row.with_work(row.work.done(step)))
        self.has_acted = True
