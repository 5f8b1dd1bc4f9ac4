import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.azure_monitor.alert import Alert, Kind, MonitorCondition, Severity, parse_alert
from itsm_bridge.azure_monitor.notification import changed_note
from itsm_bridge.errors import InvalidAlert
from itsm_bridge.reconcile.desired import News
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.text import length
from tests.alert_files import NAMES, alert_of, body_of, document_of
from tests.builders import news_of

KINDS = {
    "activity-log": Kind.ACTIVITY_LOG,
    "application-insights": Kind.LOG,
    "backup": Kind.BACKUP,
    "budget": Kind.BUDGET,
    "essentials-only": Kind.UNKNOWN,
    "legacy-activity-log": Kind.ACTIVITY_LOG,
    "legacy-budget": Kind.BUDGET,
    "legacy-classic-metric": Kind.METRIC,
    "legacy-custom": Kind.UNKNOWN,
    "legacy-log": Kind.LOG,
    "legacy-metric": Kind.METRIC,
    "legacy-resource-health": Kind.RESOURCE_HEALTH,
    "legacy-resource-manager-alert": Kind.SMART_DETECTION,
    "legacy-service-health": Kind.SERVICE_HEALTH,
    "legacy-test": Kind.LOG,
    "log-analytics": Kind.LOG,
    "log-dynamic": Kind.LOG,
    "log-long-link": Kind.LOG,
    "log-measure": Kind.LOG,
    "log-percentile": Kind.LOG,
    "log-row": Kind.LOG_ROW,
    "log-subscription-scope": Kind.LOG,
    "log-search": Kind.LOG,
    "log-us-government": Kind.LOG,
    "metric": Kind.METRIC,
    "prometheus": Kind.PROMETHEUS,
    "resource-health": Kind.RESOURCE_HEALTH,
    "service-health": Kind.SERVICE_HEALTH,
    "smart-detection": Kind.SMART_DETECTION,
    "test-metric": Kind.METRIC,
    "test-service-health": Kind.SERVICE_HEALTH,
    "unknown-service": Kind.UNKNOWN,
}


def kind_by_name(name: str) -> Kind:
    return KINDS[max((prefix for prefix in KINDS if name.startswith(prefix)), key=len)]


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_what_its_shape_says(name: str) -> None:
    assert alert_of(name).kind is kind_by_name(name)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("legacy")])
def test_the_name_of_the_service_decides_nothing(name: str) -> None:
    document = document_of(name)
    document["data"]["essentials"]["monitoringService"] = "Service of 2031"
    document["data"]["essentials"]["signalType"] = "Thought"

    assert alert_of(document).kind is alert_of(name).kind


def test_all_fields_of_a_common_alert_are_read() -> None:
    alert = alert_of("metric-static.resolved")

    assert alert.alert_id.endswith("/providers/Microsoft.AlertsManagement/alerts/0a6c1f2e-3b7d-4c58-8a91-d4e5f6071829")
    assert alert.alert_rule == "High CPU on web servers"
    assert alert.severity is Severity.SEV1
    assert alert.signal_type == "Metric"
    assert alert.monitor_condition is MonitorCondition.RESOLVED
    assert alert.monitoring_service == "Platform"
    assert [target.rsplit("/", 2)[1:] for target in alert.alert_target_ids] == [["virtualmachines", "vm-web-01"]]
    assert alert.configuration_items == ("vm-web-01",)
    assert alert.origin_alert_id.endswith("_metricAlerts_High CPU on web servers_1873465201")
    assert alert.fired_date_time == datetime(2026, 3, 14, 2, 41, 7, 518293, tzinfo=UTC)
    assert alert.resolved_date_time == datetime(2026, 3, 14, 3, 2, 19, 3112, tzinfo=UTC)
    assert alert.description == "Web servers are short of CPU. Runbook: wiki/web-cpu."
    assert alert.custom_properties == {"Runbook": "https://wiki.contoso.example/web-cpu", "Team": "Shop"}
    assert alert.alert_context["condition"]["allOf"][0]["metricValue"] == "41.25"
    assert alert.investigation_link.startswith("https://portal.azure.com/")
    assert alert.subscription_id == "5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90"
    assert not alert.is_test
    assert not alert.is_legacy


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Sev0", Severity.SEV0),
        ("sev4", Severity.SEV4),
        (3, Severity.SEV3),
        ("Sev5", None),
        ("High", None),
        (None, None),
    ],
)
def test_a_severity_is_one_of_five_or_none(text: object, severity: Severity | None) -> None:
    document = document_of("metric-static.fired")
    document["data"]["essentials"]["severity"] = text

    assert alert_of(document).severity is severity


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("Fired", MonitorCondition.FIRED),
        ("resolved", MonitorCondition.RESOLVED),
        ("Deactivated", MonitorCondition.RESOLVED),
        (None, MonitorCondition.FIRED),
        ("Unheard of", MonitorCondition.FIRED),
    ],
)
def test_what_is_not_resolved_is_fired(text: object, condition: MonitorCondition) -> None:
    document = document_of("metric-static.fired")
    document["data"]["essentials"]["monitorCondition"] = text

    assert alert_of(document).monitor_condition is condition


def test_properties_of_a_rule_do_not_make_a_metric_alert_one_of_service_health() -> None:
    document = document_of("metric-static.fired")
    document["data"]["alertContext"]["properties"] = {
        "trackingId": "T-1",
        "stage": "Resolved",
        "currentHealthStatus": "x",
    }

    alert = alert_of(document)

    assert alert.kind is Kind.METRIC
    assert alert.custom_properties["trackingId"] == "T-1"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("test-", "legacy-test"))])
