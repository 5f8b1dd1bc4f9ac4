"""How is a condition put into words: of metric, log search and Prometheus alerts?

`by_kind` calls one function per kind of alert. The headline holds what stays the same while the alert fires; the
measured value stands apart from it, because it changes.
"""

import re
from collections.abc import Iterable

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.criteria import Criterion, Dimension, criteria_of, measured_window, window_of
from itsm_bridge.azure_monitor.json_body import Section, is_nothing, text_of
from itsm_bridge.azure_monitor.timestamps import duration_text, utc_text
from itsm_bridge.azure_monitor.wording.form import Line, Rank, Wording, lines_of, place_of, rule_of, some
from itsm_bridge.azure_monitor.wording.units import quantity_text, unit_of
from itsm_bridge.text import clip, number_text, one_line

#: Dimensions that repeat the resource.
_RESOURCE_DIMENSIONS = frozenset(
    {"resourceid", "_resourceid", "resource", "microsoft.resourceid", "microsoft.resourcetype"}
)

#: A column that tells in words what a log row is about.
_TELLING = re.compile(r"message|summary|description|error|exception|title|problem|reason", re.IGNORECASE)

#: Labels that say which one it is, the most telling first.
_TELLING_LABELS = (
    "pod",
    "deployment",
    "statefulset",
    "daemonset",
    "job_name",
    "node",
    "instance",
    "namespace",
    "container",
)

#: Annotations that hold the address of a runbook.
_RUNBOOK = ("runbook_url", "runbook")

_CONDITION_LENGTH = 1000
_SHOWN_LABELS = 2
_SHOWN_DIMENSIONS = 10
_SHOWN_ROWS = 3
_SHOWN_COLUMNS = 30


def metric_wording(alert: Alert) -> Wording:
    """Return the words for a metric alert: static, dynamic, availability test, query-based, classic."""
    criteria = criteria_of(alert)
    links = lines_of([("Portal", alert.context.text("portalLink"))])
    if not criteria:
        return Wording(what=rule_of(alert), place=place_of(alert), links=links)
    first = criteria[0]
    what = _comparison(first) or ": ".join(filter(None, (rule_of(alert), first.measure)))
    if len(criteria) > 1:
        what += f" and {len(criteria) - 1} more condition{'s' if len(criteria) > 2 else ''}"  # noqa: PLR2004 - plural
    measured = some([_measured(each, named=len(criteria) > 1) for each in criteria if each.value])
    return Wording(
        what=what,
        place=place_of(alert, except_for=first.web_test),
        which=_telling(first.dimensions),
        measured=measured,
        lines=(
            *lines_of([("Condition", _conditions(criteria, alert))], rank=Rank.VITAL, is_fact=True),
            *_measured_lines(alert, measured),
            *_query_lines(each.query for each in criteria),
        ),
        links=links,
    )


def log_wording(alert: Alert) -> Wording:
    """Return the words for a log search alert of either version."""
    context = alert.context
    criteria = criteria_of(alert)
    dimensions = [dimension for each in criteria for dimension in each.dimensions]
    measured = some([_found(each) for each in criteria if each.value])
    return Wording(
        what=": ".join(filter(None, (rule_of(alert), *map(_log_comparison, criteria[:1])))),
        place=place_of(alert),
        which=_telling(dimensions),
        measured=measured,
        lines=(
            *lines_of([("Condition", _conditions(criteria, alert))], rank=Rank.VITAL, is_fact=True),
            *_measured_lines(alert, measured),
            *_query_lines(each.query for each in criteria),
            *_result_lines(context),
        ),
        links=_search_links(context),
    )


def log_row_wording(alert: Alert) -> Wording:
    """Return the words for one row that a simple log search found."""
    context = alert.context
    criteria = context.section("condition").sections("allOf")
    columns = [column for each in criteria for column in _columns(each.value("event"))]
    telling = next((value for name, value in columns if _TELLING.search(name) and value), "")
    return Wording(
        what=": ".join(filter(None, (rule_of(alert), one_line(telling)))),
        place=place_of(alert),
        lines=(
            *lines_of([(one_line(name), one_line(value)) for name, value in columns]),
            *_query_lines(each.text("searchQuery") for each in criteria),
        ),
        links=_search_links(context),
    )


