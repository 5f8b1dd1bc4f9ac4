"""How does Azure's list say what a notification says?

`stored_alert` asks for each notification. The list has names of its own for the essentials, the ARM id of a rule in the
place of its name, and a context that is the monitoring service's own: that of metric, log and activity log alerts is
the `data` of the older schema (`properties.context.context.condition` in the queries of Microsoft's documentation).

Sources of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts,
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-non-common-schema-definitions and the queries in
https://learn.microsoft.com/azure/governance/resource-graph/samples/samples-by-table#alertsmanagementresources
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Document = dict[str, Any]

#: The list's spelling of each monitoring service of the common schema; others are the same in both.
#: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/meta-data
SPELLINGS: Mapping[str, str] = {
    "Activity Log - Administrative": "ActivityLog Administrative",
    "Activity Log - Autoscale": "ActivityLog Autoscale",
    "Activity Log - Policy": "ActivityLog Policy",
    "Activity Log - Recommendation": "ActivityLog Recommendation",
    "Activity Log - Security": "ActivityLog Security",
    "ResourceHealth": "Resource Health",
    "SmartDetector": "Smart Detector",
}

#: Where the rules of a monitoring service are.
_RULE_TYPES: Mapping[str, str] = {
    "Platform": "Microsoft.Insights/metricAlerts",
    "Log Alerts V2": "Microsoft.Insights/scheduledQueryRules",
    "Simple Log Alert": "Microsoft.Insights/scheduledQueryRules",
    "Log Analytics": "Microsoft.Insights/scheduledQueryRules",
    "Application Insights": "Microsoft.Insights/scheduledQueryRules",
    "Smart Detector": "Microsoft.AlertsManagement/smartDetectorAlertRules",
    "Prometheus": "Microsoft.AlertsManagement/prometheusRuleGroups",
}
_ACTIVITY_LOG_RULE = "Microsoft.Insights/activityLogAlerts"
_RESOURCE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourcegroups/(?P<group>[^/]+)(?:/providers/(?P<rest>.+))?)?",
    re.IGNORECASE,
)


def listed(notification: Mapping[str, Any], *, is_scoped: bool = False) -> Document:
    """Return the item of the list for a notification in the common schema, without the times of its changes.

    Args:
        notification: The whole body.
        is_scoped: Whether the id carries the target resource as its scope.
    """
    data = notification["data"]
    essentials = data["essentials"]
    alert_id = essentials["alertId"]
    target = _target(data)
    service = SPELLINGS.get(essentials["monitoringService"], essentials["monitoringService"])
    if is_scoped and target:
        alert_id = f"{target}/providers/Microsoft.AlertsManagement/alerts/{alert_id.rpartition('/')[2]}"
    properties: Document = {
        "essentials": {
            "severity": essentials.get("severity"),
            "signalType": essentials.get("signalType"),
            "alertState": "New",
            "monitorCondition": essentials.get("monitorCondition") or "Fired",
            "monitorService": service,
            "targetResource": target,
            "targetResourceName": _name_of_target(essentials, target),
            "targetResourceGroup": _group(target),
            "targetResourceType": essentials.get("targetResourceType") or _type(target),
            "sourceCreatedId": essentials.get("originAlertId"),
            "alertRule": _rule_id(essentials, data, service, target),
            "startDateTime": essentials.get("firedDateTime"),
            "description": essentials.get("description"),
            "actionStatus": {"isSuppressed": False},
        },
        "context": _context(data, service),
    }
    if data.get("customProperties"):
        properties["customProperties"] = data["customProperties"]
    if essentials.get("resolvedDateTime"):
        properties["essentials"]["monitorConditionResolvedDateTime"] = essentials["resolvedDateTime"]
    return {
        "id": alert_id,
        "name": essentials.get("alertRule"),
        "type": "Microsoft.AlertsManagement/alerts",
        "properties": properties,
    }


def _target(data: Mapping[str, Any]) -> str:
    """Return the resource that an alert is of: of those that the rule watches, the one whose series it is."""
    condition = (data.get("alertContext") or {}).get("condition") or {}
    dimensions = [each for criterion in condition.get("allOf") or () for each in criterion.get("dimensions") or ()]
    for dimension in dimensions if all(isinstance(each, dict) for each in dimensions) else ():
        if dimension.get("name") == "microsoft.resourceId":
            return str(dimension["value"])
    return str(next(iter(data["essentials"].get("alertTargetIDs") or ()), ""))


def _context(data: Mapping[str, Any], service: str) -> Document:
    shape = next((shape for start, shape in _SHAPES.items() if service.startswith(start)), _as_it_is)
    return shape(data, dict(data.get("alertContext") or {}))


def _as_it_is(_: Mapping[str, Any], context: Document) -> Document:
    return context


def _as_activity_log(data: Mapping[str, Any], context: Document) -> Document:
    return {
        "status": "Activated",
        "properties": data.get("customProperties") or {},
        "context": {"activityLog": context},
    }


def _as_metric(data: Mapping[str, Any], context: Document) -> Document:
    essentials = data["essentials"]
    is_over = essentials.get("monitorCondition") == "Resolved"
    return {
        "version": "2.0",
        "status": "Deactivated" if is_over else "Activated",
        "properties": context.get("properties") or data.get("customProperties"),
        "context": {
            "timestamp": essentials.get("resolvedDateTime" if is_over else "firedDateTime"),
            "id": essentials.get("alertRuleID"),
            "name": essentials.get("alertRule"),
            "description": essentials.get("description"),
            "severity": str(essentials.get("severity") or "").removeprefix("Sev"),
            **{name: value for name, value in context.items() if name != "properties"},
        },
    }


def _as_first_log(_: Mapping[str, Any], context: Document) -> Document:
    """As the specification's example of the list has it; results of the query are not in it."""
    minutes = str(context.get("SearchIntervalInMinutes") or "")
    renamed = {
        "AlertThresholdOperator": context.get("Operator"),
        "AlertThresholdValue": context.get("Threshold"),
        "SearchIntervalInSeconds": int(minutes) * 60 if minutes.isdecimal() else None,
    }
    others = {name: value for name, value in context.items() if name not in _FIRST_LOG_NAMES}
    return {**others, **{name: value for name, value in renamed.items() if value is not None}}


