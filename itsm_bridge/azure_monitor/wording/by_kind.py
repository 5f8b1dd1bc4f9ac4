"""How is an alert put into words?

`notification` calls `wording_of`, which chooses the words by the alert's kind. Every kind has its own sentence, and an
alert of unknown kind shows what it holds. The engineer who is woken reads the headline alone at first: what is wrong,
then where.
"""

from collections.abc import Callable, Mapping

from itsm_bridge.azure_monitor.alert import Alert, Kind
from itsm_bridge.azure_monitor.json_body import leaves
from itsm_bridge.azure_monitor.wording.activity_log import (
    activity_wording,
    resource_health_wording,
    service_health_wording,
)
from itsm_bridge.azure_monitor.wording.form import Line, Rank, Wording, lines_of, name_of, place_of, read_html, rule_of
from itsm_bridge.azure_monitor.wording.threshold import log_row_wording, log_wording, metric_wording, prometheus_wording
from itsm_bridge.text import clip, number_text, one_line

#: How many scalars of an unknown context are shown, how long their names and texts may be.
_SHOWN = 40
_NAME_LENGTH = 80
_TEXT_LENGTH = 400

#: Names under which bodies that a customer designed tell what happened.
_TELLING = ("title", "subject", "summary", "text", "message", "description", "name")

#: The trouble of an alert that names none, and no rule either.
_NOTHING_SAID = "Azure Monitor sent an alert that does not say what is wrong"

#: Names of scalars that tell most, wherever they stand, the most telling first.
_FIRST = ("status", "state", "errorcode", "code", "errormessage", "message", "error", "reason")

#: Names whose values only machines read.
_UNTOLD = frozenset({"schemaid", "presentationinsighteventrequest", "smartdetectorid"})

#: Names whose values the words for a smart detection hold already.
_TOLD = frozenset(
    {
        "detectionsummary",
        "detectedvalue",
        "detectedfailurerate",
        "normalvalue",
        "normalfailurerate",
        "smartdetectorname",
    }
)


def wording_of(alert: Alert) -> Wording:
    """Return `alert` in words."""
    wording = _BY_KIND[alert.kind](alert)
    return wording if one_line(wording.what) else wording._replace(what=_NOTHING_SAID)


def _smart_detection(alert: Alert) -> Wording:
    context = alert.context
    what = one_line(read_html(context.text("DetectionSummary", "SmartDetectorName"))) or rule_of(alert)
    detected = one_line(context.text("DetectedValue", "DetectedFailureRate"))
    normal = one_line(context.text("NormalValue", "NormalFailureRate"))
    measured = f"{detected}, normal is {normal}" if detected and normal else detected
    return Wording(
        what=what,
        place=place_of(alert),
        measured=measured,
        lines=(
            *lines_of([("Measured", measured)], rank=Rank.VITAL, is_stable=False),
            *lines_of([("Detector", context.text("SmartDetectorName", "SmartDetectorId"))]),
            *(line._replace(is_stable=False) for line in _shown(alert)),
        ),
    )


def _budget(alert: Alert) -> Wording:
    budget = alert.context.section("AlertData")
    unit = f" {budget.text('Unit')}" if budget.text("Unit") else ""
    spent, forecast = (_money(budget.text(name), unit) for name in ("SpentAmount", "ForecastedTotalForPeriod"))
    threshold = _money(budget.text("NotificationThresholdAmount"), unit)
    whole = _money(budget.text("BudgetThreshold"), unit)
    is_forecast = budget.text("ThresholdType").lower().startswith("forecast") and forecast
    amount = f"forecast of {forecast}" if is_forecast else f"{spent} spent" if spent else "threshold reached"
    over = f", threshold {threshold}" if threshold else ""
    of = f" of {whole}" if whole and whole != threshold else ""
    return Wording(
        what=f"Budget {one_line(budget.text('BudgetName'))}: {amount}{over}{of}",
        lines=(
            *lines_of(
                [("Spent", spent), ("Forecast", forecast), ("Threshold", threshold), ("Budget", whole)],
                rank=Rank.VITAL,
                is_fact=True,
            ),
            *lines_of(
                [
                    ("Kind", " ".join(filter(None, (budget.text("ThresholdType"), budget.text("BudgetType"))))),
                    ("Subscription", budget.text("SubscriptionName")),
                    ("Resource group", budget.text("ResourceGroup")),
                    ("Budget began", budget.text("BudgetStartDate")),
                    ("Budget creator", budget.text("BudgetCreator")),
                    ("Budget id", budget.text("BudgetId")),
                ]
            ),
        ),
    )


def _backup(alert: Alert) -> Wording:
    context = alert.context
    more = context.section("extendedInfo")
    source = one_line(context.text("linkedResourceName")) or name_of(context.text("linkedResourceId"))
    item = name_of(context.text("sourceId", "protectedItemId")).rsplit("/", 1)[-1].replace(";", " ")
    return Wording(
        what=": ".join(filter(None, (one_line(alert.alert_rule), one_line(alert.description)))) or rule_of(alert),
        place=source or place_of(alert),
        lines=(
            *lines_of([("Backup item", item)], rank=Rank.VITAL),
            *lines_of(
                [
                    ("Source", context.text("linkedResourceId")),
                    ("Source type", context.text("formattedSourceType", "sourceType")),
                    ("Recommended action", one_line(more.text("recommendedActions"))),
                    ("Possible causes", one_line(more.text("possibleCauses"))),
                    ("Job", more.text("jobId")),
                ]
            ),
        ),
    )


def _unknown(alert: Alert) -> Wording:
    telling = one_line(alert.context.text(*_TELLING))
    what = rule_of(alert) or telling or "Azure Monitor sent an alert of unknown form"
    lines = tuple(line for line in _shown(alert) if line.text != what)
    return Wording(what=what, place=place_of(alert), lines=lines)


_BY_KIND: Mapping[Kind, Callable[[Alert], Wording]] = {
    Kind.METRIC: metric_wording,
    Kind.LOG: log_wording,
    Kind.LOG_ROW: log_row_wording,
    Kind.PROMETHEUS: prometheus_wording,
    Kind.SMART_DETECTION: _smart_detection,
    Kind.SERVICE_HEALTH: service_health_wording,
    Kind.RESOURCE_HEALTH: resource_health_wording,
    Kind.ACTIVITY_LOG: activity_wording,
    Kind.BUDGET: _budget,
    Kind.BACKUP: _backup,
    Kind.UNKNOWN: _unknown,
}


def _shown(alert: Alert) -> tuple[Line, ...]:
    """Return the first scalars of the context, by their path, and before them what tells most."""
    lines: list[Line] = []
    for path, text in sorted(leaves(alert.alert_context), key=_place_of_leaf):
        if path.lower() in _UNTOLD | _TOLD:
            continue
        label, shown = clip(one_line(path), _NAME_LENGTH), clip(one_line(text), _TEXT_LENGTH)
        if len(lines) == _SHOWN:
            return (*lines, Line(label="More", text="the alert holds more than is shown here", rank=Rank.EXTRA))
        lines.append(Line(label=label, text=shown, rank=Rank.EXTRA))
    return tuple(lines)


def _place_of_leaf(leaf: tuple[str, str]) -> int:
    name = leaf[0].rsplit(".", 1)[-1].lower()
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _money(amount: str, unit: str) -> str:
    """Return an amount with its currency: "$25.00" has one, "8000.0" needs its unit and no fraction."""
    return f"{number_text(amount)}{unit}" if amount[:1].isdecimal() else amount
