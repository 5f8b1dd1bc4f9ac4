import json
from typing import Any

import pytest

from itsm_bridge.migration.ticket import Mode, read
from tests.migration.estate import FIELDS, ticket

DOCUMENTED = (
    '{"PayloadRevision":0,"WorkItemType":"Incident","UseTemplate":false,"WorkItemData":"{}","CreateOneWIPerCI":false}'
)
OF_POWERSHELL = (
    "{ 'PayloadRevision':0, 'WorkItemType':'Incident', 'UseTemplate':false,"
    "'WorkItemData':'{}','CreateOneWIPerCI':false}"
)


@pytest.mark.parametrize("text", [DOCUMENTED, OF_POWERSHELL, json.dumps(DOCUMENTED), f"  {DOCUMENTED}\n"])
def test_the_documented_configuration_is_read_however_it_is_quoted(text: str) -> None:
    said = read(text)

    assert (said.work_item_type, said.mode, said.uses_template, said.fields) == ("Incident", Mode.PER_RULE, False, {})
    assert (said.fault, said.unknown) == ("", {})


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ({"CreateOneWIPerCI": True}, Mode.PER_CONFIGURATION_ITEM),
        ({"CreateOneWIPerCI": "true"}, Mode.PER_CONFIGURATION_ITEM),
        ({"CreateOneWIPerCI": False}, Mode.PER_RULE),
        ({"CreateOneWIPerCI": True, "CreateOneWIPerLog": True}, Mode.PER_LOG_ENTRY),
        ({"CreateOneWIPerCI": ..., "CreateMultipleWorkItems": True}, Mode.PER_CONFIGURATION_ITEM),
        ({"CreateOneWIPerCI": ..., "CreateMultipleWorkItems": False}, Mode.PER_RULE),
        ({"CreateOneWIPerCI": ...}, Mode.PER_RULE),
    ],
)
def test_each_mode_is_known(said: dict[str, Any], mode: Mode) -> None:
    assert read(ticket(**said)).mode is mode


def test_a_mode_that_is_not_said_is_told() -> None:
    assert any("is not said" in each for each in read(ticket(CreateOneWIPerCI=...)).remarks)
    assert any("taken for" in each for each in read('{"CreateMultipleWorkItems": true}').remarks)


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(FIELDS),
        FIELDS,
        str(FIELDS),
        json.dumps(json.dumps(FIELDS)),
        {name: {"value": value, "display": "as people see it"} for name, value in FIELDS.items()},
    ],
)
def test_fields_are_read_from_text_in_text_and_from_objects(data: object) -> None:
    assert read(ticket(WorkItemData=data)).fields == FIELDS


def test_fields_that_cannot_be_read_are_quoted() -> None:
    said = read(ticket(WorkItemData="{impact"))

    assert (said.fields, said.fault) == ({}, "")
    assert any("{impact" in each for each in said.remarks)


def test_keys_that_nobody_knows_are_kept_and_told() -> None:
    said = read(ticket(Colour="blue", Nested={"a": [1]}))

    assert said.unknown == {"Colour": "blue", "Nested": {"a": [1]}}
    assert any("Colour, Nested" in each for each in said.remarks)


def test_another_revision_is_told() -> None:
    assert any("PayloadRevision is 7" in each for each in read(ticket(PayloadRevision=7)).remarks)
    assert not read(ticket(PayloadRevision=None)).remarks


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (None, "empty"),
        ("{}", "says nothing"),
        ('{"PayloadRevision":0,', "not JSON"),
        ("[1]", "list in place of an object"),
        ("7", "int in place of an object"),
        (7, "int in place of a text"),
        ("{'a': __import__('os')}", "not JSON"),
        ("(" * 300, "not JSON"),
        ("\x00", "not JSON"),
    ],
)
def test_what_says_nothing_says_why(text: object, fault: str) -> None:
    assert fault in read(text).fault


def test_words_within_quotes_stay_as_they_are() -> None:
    said = read("{'WorkItemData': '{\"close_notes\": \"true, it\\\\u0027s null\"}', 'UseTemplate': true,}")

    assert said.uses_template
    assert said.fields == {"close_notes": "true, it's null"}
