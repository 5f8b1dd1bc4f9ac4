"""A rules file is read whole: each fault with its place, what is wrong, and what to write instead."""

import codecs
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from itsm_bridge.app import built_in_text
from itsm_bridge.rules.faults import MOST_FAULTS
from itsm_bridge.rules.nodes import LONGEST
from tests.rules.files import faults, told

HEAD = "version: 1\nrules:\n"
KEYS = [
    *("name", "match", "set", "severity", "not", "during", "event", "resource", "storm", "lifecycle", "hold"),
    *("correlate", "per", "within", "from", "to", "cron", "lasts", "custom", "days", "by_severity", "because"),
]


def rule(body: str) -> str:
    """A file with one rule, whose body begins in line 4."""
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return f"{HEAD}  - name: one\n{lines}\n"


def test_a_file_without_fault_has_none() -> None:
    assert told(rule("action: ignore")) == []
    assert told("version: 1") == []


def test_all_faults_are_told_at_once_each_at_its_place() -> None:
    source = """version: 2
defaults:
  sets: { category: software }
rules:
  - name: shop
    match: { severty: Sev1, severity: Sev9, resource_group: /subscriptions/1 }
    set: { priority: 1, assignment_group: Shop, short_description: "{{ severty }}" }
    lifecycle: { hold: 2d, auto_resolve: maybe }
  - name: Shop
    match: { during: patch night }
    stop: yes
"""

    assert told(source) == [
        "1:10: '2' is not known here (known: 1)",
        "3:3: the key 'sets' is not known here (did you mean set?)",
        "6:14: the key 'severty' is not known here (did you mean severity?)",
        "6:39: 'Sev9' can never match (did you mean Sev4?)",
        "6:61: '/subscriptions/1' can never match a group (write its name alone, without /subscriptions/…)",
        "7:12: no rule may set priority (ServiceNow computes it from impact and urgency: set those)",
        "7:43: assignment_group names another record (write { name: Shop }, or its sys_id of 32 digits)",
        "7:68: a template has no name 'severty' (did you mean severity?)",
        "8:24: 2d is too long (at most 1d)",
        "8:42: 'maybe' is not known here (known: note, off, resolve)",
        "9:11: another rule is called 'Shop' too (it is in line 5; say what this one is about)",
        "10:22: there is no window 'patch night' (add it under windows, with from and to, or days, or cron and lasts)",
        "11:11: 'yes' is neither true nor false (write true or false)",
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("match: { service: Plattform }", "4:23: 'Plattform' can never match (did you mean Platform?"),
        ("match: { service: [] }", "4:23: the list is empty"),
        ("match: { service: { a: b } }", "4:23: a mapping stands here (write a text or a list (- …))"),
        ("match: { service: }", "4:23: nothing stands here"),
        ('match: { rule: " " }', "4:20: an empty text fits nothing"),
        ("match: { resource: { type: virtualMachines } }", "4:32: 'virtualMachines' can never match a type"),
        ("match: { resource: { id: vm-1 } }", "4:30: 'vm-1' can never match an id"),
        ("match: { subscription: production }", "4:28: 'production' can never match a subscription"),
        ("match: { resource_group: 'a b' }", "4:30: 'a b' can never match a group"),
        ("match: { condition: Fire }", "4:25: 'Fire' can never match (did you mean Fired?)"),
        ("match: { not: {} }", "4:19: the rule can never match"),
        ("match: { not: { during: x } }", "4:29: there is no window 'x'"),
        ("match: [a]", "4:12: a list stands here"),
        ("set: { sys_id: x }", "4:12: no rule may set sys_id"),
        ("set: { sys_created_by: x }", "4:12: no rule may set 'sys_created_by'"),
        ("set: { Assignment Group: x }", "4:12: 'Assignment Group' is no name of a field"),
        ("set: { work_notes: x }", "4:12: no rule may set work_notes"),
        ("set: { caller_id: { user_name: a, email: b } }", "4:23: a reference names one field"),
        ("set: { caller_id: {} }", "4:23: a reference names one field"),
        ('set: { caller_id: { user_name: "" } }', "4:36: the reference names nothing"),
        ("set: { caller_id: { User: a } }", "4:25: 'User' is no name of a field"),
        ("set: { caller_id: { user_name: '{{ custom | x }}' } }", "4:36: there is no filter 'x'"),
        ("set: { category: [a] }", "4:22: a list stands here"),
        ("set: { category: ~ }", "4:22: nothing stands here"),
        ("lifecycle: { hold: soon }", "4:24: 'soon' is no duration"),
        ("lifecycle: { close_after: 1m }", "4:31: 1m is too short (at least 5m, never)"),
        ("correlate: { within: 1h }", "4:16: per is missing (write per: alert | event | resource | rule)"),
        ("storm: on", "4:12: 'on' is not known here"),
        ("storm: { more_than: 0, within: 5m }", "4:25: '0' is no number that fits (1 to 100,000)"),
        ("storm: { more_than: ٣, within: 5m }", "4:25: '٣' is no number that fits"),
        ("action: drop", "4:13: 'drop' is not known here (known: ignore, incident, shadow)"),
        ("because: so it is", "4:5: there is no severity beside because"),
        (
            "stop: true\naction: ignore\n#\nstop: false",
            "7:5: 'stop' stands here twice (the first is in line 4; keep one)",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_where_it_stands(body: str, fault: str) -> None:
    found = told(rule(body))

    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize(
    ("window", "fault"),
    [
        ("{}", "3:6: the window does not say from when to when"),
        ('{ from: "22:00" }', "3:6: the window does not say from when to when"),
        ('{ from: "22:00", to: "22:00" }', "3:6: the window ends when it begins"),
        ('{ from: "22:00", to: 2026-01-01T00:00 }', "3:6: one end is a time of day, the other a date"),
        ("{ from: 2026-01-02T00:00, to: 2026-01-01T00:00 }", "3:6: the window ends before it begins"),
        ("{ days: [Mon], from: 2026-01-01T00:00, to: 2026-01-02T00:00 }", "3:6: days go with times of day"),
        ('{ from: "25:00", to: "26:00" }', "3:14: '25:00' is no time"),
        ("{ days: [Montag] }", "3:15: 'Montag' is not known here (did you mean Mon?)"),
        ("{ days: [] }", "3:14: the list is empty"),
        ('{ cron: "0 22 * *", lasts: 1h }', "3:14: '0 22 * *' has 4 fields"),
        ('{ cron: "0 22 * * *" }', "3:6: cron and lasts go together"),
        ('{ cron: "0 22 * * *", lasts: 1h, days: [Mon] }', "3:6: a schedule has no days, from or to"),
        ("{ days: [Mon], time_zone: Europe/Berlim }", "3:32: 'Europe/Berlim' is no time zone (did you mean Europe/"),
        ("{ days: [Mon], time_zone: ../../etc/passwd }", "3:32: '../../etc/passwd' is no time zone"),
        ("[]", "3:6: the window 'w' is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_window_is_told(window: str, fault: str) -> None:
    found = told(f"version: 1\nwindows:\n  w: {window}\n")

    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("", "1:1: the file is empty (begin with version: 1)"),
        ("# nothing\n", "1:1: the file is empty"),
        ("~", "1:1: the file is empty"),
        ("rules: []", "1:1: version is missing (write version: 1)"),
        ("just words", "1:1: a text stands here (write a mapping with version, defaults, windows, rules)"),
        ("- a\n- b", "1:1: a list stands here"),
        ("version: 1\nrules:\n\t- name: x\n", "3:1: a tab indents this line (use spaces)"),
        ("version: 1\n---\nversion: 1\n", "2:1: a second document begins"),
        ("version: 1\nrules: [\n", "3:1: did not find expected node content"),
        ("version: 1\nrules: {{ a }}\n", "2:8: a mapping stands here"),
        ("version: !!python/object:os 1", "1:10: the tag 'tag:yaml.org,2002:python/object:os' means"),
        ("version: 1\nrules:\n  - name: a: b\n", "3:12: mapping values are not allowed in this context"),
        ("version: 1\nx: *nobody\n", "2:4: there is no &nobody before"),
        ("version: 1\nx: &a [*a]\n", "2:8: *a stands within the value that it names"),
        ("version: 1\nx: {<<: 1}\n", "2:9: a merge key (<<) has no mapping behind it"),
        ("version: 1\n? [a, b]\n: c\n", "2:3: a key is a list or a mapping"),
        ("version: 1\nx: \x00\n", "2:4: the character U+0000 cannot stand in a YAML file"),
        ("version: 1\nx: \ud800\n", "2:4: the character U+D800 cannot stand in a YAML file"),
        (codecs.BOM_UTF16_LE + "version: 1".encode("utf-16-le"), "1:1: the file is in UTF-16 (save it as UTF-8)"),
        ("version: 1 # gr\u00fcn".encode("latin-1"), "1:16: the file is not in UTF-8"),
        (b"x" * (LONGEST + 1), "1:1: the file has 1,048,577 bytes, and 1,048,576 is the most"),
        ("[" * 500, "1:22: it is nested deeper than 20 levels"),
        ("[" * 100_000, "1:1001: exceeded maximum nesting depth"),
        ("x: " * 3 + "\n", "1:5: mapping values are not allowed in this context"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_form_of_a_file_is_told(source: str | bytes, fault: str) -> None:
    found = told(source)

    assert any(each.startswith(fault) for each in found), found


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault() -> None:
    source = rule("action: ignore").replace("\n", "\r\n")

    assert told(codecs.BOM_UTF8 + source.encode()) == []
    assert told("\ufeff" + source) == []


def test_aliases_and_merge_keys_work_and_cannot_explode() -> None:
    shared = """version: 1
rules:
  - &shop { name: a, match: &where { resource_group: shop-* }, action: ignore }
  - { <<: *shop, name: b }
  - { name: c, match: *where, action: ignore }
"""
    levels = "\n".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))
    laughs = f"version: 1\nx:\n  - &a0 [lol, lol]\n{levels}\n"

    assert told(shared) == []
    assert told(laughs)[0].endswith(
        "the file holds more than 200,000 values, with what its aliases repeat (use fewer aliases)"
    )


def test_words_of_yaml_1_1_stay_words() -> None:
    source = rule("lifecycle: { auto_resolve: off }\nset: { u_start: 22:30, u_day: 2026-12-01, u_code: 007, u_on: on }")

    assert told(source) == []


def test_a_rule_behind_one_that_stops_all_is_told() -> None:
    source = f"{HEAD}  - {{ name: a, stop: true }}\n  - {{ name: b, action: ignore }}\n"

    (fault,) = told(source)
    assert fault.startswith("4:5: no alert reaches this rule: the one in line 3 fits all alerts and stops")


@pytest.mark.parametrize("name", ["built-in", "Defaults"])
def test_a_rule_cannot_speak_in_the_name_of_the_program(name: str) -> None:
    assert "a rule cannot be called" in told(f"{HEAD}  - {{ name: {name}, action: ignore }}\n")[0]


def test_a_rule_that_says_nothing_is_told() -> None:
    assert told(f"{HEAD}  - name: a\n    match: {{ test: true }}\n")[0].startswith("3:5: the rule says nothing")


def test_many_faults_are_told_up_to_a_number() -> None:
    found = faults(HEAD + "".join(f"  - {{ name: r{n}, action: x{n} }}\n" for n in range(MOST_FAULTS * 3)))

    assert len(found) == MOST_FAULTS


def test_thousands_of_windows_and_rules_are_compared_in_no_more_than_their_number() -> None:
    windows = "".join(f"  w{n}: {{ days: [Mon] }}\n" for n in range(6_000))
    rules = "".join(f"  - {{ name: r{n}, match: {{ during: v{n} }}, action: ignore }}\n" for n in range(6_000))

    found = faults(f"version: 1\nwindows:\n{windows}rules:\n{rules}")

    assert len(found) == MOST_FAULTS
    assert {fault.message.split("'")[0] for fault in found} == {"there is no window "}


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.binary(), st.text(alphabet="{}[]:-,&*!|>'\"#%@`~ \n\tab<")))
@example("a: &a\n  b: *a")
@example("? ? ?")
@example("{{")
def test_any_text_is_a_file_or_has_faults(source: str | bytes) -> None:
    for fault in faults(source):
        assert fault.line >= 1
        assert fault.column >= 1
        assert fault.message.isprintable()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_a_right_file_leaves_it_right_or_faulty(data: st.DataObject) -> None:
    text = built_in_text()
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(st.text(max_size=12))

    for fault in faults(text[:at] + put + text[at + cut :]):
        assert fault.line >= 1


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        ),
        max_leaves=25,
    )
)
def test_any_tree_in_the_place_of_rules_has_faults_and_raises_nothing(tree: object) -> None:
    for fault in faults(json.dumps({"version": 1, "rules": tree, "windows": tree, "defaults": tree})):
        assert fault.column >= 1
