"""Rules apply in their order, and the last word counts, field by field."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.azure_monitor.notification import notification_of
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Correlate, Lifecycle, Per, Reference, Storm
from itsm_bridge.servicenow.fields import content_of
from tests.alert_files import NAMES, alert_of, document_of
from tests.builders import NOW
from tests.rules.files import rules, ruling

METRIC = "metric-static.fired"


def test_without_a_file_the_built_in_rules_alone_speak() -> None:
    said = ruling(METRIC)

    assert dict(said.fields) == {"impact": "1", "urgency": "2"}
    assert said.lifecycle == Lifecycle()
    assert said.correlate == Correlate()
    assert (said.storm, said.is_ignored, dict(said.because), said.faults) == (None, False, {}, ())


def test_a_later_rule_wins_field_by_field() -> None:
    said = ruling(
        METRIC,
        "set: { category: network, contact_type: event }",
        "match: { severity: Sev1 }, set: { category: software }",
        "match: { severity: Sev4 }, set: { category: hardware }",
    )

    assert (said.fields["category"], said.fields["contact_type"]) == ("software", "event")
    assert said.because == {"category": "rule 2", "contact_type": "rule 1"}


def test_a_rule_that_stops_is_the_last() -> None:
    said = ruling(
        METRIC,
        "match: { severity: Sev1 }, set: { category: a }, stop: true",
        "match: { severity: Sev1 }, set: { category: b }",
    )

    assert said.fields["category"] == "a"


def test_rules_win_over_defaults_and_own_defaults_over_built_in_ones() -> None:
    defaults = "defaults: { set: { category: a, urgency: 3, impact: 3 }, by_severity: { Sev1: { impact: 2 } } }"

    said = ruling(METRIC, "set: { urgency: 1 }", before=defaults)

    assert (said.fields["category"], said.fields["impact"], said.fields["urgency"]) == ("a", "2", "1")
    assert said.because == {"category": "defaults", "impact": "defaults", "urgency": "rule 1"}


def test_a_test_stays_least_urgent_whatever_the_defaults_say() -> None:
    said = ruling("test-metric", before="defaults: { set: { impact: 1, urgency: 1 } }")

    assert (said.fields["impact"], said.fields["urgency"]) == ("3", "3")


def test_an_empty_text_leaves_a_field_out() -> None:
    defaults = "defaults: { set: { category: a, caller_id: { user_name: azure } } }"

    said = ruling(METRIC, 'set: { category: "", caller_id: "", urgency: "" }', before=defaults)

    assert "category" not in said.fields
    assert "urgency" not in said.fields
    assert said.references == {}
    assert "urgency" not in content_of(said).fields


def test_a_severity_that_a_rule_gives_counts_from_there_on() -> None:
    said = ruling(
        METRIC,
        "match: { severity: Sev0 }, set: { category: too early }",
        "severity: Sev0, because: it is the shop",
        'match: { severity: Sev0 }, set: { u_text: "{{ severity }} was {{ alert.severity }}" }',
        "match: { severity: Sev1 }, set: { category: too late }",
    )
    content = content_of(said)

    assert "category" not in said.fields
    assert said.fields["u_text"] == "Sev0 was Sev1"
    assert (content.fields["impact"], content.fields["urgency"]) == ("1", "1")
    assert content.fields["short_description"].startswith("Sev0: ")
    assert "\nSeverity: Sev0, because it is the shop\n" in content.fields["description"]
    assert said.because["severity"] == "rule 2"


def test_another_severity_by_the_rules_alone_makes_no_news_of_what_was_said_before() -> None:
    before, after = ruling(METRIC), ruling(METRIC, "severity: Sev0")
    first, second = (notification_of(each.alert, each.wording) for each in (before, after))

    assert (first.key, first.digest) == (second.key, second.digest)
    assert (first.facts["Severity"], second.facts["Severity"]) == ("Sev1", "Sev0")


def test_a_rule_without_a_reason_is_the_reason() -> None:
    assert ruling(METRIC, "severity: Sev0").alert.severity_reason == 'the rule "rule 1" says so'


def test_a_severity_that_is_given_back_needs_no_reason() -> None:
    said = ruling(METRIC, "severity: Sev4", "severity: Sev1")

    assert (said.alert.severity, said.alert.severity_reason) == ("Sev1", "")
    assert "severity" not in said.because


def test_references_are_named_by_a_field_of_the_other_record() -> None:
    said = ruling(
        METRIC,
        'set: { assignment_group: { name: "{{ custom.team }} operations" }, caller_id: { user_name: azure.monitor } }',
        "set: { business_service: 0123456789abcdef0123456789abcdef }",
    )

    assert said.references == {
        "assignment_group": Reference(field="name", value="Shop operations"),
        "caller_id": Reference(field="user_name", value="azure.monitor"),
    }
    assert said.fields["business_service"] == "0123456789abcdef0123456789abcdef"
    assert said.because["assignment_group"] == "rule 1"


def test_what_a_record_is_looked_up_by_is_one_harmless_line() -> None:
    document = document_of(METRIC)
    document["data"]["customProperties"] = {"team": "Shop\n^active=false\u202e" + "x" * 500}

    (reference,) = ruling(document, 'set: { assignment_group: { name: "{{ custom.team }}" } }').references.values()

    assert reference.value.startswith("Shop ^active=falsexxx")
    assert len(reference.value) == 255


def test_a_rule_of_action_shadow_has_it_on_trial_and_a_later_ignore_wins() -> None:
    trial, ignore, takes_back = "action: shadow", "action: ignore", "action: incident"

    said = [ruling(METRIC, *each) for each in ((trial,), (trial, ignore), (ignore, trial), (trial, takes_back))]

    assert [(each.is_shadowed, each.is_ignored) for each in said] == [
        (True, False),
        (False, True),
        (True, False),
        (False, False),
    ]
    assert said[0].because["action"] == "rule 1"
    assert said[0].fields == ruling(METRIC).fields


def test_the_rules_that_say_shadow_are_known_by_name() -> None:
    assert rules("action: shadow", "action: ignore", "match: { rule: x }, action: shadow").shadows == {
        "rule 1",
        "rule 3",
    }
    assert rules("action: ignore").shadows == frozenset()


def test_a_template_that_says_nothing_leaves_what_was_said_before() -> None:
    group = "set: { assignment_group: { name: %s } }"

    said = ruling(METRIC, group % "Cloud", group % '"{{ custom.nothing }}"')

    assert said.references["assignment_group"].value == "Cloud"
    assert said.because == {"assignment_group": "rule 1"}


@pytest.mark.parametrize("text", ["\u200b", " \u00ad\u202e ", "\x07"])
def test_a_text_that_nobody_can_see_says_nothing(text: str) -> None:
    document = document_of(METRIC)
    document["data"]["customProperties"] = {"title": text}

    said = ruling(
        document, 'set: { short_description: "{{ custom.title }}", caller_id: { name: "{{ custom.title }}" } }'
    )

    assert content_of(said).fields["short_description"] == "Sev1: Percentage CPU above 90 % on vm-web-01"
    assert said.references == {}


def test_a_template_that_fails_leaves_the_default_text_and_a_sentence_for_the_log() -> None:
    loop = "{% for each in custom %}{{ each.value }}{% endfor %}"
    document = document_of(METRIC)
    document["data"]["customProperties"] = {f"n{number}": "secret" * 600 for number in range(50)}

    said = ruling(document, f'set: {{ short_description: "{loop}", category: "{{{{ custom < 1 }}}}" }}')
    content = content_of(said)

    assert said.faults == (
        'the template of short_description in the rule "rule 1" gives no text: it makes more than 20,000 characters',
        'the template of category in the rule "rule 1" gives no text: it fails with TypeError',
    )
    assert content.fields["short_description"] == "Sev1: Percentage CPU above 90 % on vm-web-01"
    assert "category" not in content.fields_at_creation


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("auto_resolve: note", Lifecycle(auto_resolve=AutoResolve.NOTE)),
        ("auto_resolve: off", Lifecycle(auto_resolve=AutoResolve.OFF)),
        ("reopen_within: always", Lifecycle(reopen_within=None)),
        ("reopen_within: never", Lifecycle(reopen_within=timedelta(0))),
        ("reopen_within: 36h", Lifecycle(reopen_within=timedelta(hours=36))),
        ("after_closed: nothing", Lifecycle(after_closed=AfterClosed.NOTHING)),
        ("hold: 1m30s", Lifecycle(hold=timedelta(seconds=90))),
        ("close_after: 3d", Lifecycle(close_after=timedelta(days=3))),
        ("close_after: never", Lifecycle(close_after=None)),
    ],
)
def test_a_lifecycle_is_what_the_rules_say_and_else_the_built_in_one(said: str, expected: Lifecycle) -> None:
    assert ruling(METRIC, f"lifecycle: {{ {said} }}").lifecycle == expected


def test_parts_of_a_lifecycle_are_said_apart() -> None:
    said = ruling(METRIC, "lifecycle: { hold: 5m, auto_resolve: note }", "lifecycle: { hold: 0s }")

    assert said.lifecycle == Lifecycle(auto_resolve=AutoResolve.NOTE)
    assert said.because == {"auto_resolve": "rule 1", "hold": "rule 2"}


def test_correlation_and_storms_are_said_as_a_whole() -> None:
    said = ruling(
        METRIC,
        "correlate: { per: rule, within: 1h }, storm: { more_than: 20, within: 5m }",
        "correlate: { per: resource }",
    )

    assert said.correlate == Correlate(per=Per.RESOURCE)
    assert (said.storm, said.storm_rule) == (Storm(more_than=20, within=timedelta(minutes=5)), "rule 1")
    assert ruling(METRIC, "storm: { more_than: 1, within: 5m }", "storm: off").storm is None


def test_a_later_rule_can_bring_an_ignored_alert_back() -> None:
    said = ruling(METRIC, "action: ignore", "match: { severity: Sev1 }, action: incident")

    assert (said.is_ignored, said.because["action"]) == (False, "rule 2")


def test_what_rules_set_is_made_harmless_and_fitted_as_our_own_text_is() -> None:
    said = ruling(
        METRIC,
        'set: { short_description: "[code]<b>{{ headline }}\\n😀[/code]", description: "<i>{{ story }}x" }',
        f'set: {{ category: "😀", correlation_display: {"d" * 500} }}',
    )
    content = content_of(said)

    assert content.fields["short_description"] == "(code)\u2039b>Percentage CPU above 90 % on vm-web-01 ?(/code)"
    assert content.fields["description"] == "\u2039i>x"
    assert content.fields["category"] == "?"
    assert len(content.fields["correlation_display"]) == 100


def test_a_title_of_a_rule_keeps_the_mark_of_a_test() -> None:
    content = content_of(ruling("test-metric", "set: { short_description: 'disk full' }"))

    assert content.fields["short_description"] == "[TEST] disk full"


def test_a_headline_that_the_title_of_a_rule_lacks_is_told_in_the_description() -> None:
    headline = "Percentage CPU above 90 % on vm-web-01"

    without = content_of(ruling(METRIC, "set: { short_description: web is slow }"))
    within = content_of(ruling(METRIC, 'set: { short_description: "web: {{ headline }}" }'))

    assert without.fields["description"].startswith(headline)
    assert not within.fields["description"].startswith(headline)


def test_a_configuration_item_that_a_rule_names_is_not_looked_for() -> None:
    content = content_of(ruling(METRIC, "set: { cmdb_ci: 0123456789abcdef0123456789abcdef }"))

    assert content.fields["cmdb_ci"] == "0123456789abcdef0123456789abcdef"
    assert content.links == {"configuration_item": ()}


def test_what_is_explained_is_what_is_applied() -> None:
    file = rules("match: { severity: Sev1 }, severity: Sev0", "match: { severity: Sev0 }, set: { category: a }")

    for name in NAMES:
        alert = alert_of(name)
        explained, applied = file.explain(alert, NOW), file.apply(alert, NOW)
        assert explained.ruling.alert.severity is applied.alert.severity
        assert replace(explained.ruling, alert=applied.alert) == applied
        assert [each.name for each in explained.verdicts][-2:] == ["rule 1", "rule 2"]
        assert all(each.applies == (not each.reason) for each in explained.verdicts)


EVERYTHING = rules(
    "match: { text: '*a*', resource: { name: '*', type: '*' }, not: { custom: { a: '*' } } }, severity: Sev0",
    'set: { u_a: "{% for each in dimensions %}{{ each.name }}{% endfor %}{{ links }}", category: "{{ resource.id }}" }',
    'match: { event: { status: "*" }, during: w }, set: { u_b: "{{ event.status }}" }',
    before="windows: { w: { days: [Mon, Tue, Wed] } }",
)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
        max_leaves=10,
    ),
    st.sampled_from(NAMES),
    st.sampled_from(["essentials", "alertContext", "customProperties"]),
)
def test_no_alert_makes_rules_raise(value: Any, name: str, part: str) -> None:
    document = document_of(name)
    data = document.get("data")
    if isinstance(data, dict):
        section = data.get(part)
        data[part] = dict.fromkeys(section, value) if isinstance(section, dict) else value

    said = EVERYTHING.apply(alert_of(document), NOW)

    assert content_of(said).fields["short_description"]
