"""Templates have the words of the alert and no power: what is not harmless is found when the file is checked."""

import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.rules.sandbox import template_of, trouble_of
from itsm_bridge.rules.subject import Subject
from itsm_bridge.rules.templates import Failed, trouble_of_template
from itsm_bridge.rules.templates import template_of as any_template_of
from itsm_bridge.rules.values import MOST, NAMES, Values
from tests.alert_files import NAMES as SAMPLES
from tests.alert_files import alert_of, document_of
from tests.builders import NOW, ruled

METRIC = "metric-static.fired"
GROUP = "/subscriptions/5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90/resourcegroups/shop-prod"
ID = f"{GROUP}/providers/microsoft.compute/virtualmachines/vm-web-01"


def values(sample: Any = METRIC) -> Values:
    alert = alert_of(sample)
    return Values(Subject(alert, ruled(alert).wording, NOW))


def rendered(text: str, sample: Any = METRIC) -> str:
    assert trouble_of_template(text) is None
    return any_template_of(text).render(values(sample))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain } text {", "plain } text {"),
        ("{{ severity }} {{ rule }} on {{ resource }}", "Sev1 High CPU on web servers on vm-web-01"),
        ("{{severity}}{{ resource.name }}", "Sev1vm-web-01"),
        ("{{ alert.rule }}|{{ alert.signal }}|{{ alert.condition }}", "High CPU on web servers|Metric|Fired"),
        ("{{ resource.id }}", ID),
        ("{{ resource.type }}|{{ resource.group }}", "microsoft.compute/virtualmachines|shop-prod"),
        ("{{ resources }}", "vm-web-01"),
        ("{{ service }}", "Platform"),
        ("{{ custom.team }}|{{ custom.TEAM }}|{{ custom.nothing }}", "Shop|Shop|"),
        ("{{ custom }}", "Team: Shop, Runbook: https://wiki.contoso.example/web-cpu"),
        ("{{ fired_at }}", "2026-03-14 02:41:07 UTC"),
        ("{{ measured }}", "97.4167 %"),
        ("{{ headline }}", "Percentage CPU above 90 % on vm-web-01"),
        ("{{ story }}", ""),
        # From here on it is Jinja2's.
        ('{{ custom["Team"] }}', "Shop"),
        ("{{ resources[0].name }}{{ resources[7].name }}", "vm-web-01"),
        ("{{ headline | truncate(10) }}", "Percentag…"),
        ("{{ custom.owner | default('nobody') | upper }}", "NOBODY"),
        ('{{ fired_at | time_zone("Europe/Berlin") }}', "2026-03-14 03:41:07 CET"),
        ("{{ alert.id | subscription }}", "5e2a8f31-0c4d-4b7e-9a66-2f1d3c7b8e90"),
        ("{{ resource.id | resource_name }}|{{ resource.id | resource_group }}", "vm-web-01|shop-prod"),
        ("{{ resource | resource_type }}", "microsoft.compute/virtualmachines"),
        ('{{ "5368709120" | unit("bytes") }}', "5 GiB (5,368,709,120 bytes)"),
        ('{{ "12345" | number }}', "12,345"),
        ('{{ rule | replace("High CPU", "Load") | lower | capitalize }}', "Load on web servers"),
        ('{{ " a  b " | trim }}|{{ " a  b " | one_line }}', "a  b|a b"),
        ("{{ resources | length }}{{ custom | length }}", "12"),
        ('{{ custom | join(" / ") }}', "Team: Shop / Runbook: https://wiki.contoso.example/web-cpu"),
        ("{% if severity == 'Sev1' %}urgent{% else %}later{% endif %}", "urgent"),
        ("{% if severity in ['Sev0', 'Sev1'] and 'web' in resource.name %}web{% endif %}", "web"),
        ("{% if 'Team' in custom %}{{ custom.Team }}{% endif %}", "Shop"),
        ("{{ {'Sev0': 'high', 'Sev1': 'medium'}[severity] }}", "medium"),
        ("{{ {'Sev0': 'high'}[severity] }}", ""),
        ("{{ 'a' if measured else 'b' }}{{ severity ~ '-' ~ 1 }}", "aSev1-1"),
        ("{% for each in custom %}{{ loop.index }} {{ each.name }}={{ each.value }};{% endfor %}",
         "1 Team=Shop;2 Runbook=https://wiki.contoso.example/web-cpu;"),
        ("{% for each in custom if each.name == 'Team' %}{{ each.value }}{% else %}none{% endfor %}", "Shop"),
        ("{% for each in dimensions %}x{% else %}none{% endfor %}", "none"),
        ("{# a remark #}a\n", "a\n"),
    ],
)  # fmt: skip
def test_a_template_says_what_the_alert_says(text: str, expected: str) -> None:
    assert rendered(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ severty }}", "a template has no name 'severty'"),
        ("{{ resource.nam }}", "resource has no 'nam'"),
        ("{{ resources.name }}", "resources has no 'name'"),
        ("{{ severity.upper }}", "severity has no 'upper'"),
        ("{{ severity.upper() }}", "a call is not allowed"),
        ("{{ resource.__class__ }}", "resource has no '__class__'"),
        ("{{ ''.__class__.__mro__ }}", "this value has no '__class__'"),
        ("{{ ''['__class__'] }}", "this value has no '__class__'"),
        ("{{ resource['__init__'] }}", "resource has no '__init__'"),
        ("{{ custom.items() }}", "a call is not allowed"),
        ("{{ self }}", "a template has no name 'self'"),
        ("{{ range(10**9) }}", "a call is not allowed"),
        ("{{ 'a' * 1000000000 }}", "the operator * is not allowed"),
        ("{{ 9 ** 9 ** 9 }}", "the operator ** is not allowed"),
        ("{{ '%1000000000d' % 1 }}", "the operator % is not allowed"),
        ("{{ 'a' + 'b' }}", "the operator + is not allowed"),
        ("{{ rule[0:4] }}", "what stands in [ ] is no constant"),
        ("{{ custom[severity] }}", "what stands in [ ] is no constant"),
        ("{% for a in resources %}{% for b in resources %}x{% endfor %}{% endfor %}", "a loop within a loop"),
        ("{% for a in 'abc' %}x{% endfor %}", "there is nothing to go through"),
        ("{% for a in severity %}x{% endfor %}", "there is nothing to go through"),
        ("{% for a, b in custom %}x{% endfor %}", "a loop has one name"),
        ("{% for a in custom recursive %}{{ loop(a) }}{% endfor %}", "a loop has one name"),
        ("{% for a in custom %}{{ loop.__init__ }}{% endfor %}", "loop has no '__init__'"),
        ("{% for a in custom %}{{ loop.cycle }}{% endfor %}", "loop has no 'cycle'"),
        ("{% for a in custom %}{% endfor %}{{ a }}", "a template has no name 'a'"),
        ("{% set a = severity %}{{ a }}", "set is not allowed"),
        ("{% macro m() %}{% endmacro %}", "macro is not allowed"),
        ("{% include 'x' %}", "include is not allowed"),
        ("{% import 'os' as o %}", "import is not allowed"),
        ("{% extends 'x' %}", "extends is not allowed"),
        ("{% block b %}{% endblock %}", "block is not allowed"),
        ("{% raw %}{{ a }}{% endraw %}{% with %}{% endwith %}", "with is not allowed"),
        ("{% filter upper %}a{% endfilter %}", "filterblock is not allowed"),
        ("{{ severity | safe }}", "there is no filter 'safe'"),
        ("{{ severity | attr('x') }}", "there is no filter 'attr'"),
        ("{{ severity | map('upper') }}", "there is no filter 'map'"),
        ("{{ severity | truncate }}", "the filter truncate takes 1 values"),
        ("{{ severity | truncate(severity) }}", "a value of the filter truncate is no constant"),
        ("{{ severity | truncate(0) }}", "truncate: 0 is no length"),
        ("{{ severity | truncate(length=4) }}", "the filter truncate stands wrong"),
        ("{{ severity | replace('', 'x') }}", "replace: the text to look for is empty"),
        ("{{ severity | time_zone('Mars/Base') }}", "time_zone: 'Mars/Base' is no time zone"),
        ("{{ severity | unit('parsec') }}", "unit: 'parsec' is no unit"),
        ("{{ severity is callable }}", "there is no test 'callable'"),
        # Jinja2 tells odd by %, which formats where the value is a text: that of the alert would be the format.
        ("{{ custom.team is odd }}", "there is no test 'odd'"),
        ("{{ severity", "the template is wrong"),
        ("{% if severity %}", "the template is wrong"),
        ("{{ }}", "the template is wrong"),
        ("{{ severity }} {% nonsense %}", "the template is wrong"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "the template is nested too deep"),
        ("{{ " + "not " * 300 + "1 }}", "the template is nested deeper"),
        ("{% if 1 %}" * 60 + "{% endif %}" * 60, "the template is nested deeper"),
        ("{{ 1 " + "if 1 else 1 " * 500 + "}}", "the template is nested"),
        ("{{ {severity: 1} }}", "a key in { } is no constant"),
        ("{{ {'a': cycler} }}", "a template has no name 'cycler'"),
    ],
)  # fmt: skip
def test_what_a_template_cannot_do_is_told_at_once(text: str, message: str) -> None:
    trouble = trouble_of_template(text)

    assert trouble is not None
    assert trouble.message.startswith(message), trouble


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_name_has_a_text_for_every_alert(sample: str) -> None:
    found = values(sample)
    paths: list[tuple[str, ...]] = [
        (name, each) for name, shape in NAMES.items() for each in shape.fields if shape.kind == "object"
    ]

    for path in (*paths, *((name,) for name in NAMES)):
        assert isinstance(any_template_of(f"{{{{ {'.'.join(path)} }}}}").render(found), str)


