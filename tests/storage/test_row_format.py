import json
from datetime import timedelta

import pytest

from itsm_bridge.errors import Damaged, NewerVersion
from itsm_bridge.reconcile.followed import Followed, FollowedAlert, Handling
from itsm_bridge.reconcile.work import Note, Step
from itsm_bridge.storage.row_format import VERSION, aside, from_entity, is_key, to_entity
from tests.builders import HOUR, KEY, NOW, changed, known_record, notification, record, resolved, told, worked


def test_a_record_comes_back_as_it_was() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + HOUR, digest="anew"))
    row = changed(row, in_doubt_until=NOW, failing_since=NOW - timedelta(microseconds=1), last_error="ü \U0001f525")
    row = worked(row, "done", Step(at=NOW, action="create", reason="alert fired", result="ü", times=3))

    assert from_entity(to_entity(row), etag="e") == changed(row, etag="e")


def test_a_long_record_is_cut_into_pieces_that_a_property_can_hold() -> None:
    row = record(notes=tuple(Note(revision=n, text="\U0001f525" * 3000) for n in range(20)))

    entity = to_entity(row)

    assert max(len(value) for value in entity.values() if isinstance(value, str)) <= 32_768
    assert from_entity(entity, etag="").work.notes == row.work.notes


def test_a_row_of_another_version_is_read() -> None:
    entity = to_entity(record())
    entity["document_0"] = entity["document_0"].replace('"attempts":0,', '"of a newer version":1,')
    newer = '"steps":[{"at":"2026-03-01T10:00:00+00:00","action":"a","reason":"r","result":"x","newer":1}]'
    entity["document_0"] = entity["document_0"].replace('"steps":[]', newer)

    assert from_entity(entity, etag="").work.attempts == 0
    assert from_entity(entity, etag="").work.steps == (Step(at=NOW, action="a", reason="r", result="x"),)


def test_what_a_newer_version_wrote_is_kept_when_this_one_writes_the_row() -> None:
    entity = to_entity(record())
    document = json.loads(entity["document_0"])
    document["fence"] = 7
    document["desired"]["signals"]["alert-1"]["sequence"] = 12
    entity["document_0"] = json.dumps(document)

    written = json.loads(to_entity(from_entity(entity, etag="e"))["document_0"])

    assert (written["fence"], written["desired"]["signals"]["alert-1"]["sequence"]) == (7, 12)


def test_what_is_known_of_people_comes_back_and_takes_no_room_where_there_is_nothing() -> None:
    step = Step(at=NOW, action="close", reason="incident ended by people; alert new", result="INC1")
    followed = Followed(incident_id="a" * 32, given_to="beth", begun_in="2").done(step)
    for number in range(3):
        alert = FollowedAlert(told=Handling.ENDED, state="Closed", unknown={"newer": number})
        followed = followed.with_alert(f"guid-{number}", alert)
    row = record().with_followed(followed)

    assert from_entity(to_entity(row), etag="") == row
    assert "followed" not in json.loads(to_entity(record())["document_0"])


def test_a_row_that_needs_a_newer_version_is_left_alone() -> None:
    with pytest.raises(NewerVersion):
        from_entity({**to_entity(record()), "needs_version": VERSION + 1}, etag="e")


@pytest.mark.parametrize(
    "damage",
    [
        {"document_0": "{"},
        {"document_0": "[]"},
        {"document_0": "{}"},
        {"document_0": None},
        {"document_0": to_entity(record())["document_0"].replace('"revision":1', '"revision":"1"')},
        {"document_0": to_entity(record())["document_0"].replace('"signals":{', '"signals":{"x":1,')},
        {"RowKey": "a1" * 32},
    ],
    ids=["cut", "list", "empty", "absent", "type", "signal", "of another key"],
)
def test_a_damaged_row_is_told_apart(damage: dict[str, object]) -> None:
    with pytest.raises(Damaged):
        from_entity({**to_entity(record()), **damage}, etag="e")


def test_what_was_set_aside_is_whole_and_in_no_querys_way() -> None:
    entity = to_entity(record())

    kept = aside(entity, etag="e")

    assert not is_key(kept["RowKey"])
    assert kept["PartitionKey"] == entity["PartitionKey"]
    assert kept.keys() & entity.keys() == {"PartitionKey", "RowKey"}
    assert kept["was_document_0"] == entity["document_0"]


def test_the_key_is_the_row_key_and_spreads_over_partitions() -> None:
    entity = to_entity(record())

    assert (entity["PartitionKey"], entity["RowKey"]) == (KEY[:2], KEY)
