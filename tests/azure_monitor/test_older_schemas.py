from datetime import UTC, datetime
from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import Kind, MonitorCondition, Severity
from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.azure_monitor.older_schemas import translated, unwrapped
from tests.alert_files import NAMES, alert_of, document_of

LEGACY = [name for name in NAMES if name.startswith("legacy")]


@pytest.mark.parametrize("name", [name for name in LEGACY if name != "legacy-custom"])
def test_an_older_schema_is_known_by_its_shape_and_not_by_its_name(name: str) -> None:
    document = document_of(name)
    if "schemaId" in document:
        document["schemaId"] = "Schema/OfTomorrow"

    assert alert_of(document).kind is alert_of(name).kind is not Kind.UNKNOWN


@pytest.mark.parametrize("name", LEGACY)
def test_an_older_schema_is_marked_as_such(name: str) -> None:
    assert alert_of(name).is_legacy


@pytest.mark.parametrize("document", [{}, {"text": "x"}, {"data": {"context": {}}}, {"properties": {}}, {"context": 1}])
def test_an_unknown_shape_is_not_translated(document: dict[str, Any]) -> None:
    assert translated(Section(document)) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LEGACY])
def test_the_common_schema_is_no_wrapped_test(name: str) -> None:
    assert unwrapped(Section(document_of(name))) is None


def test_a_metric_alert_is_translated() -> None:
    alert = alert_of("legacy-metric.activated")

    assert alert.alert_rule == "Queue is long"
    assert alert.severity is Severity.SEV2
    assert alert.monitor_condition is MonitorCondition.FIRED
    assert alert.fired_date_time == datetime(2026, 8, 1, 4, 5, 6, 700000, tzinfo=UTC)
    assert alert.resolved_date_time is None
    assert alert.alert_target_ids[0].endswith("/providers/Microsoft.ServiceBus/namespaces/sb-shop")
    assert alert.configuration_items == ("sb-shop",)
    assert alert.custom_properties == {"Team": "Shop"}
    assert alert.alert_id == ""


@pytest.mark.parametrize("name", ["legacy-metric.deactivated", "legacy-classic-metric.resolved"])
def test_the_time_of_a_deactivation_is_that_of_the_end(name: str) -> None:
    alert = alert_of(name)

    assert alert.monitor_condition is MonitorCondition.RESOLVED
    assert alert.fired_date_time is None
    assert alert.resolved_date_time is not None


def test_a_classic_metric_alert_has_one_condition_over_minutes() -> None:
    context = alert_of("legacy-classic-metric.activated").alert_context

    assert context["condition"]["windowSize"] == "PT15M"
    assert [each["metricName"] for each in context["condition"]["allOf"]] == ["HttpResponseTime"]


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("legacy-activity-log", "Activity Log - Administrative"),
        ("legacy-service-health", "ServiceHealth"),
        ("legacy-resource-health", "ResourceHealth"),
        ("legacy-log-analytics", "Log Analytics"),
        ("legacy-log-application-insights", "Application Insights"),
        ("legacy-budget", "CostAlerts"),
    ],
)
def test_the_monitoring_service_is_named_as_the_common_schema_names_it(name: str, service: str) -> None:
    assert alert_of(name).monitoring_service == service


@pytest.mark.parametrize("seconds", ["x", "", "9" * 5000, None, 0])
def test_an_odd_interval_is_no_interval(seconds: object) -> None:
    document = {**document_of("legacy-log-analytics"), "SearchIntervalInSeconds": seconds}

    assert alert_of(document).kind is Kind.LOG


def test_a_log_alert_on_a_workspace_names_the_workspace() -> None:
    assert alert_of("legacy-log-analytics").alert_target_ids[0].endswith("/workspaces/log-shop")


def test_a_budget_names_its_resource_group() -> None:
    assert alert_of("legacy-budget").alert_target_ids[0].endswith("/resourceGroups/shop-prod")


def test_the_alert_of_azure_resource_manager_keeps_its_id() -> None:
    alert = alert_of("legacy-resource-manager-alert.resolved")

    assert alert.alert_id.endswith("/providers/Microsoft.AlertsManagement/alerts/c628d5ea-f739-4215-865d-90a1b2c3d4e6")
    assert alert.resolved_date_time == datetime(2026, 4, 4, 16, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["legacy-metric.activated", "legacy-budget", "legacy-service-health"])
def test_a_test_may_wrap_any_schema_once_more(name: str) -> None:
    inner = document_of(name)

    alert = alert_of({"schemaId": inner["schemaId"], "data": {"data": inner["data"]}})

    assert alert.is_test
    assert alert.kind is alert_of(name).kind
