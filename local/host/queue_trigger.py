"""Which message is a function given, and what becomes of it? As the real host's Azure Queue Storage trigger does it.

The server makes one trigger per queue function; the worker runs the function.

1. A batch is fetched whenever at most `newBatchThreshold` messages are being worked on.
2. A message is invisible while its function runs, for a lease that is renewed at half-time.
3. Success deletes it. Failure makes it visible again after `visibilityTimeout`,
   and at `maxDequeueCount` moves it to `<queue>-poison`, which is created when absent.
4. An empty, missing or unreachable queue is asked again after 100 ms, then after ever longer,
   at most `maxPollingInterval`. Nothing ends the polling but the host.
5. A message that cannot be decoded goes to the poison queue without a try.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue-trigger
         https://github.com/Azure/azure-sdk-for-net (Microsoft.Azure.WebJobs.Extensions.Storage.Queues)
"""

import base64
import json
import logging
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import LinearRetry, QueueClient, QueueMessage

from local.host import protos
from local.host.host_json import QueueSettings
from local.host.worker import Function, Invocation, Worker

FIRST_POLLING_INTERVAL = timedelta(milliseconds=100)
POISON_SUFFIX = "-poison"
#: How long a message is hidden for the function that works on it.
LEASE = timedelta(minutes=10)
#: Seconds. As patient as the real host's client, because messages of an answer that nobody waits for are hidden for a
#: whole lease.
READ_TIMEOUT = 100
CONNECTION_TIMEOUT = 5

#: When a message that is in no queue expires.
END_OF_TIME = datetime.max.replace(tzinfo=UTC)

logger = logging.getLogger("host.queue")


