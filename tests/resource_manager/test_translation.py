"""What the list says of an alert becomes the notification that it would have been, for each sample of one."""

import json
from dataclasses import replace
from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import Alert, MonitorCondition
from itsm_bridge.azure_monitor.correlation import correlate
from itsm_bridge.azure_monitor.json_body import load
from itsm_bridge.resource_manager.listed_alert import ListedAlert, listed_alert
from itsm_bridge.resource_manager.translation import SERVICES, NotTranslatable, alert_of
from local.alerts import MetricAlert
from local.resource_manager import listed_form
from local.resource_manager.stored_alert import StoredAlert
from tests.alert_files import NAMES, document_of
from tests.alert_files import alert_of as notified_alert
from tests.builders import NOW, news_of

#: Of the kinds that Azure's list has: the budget alerts of Cost Management are in a list of their own.
SAMPLES = [
    name for name in NAMES if not name.startswith(("test-", "legacy-", "budget-", "unknown-", "essentials-only"))
]
#: Of a rule that watches several resources the list names one. What is said of the others is missing.
NAMES_ONE_RESOURCE = {
    "metric-many-targets.fired": "Sev2: Percentage CPU above 80 % on vm-batch-01",
    "metric-webtest.fired": "Sev0: Availability test checkout-page failing in more than 2 locations",
    "metric-webtest.resolved": "Sev0: Availability test checkout-page failing in more than 2 locations",
}


def listed(notification: Any, **changes: Any) -> ListedAlert:
    stored = StoredAlert.of(notification, at=NOW, is_scoped=True)
    stored.document["properties"].update(changes)
    return listed_alert(load(json.dumps(stored.document).encode()))


def from_list(sample: str) -> Alert:
    return alert_of(listed(document_of(sample))).alert


def test_there_is_a_sample_of_each_service() -> None:
    services = {notified_alert(name).monitoring_service for name in SAMPLES} - {"ResourceHealth"}

    assert services == set(SERVICES.values()) - {"CostAlerts"}


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_alert_of_the_list_is_the_notification_that_it_would_have_been(sample: str) -> None:
    notified, found = notified_alert(sample), from_list(sample)

    assert correlate(found) == correlate(notified)
    assert found.alert_id.lower() == notified.alert_id.lower()
    assert (found.kind, found.severity, found.alert_rule) == (notified.kind, notified.severity, notified.alert_rule)
    assert found.monitoring_service.replace(" ", "") == notified.monitoring_service.replace(" ", "")
    assert (found.signal_type, found.description) == (notified.signal_type, notified.description)
    assert found.fired_date_time == notified.fired_date_time
    assert found.custom_properties == notified.custom_properties
    assert {target.lower() for target in found.alert_target_ids} <= {each.lower() for each in notified.alert_target_ids}
    assert found.alert_target_ids
    assert not found.is_test
    assert not found.is_legacy


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_people_read_of_it_is_the_same(sample: str) -> None:
    notified, found = news_of(notified_alert(sample)), news_of(from_list(sample))

    title = NAMES_ONE_RESOURCE.get(sample, notified.content.fields["short_description"])
    assert found.content.fields["short_description"] == title
    if sample not in NAMES_ONE_RESOURCE:
        assert found.digest == notified.digest
        assert found.facts == notified.facts
        assert found.at == notified.at


@pytest.mark.parametrize(
    "service", [*SERVICES, *SERVICES.values(), "resourcehealth", "SMART DETECTOR", "Log-Alerts-V2"]
)
def test_a_service_is_known_in_either_spelling(service: str) -> None:
    alert = replace(listed(MetricAlert().fired()), service=service)

    assert alert_of(alert).alert.monitoring_service in SERVICES.values()


def test_the_stand_in_spells_each_service_as_the_table_does() -> None:
    assert {listed_form.SPELLINGS.get(service, service) for service in SERVICES.values()} == set(SERVICES)


