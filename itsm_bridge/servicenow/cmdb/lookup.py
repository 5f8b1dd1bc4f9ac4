"""Which configuration item is an alert's resource?

`target.ServiceNow` calls `Cmdb.find`; the questions come from `classes`, and `match` judges the rows. The incident is
not written here. The answer is an exact match or none, because a wrong item sends the incident to the wrong people.
The search takes these steps, the best first, until one finds something, for the resource and then for each resource
that it is a part of:

1. the ARM id in `object_id` of the classes that hold such resources
2. the ARM id in `sys_object_source`, which knows every item by the key that its source gave it
3. the name within these classes: an item that carries our ARM id, however it is cased, else the only one without any.
   The name of a part ("default", "master") says nothing without its ARM id.

A name without an ARM id is that of a host, because alerts name everything else by its ARM id too. The name is looked
for among the same classes, so that an alert by name and one by id find the same item, and as a fully qualified domain
name.

Several live items at one step end the search for the resource; retired and absent ones do not count.
A question that ServiceNow does not let us ask, or that cannot be asked without danger, is skipped, and the reason tells
that.

Where the instance compares values letter by letter, an ARM id is not found by steps 1 and 2 if its names are stored
neither as received nor in lower case; nor by step 3 if its last name is stored neither so nor in capitals.

Source of truth: https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from cachetools import Cache, TLRUCache, TTLCache

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, InvalidSettings, Rejected, Unavailable
from itsm_bridge.servicenow.cmdb.classes import (
    ACCOUNTS,
    SOURCES,
    SUBSCRIPTION,
    Question,
    lineage,
    questions_of,
    resource_of,
)
from itsm_bridge.servicenow.cmdb.match import (
    FIELDS,
    SYS_ID,
    CiMatch,
    Rows,
    first_of,
    key_of,
    live_rows,
    match_of,
    not_found,
)
from itsm_bridge.servicenow.queries import is_plain
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, UnknownField
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET, TableApi

log = logging.getLogger(__name__)

_K = TypeVar("_K")
_V = TypeVar("_V")

#: Requests of one call of `find`. The usual item takes one; an ARM id that is nowhere takes 3 to 5, each parent too.
_MOST_REQUESTS = 20
#: How many of the resources that a resource is a part of are asked for.
_MOST_PARENTS = 3
#: Rows of one answer: an item and its retired predecessors. A full page may hide another live one.
_MOST_ROWS = 20
#: Characters of a value that is looked up; hardly any resource id is longer.
_LONGEST = 512

# Seconds, as the clock counts them.
#: Items move as people plan their changes, not by the minute.
_FOUND_FRESH = 3600.0
#: A new machine may alert before it is discovered: its next incident shall have the item, but not each alert of a storm
#: shall ask for an item that is not there. A search that was cut by time can be resumed for as long.
_OTHERWISE_FRESH = 300.0
_CACHE_SIZE = 2000

#: Whether a CMDB knows subscriptions at all: asked once, it spares two questions about each of them.
_ANY_ACCOUNT = Question(table=ACCOUNTS, field="sys_class_name", values=(ACCOUNTS,))

_TABLE = re.compile(r"[a-z][a-z0-9_]*")

#: By error: why no question is asked by a field any more.
_REMARKS: Mapping[type[BridgeError], str] = {
    UnknownField: "there is no such field",
    NotAllowed: "we may not read it",
    NoSuchTable: "there is no such table",
}


class _Enough(Exception):
    """One call has made as many requests as it may."""


class _Allowance:
    """The requests and the time of one call."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._requests = 0

    def for_request(self) -> Deadline:
        """Count a request and return its deadline."""
        if self._requests == _MOST_REQUESTS:
            raise _Enough
        self._requests += 1
        return self.for_wait()

    def for_wait(self) -> Deadline:
        """Return by when another thread must have found the item."""
        return self._deadline.for_request(REQUEST_BUDGET)


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
        self._matches: TLRUCache[str, CiMatch] = TLRUCache(_CACHE_SIZE, _fresh_until, timer=clock)
        self._rows: TTLCache[Question, Rows] = TTLCache(_CACHE_SIZE, _OTHERWISE_FRESH, timer=clock)
        #: By table and field: why no question is asked by it.
        self._closed: TTLCache[tuple[str, str], str] = TTLCache(_CACHE_SIZE, _OTHERWISE_FRESH, timer=clock)
        #: The caches are not safe to share between threads by themselves.
        self._caching = threading.Lock()
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    def find(self, resources: Sequence[str], *, deadline: Deadline) -> CiMatch:
        """Return the item of the first resource that has one. Remembered rows make a repetition cheaper.

        Args:
            resources: ARM ids and names, the best first; the first 5 are looked up, with 20 requests in all.
            deadline: By when it must be found.

        Raises:
            Unavailable: ServiceNow did not answer, or the time is up.
        """
        allowance = _Allowance(deadline)
        try:
            match = first_of(resources, lambda resource: self._found(resource, allowance))
        except _Enough:
            match = None
        return match or CiMatch(reason=f"No configuration item: none was found with {_MOST_REQUESTS} requests.")

    def _found(self, resource: str, allowance: _Allowance) -> CiMatch:
        key = key_of(resource)
        match = self._cached(self._matches, key)
        if match is not None:
            return match
        with self._search_of(key, allowance):
            match = self._cached(self._matches, key)
            if match is None:
                match = self._search(resource, allowance)
                self._cache(self._matches, key, match)
        return match

    @contextmanager
    def _search_of(self, key: str, allowance: _Allowance) -> Iterator[None]:
        """Hold the right to search for one resource; wait while another thread has it."""
        with self._changed:
            while key in self._under_way:
                if not self._changed.wait(timeout=allowance.for_wait().left.total_seconds()):
                    raise Unavailable("another search for the same configuration item takes too long")
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._under_way.discard(key)
                self._changed.notify_all()

    def _search(self, text: str, allowance: _Allowance) -> CiMatch:
        resource = resource_of(text)
        asked = []
        for target in islice(lineage(resource), 1 + _MOST_PARENTS):
            for question in questions_of(target, self._overrides):
                rows = self._rows_for(question, allowance)
                if question.table == SOURCES and rows.rows:
                    rows = self._items_of(rows, allowance)
                match = match_of(resource, target, question, rows)
                if match is not None:
                    return match
                asked.append((question, rows))
                if target.type == SUBSCRIPTION and not self._rows_for(_ANY_ACCOUNT, allowance).rows:
                    return not_found(resource, asked)
        return not_found(resource, asked)

    def _items_of(self, sources: Rows, allowance: _Allowance) -> Rows:
        """Return the items that rows of `sys_object_source` stand for, of whatever class."""
        targets = sorted({row.get("target_sys_id", "") for row in sources.rows})
        sys_ids = tuple(each for each in targets if SYS_ID.fullmatch(each))
        return (
            self._rows_for(Question(table="cmdb_ci", field="sys_id", values=sys_ids), allowance) if sys_ids else Rows()
        )

    def _rows_for(self, question: Question, allowance: _Allowance) -> Rows:
        rows = self._cached(self._rows, question)
        if rows is None:
            rows = self._asked(question, allowance)
            self._cache(self._rows, question, rows)
        return rows

    def _asked(self, question: Question, allowance: _Allowance) -> Rows:
        if not all(is_plain(value) and len(value) <= _LONGEST for value in question.values):
            return Rows(remark="not asked: too long, or with characters that no query may hold")
        place = (question.table, question.field)
        closed = self._cached(self._closed, place)
        if closed is not None:
            return Rows(remark=closed)
        try:
            rows = self._table_api.query(
                question.table,
                {question.field: question.values},
                fields=("target_sys_id",) if question.table == SOURCES else FIELDS,
                limit=_MOST_ROWS,
                deadline=allowance.for_request(),
            )
        except (UnknownField, NotAllowed, NoSuchTable) as error:
            return self._close(place, _REMARKS[type(error)])
        except Rejected:
            return Rows(remark="ServiceNow refuses the question")
        return live_rows(rows, limit=_MOST_ROWS)

    def _close(self, place: tuple[str, str], remark: str) -> Rows:
        """Ask no more by this field for a while, whatever the value."""
        self._cache(self._closed, place, remark)
        log.warning("configuration items are not looked up in %s by %s: %s", *place, remark)
        return Rows(remark=remark)

    def _cached(self, cache: Cache[_K, _V], key: _K) -> _V | None:
        with self._caching:
            return cache.get(key)

    def _cache(self, cache: Cache[_K, _V], key: _K, value: _V) -> None:
        with self._caching:
            cache[key] = value


def _fresh_until(_: str, match: CiMatch, now: float) -> float:
    """Return until when a match is believed."""
    return now + (_FOUND_FRESH if match.sys_id else _OTHERWISE_FRESH)
