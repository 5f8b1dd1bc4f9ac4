"""How are the rows of the table `alerts` read and written?

The reconciler calls `AlertTable` as its `Store`. How a record is laid out in a row is decided in `row_format`.

There is one row per correlation key. Every write is conditional: an insert fails if the row exists, a replacement fails
if the row changed since it was read. Without the match condition the library would overwrite silently
(https://learn.microsoft.com/python/api/overview/azure/data-tables-readme#optimistic-concurrency).
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from heapq import nsmallest
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity, TableTransactionError, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, NewerVersion
from itsm_bridge.reconcile.record import Record, place_in_line
from itsm_bridge.storage.account import answering
from itsm_bridge.storage.group_rows import LEADS_TO, GroupRows
from itsm_bridge.storage.row_format import ASIDE, aside, from_entity, partition_of, to_entity

log = logging.getLogger(__name__)

#: The statuses of a transaction that is refused because another process wrote first.
_CHANGED_MEANWHILE = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)

#: Seconds for a page of a scan; storage itself ends it after 5.
_SCAN_PATIENCE = 10


class AlertTable(GroupRows):
    """The table, created when it is absent."""

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
        """Return the record of `key`, or that of the group where its row leads to, or None if there is no such row.

        Raises:
            Unavailable: the table did not answer.
            Damaged: the row cannot be read; `restore` lets its key go on.
            LeadsNowhere: the row leads to a group that has no row.
            NewerVersion: only a newer version of this program may write the row.
        """
        entity = self._entity(partition_of(key), key)
        if entity is not None and LEADS_TO in entity:
            group = str(entity[LEADS_TO])
            entity = self._entity(partition_of(group), group)
            if entity is None:
                raise LeadsNowhere(group)
        return from_entity(entity, etag=_etag_of(entity)) if entity else None

    def restore(self, record: Record) -> Record:
        """Put `record` in the place of a row that cannot be read, which is kept whole under another key.

        Both happen at once, because the next webhook would take a key without a row for a new one.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; both happened or neither.
        """
        try:
            entity = self._asked(lambda: self._table.get_entity(partition_of(record.key), record.key))
        except ResourceNotFoundError as error:
            raise Conflict(f"the row {record.key} is gone") from error
        with suppress(Damaged):
            from_entity(entity, etag="")
            raise Conflict(f"the row {record.key} can be read")
        etag = _etag_of(entity)
        condition = {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
        operations: Sequence[Any] = (("create", aside(entity, etag=etag)), ("update", to_entity(record), condition))
        with answering("the table"):
            try:
                answers = self._table.submit_transaction(operations)
            except TableTransactionError as error:
                if error.status_code in _CHANGED_MEANWHILE:
                    raise Conflict(f"the row {record.key} changed since it was read") from error
                raise
        return replace(record, etag=str(answers[-1]["etag"]))

    def replace(self, record: Record) -> Record:
        """Write `record` unless its row changed since it was read; return it with its new ETag.

        Raises:
            Conflict: another process wrote first; read again and decide again.
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
            Conflict: another process wrote first.
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

    def discard(self, row_key: str) -> bool:
        """Delete a row that cannot be read or that was set aside, whatever it holds; return whether there was one.

        Raises:
            Unavailable: the table did not answer.
        """
        partition = partition_of(row_key.removeprefix(ASIDE))
        try:
            self._asked(lambda: self._table.get_entity(partition, row_key, select=["RowKey"]))
            self._asked(lambda: self._table.delete_entity(partition, row_key))
        except ResourceNotFoundError:
            return False
        return True

    def awaiting_work(self, *, due_before: datetime) -> Iterator[Record]:
        """Yield the records that await work and whose wake-up was due before `due_before`.

        The table filters; only what matches crosses the wire.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("awaits_work eq true and wake_up_at lt @due_before", due_before=due_before)

    def waiting(self, *, due_before: datetime, limit: int) -> Sequence[Record]:
        """Return the records that wait without a wake-up until before `due_before`, at most `limit`.

        Those that were never attempted come first, the oldest first, then those that were attempted longest ago,
        because a row that fails again and again may have a trouble of its own, and must not be the one that is tried
        for all.

        Raises:
            Unavailable: the table did not answer.
        """
        found = self._query("awaits_work eq true and is_waiting eq true")
        return nsmallest(limit, (row for row in found if row.work.wake_up_at < due_before), key=place_in_line)

    def expired(self, *, before: datetime) -> Iterator[Record]:
        """Yield the settled records whose alert fires and that our clock ends before `before`.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("awaits_work eq false and is_parked eq false and expires_at lt @before", before=before)

    def on_trial(self) -> Iterator[Record]:
        """Yield the settled records whose alert fires and that a rule keeps from the target for a trial.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("awaits_work eq false and is_firing eq true and is_shadowed eq true")

    def idle_since(self, *, changed_before: datetime) -> Iterator[Record]:
        """Yield the settled records whose alert is not firing and that last changed before `changed_before`.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query(
            "awaits_work eq false and is_parked eq false and is_firing eq false and changed_at lt @changed_before",
            changed_before=changed_before,
        )

    def idle_firing(self, *, changed_before: datetime, looked_before: datetime) -> Iterator[Record]:
        """Yield the settled records whose alert fires, that last changed and were last looked at before these times.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query(
            "awaits_work eq false and is_parked eq false and is_firing eq true "
            "and changed_at lt @changed_before and looked_at lt @looked_before",
            changed_before=changed_before,
            looked_before=looked_before,
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
                    except (Damaged, NewerVersion) as error:
                        # One such row must not hide all other rows.
                        log.error("%s", error)
                        continue
                    yield record
            except ResourceNotFoundError:
                return


def _etag_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])
