"""The table in memory and the real one answer the same to the same calls."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, NewerVersion
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import VERSION, partition_of
from local.azurite import Azurite
from proof.simulator.memory import MemoryStore
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, known_record, record, resolved, told, worked

Store = AlertTable | MemoryStore


@pytest.fixture(params=["memory", "azurite"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    azurite = request.getfixturevalue("azurite")
    assert isinstance(azurite, Azurite)
    table = TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12])
    with table:
        yield AlertTable(table)


#: Changes columns of the row of KEY, as a bug, a person or another version of the program may.
Change = Callable[..., None]


@pytest.fixture
def change(store: Store) -> Change:
    def changed(**columns: Any) -> None:
        if isinstance(store, MemoryStore):
            store.change_row(KEY, **columns)
            return
        entity = {"PartitionKey": partition_of(KEY), "RowKey": KEY, **columns}
        store._table.update_entity(entity, mode=UpdateMode.MERGE)

    return changed


def test_what_was_written_is_read(store: Store) -> None:
    written = store.insert(told(known_record(), resolved()))

    assert store.read(KEY) == written
    assert store.read("a1" * 32) is None


def test_a_second_insert_conflicts_and_changes_nothing(store: Store) -> None:
    first = store.insert(record())

    with pytest.raises(Conflict):
        store.insert(changed(record(), attempts=7))

    assert store.read(KEY) == first


def test_a_replacement_by_the_same_version_succeeds_once(store: Store) -> None:
    first = store.insert(record())
    second = store.replace(changed(first, attempts=1))

    with pytest.raises(Conflict):
        store.replace(changed(first, attempts=2))

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
    due = store.insert(changed(record(), wake_up_at=NOW - SECOND))
    store.insert(changed(record(), key="a1" * 32, wake_up_at=NOW))
    store.insert(worked(changed(record(), key="b2" * 32, wake_up_at=NOW - HOUR), "parked", "no"))
    store.insert(changed(known_record(), key="c3" * 32, wake_up_at=NOW - HOUR))

    assert list(store.awaiting_work(due_before=NOW)) == [due]


def test_what_is_over_is_found_strictly_before_its_time(store: Store) -> None:
    over = told(known_record(), resolved())
    settled = over.settled(over)
    old = store.insert(changed(settled, changed_at=NOW - MINUTE - SECOND))
    store.insert(changed(settled, key="a1" * 32, changed_at=NOW - MINUTE))
    store.insert(changed(over, key="b2" * 32, changed_at=NOW - HOUR))
    store.insert(changed(known_record(), key="c3" * 32, changed_at=NOW - HOUR))
    store.insert(changed(settled, key="d4" * 32, changed_at=NOW - HOUR, is_parked=True))

    assert list(store.idle_since(changed_before=NOW - MINUTE)) == [old]


def test_an_empty_table_has_no_rows(store: Store) -> None:
    assert list(store.awaiting_work(due_before=NOW)) == []
    assert list(store.idle_since(changed_before=NOW)) == []


DAMAGE = ['{"key": "', "[]", "null", "{}", json.dumps({"key": KEY})]


@pytest.mark.parametrize("document", DAMAGE)
def test_another_row_takes_the_place_of_a_damaged_one_once(store: Store, change: Change, document: str) -> None:
    store.insert(record())
    change(document_0=document)
    with pytest.raises(Damaged):
        store.read(KEY)

    restored = store.restore(changed(record(), attempts=1))

    assert store.read(KEY) == restored
    with pytest.raises(Conflict):
        store.restore(changed(record(), attempts=2))
    assert store.read(KEY) == restored
    assert store.replace(changed(restored, attempts=3)) == store.read(KEY)


def test_what_is_not_there_is_not_restored(store: Store) -> None:
    store.insert(changed(record(), key="a1" * 32))

    with pytest.raises(Conflict):
        store.restore(record())
    assert store.read(KEY) is None


def test_a_damaged_row_hides_no_other(store: Store, change: Change) -> None:
    store.insert(changed(record(), wake_up_at=NOW - HOUR))
    change(document_0="{")
    other = store.insert(changed(record(), key="a1" * 32, wake_up_at=NOW - HOUR))

    assert list(store.awaiting_work(due_before=NOW)) == [other]


def test_a_row_of_a_newer_version_is_neither_read_nor_replaced(store: Store, change: Change) -> None:
    store.insert(changed(record(), wake_up_at=NOW - HOUR))
    change(needs_version=VERSION + 1)

    with pytest.raises(NewerVersion):
        store.restore(record())
    with pytest.raises(NewerVersion):
        store.read(KEY)
    assert list(store.awaiting_work(due_before=NOW)) == []
    change(needs_version=VERSION)
    assert store.read(KEY) is not None


def test_what_waits_without_a_wake_up_is_in_line_and_never_overdue(store: Store) -> None:
    def waits(key: str, **columns: Any) -> None:
        row = worked(record(), "waiting", until=NOW - MINUTE)
        store.insert(changed(row, key=key * 32, **{"failing_since": NOW - HOUR, **columns}))

    waits("a1", attempted_at=NOW - MINUTE)
    waits("b2", failing_since=NOW - 2 * HOUR)
    waits("c3", attempted_at=NOW - HOUR)
    waits("d4")
    waits("e5", wake_up_at=NOW)
    waits("f6", is_parked=True)
    store.insert(changed(record(), wake_up_at=NOW - HOUR))

    in_line = [row.key[:2] for row in store.waiting(due_before=NOW, limit=9)]
    assert in_line == ["b2", "d4", "c3", "a1"]
    assert [row.key[:2] for row in store.waiting(due_before=NOW, limit=2)] == ["b2", "d4"]
    assert [row.key for row in store.awaiting_work(due_before=NOW)] == [KEY]


def test_what_fires_for_ever_is_found_when_nobody_looked_lately(store: Store) -> None:
    fires = known_record()
    old = store.insert(changed(fires, changed_at=NOW - HOUR))
    store.insert(changed(fires, key="a1" * 32, changed_at=NOW))
    store.insert(changed(fires, key="b2" * 32, changed_at=NOW - HOUR, looked_at=NOW))
    again = store.insert(changed(fires, key="c3" * 32, changed_at=NOW - HOUR, looked_at=NOW - MINUTE))
    store.insert(changed(told(fires, resolved()), key="d4" * 32, changed_at=NOW - HOUR))
    store.insert(changed(fires, key="e5" * 32, changed_at=NOW - HOUR, is_parked=True))

    found = {row.key for row in store.idle_firing(changed_before=NOW - SECOND, looked_before=NOW - SECOND)}
    assert found == {old.key, again.key}


def test_what_fires_on_trial_is_found_once_it_is_settled(store: Store) -> None:
    on_trial = changed(known_record(), shadowed_by="trial")
    found = store.insert(on_trial)
    store.insert(changed(known_record(), key="a1" * 32))
    store.insert(changed(record(), key="b2" * 32, shadowed_by="trial"))
    over = told(on_trial, resolved())
    store.insert(changed(over.settled(over), key="c3" * 32))

    assert [row.key for row in store.on_trial()] == [found.key]
