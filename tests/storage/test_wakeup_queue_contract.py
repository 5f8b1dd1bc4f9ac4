"""The queue in memory and the real one deliver the same of the same wake-ups."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

from itsm_bridge.errors import Unavailable
from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from local.azurite import Azurite
from proof.simulator.memory import MemoryWakeUps
from tests.builders import HOUR, KEY, NOW, SECOND

LEASE = timedelta(minutes=1)


class MemoryQueue:
    """What the host sees of the queue in memory."""

    def __init__(self) -> None:
        self.now = NOW
        self.wakeups = MemoryWakeUps(now=lambda: self.now)

    def take(self) -> list[tuple[str, str, int]]:
        """Take what is visible: id, key, and how often it was taken."""
        messages = list(self.wakeups.messages.values())
        return [
            (each.message_id, each.key, each.dequeue_count)
            for each in messages
            if self.wakeups.take(each.message_id, lease=LEASE)
        ]

    def release(self, message_id: str) -> None:
        """Make a taken message visible at once."""
        self.wakeups.hide(message_id, timedelta(0))

    def reach(self, moment: timedelta) -> None:
        """Wait until so long after the beginning."""
        self.now = NOW + moment

    def count(self) -> int:
        return self.wakeups.count


class AzuriteQueue:
    """What the host sees of the real queue."""

    def __init__(self, queue: QueueClient) -> None:
        self._queue = queue
        self._begin = datetime.now(UTC)
        self._receipts: dict[str, str] = {}
        self.wakeups = WakeUpQueue(lambda: queue)

    def take(self) -> list[tuple[str, str, int]]:
        taken = []
        for each in self._queue.receive_messages(max_messages=32, visibility_timeout=int(LEASE.total_seconds())):
            self._receipts[each.id] = str(each.pop_receipt)
            taken.append((each.id, str(each.content), each.dequeue_count or 0))
        return taken

    def release(self, message_id: str) -> None:
        self._queue.update_message(message_id, self._receipts[message_id], visibility_timeout=0)

    def reach(self, moment: timedelta) -> None:
        left = self._begin + moment - datetime.now(UTC)
        time.sleep(max(left.total_seconds(), 0))

    def count(self) -> int:
        self.wakeups.check()
        return int(self._queue.get_queue_properties().approximate_message_count or 0)


Queue = MemoryQueue | AzuriteQueue


@pytest.fixture(params=["memory", "azurite"])
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    if request.param == "memory":
        yield MemoryQueue()
        return
    azurite = request.getfixturevalue("azurite")
    assert isinstance(azurite, Azurite)
    client = QueueClient.from_connection_string(
        azurite.connection_string,
        f"wakeups-{uuid.uuid4().hex[:12]}",
        message_encode_policy=TextBase64EncodePolicy(),
        message_decode_policy=TextBase64DecodePolicy(),
    )
    with client:
        client.create_queue()
        yield AzuriteQueue(client)


def test_a_wake_up_without_delay_is_there_at_once_and_only_once(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=timedelta(seconds=-3))

    assert (queue.take(), queue.take()) == ([(sent.message_id, KEY, 1)], [])


def test_a_delayed_wake_up_comes_when_it_is_due(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=2 * SECOND)
    early = queue.take()
    queue.reach(3 * SECOND)

    assert (early, queue.take()) == ([], [(sent.message_id, KEY, 1)])


def test_two_wake_ups_of_one_key_are_two(queue: Queue) -> None:
    sent = {queue.wakeups.send(KEY, delay=timedelta(0)).message_id for _ in range(2)}

    assert (len(sent), {message_id for message_id, _, _ in queue.take()}) == (2, sent)


def test_a_released_message_is_taken_once_more(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=timedelta(0))
    queue.take()
    queue.release(sent.message_id)

    assert queue.take() == [(sent.message_id, KEY, 2)]


def test_a_wake_up_is_taken_back_and_once_more_is_no_error(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=HOUR)
    queue.wakeups.take_back(sent)
    queue.wakeups.take_back(sent)

    assert queue.count() == 0


def test_a_wake_up_that_the_host_has_is_not_taken_back(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=timedelta(0))
    queue.take()

    with pytest.raises(Unavailable):
        queue.wakeups.take_back(sent)
    assert queue.count() == 1


def test_what_was_never_sent_is_taken_back_without_error(queue: Queue) -> None:
    sent = queue.wakeups.send(KEY, delay=HOUR)
    queue.wakeups.take_back(WakeUp(message_id=str(uuid.uuid4()), pop_receipt=sent.pop_receipt))

    assert queue.count() == 1


def test_the_head_of_the_queue_is_shown_and_left_there(queue: Queue) -> None:
    sent = [queue.wakeups.send(f"{number:02x}" * 32, delay=timedelta(0)) for number in range(3)]
    queue.wakeups.send(KEY, delay=HOUR)

    head = [queue.wakeups.peek() for _ in range(2)]

    assert head == [[(f"{number:02x}" * 32, each.message_id) for number, each in enumerate(sent)]] * 2
    assert len(queue.take()) == len(sent)


def test_what_was_taken_is_not_at_the_head_and_still_counts(queue: Queue) -> None:
    queue.wakeups.send(KEY, delay=timedelta(0))
    queue.wakeups.send(KEY, delay=HOUR)
    queue.take()

    assert (list(queue.wakeups.peek()), queue.count()) == ([], 2)


def test_the_head_is_no_longer_than_a_queue_shows(queue: Queue) -> None:
    for number in range(40):
        queue.wakeups.send(f"{number:02x}" * 32, delay=timedelta(0))

    assert len(queue.wakeups.peek()) == 32
