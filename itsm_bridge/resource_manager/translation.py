"""Which notification would Azure Monitor have sent of an alert in its list?

`missed` asks for each alert that never reached us. The answer is the very `Alert` that the webhook would have parsed,
so that both have the same key, the same text and the same rules. Pure.

    the list says                          a notification says
    ────────────────────────────────────   ──────────────────────────────────────────────────────────────
    id, with the target as its scope       alertId, the short form
    name; alertRule, mostly an ARM id      alertRule, a name; alertRuleID
    monitorService: "ActivityLog Policy"   monitoringService: "Activity Log - Policy" (`SERVICES`)
    targetResource, targetResourceName     alertTargetIDs, configurationItems where that says more
    sourceCreatedId                        originAlertId
    startDateTime                          firedDateTime
    monitorConditionResolvedDateTime       resolvedDateTime, where the alert is resolved
    context: that of the older schema,     alertContext
      or the common schema's

What the list does not tell is not guessed: an alert of a service that is not in the table, or a health event without
its context, is `NotTranslatable`.

Sources of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts,
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from itsm_bridge.azure_monitor.alert import Alert, MonitorCondition, parse_alert
from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.azure_monitor.older_schemas import translated
from itsm_bridge.resource_manager.listed_alert import ListedAlert

#: The monitoring services whose alerts call action groups: by the list's spelling, that of notifications.
SERVICES: Final[Mapping[str, str]] = {
    "ActivityLog Administrative": "Activity Log - Administrative",
    "ActivityLog Autoscale": "Activity Log - Autoscale",
    "ActivityLog Policy": "Activity Log - Policy",
    "ActivityLog Recommendation": "Activity Log - Recommendation",
    "ActivityLog Security": "Activity Log - Security",
    "Application Insights": "Application Insights",
    "Azure Backup": "Azure Backup",
    "CostAlerts": "CostAlerts",
    "Log Alerts V2": "Log Alerts V2",
    "Log Analytics": "Log Analytics",
    "Platform": "Platform",
    "Prometheus": "Prometheus",
    "Resource Health": "Resource Health",
    "ServiceHealth": "ServiceHealth",
    "Simple Log Alert": "Simple Log Alert",
    "Smart Detector": "SmartDetector",
}
_HEALTH: Final = frozenset({"ServiceHealth", "Resource Health"})

_RULE_ID: Final = re.compile(r"(?:/.+)?/providers/(?P<type>[^/]+/[^/]+)/(?P<name>[^/]+)", re.IGNORECASE)
#: A group of rules: the rule itself is named by the alert alone.
_RULE_GROUPS: Final = "microsoft.alertsmanagement/prometheusrulegroups"
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

#: What a context says of the moment that it was made at.
_MEASURED: Final = frozenset({"metricvalue", "expressionvalue", "windowstarttime", "windowendtime"})


class NotTranslatable(ValueError):
    """The list does not tell what a notification would have said; the message says what is missing."""


class Translated(NamedTuple):
    """An alert as a notification would have told it."""

    alert: Alert
    #: What the list does not tell of it, in a sentence; "" if it tells all that the notification would have.
    lacks: str = ""


def is_of_health(listed: ListedAlert) -> bool:
    """Return whether the key of an alert is in its context, because each update of an event is another alert."""
    return _service(listed) in _HEALTH


def alert_of(listed: ListedAlert, *, alert_id: str = "", as_it_fired: bool = False) -> Translated:
    """Return the alert that the notification would have been.

    Args:
        listed: The alert, asked for by itself, so that its context is there.
        alert_id: Its alertId; "" for the short form of its id.
        as_it_fired: Of an alert that is over: the notification of its beginning instead. What was measured then is not
            known any more, because the context is that of the end.

    Raises:
        NotTranslatable: the service is not known, or an event of health has no context.
    """
    service = _service(listed)
    if not service:
        raise NotTranslatable(f"alerts of the monitoring service {listed.service!a:.60} are not known here")
    properties = Section(listed.document).section("properties")
    context, custom_properties = _context(properties)
    if service in _HEALTH and not context:
        raise NotTranslatable("the list has no context of it, which alone says what event it tells of")
    is_over = listed.condition is MonitorCondition.RESOLVED
    is_rewound = as_it_fired and is_over
    if is_rewound:
        context = _unmeasured(context)
    document = {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": alert_id or listed.short_id,
                **_essentials(listed, service, is_resolved=is_over and not as_it_fired),
            },
            "alertContext": context,
            "customProperties": custom_properties,
        },
    }
    alert = parse_alert(json.dumps(document).encode())
    if alert.alert_id != (alert_id or listed.short_id):
        raise NotTranslatable("it holds more than an alert can")
    return Translated(alert, lacks=_lacks(context, is_rewound=is_rewound))


def _lacks(context: Mapping[str, Any], *, is_rewound: bool) -> str:
    if not context:
        return "The list does not tell what was measured or logged."
    return "It was over when it was found, and the list does not tell what was measured when it fired." * is_rewound


def _service(listed: ListedAlert) -> str:
    """Return the notification's spelling of the monitoring service, "" if it is not known."""
    return _BY_SPELLING.get(_spelled(listed.service), "")


