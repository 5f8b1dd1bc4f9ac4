"""What would this query find? The part of KQL that the queries of this repository use, run over rows.

    rows = run(query, {"AppTraces": [{"TimeGenerated": …, "SeverityLevel": 2, "Message": "…"}]}, now=…)

Operators: where, extend, project, summarize … by, order by, top, take, count. Anything else is an error, so that no
query is believed that was not run. Strings are compared as Kusto does: `contains`, `has`, `startswith` and `endswith`
in any case, `==` exactly.
Source of truth: https://learn.microsoft.com/kusto/query/
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]

_TOKEN = re.compile(
    r"\s+|(?P<timespan>\d+(?:\.\d+)?(?:ms|[smhd])\b)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<string>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')"
    r"|(?P<name>!?[A-Za-z_]\w*)|(?P<sign>==|!=|>=|<=|=~|[|()\[\],=<>*/+-])"
)
_SPANS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotUnderstood(Exception):
    """The query uses what is not known here."""


def run(query: str, tables: Mapping[str, Sequence[Row]], *, now: datetime) -> list[Row]:
    """Return what the query finds in the tables.

    Raises:
        NotUnderstood: it uses more of KQL than is known here, or a table or column that is not there.
    """
    stages = _stages(_tokens(query))
    table = stages[0]
    if len(table) != 1 or table[0] not in tables:
        raise NotUnderstood(f"there is no table {' '.join(table)}")
    rows = [dict(row) for row in tables[table[0]]]
    for stage in stages[1:]:
        rows = _applied(stage, rows, now)
    return rows


def _tokens(query: str) -> list[str]:
    found, position = [], 0
    while position < len(query):
        token = _TOKEN.match(query, position)
        if token is None:
            raise NotUnderstood(f"at {query[position : position + 20]!r}")
        if token[0].strip():
            found.append(token[0])
        position = token.end()
    return found


def _stages(tokens: list[str]) -> list[list[str]]:
    stages: list[list[str]] = [[]]
    for token in tokens:
        if token == "|":
            stages.append([])
        else:
            stages[-1].append(token)
    return stages


def _applied(stage: list[str], rows: list[Row], now: datetime) -> list[Row]:
    verb, parser = stage[0], _Parser(stage[1:], now)
    if verb not in _VERBS:
        raise NotUnderstood(verb)
    found = _VERBS[verb](parser, rows)
    parser.end()
    return found


def _where(parser: "_Parser", rows: list[Row]) -> list[Row]:
    is_meant = parser.expression()
    return [row for row in rows if is_meant(row) is True]


def _extended(parser: "_Parser", rows: list[Row]) -> list[Row]:
    named, found = list(parser.named()), []
    for row in rows:
        wider = dict(row)
        for name, value in named:
            wider[name] = value(wider)
        found.append(wider)
    return found


def _projected(parser: "_Parser", rows: list[Row]) -> list[Row]:
    named = list(parser.named())
    return [{name: value(row) for name, value in named} for row in rows]


def _taken(parser: "_Parser", rows: list[Row]) -> list[Row]:
    return rows[: int(parser.next())]


def _counted(_: "_Parser", rows: list[Row]) -> list[Row]:
    return [{"Count": len(rows)}]


def _ordered(parser: "_Parser", rows: list[Row]) -> list[Row]:
    parser.expect("by")
    value = parser.expression()
    descends = not parser.took("asc")
    parser.took("desc")
    return sorted(rows, key=value, reverse=descends)


def _top(parser: "_Parser", rows: list[Row]) -> list[Row]:
    limit = int(parser.next())
    return _ordered(parser, rows)[:limit]


def _summarized(parser: "_Parser", rows: list[Row]) -> list[Row]:
    sums = [] if parser.peek() == "by" else list(parser.aggregates())
    keys = list(parser.named()) if parser.took("by") else []
    groups: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): rows}
    for row in rows if keys else ():
        groups.setdefault(tuple(value(row) for _, value in keys), []).append(row)
    names = [name for name, _ in keys]
    return [
        {**dict(zip(names, key, strict=True)), **{name: sum_(group) for name, sum_ in sums}}
        for key, group in groups.items()
    ]


_VERBS: Mapping[str, Callable[["_Parser", list[Row]], list[Row]]] = {
    "where": _where,
    "extend": _extended,
    "project": _projected,
    "summarize": _summarized,
    "order": _ordered,
    "sort": _ordered,
    "top": _top,
    "take": _taken,
    "count": _counted,
}

Value = Callable[[Row], Any]


class _Parser:
    """Reads the expressions of one stage."""

    def __init__(self, tokens: list[str], now: datetime) -> None:
        self._tokens = tokens
        self._at = 0
        self._now = now

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        token = self.peek()
        if not token:
            raise NotUnderstood("it ends too soon")
        self._at += 1
        return token

    def took(self, token: str) -> bool:
        if self.peek() == token:
            self._at += 1
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.took(token):
            raise NotUnderstood(f"{self.peek()!r} in place of {token!r}")

    def end(self) -> None:
        if self.peek():
            raise NotUnderstood(f"{self.peek()!r} at the end")

    def named(self) -> Iterator[tuple[str, Value]]:
        """Read `name = expression`, `name` or an expression that has a column's name, separated by commas."""
        while True:
            name = self._name_ahead()
            first = self.peek()
            value = self.expression()
            if not name:
                # `bin(TimeGenerated, 5m)` is called TimeGenerated.
                name = self._tokens[self._tokens.index(first) + 2] if first == "bin" else first
            yield name, value
            if not self.took(","):
                return

    def aggregates(self) -> Iterator[tuple[str, Callable[[list[Row]], Any]]]:
        while True:
            name = self._name_ahead()
            first = self.peek()
            yield name or f"{first}_", self._aggregate()
            if not self.took(","):
                return

    def _name_ahead(self) -> str:
        if self._tokens[self._at + 1 : self._at + 2] == ["="]:
            name = self.next()
            self.expect("=")
            return name
        return ""

    def _aggregate(self) -> Callable[[list[Row]], Any]:
        left = self._aggregate_term()
        while self.peek() in ("/", "*"):
            sign, other = self.next(), self._aggregate_term()
            left = _joined(sign, left, other)
        return left

    def _aggregate_term(self) -> Callable[[list[Row]], Any]:
        token = self.next()
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return lambda _: float(token)
        self.expect("(")
        values: list[Value] = []
        while not self.took(")"):
            values.append(self.expression())
            self.took(",")
        if token not in _AGGREGATES:
            raise NotUnderstood(token)
        return lambda rows: _AGGREGATES[token](rows, *values)

    def expression(self) -> Value:
        return self._chain("or", lambda: self._chain("and", self._comparison))

    def _chain(self, word: str, inner: Callable[[], Value]) -> Value:
        parts = [inner()]
        while self.took(word):
            parts.append(inner())
        if len(parts) == 1:
            return parts[0]
        return lambda row: (any if word == "or" else all)(part(row) for part in parts)

    def _comparison(self) -> Value:
        left = self._sum()
        operator = self.peek()
        if operator in ("in", "!in"):
            self.next()
            self.expect("(")
            choice = [self.expression()]
            while self.took(","):
                choice.append(self.expression())
            self.expect(")")
            return lambda row: (left(row) in [each(row) for each in choice]) == (operator == "in")
        if operator not in _COMPARISONS:
            return left
        self.next()
        right, compare = self._sum(), _COMPARISONS[operator]
        return lambda row: compare(left(row), right(row))

    def _sum(self) -> Value:
        left = self._term()
        while self.peek() in ("/", "*", "+", "-"):
            sign, right = self.next(), self._term()
            left = _joined(sign, left, right)
        return left

    def _term(self) -> Value:
        token = self.next()
        if token == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token[0] in "\"'":
            text = re.sub(r"\\(.)", r"\1", token[1:-1])
            return lambda _: text
        if span := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhd])", token):
            return lambda _: timedelta(seconds=float(span[1]) * _SPANS[span[2]])
        if re.fullmatch(r"\d+(\.\d+)?", token):
            return lambda _: float(token) if "." in token else int(token)
        if self.took("("):
            return self._call(token)
        return lambda row: _column(row, token)

    def _call(self, name: str) -> Value:
        values: list[Value] = []
        while not self.took(")"):
            values.append(self.expression())
            self.took(",")
        if name == "ago":
            return lambda row: self._now - values[0](row)
        if name == "now":
            return lambda _: self._now
        if name not in _FUNCTIONS:
            raise NotUnderstood(name)
        return lambda row: _FUNCTIONS[name](*(value(row) for value in values))


