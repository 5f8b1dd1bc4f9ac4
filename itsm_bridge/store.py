"""What is in the table `alerts`?

One row per correlation key. Every write is conditional: an insert fails if the row exists, a replacement fails if
the row changed since it was read. Without the match condition the library would overwrite silently
(https://learn.microsoft.com/python/api/overview/azure/data-tables-readme#optimistic-concurrency).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, UpdateMode

from itsm_bridge.errors import Conflict
from itsm_bridge.record import Record
from itsm_bridge.row import from_entity, partition_of, to_entity
from itsm_bridge.storage import answering, created_if_absent

_T = TypeVar("_T")

log = logging.getLogger(__name__)

#: Seconds for a page of a scan; storage itself ends it after 5.
_SCAN_PATIENCE = 10


class AlertStore:
    """The table, created when it is absent."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def insert(self, record: Record) -> Record:
        """Write the first row of a key; return the record with its ETag.

        Raises:
            Conflict: the row exists.
            Unavailable: the table did not answer; the row may or may not have been written.
        """
        entity = to_entity(record)
        try:
            answer = self._asked(lambda: self._table.create_entity(entity))
        except ResourceExistsError as error:
            raise Conflict(f"the row {record.key} exists") from error
        return replace(record, etag=str(answer["etag"]))

    def read(self, key: str) -> Record | None:
        """Return the record of `key`, or None if there is none.

        Raises:
            Unavailable: the table did not answer.
        """
        try:
            entity = self._asked(lambda: self._table.get_entity(partition_of(key), key))
        except ResourceNotFoundError:
            return None
        return from_entity(entity, etag=_etag_of(entity))

    def replace(self, record: Record) -> Record:
        """Write `record` unless its row changed since it was read; return it with its new ETag.

        Raises:
            Conflict: somebody else wrote first; read again and decide again.
            Unavailable: the table did not answer; the write may or may not have happened.
        """
        if not record.etag:
            raise ValueError("only a record that was read can be replaced")
        try:
            answer = self._asked(
                lambda: self._table.update_entity(
                    to_entity(record),
                    mode=UpdateMode.REPLACE,
                    etag=record.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            )
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise Conflict(f"the row {record.key} changed since it was read") from error
        return replace(record, etag=str(answer["etag"]))

    def delete(self, record: Record) -> None:
        """Delete the row unless it changed since it was read; an absent row is deleted already.

        Raises:
            Conflict: somebody else wrote first.
            Unavailable: the table did not answer.
        """
        try:
            self._asked(
                lambda: self._table.delete_entity(
                    partition_of(record.key),
                    record.key,
                    etag=record.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            )
        except ResourceModifiedError as error:
            raise Conflict(f"the row {record.key} changed since it was read") from error

    def awaiting_work(self, *, due_before: datetime) -> Iterator[Record]:
        """Yield the records that await work and whose wake-up was due before `due_before`.

        The table filters; only what matches crosses the wire.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("awaits_work eq true and wake_up_at lt @due_before", due_before=due_before)

    def idle_since(self, *, changed_before: datetime) -> Iterator[Record]:
        """Yield the settled records whose alert is not firing and that last changed before `changed_before`.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query(
            "awaits_work eq false and is_parked eq false and is_firing eq false and changed_at lt @changed_before",
            changed_before=changed_before,
        )

    def check(self) -> None:
        """Prove that the table answers.

        Raises:
            Unavailable: it does not.
        """
        self.read("0" * 64)

    def _query(self, condition: str, **parameters: datetime) -> Iterator[Record]:
        with answering("the table"):
            try:
                for entity in self._table.query_entities(condition, parameters=parameters, read_timeout=_SCAN_PATIENCE):
                    try:
                        record = from_entity(entity, etag=_etag_of(entity))
                    except (ValueError, KeyError, TypeError) as error:
                        # One row that is damaged, or of a newer version, must not hide all the others.
                        log.error("the row %s cannot be read: %s", entity.get("RowKey"), type(error).__name__)
                        continue
                    yield record
            except ResourceNotFoundError:
                return

    def _asked(self, call: Callable[[], _T]) -> _T:
        with answering("the table"):
            return created_if_absent(call, create=self._table.create_table, absent="TableNotFound")


def _etag_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])
