"""Which questions can one query answer, and which of its rows answer which?

`lookup` groups the questions that it has to ask, and takes the answers apart again. Nothing is sent here.
Questions about one field of one table are one query, with a list of all their values. Each gets the rows that it would
have got alone, or none if that is not sure: then it is asked alone.

ServiceNow counts to the limit before it hides rows, so that a page that is not full by what is shown may be full all
the same. A query for several questions therefore asks for the number of rows that match, too; so does one for a name,
which many items may share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from itsm_bridge.servicenow.cmdb.classes import SOURCES, Question
from itsm_bridge.servicenow.cmdb.match import FIELDS, Rows, live_rows
from itsm_bridge.servicenow.queries import Query
from itsm_bridge.servicenow.table_api import Page

#: Rows of the answer to one question: an item and its retired predecessors. A full page may hide another live one.
_MOST_ROWS: Final = 20

#: Questions of one query.
MOST_OF_A_QUERY: Final = 50

#: Characters of an address. 2,000 pass every proxy. Inside of a batch no proxy sees it, and ServiceNow's own client
#: takes to batches for whatever is over 10,000 (https://github.com/ServiceNow/PySNC): there it is as much as the
#: questions of a query need.
LONGEST_ADDRESS: Final = 2000
LONGEST_INSIDE: Final = 24000
#: Characters of an address that are no values.
_REST: Final = 400


@dataclass(frozen=True, slots=True)
class Group:
    """Questions about one field of one table."""

    questions: tuple[Question, ...]

    @property
    def place(self) -> tuple[str, str]:
        """The table and the field."""
        return self.questions[0].table, self.questions[0].field

    @property
    def query(self) -> Query:
        """The one query for all of them."""
        table, field = self.place
        values = tuple(dict.fromkeys(value for question in self.questions for value in question.values))
        return Query(
            table=table,
            conditions={field: values},
            fields=("target_sys_id",) if table == SOURCES else FIELDS,
            limit=_MOST_ROWS * len(self.questions),
            is_counted=len(self.questions) > 1 or field == "name",
        )

    def answers(self, page: Page) -> Mapping[Question, Rows | None]:
        """Return the rows of each question; None for one that has to be asked alone."""
        if len(self.questions) == 1:
            return {self.questions[0]: live_rows(page.rows, is_cut=page.is_full)}
        if page.is_full:
            return dict.fromkeys(self.questions)
        return {question: _rows_of(question, page) for question in self.questions}


def grouped(
    questions: Iterable[Question],
    *,
    alone: Iterable[Question] = (),
    riders: Iterable[Question] = (),
    longest: int = LONGEST_ADDRESS,
) -> Sequence[Group]:
    """Return the queries that answer `questions`, in their order.

    Args:
        questions: What has to be asked.
        alone: Those of them that have to be asked alone.
        riders: What may be asked with them where a query has room for it: never in a query of its own.
        longest: Characters of an address.
    """
    kept_apart = set(alone)
    groups: list[list[Question]] = []
    for question in dict.fromkeys(questions):
        fitting = (
            group
            for group in groups
            if group[0] not in kept_apart and question not in kept_apart and _fits(group, question, longest)
        )
        group = next(fitting, None)
        if group is None:
            groups.append([question])
        else:
            group.append(question)
    open_groups = [group for group in groups if group[0] not in kept_apart]
    for rider in dict.fromkeys(riders):
        group = next((each for each in open_groups if _place(each[0]) == _place(rider)), None)
        if group is None or rider in group:
            continue
        if _fits(group, rider, longest):
            group.append(rider)
        else:
            # It is as good as full, and hardly any shorter one waits.
            open_groups = [each for each in open_groups if each is not group]
    return [Group(tuple(group)) for group in groups]


def _place(question: Question) -> tuple[str, str]:
    return question.table, question.field


def _fits(group: Sequence[Question], question: Question, longest: int) -> bool:
    if _place(group[0]) != _place(question) or len(group) >= MOST_OF_A_QUERY or question in group:
        return False
    return _REST + sum(map(_length, group)) + _length(question) <= longest


@lru_cache(maxsize=4096)
def _length(question: Question) -> int:
    """Return how many characters the values take in an address, with the commas between them."""
    return sum(len(quote(value, safe="")) + len("%2C") for value in question.values)


def _rows_of(question: Question, page: Page) -> Rows | None:
    """Return the rows of one of several questions; None if there are as many as it would have got at most, alone."""
    values = {value.casefold() for value in question.values}
    rows = tuple(row for row in page.rows if row[question.field].casefold() in values)
    return None if len(rows) >= _MOST_ROWS else live_rows(rows, is_cut=False)