def test_a_press_of_the_test_button_is_recognised(name: str) -> None:
    assert alert_of(name).is_test


@pytest.mark.parametrize("name", [name for name in NAMES if "test-" not in name and name != "legacy-test"])
def test_everything_else_is_no_test(name: str) -> None:
    assert not alert_of(name).is_test


def test_the_test_subscription_in_a_text_makes_no_test() -> None:
    document = document_of("metric-static.fired")
    document["data"]["essentials"]["description"] = "/subscriptions/11111111-1111-1111-1111-111111111111"

    assert not alert_of(document).is_test


def test_the_subscription_comes_from_the_target_if_the_alert_id_names_none() -> None:
    document = document_of("metric-static.fired")
    document["data"]["essentials"]["alertId"] = None

    assert alert_of(document).subscription_id == "5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90"


@pytest.mark.parametrize(
    "document",
    [{}, {"data": {}}, {"data": None}, {"schemaId": "azureMonitorCommonAlertSchema"}, {"data": {"data": {}}}],
)
def test_an_object_without_anything_is_an_alert_of_unknown_kind(document: object) -> None:
    alert = alert_of(document)

    assert alert.kind is Kind.UNKNOWN
    assert news_of(alert).content.fields["short_description"] == "Azure Monitor sent an alert of unknown form"


def test_an_object_of_unknown_shape_is_its_own_context() -> None:
    assert alert_of({"text": "Disk full"}).alert_context == {"text": "Disk full"}


# Whatever is changed in a sample, it stays an alert and makes an incident that ServiceNow can hold.

LIMITS = {"short_description": 160, "description": 4000, "impact": 1, "urgency": 1, "correlation_display": 100}

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1.5e300,
            10**30,
            "",
            " ",
            "x",
            "[code]",
            "Resolved",
            "/subscriptions/",
            "2019-99-99",
            "\ud800",
        ),
        *("x" * 30_000, "<p>" * 5_000, "\n" * 5_000, '{"a":' * 300, "[" * 300 + "]" * 300, "😀" * 300, "\u202e"),
        *([], {}, [[]], [None], [{}], [[{"name": 1}]], {"": ""}, {"a": {"b": {"c": "d"}}}, ["/subscriptions/a"] * 200),
        *({"name": ["x"], "value": {}}, ["x" * 5_000] * 20, {f"key {number}": "text " * 50 for number in range(120)}),
    ]
)
CHANGES = st.sampled_from(["drop", "junk", "recase", "add", "nest", "double"])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value in `value`."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def mutate(document: Any, change: str, place: int, junk: Any) -> None:
    junk = copy.deepcopy(junk)
    found = list(places(document))
    if not found:
        return
    container, key = found[place % len(found)]
    value = container[key]
    if change == "drop":
        del container[key]
    elif change == "junk":
        container[key] = junk
    elif change == "nest":
        container[key] = [value] if place % 2 else {"data": value, "properties": copy.deepcopy(value)}
    elif change == "add" and isinstance(container, dict):
        container[f"{key}2"] = junk
    elif change == "recase" and isinstance(container, dict):
        container[key.upper() if place % 2 else key.lower()] = container.pop(key)
    elif change == "double" and isinstance(container, list):
        container.extend(copy.deepcopy(container))


def assert_fits(notification: News) -> None:
    content = notification.content
    said = {**content.fields, **content.fields_at_creation}
    assert set(said) == set(LIMITS)
    for name, text in said.items():
        assert 1 <= length(text) <= LIMITS[name], name
    assert len(notification.key) == len(notification.digest) == 64
    assert notification.opens or notification.closes
    assert 1 <= length(notification.note) <= 3000
    assert length(changed_note({}, notification)) <= 3000
    assert all(length(text) <= 200 for text in notification.facts.values())
    assert len(content.links[CONFIGURATION_ITEM]) <= 50
    json.dumps([said, notification.facts, notification.note], ensure_ascii=False).encode("utf-8")


def still_an_alert(document: Any) -> Alert:
    return parse_alert(json.dumps(document).encode())


@settings(derandomize=True, max_examples=1000, deadline=None)
@given(st.sampled_from(NAMES), CHANGES, st.integers(0, 10_000), JUNK)
def test_a_sample_with_one_change_is_an_alert(name: str, change: str, place: int, junk: Any) -> None:
    document = document_of(name)
    mutate(document, change, place, junk)

    assert_fits(news_of(still_an_alert(document)))


@settings(derandomize=True, max_examples=700, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.tuples(CHANGES, st.integers(0, 10_000), JUNK), min_size=2, max_size=6))
def test_a_sample_with_many_changes_is_an_alert(name: str, changes: list[tuple[str, int, Any]]) -> None:
    document = document_of(name)
    for change, place, junk in changes:
        mutate(document, change, place, junk)

    assert_fits(news_of(still_an_alert(document)))


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=4))
def test_a_sample_with_broken_bytes_is_an_alert_or_refused(name: str, breaks: list[tuple[int, bytes]]) -> None:
    body = body_of(name)
    for place, piece in breaks:
        body = body[: place % len(body)] + piece + body[place % len(body) + 1 :]

    try:
        alert = parse_alert(body)
    except InvalidAlert:
        return
    assert_fits(news_of(alert))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=8),
        lambda inner: st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
def test_any_object_at_all_is_an_alert(value: Any) -> None:
    assert_fits(news_of(still_an_alert({"data": value})))