@pytest.mark.parametrize("service", ["SCOM", "Zabbix", "VM Insights", "Custom", "", "Tomorrow's"])
def test_a_service_that_is_not_known_is_not_guessed(service: str) -> None:
    with pytest.raises(NotTranslatable, match="not known"):
        alert_of(replace(listed(MetricAlert().fired()), service=service))


@pytest.mark.parametrize("sample", ["service-health-incident.active", "resource-health.unavailable"])
@pytest.mark.parametrize("context", [None, {}, "text", []])
def test_an_event_of_health_without_its_context_is_not_guessed(sample: str, context: Any) -> None:
    with pytest.raises(NotTranslatable, match="context"):
        alert_of(listed(document_of(sample), context=context))


@pytest.mark.parametrize("sample", [name for name in SAMPLES if "health" not in name])
def test_without_a_context_the_alert_is_the_same_and_says_what_is_missing(sample: str) -> None:
    found = alert_of(listed(document_of(sample), context=None))

    assert correlate(found.alert).key == correlate(notified_alert(sample)).key
    assert found.lacks == "The list does not tell what was measured or logged."


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_context_that_is_the_common_schemas_is_read_too(sample: str) -> None:
    document = document_of(sample)

    found = alert_of(listed(document, context=document["data"]["alertContext"])).alert

    assert correlate(found) == correlate(notified_alert(sample))
    assert found.kind == notified_alert(sample).kind


@pytest.mark.parametrize("sample", [name for name in SAMPLES if name.endswith(".resolved") and "health" not in name])
def test_the_beginning_of_an_alert_that_is_over_says_nothing_of_what_was_measured_at_its_end(sample: str) -> None:
    over = listed(document_of(sample))

    began, ended = alert_of(over, as_it_fired=True), alert_of(over)

    assert (began.alert.monitor_condition, ended.alert.monitor_condition) == (
        MonitorCondition.FIRED,
        MonitorCondition.RESOLVED,
    )
    assert correlate(began.alert).key == correlate(ended.alert).key
    assert news_of(began.alert).at == notified_alert(sample).fired_date_time
    assert began.lacks
    assert "metricValue" not in json.dumps(began.alert.document)
    assert not ended.lacks


def test_the_end_that_the_list_tells_of_an_alert_that_fires_is_no_end() -> None:
    document = MetricAlert().fired()
    alert = StoredAlert.of(document, at=NOW, is_scoped=False)
    alert.essentials["monitorConditionResolvedDateTime"] = "2026-03-01T09:59:00Z"

    found = alert_of(listed_alert(load(json.dumps(alert.document).encode()))).alert

    assert found.monitor_condition is MonitorCondition.FIRED
    assert found.resolved_date_time is None


@pytest.mark.parametrize(
    ("rule", "name", "expected"),
    [
        (
            "/subscriptions/s/resourceGroups/g/providers/microsoft.insights/metricalerts/cpu high",
            "CPU high",
            "CPU high",
        ),
        ("/subscriptions/s/resourceGroups/g/providers/microsoft.insights/metricalerts/cpu", "other", "cpu"),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.AlertsManagement/prometheusRuleGroups/g", "Pod", "Pod"),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.AlertsManagement/prometheusRuleGroups/g", "", "g"),
        ("https://portal.example/#Workspace/rule", "Service stopped", "Service stopped"),
        ("CPU high", "66114d64-d9d9-478b-95c9-b789d6502100", "CPU high"),
        ("", "CPU high", "CPU high"),
        ("", "66114d64-d9d9-478b-95c9-b789d6502100", ""),
    ],
)
def test_a_rule_is_called_by_its_name(rule: str, name: str, expected: str) -> None:
    alert = listed(MetricAlert().fired())
    document = {**alert.document, "name": name}

    assert alert_of(replace(alert, rule=rule, document=document)).alert.alert_rule == expected
