import json
import re
from typing import Any

import pytest

from itsm_bridge.azure_monitor import json_body as document
from itsm_bridge.azure_monitor.json_body import Section, digest_of, leaves, load, text_of
from itsm_bridge.errors import InvalidAlert


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "The body is empty."),
        (b" \r\n\t", "The body is empty."),
        (b"\x00\x00", "The body is empty."),
        (b"[]", "The body is not a JSON object."),
        (b'"alert"', "The body is not a JSON object."),
        (b"null", "The body is not a JSON object."),
        (b"17", "The body is not a JSON object."),
        (b"NaN", "The body is not a JSON object."),
        (b"{", "The body is not JSON: Expecting property name enclosed in double quotes at character 1."),
        (b"<html>", "The body is not JSON: Expecting value at character 0."),
        (b"{} {}", "The body is not JSON: Extra data at character 3."),
        (b"[" * 200_000, "The body is not a JSON object."),
        (b'{"a":' * 200_000, "The body is not a JSON object."),
        (b"[" * 500 + b"]" * 500, "The body is not a JSON object."),
    ],
)
def test_what_is_no_json_object_is_refused_in_a_sentence(body: bytes, expected: str) -> None:
    with pytest.raises(InvalidAlert, match="^" + re.escape(expected)):
        load(body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    assert load('{"name": "Zürich"}'.encode(encoding)) == {"name": "Zürich"}


def test_bytes_that_are_no_text_cost_a_character_and_not_the_alert() -> None:
    assert load(b'{"name": "Z\xfcrich"}') == {"name": "Z�rich"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (rb'{"a": "\ud83d"}', {"a": "�"}),
        (rb'{"\udc00": "x\ude00\ud83dy"}', {"�": "x�y"}),
        (rb'{"a": "\\ud83d"}', {"a": "\\ud83d"}),
        (b'{"a": "tab\tand\nline"}', {"a": "tab\tand\nline"}),
        (b'{"a": 1, "a": 2}', {"a": "2"}),
        (b'{"a": NaN, "b": -Infinity}', {"a": "NaN", "b": "-Infinity"}),
        (b'{"a": 1.50, "b": 1e999, "c": -0}', {"a": "1.50", "b": "1e999", "c": "-0"}),
        (b'{"a": true, "b": null}', {"a": True, "b": None}),
    ],
)
def test_every_value_of_json_is_read(body: bytes, expected: dict[str, Any]) -> None:
    assert load(body) == expected


def test_a_number_of_a_million_digits_is_read() -> None:
    assert load(b'{"a": ' + b"9" * 1_000_000 + b"}") == {"a": "9" * 1_000_000}


def nested(depth: int) -> str:
    return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_an_object_is_taken_apart_to_a_depth_of_100() -> None:
    assert load(nested(100).encode()) == json.loads(nested(100))
    assert load(nested(101).encode()) == {"body": nested(101)}


def test_brackets_in_texts_are_no_depth() -> None:
    body = json.dumps({"a": "[{" * 500 + '\\"' * 3})

    assert load(body.encode()) == json.loads(body)


def test_an_object_with_more_values_than_an_alert_holds_is_kept_as_text() -> None:
    body = json.dumps({"a": ["x"] * 80_001})

    assert load(body.encode()) == {"body": body}


def test_the_depth_is_measured_without_reading_a_text_twice() -> None:
    # Every quotation mark would start a search to the end, if unterminated texts were not taken as texts.
    pieces = document._STRING.findall('"' + '\\"' * 1000)

    assert len(pieces) == 1


def test_the_digest_knows_no_order_of_names_and_no_white_space() -> None:
    assert digest_of(load(b'{"a": 1, "b": [2]}')) == digest_of(load(b'{"b":[2],"a":1}'))
    assert digest_of(load(b'{"a": 1}')) != digest_of(load(b'{"a": 2}'))


def test_a_section_finds_names_in_any_case() -> None:
    section = Section({"alertRuleID": "one", "Fired": True, "count": "3"})

    assert section.text("alertRuleId") == "one"
    assert section.text("fired") == "true"
    assert section.text("absent", "COUNT") == "3"
    assert section.has("FIRED")


@pytest.mark.parametrize("value", [None, "None", "text", [1], True, {}])
def test_a_section_without_an_object_is_empty(value: object) -> None:
    section = Section(value)

    assert not section
    assert section.text("a") == ""
    assert section.section("a").texts("b") == ()
    assert section.sections("a") == ()


def test_a_section_reads_json_that_was_sent_as_text() -> None:
    section = Section({"list": '[{"name": "a"}, 1, {"name": "b"}]', "object": ' {"x": "y"}', "broken": '{"x": '})

    assert [each.text("name") for each in section.sections("list")] == ["a", "b"]
    assert section.section("object").text("x") == "y"
    assert not section.section("broken")


def test_a_lone_value_counts_as_a_list_of_one() -> None:
    section = Section({"ids": "one", "parts": {"name": "a"}})

    assert section.texts("ids") == ("one",)
    assert [each.text("name") for each in section.sections("parts")] == ["a"]


def test_the_leaves_are_the_scalars_in_their_order() -> None:
    value = {"b": [{"x": "1"}, "2"], "a": {"empty": {}, "none": None, "yes": True}}

    assert list(leaves(value)) == [("b.1.x", "1"), ("b.2", "2"), ("a.yes", "true")]


def test_only_so_many_values_are_looked_through() -> None:
    assert list(leaves([{}] * 10_000 + ["last"])) == []


@pytest.mark.parametrize("word", ["None", "null", "N/A", "-", " none ", "NULL", "n/a"])
def test_a_word_for_nothing_reads_as_empty(word: str) -> None:
    section = Section({"a": word, "b": "x", "list": [word, "x"]})

    assert section.text("a") == ""
    assert section.text("a", "b") == "x"
    assert section.texts("list") == ("x",)
    assert not section.has("a")
    assert section.has("a", "b")


@pytest.mark.parametrize("word", ["None of them", "nullable", "--", "N", "no", "Na", "0", "false"])
def test_a_word_that_only_looks_like_nothing_is_read(word: str) -> None:
    assert Section({"a": word}).text("a") == word
    assert Section({"a": word}).has("a")


def test_a_word_for_nothing_is_a_value_where_the_sender_says_what_it_is_of() -> None:
    assert text_of("None") == "None"
    assert Section({"Team": "None"}).scalars() == {"Team": "None"}
    assert list(leaves({"a": "-"})) == [("a", "-")]
