"""How are the open rows found without reading the table, and who keeps the index right?

`alert_table` is the table that the reconciler knows; this part of it reads the index, whose entries are written there
in the same transaction as their rows. `index_rows` decides how they are laid out.

An entry lies in the partition of its row, because a transaction covers one partition
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions). So the index is as many
ranges as there are partitions, and each is a query of its own: one query with several partitions would make the service
read the whole table (https://learn.microsoft.com/azure/storage/tables/table-storage-design-for-query). A table of one
page is read with one query instead.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode

from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.reconcile.outline import Outline
from itsm_bridge.reconcile.pages import START, Index, Page, Place, Progress
from itsm_bridge.storage.account import answering
from itsm_bridge.storage.group_rows import GroupRows
from itsm_bridge.storage.index_rows import (
    ENTRY_COLUMNS,
    LOOK,
    OPEN,
    OPEN_END,
    PARTITION,
    PARTITIONS,
    SWEEP,
    SWEPT_COLUMNS,
    look_row,
    outline_from,
    page_of,
    progress_from,
    progress_row,
)

#: Seconds for a page of rows, because storage itself ends a query after 5, and for one of entries, which are few.
_PAGE_PATIENCE = 10
_ENTRIES_PATIENCE = 3
#: Rows of a page, the most that the service gives.
_PAGE = 1000
#: How many partitions are asked side by side: fewer than the client keeps connections.
_SIDE_BY_SIDE = 8
#: After so many partitions that did not answer, the others are not asked.
_FAILURES = 5
#: How often the noting of a look is tried while other processes note theirs.
_ATTEMPTS = 3

_ALL_PARTITIONS = "PartitionKey gt @partition and PartitionKey lt 'g'"
_REST_OF_PARTITION = "PartitionKey eq @partition and RowKey gt @row"
_ENTRIES = f"PartitionKey eq @partition and RowKey ge '{OPEN}' and RowKey lt '{OPEN_END}'"


class IndexTable(GroupRows):
    """The index of open rows in the table `alerts`."""

    #: How many rows and entries a table has at most that is read whole for its index.
    small = _PAGE
    #: The parts that the index has otherwise.
    partitions: Sequence[str] = PARTITIONS

    def index(self) -> Index:
        """Return what the index says of all open rows, as far as storage shows it."""
        try:
            entries = self._entries_of_small()
        except Unavailable:
            # One part of the table may be in trouble; the others are asked apart.
            entries = None
        if entries is not None:
            return Index(_outlines(entries))
        return self._index_by_partition()

    def pages(self, place: Place) -> Iterator[Page]:
        """Yield the rows after `place`, page by page, until the end of the table; without their documents.

        Raises:
            Unavailable: the table did not answer.
        """
        ranges = [_ALL_PARTITIONS] if place == START else [_REST_OF_PARTITION, _ALL_PARTITIONS]
        parameters: dict[str, Any] = {"partition": place.partition, "row": place.row}
        for condition in ranges:
            for entities, is_end in self._paged(condition, parameters, SWEPT_COLUMNS):
                is_last = is_end and condition == _ALL_PARTITIONS
                page = page_of(entities, is_last=is_last)
                # The service may answer with no rows and go on, and nothing may be left of a partition.
                place = place if page.end == START and not is_last else page.end
                yield page._replace(end=place)

    def progress(self) -> Progress:
        """Return how far sweeps have come; a Progress without times if there was none that this version understands.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                entity = self._table.get_entity(PARTITION, SWEEP)
            except ResourceNotFoundError:  # nor may there be a table, and who asks may be allowed to read alone
                return Progress()
        return progress_from(entity, etag=str(entity.metadata["etag"]))

    def save_progress(self, progress: Progress) -> Progress:
        """Write how far a sweep has come, unless another one wrote since it was read; return it with its new ETag.

        Raises:
            Conflict: another process sweeps too.
            Unavailable: the table did not answer; it may or may not be written.
        """
        etag = self._written(progress_row(progress), etag=progress.etag)
        return progress_from(progress_row(progress), etag=etag)

    def begin_look(self, now: datetime, *, unless_since: datetime) -> bool:
        """Note that somebody looks for rows in hand from `now` on; return False if one began after `unless_since`.

        Raises:
            Conflict: other processes keep beginning.
            Unavailable: the table did not answer; it may or may not be noted.
        """
        name = uuid.uuid4().hex
        for _ in range(_ATTEMPTS):
            known = self._entity(PARTITION, LOOK)
            if known and known.get("name") == name:
                # Our own write took effect, and its answer was lost: the library repeated it and was refused.
                return True
            began_at = known.get("began_at") if known else None
            if isinstance(began_at, datetime) and began_at > unless_since:
                return False
            try:
                self._written(look_row(now, name), etag=str(known.metadata["etag"]) if known else "")
            except Conflict:
                continue
            return True
        raise Conflict("other processes keep beginning a look")

    def _written(self, row: Mapping[str, Any], *, etag: str) -> str:
        """Write a row of the index's own unless it changed; return its new ETag.

        Raises:
            Conflict: it changed, or is there already, or is gone.
            Unavailable: the table did not answer.
        """
        entity = dict(row)
        condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        try:
            if etag:
                answer = self._asked(
                    lambda: self._table.update_entity(entity, mode=UpdateMode.REPLACE, **condition)  # conditional
                )
            else:
                answer = self._asked(lambda: self._table.create_entity(entity))
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
            raise Conflict(f"{row['RowKey']} changed since it was read") from error
        return str(answer["etag"])

    def _entries_of_small(self) -> Sequence[TableEntity] | None:
        """Return the entries of a table that one page holds; None if it has more."""
        parameters = {"partition": ""}
        pages = self._paged(_ALL_PARTITIONS, parameters, ENTRY_COLUMNS, size=self.small, patience=_ENTRIES_PATIENCE)
        for entities, is_end in pages:
            return [each for each in entities if str(each["RowKey"]).startswith(OPEN)] if is_end else None
        return []

    def _index_by_partition(self) -> Index:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a cold start needs none

        failures: list[Unavailable] = []

        def entries_of(partition: str) -> Sequence[TableEntity]:
            if len(failures) >= _FAILURES:
                return ()
            try:
                pages = self._paged(_ENTRIES, {"partition": partition}, ENTRY_COLUMNS, patience=_ENTRIES_PATIENCE)
                return [each for entities, _ in pages for each in entities]
            except Unavailable as error:
                failures.append(error)
                return ()

        with ThreadPoolExecutor(_SIDE_BY_SIDE) as side_by_side:
            found = [each for entities in side_by_side.map(entries_of, self.partitions) for each in entities]
        return Index(_outlines(found), failure=failures[0] if failures else None)

    def _paged(
        self,
        condition: str,
        parameters: Mapping[str, Any],
        columns: Sequence[str],
        *,
        size: int = _PAGE,
        patience: int = _PAGE_PATIENCE,
    ) -> Iterator[tuple[Sequence[TableEntity], bool]]:
        """Yield the pages of a query, each with whether it is the last.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                pages: Any = self._table.query_entities(
                    condition,
                    parameters=dict(parameters),
                    select=list(columns),
                    results_per_page=size,
                    read_timeout=patience,
                ).by_page()
                for entities in pages:
                    yield list(entities), not pages.continuation_token
            except ResourceNotFoundError:  # there is no table yet
                return


def _outlines(entries: Iterable[Mapping[str, Any]]) -> Sequence[Outline]:
    return [outline_from(entry) for entry in entries]
