"""Which configuration item is an alert's resource?

An exact match or none, for a wrong item sends the incident to the wrong people. What is asked, the best first, until
one step finds something, for the resource and then for each resource that it is a part of:

1. the ARM id in `object_id` of the classes that hold such resources
2. the ARM id in `sys_object_source`, which knows every item by the key that its source gave it
3. the name within these classes: an item that carries our ARM id, however it is cased, else the only one without any.
   The name of a part ("default", "master") says nothing without its ARM id.

A name without an ARM id is that of a host: alerts name everything else by its ARM id too. It is looked for among the
same classes, so that an alert by name and one by id find the same item, and as a fully qualified domain name.

Several live items at one step end the search for the resource; retired and absent ones do not count.
What ServiceNow does not let us ask, or what cannot be asked without danger, is skipped and told.

Where the instance compares values letter by letter, an ARM id is not found by steps 1 and 2 if its names are stored
neither as received nor in lower case; nor by step 3 if its last name is stored neither so nor in capitals.

Source of truth: https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
"""

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Generic, TypeVar

from itsm_bridge.errors import BridgeError, InvalidSettings, Rejected, Unavailable
from itsm_bridge.servicenow.cmdb.classes import SOURCES, Question, lineage, questions_of, resource_of
from itsm_bridge.servicenow.cmdb.match import (
    FIELDS,
    SYS_ID,
    Answer,
    Binding,
    answer_of,
    first_of,
    judged,
    key_of,
    not_found,
)
from itsm_bridge.servicenow.table_api import NoSuchTable, NotAllowed, TableApi, UnknownField, is_plain

log = logging.getLogger(__name__)

#: How long the next request may take; raises Unavailable when the time is up.
TimeLeft = Callable[[], timedelta]

#: Requests of one call of `bind`. The usual item takes one; what is nowhere takes 3 to 5, and so does each parent.
_MOST_REQUESTS = 20
#: How many resources are asked for that one is a part of.
_MOST_PARENTS = 3
#: Rows of one answer: an item and its retired predecessors. A full page may hide another live one.
_MOST_ROWS = 20
#: Characters of what is looked up; hardly any resource id is longer.
_LONGEST = 512

# Seconds, as the clock counts them.
#: Items move as people plan their changes, not by the minute.
_FOUND_FRESH = 3600.0
#: A new machine may alert before it is discovered: its next incident shall have the item, without each alert of a
#: storm asking for what is not there. It is also how long a search that was cut by time can be resumed.
_OTHERWISE_FRESH = 300.0
_CACHE_SIZE = 2000

_TABLE = re.compile(r"[a-z][a-z0-9_]*")

