"""Which incident does an alert belong to?

`notification` calls `correlate`. What then happens to the incident is decided in `itsm_bridge.reconcile`.

    the alert                   key from                                    opens           closes
    ─────────────────────────   ─────────────────────────────────────────   ─────────────   ──────────────────────────
    test notification           the whole body                              always          always
    Service Health              subscription, trackingId                    other stages    Resolved, Complete,
                                                                                            Canceled, RCA
    Resource Health             subscription, resource, rule                other health    Available, Resolved; but an
                                                                                            update that was Available
                                                                                            before does neither
    any other with an alertId   alertId                                     Fired           Resolved
    metric, older schema        rule, resource, dimensions                  Activated       Deactivated, Resolved
    common, without alertId     origin, rule, resources, dimensions,        Fired           Resolved
                                time when it fired
    all else                    the whole body                              Fired           Resolved

`originAlertId` alone is never the key, because for metric alerts it names the rule, not the firing.
If nothing shows that two notifications are of one alert, they get an incident each, because a second incident costs
less than a lost one. Parts are compared lower-cased, because Azure varies the casing of ids.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview (stateful and stateless alerts)
and https://learn.microsoft.com/azure/service-health/service-health-notifications-properties (stages).
"""

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from itsm_bridge.azure_monitor.alert import Alert, Kind, MonitorCondition
from itsm_bridge.azure_monitor.criteria import criteria_of
from itsm_bridge.azure_monitor.json_body import digest_of, text_of

#: The stages and statuses of Service Health after which nothing more has to be done.
_OVER = frozenset({"resolved", "complete", "completed", "canceled", "cancelled", "rca"})

Parts = tuple[str, ...]


class Correlation(NamedTuple):
    """Where an alert belongs and what it asks for."""

    #: SHA-256 in hex over the key parts.
    key: str
    #: The lower-cased alertId; "" if all notifications of the key speak of one and the same alert.
    signal: str
    opens: bool
    closes: bool


def correlate(alert: Alert) -> Correlation:
    """Return the key of `alert` and whether it opens or closes."""
    if alert.is_test:
        return Correlation(key=key_of("test", digest_of(alert.document)), signal="", opens=True, closes=True)
    ends = is_over(alert)
    parts = _health_parts(alert)
    signal = "" if parts else alert.alert_id.lower()
    says_nothing = _was_and_is_available(alert)
    return Correlation(
        key=key_of(*(parts or _parts(alert))),
        signal=signal,
        opens=not ends and not says_nothing,
        closes=ends and not says_nothing,
    )


def key_of_alert_id(alert_id: str) -> str:
    """Return the key of the alerts whose key comes from their alertId."""
    return key_of(*_alert_id_parts(text_of(alert_id)))


def _alert_id_parts(alert_id: str) -> Parts:
    return ("alert", alert_id)


def _health_parts(alert: Alert) -> Parts:
    """Return the key parts of a health alert, because each of its updates has another alertId; () for all others."""
    properties = alert.context.section("properties")
    if alert.kind is Kind.SERVICE_HEALTH:
        return ("service health", alert.subscription_id, properties.text("trackingId"))
    if alert.kind is Kind.RESOURCE_HEALTH and (alert.alert_target_ids or alert.configuration_items):
        resource = (*alert.alert_target_ids, *alert.configuration_items)[0]
        return ("resource health", alert.subscription_id, resource, alert.alert_rule)
    return ()


def is_over(alert: Alert) -> bool:
    """Return whether what `alert` tells of is over, and nothing more has to be done."""
    if alert.monitor_condition is MonitorCondition.RESOLVED:
        return True
    context = alert.context
    properties = context.section("properties")
    status = context.text("status").lower()
    if alert.kind is Kind.SERVICE_HEALTH:
        return not _OVER.isdisjoint({status, properties.text("stage").lower()})
    if alert.kind is Kind.RESOURCE_HEALTH:
        return properties.text("currentHealthStatus").lower() == "available" or status == "resolved"
    return False


def _was_and_is_available(alert: Alert) -> bool:
    """Whether it updates the health of a resource that is available and was before.

    Resource Health sends such updates while an event is still open, in the very second of its beginning too.
    """
    if alert.kind is not Kind.RESOURCE_HEALTH or alert.monitor_condition is MonitorCondition.RESOLVED:
        return False
    properties = alert.context.section("properties")
    states = {properties.text(name).lower() for name in ("currentHealthStatus", "previousHealthStatus")}
    return states == {"available"} and alert.context.text("status").lower() != "resolved"


def _parts(alert: Alert) -> Parts:
    if alert.alert_id:
        return _alert_id_parts(alert.alert_id)
    if alert.is_legacy and alert.kind is Kind.METRIC and alert.origin_alert_id:
        return ("rule", *_series(alert))
    if alert.fired_date_time and not alert.is_legacy and (alert.origin_alert_id or alert.alert_rule):
        return ("firing", *_series(alert), alert.fired_date_time.isoformat())
    return ("body", digest_of(alert.document))


def _series(alert: Alert) -> Parts:
    """Return what tells one time series of a rule from another."""
    resources = alert.alert_target_ids or alert.configuration_items
    dimensions = [f"{name}={value}" for each in criteria_of(alert) for name, value in each.dimensions]
    return (alert.origin_alert_id, alert.alert_rule, _unordered(resources), _unordered(dimensions))


def _unordered(parts: Iterable[str]) -> str:
    return json.dumps(sorted(part.lower() for part in parts))


def key_of(*parts: str) -> str:
    """Return the key over these parts, in any casing: SHA-256 in hex."""
    return hashlib.sha256(json.dumps([part.lower() for part in parts]).encode()).hexdigest()
