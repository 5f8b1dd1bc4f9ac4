from dataclasses import replace
from datetime import timedelta

from itsm_bridge.record import Decision, Note
from itsm_bridge.row import from_entity, to_entity
from tests.builders import HOUR, KEY, NOW, known_record, notification, record, resolved, told


def test_a_record_comes_back_as_it_was() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + HOUR, digest="anew"))
    row = replace(row, in_doubt_until=NOW, failing_since=NOW - timedelta(microseconds=1), last_error="ü \U0001f525")
    row = row.decided(Decision(at=NOW, action="create", reason="alert fired", result="ü", times=3))

    assert from_entity(to_entity(row), etag="e") == replace(row, etag="e")


def test_a_long_record_is_cut_into_pieces_that_a_property_can_hold() -> None:
    row = record(notes=tuple(Note(revision=n, text="\U0001f525" * 3000) for n in range(20)))

    entity = to_entity(row)

    assert max(len(value) for value in entity.values() if isinstance(value, str)) <= 32_768
    assert from_entity(entity, etag="").notes == row.notes


def test_a_row_of_another_version_is_read() -> None:
    entity = to_entity(record())
    entity["document_0"] = entity["document_0"].replace('"attempts":0,', '"of a newer version":1,')
    newer = '"decisions":[{"at":"2026-03-01T10:00:00+00:00","action":"a","reason":"r","result":"x","newer":1}]'
    entity["document_0"] = entity["document_0"].replace('"decisions":[]', newer)

    assert from_entity(entity, etag="").attempts == 0
    assert from_entity(entity, etag="").decisions == (Decision(at=NOW, action="a", reason="r", result="x"),)


def test_the_key_is_the_row_key_and_spreads_over_partitions() -> None:
    entity = to_entity(record())

    assert (entity["PartitionKey"], entity["RowKey"]) == (KEY[:2], KEY)
