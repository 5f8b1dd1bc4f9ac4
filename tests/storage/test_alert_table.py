import re
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.data.tables import TableClient

from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.settings import StorageSettings
from itsm_bridge.storage.account import connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import to_entity
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from local.azurite import Azurite
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, known_record, record, resolved, told, worked

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


def test_what_awaits_work_and_is_overdue_is_found(store: AlertTable) -> None:
    overdue = store.insert(changed(record(), wake_up_at=NOW - HOUR))
    store.insert(changed(record(), key=OTHER_KEY, wake_up_at=NOW + MINUTE))
    store.insert(worked(changed(record(), key="b2" * 32, wake_up_at=NOW - HOUR), "parked", "no"))
    store.insert(changed(known_record(), key="c3" * 32, wake_up_at=NOW - HOUR))

    assert list(store.awaiting_work(due_before=NOW - WAKE_UP_GRACE)) == [overdue]


def test_only_what_is_settled_and_over_is_old_enough_to_go(store: AlertTable) -> None:
    over = told(known_record(), resolved())
    gone = store.insert(changed(over.settled(over), changed_at=NOW - HOUR))
    store.insert(changed(over.settled(over), key=OTHER_KEY, changed_at=NOW))
    store.insert(changed(over, key="b2" * 32, changed_at=NOW - HOUR))
    store.insert(changed(known_record(), key="c3" * 32, changed_at=NOW - HOUR))
    store.insert(changed(over.settled(over), key="d4" * 32, changed_at=NOW - HOUR, is_parked=True))

    assert list(store.idle_since(changed_before=NOW - MINUTE)) == [gone]


def test_an_absent_table_has_no_rows(store: AlertTable) -> None:
    assert list(store.awaiting_work(due_before=NOW)) == []


def test_storage_that_hangs_is_unavailable_within_seconds() -> None:
    with Azurite() as own:
        store = AlertTable(connect_table(storage(own.connection_string)))
        wakeups = WakeUpQueue(connect_queue(storage(own.connection_string)))
        wake_up = wakeups.send(KEY, delay=HOUR)
        row = store.insert(record())
        own.pause()
        calls = [
            lambda: store.insert(record()),
            lambda: store.read(KEY),
            lambda: store.replace(row),
            lambda: store.delete(row),
            lambda: list(store.awaiting_work(due_before=NOW)),
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
        WakeUpQueue(connect_queue(settings)).send(KEY, delay=SECOND)
    # The queue's library would wait 15 s and more before it tries again.
    assert time.monotonic() - began < 5


def test_a_row_that_cannot_be_read_does_not_hide_the_others(store: AlertTable) -> None:
    for key in ("a1" * 32, "c3" * 32):
        store.insert(changed(record(), key=key, wake_up_at=NOW - HOUR))
    damaged = {**to_entity(changed(record(), key="b2" * 32, wake_up_at=NOW - HOUR)), "document_0": "{broken"}
    store._table.create_entity(damaged)

    found = [row.key for row in store.awaiting_work(due_before=NOW)]

    assert found == ["a1" * 32, "c3" * 32]


def test_a_wake_up_that_is_gone_is_taken_back_without_error(azurite: Azurite) -> None:
    wakeups = WakeUpQueue(connect_queue(storage(azurite.connection_string)))
    wake_up = wakeups.send(KEY, delay=HOUR)

    wakeups.take_back(wake_up)
    wakeups.take_back(wake_up)
    wakeups.take_back(WakeUp(message_id=str(uuid.uuid4()), pop_receipt=wake_up.pop_receipt))


def test_a_wake_up_is_the_key_in_base64_and_comes_when_it_is_due(azurite: Azurite) -> None:
    queue = connect_queue(storage(azurite.connection_string))
    wakeups = WakeUpQueue(queue)
    wakeups.check()
    queue.clear_messages()
    sent = wakeups.send(KEY, delay=-SECOND)
    wakeups.send(OTHER_KEY, delay=HOUR)

    received = list(queue.receive_messages(max_messages=10))

    assert [(message.id, message.content) for message in received] == [(sent.message_id, KEY_IN_BASE64)]


#: What the Functions host decodes; this client is left without a decoder on purpose.
KEY_IN_BASE64 = "NWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1ZjVmNWY1Zg=="