def prometheus_wording(alert: Alert) -> Wording:
    """Return the words for an alert of a Prometheus rule group."""
    context = alert.context
    labels, annotations = context.section("labels"), context.section("annotations")
    summary = one_line(annotations.text("summary", "title", "message", "description"))
    rule = rule_of(alert)
    which = [(name, labels.text(name)) for name in _TELLING_LABELS if labels.text(name)]
    expression, value = one_line(context.text("expression")), number_text(context.text("expressionValue"))
    lasting = duration_text(context.text("for"))
    condition = f"{expression} for {lasting}" if expression and lasting else expression
    return Wording(
        what=": ".join(filter(None, (rule, summary))),
        place=place_of(alert),
        which=tuple(which[:_SHOWN_LABELS]),
        measured=value,
        lines=(
            *lines_of([("Condition", condition)], rank=Rank.VITAL, is_fact=True),
            *lines_of([("Measured", value)], is_stable=False),
            *lines_of([("Labels", ", ".join(f"{name} = {value}" for name, value in _by_name(labels)))]),
            *lines_of(pair for pair in _by_name(annotations) if pair[1] != summary and pair[0] not in _RUNBOOK),
            *lines_of([("Rule group", context.text("ruleGroup"))], rank=Rank.SPARE),
        ),
        links=lines_of([("Runbook", annotations.text(*_RUNBOOK))]),
    )


def _query_lines(queries: Iterable[str]) -> tuple[Line, ...]:
    """Return a line for each query, with the line ends that make it a query one can copy."""
    return tuple(Line(label="Query", text=query, rank=Rank.EXTRA) for query in queries if query)


def _comparison(criterion: Criterion) -> str:
    """Return what is wrong: "Percentage CPU above 90 %"; "" if the alert does not say."""
    if criterion.web_test:
        is_counted = criterion.sign == ">" and criterion.threshold
        places = f" in more than {number_text(criterion.threshold)} locations" if is_counted else ""
        return f"Availability test {criterion.web_test} failing{places}"
    aggregation = criterion.aggregation
    subject = criterion.measure + (f" ({aggregation})" if aggregation not in ("", "average") else "")
    if not (criterion.measure and criterion.operator):
        return ""
    return f"{subject} {criterion.word} {_limit(criterion)}".rstrip()


def _log_comparison(criterion: Criterion) -> str:
    """Return what is wrong with the results; "" if any result is wrong, because then the rule's name says it."""
    if not criterion.operator or not (criterion.threshold or criterion.is_dynamic):
        return ""
    if criterion.sign == ">" and number_text(criterion.threshold) == "0" and not criterion.is_dynamic:
        return ""
    return f"{_log_subject(criterion)} {criterion.word} {_limit(criterion)}"


def _limit(criterion: Criterion) -> str:
    """Return the threshold, without its number if that changes from one evaluation to the next."""
    return "its dynamic threshold" if criterion.is_dynamic else _quantity(criterion, criterion.threshold)


def _quantity(criterion: Criterion, number: str) -> str:
    """Return a threshold or value of the criterion with its unit."""
    unit = unit_of(
        criterion.measure, namespace=criterion.namespace, sent=criterion.unit, aggregation=criterion.aggregation
    )
    return quantity_text(number, unit)


def _with_threshold(criterion: Criterion, measured: str) -> str:
    """Return what was measured, with the threshold of that evaluation if each has its own."""
    if not (criterion.is_dynamic and criterion.threshold):
        return measured
    return f"{measured}, threshold {_quantity(criterion, criterion.threshold)}"


def _log_subject(criterion: Criterion) -> str:
    aggregation, measure = criterion.aggregation, criterion.measure
    if not measure:
        return "number of results" if aggregation in ("", "count") else f"{aggregation} of the results"
    return f"{aggregation} of {measure}" if aggregation else measure


def _conditions(criteria: Iterable[Criterion], alert: Alert) -> str:
    """Return the whole condition of the rule in one line."""
    window = window_of(alert)
    conditions = [text for each in criteria if (text := _condition(each))]
    return clip(" and ".join(conditions), _CONDITION_LENGTH) + (f", over {window}" if window and conditions else "")


