"""How severe is an alert, where its rule could not say it?

The severity of an alert is what the author of its rule chose. Rules for the activity log have no such choice: Azure
gives all their alerts Sev4, or none at all in the older schemas, so "Ransomware indicators detected" comes as Sev4.
There the event's own word counts, by one table. The target decides impact, urgency and title by the result.
What is over stays as sent, because an end changes no incident's priority.

Sources of truth: https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema (words of events) and
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview (severities)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from itsm_bridge.azure_monitor.alert import Alert, Kind, Severity
from itsm_bridge.azure_monitor.correlation import is_over

#: What all alerts of the activity log are sent with.
_FIXED = (Severity.SEV4, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedSeverity:
    """The severity that counts, and why it is not the one that was sent."""

    #: None if the alert has none and its event has no word either.
    severity: Severity | None
    #: Ends the sentence "it is Sev1, because"; "" if it was sent so.
    reason: str = ""

    def __str__(self) -> str:
        """Return "Sev1, because the security alert is of severity High"; "" without a severity."""
        return ", because ".join(filter(None, (self.severity, self.reason)))


#: By what happened, and the words that the event has for it.
_BY_EVENT: Mapping[tuple[str, ...], tuple[Severity, str]] = {
    ("security", "high"): (Severity.SEV1, "the security alert is of severity High"),
    ("security", "medium"): (Severity.SEV2, "the security alert is of severity Medium"),
    ("security", "low"): (Severity.SEV3, "the security alert is of severity Low"),
    ("resource", "unavailable", "platforminitiated"): (Severity.SEV1, "Azure made the resource unavailable"),
    ("resource", "unavailable"): (Severity.SEV2, "the resource is unavailable"),
    ("resource", "degraded"): (Severity.SEV3, "the resource is degraded"),
    ("service", "incident"): (Severity.SEV2, "an incident of Azure goes on"),
    ("service", "security"): (Severity.SEV3, "it is a security advisory"),
    ("service", "maintenance"): (Severity.SEV4, "it is maintenance"),
    ("service", "informational"): (Severity.SEV4, "it is information"),
    ("service", "information"): (Severity.SEV4, "it is information"),
    ("administrative", "failed"): (Severity.SEV3, "the operation failed"),
    ("administrative", "failure"): (Severity.SEV3, "the operation failed"),
}


def severity_of(alert: Alert) -> CountedSeverity:
    """Return the severity of `alert` that counts."""
    as_sent = CountedSeverity(severity=alert.severity)
    words = tuple(word.replace(" ", "").lower() for word in _words(alert))
    if alert.severity not in _FIXED or not words or is_over(alert):
        return as_sent
    severity, reason = _BY_EVENT.get(words) or _BY_EVENT.get(words[:2]) or (alert.severity, "")
    return as_sent if severity is alert.severity else CountedSeverity(severity=severity, reason=reason)


def _words(alert: Alert) -> tuple[str, ...]:
    """Return what the event says of itself, as the table has it; () if it is no entry of the activity log."""
    context = alert.context
    properties = context.section("properties")
    match alert.kind:
        case Kind.RESOURCE_HEALTH:
            return ("resource", properties.text("currentHealthStatus"), properties.text("cause"))
        case Kind.SERVICE_HEALTH:
            return ("service", properties.text("incidentType"))
        case Kind.ACTIVITY_LOG:
            source = context.text("eventSource")
            return (source, properties.text("severity") if source.lower() == "security" else context.text("status"))
    return ()
