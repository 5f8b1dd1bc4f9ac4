"""What is an alert's resource, as far as rows are known, and what is still to be asked?

`lookup` calls this again and again, each time with more rows, until nothing is unknown. Nothing is sent here.

The search goes step by step, the surest question first, for the resource and then for each that it is a part of. Where
the rows of a question are not known, it goes on as if the question had found nothing, and notes it. So it finds out at
once what has to be asked, all of which can be asked together; and as soon as nothing before the first match is unknown,
the match is the same that would have been found by asking one question after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from itsm_bridge.servicenow.cmdb.classes import (
    ACCOUNTS,
    SOURCES,
    SUBSCRIPTION,
    Question,
    lineage,
    questions_of,
    resource_of,
)
from itsm_bridge.servicenow.cmdb.match import SYS_ID, CiMatch, Rows, match_of, not_found

#: How many of the resources that a resource is a part of are asked for.
_MOST_PARENTS: Final = 3

#: Whether a CMDB knows subscriptions at all: asked once, it spares two questions about each of them.
_ANY_ACCOUNT: Final = Question(table=ACCOUNTS, field="sys_class_name", values=(ACCOUNTS,))

#: The table and field by which items are asked for that a row of another table names.
ITEMS: Final = ("cmdb_ci", "sys_id")

#: Returns the rows of a question; None if they are not known.
Known = Callable[[Question], Rows | None]


def search(text: str, overrides: Mapping[str, str], known: Known) -> tuple[CiMatch, Sequence[Question]]:
    """Return what `text` is in the CMDB, and the questions before that whose rows are not known.

    If there are such questions, the match is only what is found if none of them finds anything.
    """
    unknown: dict[Question, None] = {}

    def rows_of(question: Question) -> Rows | None:
        rows = known(question)
        if rows is None:
            unknown[question] = None
        return rows

    resource = resource_of(text)
    asked: list[tuple[Question, Rows]] = []
    for target in islice(lineage(resource), 1 + _MOST_PARENTS):
        for question in questions_of(target, overrides):
            rows = rows_of(question) or Rows()
            if question.table == SOURCES and rows.rows:
                rows = _items_of(rows, rows_of)
            match = match_of(resource, target, question, rows)
            if match is not None:
                return match, tuple(unknown)
            asked.append((question, rows))
            accounts = rows_of(_ANY_ACCOUNT) if target.type == SUBSCRIPTION else None
            if accounts is not None and not accounts.rows:
                return not_found(resource, asked), tuple(unknown)
    return not_found(resource, asked), tuple(unknown)


def soon_asked(text: str, overrides: Mapping[str, str]) -> Sequence[Question]:
    """Return the questions that a search for `text` begins with if nothing is known."""
    return search(text, overrides, lambda _: None)[1]


def _items_of(sources: Rows, rows_of: Known) -> Rows:
    """Return the items that rows of `sys_object_source` stand for, of whatever class."""
    targets = sorted({row.get("target_sys_id", "") for row in sources.rows})
    sys_ids = tuple(each for each in targets if SYS_ID.fullmatch(each))
    if not sys_ids:
        return Rows()
    table, field = ITEMS
    return rows_of(Question(table=table, field=field, values=sys_ids)) or Rows()
