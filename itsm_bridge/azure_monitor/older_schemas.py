"""Which alert would the common schema have sent instead?

`alert` asks for each body that is not in the common alert schema. Action groups without that send one schema per kind
of alert. This module knows each by its shape and translates it into the `data` of the common schema, so that no other
module knows of them. Only alerts as Azure Resource Manager stores them have an alertId.

    recognised by                                       what it is
    ────────────────────────────────────────────────    ─────────────────────────────────────────────
    data.context.activityLog                            activity log, Service Health, Resource Health
    data.context.condition, or context.condition        metric, or classic metric
    AlertRuleName or SearchQuery, in data or on top     log search of the first version
    BudgetName, in data or on top                       budget
    properties.essentials                               the alert as Azure Resource Manager stores it
    schemaId and data.data                              any of them, sent by the button "Test"

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-non-common-schema-definitions
"""

from collections.abc import Mapping
from typing import Any

from itsm_bridge.azure_monitor.json_body import Section

#: `data` of the common schema: essentials, alertContext, customProperties.
CommonData = Mapping[str, Any]

_CLASSIC_MINUTES = "PT{}M"

#: An interval has fewer digits than this, and `int` reads any number of fewer.
_DIGITS = 10


def unwrapped(body: Section) -> Section | None:
    """Return the alert inside a test notification that wraps it once more, None if `body` is no such thing."""
    data = body.section("data")
    inner = data.section("data")
    if not (body.has("schemaId") and inner) or data.has("essentials", "alertContext", "context"):
        return None
    return Section({"schemaId": data.text("schemaId") or body.text("schemaId"), "data": inner.entries})


def translated(body: Section) -> CommonData | None:
    """Return `body` in the words of the common schema, None if its shape is unknown."""
    data = body.section("data")
    if activity_log := data.section("context").section("activityLog"):
        return _from_activity_log(activity_log, data)
    for part in (data, body):
        if part.section("context").section("condition"):
            return _from_metric(part.section("context"), part)
        if part.has("SearchQuery", "AlertRuleName"):
            return _from_log(part)
        if part.has("BudgetName"):
            return _from_budget(part)
    if body.section("properties").has("essentials"):
        return _from_arm(body)
    return None


def _from_activity_log(activity_log: Section, data: Section) -> CommonData:
    return {
        "essentials": {
            # The notification's status says Activated and no more; the log entry has a status of its own.
            "monitorCondition": "Fired",
            "signalType": "Activity Log",
            "monitoringService": _activity_log_name(activity_log.text("eventSource")),
            "alertTargetIDs": _resource_or_subscription(activity_log),
            "firedDateTime": activity_log.text("eventTimestamp", "submissionTimestamp"),
        },
        "alertContext": activity_log.entries,
        "customProperties": data.value("properties"),
    }


def _activity_log_name(source: str) -> str:
    """Return the monitoring service as the common schema names it."""
    return source if source.lower() in ("servicehealth", "resourcehealth", "") else f"Activity Log - {source}"


def _from_metric(context: Section, part: Section) -> CommonData:
    condition = context.section("condition")
    status = part.text("status")
    is_over = status.lower() in ("deactivated", "resolved")
    return {
        "essentials": {
            "alertRule": context.text("name"),
            "severity": context.text("severity"),
            "signalType": "Metric",
            "monitorCondition": status,
            "monitoringService": "Platform",
            "alertTargetIDs": _resource_or_subscription(context),
            "configurationItems": [context.text("resourceName")],
            "originAlertId": context.text("id"),
            # It is the time of the notification, so it dates the end if the notification tells of the end.
            ("resolvedDateTime" if is_over else "firedDateTime"): context.text("timestamp"),
            "description": context.text("description"),
        },
        "alertContext": {
            "conditionType": context.text("conditionType", "conditionTypes"),
            "condition": condition.entries if condition.has("allOf") else _classic_condition(condition),
            "portalLink": context.text("portalLink"),
        },
        "customProperties": part.value("properties"),
    }


def _classic_condition(condition: Section) -> Mapping[str, Any]:
    """Return the one condition of a classic metric alert as a list of one; its window is in minutes."""
    window = condition.text("windowSize")
    return {
        "allOf": [condition.entries],
        "windowSize": _CLASSIC_MINUTES.format(window) if window.isdecimal() else window,
    }


def _from_log(part: Section) -> CommonData:
    seconds = part.text("SearchIntervalInSeconds")
    return {
        "essentials": {
            "alertRule": part.text("AlertRuleName"),
            "severity": part.text("Severity"),
            "signalType": "Log",
            "monitorCondition": "Fired",
            "monitoringService": "Application Insights" if part.has("ApplicationId") else "Log Analytics",
            "alertTargetIDs": _resource_or_subscription(part),
            "firedDateTime": part.text("SearchIntervalEndtimeUtc"),
            "description": part.text("Description"),
        },
        "alertContext": {
            **part.entries,
            "Operator": part.text("Operator", "AlertThresholdOperator"),
            "Threshold": part.text("Threshold", "AlertThresholdValue"),
            "SearchIntervalInMinutes": str(int(seconds) // 60)
            if seconds.isdecimal() and len(seconds) < _DIGITS
            else "",
            "SearchResults": part.value("SearchResults") or part.value("SearchResult"),
        },
    }


def _from_budget(part: Section) -> CommonData:
    return {
        "essentials": {
            "monitorCondition": "Fired",
            "monitoringService": "CostAlerts",
            "alertTargetIDs": _resource_or_subscription(part),
        },
        "alertContext": {
            "AlertCategory": "budgets",
            "AlertData": {
                **part.entries,
                "SpentAmount": part.text("SpentAmount", "SpendingAmount"),
                "BudgetThreshold": part.text("BudgetThreshold", "Budget"),
            },
        },
    }


def _from_arm(body: Section) -> CommonData:
    properties = body.section("properties")
    essentials = properties.section("essentials")
    return {
        "essentials": {
            "alertId": body.text("id"),
            "alertRule": essentials.text("alertRule"),
            "severity": essentials.text("severity"),
            "signalType": essentials.text("signalType"),
            "monitorCondition": essentials.text("monitorCondition"),
            "monitoringService": essentials.text("monitorService", "monitoringService"),
            "alertTargetIDs": [essentials.text("targetResource")],
            "configurationItems": [essentials.text("targetResourceName")],
            "originAlertId": essentials.text("sourceCreatedId"),
            "firedDateTime": essentials.text("startDateTime"),
            "resolvedDateTime": essentials.text("monitorConditionResolvedDateTime"),
            "description": essentials.text("description"),
        },
        "alertContext": properties.value("context"),
    }


def _resource_or_subscription(part: Section) -> list[str]:
    """Return the ARM id of the resource, else that of its resource group or subscription."""
    if resource_id := part.text("resourceId"):
        return [resource_id]
    if not (subscription := part.text("subscriptionId")):
        return []
    group = part.text("resourceGroup", "resourceGroupName")
    return [f"/subscriptions/{subscription}" + (f"/resourceGroups/{group}" if group else "")]