def _column(row: Row, name: str) -> Any:
    if name in ("true", "false"):
        return name == "true"
    if name not in row:
        raise NotUnderstood(f"there is no column {name}")
    return row[name]


def _joined(sign: str, left: Callable[[Any], Any], right: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def result(seen: Any) -> Any:
        one, other = left(seen), right(seen)
        if sign == "+":
            return one + other
        if sign == "-":
            return one - other
        if sign == "*":
            return one * other
        return one / other if other else None

    return result


def _words(text: str) -> str:
    return " " + re.sub(r"[^0-9a-z]+", " ", text.lower()).strip() + " "


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    ">": lambda one, other: one is not None and one > other,
    "<": lambda one, other: one is not None and one < other,
    ">=": lambda one, other: one is not None and one >= other,
    "<=": lambda one, other: one is not None and one <= other,
    "=~": lambda one, other: one.lower() == other.lower(),
    "contains": lambda one, other: other.lower() in one.lower(),
    "!contains": lambda one, other: other.lower() not in one.lower(),
    "has": lambda one, other: _words(other) in _words(one),
    "startswith": lambda one, other: one.lower().startswith(other.lower()),
    "!startswith": lambda one, other: not one.lower().startswith(other.lower()),
    "endswith": lambda one, other: one.lower().endswith(other.lower()),
}