def _spelled(service: str) -> str:
    """Return a name without what its spellings differ in."""
    return re.sub(r"[\s-]", "", service).lower()


_BY_SPELLING: Final = {
    _spelled(name): service for pair in SERVICES.items() for name, service in zip(pair, pair[1:] * 2, strict=True)
}


def _essentials(listed: ListedAlert, service: str, *, is_resolved: bool) -> Mapping[str, Any]:
    sent = Section(listed.document).section("properties").section("essentials")
    name = sent.text("targetResourceName")
    # The last word of an ARM id says nothing that the ARM id does not, and some notifications name other things here.
    items = [name] if name and not listed.target.lower().endswith(f"/{name.lower()}") else []
    return {
        "alertRule": _rule_name(listed),
        "alertRuleID": listed.rule if _RULE_ID.fullmatch(listed.rule) else "",
        "severity": sent.text("severity"),
        "signalType": sent.text("signalType"),
        "monitorCondition": "Resolved" if is_resolved else "Fired",
        "monitoringService": service,
        "alertTargetIDs": [listed.target] if listed.target else [],
        "configurationItems": items,
        "originAlertId": sent.text("sourceCreatedId"),
        "firedDateTime": sent.text("startDateTime"),
        # The list may have it while the alert fires.
        "resolvedDateTime": sent.text("monitorConditionResolvedDateTime") if is_resolved else "",
        "description": sent.text("description"),
        "targetResourceType": sent.text("targetResourceType"),
    }


def _rule_name(listed: ListedAlert) -> str:
    """Return the name of the rule. The list has the rule's ARM id, in any casing, and the alert is named after it."""
    name = Section(listed.document).text("name")
    rule = _RULE_ID.fullmatch(listed.rule)
    if rule is None:
        is_name = bool(name) and not _GUID.fullmatch(name)
        return name if is_name and "://" in listed.rule else listed.rule or name * is_name
    is_group = rule["type"].lower() == _RULE_GROUPS
    return name if name and (is_group or name.lower() == rule["name"].lower()) else rule["name"]


def _context(properties: Section) -> tuple[Mapping[str, Any], object]:
    """Return the context as the common schema has it, and what the rule's author added."""
    context, added = properties.section("context"), properties.value("customProperties")
    older = translated(Section({"data": context.entries})) if context else None
    if older is None:
        return context.entries, added
    return older["alertContext"], added or older.get("customProperties")


def _unmeasured(context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a context without what it says of the moment that it was made at."""
    kept = {name: value for name, value in context.items() if name.lower() not in _MEASURED}
    condition = Section(kept).section("condition").entries
    if not condition:
        return kept
    criteria = [
        {name: value for name, value in each.entries.items() if name.lower() not in _MEASURED}
        for each in Section(condition).sections("allOf")
    ]
    others = {name: value for name, value in condition.items() if name.lower() not in ("allof", *_MEASURED)}
    return {
        **{name: value for name, value in kept.items() if name.lower() != "condition"},
        "condition": {**others, "allOf": criteria},
    }
