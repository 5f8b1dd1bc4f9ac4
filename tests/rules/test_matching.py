"""A rule speaks of the alerts that its match names, whatever the case of ids and names."""

import fnmatch
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsm_bridge.rules.patterns import fits_any
from itsm_bridge.rules.subject import resource_of
from tests.alert_files import alert_of, document_of
from tests.rules.files import applies, rules, ruling

METRIC = "metric-static.fired"


@pytest.mark.parametrize(
    ("sample", "match", "expected"),
    [
        (METRIC, "", True),
        (METRIC, "service: Platform", True),
        (METRIC, "service: platform", True),
        (METRIC, "service: [Prometheus, Plat*]", True),
        (METRIC, "service: Prometheus", False),
        ("resource-health.unavailable", "service: ResourceHealth", True),
        ("resource-health.unavailable", "service: Resource Health", True),
        (METRIC, "signal: metric", True),
        ("log-search.fired", "signal: Log", True),
        ("activity-log-policy", "signal: Log", False),
        (METRIC, "severity: Sev1", True),
        (METRIC, "severity: [sev0, SEV1]", True),
        (METRIC, "severity: none", False),
        ("budget-actual", "severity: none", True),
        ("budget-actual", "severity: Sev*", False),
        (METRIC, "rule: High CPU*", True),
        (METRIC, "rule: '*cpu on web*'", True),
        (METRIC, "rule: cpu", False),
        (METRIC, "condition: Fired", True),
        ("metric-static.resolved", "condition: Resolved", True),
        ("service-health-incident.resolved", "condition: Resolved", True),
        ("resource-health.available", "condition: Fired", False),
        (METRIC, "resource: vm-web-01", True),
        (METRIC, "resource: VM-WEB-*", True),
        (METRIC, "resource: '*/virtualmachines/vm-web-01'", True),
        (METRIC, "resource: vm-web", False),
        (METRIC, "resource: { type: Microsoft.Compute/virtualMachines }", True),
        (METRIC, "resource: { type: Microsoft.Compute/*, name: vm-db-* }", False),
        (METRIC, "resource: { id: '*/resourcegroups/shop-prod/*' }", True),
        (METRIC, "resource_group: SHOP-PROD", True),
        (METRIC, "resource_group: [rg-cart, shop-*]", True),
        (METRIC, "resource_group: shop", False),
        (METRIC, "subscription: 5E2A8F31-0c4d-4b7e-9a66-2f1d3c7b8e90", True),
        (METRIC, "subscription: 5e2a*", True),
        (METRIC, "test: false", True),
        ("test-metric", "test: true", True),
        ("legacy-test", "test: true", True),
        (METRIC, "custom: { team: shop }", True),
        (METRIC, "custom: { TEAM: 'sh*', runbook: '*web-cpu' }", True),
        (METRIC, "custom: { team: shop, owner: '*' }", False),
        ("metric-one-of-many-targets.fired", "dimension: { microsoft.resourceid: '*/vm-batch-05' }", True),
        ("prometheus.fired", "dimension: { namespace: '*' }", True),
        (METRIC, "dimension: { Computer: '*' }", False),
        (METRIC, "text: short of cpu", True),
        (METRIC, "text: 'short*runbook'", True),
        (METRIC, "text: out of memory", False),
        ("activity-log-security", "event: { source: Security, severity: High }", True),
        ("activity-log-security", "event: { source: Security, severity: [Low, Medium] }", False),
        ("activity-log-administrative.failed", "event: { operation: '*/delete', status: Failed }", True),
        ("service-health-incident.active", "event: { kind: Incident, stage: Active }", True),
        ("resource-health.unavailable", "event: { health: Unavailable, cause: Platform Initiated }", True),
        (METRIC, "event: { status: '*' }", False),
        (METRIC, "not: { severity: Sev1 }", False),
        (METRIC, "not: { severity: Sev1, service: Prometheus }", True),
        (METRIC, "not: [{ severity: Sev4 }, { service: Platform }]", False),
        (METRIC, "service: Platform, not: { resource_group: '*-dev' }", True),
        (METRIC, "not: { not: { severity: Sev1 } }", True),
    ],
)
def test_a_match_fits_what_it_names(sample: str, match: str, *, expected: bool) -> None:
    assert applies(sample, match) is expected


