"""Which rows of a table are asked for, and are those that came the ones that were meant?

`table_api` sends what is spelled here and gives the rows back. Nothing is sent here.

A query that ServiceNow does not understand returns all rows, and a value with `^` or `javascript:` makes a query mean
what the sender of that value wants. So only plain values get into a query, and names that an operator wrote (`Named`)
if nothing in them can end or extend a condition; and each row that comes back is compared with them.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from itsm_bridge.servicenow.refusals import OtherRows, UnknownField

Row = Mapping[str, str]

#: The values that may stand in a query. Hash any other value, or do not ask.
_PLAIN_VALUE = re.compile(r"(?!(?i:javascript):)[A-Za-z0-9._:/-]+")
#: What no name may hold that stands in a query: `^` begins another condition, `javascript:` a script that the instance
#: runs, control characters are in nobody's name, and half a surrogate pair cannot be sent.
_NOT_ASKABLE = re.compile(r"\^|javascript:|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", re.IGNORECASE)
#: Characters of a name; columns that hold names keep 255 at most.
_LONGEST_NAME = 255
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_SYS_ID = re.compile(r"[0-9a-fA-F]{32}")

#: When a row changed last, whoever changed it.
_CHANGED = "sys_updated_on"
#: In the last so many minutes, by the clock of the instance.
_CHANGED_LATELY = "RELATIVEGE@minute@ago@"

_RAW = {"sysparm_display_value": "false", "sysparm_exclude_reference_link": "true"}
_BOTH = {"sysparm_display_value": "all", "sysparm_exclude_reference_link": "true"}


class Named(NamedTuple):
    """A name that an operator wrote, as the value of a condition; it must be `is_askable`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which rows of a table?"""

    #: The table, or one that it extends.
    table: str
    #: The value or name that each field must have, or several values of which it must have one, in any case.
    conditions: Mapping[str, str | Named | Collection[str]]
    #: The fields to return, besides those of the conditions and `sys_id`.
    fields: Sequence[str]
    #: How many rows. ServiceNow counts to it before it hides those that we may not read.
    limit: int
    #: Field to sort by, and whether to sort descending.
    order_by: str = ""
    newest_first: bool = False
    #: The fields to return as people see them, because a journal has no raw value.
    displayed: Sequence[str] = ()
    #: Whether the answer tells how many rows match, those that are hidden from us included.
    is_counted: bool = False

    @property
    def params(self) -> Mapping[str, str]:
        """The query as parameters of the Table API.

        Raises:
            ValueError: there is no condition, or one without a value, or a value that is not plain. A bug.
        """
        query = _encoded(self.conditions, self.order_by, newest_first=self.newest_first)
        return {
            "sysparm_query": query,
            "sysparm_fields": listed("sys_id", *self.fields, *self.conditions, *self.displayed),
            "sysparm_limit": str(self.limit),
            "sysparm_no_count": "false" if self.is_counted else "true",
            **(_BOTH if self.displayed else _RAW),
        }

    def meant(self, result: Sequence[Mapping[str, object]]) -> tuple[Row, ...]:
        """Return those of the rows that came that were asked for.

        Raises:
            UnknownField: the rows lack a field of the conditions.
        """
        wanted = {name: _values(value) for name, value in self.conditions.items()}
        rows = [_shown(row, self.displayed) for row in result]
        if any(name not in row for row in rows for name in wanted):
            raise UnknownField(f"ServiceNow, GET {self.table}: the rows lack a field that was asked for")
        return tuple(row for row in rows if _fulfils(row, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lately:
    """Which rows of a table changed lately?

    The query tells how long ago, because an instance would read a moment in the time zone of whoever asks; its own
    clock counts back. ServiceNow counts to `offset` and `limit` before it hides the rows that we may not read.
    """

    table: str
    #: The field that is not empty.
    filled: str
    #: Whole minutes; less than one is one.
    within: timedelta
    fields: Sequence[str]
    limit: int
    offset: int

    @property
    def params(self) -> Mapping[str, str]:
        """The query as parameters of the Table API."""
        minutes = max(1, -(-self.within // timedelta(minutes=1)))
        return {
            "sysparm_query": f"{named(self.filled)}ISNOTEMPTY^{_CHANGED}{_CHANGED_LATELY}{minutes}"
            f"^ORDERBY{_CHANGED}^ORDERBYsys_id",
            "sysparm_fields": listed("sys_id", *self.fields, self.filled, _CHANGED),
            "sysparm_limit": str(self.limit),
            "sysparm_offset": str(self.offset),
            "sysparm_no_count": "false",
            **_RAW,
        }

    def meant(self, result: Sequence[Mapping[str, object]]) -> tuple[Row, ...]:
        """Return the rows that came.

        Raises:
            UnknownField: the rows lack a field of the query.
            OtherRows: they are not what was asked for, or in another order.
        """
        rows = tuple(_shown(row, ()) for row in result)
        if any(name not in row for row in rows for name in ("sys_id", self.filled, _CHANGED)):
            raise UnknownField(f"ServiceNow, GET {self.table}: the rows lack a field that was asked for")
        times = [row[_CHANGED] for row in rows]
        if not all(row[self.filled] for row in rows) or times != sorted(times):
            raise OtherRows(f"ServiceNow, GET {self.table}: rows that were not asked for, or in another order")
        return rows


def is_plain(value: str) -> bool:
    """Return whether `value` may stand in a query: letters, digits and `._:/-`, and no script."""
    return bool(_PLAIN_VALUE.fullmatch(value))


def is_askable(name: str) -> bool:
    """Return whether `name` may stand in a query as the one value of a condition: nothing in it changes the query."""
    return bool(name) and name == name.strip() and len(name) <= _LONGEST_NAME and not _NOT_ASKABLE.search(name)


def answering(fields: Sequence[str]) -> Mapping[str, str]:
    """Ask for raw values, and let the values that are sent be taken as raw."""
    return {"sysparm_fields": listed("sys_id", *fields), "sysparm_input_display_value": "false", **_RAW}


def stored(row: Mapping[str, object]) -> Row:
    """Return a row that a write answered, as text."""
    return _shown(row, ())


def listed(*names: str) -> str:
    """Return names of fields as a list, each once.

    Raises:
        ValueError: one of them is no name.
    """
    return ",".join(dict.fromkeys(named(name) for name in names))


def named(name: str) -> str:
    """Return the name of a table or field.

    Raises:
        ValueError: it is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a table or field")
    return name


