"""Which configuration item is an alert's resource?

`target.ServiceNow` calls `Cmdb.find`; the questions come from `classes` by way of `search`, and `match` judges the
rows. The incident is not written here. The answer is an exact match or none, because a wrong item sends the incident to
the wrong people. The search takes these steps, the best first, until one finds something, for the resource and then for
each resource that it is a part of:

1. the ARM id in `object_id` of the classes that hold such resources
2. the ARM id in `sys_object_source`, which knows every item by the key that its source gave it
3. the name within these classes: an item that carries our ARM id, however it is cased, else the only one without any.
   The name of a part ("default", "master") says nothing without its ARM id.

A name without an ARM id is that of a host, because alerts name everything else by its ARM id too. The name is looked
for among the same classes, so that an alert by name and one by id find the same item, and as a fully qualified domain
name.

Several live items at one step end the search for the resource; retired and absent ones do not count.
A question that ServiceNow twice does not let us ask, or that cannot be asked without danger, is skipped, and the reason
tells that.

Where the instance compares values letter by letter, an ARM id is not found by steps 1 and 2 if its names are stored
neither as received nor in lower case; nor by step 3 if its last name is stored neither so nor in capitals.

The steps say what counts, not what is sent:

- All that a search may need to know goes out as one batch, so that a resource which is nowhere takes one request. What
  depends on an answer, the items behind rows of step 2, takes a second.
- Where the instance answers no batches, the first step is asked alone, because it mostly finds the item, and then as
  many at once as requests may be under way.
- Questions about one field of one table are one query, those of alerts that wait for their turn (`expect`) included.
- A question that another thread asks is waited for, and what is known is not asked again for minutes.

Source of truth: https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import Final

from cachetools import TLRUCache, TTLCache

from itsm_bridge.deadline import Deadline, TimeIsUp
from itsm_bridge.errors import BridgeError, InvalidSettings, Rejected, Unavailable
from itsm_bridge.servicenow.batch import MOST_READS
from itsm_bridge.servicenow.cmdb.classes import Question
from itsm_bridge.servicenow.cmdb.expected import Expected
from itsm_bridge.servicenow.cmdb.grouping import LONGEST_ADDRESS, LONGEST_INSIDE, MOST_OF_A_QUERY, Group, grouped
from itsm_bridge.servicenow.cmdb.match import CiMatch, Rows, first_of, key_of
from itsm_bridge.servicenow.cmdb.progress import MOST_QUESTIONS, Progress
from itsm_bridge.servicenow.cmdb.search import search
from itsm_bridge.servicenow.queries import is_plain
from itsm_bridge.servicenow.refusals import NoSuchTable, NotAllowed, NotTogether, UnknownField
from itsm_bridge.servicenow.table_api import Page, TableApi

log = logging.getLogger(__name__)

#: Characters of a value that is looked up; hardly any resource id is longer.
_LONGEST: Final = 512

# Seconds, as the clock counts them.
#: Items move as people plan their changes, not by the minute.
_FOUND_FRESH: Final = 3600.0
#: A new machine may alert before it is discovered: its next incident shall have the item, but not each alert of a storm
#: shall ask for an item that is not there. A search that was cut by time can be resumed for as long.
_OTHERWISE_FRESH: Final = 300.0
#: How long nothing rides with a question after a query with riders failed.
_RIDERS_PAUSE: Final = 60.0
_MOST_MATCHES: Final = 2000
#: The questions of four thousand machines: in a storm, an answer that came with another's question must be there when
#: its alert has its turn.
_MOST_ANSWERS: Final = 20_000

#: Threads that ask beside the one that searches, where there are no batches.
_HELPERS: Final = 7

_TABLE = re.compile(r"[a-z][a-z0-9_]*")

#: By error: why no question is asked by a field any more.
_REMARKS: Final[Mapping[type[BridgeError], str]] = {
    UnknownField: "there is no such field",
    NotAllowed: "we may not read it",
    NoSuchTable: "there is no such table",
}

_Place = tuple[str, str]


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
        self._clock = clock
        self._overrides = {each.lower(): table for each, table in (overrides or {}).items()}
        #: Guards all that follows: caches are not safe to share between threads by themselves.
        self._changed = threading.Condition()
        self._matches: TLRUCache[str, CiMatch] = TLRUCache(_MOST_MATCHES, _fresh_until, timer=clock)
        self._rows: TTLCache[Question, Rows] = TTLCache(_MOST_ANSWERS, _OTHERWISE_FRESH, timer=clock)
        #: By table and field: why no question is asked by it.
        self._closed: TTLCache[_Place, str] = TTLCache(_MOST_MATCHES, _OTHERWISE_FRESH, timer=clock)
        self._expected = Expected(self._overrides, clock=clock)
        self._riders_from = clock()
        #: What threads ask at this moment.
        self._under_way: set[Question] = set()
        self._helpers = ThreadPoolExecutor(_HELPERS, thread_name_prefix="cmdb")

    def expect(self, resources: Sequence[str]) -> None:
        """Know that `resources` will be looked for soon, so that a question of another search can answer for them.

        Nothing is sent. What is not looked for within five minutes is forgotten.
        """
        with self._changed:
            self._expected.add([each for each in resources if key_of(each) not in self._matches])

    def find(self, resources: Sequence[str], *, deadline: Deadline) -> CiMatch:
        """Return the item of the first resource that has one. Remembered rows make a repetition cheaper.

        Args:
            resources: ARM ids and names, the best first; the first 5 are looked up, with 20 questions in all.
            deadline: By when it must be found.

        Raises:
            Unavailable: ServiceNow did not answer, or the time is up.
        """
        progress = Progress(deadline)
        with self._changed:
            self._expected.forget(resources)
        while True:
            match, unknown = self._looked(resources, progress)
            if not unknown:
                return match
            allowed = progress.allowed(unknown)
            if not allowed or allowed[0] != unknown[0]:
                return CiMatch(reason=f"No configuration item: none was found with {MOST_QUESTIONS} questions.")
            if unknown[0] in progress.errors:
                raise progress.errors[unknown[0]]
            self._ask(allowed, progress)

    def _looked(self, resources: Sequence[str], progress: Progress) -> tuple[CiMatch, Sequence[Question]]:
        """Return what is found as far as rows are known, and what is not known."""
        unknown: dict[Question, None] = {}

        def known(question: Question) -> Rows | None:
            return self._known(question, progress)

        def find(resource: str) -> CiMatch | None:
            key = key_of(resource)
            with self._changed:
                match = self._matches.get(key)
            if match is None:
                match, missing = search(resource, self._overrides, known)
                unknown.update(dict.fromkeys(missing))
                if not missing:
                    with self._changed:
                        self._matches[key] = match
            return match

        match = first_of(resources, find)
        return match or CiMatch(reason=""), tuple(unknown)

    def _known(self, question: Question, progress: Progress) -> Rows | None:
        """Return the rows of a question, or why it has none; None if it has to be asked."""
        if not _is_askable(question):
            return Rows(remark="not asked: too long, or with characters that no query may hold")
        if question in progress.rows:
            return progress.rows[question]
        with self._changed:
            rows = self._rows.get(question)
            closed = self._closed.get((question.table, question.field)) if rows is None else None
        if rows is None and closed is not None:
            rows = Rows(remark=closed)
        if rows is not None:
            # It counts until the end of this search, however long that takes.
            progress.rows[question] = rows
        return rows

    # Asking.

    def _ask(self, wanted: Sequence[Question], progress: Progress) -> None:
        """Find out more: ask what no other thread asks, or wait for what it finds."""
        is_together = self._table_api.answers_batches and not progress.is_one_by_one
        groups = self._claimed(wanted, progress, is_together=is_together)
        if not groups:
            self._wait_for_others(wanted, progress)
            return
        try:
            progress.take([each for each in wanted if any(each in group.questions for group in groups)])
            if is_together:
                self._ask_together(groups, progress)
            else:
                self._ask_side_by_side(groups, progress)
        finally:
            self._release(groups)

    def _claimed(self, wanted: Sequence[Question], progress: Progress, *, is_together: bool) -> Sequence[Group]:
        """Return the queries that this thread is to send now, and nobody else; none if it has to wait."""
        with self._changed:
            if not is_together and self._is_under_way(wanted[0]):
                return ()
            mine = [each for each in wanted if not self._is_under_way(each) and each not in self._rows]
            longest = LONGEST_INSIDE if is_together else LONGEST_ADDRESS
            groups = grouped(mine, alone=progress.alone, riders=self._riders(mine), longest=longest)
            most = MOST_READS if is_together else max(1, self._table_api.free_turns) if progress.has_asked else 1
            groups = groups[:most]
            self._under_way |= {_folded(each) for group in groups for each in group.questions}
            return groups

    def _riders(self, mine: Sequence[Question]) -> Iterator[Question]:
        """Yield what waits where `mine` is asked, as much as fits into queries."""
        if self._clock() < self._riders_from:
            return
        left = dict.fromkeys({(each.table, each.field) for each in mine} - self._closed.keys(), MOST_OF_A_QUERY)
        for question in self._expected.at(left.keys()):
            place = question.table, question.field
            if left[place] and self._may_ride(question):
                left[place] -= 1
                yield question
                if not any(left.values()):
                    return

    def _may_ride(self, question: Question) -> bool:
        return question not in self._rows and not self._is_under_way(question) and _is_askable(question)

    def _is_under_way(self, question: Question) -> bool:
        return _folded(question) in self._under_way

    def _release(self, groups: Sequence[Group]) -> None:
        with self._changed:
            self._under_way -= {_folded(each) for group in groups for each in group.questions}
            self._changed.notify_all()

    def _wait_for_others(self, wanted: Sequence[Question], progress: Progress) -> None:
        patience = progress.for_request().left.total_seconds()
        with self._changed:
            asked = next((each for each in wanted if self._is_under_way(each)), None)
            if asked is not None and not self._changed.wait_for(lambda: not self._is_under_way(asked), patience):
                raise Unavailable("another search for the same configuration item takes too long")

    def _ask_together(self, groups: Sequence[Group], progress: Progress) -> None:
        try:
            pages = self._table_api.pages([group.query for group in groups], deadline=progress.for_request())
        except NotTogether:
            progress.is_one_by_one = True
            return
        except Unavailable as error:
            self._let_nobody_ride(groups, error)
            raise
        for group, page in zip(groups, pages, strict=True):
            self._take(group, page, progress)

    def _ask_side_by_side(self, groups: Sequence[Group], progress: Progress) -> None:
        first, *others = groups
        with self._beside(others, progress) as pages:
            self._take(first, self._asked(first, progress), progress)
        for group, page in zip(others, pages, strict=True):
            self._take(group, page, progress)

    @contextmanager
    def _beside(self, groups: Sequence[Group], progress: Progress) -> Iterator[list[Page | BridgeError]]:
        """Ask in other threads while the block runs; the list is full after it."""
        pages: list[Page | BridgeError] = []
        asking = [self._helpers.submit(copy_context().run, self._asked, group, progress) for group in groups]
        try:
            yield pages
        finally:
            pages += [each.result() for each in asking]

    def _asked(self, group: Group, progress: Progress) -> Page | BridgeError:
        try:
            return self._table_api.page(group.query, deadline=progress.for_request())
        except BridgeError as error:
            return error

    # Taking answers in.

    def _take(self, group: Group, page: Page | BridgeError | None, progress: Progress) -> None:
        """Remember what came of a query."""
        if isinstance(page, Page):
            answers = group.answers(page)
            progress.alone |= {question for question, rows in answers.items() if rows is None}
            self._remember({question: rows for question, rows in answers.items() if rows is not None}, progress)
        elif isinstance(page, (NotAllowed, NoSuchTable)) and progress.refused.isdisjoint(group.questions):
            # A node may say so for a moment (KB2466644, or while it starts), and no alert would have an item meanwhile.
            progress.refused |= set(group.questions)
        elif isinstance(page, (UnknownField, NotAllowed, NoSuchTable)):
            self._close(group.place, _REMARKS[type(page)])
        elif isinstance(page, Rejected) and len(group.questions) == 1:
            self._remember({group.questions[0]: Rows(remark="ServiceNow refuses the question")}, progress)
        elif page is None or isinstance(page, Rejected):
            # Nothing is known of any of them. It may have been the batch, or the length of the list.
            progress.alone |= set(group.questions)
            progress.is_one_by_one = True
            self._let_nobody_ride([group], page)
        else:
            progress.errors |= dict.fromkeys(group.questions, page)
            self._let_nobody_ride([group], page)

    def _remember(self, answers: Mapping[Question, Rows], progress: Progress) -> None:
        progress.rows |= answers
        with self._changed:
            self._rows.update(answers)

    def _let_nobody_ride(self, groups: Collection[Group], error: BridgeError | None) -> None:
        """Ask for a while without what waits, if any of it was in a query that failed: it may be the reason."""
        # A query that had no turn was not even sent.
        if not isinstance(error, TimeIsUp) and any(len(group.questions) > 1 for group in groups):
            with self._changed:
                self._riders_from = self._clock() + _RIDERS_PAUSE

    def _close(self, place: _Place, remark: str) -> None:
        """Ask no more by this field for a while, whatever the value."""
        with self._changed:
            is_new = place not in self._closed
            self._closed[place] = remark
        if is_new:
            log.warning("configuration items are not looked up in %s by %s: %s", *place, remark)


def _is_askable(question: Question) -> bool:
    return all(is_plain(value) and len(value) <= _LONGEST for value in question.values)


@lru_cache(maxsize=_MOST_ANSWERS)
def _folded(question: Question) -> Question:
    """Return a question that is equal for every casing of its values: who asks one asks the others too."""
    return question._replace(values=tuple(sorted({value.casefold() for value in question.values})))


def _fresh_until(_: str, match: CiMatch, now: float) -> float:
    """Return until when a match is believed."""
    return now + (_FOUND_FRESH if match.sys_id else _OTHERWISE_FRESH)
