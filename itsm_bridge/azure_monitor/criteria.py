"""What does the rule of a metric or log alert compare, and what did it find?

`correlation` and `wording.form` ask for the dimensions, `wording.threshold` for everything. Both versions of log
alerts, metric alerts of every condition type and query-based ones are read into the same form; nothing is worded here.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import NamedTuple

from itsm_bridge.azure_monitor.alert import Alert, Kind
from itsm_bridge.azure_monitor.json_body import Section, text_of
from itsm_bridge.azure_monitor.timestamps import duration_text, is_before, parse_timestamp
from itsm_bridge.text import clip, one_line

Dimension = tuple[str, str]

#: By the operator's name without spaces, lower-cased: the sign, and the word before the threshold.
_OPERATORS: Mapping[str, tuple[str, str]] = {
    "greaterthan": (">", "above"),
    "greaterthanorequal": ("≥", "at or above"),
    "lessthan": ("<", "below"),
    "lowerthan": ("<", "below"),
    "lessthanorequal": ("≤", "at or below"),
    "lowerthanorequal": ("≤", "at or below"),
    "equal": ("=", "equal to"),
    "equals": ("=", "equal to"),
    "equalto": ("=", "equal to"),
    "notequals": ("≠", "other than"),
    "greaterorlessthan": ("outside", "outside"),
}

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    name: compare
    for sign, compare in ((">", gt), ("≥", ge), ("<", lt), ("≤", le), ("=", eq), ("≠", ne))
    for name, (other, _) in _OPERATORS.items()
    if other == sign
}

#: The operator that only thresholds have that follow the history.
_OUTSIDE = "greaterorlessthan"

#: By the name lower-cased, as it is told.
_AGGREGATIONS: Mapping[str, str] = {
    "average": "average",
    "avg": "average",
    "count": "count",
    "max": "maximum",
    "maximum": "maximum",
    "min": "minimum",
    "minimum": "minimum",
    "sum": "sum",
    "total": "total",
}
_SENSITIVITIES = frozenset({"high", "medium", "low"})

#: How many criteria and dimensions are read (a rule has at most five and ten), and how long their names and values
#: may be.
_CRITERIA = 20
_DIMENSIONS = 20
_LENGTH = 300
#: Longer than any number is written.
_NUMBER_LENGTH = 40


class Criterion(NamedTuple):
    """One comparison of a rule. Texts are "" where the alert says nothing."""

    #: The metric, or the measured column of a query.
    measure: str
    #: "average", "count", "maximum", "minimum", "sum" or "total".
    aggregation: str
    #: Folded, and one of those that have a sign and a word.
    operator: str
    #: A number as it was sent, and so the next.
    threshold: str
    #: The last measured value.
    value: str
    #: The unit that the alert names; mostly none.
    unit: str
    #: The resource type that has the metric.
    namespace: str
    dimensions: tuple[Dimension, ...]
    query: str
    web_test: str
    #: "High", "Medium" or "Low" if the threshold follows the history.
    sensitivity: str
    #: "2 of 3" if not every evaluation counts at once.
    failing_periods: str

    #: Whether the threshold follows the history, and so changes from one evaluation to the next.
    is_dynamic: bool

    @property
    def holds(self) -> bool | None:
        """Whether the last measured value meets the condition; None if it cannot be told."""
        compare = _COMPARE.get(self.operator)
        value, threshold = _number(self.value), _number(self.threshold)
        if compare is None or math.isnan(value) or math.isnan(threshold):
            return None
        return compare(value, threshold)

    @property
    def sign(self) -> str:
        """The operator as a sign; "" without one."""
        return _OPERATORS.get(self.operator, ("", ""))[0]

    @property
    def word(self) -> str:
        """The operator as the word before a threshold; "" without one."""
        return _OPERATORS.get(self.operator, ("", ""))[1]


@lru_cache(maxsize=8)
def criteria_of(alert: Alert) -> tuple[Criterion, ...]:
    """Return what the rule compares; () if the alert does not say or is of another kind."""
    if alert.kind not in (Kind.METRIC, Kind.LOG, Kind.LOG_ROW):
        return ()
    context = alert.context
    condition = context.section("condition")
    if condition.has("allOf") or not context.has("SearchQuery", "Threshold"):
        return tuple(_criterion(each, condition) for each in condition.sections("allOf")[:_CRITERIA])
    return (_first_version_criterion(context),)


def measured_window(alert: Alert) -> tuple[datetime | None, datetime | None]:
    """Return from when to when the last value was measured, None where the alert does not say."""
    context = alert.context
    condition = context.section("condition")
    start = condition.text("windowStartTime") or context.text("SearchIntervalStartTimeUtc")
    end = condition.text("windowEndTime") or context.text("SearchIntervalEndtimeUtc")
    return parse_timestamp(start), parse_timestamp(end)


def is_measured_at_end(alert: Alert) -> bool:
    """Whether the value of a Resolved was measured when the condition held no more.

    Many a Resolved repeats the value at which the alert fired. That of the end was measured after the alert fired, as
    far as times are told, and does not meet the condition, as far as that can be told: one of both must be.
    """
    criteria = criteria_of(alert)
    _, end = measured_window(alert)
    is_later = is_before(alert.fired_date_time, end) if alert.fired_date_time and end else None
    met = [criterion.holds for criterion in criteria]
    is_met = False if False in met else True if met and None not in met else None
    return is_later is not False and is_met is not True and (is_later is True or is_met is False)


def window_of(alert: Alert) -> str:
    """Return over how long the rule looks, in words; "" if the alert does not say."""
    context = alert.context
    if window := context.section("condition").text("windowSize"):
        return duration_text(window)
    minutes = context.text("SearchIntervalDurationMin", "SearchIntervalInMinutes")
    return duration_text(f"PT{minutes}M") if minutes.isdecimal() and len(minutes) <= len("525600") else ""


def _criterion(section: Section, condition: Section) -> Criterion:
    operator, sensitivity = _operator(section.text("operator")), section.text("alertSensitivity")
    return Criterion(
        measure=_short(section.text("metricName", "metricMeasureColumn", "name")),
        aggregation=_AGGREGATIONS.get(section.text("timeAggregation").lower(), ""),
        operator=operator,
        threshold=section.text("threshold"),
        value=section.text("metricValue"),
        unit=section.text("metricUnit"),
        namespace=section.text("metricNamespace"),
        dimensions=_dimensions(section.value("dimensions")),
        query=section.text("searchQuery", "query", "expression"),
        web_test=_short(section.text("webTestName")),
        sensitivity=sensitivity if sensitivity.lower() in _SENSITIVITIES else "",
        failing_periods=_failing_periods(section, condition),
        is_dynamic=bool(sensitivity) or operator == _OUTSIDE,
    )


def _first_version_criterion(context: Section) -> Criterion:
    """Return the one criterion of a log alert of the first version, which compares results or a value per group."""
    counts_results = _folded(context.text("AlertType")) != "metricmeasurement"
    return Criterion(
        measure="" if counts_results else "AggregatedValue",
        aggregation="count" if counts_results else "",
        operator=_operator(context.text("Operator")),
        threshold=context.text("Threshold"),
        value=context.text("ResultCount") if counts_results else "",
        unit="",
        namespace="",
        dimensions=_dimensions(context.value("Dimensions")),
        query=context.text("SearchQuery"),
        web_test="",
        sensitivity="",
        failing_periods="",
        is_dynamic=False,
    )


def _dimensions(value: object) -> tuple[Dimension, ...]:
    """Return dimensions sent as a list of names and values or, by query-based rules, as an object."""
    if isinstance(value, dict):
        pairs = sorted(Section(value).scalars().items())[:_DIMENSIONS]
        return tuple((_short(name), _short(text)) for name, text in pairs)
    entries = [Section(entry) for entry in value[:_DIMENSIONS]] if isinstance(value, list) else []
    return tuple(
        (_short(entry.text("name")), _short(text_of(entry.value("value")))) for entry in entries if entry.text("name")
    )


def _operator(text: str) -> str:
    """Return an operator as it is looked up, "" for one that nobody knows."""
    operator = _folded(text)
    return operator if operator in _OPERATORS else ""


def _failing_periods(section: Section, condition: Section) -> str:
    periods = section.section("failingPeriods") or condition.section("staticThresholdFailingPeriods")
    failing, of = periods.text("minFailingPeriodsToAlert"), periods.text("numberOfEvaluationPeriods")
    are_numbers = failing.isdecimal() and of.isdecimal()
    return f"{failing} of {of}" if are_numbers and of not in ("0", "1") else ""


def _number(text: str) -> float:
    try:
        return float(text) if len(text) <= _NUMBER_LENGTH else math.nan
    except ValueError:
        return math.nan


def _short(text: str) -> str:
    return clip(one_line(text[: 2 * _LENGTH]), _LENGTH)


def _folded(text: str) -> str:
    return text.replace(" ", "").lower()