_FIRST_LOG_NAMES = frozenset({"Operator", "Threshold", "SearchIntervalInMinutes", "SearchResults"})

#: By the beginning of the list's name of the monitoring service.
_SHAPES: Mapping[str, Callable[[Mapping[str, Any], Document], Document]] = {
    "ActivityLog": _as_activity_log,
    "ServiceHealth": _as_activity_log,
    "Resource Health": _as_activity_log,
    "Platform": _as_metric,
    "Log Alerts V2": _as_metric,
    "Simple Log Alert": _as_metric,
    "Log Analytics": _as_first_log,
    "Application Insights": _as_first_log,
}


def _rule_id(essentials: Mapping[str, Any], data: Mapping[str, Any], service: str, target: str) -> str | None:
    """Return the ARM id of the rule, as the list shows it; for Prometheus that of its group."""
    name = essentials.get("alertRule")
    if not name or service in ("CostAlerts", "Azure Backup"):
        return name
    if essentials.get("alertRuleID"):
        return str(essentials["alertRuleID"])
    if service == "Prometheus":
        group = str((data.get("alertContext") or {}).get("ruleGroup") or "group")
        return group if group.startswith("/") else f"{_scope(target)}/providers/{_RULE_TYPES[service]}/{group}"
    kind = _RULE_TYPES.get(service, _ACTIVITY_LOG_RULE)
    return f"{_scope(target)}/providers/{kind}/{name}"


def _scope(target: str) -> str:
    parts = _RESOURCE.match(target)
    if parts is None:
        return ""
    return f"/subscriptions/{parts['subscription']}/resourceGroups/{parts['group'] or 'rg-monitoring'}"


def _group(target: str) -> str:
    parts = _RESOURCE.match(target)
    return (parts["group"] or "") if parts else ""


def _type(target: str) -> str:
    parts = _RESOURCE.match(target)
    return "/".join((parts["rest"] or "").split("/")[:2]) if parts else ""


def _name_of_target(essentials: Mapping[str, Any], target: str) -> str:
    """Return the name of the target, in the casing of the configuration item that is called so."""
    name = target.rpartition("/")[2]
    items = [str(each) for each in essentials.get("configurationItems") or () if "/" not in str(each)]
    return next((each for each in items if each.lower() == name.lower()), name)
