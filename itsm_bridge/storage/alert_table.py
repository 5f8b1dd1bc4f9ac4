"""How are the rows of the table `alerts` read and written?

The reconciler calls `AlertTable` as its `Store`. How a record is laid out in a row is decided in `row_format`.

There is one row per correlation key. Every write is conditional: an insert fails if the row exists, a replacement fails
if the row changed since it was read. Without the match condition the library would overwrite silently
(https://learn.microsoft.com/python/api/overview/azure/data-tables-readme#optimistic-concurrency).

What the index says of a row is written in the same transaction as the row: one request, and both or neither. Where a
write changes nothing of that, it is a single operation.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity, TableTransactionError, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, LeadsNowhere, NewerVersion
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage import transaction
from itsm_bridge.storage.account import answering, code_of, created_if_absent
from itsm_bridge.storage.index_rows import entry_key, entry_of, mark_of
from itsm_bridge.storage.index_table import IndexTable
from itsm_bridge.storage.row_format import ASIDE, LEADS_TO, aside, from_entity, partition_of, to_entity
from itsm_bridge.storage.transaction import Operation

log = logging.getLogger(__name__)

#: What a transaction is refused with because another process wrote first, and because something in it is gone.
#: https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes
_CHANGED: Final = frozenset({"EntityAlreadyExists", "UpdateConditionNotSatisfied", "ConditionNotMet"})
_GONE: Final = frozenset({"ResourceNotFound", "EntityNotFound"})


class _Gone(Exception):
    """A transaction was refused, all of it, because a row in it is not there."""


class AlertTable(IndexTable):
    """The table, created when it is absent."""

    def insert(self, record: Record) -> Record:
        """Write the first row of a key; return the record with its ETag.

        Raises:
            Conflict: the row exists.
            Unavailable: the table did not answer; the row may or may not have been written.
        """
        entry = entry_of(record)
        row = replace(record, indexed_as=mark_of(entry))
        if entry is not None:
            # An entry may be left of an earlier row: it is overwritten.
            operations = [transaction.insert(to_entity(row)), transaction.overwrite(entry)]
            return replace(row, etag=self._transacted(operations, what=record.key))
        try:
            answer = self._asked(lambda: self._table.create_entity(to_entity(row)))
        except ResourceExistsError as error:
            raise Conflict(f"the row {record.key} exists") from error
        return replace(row, etag=str(answer["etag"]))

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
        etag, entry = _etag_of(entity), entry_of(record)
        # What the index says of the damaged row is not known. Without an entry of its own the row says so.
        row = replace(record, indexed_as=mark_of(entry) or None)
        condition = {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
        operations: list[Any] = [("update", to_entity(row), condition), ("create", aside(entity, etag=etag))]
        if entry is not None:
            operations.append(("upsert", entry, {"mode": UpdateMode.REPLACE}))
        with answering("the table"):
            try:
                # A damaged row may hold anything, so it is left to the library how that is written.
                answers = self._table.submit_transaction(operations)
            except TableTransactionError as error:
                if code_of(error) in _CHANGED | _GONE:
                    raise Conflict(f"the row {record.key} changed since it was read") from error
                raise
        return replace(row, etag=str(answers[0]["etag"]))

    def replace(self, record: Record) -> Record:
        """Write `record` unless its row changed since it was read; return it with its new ETag.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; the write may or may not have happened.
        """
        if not record.etag:
            raise ValueError("only a record that was read can be replaced")
        entry = entry_of(record)
        row = replace(record, indexed_as=mark_of(entry))
        if row.indexed_as == record.indexed_as:
            return self._updated(row)
        index = transaction.overwrite(entry) if entry else transaction.delete(_entry_of_key(record.key))
        try:
            etag = self._transacted([transaction.update(to_entity(row), etag=row.etag), index], what=record.key)
        except _Gone:
            # The row is gone, or there never was an entry, because an older version of the program wrote the row.
            return self._updated(row)
        return replace(row, etag=etag)

    def _updated(self, row: Record) -> Record:
        """Write the row alone; raises as `replace`."""
        try:
            answer = self._asked(
                lambda: self._table.update_entity(
                    to_entity(row),
                    mode=UpdateMode.REPLACE,
                    etag=row.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            )
        except (ResourceModifiedError, ResourceNotFoundError) as error:
            raise Conflict(f"the row {row.key} changed since it was read") from error
        return replace(row, etag=str(answer["etag"]))

    def delete(self, record: Record) -> None:
        """Delete the row unless it changed since it was read; an absent row is deleted already.

        Raises:
            Conflict: another process wrote first.
            Unavailable: the table did not answer.
        """
        condition: dict[str, Any] = {"etag": record.etag, "match_condition": MatchConditions.IfNotModified}
        if record.indexed_as != "":
            with suppress(_Gone):
                row = {"PartitionKey": partition_of(record.key), "RowKey": record.key}
                entry = transaction.delete(_entry_of_key(record.key))
                self._transacted([transaction.delete(row, etag=record.etag), entry], what=record.key)
                return
        try:
            self._asked(lambda: self._table.delete_entity(partition_of(record.key), record.key, **condition))
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
        if not row_key.startswith(ASIDE):
            self.heal(row_key)
        return True

    def heal(self, key: str) -> bool:
        """Let the index say of `key` what its row says; return whether it said something else.

        Raises:
            Conflict: the row changed meanwhile, and who changed it wrote the index.
            Unavailable: the table did not answer.
        """
        # In this order: an entry of a row that comes after it was looked for is another version than this one.
        entry = self._entity(partition_of(key), entry_key(key))
        row = self._entity(partition_of(key), key)
        if row is None or LEADS_TO in row:
            return self._forgotten(entry)
        try:
            record = from_entity(row, etag=_etag_of(row))
        except (Damaged, NewerVersion):
            return False
        if _agree(record, entry) or _agree(record, self._entity(partition_of(key), entry_key(key))):
            return False
        self.replace(replace(record, indexed_as=None))
        return True

    def _forgotten(self, entry: TableEntity | None) -> bool:
        """Delete the entry of a row that is gone; return whether there is one.

        Raises:
            Conflict: the row is there again.
            Unavailable: the table did not answer.
        """
        if entry is None:
            return False
        condition: dict[str, Any] = {"etag": _etag_of(entry), "match_condition": MatchConditions.IfNotModified}
        with suppress(ResourceNotFoundError):
            try:
                self._asked(lambda: self._table.delete_entity(entry, **condition))
            except ResourceModifiedError as error:
                raise Conflict(f"the entry {entry['RowKey']} changed since it was read") from error
        return True

    def check(self) -> None:
        """Prove that the table answers.

        Raises:
            Unavailable: it does not.
        """
        self.read("0" * 64)

    def _transacted(self, operations: Sequence[Operation], *, what: str) -> str:
        """Do all of `operations`, which lie in one partition, or none; return the ETag of the first row.

        Raises:
            Conflict: another process wrote first.
            _Gone: something that should be there is not.
            Unavailable: the table did not answer, or not to this; all happened or nothing.
        """
        with answering("the table"):
            try:
                etags = created_if_absent(
                    lambda: transaction.submit(self._table, operations),
                    create=self._table.create_table,
                    absent="TableNotFound",
                )
            except transaction.Refused as error:
                if error.error_code in _CHANGED:
                    raise Conflict(f"the row {what} changed since it was read, or exists") from error
                if error.error_code in _GONE:
                    raise _Gone from error
                raise
        return etags[0]


def _agree(record: Record, entry: TableEntity | None) -> bool:
    """Whether the index says of a row what the row says."""
    wanted = mark_of(entry_of(record))
    if not wanted:
        # A row of an older version, which is not in the index, may stay as it is.
        return entry is None
    return mark_of(entry) == wanted == record.indexed_as


def _entry_of_key(key: str) -> Mapping[str, Any]:
    return {"PartitionKey": partition_of(key), "RowKey": entry_key(key)}


def _etag_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])