@pytest.mark.parametrize(
    "text", ["{{ severity }}-{{ resource.name }}", "{{ custom.Team }}", "{{ resources }}", "{{ links.Alert }}"]
)
def test_names_alone_say_the_same_without_the_template_engine(text: str) -> None:
    assert trouble_of(text) is None
    assert template_of(text).render(values()) == rendered(text)


def test_the_words_of_an_alert_are_never_a_template() -> None:
    document = document_of(METRIC)
    document["data"]["customProperties"] = {"team": "{{ severity }}{% for a in custom %}x{% endfor %}"}

    assert rendered("{{ custom.team }}", document) == "{{ severity }}{% for a in custom %}x{% endfor %}"
    assert rendered("{{ custom.team | trim }}", document) == "{{ severity }}{% for a in custom %}x{% endfor %}"


def huge() -> Any:
    document = document_of(METRIC)
    document["data"]["customProperties"] = {f"name {number}": "ab" * 9_000 for number in range(100)}
    document["data"]["essentials"]["description"] = "ab" * 9_000
    return document


def test_a_template_that_makes_too_much_gives_no_text() -> None:
    text = "{% for each in custom %}{{ each.value }}{{ alert.description }}{% endfor %}"

    with pytest.raises(Failed, match="it makes more than 20,000 characters"):
        rendered(text, huge())


