"""The table in memory and the real one answer the same to the same calls."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Conflict
from itsm_bridge.store import AlertStore
from local.azurite import Azurite
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, known_record, record, resolved, told
from tests.simulator.memory import MemoryStore

Store = AlertStore | MemoryStore


@pytest.fixture(params=["memory", "azurite"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    azurite = request.getfixturevalue("azurite")
    assert isinstance(azurite, Azurite)
    table = TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12])
    with table:
        yield AlertStore(table)


def test_what_was_written_is_read(store: Store) -> None:
    written = store.insert(told(known_record(), resolved()))

    assert store.read(KEY) == written
    assert store.read("a1" * 32) is None


def test_a_second_insert_conflicts_and_changes_nothing(store: Store) -> None:
    first = store.insert(record())

    with pytest.raises(Conflict):
        store.insert(replace(record(), attempts=7))

    assert store.read(KEY) == first


def test_a_replacement_by_the_same_version_succeeds_once(store: Store) -> None:
    first = store.insert(record())
    second = store.replace(replace(first, attempts=1))

    with pytest.raises(Conflict):
        store.replace(replace(first, attempts=2))

    assert store.read(KEY) == second
    assert second.etag not in ("", first.etag)


def test_a_replacement_by_the_very_same_content_is_a_new_version(store: Store) -> None:
    first = store.insert(record())
    second = store.replace(first)

    assert second.etag != first.etag


def test_what_is_absent_is_not_replaced(store: Store) -> None:
    row = store.insert(record())
    store.delete(row)

    with pytest.raises(Conflict):
        store.replace(row)
    assert store.read(KEY) is None


def test_a_record_that_was_never_read_replaces_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="read"):
        store.replace(record())


def test_a_row_that_changed_is_not_deleted_and_an_absent_one_is_no_error(store: Store) -> None:
    first = store.insert(record())
    second = store.replace(first)

    with pytest.raises(Conflict):
        store.delete(first)
    assert store.read(KEY) == second
    store.delete(second)
    store.delete(second)
    assert store.read(KEY) is None


def test_an_inserted_row_follows_a_deleted_one(store: Store) -> None:
    first = store.insert(record())
    store.delete(first)
    again = store.insert(record())

    assert store.read(KEY) == again


def test_what_awaits_work_is_found_strictly_before_its_time(store: Store) -> None:
    due = store.insert(replace(record(), wake_up_at=NOW - SECOND))
    store.insert(replace(record(), key="a1" * 32, wake_up_at=NOW))
    store.insert(replace(record(), key="b2" * 32, wake_up_at=NOW - HOUR).parked("no"))
    store.insert(replace(known_record(), key="c3" * 32, wake_up_at=NOW - HOUR))

    assert list(store.awaiting_work(due_before=NOW)) == [due]


def test_what_is_over_is_found_strictly_before_its_time(store: Store) -> None:
    over = told(known_record(), resolved())
    settled = over.settled(over)
    old = store.insert(replace(settled, changed_at=NOW - MINUTE - SECOND))
    store.insert(replace(settled, key="a1" * 32, changed_at=NOW - MINUTE))
    store.insert(replace(over, key="b2" * 32, changed_at=NOW - HOUR))
    store.insert(replace(known_record(), key="c3" * 32, changed_at=NOW - HOUR))
    store.insert(replace(settled, key="d4" * 32, changed_at=NOW - HOUR, is_parked=True))

    assert list(store.idle_since(changed_before=NOW - MINUTE)) == [old]


def test_an_empty_table_has_no_rows(store: Store) -> None:
    assert list(store.awaiting_work(due_before=NOW)) == []
    assert list(store.idle_since(changed_before=NOW)) == []
