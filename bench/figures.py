"""How do many measurements become a figure, and when is a figure off?

Arithmetic and layout, no I/O. Seconds go in; what is shown is milliseconds unless its heading says otherwise.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long something took, in seconds: three of the values that were measured."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """Return the spread of one repeat.

        Raises:
            ValueError: nothing was measured.
        """
        ordered = sorted(seconds)
        return cls(p50=percentile(ordered, 50), p95=percentile(ordered, 95), p99=percentile(ordered, 99))

    @classmethod
    def median_of(cls, spreads: Sequence[Self]) -> Self:
        """Return the spread of several repeats: of each percentile the median."""
        return cls(
            p50=statistics.median(spread.p50 for spread in spreads),
            p95=statistics.median(spread.p95 for spread in spreads),
            p99=statistics.median(spread.p99 for spread in spreads),
        )

    def __str__(self) -> str:
        return " / ".join(milliseconds(value) for value in (self.p50, self.p95, self.p99))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of ascending values: one of them, never a mean of two.

    Raises:
        ValueError: there are no values.
    """
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Return the median of the ratios of repeats: each repeat is compared with itself, not with another minute."""
    return statistics.median(ours / other for ours, other in pairs)


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three significant digits, as far as they go."""
    value = seconds * 1000
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A count that has to hold."""

    what: str
    counted: object
    expected: object
    is_so: bool

    @classmethod
    def equal(cls, what: str, counted: object, expected: object) -> Self:
        """Return the check that a count is exactly the expected one."""
        return cls(what=what, counted=counted, expected=expected, is_so=counted == expected)

    @classmethod
    def at_most(cls, what: str, counted: float, bound: float) -> Self:
        """Return the check that a count is within its bound."""
        return cls(what=what, counted=counted, expected=f"at most {bound:g}", is_so=counted <= bound)

    def __str__(self) -> str:
        return f"{'holds' if self.is_so else 'OFF'}: {self.what}: {self.counted}, expected {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio or time that is aimed at. Whether it is met depends on the machine's other users too."""

    what: str
    measured: float
    aim: float

    @property
    def is_met(self) -> bool:
        """Whether the aim is reached."""
        return self.measured <= self.aim

    def __str__(self) -> str:
        return f"{'met' if self.is_met else 'NOT MET'}: {self.what}: {self.measured:.3g}, goal at most {self.aim:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        """Return it in Markdown, aligned so that it reads well in a terminal too.

        Raises:
            ValueError: a row has more or fewer cells than there are headings.
        """
        widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
        lines = [self.headings, ["-" * width for width in widths], *self.rows]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one benchmark found."""

    title: str
    #: Paragraphs and tables, in order.
    parts: Sequence[str | Table]
    checks: Sequence[Check] = ()
    goals: Sequence[Goal] = ()
    #: Figures that other benchmarks reckon with, by name.
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether every count holds."""
        return all(check.is_so for check in self.checks)

    def __str__(self) -> str:
        verdicts = [f"- {verdict}" for verdict in (*self.goals, *self.checks)]
        return "\n\n".join([f"## {self.title}", *map(str, self.parts), *(["\n".join(verdicts)] if verdicts else [])])