@pytest.mark.parametrize(
    "text",
    ["{{ custom | join('-') }}", "{{ custom }}", "{{ alert.description | replace('a', '" + "x" * 5000 + "') }}"],
)
def test_no_part_of_a_template_makes_more_than_the_whole_may(text: str) -> None:
    assert len(rendered(text, huge())) <= MOST


def test_a_chain_of_long_values_stays_small() -> None:
    text = "{% if " + " ~ ".join(["custom"] * 900) + " %}a{% endif %}"

    tracemalloc.start()
    assert rendered(text, huge()) == "a"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000_000


def test_names_alone_make_no_more_either() -> None:
    with pytest.raises(Failed, match="it makes more than 20,000 characters"):
        rendered("{{ custom }}{{ custom }}", huge())


def test_a_failure_says_what_failed_and_nothing_of_the_alert() -> None:
    with pytest.raises(Failed, match=r"^it fails with TypeError$"):
        template_of("{{ custom < 1 }}").render(values())


WORDS = [
    *NAMES,
    *[
        "loop",
        "each",
        "for",
        "in",
        "if",
        "endif",
        "endfor",
        "else",
        "truncate",
        "default",
        "join",
        "name",
        "value",
        "__class__",
        "is",
        "not",
        "0",
    ],
    *["{{", "}}", "{%", "%}", "{#", "#}", "|", ".", "[", "]", "(", ")", "'", '"', "~", "*", ",", ":", "{", "}"],
]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), st.text("{}%#|. a'\"[]()", max_size=30)))
def test_any_text_is_a_template_or_told_and_never_harms(text: str) -> None:
    if trouble_of_template(text) is None:
        with suppress(Failed):
            assert len(any_template_of(text).render(values())) <= MOST
