"""Pushed rules in a real table."""

import random
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, NewerVersion, Unavailable
from itsm_bridge.reconcile.pages import START
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.listing import Listing
from itsm_bridge.storage.row_format import is_key
from itsm_bridge.storage.stored_rules import KEPT, LARGEST_TEXT, PARTITION, StoredRules, Version, digest_of
from local.azurite import Azurite
from tests.builders import record

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def table(azurite: Azurite) -> Iterator[TableClient]:
    """A table that does not exist yet."""
    with TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12]) as client:
        yield client


@pytest.fixture
def stored(table: TableClient) -> StoredRules:
    return StoredRules(table)


def push(stored: StoredRules, text: str, *, after: int | None = None, **more: Any) -> Version:
    if after is None:
        newest = stored.newest()
        after = newest.number if newest else 0
    return stored.push(text, by="beth", at=NOON, after=after, **more)


def change(table: TableClient, key: str, **columns: Any) -> None:
    """Change columns of a row, as a bug, a person or another version of the program may."""
    table.update_entity({"PartitionKey": PARTITION, "RowKey": key, **columns}, mode=UpdateMode.MERGE)


def test_where_nothing_was_pushed_there_is_nothing_and_no_table_is_made(
    table: TableClient, stored: StoredRules, azurite: Azurite
) -> None:
    assert (stored.newest(), stored.read(1), stored.history(), stored.kept_file()) == (None, None, [], None)
    stored.forget_file()
    with TableClient.from_connection_string(azurite.connection_string, table.table_name) as other:
        other.create_table()


def test_a_push_is_read_as_it_was_written(stored: StoredRules) -> None:
    text = "version: 1\n# Grüße an die Schicht 🚨\n"

    version = push(stored, text)

    assert version == Version(
        number=1, pushed_at=NOON, pushed_by="beth", digest=digest_of(text), size=len(text.encode())
    )
    assert stored.newest() == version
    assert stored.read(1) == (version, text)
    assert stored.history() == [version]


