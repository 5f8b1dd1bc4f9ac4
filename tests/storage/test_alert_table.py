import re
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.reconcile.pages import START
from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.settings import StorageSettings
from itsm_bridge.storage.account import connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from local.azurite import Azurite
from proof.tap import Cut, Tap
from tests.builders import HOUR, KEY, NOW, SECOND, changed, known_record, record, resolved, told

OTHER_KEY = "a1" * 32


def storage(connection_string: str) -> StorageSettings:
    return StorageSettings(
        connection_string=connection_string, table_service_uri="", queue_service_uri="", credential="", client_id=""
    )


@pytest.fixture
def store(azurite: Azurite) -> AlertTable:
    """A store whose table does not exist yet."""
    name = "alerts" + uuid.uuid4().hex[:12]
    return AlertTable(TableClient.from_connection_string(azurite.connection_string, name))


def test_the_table_is_created_when_it_is_absent(store: AlertTable) -> None:
    assert store.read(KEY) is None
    assert store.insert(record()).etag


def test_what_was_written_is_read(store: AlertTable) -> None:
    written = store.insert(told(known_record(), resolved()))

    assert store.read(KEY) == written


def test_a_key_has_one_first_row(store: AlertTable) -> None:
    store.insert(record())

    with pytest.raises(Conflict):
        store.insert(record())


def test_a_row_that_changed_is_not_overwritten(store: AlertTable) -> None:
    first = store.insert(record())
    second = store.replace(told(first, resolved()))

    with pytest.raises(Conflict):
        store.replace(changed(first, attempts=7))

    assert store.read(KEY) == second
    assert second.etag != first.etag


def test_a_row_that_was_deleted_is_not_replaced(store: AlertTable) -> None:
    row = store.insert(record())
    store.delete(row)

    with pytest.raises(Conflict):
        store.replace(row)
    assert store.read(KEY) is None


def test_a_row_that_changed_is_not_deleted(store: AlertTable) -> None:
    first = store.insert(record())
    store.replace(told(first, resolved()))

    with pytest.raises(Conflict):
        store.delete(first)


def test_deleting_twice_is_no_error(store: AlertTable) -> None:
    row = store.insert(record())
    store.delete(row)
    store.delete(row)

    assert store.read(KEY) is None


def test_a_record_that_was_never_read_cannot_replace_a_row(store: AlertTable) -> None:
    with pytest.raises(ValueError, match="read"):
        store.replace(record())


def test_storage_that_hangs_is_unavailable_within_seconds() -> None:
    with Azurite() as own:
        store = AlertTable(connect_table(storage(own.connection_string)))
        wakeups = WakeUpQueue(lambda: connect_queue(storage(own.connection_string)))
        wake_up = wakeups.send(KEY, delay=HOUR)
        row = store.insert(record())
        own.pause()
        calls = [
            lambda: store.insert(record()),
            lambda: store.read(KEY),
            lambda: store.replace(row),
            lambda: store.delete(row),
            lambda: list(store.pages(START)),
            store.progress,
            store.check,
            lambda: wakeups.send(KEY, delay=SECOND),
            lambda: wakeups.take_back(wake_up),
            wakeups.check,
        ]
        with ThreadPoolExecutor(len(calls)) as side_by_side:
            outcomes = [side_by_side.submit(call) for call in calls]
            errors = [outcome.exception() for outcome in outcomes]

    assert [type(error) for error in errors] == [Unavailable] * len(calls)


