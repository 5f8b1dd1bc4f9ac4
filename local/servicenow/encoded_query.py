"""Which rows does an encoded query mean?

`glide` asks for each query of a client, and for which columns are known. Rules, in ServiceNow's order:

1. `^NQ` separates whole queries, of which one has to match; `^EQ` ends the text.
2. `^` separates conditions, of which all have to match; `^OR` adds an alternative to the condition before it.
3. `ORDERBY` and `ORDERBYDESC` are no conditions, although `^ORDERBY` begins like `^OR`.
4. **A part that is invalid is ignored, and the rest runs.** If nothing is left, every row matches.
5. A value that begins with `javascript:` is a script that the instance runs.
6. `RELATIVEGE@minute@ago@15` means a time in the last 15 minutes, by the clock of the instance.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/api-reference/rest-api-explorer/c_RESTAPI.md
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_CONDITION = re.compile(
    r"(?P<field>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)"
    r"(?P<operator>STARTSWITH|ENDSWITH|NOT LIKE|DOES NOT CONTAIN|CONTAINS|LIKE|NOT IN|IN|ISNOTEMPTY|ISEMPTY"
    r"|!=|>=|<=|=|>|<)"
    r"(?P<value>.*)",
    re.DOTALL,
)
_ORDER = re.compile(r"ORDERBY(?P<descending>DESC)?(?P<field>[a-z][a-z0-9_.]*)")
_SCRIPT = "javascript:"
_AGO = re.compile(r"@(?P<unit>minute|hour)@ago@(?P<number>[0-9]{1,6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison."""

    field: str
    operator: str
    value: str


@dataclass(slots=True, kw_only=True)
class Query:
    """The conditions of an encoded query, and the parts that the instance does not understand."""

    #: Of the outermost one has to match, of the next all, of the innermost one.
    alternatives: list[list[list[Condition]]] = field(default_factory=list)
    #: Columns to order by, each with whether it descends.
    order: list[tuple[str, bool]] = field(default_factory=list)
    #: The parts that are invalid, as they were sent.
    ignored: list[str] = field(default_factory=list)
    #: The values that the instance would run as a script.
    scripts: list[str] = field(default_factory=list)

    def matches(self, read: Callable[[str], str], *, match_case: bool) -> bool:
        """Return whether the row matches whose columns `read` returns."""
        return not self.alternatives or any(
            all(any(_holds(each, read(each.field), match_case=match_case) for each in group) for group in groups)
            for groups in self.alternatives
        )


def parse_query(
    text: str,
    *,
    is_known: Callable[[str], bool],
    run: Callable[[str], str],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Query:
    """Read an encoded query for a table that has the columns for which `is_known`; scripts are given to `run`."""
    query = Query()
    for alternative in text.partition("^EQ")[0].split("^NQ"):
        groups: list[list[Condition]] = []
        for part in filter(None, alternative.split("^")):
            _read_part(_with_moment(part, now), query, groups, is_known=is_known, run=run)
        query.alternatives.append([group for group in groups if group])
    return query


def _with_moment(part: str, now: Callable[[], datetime]) -> str:
    """Return a condition that counts back from now as one that names the moment."""
    name, operator, ago = part.partition("RELATIVEGE")
    found = _AGO.fullmatch(ago)
    if not operator or found is None:
        return part
    moment = now() - timedelta(**{f"{found['unit']}s": int(found["number"])})
    return f"{name}>={moment.strftime('%Y-%m-%d %H:%M:%S')}"


def _read_part(
    part: str,
    query: Query,
    groups: list[list[Condition]],
    *,
    is_known: Callable[[str], bool],
    run: Callable[[str], str],
) -> None:
    order = _ORDER.fullmatch(part)
    if order and is_known(order["field"]):
        query.order.append((order["field"], order["descending"] is not None))
        return
    is_alternative = part.startswith("OR") and not order
    found = _CONDITION.fullmatch(part.removeprefix("OR") if is_alternative else part)
    if not is_alternative or not groups:
        groups.append([])
    if found is None or not is_known(found["field"]):
        query.ignored.append(part)
        return
    value = found["value"]
    if value.startswith(_SCRIPT):
        query.scripts.append(value)
        value = run(value.removeprefix(_SCRIPT))
    groups[-1].append(Condition(field=found["field"], operator=found["operator"], value=value))


def _compare(actual: str, wanted: str) -> int:
    try:
        left, right = int(actual), int(wanted)
    except ValueError:
        return (actual > wanted) - (actual < wanted)
    return (left > right) - (left < right)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda actual, wanted: actual == wanted,
    "!=": lambda actual, wanted: actual != wanted,
    "IN": lambda actual, wanted: actual in wanted.split(","),
    "NOT IN": lambda actual, wanted: actual not in wanted.split(","),
    "LIKE": lambda actual, wanted: wanted in actual,
    "CONTAINS": lambda actual, wanted: wanted in actual,
    "NOT LIKE": lambda actual, wanted: wanted not in actual,
    "DOES NOT CONTAIN": lambda actual, wanted: wanted not in actual,
    "STARTSWITH": lambda actual, wanted: actual.startswith(wanted),
    "ENDSWITH": lambda actual, wanted: actual.endswith(wanted),
    "ISEMPTY": lambda actual, _: not actual,
    "ISNOTEMPTY": lambda actual, _: bool(actual),
    "<": lambda actual, wanted: bool(actual) and _compare(actual, wanted) < 0,
    "<=": lambda actual, wanted: bool(actual) and _compare(actual, wanted) <= 0,
    ">": lambda actual, wanted: _compare(actual, wanted) > 0,
    ">=": lambda actual, wanted: _compare(actual, wanted) >= 0,
}


def _holds(condition: Condition, actual: str, *, match_case: bool) -> bool:
    wanted = condition.value
    if not match_case:
        actual, wanted = actual.casefold(), wanted.casefold()
    return _OPERATORS[condition.operator](actual, wanted)
