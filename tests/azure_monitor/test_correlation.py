import json
from collections.abc import Callable
from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.correlation import Correlation, correlate, key_of_alert_id
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.merge import first_record, merge
from tests.alert_files import NAMES, PAIRS, alert_of, document_of
from tests.builders import NOW, news_of


def of(sample: Any) -> Correlation:
    return correlate(alert_of(sample))


def without(name: str, *fields: str) -> Any:
    document = document_of(name)
    for field in fields:
        del document["data"]["essentials"][field]
    return document


def with_properties(name: str, **properties: object) -> Any:
    document = document_of(name)
    document["data"]["alertContext"]["properties"].update(properties)
    return document


@pytest.mark.parametrize(("fired", "resolved"), PAIRS)
def test_the_beginning_and_the_end_of_an_alert_meet(fired: str, resolved: str) -> None:
    assert (of(fired).key, of(fired).signal) == (of(resolved).key, of(resolved).signal)
    assert (of(fired).opens, of(fired).closes) == (True, False)
    assert (of(resolved).opens, of(resolved).closes) == (False, True)


def test_a_key_can_be_told_from_the_alert_id_alone() -> None:
    alert_id = document_of("metric-static.fired")["data"]["essentials"]["alertId"]

    assert key_of_alert_id(f" {alert_id.upper()} ") == of("metric-static.fired").key


def test_different_alerts_never_meet() -> None:
    resolutions = {resolved for _, resolved in PAIRS}
    together = {"service-health-incident.active", "service-health-incident.update", "service-health-incident.resolved"}
    together |= {"legacy-service-health", "resource-health.available", "resource-health.unavailable"}
    apart = [name for name in NAMES if name not in resolutions | together]

    assert len({of(name).key for name in apart}) == len(apart)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_sha_256_in_hex(name: str) -> None:
    assert len(bytes.fromhex(of(name).key)) == 32


def test_the_signal_is_the_alert_id_in_lower_case() -> None:
    assert of("metric-static.resolved").signal == (
        "/subscriptions/5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90/providers/microsoft.alertsmanagement/alerts/"
        "0a6c1f2e-3b7d-4c58-8a91-d4e5f6071829"
    )


def test_an_alert_that_fires_anew_has_another_key_though_its_origin_is_the_same() -> None:
    again = document_of("metric-static.fired")
    again["data"]["essentials"]["alertId"] += "0"

    assert of(again).key != of("metric-static.fired").key


# Service Health


def test_all_communications_of_one_service_health_event_meet_with_one_voice() -> None:
    steps = [of(f"service-health-incident.{step}") for step in ("active", "update", "resolved")]

    assert len({step.key for step in steps}) == 1
    assert [step.signal for step in steps] == ["", "", ""]
    assert [(step.opens, step.closes) for step in steps] == [(True, False), (True, False), (False, True)]


def test_both_schemas_of_service_health_meet() -> None:
    assert of("legacy-service-health").key == of("service-health-incident.active").key


@pytest.mark.parametrize("stage", ["Resolved", "Complete", "Canceled", "RCA", "resolved"])
def test_a_last_stage_closes(stage: str) -> None:
    assert of(with_properties("service-health-maintenance.planned", stage=stage)).closes


@pytest.mark.parametrize("stage", ["Active", "Planned", "InProgress", "Rescheduled", "", None])
def test_any_other_stage_opens(stage: str | None) -> None:
    assert of(with_properties("service-health-maintenance.planned", stage=stage)).opens


def test_the_status_closes_if_the_stage_is_silent() -> None:
    document = with_properties("service-health-incident.active", stage=None)
    document["data"]["alertContext"]["status"] = "Resolved"

    assert of(document).closes


def test_another_event_or_another_subscription_is_another_incident() -> None:
    elsewhere = document_of("service-health-incident.active")
    elsewhere["data"]["essentials"]["alertId"] = "/subscriptions/other/providers/Microsoft.AlertsManagement/alerts/1"

    keys = {
        of("service-health-incident.active").key,
        of(with_properties("service-health-incident.active", trackingId="AAAA-111")).key,
        of(elsewhere).key,
    }

    assert len(keys) == 3


# Resource Health


def test_the_health_of_a_resource_opens_and_closes_one_incident() -> None:
    ill, well = of("resource-health.unavailable"), of("resource-health.available")

    assert (ill.key, ill.signal) == (well.key, "")
    assert (ill.opens, ill.closes) == (True, False)
    assert (well.opens, well.closes) == (False, True)


@pytest.mark.parametrize("health", ["Unavailable", "Degraded", "Unknown"])
def test_any_health_but_available_opens(health: str) -> None:
    assert of(with_properties("resource-health.unavailable", currentHealthStatus=health)).opens


def test_the_health_of_another_resource_or_of_another_rule_is_another_incident() -> None:
    other_rule, other_resource = document_of("resource-health.unavailable"), document_of("resource-health.unavailable")
    other_rule["data"]["essentials"]["alertRule"] = "Another"
    other_resource["data"]["essentials"]["alertTargetIDs"][0] += "2"

    assert len({of(each).key for each in ("resource-health.unavailable", other_rule, other_resource)}) == 3


# Tests


@pytest.mark.parametrize("name", [name for name in NAMES if alert_of(name).is_test])
def test_a_test_opens_and_closes_at_once(name: str) -> None:
    correlation = of(name)

    assert (correlation.signal, correlation.opens, correlation.closes) == ("", True, True)


