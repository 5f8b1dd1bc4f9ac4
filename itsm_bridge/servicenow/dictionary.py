"""Which fields does an incident have on this instance, and which choices?

`references` asks into which table a field points, and the command `rules push` whether fields and choices exist. What
an incident is written with does not depend on this.

An incident has the fields of its own table and of `task`, which it extends. Answers are kept for an hour: dictionaries
change with releases. A dictionary that is hidden from our account is told apart from a field that does not exist.

Source of truth: https://www.servicenow.com/docs/r/washingtondc/platform-administration/table-administration-and-data-management/c_DataDictionaryTables.html
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from itsm_bridge.deadline import Deadline
from itsm_bridge.servicenow.queries import is_plain
from itsm_bridge.servicenow.table_api import TableApi

#: The table of incidents, and the one that it extends.
_TABLES: Final = ("incident", "task")

#: Seconds, as the clock counts them.
_FRESH: Final = 3600.0
_CACHE_SIZE: Final = 500

#: How many entries one answer may hold: each name once in either table.
_MOST_ROWS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of an incident."""

    name: str
    #: The table that the field points into; "" if it is no reference.
    reference: str = ""
    #: The type, as ServiceNow calls it: string, integer, boolean, reference, glide_date_time, journal_input, ...
    type: str = ""
    #: How many characters it keeps; 0 if the dictionary does not say.
    length: int = 0


class Dictionary:
    """The dictionary of one instance; safe to share between threads."""

    def __init__(self, table_api: TableApi, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Use `table_api`; nothing is sent yet."""
        self._table_api = table_api
        self._columns: TTLCache[str, Column | None] = TTLCache(_CACHE_SIZE, _FRESH, timer=clock)
        self._choices: TTLCache[str, Sequence[str]] = TTLCache(_CACHE_SIZE, _FRESH, timer=clock)
        #: The caches are not safe to share between threads by themselves.
        self._caching = threading.Lock()

    def columns(self, names: Collection[str], *, deadline: Deadline) -> Mapping[str, Column]:
        """Return those of the fields that exist, by name; what is not remembered is asked for with one request.

        Raises:
            Unavailable: ServiceNow did not answer.
            NotAllowed: the dictionary is hidden from our account, in part or as a whole.
            Rejected: ServiceNow refuses the question for good.
        """
        with self._caching:
            known = {name: self._columns[name] for name in names if name in self._columns}
        unknown = sorted(name for name in names if name not in known and is_plain(name))
        if unknown:
            rows = self._table_api.query(
                "sys_dictionary",
                {"name": _TABLES, "element": unknown},
                fields=("internal_type", "reference", "max_length"),
                limit=_MOST_ROWS,
                must_see_all=True,
                deadline=deadline,
            )
            # Of a field that both tables describe, the incident's own entry counts.
            found = {row["element"]: _column_of(row) for row in sorted(rows, key=lambda row: row["name"], reverse=True)}
            asked = {name: found.get(name) for name in unknown}
            known |= asked
            with self._caching:
                self._columns.update(asked)
        return {name: column for name, column in known.items() if column is not None}

    def choices(self, name: str, *, deadline: Deadline) -> Sequence[str]:
        """Return the values that a field may have; none if it may have any.

        Raises:
            Unavailable: ServiceNow did not answer.
            NotAllowed: choices are hidden from our account.
            Rejected: ServiceNow refuses the question for good.
            ValueError: `name` is no name of a field. A bug.
        """
        with self._caching:
            known = self._choices.get(name)
        if known is None:
            rows = self._table_api.query(
                "sys_choice",
                {"name": _TABLES, "element": name, "inactive": "false"},
                fields=("value",),
                order_by="sequence",
                limit=_MOST_ROWS,
                must_see_all=True,
                deadline=deadline,
            )
            # A table without choices of its own has those of the table that it extends.
            own = [row for row in rows if row["name"] == _TABLES[0]]
            known = tuple(dict.fromkeys(value for row in own or rows if (value := row.get("value"))))
            with self._caching:
                self._choices[name] = known
        return known


def _column_of(row: Mapping[str, str]) -> Column:
    length = row.get("max_length", "")
    return Column(
        name=row["element"],
        reference=row.get("reference", ""),
        type=row.get("internal_type", ""),
        length=int(length) if length.isdecimal() else 0,
    )