def test_all_that_a_match_names_of_a_resource_has_to_be_of_one_resource() -> None:
    document = document_of(METRIC)
    group = "/subscriptions/5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90/resourceGroups/shop/providers"
    document["data"]["essentials"]["alertTargetIDs"] = [
        f"{group}/Microsoft.Compute/virtualMachines/vm-1",
        f"{group}/Microsoft.Sql/servers/sql-1/databases/orders",
    ]
    document["data"]["essentials"]["configurationItems"] = []

    assert applies(document, "resource: { type: Microsoft.Sql/servers/databases, name: orders }")
    assert applies(document, "resource: { name: sql-1/orders }")
    assert not applies(document, "resource: { type: Microsoft.Sql/*, name: vm-1 }")


def test_an_alert_without_anything_fits_only_what_asks_for_nothing() -> None:
    assert applies({}, "severity: none, condition: Fired")
    for match in (
        "service: Platform",
        "resource: '*'",
        "resource_group: '*'",
        "custom: { a: '*' }",
        "text: zzz",
        "event: { level: '*' }",
    ):
        assert not applies({}, match), match


def hostile(text: str) -> Any:
    document = document_of(METRIC)
    document["data"]["essentials"] |= {"alertRule": text, "description": text, "configurationItems": [text] * 50}
    document["data"]["customProperties"] = {f"{text[:50]}{number}": text for number in range(100)}
    return document


@pytest.mark.parametrize(
    "text", ["*" * 5000, "a" * 20_000, "{{ 7 * 191 }}", "\u202e" * 100, "/" * 3000, "\x00", "İ" * 500]
)
def test_no_text_of_an_alert_disturbs_a_match(text: str) -> None:
    said = ruling(
        hostile(text),
        "match: { rule: '*a*a*a*a*a*a*a*a*a*b', custom: { x: '*' } }, action: ignore",
        "match: { text: '*a*b*c*d*', resource: '*a*b*' }, action: ignore",
        "set: { u_text: '{{ rule }} {{ resource }}' }",
    )

    assert not said.is_ignored
    assert "1337" not in said.fields["u_text"]


def test_why_a_rule_does_not_apply_is_told() -> None:
    found = rules(
        "match: { severity: [Sev0, Sev4] }, action: ignore",
        "match: { custom: { owner: me } }, action: ignore",
        "match: { resource: { type: Microsoft.Sql/* } }, action: ignore",
        "match: { test: true }, action: ignore",
        "match: { during: w }, action: ignore",
        "match: { not: { service: Platform } }, action: ignore",
        "match: { resource_group: shop-prod }, stop: true",
        "action: ignore",
        before='windows: { w: { from: "01:00", to: "02:00" } }',
    ).explain(alert_of(METRIC), datetime(2026, 3, 1, 10, tzinfo=UTC))

    own = [(each.applies, each.reason) for each in found.verdicts if not each.is_built_in]
    assert own == [
        (False, "severity is sev1, not Sev0 or Sev4"),
        (False, "custom owner is unknown, not me"),
        (
            False,
            "resource is microsoft.compute/virtualmachines, not type Microsoft.Sql/*",
        ),
        (False, "it is no test"),
        (False, "2026-03-01 10:00 UTC is not during w"),
        (False, "not: it fits what is left out (service)"),
        (True, ""),
        (False, 'the rule "rule 7" stops before it'),
    ]
    assert not found.ruling.is_ignored


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_glob_fits_as_the_shell_has_it(pattern: str, text: str) -> None:
    assert fits_any([pattern])(text) == fnmatch.fnmatchcase(text, pattern)
    assert fits_any([pattern], anywhere=True)(text) == fnmatch.fnmatchcase(text, f"*{pattern}*")
    assert fits_any([pattern, "zz"])(text) == fnmatch.fnmatchcase(text, pattern)


def test_a_glob_walks_through_a_text_once() -> None:
    pattern, text = "*a" * 2_000 + "b", "a" * 20_000
    fits = fits_any([pattern])

    # A glob that went back would not end in this universe.
    assert not fits(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vm-1", ("vm-1", "", "", "")),
        ("/subscriptions/S/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm-1",
         ("vm-1", "Microsoft.Compute/virtualMachines", "rg", "S")),
        ("/subscriptions/S/resourcegroups/RG", ("RG", "", "RG", "S")),
        ("/subscriptions/S", ("S", "", "", "S")),
        ("/providers/Microsoft.Sql/servers/sql", ("sql", "Microsoft.Sql/servers", "", "")),
        ("/subscriptions", ("/subscriptions", "", "", "")),
        ("/subscriptions/S/resourceGroups", ("resourceGroups", "", "", "S")),
        ("", ("", "", "", "")),
        ("///", ("///", "", "", "")),
    ],
)  # fmt: skip
def test_a_resource_is_known_by_the_parts_of_its_id(text: str, expected: tuple[str, ...]) -> None:
    found = resource_of(text)

    assert (found.name, found.type, found.group, found.subscription) == expected
