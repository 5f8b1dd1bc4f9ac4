"""What has one search asked and found out so far?

`lookup` makes a `Progress` for each call of `find` and works on it until nothing is unknown. What all searches share,
as the rows that were found lately, is kept there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError
from itsm_bridge.servicenow.cmdb.classes import Question
from itsm_bridge.servicenow.cmdb.match import Rows
from itsm_bridge.servicenow.cmdb.search import ITEMS
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET

#: Questions of one search. An ARM id that is nowhere takes 3 to 5, each parent too.
MOST_QUESTIONS: Final = 20


@dataclass(slots=True)
class Progress:
    """What one call of `Cmdb.find` has asked and found out; it belongs to one thread."""

    deadline: Deadline
    rows: dict[Question, Rows] = field(default_factory=dict)
    errors: dict[Question, BridgeError] = field(default_factory=dict)
    #: The questions that were refused once.
    refused: set[Question] = field(default_factory=set)
    #: The questions that have to be asked alone.
    alone: set[Question] = field(default_factory=set)
    #: Those that were asked and count.
    asked: set[Question] = field(default_factory=set)
    has_asked: bool = False
    #: Whether no more batches are to be sent.
    is_one_by_one: bool = False

    def allowed(self, unknown: Sequence[Question]) -> Sequence[Question]:
        """Return those of the questions that may still be asked; items that an answer named always may."""
        left = MOST_QUESTIONS - len(self.asked)
        new = [each for each in unknown if not _is_of_items(each) and each not in self.asked][: max(left, 0)]
        return [each for each in unknown if _is_of_items(each) or each in self.asked or each in new]

    def take(self, questions: Sequence[Question]) -> None:
        """Count questions as asked."""
        self.has_asked = True
        self.asked |= {each for each in questions if not _is_of_items(each)}

    def for_request(self) -> Deadline:
        """Return the deadline of the next request, or by when another thread must have its answer."""
        return self.deadline.for_request(REQUEST_BUDGET)


def _is_of_items(question: Question) -> bool:
    return (question.table, question.field) == ITEMS