def _extract(pattern: str, group: int, text: str) -> str:
    found = re.search(pattern, text)
    return found[group] if found else ""


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bin(value: Any, size: Any) -> Any:
    if isinstance(value, datetime):
        return value - (value - _EPOCH) % size
    return value // size * size


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "extract": _extract,
    "bin": _bin,
    "todouble": _number,
    "toint": lambda text: None if _number(text) is None else int(_number(text) or 0),
    "tostring": str,
    "isnotempty": bool,
    "isempty": lambda text: not text,
    "not": lambda value: not value,
    "iff": lambda condition, one, other: one if condition else other,
    "strcat": lambda *texts: "".join(map(str, texts)),
}


def _percentile(rows: list[Row], value: Value, percent: Value) -> Any:
    values = sorted(each for row in rows if (each := value(row)) is not None)
    if not values:
        return None
    return values[min(len(values) - 1, int(len(values) * percent(rows[0]) / 100))]


_AGGREGATES: Mapping[str, Callable[..., Any]] = {
    "count": len,
    "countif": lambda rows, value: sum(value(row) is True for row in rows),
    "dcount": lambda rows, value: len({value(row) for row in rows}),
    "sum": lambda rows, value: sum(value(row) for row in rows),
    "avg": lambda rows, value: sum(value(row) for row in rows) / len(rows) if rows else None,
    "max": lambda rows, value: max((value(row) for row in rows), default=None),
    "min": lambda rows, value: min((value(row) for row in rows), default=None),
    "percentile": _percentile,
    "take_any": lambda rows, value: value(rows[0]) if rows else None,
}