#: Why there is no asking by a field.
_REMARKS: Mapping[type[BridgeError], str] = {
    UnknownField: "there is no such field",
    NotAllowed: "we may not read it",
    NoSuchTable: "there is no such table",
}

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Cache(Generic[K, V]):
    """What was learnt, for a while; what was not used for longest is forgotten first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            value, ends_at = self._entries.get(key, (None, 0.0))
            if value is None or self._clock() >= ends_at:
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: K, value: V, fresh: float) -> None:
        with self._lock:
            self._entries[key] = (value, self._clock() + fresh)
            self._entries.move_to_end(key)
            if len(self._entries) > _CACHE_SIZE:
                self._entries.popitem(last=False)


class _Enough(Exception):
    """One call has made as many requests as it may."""


class _Allowance:
    """The requests and the time of one call."""

    def __init__(self, left: TimeLeft) -> None:
        self.left = left
        self._requests = 0

    def for_request(self) -> timedelta:
        """Count a request and return how long it may take."""
        if self._requests == _MOST_REQUESTS:
            raise _Enough
        self._requests += 1
        return self.left()


class Cmdb:
    """The configuration items of one instance; safe to share between threads."""

    def __init__(
        self,
        table_api: TableApi,
        *,
        overrides: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use `table_api`; nothing is sent yet.

        Args:
            table_api: The tables of the instance.
            overrides: The class of each resource type ("Microsoft.Web/sites") that the instance keeps elsewhere.
            clock: Seconds from any origin, for the age of what was learnt.

        Raises:
            InvalidSettings: an override names no table.
        """
        wrong = sorted(table for table in (overrides or {}).values() if not _TABLE.fullmatch(table))
        if wrong:
            raise InvalidSettings(f"no names of CMDB classes: {', '.join(wrong)}")
        self._table_api = table_api
        self._overrides = {each.lower(): table for each, table in (overrides or {}).items()}
        self._bindings: _Cache[str, Binding] = _Cache(clock)
        self._answers: _Cache[Question, Answer] = _Cache(clock)
        #: By table and field: why there is no asking.
        self._closed: _Cache[tuple[str, str], str] = _Cache(clock)
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    def known(self, resources: Sequence[str]) -> Binding | None:
        """Return what `bind` would, without any request; None if that takes one."""
        return first_of(resources, lambda resource: self._bindings.get(key_of(resource)))

    def bind(self, resources: Sequence[str], *, left: TimeLeft) -> Binding:
        """Return the item of the first resource that has one. What was learnt makes a repetition cheaper.

        Args:
            resources: ARM ids and names, the best first; the first 5 are looked up, with 20 requests in all.
            left: Called before each request and each wait for another thread: how long it may take.

        Raises:
            Unavailable: ServiceNow did not answer, or `left` says that the time is up.
        """
        allowance = _Allowance(left)
        try:
            binding = first_of(resources, lambda resource: self._found(resource, allowance))
        except _Enough:
            binding = None
        return binding or Binding(reason=f"No configuration item. None was found with {_MOST_REQUESTS} requests.")

    def _found(self, resource: str, allowance: _Allowance) -> Binding:
        key = key_of(resource)
        binding = self._bindings.get(key)
        if binding is not None:
            return binding
        with self._turn(key, allowance.left):
            binding = self._bindings.get(key)
            if binding is None:
                binding = self._search(resource, allowance)
                self._bindings.put(key, binding, _FOUND_FRESH if binding.sys_id else _OTHERWISE_FRESH)
        return binding

    @contextmanager
    def _turn(self, key: str, left: TimeLeft) -> Iterator[None]:
        """Hold the right to search for one resource; wait while another thread has it."""
        with self._changed:
            while key in self._under_way:
                if not self._changed.wait(timeout=left().total_seconds()):
                    raise Unavailable("another search for the same configuration item takes too long")
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(key)
                self._changed.notify_all()

    def _search(self, text: str, allowance: _Allowance) -> Binding:
        resource = resource_of(text)
        asked = []
        for target in islice(lineage(resource), 1 + _MOST_PARENTS):
            for question in questions_of(target, self._overrides):
                answer = self._answer(question, allowance)
                if question.table == SOURCES and answer.rows:
                    answer = self._items_of(answer, allowance)
                binding = judged(resource, target, question, answer)
                if binding is not None:
                    return binding
                asked.append((question, answer))
        return not_found(resource, asked)

    def _items_of(self, sources: Answer, allowance: _Allowance) -> Answer:
        """Return the items that rows of `sys_object_source` stand for, of whatever class."""
        targets = sorted({row.get("target_sys_id", "") for row in sources.rows})
        sys_ids = tuple(each for each in targets if SYS_ID.fullmatch(each))
        return (
            self._answer(Question(table="cmdb_ci", field="sys_id", values=sys_ids), allowance) if sys_ids else Answer()
        )

    def _answer(self, question: Question, allowance: _Allowance) -> Answer:
        answer = self._answers.get(question)
        if answer is None:
            answer = self._asked(question, allowance)
            self._answers.put(question, answer, _OTHERWISE_FRESH)
        return answer

    def _asked(self, question: Question, allowance: _Allowance) -> Answer:
        if not all(is_plain(value) and len(value) <= _LONGEST for value in question.values):
            return Answer(remark="not asked: too long, or with characters that no query may hold")
        place = (question.table, question.field)
        closed = self._closed.get(place)
        if closed is not None:
            return Answer(remark=closed)
        try:
            rows = self._table_api.query(
                question.table,
                {question.field: question.values},
                fields=("target_sys_id",) if question.table == SOURCES else FIELDS,
                limit=_MOST_ROWS,
                within=allowance.for_request(),
            )
        except (UnknownField, NotAllowed, NoSuchTable) as error:
            return self._close(place, _REMARKS[type(error)])
        except Rejected:
            return Answer(remark="ServiceNow refuses the question")
        return answer_of(rows, limit=_MOST_ROWS)

    def _close(self, place: tuple[str, str], remark: str) -> Answer:
        """Ask no more by this field for a while, whatever the value."""
        self._closed.put(place, remark, _OTHERWISE_FRESH)
        log.warning("configuration items are not looked up in %s by %s: %s", *place, remark)
        return Answer(remark=remark)