def _condition(criterion: Criterion) -> str:
    if not (criterion.operator or criterion.threshold):
        return ""
    threshold = "the dynamic threshold" if criterion.is_dynamic else _quantity(criterion, criterion.threshold)
    dimensions = [f"{name} = {value}" for name, value in _telling(criterion.dimensions)]
    extras = [
        f"sensitivity {criterion.sensitivity}" if criterion.sensitivity else "",
        f"in {criterion.failing_periods} evaluations" if criterion.failing_periods else "",
        f"for {some(dimensions, most=_SHOWN_DIMENSIONS)}" if dimensions else "",
    ]
    relation = f" {criterion.sign}" if criterion.operator else ", threshold"
    return ", ".join([f"{_log_subject(criterion)}{relation} {threshold}", *filter(None, extras)])


def _measured(criterion: Criterion, *, named: bool) -> str:
    value = _quantity(criterion, criterion.value)
    if criterion.web_test:
        value = f"{value} location{'' if value == '1' else 's'} failing"
    value = _with_threshold(criterion, value)
    return f"{criterion.measure} {value}" if named else value


def _found(criterion: Criterion) -> str:
    value = _quantity(criterion, criterion.value)
    if criterion.measure or criterion.aggregation not in ("", "count"):
        return _with_threshold(criterion, f"{_log_subject(criterion)} = {value}")
    return _with_threshold(criterion, f"{value} result{'' if value == '1' else 's'}")


def _measured_lines(alert: Alert, measured: str) -> tuple[Line, ...]:
    start, end = measured_window(alert)
    window = f"{utc_text(start)} to {utc_text(end)}" if start and end and start != end else ""
    return (
        *lines_of([("Measured", measured)], rank=Rank.VITAL, is_stable=False),
        *lines_of([("Measured from", window)], is_stable=False),
    )


def _telling(dimensions: Iterable[Dimension]) -> tuple[Dimension, ...]:
    """Return the dimensions that say which one of several it is."""
    told = (each for each in dimensions if not is_nothing(each[1]))
    return tuple((name, value) for name, value in told if name.lower() not in _RESOURCE_DIMENSIONS)


def _by_name(section: Section) -> list[Dimension]:
    return [(name, one_line(value)) for name, value in sorted(section.scalars().items())]


def _columns(event: object) -> list[Dimension]:
    """Return the first columns of the first row: names and values in a list, or in a list of such lists."""
    row = event
    while isinstance(row, list) and row and isinstance(row[0], list):
        row = row[0]
    columns = [Section(column) for column in row[:_SHOWN_COLUMNS]] if isinstance(row, list) else []
    return [(column.text("name"), text_of(column.value("value"))) for column in columns if column.text("name")]


def _result_lines(context: Section) -> tuple[Line, ...]:
    """Return the first rows that a log search of the first version found; a row may be shorter than its header."""
    table = next(iter(context.section("SearchResults").sections("tables")), Section(None))
    names = [column.text("name") for column in table.sections("columns")]
    rows = table.value("rows")
    shown = [row for row in rows if isinstance(row, list)][:_SHOWN_ROWS] if isinstance(rows, list) else []
    texts = [_row_text(names, row) for row in shown]
    return lines_of(
        [(f"Result {number}", text) for number, text in enumerate(texts, 1)], rank=Rank.EXTRA, is_stable=False
    )


def _row_text(names: list[str], row: list[object]) -> str:
    cells = [(name, one_line(text_of(value))) for name, value in zip(names, row[:_SHOWN_COLUMNS], strict=False)]
    return ", ".join(f"{name} = {value}" for name, value in cells if value)


def _search_links(context: Section) -> tuple[Line, ...]:
    """Return the pages that show the results, that with those of this alert alone first."""
    names = ("linkToFilteredSearchResultsUI", "linkToSearchResultsUI", "LinkToSearchResults")
    sections = (*context.section("condition").sections("allOf")[:1], context)
    addresses = dict.fromkeys(section.text(name) for section in sections for name in names)
    return lines_of((("Search results", address) for address in addresses), is_stable=False)
