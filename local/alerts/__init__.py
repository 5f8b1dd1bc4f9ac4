"""What does Azure Monitor send?

The demonstration, `local.send`, the benchmarks, the proof and the tests take their alerts from here.

    MetricAlert   makes alerts in the common alert schema, as many as are wanted
    samples/      one alert of each monitoring service and of each older shape, and the incident that each makes

Source: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricAlert:
    """One instance of a metric alert, from Fired to Resolved."""

    rule: str = "cpu-high"
    resource: str = "vm-web-01"
    resource_type: str = "Microsoft.Compute/virtualMachines"
    severity: str = "Sev1"
    metric: str = "Percentage CPU"
    namespace: str = "Microsoft.Compute/virtualMachines"
    threshold: str = "90"
    value: float = 97.3
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    fired_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def target(self) -> str:
        """The ARM id of the resource, lower-cased as Azure Monitor sends it."""
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-shop"
        return f"{group}/providers/{self.resource_type}/{self.resource}".lower()

    def fired(self, **essentials: Any) -> dict[str, Any]:
        """Return the notification that it fired."""
        return self._notification("Fired", self.value, essentials)

    def resolved(self, **essentials: Any) -> dict[str, Any]:
        """Return the notification that it is over, ten minutes later."""
        over = self.fired_at + timedelta(minutes=10)
        return self._notification("Resolved", 12.5, {"resolvedDateTime": _text(over), **essentials})

    def _notification(self, condition: str, value: float, essentials: dict[str, Any]) -> dict[str, Any]:
        return {
            "schemaId": "azureMonitorCommonAlertSchema",
            "data": {
                "essentials": {
                    "alertId": f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{self.guid}",
                    "alertRule": self.rule,
                    "targetResourceType": self.resource_type.lower(),
                    "severity": self.severity,
                    "signalType": "Metric",
                    "monitorCondition": condition,
                    "monitoringService": "Platform",
                    "alertTargetIDs": [self.target],
                    "configurationItems": [self.resource],
                    "originAlertId": f"{SUBSCRIPTION}_rg-shop_microsoft.insights_metricAlerts_{self.rule}_-117781227",
                    "firedDateTime": _text(self.fired_at),
                    "description": f"{self.metric} of the shop's machines",
                    "essentialsVersion": "1.0",
                    "alertContextVersion": "1.0",
                    **essentials,
                },
                "alertContext": {
                    "properties": None,
                    "conditionType": "SingleResourceMultipleMetricCriteria",
                    "condition": {
                        "windowSize": "PT5M",
                        "allOf": [
                            {
                                "metricName": self.metric,
                                "metricNamespace": self.namespace,
                                "operator": "GreaterThan",
                                "threshold": self.threshold,
                                "timeAggregation": "Average",
                                "dimensions": [],
                                "metricValue": value,
                                "webTestName": None,
                            }
                        ],
                        "windowStartTime": _text(self.fired_at - timedelta(minutes=8)),
                        "windowEndTime": _text(self.fired_at - timedelta(minutes=3)),
                    },
                },
                "customProperties": {"team": "shop"},
            },
        }


def samples() -> dict[str, bytes]:
    """Return the body of each sample alert by its name, such as "metric-static.fired"."""
    return {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))}


def _text(time: datetime) -> str:
    """Return a time as Azure writes it, with seven digits of a second."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
