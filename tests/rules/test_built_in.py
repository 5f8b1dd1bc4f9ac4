"""The rules that ship with the program say what it did before it had rules."""

from datetime import UTC, datetime
from typing import Any

import pytest

from itsm_bridge.azure_monitor.notification import changed_note
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.merge import first_record, merge
from tests.alert_files import alert_of, document_of, notified
from tests.builders import ruled

NOW = datetime(2026, 5, 11, 2, 0, tzinfo=UTC)


def sample(name: str, *, sent: str | None = "Sev4", status: str = "", source: str = "", **properties: object) -> Any:
    """Return a sample with another severity, status, source and other properties of its event."""
    document = document_of(name)
    document["data"]["essentials"]["severity"] = sent
    context = document["data"]["alertContext"]
    context["properties"] = {**(context.get("properties") or {}), **properties}
    if status:
        context["status"] = status
    if source:
        context["eventSource"] = source
    return document


def security(severity: object, **more: Any) -> Any:
    return sample("activity-log-security", severity=severity, **more)


def health(state: str, cause: object = "PlatformInitiated", **more: Any) -> Any:
    return sample("resource-health.unavailable", currentHealthStatus=state, cause=cause, **more)


def event(kind: object, stage: str = "Active", **more: Any) -> Any:
    return sample("service-health-incident.active", incidentType=kind, stage=stage, status=stage, **more)


def operation(status: str, source: str = "Administrative", **more: Any) -> Any:
    return sample("activity-log-administrative.failed", status=status, source=source, **more)


@pytest.mark.parametrize(
    ("document", "severity"),
    [
        (security("High"), "Sev1"),
        (security("medium"), "Sev2"),
        (security("Low"), "Sev3"),
        (health("Unavailable"), "Sev1"),
        (health("Unavailable", "platform initiated"), "Sev1"),
        (health("Unavailable", "UserInitiated"), "Sev2"),
        (health("Unavailable", None), "Sev2"),
        (health("Degraded"), "Sev3"),
        (health("degraded", "UserInitiated"), "Sev3"),
        (event("Incident"), "Sev2"),
        (event("incident", "RootCauseStudied"), "Sev2"),
        (event("Security"), "Sev3"),
        (event("Maintenance", "Planned"), "Sev4"),
        (event("Maintenance", "Planned", sent=None), "Sev4"),
        (event("Informational", sent=None), "Sev4"),
        (event("Information", sent=None), "Sev4"),
        (operation("Failed"), "Sev3"),
        (operation("failure"), "Sev3"),
        ("legacy-resource-health", "Sev3"),
        ("legacy-service-health", "Sev2"),
        (security("High", sent=None), "Sev1"),
    ],
)
def test_what_the_event_says_counts(document: Any, severity: str) -> None:
    alert = alert_of(document)

    counted = ruled(alert).alert

    assert counted.severity == severity
    assert bool(counted.severity_reason) == (counted.severity != alert.severity)


@pytest.mark.parametrize(
    "document",
    [
        security("Informational"),
        security(None),
        security(["High"]),
        health("Unknown"),
        health("Available"),
        health("Unavailable", status="Resolved"),
        event("ActionRequired"),
        event(None),
        *(event("Incident", stage) for stage in ("Resolved", "Complete", "Canceled", "RCA")),
        event("Security", "Resolved"),
        operation("Succeeded"),
        operation("Failed", source="Autoscale"),
        sample("activity-log-policy", severity="High"),
        sample("activity-log-recommendation", severity="High"),
        "legacy-activity-log",
        "budget-actual",
        "backup",
    ],
)
def test_without_a_word_of_the_event_it_stays_as_sent(document: Any) -> None:
    alert = alert_of(document)

    counted = ruled(alert).alert

    assert (counted.severity, counted.severity_reason) == (alert.severity, "")


@pytest.mark.parametrize(
    "name", ["metric-static.fired", "log-search.fired", "prometheus.fired", "smart-detection.fired"]
)
@pytest.mark.parametrize("sent", ["Sev0", "Sev4", None])
def test_what_the_author_of_a_rule_chose_stays(name: str, sent: str | None) -> None:
    posing = {"severity": "High", "currentHealthStatus": "Unavailable", "incidentType": "Incident", "trackingId": "X"}
    alert = alert_of(sample(name, sent=sent, source="Security", **posing))

    assert ruled(alert).alert.severity == alert.severity


@pytest.mark.parametrize("sent", ["Sev0", "Sev1", "Sev2", "Sev3"])
def test_a_severity_other_than_azures_fixed_one_was_chosen_by_somebody(sent: str) -> None:
    assert ruled(alert_of(event("Incident", sent=sent))).alert.severity == sent


def test_it_decides_impact_and_urgency_and_stands_in_the_title_the_facts_and_the_description() -> None:
    news = notified("activity-log-security")
    fields = news.content.fields

    assert fields["short_description"].startswith("Sev1: Security alert: Ransomware indicators detected")
    assert (fields["impact"], fields["urgency"]) == ("1", "2")
    assert news.facts["Severity"] == "Sev1"
    assert "\nSeverity: Sev1, because the security alert is of severity High\n" in fields["description"]


def test_a_test_shows_it_and_stays_least_urgent() -> None:
    document = security("High")
    document["data"]["essentials"]["alertId"] = "/subscriptions/11111111-1111-1111-1111-111111111111/alerts/1"

    fields = notified(document).content.fields

    assert fields["short_description"].startswith("[TEST] Sev1: ")
    assert (fields["impact"], fields["urgency"]) == ("3", "3")


def later(document: Any) -> News:
    document["data"]["alertContext"]["eventTimestamp"] = "2026-05-11T01:30:00Z"
    return notified(document)


def test_an_update_that_is_worse_changes_the_fields_of_the_incident_with_a_note() -> None:
    degraded, unavailable = notified(health("Degraded")), later(health("Unavailable"))

    row = merge(first_record(degraded, NOW), unavailable, NOW)

    assert (degraded.content.fields["impact"], degraded.content.fields["urgency"]) == ("2", "3")
    assert (row.desired.fields["impact"], row.desired.fields["urgency"]) == ("1", "2")
    assert row.work.notes[-1].text.startswith("Severity: Sev3 → Sev1\nHealth: Degraded → Unavailable\n")


def test_another_severity_of_the_event_alone_is_news() -> None:
    document = health("Unavailable", "UserInitiated", sent="Sev4")
    same, chosen = notified(document), notified(health("Unavailable", "UserInitiated", sent="Sev0"))

    assert same.key == chosen.key
    assert same.digest != chosen.digest


@pytest.mark.parametrize(
    "document", ["resource-health.available", "service-health-incident.resolved", health("Available", status="Updated")]
)
def test_what_does_not_open_an_incident_has_no_severity_to_tell(document: Any) -> None:
    assert "Severity" not in notified(document).facts


def test_a_severity_that_one_of_two_notifications_lacks_is_no_news() -> None:
    with_it, without = notified(event("ActionRequired")), notified(event("ActionRequired", sent=None))

    assert (with_it.key, with_it.digest) == (without.key, without.digest)
    assert changed_note(without.facts, with_it) == with_it.note
    assert changed_note(with_it.facts, without) == without.note
