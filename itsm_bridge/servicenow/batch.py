"""How are several reads sent as one request, and which answer belongs to which?

`table_api` asks here whether a batch may be sent, what its body is, and what its answer says. Nothing is sent here.

1. Only reads are sent together: of a batch of writes, half could take effect.
2. An answer belongs to the read whose id it carries, in whatever order answers come. A read that was left unserviced,
   that has no answer or two different ones, or one that is cut, has none: it is asked alone.
3. Access control applies to each read, so that each answer is judged as if it had come alone. Who answered the batch
   answered its reads: they have the batch's `X-Transaction-ID`, because the answers inside show none.
4. An instance that refuses batches is not asked for one again for a while, nor is one that leaves them unanswered.
   What its own nodes say of the Batch API counts for all processes (`knowledge`), what anybody else says for this one.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/api-reference/rest-apis/batch-api.md
"""

import base64
import binascii
import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Final, NamedTuple, Self
from urllib.parse import urlencode

from itsm_bridge.deadline import Clock
from itsm_bridge.servicenow.knowledge import Knowledge, Subject
from itsm_bridge.servicenow.queries import Query, named
from itsm_bridge.servicenow.verdicts import Effect, Verdict, parsed
from itsm_bridge.transport import Received

log = logging.getLogger(__name__)

#: Below the address of an instance. The version is named, so that an upgrade does not change what is answered.
PATH: Final = "v1/batch"
#: What the log and metrics call it.
TABLE: Final = "batch"

#: Reads of one batch. The instance executes them one after another and ends the whole after 30 seconds.
MOST_READS: Final = 20

#: How long no batch is sent after one had no usable answer, each time twice as long until one has: an instance may be
#: too slow for all questions of a batch, and fast enough for the first of them.
_PAUSE: Final = timedelta(minutes=5)
#: The longest pause, also if the instance asks for more.
_LONGEST_PAUSE: Final = timedelta(hours=1)
#: The refusals of our account in a row that are believed: nodes refuse for a moment what they allow (KB2466644).
_BELIEVED_REFUSALS: Final = 2

_HEADERS: Final = [
    {"name": "Accept", "value": "application/json"},
    {"name": "Content-Type", "value": "application/json"},
]

#: The statuses by which something in front of the instance says that it is away.
_AWAY: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class Batch(NamedTuple):
    """Several reads, and how they are told apart."""

    batch_id: str
    queries: Sequence[Query]

    @classmethod
    def of(cls, batch_id: str, queries: Sequence[Query]) -> Self:
        """Return a batch with an id that no other batch has.

        Raises:
            ValueError: there are too many reads. A bug.
        """
        if len(queries) > MOST_READS:
            raise ValueError(f"a batch of {len(queries)} reads is too large")
        return cls(batch_id, queries)

    @property
    def body(self) -> bytes:
        """The body of the request; raises ValueError as `Query.params`."""
        reads = [
            {"id": str(number), "method": "GET", "url": url_of(query), "headers": _HEADERS}
            for number, query in enumerate(self.queries)
        ]
        return json.dumps({"batch_request_id": self.batch_id, "rest_requests": reads}).encode()

    def answers_in(self, received: Received) -> Sequence[Received | None] | None:
        """Return the answer to each read, None for one that has none; None if this is no answer to the batch."""
        content = parsed(received.body) if received.status == HTTPStatus.OK else None
        told = content if isinstance(content, dict) else {}
        serviced = told.get("serviced_requests")
        if not isinstance(serviced, list) or str(told.get("batch_request_id")) != self.batch_id:
            return None
        by_id: dict[str, Received | None] = {}
        for item in serviced:
            if isinstance(item, dict) and isinstance(item.get("id"), (str, int)):
                answer, read_id = _answer(item, received), str(item["id"])
                # Of two different answers nobody knows which one is right.
                by_id[read_id] = answer if by_id.get(read_id, answer) == answer else None
        return [by_id.get(str(number)) for number in range(len(self.queries))]


def url_of(query: Query) -> str:
    """Return where a query is asked, relative to the instance; raises ValueError as `Query.params`."""
    return f"/api/now/table/{named(query.table)}?{urlencode(query.params)}"


class Batches:
    """Whether batches may be sent to one instance; safe to share between threads."""

    def __init__(self, knowledge: Knowledge, *, clock: Clock = time.monotonic) -> None:
        """Ask and tell `knowledge` whether the instance has the Batch API for us; `clock` times pauses."""
        self._knowledge = knowledge
        self._clock = clock
        self._lock = threading.Lock()
        self._paused_until = clock()
        self._failures = 0
        self._refusals = 0

    @property
    def may_be_sent(self) -> bool:
        """Whether nothing speaks against sending one."""
        with self._lock:
            if self._clock() < self._paused_until:
                return False
        return self._knowledge.says(Subject.ANSWERS_BATCHES) is not False

    def answered(self) -> None:
        """Take in that a batch had answers."""
        with self._lock:
            self._failures = self._refusals = 0
        self._knowledge.learn(Subject.ANSWERS_BATCHES, value=True)

    def failed(self, verdict: Verdict) -> bool:
        """Take in that a batch had no answers; return whether its reads can be asked one by one at once.

        They cannot where the verdict says that the instance is away, or leaves us no time.
        """
        is_absent = verdict.is_no_table
        is_refused = verdict.is_refusal or verdict.effect is Effect.REJECTED or verdict.is_absent
        is_away = verdict.is_hibernating or verdict.status in _AWAY
        has_answer = verdict.status is not None or verdict.is_too_large
        with self._lock:
            self._refusals += is_refused
            is_believed = is_absent or (is_refused and self._refusals >= _BELIEVED_REFUSALS)
            now = self._clock()
            # Batches that were under way together fail together, and count once.
            self._failures += now >= self._paused_until
            pause = min(max(_PAUSE * 2 ** min(self._failures - 1, 10), verdict.retry_after or _PAUSE), _LONGEST_PAUSE)
            self._paused_until = now + pause.total_seconds()
        if is_believed:
            self._knowledge.learn(Subject.ANSWERS_BATCHES, value=False)
        told = "for a day" if is_believed else f"for {pause.total_seconds() / 60:.0f} minutes"
        log.warning(
            "ServiceNow does not answer several questions at once, and is not asked so %s: %s", told, verdict.reason
        )
        return has_answer and not is_away


def _answer(item: Mapping[str, object], batch: Received) -> Received | None:
    """Return the answer to one read as if it had come alone; None if it is none."""
    status, headers, body = item.get("status_code"), item.get("headers"), item.get("body")
    # Some releases may give the status as text.
    status = int(status) if isinstance(status, str) and status.isascii() and status.isdecimal() else status
    if isinstance(status, bool) or not isinstance(status, int) or not isinstance(body, str | None):
        return None
    try:
        content = base64.b64decode("".join((body or "").split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    named = {
        str(each["name"]).lower(): str(each["value"])
        for each in (headers if isinstance(headers, list) else [])
        if isinstance(each, dict) and "name" in each and "value" in each
    }
    whose = {name: value for name, value in batch.headers.items() if name.lower() == "x-transaction-id"}
    return Received(status=status, headers={**named, **whose}, body=content)
