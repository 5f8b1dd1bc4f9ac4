"""When is a key to be looked at again?

A wake-up is a message of the queue `alert-wakeups`: the key and nothing else, invisible until it is due.
It says *look at this key*, never what to do. It never expires.
The reconciler calls `WakeUpQueue` as its `WakeUps`. Messages are taken by the Functions host, not here.
"""

import base64
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from azure.core.exceptions import ResourceNotFoundError

from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.storage.account import answering, created_if_absent
from itsm_bridge.storage.row_format import is_key

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

_T = TypeVar("_T")

_NEVER = -1  # seconds, "for infinity": a wake-up that expires would be an alert that is lost
_HEAD = 32  # the queue shows no more
_LONGEST_DELAY = timedelta(days=7)  # the queue refuses more


class WakeUpQueue:
    """The queue, created when it is absent."""

    def __init__(self, connect: "Callable[[], QueueClient]") -> None:
        """Connect when the queue is needed first, because most alerts need none and the library is slow to import."""
        self._connect = connect

    @cached_property
    def _queue(self) -> "QueueClient":
        return self._connect()

    def send(self, key: str, *, delay: timedelta) -> WakeUp:
        """Have `key` looked at after `delay`, in whole seconds.

        Raises:
            Unavailable: the queue did not answer; the wake-up may or may not come.
        """
        seconds = round(min(max(delay, timedelta(0)), _LONGEST_DELAY).total_seconds())
        message = self._asked(lambda: self._queue.send_message(key, visibility_timeout=seconds, time_to_live=_NEVER))
        return WakeUp(message_id=str(message.id), pop_receipt=str(message.pop_receipt))

    def take_back(self, wake_up: WakeUp) -> None:
        """Delete a wake-up that is not needed any more; one that is gone already is no error.

        Raises:
            Unavailable: the queue did not answer; the wake-up may still come and will find nothing to do.
        """
        try:
            self._asked(lambda: self._queue.delete_message(wake_up.message_id, wake_up.pop_receipt))
        except ResourceNotFoundError:
            return

    def peek(self) -> Sequence[tuple[str, str]]:
        """Return the key and the message id of each wake-up at the head of the queue: due, not taken, at most 32.

        Raises:
            Unavailable: the queue did not answer.
        """
        messages = self._asked(lambda: self._queue.peek_messages(max_messages=_HEAD))
        return [(_decoded(str(message.content)), str(message.id)) for message in messages]

    def check(self) -> None:
        """Prove that the queue answers.

        Raises:
            Unavailable: it does not.
        """
        self._asked(self._queue.get_queue_properties)

    def _asked(self, call: Callable[[], _T]) -> _T:
        with answering("the queue"):
            return created_if_absent(call, create=self._queue.create_queue, absent="QueueNotFound")


def _decoded(content: str) -> str:
    """Return the key that a message holds, decoded by the client or not; "" for a message that is not ours."""
    if is_key(content):
        return content
    try:
        text = base64.b64decode(content, validate=True).decode("ascii")
    except ValueError:
        return ""
    return text if is_key(text) else ""