def test_storage_that_is_gone_is_unavailable_at_once(azurite: Azurite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = storage(re.sub(r"(?<=127\.0\.0\.1:)\d+", str(port), azurite.connection_string))
    began = time.monotonic()

    with pytest.raises(Unavailable):
        AlertTable(connect_table(settings)).read(KEY)
    with pytest.raises(Unavailable):
        WakeUpQueue(lambda: connect_queue(settings)).send(KEY, delay=SECOND)
    # The queue's library would wait 15 s and more before it tries again.
    assert time.monotonic() - began < 5


def test_a_wake_up_that_is_gone_is_taken_back_without_error(azurite: Azurite) -> None:
    wakeups = WakeUpQueue(lambda: connect_queue(storage(azurite.connection_string)))
    wake_up = wakeups.send(KEY, delay=HOUR)

    wakeups.take_back(wake_up)
    wakeups.take_back(wake_up)
    wakeups.take_back(WakeUp(message_id=str(uuid.uuid4()), pop_receipt=wake_up.pop_receipt))


def test_a_wake_up_is_the_key_in_base64_and_comes_when_it_is_due(azurite: Azurite) -> None:
    queue = connect_queue(storage(azurite.connection_string))
    wakeups = WakeUpQueue(lambda: queue)
    wakeups.check()
    queue.clear_messages()
    sent = wakeups.send(KEY, delay=-SECOND)
    wakeups.send(OTHER_KEY, delay=HOUR)

    received = list(queue.receive_messages(max_messages=10))

    assert [(message.id, message.content) for message in received] == [(sent.message_id, KEY_IN_BASE64)]


#: What the Functions host decodes; this client is left without a decoder on purpose.
KEY_IN_BASE64 = "NWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1Zg=="


def test_the_index_of_a_large_table_names_the_rows_of_every_partition(store: AlertTable) -> None:
    keys = [f"{number:02x}" * 32 for number in (0, 9, 10, 127, 160, 255)]
    for key in keys:
        store.insert(changed(record(), key=key))
    store.small = 1

    assert [outline.key for outline in store.index().outlines] == keys


def test_of_a_part_of_the_table_that_is_in_trouble_the_rest_is_shown(store: AlertTable) -> None:
    store.insert(record())
    store.small = 1

    class InTrouble(AlertTable):
        small = 1

        def _paged(self, condition: str, parameters: Any, *args: Any, **options: Any) -> Any:
            if parameters["partition"] in ("a1", "b2"):
                raise Unavailable("this part of the table is in trouble")
            return super()._paged(condition, parameters, *args, **options)

    store.insert(changed(record(), key=OTHER_KEY))
    index = InTrouble(store._table).index()

    assert [outline.key for outline in index.outlines] == [KEY]
    assert isinstance(index.failure, Unavailable)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_look_whose_first_answer_was_lost_is_known_to_be_its_own(store: AlertTable, is_first: bool) -> None:
    """The library repeats the request, and the repetition is refused because the first one took effect."""
    store.insert(record())
    if not is_first:
        store.begin_look(NOW - HOUR, unless_since=NOW - HOUR)
    method = "create_entity" if is_first else "update_entity"
    write = getattr(store._table, method)

    def twice(*args: Any, **options: Any) -> Any:
        write(*args, **options)
        return write(*args, **options)

    setattr(store._table, method, twice)  # the wire, not our code

    assert store.begin_look(NOW, unless_since=NOW - SECOND)


def test_an_index_in_a_table_that_does_not_answer_is_given_up_soon() -> None:
    with Azurite() as own:
        store = AlertTable(connect_table(storage(own.connection_string)))
        store.insert(record())
        own.pause()
        began = time.monotonic()

        index = store.index()

    assert (list(index.outlines), type(index.failure)) == ([], Unavailable)
    assert time.monotonic() - began < 60


def test_a_transaction_whose_answer_was_lost_is_whole(azurite: Azurite) -> None:
    lost = ["table insert", "table replace"]

    @contextmanager
    def losing(name: str) -> Iterator[None]:
        yield
        if name in lost:
            lost.remove(name)
            raise Cut

    with Tap(azurite.connection_string, watch=losing) as tap:
        name = "alerts" + uuid.uuid4().hex[:12]
        store = AlertTable(TableClient.from_connection_string(tap.connection_string, name, retry_total=0))
        store.check()
        with pytest.raises(Unavailable):
            store.insert(record())
        row = store.read(KEY)
        assert row is not None
        opened = [outline.key for outline in store.index().outlines]
        with pytest.raises(Unavailable):
            store.replace(row.settled(row))
        settled = store.read(KEY)

    assert settled is not None
    with TableClient.from_connection_string(azurite.connection_string, name) as table:
        left = AlertTable(table).index().outlines
    assert (opened, settled.is_settled, left) == ([KEY], True, [])