def checked(sys_id: str) -> str:
    """Return a sys_id.

    Raises:
        ValueError: it is none.
    """
    if not _SYS_ID.fullmatch(sys_id):
        raise ValueError(f"{sys_id!r} is no sys_id")
    return sys_id


def _values(value: str | Named | Collection[str]) -> tuple[str, ...]:
    if isinstance(value, Named):
        return (value.name,)
    return (value,) if isinstance(value, str) else tuple(value)


def _encoded(conditions: Mapping[str, str | Named | Collection[str]], order_by: str, *, newest_first: bool) -> str:
    """Return conditions as an encoded query.

    Raises:
        ValueError: the query would ask for something else.
    """
    if not conditions or not all(_values(value) for value in conditions.values()):
        raise ValueError("a query without a condition asks for the whole table")
    terms = []
    for name, value in conditions.items():
        values = _values(value)
        is_allowed = is_askable if isinstance(value, Named) else is_plain
        for each in values:
            if not is_allowed(each):
                raise ValueError(f"{each!r} must not stand in a query")
        terms.append(f"{named(name)}={values[0]}" if len(values) == 1 else f"{named(name)}IN{','.join(values)}")
    keyword = "ORDERBYDESC" if newest_first else "ORDERBY"
    return "^".join([*terms, *([f"{keyword}{named(order_by)}"] if order_by else [])])


def _fulfils(row: Row, conditions: Mapping[str, tuple[str, ...]]) -> bool:
    return all(row[name].casefold() in {value.casefold() for value in values} for name, values in conditions.items())


def _shown(row: Mapping[str, object], displayed: Sequence[str]) -> Row:
    return {name: _text(value, "display_value" if name in displayed else "value") for name, value in row.items()}


def _text(value: object, part: str = "value") -> str:
    """Return a field's value as text, whatever JSON makes of it; of a pair of value and display value that `part`."""
    if isinstance(value, Mapping):
        value = value.get(part)
    if isinstance(value, bool):
        return "true" if value else "false"
    # Half of a surrogate pair can be written in JSON and nowhere else.
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, (str, int, float)) else ""