@pytest.mark.parametrize("size", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 800_000, LARGEST_TEXT])
def test_a_text_of_any_size_up_to_the_largest_is_read_as_it_was_written(stored: StoredRules, size: int) -> None:
    text = random.Random(size).randbytes(size // 2 + 1).hex()[:size]

    push(stored, text)

    found = stored.read(1)
    assert found is not None
    assert found[1] == text


def test_a_character_may_lie_across_two_pieces(stored: StoredRules) -> None:
    text = "x" + "ü" * 70_000

    push(stored, text)

    found = stored.read(1)
    assert found is not None
    assert found[1] == text


def test_a_text_that_is_too_long_is_not_written(stored: StoredRules) -> None:
    with pytest.raises(ValueError, match="more than a version holds"):
        push(stored, "x" * (LARGEST_TEXT + 1))

    assert stored.newest() is None


def test_of_twelve_pushes_the_last_ten_are_kept(stored: StoredRules) -> None:
    for number in range(1, 13):
        push(stored, f"text {number}")

    assert [version.number for version in stored.history()] == list(range(12, 2, -1))
    assert stored.read(2) is None
    found = stored.read(3)
    assert found is not None
    assert found[1] == "text 3"


def test_ten_versions_of_the_largest_size_are_kept(stored: StoredRules) -> None:
    for number in range(KEPT + 1):
        push(stored, f"{number:02}".ljust(LARGEST_TEXT, "x"))

    assert [version.number for version in stored.history()] == list(range(KEPT + 1, 1, -1))


def test_a_push_that_was_decided_upon_an_older_version_is_refused(stored: StoredRules) -> None:
    push(stored, "first")
    push(stored, "of another person", after=1)

    with pytest.raises(Conflict, match="version 2 was pushed meanwhile"):
        push(stored, "mine", after=1)

    assert [version.digest for version in stored.history()] == [digest_of("of another person"), digest_of("first")]


@pytest.mark.parametrize("is_first", [True, False])
def test_of_pushes_at_once_one_is_taken_and_all_others_are_told(stored: StoredRules, is_first: bool) -> None:
    if not is_first:
        push(stored, "before")
    begin = threading.Barrier(6)
    after = 0 if is_first else 1
    taken: list[str] = []
    refused: list[str] = []

    def attempt(text: str) -> None:
        begin.wait(20)
        try:
            stored.push(text, by="beth", at=NOON, after=after)
        except Conflict:
            refused.append(text)
        else:
            taken.append(text)

    threads = [threading.Thread(target=attempt, args=(f"text {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(taken), len(refused)) == (1, 5)
    newest = stored.newest()
    assert newest is not None
    assert stored.read(newest.number) == (newest, taken[0])
    assert newest.number == after + 1


def test_a_push_whose_first_answer_was_lost_is_found_to_be_its_own(stored: StoredRules) -> None:
    """The library repeats the request, and the repetition is refused because the first one took effect."""
    push(stored, "before")
    submit = stored._table.submit_transaction

    def twice(operations: Any, **options: Any) -> Any:
        submit(operations, **options)
        return submit(operations, **options)

    stored._table.submit_transaction = twice  # type: ignore[method-assign] # the wire, not our code

    assert push(stored, "mine").number == 2
    assert [version.number for version in stored.history()] == [2, 1]


def test_the_built_in_rules_are_a_version_like_any_other(stored: StoredRules) -> None:
    push(stored, "mine")

    version = push(stored, "", restores=0)

    assert version.is_built_in
    assert stored.newest() == version
    assert stored.read(2) == (version, "")
    assert version.restores == 0


def test_a_text_that_was_changed_in_the_table_is_not_believed(table: TableClient, stored: StoredRules) -> None:
    push(stored, "x" * 100_000)
    change(table, "version-0000000001", text_01=b"y" * 10)

    with pytest.raises(Damaged, match="not those that were pushed"):
        stored.read(1)


@pytest.mark.parametrize("columns", [{"number": "one"}, {"number": 7}, {"size": "x"}, {"pushed_at": "yesterday"}])
def test_a_version_that_cannot_be_read_is_told_and_does_not_hide_the_others(
    table: TableClient, stored: StoredRules, columns: dict[str, Any]
) -> None:
    push(stored, "first")
    push(stored, "second")
    change(table, "version-0000000001", **columns)

    with pytest.raises(Damaged):
        stored.read(1)
    assert [version.number for version in stored.history()] == [2]


@pytest.mark.parametrize("damage", [{"number": "one"}, {"digest": 7, "size": "x"}])
def test_a_push_mends_a_damaged_pointer_and_gives_no_number_twice(
    table: TableClient, stored: StoredRules, damage: dict[str, Any]
) -> None:
    push(stored, "first")
    push(stored, "second")
    change(table, "current", **damage)

    version = push(stored, "third", after=0)

    assert version.number == 3
    assert stored.newest() == version
    assert [each.number for each in stored.history()] == [3, 2, 1]


def test_a_push_after_the_pointer_was_deleted_gives_no_number_twice(table: TableClient, stored: StoredRules) -> None:
    push(stored, "first")
    table.delete_entity(PARTITION, "current")

    assert push(stored, "second").number == 2
    assert [each.number for each in stored.history()] == [2, 1]


def test_rows_of_a_newer_program_are_left_alone(table: TableClient, stored: StoredRules) -> None:
    push(stored, "first")
    change(table, "version-0000000001", layout=2)
    change(table, "current", layout=2)

    with pytest.raises(NewerVersion):
        stored.read(1)
    with pytest.raises(NewerVersion):
        stored.newest()
    with pytest.raises(NewerVersion):
        push(stored, "mine", after=1)
    assert stored.history() == []


def test_the_file_is_kept_replaced_and_forgotten(stored: StoredRules) -> None:
    stored.keep_file("good")
    stored.keep_file("good")
    first = stored.kept_file()
    stored.keep_file("x" * 70_000)
    second = stored.kept_file()
    stored.keep_file("short")
    third = stored.kept_file()
    stored.forget_file()
    stored.forget_file()

    assert (first, second, third, stored.kept_file()) == ("good", "x" * 70_000, "short", None)


def test_alerts_and_rules_do_not_get_into_each_others_way(table: TableClient, stored: StoredRules) -> None:
    rows = AlertTable(table)
    row = rows.insert(record())
    push(stored, "mine")
    stored.keep_file("of the file")
    listing = Listing(table)

    assert sum(listing.counts().values()) == 1
    assert list(listing.unsettled()) == [row]
    assert (listing.set_aside(), listing.unreadable) == ([], ())
    assert [outline.key for outline in rows.index().outlines] == [row.key]
    assert [each.key for page in rows.pages(START) for each in page.rows] == [row.key]
    assert not any(is_key(str(each["RowKey"])) for each in table.list_entities() if each["PartitionKey"] == PARTITION)


def test_a_table_that_does_not_answer_is_told() -> None:
    nowhere = (
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a;"
        "QueueEndpoint=http://127.0.0.1:1/a;"
    )
    with TableClient.from_connection_string(nowhere, "alerts", retry_total=0) as client:
        stored = StoredRules(client)

        for ask in (stored.newest, lambda: stored.read(1), stored.history, stored.kept_file, stored.forget_file):
            with pytest.raises(Unavailable, match="did not answer"):
                ask()
        with pytest.raises(Unavailable):
            push(stored, "mine", after=0)
