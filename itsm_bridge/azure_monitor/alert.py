"""What does Azure Monitor say?

The webhook calls `parse_alert` with each body. Which incident the alert belongs to, and in which words, is decided in
`correlation` and `wording`.
Every JSON object is an alert. The common alert schema is read as it is, and the older schemas are translated into it
first (`older_schemas`). Of an alert of unknown shape only the body is known.
The shape of an alert says what it is (`Kind`), never the name of its monitoring service, because names vary
("Resource Health", "ResourceHealth") and new ones come.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from itsm_bridge.azure_monitor import older_schemas as legacy
from itsm_bridge.azure_monitor.json_body import Section, load
from itsm_bridge.azure_monitor.timestamps import parse_timestamp

#: The subscription of every notification that the button "Test" of an action group sends.
TEST_SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/?#\s]+)", re.IGNORECASE)
_RESOLVED = frozenset({"resolved", "deactivated"})


class Severity(StrEnum):
    """How severe the alert rule says it is; Sev0 is the worst."""

    SEV0 = "Sev0"
    SEV1 = "Sev1"
    SEV2 = "Sev2"
    SEV3 = "Sev3"
    SEV4 = "Sev4"


class MonitorCondition(StrEnum):
    """Whether the condition holds, as the system sees it."""

    FIRED = "Fired"
    RESOLVED = "Resolved"


class Kind(StrEnum):
    """The subject of an alert, by the shape of its context."""

    METRIC = "metric"
    LOG = "log search"
    LOG_ROW = "simple log search"
    PROMETHEUS = "Prometheus"
    SMART_DETECTION = "smart detection"
    SERVICE_HEALTH = "Service Health"
    RESOURCE_HEALTH = "Resource Health"
    ACTIVITY_LOG = "activity log"
    BUDGET = "budget"
    BACKUP = "backup"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alert:
    """One notification of Azure Monitor, in its own words and casing. Texts are "" where nothing was sent.

    An alert is equal to itself alone, so that what is read of it many times can be remembered.
    """

    #: The ARM id of the alert instance: the same when it fires and when it is resolved.
    alert_id: str
    alert_rule: str
    #: The one that counts; None if it is missing or none of the five.
    severity: Severity | None
    signal_type: str
    #: Fired unless Resolved was said.
    monitor_condition: MonitorCondition
    monitoring_service: str
    alert_target_ids: tuple[str, ...]
    #: Names or ARM ids.
    configuration_items: tuple[str, ...]
    #: Not unique: for metric alerts it names the rule.
    origin_alert_id: str
    #: Aware UTC; None if it was not sent or is no time.
    fired_date_time: datetime | None
    #: Aware UTC; mostly None, even when resolved.
    resolved_date_time: datetime | None
    description: str
    custom_properties: Mapping[str, str]
    #: The section that differs per kind, numbers as text. The whole body if nothing in it is known.
    context: Section
    investigation_link: str
    kind: Kind
    #: Whether it came in an older schema, which has no alertId.
    is_legacy: bool
    #: The subscription that it comes from, lower-cased; "" if it names none.
    subscription_id: str
    #: Whether a person pressed "Test" and nothing is wrong.
    is_test: bool
    #: The whole body.
    document: Mapping[str, Any] = field(repr=False)
    #: The severity as it was sent; rules may have another one count.
    sent_severity: Severity | None = None
    #: Why `severity` is not the one that was sent, as the end of "it is Sev1, because"; "" if it is.
    severity_reason: str = ""

    @property
    def alert_context(self) -> Mapping[str, Any]:
        """The section that differs per kind, as sent, numbers as text."""
        return self.context.entries


def parse_alert(body: bytes) -> Alert:
    """Return the alert that a request body holds.

    Raises:
        InvalidAlert: the body is not a JSON object; the message tells the person who pressed "Test" what it is.
    """
    document = load(body)
    sent = Section(document)
    wrapped = legacy.unwrapped(sent)
    content = sent if wrapped is None else wrapped
    common = _common_part(content)
    older = legacy.translated(content) if common is None else None
    data = Section(common or older or {"alertContext": content.entries})
    kind = Kind.UNKNOWN if common is None and older is None else kind_of(data.section("alertContext"))
    return _alert_of(data, kind, document, is_legacy=common is None, is_wrapped=wrapped is not None)


def kind_of(context: Section) -> Kind:
    """Return what an alert context tells of."""
    return next((kind for kind, is_such in _SHAPES.items() if is_such(context)), Kind.UNKNOWN)


def _alert_of(data: Section, kind: Kind, document: Mapping[str, Any], *, is_legacy: bool, is_wrapped: bool) -> Alert:
    essentials, context = data.section("essentials"), data.section("alertContext")
    alert_id, target_ids = essentials.text("alertId"), essentials.texts("alertTargetIDs")
    subscription = _subscription(alert_id, *target_ids)
    severity = _severity(essentials.text("severity"))
    return Alert(
        alert_id=alert_id,
        alert_rule=essentials.text("alertRule"),
        severity=severity,
        sent_severity=severity,
        signal_type=essentials.text("signalType"),
        monitor_condition=_monitor_condition(essentials.text("monitorCondition")),
        monitoring_service=essentials.text("monitoringService"),
        alert_target_ids=target_ids,
        configuration_items=essentials.texts("configurationItems") or context.texts("AffectedConfigurationItems"),
        origin_alert_id=essentials.text("originAlertId"),
        fired_date_time=parse_timestamp(essentials.text("firedDateTime")),
        resolved_date_time=parse_timestamp(essentials.text("resolvedDateTime")),
        description=essentials.text("description"),
        custom_properties=_custom_properties(data, context, kind),
        context=context,
        investigation_link=essentials.text("investigationLink"),
        kind=kind,
        is_legacy=is_legacy,
        subscription_id=subscription,
        is_test=is_wrapped or subscription == TEST_SUBSCRIPTION,
        document=document,
    )


def _common_part(body: Section) -> Mapping[str, Any] | None:
    """Return the `data` of the common alert schema, None if it is another one."""
    for part in (body.section("data"), body):
        if part.has("essentials", "alertContext"):
            return part.entries
    return {"essentials": {}} if body.text("schemaId").lower() == "azuremonitorcommonalertschema" else None


def _severity(text: str) -> Severity | None:
    """Return the severity of "Sev3", "sev3", "3"."""
    digit = text.lower().removeprefix("sev").strip()
    return next((severity for severity in Severity if severity.value == f"Sev{digit}"), None)


def _monitor_condition(text: str) -> MonitorCondition:
    return MonitorCondition.RESOLVED if text.lower() in _RESOLVED else MonitorCondition.FIRED


def _custom_properties(data: Section, context: Section, kind: Kind) -> Mapping[str, str]:
    """Return what the rule's author added; metric and log alerts repeat it, or only have it, in their context."""
    in_context = context.section("properties").scalars() if kind in (Kind.METRIC, Kind.LOG, Kind.LOG_ROW) else {}
    return {**in_context, **data.section("customProperties").scalars()}


