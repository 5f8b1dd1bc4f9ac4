import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.azure_monitor.notification import changed_note, received_at
from tests.alert_files import FOLDER, NAMES, PAIRS, as_read, document_of, notified

MARKUP = "[code]<script>alert(1)</script>[/code] [ CODE ]\u202e<b>\x00\ud83d"


def changed(name: str, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Any:
    """Return a sample after `change` has seen its essentials and its context."""
    document = document_of(name)
    change(document["data"]["essentials"], document["data"]["alertContext"])
    return document


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_reads_as_its_text(name: str) -> None:
    expected = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")

    assert as_read(notified(name)) == expected


@pytest.mark.parametrize(
    ("severity", "impact", "urgency"),
    [
        ("Sev0", "1", "1"),
        ("Sev1", "1", "2"),
        ("Sev2", "2", "2"),
        ("Sev3", "2", "3"),
        ("Sev4", "3", "3"),
        (None, "3", "3"),
        ("Sev9", "3", "3"),
    ],
)
def test_severity_decides_impact_and_urgency(severity: str | None, impact: str, urgency: str) -> None:
    sample = changed("metric-static.fired", lambda essentials, _: essentials.update(severity=severity))

    fields = notified(sample).content.fields

    assert (fields["impact"], fields["urgency"]) == (impact, urgency)


def test_a_test_is_marked_and_least_urgent_whatever_its_severity() -> None:
    sample = changed("test-metric", lambda essentials, _: essentials.update(severity="Sev0"))

    fields = notified(sample).content.fields

    assert fields["short_description"].startswith("[TEST] Sev0: ")
    assert (fields["impact"], fields["urgency"]) == ("3", "3")
    assert fields["description"].startswith("A test: ")


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {name: shuffled(child, chance) for name, child in items}
    return [shuffled(child, chance) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_the_same_notification_in_another_order_of_names_has_the_same_digest(name: str) -> None:
    again = notified(shuffled(document_of(name), random.Random(7)))

    assert (again.key, again.digest) == (notified(name).key, notified(name).digest)


def test_ids_in_another_casing_make_the_same_notification() -> None:
    def shout(essentials: dict[str, Any], _: object) -> None:
        essentials["alertId"] = essentials["alertId"].upper()
        essentials["alertTargetIDs"] = [target.upper() for target in essentials["alertTargetIDs"]]
        essentials["configurationItems"] = [item.upper() for item in essentials["configurationItems"]]

    again = notified(changed("metric-static.fired", shout))

    first = notified("metric-static.fired")
    assert (again.key, again.signal, again.digest) == (first.key, first.signal, first.digest)


def measured_anew(_: object, context: dict[str, Any]) -> None:
    context["condition"]["allOf"][0]["metricValue"] = 99
    context["condition"]["windowEndTime"] = "2026-03-14T02:40:00Z"


def test_what_only_was_measured_anew_is_no_news() -> None:
    again = notified(changed("metric-static.fired", measured_anew))

    assert again.digest == notified("metric-static.fired").digest
    assert again.content.fields["description"] != notified("metric-static.fired").content.fields["description"]


@pytest.mark.parametrize(
    "change",
    [
        lambda essentials, _: essentials.update(severity="Sev0"),
        lambda essentials, _: essentials.update(description="Another text."),
        lambda essentials, _: essentials.update(alertRule="Another rule"),
        lambda essentials, _: essentials.update(configurationItems=["vm-web-02"]),
        lambda essentials, _: essentials.update(monitorCondition="Resolved"),
        lambda _, context: context["condition"]["allOf"][0].update(threshold="80"),
        lambda _, context: context["condition"].update(windowSize="PT15M"),
    ],
    ids=["severity", "description", "rule", "resource", "condition", "threshold", "window"],
)
def test_what_an_incident_shows_differently_is_news(change: Callable[[Any, Any], object]) -> None:
    assert notified(changed("metric-static.fired", change)).digest != notified("metric-static.fired").digest


def test_a_communication_of_service_health_is_the_same_whichever_rule_sends_it() -> None:
    def by_another_rule(essentials: dict[str, Any], _: object) -> None:
        essentials.update(alertRule="Another rule", alertId="/subscriptions/other", description="Its description")
        essentials["firedDateTime"] = "2026-05-04T03:31:13Z"

    original = changed("service-health-incident.active", lambda *_: None)
    original["data"]["customProperties"] = {"Team": "Shop"}
    again = changed("service-health-incident.active", by_another_rule)
    again["data"]["essentials"]["alertId"] = original["data"]["essentials"]["alertId"] + "0"

    assert notified(again).digest == notified(original).digest


def test_another_text_of_service_health_is_news() -> None:
    digests = {notified(f"service-health-incident.{step}").digest for step in ("active", "update", "resolved")}

    assert len(digests) == 3


def test_changed_facts_stand_before_the_note() -> None:
    after = notified(changed("metric-static.fired", lambda essentials, _: essentials.update(severity="Sev0")))

    note = changed_note(notified("metric-static.fired").facts, after)

    assert note.splitlines()[:2] == ["Severity: Sev1 → Sev0", ""]
    assert note.endswith(after.note)


def test_a_fact_that_came_and_one_that_went_are_told() -> None:
    after = notified("service-health-incident.resolved")

    note = changed_note({**notified("service-health-incident.update").facts, "Old": "fact"}, after)

    assert note.splitlines()[:4] == [
        "Stage: Active → Resolved",
        "Impact until: none → 2026-05-04 05:40:00 UTC",
        "Old: fact → none",
        "",
    ]


def test_without_a_changed_fact_the_note_stands_alone() -> None:
    after = notified("metric-static.fired")

    assert changed_note(after.facts, after) == after.note


@pytest.mark.parametrize(("fired", "resolved"), PAIRS)
def test_a_resolution_says_when_and_what_it_was(fired: str, resolved: str) -> None:
    note = notified(resolved).note

    assert note.startswith("Resolved")
    assert notified(fired).facts["Alert"] in note


def end(name: str, *, criterion: dict[str, Any] | None = None, window: str | None = None, **essentials: object) -> str:
    """Return the note of an alert that is over, with changes of what it says."""

    def change(sent: dict[str, Any], context: dict[str, Any]) -> None:
        sent.update({"monitorCondition": "Resolved", **essentials})
        context["condition"]["allOf"][0].update(criterion or {})
        context["condition"]["windowEndTime"] = window

    return notified(changed(name, change)).note


FIRED, LATER = "2026-03-14T02:41:07Z", "2026-03-14T03:05:00Z"
BAD, GOOD = {"metricValue": 97.4}, {"metricValue": 41.25}


def test_an_end_says_when_it_was_and_how_long_the_alert_fired() -> None:
    assert end("metric-static.fired", firedDateTime=FIRED, resolvedDateTime="2026-03-14T03:02:19Z") == (
        "Resolved: Percentage CPU above 90 % on vm-web-01. "
        "Azure Monitor reports it resolved at 2026-03-14 03:02:19 UTC. It fired for 21 minutes 12 seconds."
    )


@pytest.mark.parametrize("resolved", [None, "", "None", "0001-01-01T00:00:00Z", FIRED, "2026-03-14T02:00:00Z"])
def test_an_end_that_does_not_say_when_it_was_is_told_so(resolved: str | None) -> None:
    assert end("metric-static.fired", firedDateTime=FIRED, resolvedDateTime=resolved) == (
        "Resolved: Percentage CPU above 90 % on vm-web-01. "
        "Azure Monitor reports it resolved and does not say when. It fired at 2026-03-14 02:41:07 UTC."
    )


def test_an_end_of_an_alert_that_never_said_when_it_fired_says_when_it_was() -> None:
    assert end("metric-static.fired", firedDateTime=None, resolvedDateTime=LATER) == (
        "Resolved: Percentage CPU above 90 % on vm-web-01. "
        "Azure Monitor reports it resolved at 2026-03-14 03:05:00 UTC."
    )
    assert end("metric-static.fired", firedDateTime=None, resolvedDateTime=None).endswith("does not say when.")


@pytest.mark.parametrize(
    ("criterion", "window", "is_told"),
    [
        (BAD, None, False),
        (BAD, FIRED, False),
        (BAD, LATER, False),
        (GOOD, None, True),
        (GOOD, LATER, True),
        (GOOD, FIRED, False),
        (GOOD | {"operator": "LessThan", "threshold": "40"}, None, True),
        (GOOD | {"operator": "LessThan", "threshold": "50"}, None, False),
        (GOOD | {"operator": "Equals", "threshold": "41.25"}, LATER, False),
        (GOOD | {"operator": "GreaterOrLessThan", "alertSensitivity": "Low"}, None, False),
        (GOOD | {"operator": "GreaterOrLessThan", "alertSensitivity": "Low"}, LATER, True),
        (GOOD | {"threshold": None}, None, False),
        (GOOD | {"operator": "Circles"}, LATER, True),
        ({"metricValue": None}, LATER, False),
        ({"metricValue": "NaN"}, None, False),
    ],
)
def test_a_value_is_told_of_an_end_only_if_it_was_measured_then(
    criterion: dict[str, Any], window: str | None, is_told: bool
) -> None:
    note = end("metric-static.fired", criterion=criterion, window=window, firedDateTime=FIRED, resolvedDateTime=LATER)

    assert ("Last measured: " in note) is is_told
    assert " Measured: " not in note


def test_one_condition_that_holds_no_more_ends_an_alert_with_several() -> None:
    good_and_bad = end("metric-two-conditions.fired", criterion={"metricValue": 12}, firedDateTime=FIRED)

    assert "Last measured: SuccessE2ELatency 12 ms, Availability 98 %." in good_and_bad
    assert "measured" not in end("metric-two-conditions.fired", firedDateTime=FIRED)


@pytest.mark.parametrize("name", ["smart-detection.resolved", "prometheus.resolved", "log-search.resolved"])
def test_a_value_of_which_nobody_knows_when_it_was_measured_is_not_told_of_an_end(name: str) -> None:
    assert "measured" not in notified(name).note.lower()


@pytest.mark.parametrize("name", [name for name in NAMES if "essentials" in document_of(name).get("data", {})])
def test_no_text_of_an_alert_can_become_markup(name: str) -> None:
    def inject(value: Any) -> Any:
        if isinstance(value, dict):
            return {f"{key}{MARKUP if key not in KEPT else ''}": inject(child) for key, child in value.items()}
        if isinstance(value, list):
            return [inject(child) for child in value]
        return f"{value}{MARKUP}" if isinstance(value, str) and not value.startswith("azureMonitor") else value

    document = document_of(name)
    document["data"] = {section: inject(value) for section, value in document["data"].items()}

    notification = notified(document)

    for text in (*notification.content.fields.values(), *notification.facts.values(), notification.note):
        assert "[code]" not in text.lower()
        assert "[ code ]" not in text.lower()
        assert "[/code]" not in text.lower()
        assert "<script" not in text
        assert "<b>" not in text
        assert not any(character in text for character in "\u202e\x00\ud83d")


#: Names that samples need to be recognised by; they are Azure's, not an attacker's.
KEPT = {
    *("alertId", "alertRule", "severity", "monitorCondition", "monitoringService", "alertTargetIDs", "description"),
    *("configurationItems", "firedDateTime", "conditionType", "condition", "allOf", "metricName", "operator"),
    *("threshold", "metricValue", "dimensions", "name", "value", "searchQuery", "event", "properties", "trackingId"),
    *("stage", "title", "communication", "currentHealthStatus", "operationName", "eventSource", "AlertData"),
    *("BudgetName", "SpentAmount", "expression", "labels", "annotations", "summary", "DetectionSummary"),
}


def test_short_columns_hold_no_character_of_four_bytes() -> None:
    sample = changed(
        "metric-static.fired", lambda essentials, _: essentials.update(alertRule="🔥 CPU", description="🔥")
    )
    sample["data"]["alertContext"]["condition"]["allOf"][0]["metricName"] = "🔥 CPU"

    content = notified(sample).content
    fields = {**content.fields, **content.fields_at_creation}

    assert fields["short_description"] == "Sev1: ? CPU above 90 on vm-web-01"
    assert fields["correlation_display"] == "Azure Monitor: ? CPU"
    assert "🔥" in fields["description"]


def test_a_long_title_keeps_the_resource_and_stands_whole_in_the_description() -> None:
    rule = "Orders are not delivered " * 10
    sample = changed("log-search.fired", lambda essentials, _: essentials.update(alertRule=rule))

    fields = notified(sample).content.fields

    assert len(fields["short_description"]) <= 160
    assert fields["short_description"].startswith("Sev1: Orders are not delivered Orders")
    assert fields["short_description"].endswith("… on SRV-DB-02.contoso.example")
    assert rule.strip() in fields["description"]


def test_too_long_a_description_keeps_the_condition_and_names_what_it_lost() -> None:
    def lengthen(essentials: dict[str, Any], context: dict[str, Any]) -> None:
        essentials["description"] = "What to do. " * 100
        context["condition"]["allOf"][0]["searchQuery"] = "union *\n| where true" * 400
        context["properties"] = {"Team": "Platform", "Essay": "word " * 900}

    description = notified(changed("log-search.fired", lengthen)).content.fields["description"]

    assert len(description) <= 4000
    assert "Condition: number of results < 1" in description
    assert "What to do. What to do." in description
    assert "Team: Platform" in description
    assert "Rule: Server sends no heartbeat" in description
    assert description.endswith("\nLeft out or shortened: Query, Essay.")


def test_an_address_that_could_be_more_than_a_link_is_left_out() -> None:
    def mislead(essentials: dict[str, Any], context: dict[str, Any]) -> None:
        essentials["investigationLink"] = "javascript:alert(1)"
        context["condition"]["allOf"][0]["linkToFilteredSearchResultsUI"] = "https://portal.azure.com/[code]x"

    description = notified(changed("log-search.fired", mislead)).content.fields["description"]

    assert "Investigation" not in description
    assert "code" not in description
    assert "/q/eJwAll/" in description
    assert "\nAlert: https://portal.azure.com/#view/" in description


class TestClock:
    """Clocks of services differ from ours."""

    def test_a_time_in_the_future_is_told_as_such(self) -> None:
        said = notified("metric-static.fired")
        assert said.at is not None

        early = received_at(said, said.at - timedelta(minutes=10))

        assert early.note.startswith(said.note)
        assert early.note.endswith("By the clock of this integration, that time is 10 minutes in the future.")
        assert early.digest == said.digest

    def test_the_text_of_an_end_does_not_depend_on_when_it_comes(self) -> None:
        said = notified("metric-static.resolved")
        assert said.at is not None

        assert received_at(said, said.at - timedelta(minutes=10)) is said

    @pytest.mark.parametrize("ahead", [timedelta(minutes=2), timedelta(0), -timedelta(hours=1)])
    def test_any_other_time_is_told_as_it_is(self, ahead: timedelta) -> None:
        said = notified("metric-static.fired")
        assert said.at is not None

        assert received_at(said, said.at - ahead) is said