class QueueTrigger:
    """Gives the messages of one queue to one function, from `start` until `stopping` is set."""

    def __init__(
        self,
        function: Function,
        worker: Worker,
        settings: QueueSettings,
        *,
        stopping: threading.Event,
        lease: timedelta = LEASE,
    ) -> None:
        self.function = function
        self._worker = worker
        self._settings = settings
        self._stopping = stopping
        self._lease = lease
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether messages are fetched or worked on: from `start` on until `stopping` is set and all is done."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, app_settings: Mapping[str, str]) -> None:
        """Start polling; without a usable connection string this function gets no messages, and the log says so."""
        setting = self.function.trigger.get("connection") or "AzureWebJobsStorage"
        connection_string = app_settings.get(f"AzureWebJobs{setting}") or app_settings.get(setting, "")
        try:
            queue = _connect(connection_string, self.function.trigger["queueName"])
            poison_queue = _connect(connection_string, queue.queue_name + POISON_SUFFIX)
        except ValueError:
            logger.error(
                "The listener for function 'Functions.%s' was unable to start: "
                "app setting %s holds no connection string.",
                *(self.function.name, setting),
            )
            return
        self._thread = threading.Thread(target=self._poll, args=(queue, poison_queue), daemon=True)
        self._thread.start()

    def invoke(self, text: str) -> Future[Invocation]:
        """Give the function a message that is in no queue."""
        now = datetime.now(UTC)
        message = QueueMessage(
            content=text, dequeue_count=0, inserted_on=now, expires_on=END_OF_TIME, next_visible_on=END_OF_TIME
        )
        return self._submit(message, text)

    def _poll(self, queue: QueueClient, poison_queue: QueueClient) -> None:
        interval = timedelta()
        in_flight: set[Future[None]] = set()
        with ThreadPoolExecutor(self._settings.max_concurrency) as threads:
            while not self._stopping.wait(interval.total_seconds()):
                messages = self._receive(queue)
                in_flight |= {threads.submit(self._work, queue, poison_queue, message) for message in messages}
                while len(in_flight) > self._settings.new_batch_threshold:
                    in_flight = wait(in_flight, return_when=FIRST_COMPLETED).not_done
                interval = timedelta() if messages else self._next_interval(interval)

    def _next_interval(self, interval: timedelta) -> timedelta:
        longer = max(FIRST_POLLING_INTERVAL, interval * random.uniform(1.6, 2.4))
        return min(longer, self._settings.max_polling_interval)

    def _receive(self, queue: QueueClient) -> Sequence[QueueMessage]:
        lease = round(self._lease.total_seconds())
        size = self._settings.batch_size
        try:
            # One page is one request: iterating over the messages would ask on until the queue is empty.
            pages = queue.receive_messages(messages_per_page=size, visibility_timeout=lease).by_page()
            return list(next(pages, ()))
        except AzureError as error:
            logger.debug("Queue %s cannot be read: %s", queue.queue_name, type(error).__name__)
            return ()

    def _work(self, queue: QueueClient, poison_queue: QueueClient, message: QueueMessage) -> None:
        try:
            self._see_through(queue, poison_queue, message)
        except ResourceNotFoundError:
            logger.debug("Message %s is gone from queue %s.", message.id, queue.queue_name)
        except AzureError as error:
            logger.warning(
                "Message %s of queue %s could be neither completed nor released (%s): it comes back after its lease.",
                *(message.id, queue.queue_name, type(error).__name__),
            )

    def _see_through(self, queue: QueueClient, poison_queue: QueueClient, message: QueueMessage) -> None:
        """Run the function on `message` and settle what becomes of it.

        Raises:
            AzureError: the storage did not do its part; the message comes back when its lease ends.
        """
        text = self._decode(message)
        if text is None:
            logger.warning("Message %s of queue %s cannot be decoded.", message.id, queue.queue_name)
            _move(message, queue, poison_queue)
            return
        dequeue_count = message.dequeue_count or 0
        if dequeue_count <= self._settings.max_dequeue_count:
            invocation = self._submit(message, text)
            if self._await(invocation, queue, message).succeeded:
                queue.delete_message(message.id, message.pop_receipt)
                return
        if queue.queue_name.endswith(POISON_SUFFIX):
            # There is no poison queue of a poison queue: the message waits for the end of its lease.
            return
        if dequeue_count >= self._settings.max_dequeue_count:
            _move(message, queue, poison_queue)
            return
        hidden = round(self._settings.visibility_timeout.total_seconds())
        queue.update_message(message.id, message.pop_receipt, visibility_timeout=hidden)

    def _await(self, invocation: Future[Invocation], queue: QueueClient, message: QueueMessage) -> Invocation:
        """Wait for the end of `invocation`, renewing the message's lease and its pop receipt."""
        lease = round(self._lease.total_seconds())
        while not wait([invocation], timeout=self._lease.total_seconds() / 2).done:
            try:
                renewed = queue.update_message(message.id, message.pop_receipt, visibility_timeout=lease)
            except AzureError as error:
                # The function runs on; at its end the storage says whether the message is still ours.
                logger.debug("The lease of message %s was not renewed: %s", message.id, type(error).__name__)
            else:
                message.pop_receipt = renewed.pop_receipt
        return invocation.result()

    def _decode(self, message: QueueMessage) -> str | None:
        """Return the text of `message`; None if it is not in the encoding of host.json."""
        if not self._settings.is_base64:
            return str(message.content)
        try:
            return base64.b64decode(message.content, validate=True).decode(errors="replace")
        except ValueError:
            return None

    def _submit(self, message: QueueMessage, text: str) -> Future[Invocation]:
        metadata = {
            "QueueTrigger": protos.TypedData(string=text),
            "Id": protos.TypedData(string=message.id),
            "PopReceipt": protos.TypedData(string=message.pop_receipt),
            "DequeueCount": protos.TypedData(json=json.dumps(message.dequeue_count)),
            "InsertionTime": _time(message.inserted_on),
            "ExpirationTime": _time(message.expires_on),
            "NextVisibleTime": _time(message.next_visible_on),
        }
        return self._worker.submit(self.function, protos.TypedData(string=text), metadata)


def _connect(connection_string: str, queue_name: str) -> QueueClient:
    return QueueClient.from_connection_string(
        connection_string,
        queue_name,
        connection_timeout=CONNECTION_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retry_policy=LinearRetry(backoff=1, retry_total=3, random_jitter_range=0),
        # In production the host's own requests do not show up in the app's log.
        logger=_silent,
    )


def _move(message: QueueMessage, queue: QueueClient, poison_queue: QueueClient) -> None:
    logger.warning("Message %s is moved to %s.", message.id, poison_queue.queue_name)
    try:
        poison_queue.send_message(message.content)
    except ResourceNotFoundError:
        poison_queue.create_queue()
        poison_queue.send_message(message.content)
    queue.delete_message(message.id, message.pop_receipt)


def _time(moment: datetime | None) -> protos.TypedData:
    return protos.TypedData(json=json.dumps(moment.replace(tzinfo=UTC).isoformat()) if moment else None)


_silent = logging.getLogger("host.queue.requests")
_silent.setLevel(logging.WARNING)