def _subscription(*ids: str) -> str:
    return next((match[1].lower() for text in ids if (match := _SUBSCRIPTION.search(text))), "")


def _is_log(context: Section) -> bool:
    is_first_version = context.has("SearchQuery", "SearchResults", "LinkToSearchResults")
    criteria = context.section("condition").sections("allOf")
    is_second_version = context.text("conditionType").lower() == "logquerycriteria"
    return is_first_version or is_second_version or any(criterion.has("searchQuery") for criterion in criteria)


def _is_log_row(context: Section) -> bool:
    """Whether each row found is an alert of its own: it comes with the row and without a threshold."""
    criteria = context.section("condition").sections("allOf")
    return _is_log(context) and any(each.has("event") and not each.has("threshold") for each in criteria)


def _is_service_health(context: Section) -> bool:
    properties = context.section("properties")
    marks = ("incidentType", "communication", "communicationId", "impactedServices", "stage")
    return properties.has("trackingId") and properties.has(*marks)


#: The first shape that fits decides. Metric and log alerts come first, because the authors of their rules name the
#: `properties` as they like.
_SHAPES: Mapping[Kind, Callable[[Section], bool]] = {
    Kind.LOG_ROW: _is_log_row,
    Kind.LOG: _is_log,
    Kind.METRIC: lambda context: context.has("condition", "conditionType"),
    Kind.PROMETHEUS: lambda context: context.has("expression", "expressionValue"),
    Kind.SMART_DETECTION: lambda context: context.has("SmartDetectorId", "SmartDetectorName", "DetectionSummary"),
    Kind.BUDGET: lambda context: context.section("AlertData").has("BudgetName", "BudgetThreshold"),
    Kind.SERVICE_HEALTH: _is_service_health,
    Kind.RESOURCE_HEALTH: lambda context: context.section("properties").has("currentHealthStatus"),
    Kind.ACTIVITY_LOG: lambda context: context.has("operationName", "eventDataId", "eventSource"),
    Kind.BACKUP: lambda context: context.has("protectedItemId", "linkedResourceId", "affectedItems"),
}
