"""How far did a look at another party come?

`app` hands one to whoever looks at Azure's list of alerts in turns. One row per thing that is looked at, in a partition
of the table `alerts` whose RowKeys are no keys of alerts; it holds one JSON object. Each write is conditional, so that
of two processes that look at once only one moves the mark.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict
from itsm_bridge.storage.account import answering, created_if_absent

PARTITION: Final = "progress"

#: Characters of a document: a string property holds 32,768 units, and `json.dumps` leaves nothing outside ASCII.
LONGEST: Final = 32_000


class Progress(NamedTuple):
    """What was written down last."""

    #: Empty if there is nothing, or nothing that can be read.
    document: Mapping[str, Any] = {}
    #: The version that was read; "" if there is no row.
    etag: str = ""


class ProgressTable:
    """The rows; safe to share between threads."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def read(self, name: str) -> Progress:
        """Return what was written down under a name.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                row = self._table.get_entity(PARTITION, name)
            except ResourceNotFoundError:
                return Progress()
        try:
            document = json.loads(str(row.get("document", "")))
        except ValueError:
            document = None
        return Progress(document if isinstance(document, dict) else {}, str(row.metadata["etag"]))

    def write(self, name: str, document: Mapping[str, Any], *, etag: str) -> None:
        """Write down how far it came, in place of what was read.

        Args:
            name: A name without the characters that keys may not have.
            document: What JSON can hold, at most `LONGEST` characters of it.
            etag: The version that was read; "" if there was none.

        Raises:
            Conflict: another process wrote first; nothing is written.
            Unavailable: the table did not answer; it may or may not have been written.
        """
        text = json.dumps(document, separators=(",", ":"))
        if len(text) > LONGEST:
            raise ValueError(f"the progress of {name} has {len(text)} characters")
        row = {"PartitionKey": PARTITION, "RowKey": name, "document": text}
        with answering("the table"):
            try:
                created_if_absent(
                    lambda: self._written(row, etag), create=self._table.create_table, absent="TableNotFound"
                )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                raise Conflict(f"the progress of {name} was written by another process") from error

    def _written(self, row: dict[str, Any], etag: str) -> None:
        if etag:
            self._table.update_entity(
                row, mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        else:
            self._table.create_entity(row)