def test_two_presses_of_the_button_are_two_and_one_press_is_one() -> None:
    again = document_of("test-metric")
    again["data"]["essentials"]["firedDateTime"] = "2026-07-07T12:14:00Z"

    assert of(again).key != of("test-metric").key
    assert of(document_of("test-metric")).key == of("test-metric").key


# Without an alertId


def test_without_an_alert_id_the_beginning_and_the_end_still_meet() -> None:
    fired, resolved = (without(f"metric-static.{step}", "alertId") for step in ("fired", "resolved"))

    assert of(fired).key == of(resolved).key
    assert of(fired).signal == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["essentials"].update(firedDateTime="2026-03-14T02:46:07Z"),
        lambda data: data["essentials"].update(alertRule="Another"),
        lambda data: data["essentials"].update(alertTargetIDs=["/subscriptions/a"]),
        lambda data: data["alertContext"]["condition"]["allOf"][0].update(dimensions=[{"name": "Disk", "value": "C:"}]),
    ],
    ids=["time", "rule", "resource", "dimension"],
)
def test_without_an_alert_id_two_series_never_meet(change: Callable[[Any], object]) -> None:
    document = without("metric-static.fired", "alertId")
    changed = without("metric-static.fired", "alertId")
    change(changed["data"])

    assert of(changed).key != of(document).key


def test_without_an_alert_id_and_a_time_only_the_same_body_is_the_same() -> None:
    document = without("metric-static.fired", "alertId", "firedDateTime")
    changed = without("metric-static.fired", "alertId", "firedDateTime", "investigationLink")

    assert of(document).key == of(without("metric-static.fired", "alertId", "firedDateTime")).key
    assert of(document).key != of(changed).key


def test_an_older_metric_alert_is_known_by_rule_resource_and_dimensions() -> None:
    again, elsewhere = document_of("legacy-metric.activated"), document_of("legacy-metric.activated")
    again["data"]["context"]["timestamp"] = "2026-08-02T01:00:00Z"
    elsewhere["data"]["context"]["condition"]["allOf"][0]["dimensions"][0]["value"] = "invoices"

    assert of(again).key == of("legacy-metric.activated").key
    assert of(elsewhere).key != of("legacy-metric.activated").key


@pytest.mark.parametrize("name", ["legacy-custom", "legacy-log-analytics", "legacy-budget", "essentials-only"])
def test_what_has_no_identity_is_its_body(name: str) -> None:
    other = {**document_of(name), "one more": "value"}

    assert of(document_of(name)).key == of(name).key
    assert of(other).key != of(name).key
    assert (of(name).opens, of(name).closes, of(name).signal) == (True, False, "")


def test_key_parts_cannot_flow_into_each_other() -> None:
    def document(subscription: str, tracking_id: str) -> Any:
        changed = with_properties("service-health-incident.active", trackingId=tracking_id)
        changed["data"]["essentials"]["alertId"] = f"/subscriptions/{subscription}/x"
        return changed

    assert of(document("ab", "c")).key != of(document("a", "bc")).key


class TestHealthChain:
    """Resource Health sends beginning and update in one second, and its end two minutes later."""

    def said(self, number: int, status: str, before: str, now: str, at: str) -> News:
        sub = "/subscriptions/00000000-0000-0000-0000-000000000001"
        essentials = {
            "alertId": f"{sub}/providers/Microsoft.AlertsManagement/alerts/f0500000-0000-4000-8000-00000000000{number}",
            "monitorCondition": "Fired",
            "monitoringService": "Resource Health",
            "firedDateTime": f"2026-11-20T01:08:0{number}Z",
            "alertRule": "db-health",
            "alertTargetIDs": [f"{sub}/resourcegroups/rg/providers/microsoft.sql/servers/s/databases/d"],
        }
        properties = {"currentHealthStatus": now, "previousHealthStatus": before, "title": f"Database {now}"}
        context = {"eventTimestamp": at, "status": status, "properties": properties, "eventSource": "ResourceHealth"}
        data = {"essentials": essentials, "alertContext": context}
        body = {"schemaId": "azureMonitorCommonAlertSchema", "data": data}
        return news_of(parse_alert(json.dumps(body).encode()))

    @pytest.mark.parametrize("available", ["Available", "available", "AVAILABLE"])
    @pytest.mark.parametrize("order", ["12", "21", "123", "213", "132", "1213", "2123", "12323"])
    def test_it_is_one_firing_that_its_end_ends(self, order: str, available: str) -> None:
        words = {
            "1": self.said(1, "Active", available, "Unavailable", "2026-11-20T01:05:35Z"),
            "2": self.said(2, "Updated", available, available, "2026-11-20T01:05:35Z"),
            "3": self.said(3, "Resolved", "Unavailable", available, "2026-11-20T01:07:35Z"),
        }
        row = None
        for word in (words[each] for each in order):
            if row is not None:
                row = merge(row, word, NOW)
            elif word.opens:  # an update alone leaves no row
                row = first_record(word, NOW)
        assert row is not None
        assert (row.desired.firing_count, row.desired.is_firing) == (1, "3" not in order)

        assert not merge(row, words["3"], NOW).desired.is_firing

    def test_a_resource_that_becomes_available_is_over_by_whatever_name(self) -> None:
        words = [
            self.said(1, status, "Unavailable", "Available", "2026-11-20T01:05:35Z") for status in ("Active", "Updated")
        ]

        assert [(word.opens, word.closes) for word in words] == [(False, True)] * 2
