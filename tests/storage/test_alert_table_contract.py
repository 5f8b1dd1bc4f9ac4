"""The table in memory and the real one answer the same to the same calls."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, NewerVersion
from itsm_bridge.reconcile.outline import outline_of
from itsm_bridge.reconcile.pages import START, Index, Place, Progress
from itsm_bridge.reconcile.record import Record
from itsm_bridge.rules.ruling import Lifecycle
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.index_rows import entry_key
from itsm_bridge.storage.row_format import VERSION, partition_of, to_entity
from local.azurite import Azurite
from proof.simulator.memory import MemoryStore
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, known_record, record, resolved, told, worked

Store = AlertTable | MemoryStore

OTHER = "a1" * 32


@pytest.fixture(params=["memory", "azurite", "azurite, large"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    azurite = request.getfixturevalue("azurite")
    assert isinstance(azurite, Azurite)
    table = TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12])
    with table:
        store = AlertTable(table)
        if request.param == "azurite, large":
            # With more than one row and entry, its index is read by partition; all of them would take their time.
            store.small = 1
            store.partitions = (partition_of(KEY), partition_of(OTHER))
        yield store


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


def write_as_older(store: Store, row: Record) -> None:
    """Write a row, new or in the place of another, as a version of the program does that knows no index."""
    entity = {name: value for name, value in to_entity(row).items() if name != "indexed_as"}
    if isinstance(store, MemoryStore):
        store.put(entity)
    else:
        store.read(row.key)  # creates the table
        store._table.upsert_entity(entity, mode=UpdateMode.REPLACE)


def lose_entry(store: Store, key: str) -> None:
    if isinstance(store, MemoryStore):
        store.lose_entry(key)
    else:
        store._table.delete_entity(partition_of(key), entry_key(key))


def lose_row(store: Store, key: str) -> None:
    """Let a row go as an older version of the program deletes it."""
    if isinstance(store, MemoryStore):
        store.lose_row(key)
    else:
        store._table.delete_entity(partition_of(key), key)


def named(store: Store) -> list[str]:
    """Return the keys that the index names."""
    return sorted(outline.key for outline in store.index().outlines)


def spoil_entry(store: Store, key: str) -> None:
    entry = {"PartitionKey": partition_of(key), "RowKey": entry_key(key), "outline": "{"}
    if isinstance(store, MemoryStore):
        store.put(entry)
    else:
        store._table.update_entity(entry, mode=UpdateMode.REPLACE)


def ending() -> Record:
    """Return a row whose alert fires until our clock ends it."""
    row = known_record()
    signals = {
        name: replace(signal, lifecycle=Lifecycle(close_after=HOUR)) for name, signal in row.desired.signals.items()
    }
    return replace(row, desired=replace(row.desired, signals=signals))


def over() -> Record:
    row = told(known_record(), resolved())
    return row.settled(row)


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


def test_a_row_of_a_newer_version_is_neither_read_nor_replaced(store: Store, change: Change) -> None:
    store.insert(changed(record(), wake_up_at=NOW - HOUR))
    change(needs_version=VERSION + 1)

    with pytest.raises(NewerVersion):
        store.restore(record())
    with pytest.raises(NewerVersion):
        store.read(KEY)
    assert store.heal(KEY) is False
    change(needs_version=VERSION)
    assert store.read(KEY) is not None


class TestIndex:
    """Which rows are open?"""

    OPEN: Sequence[tuple[str, Record]] = (
        ("awaits work", record()),
        ("is parked", worked(record(), "parked", "no")),
        ("waits for the target", worked(record(), "waiting", until=NOW)),
        ("is ended by our clock", ending()),
        ("fires on trial", changed(known_record(), shadowed_by="trial")),
    )

    @pytest.mark.parametrize("row", [row for _, row in OPEN], ids=[name for name, _ in OPEN])
    def test_it_says_of_an_open_row_what_the_row_says(self, store: Store, row: Record) -> None:
        store.insert(over())
        written = store.insert(changed(row, key=OTHER))

        assert store.index() == Index([outline_of(written)])

    @pytest.mark.parametrize("row", [known_record(), over()], ids=["fires", "is over"])
    def test_it_is_silent_of_what_is_settled(self, store: Store, row: Record) -> None:
        store.insert(row)

        assert store.index() == Index([])

    def test_an_absent_table_has_none(self, store: Store) -> None:
        assert store.index() == Index([])

    def test_a_row_leaves_it_when_it_is_settled_and_comes_back_with_news(self, store: Store) -> None:
        row = store.insert(record())
        store.insert(changed(record(), key=OTHER))

        settled = store.replace(row.settled(row))
        without = named(store)
        again = store.replace(told(settled, resolved()))

        assert (without, named(store)) == ([OTHER], sorted([KEY, OTHER]))
        assert outline_of(again) in store.index().outlines
        assert store.read(KEY) == again

    def test_it_follows_each_change_of_a_row(self, store: Store) -> None:
        row = store.insert(record())
        store.insert(changed(record(), key=OTHER))
        for columns in (
            {"wake_up_at": NOW + HOUR, "wake_up_id": "m7"},
            {"attempts": 3},
            {"failing_since": NOW, "attempted_at": NOW},
            {"is_parked": True},
        ):
            row = store.replace(changed(row, **columns))

            assert outline_of(row) in store.index().outlines
            assert store.read(KEY) == row

    def test_a_write_that_is_refused_leaves_it_as_it_is(self, store: Store) -> None:
        first = store.insert(record())
        store.insert(changed(known_record(), key=OTHER))
        second = store.replace(changed(first, wake_up_at=NOW + HOUR))
        for refused in (
            lambda: store.insert(changed(record(), wake_up_at=NOW + MINUTE)),
            lambda: store.replace(changed(first, wake_up_at=NOW + MINUTE)),
            lambda: store.replace(first.settled(first)),
            lambda: store.delete(first),
        ):
            with pytest.raises(Conflict):
                refused()

        assert store.index() == Index([outline_of(second)])

    def test_a_deleted_row_is_not_in_it(self, store: Store) -> None:
        store.delete(store.insert(record()))
        store.insert(known_record())

        assert named(store) == []

    def test_a_row_in_the_place_of_a_damaged_one_is_in_it(self, store: Store, change: Change) -> None:
        store.insert(known_record())
        store.insert(changed(known_record(), key=OTHER))
        change(document_0="{")

        restored = store.restore(record())

        assert store.index() == Index([outline_of(restored)])
        assert store.replace(restored.settled(restored)) == store.read(KEY)
        assert named(store) == []

    def test_an_outline_that_cannot_be_read_asks_for_a_look_at_its_row(self, store: Store) -> None:
        store.insert(known_record())
        store.insert(changed(record(), key=OTHER))
        spoil_entry(store, OTHER)

        (outline,) = store.index().outlines

        assert (outline.key, outline.is_overdue(NOW)) == (OTHER, True)


class TestOlderVersion:
    """A version of the program that knows no index runs before this one, beside it, or after it."""

    def test_what_it_wrote_is_not_in_the_index_until_it_is_healed_or_written(self, store: Store) -> None:
        for key in (KEY, OTHER):
            write_as_older(store, changed(record(), key=key))
        before = named(store)

        healed = [store.heal(KEY), store.heal(KEY)]
        other = store.read(OTHER)
        assert other is not None
        store.replace(other)

        assert (before, healed, named(store)) == ([], [True, False], sorted([KEY, OTHER]))

    def test_what_it_settled_leaves_the_index_when_it_is_healed(self, store: Store) -> None:
        row = store.insert(record())
        store.insert(changed(record(), key=OTHER))
        write_as_older(store, row.settled(row))
        before = named(store)

        assert (store.heal(KEY), store.heal(KEY)) == (True, False)
        assert (before, named(store)) == (sorted([KEY, OTHER]), [OTHER])

    def test_what_it_changed_is_told_anew_when_it_is_healed(self, store: Store) -> None:
        row = store.insert(record())
        store.insert(changed(known_record(), key=OTHER))
        write_as_older(store, changed(row, wake_up_at=NOW + HOUR))

        store.heal(KEY)

        now = store.read(KEY)
        assert now is not None
        assert store.index() == Index([outline_of(now)])

    @pytest.mark.parametrize("is_indexed", [True, False])
    def test_what_it_wrote_is_settled_and_deleted_by_this_one(self, store: Store, is_indexed: bool) -> None:
        if is_indexed:
            store.insert(record())
        store.insert(changed(known_record(), key=OTHER))
        write_as_older(store, record())
        row = store.read(KEY)
        assert row is not None

        settled = store.replace(row.settled(row))

        assert store.read(KEY) == settled
        assert named(store) == []
        write_as_older(store, settled)
        older = store.read(KEY)
        assert older is not None
        store.delete(older)
        assert store.read(KEY) is None

    def test_an_outline_of_a_row_that_it_deleted_is_dropped(self, store: Store) -> None:
        store.insert(record())
        store.insert(changed(record(), key=OTHER))
        lose_row(store, KEY)

        assert (store.heal(KEY), store.heal(KEY)) == (True, False)
        assert named(store) == [OTHER]

    def test_an_outline_of_a_row_that_it_deleted_keeps_no_row_from_being_made(self, store: Store) -> None:
        store.insert(changed(record(), wake_up_at=NOW - HOUR))
        store.insert(changed(known_record(), key=OTHER))
        lose_row(store, KEY)

        again = store.insert(record())

        assert store.index() == Index([outline_of(again)])

    def test_a_row_that_leads_to_a_group_has_no_outline(self, store: Store) -> None:
        store.insert(record())
        store.insert(changed(record(), key=OTHER))
        lose_row(store, KEY)
        store.lead(KEY, to=OTHER)

        assert store.heal(KEY)
        assert named(store) == [OTHER]

    def test_what_the_index_forgot_is_found_again(self, store: Store) -> None:
        row = store.insert(record())
        store.insert(changed(known_record(), key=OTHER))
        lose_entry(store, KEY)
        before = named(store)

        healed = store.heal(KEY)

        assert (before, healed, named(store)) == ([], True, [KEY])
        with pytest.raises(Conflict):
            store.replace(row)

    def test_what_the_index_forgot_is_settled_all_the_same(self, store: Store) -> None:
        row = store.insert(record())
        lose_entry(store, KEY)

        assert store.replace(row.settled(row)) == store.read(KEY)

    def test_what_is_right_is_left_alone(self, store: Store) -> None:
        rows = [store.insert(record()), store.insert(changed(known_record(), key=OTHER))]

        assert [store.heal(row.key) for row in rows] == [False, False]
        assert [store.read(row.key) for row in rows] == rows


class TestPages:
    """A sweep sees every row."""

    KEYS: Final = [f"{number:02x}" * 32 for number in (0, 1, 15, 16, 200, 255)]

    def test_each_row_is_there_once_and_from_any_place_on(self, store: Store) -> None:
        for key in self.KEYS:
            store.insert(changed(record(), key=key))

        seen = [row.key for page in store.pages(START) for row in page.rows]
        indexed = [key for page in store.pages(START) for key in page.indexed]
        rest = [row.key for page in store.pages(Place("10", self.KEYS[3])) for row in page.rows]
        within = [row.key for page in store.pages(Place("10", "10")) for row in page.rows]

        assert (seen, indexed) == (self.KEYS, self.KEYS)
        assert (rest, within) == (self.KEYS[4:], self.KEYS[3:])
        assert [page.end == START for page in store.pages(START)][-1]
        assert [page.end == START for page in store.pages(Place("ff", "z"))][-1]

    def test_its_columns_say_what_the_row_says(self, store: Store) -> None:
        rows = [
            store.insert(changed(row, key=key, looked_at=NOW))
            for key, row in zip(self.KEYS, [*(row for _, row in TestIndex.OPEN), over()], strict=True)
        ]

        swept = [row for page in store.pages(START) for row in page.rows]

        assert [(row.key, row.is_open, row.is_firing, row.is_on_trial) for row in swept] == [
            (row.key, outline.is_open, outline.is_firing, outline.is_on_trial)
            for row in rows
            for outline in [outline_of(row)]
        ]
        assert [(row.changed_at, row.looked_at, row.indexed_as) for row in swept] == [
            (row.desired.changed_at, row.work.looked_at, row.indexed_as) for row in rows
        ]

    def test_a_row_of_an_older_version_says_that_it_knows_no_index(self, store: Store) -> None:
        write_as_older(store, record())

        assert [row.indexed_as for page in store.pages(START) for row in page.rows] == [None]

    def test_rows_of_groups_are_told_apart(self, store: Store) -> None:
        store.insert(record())
        store.lead(OTHER, to=KEY)

        pages = list(store.pages(START))

        assert [(row.key, row.leads_to) for page in pages for row in page.groups] == [(OTHER, KEY)]
        assert [row.key for page in pages for row in page.rows] == [KEY]


class TestProgress:
    """How far have sweeps come?"""

    def test_none_has_begun_at_first(self, store: Store) -> None:
        assert store.progress() == Progress()

    def test_what_was_saved_is_read_by_the_next(self, store: Store) -> None:
        begun = replace(Progress().begun(NOW), place=Place("ab", "ab12"))

        saved = store.save_progress(store.save_progress(begun))

        assert store.progress() == saved
        assert replace(saved, etag="") == begun

    def test_of_two_sweeps_at_once_one_is_told_so(self, store: Store) -> None:
        first = store.save_progress(Progress().begun(NOW))
        store.save_progress(first.advanced(Place("ab", "ab12")))

        for late in (first, Progress().begun(NOW)):
            with pytest.raises(Conflict):
                store.save_progress(late)


class TestLooks:
    """Who looks for rows that nobody covers?"""

    def test_only_one_of_those_who_started_before_it_began(self, store: Store) -> None:
        looks = [store.begin_look(NOW + each * SECOND, unless_since=NOW - SECOND) for each in range(3)]

        assert looks == [True, False, False]

    def test_another_who_started_after_it_began(self, store: Store) -> None:
        store.begin_look(NOW, unless_since=NOW - SECOND)

        assert store.begin_look(NOW + MINUTE, unless_since=NOW)
        assert not store.begin_look(NOW + MINUTE, unless_since=NOW + SECOND)
