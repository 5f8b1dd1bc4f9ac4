"""How is remembered what goes wrong again and again?

`operate.recorder` adds, the command `status` and the health check read. One row per kind of trouble, in a partition of
the table `alerts` whose RowKeys are no keys of alerts, so that the rows are few whatever happens. Each write is
conditional, because several processes count.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Conflict
from itsm_bridge.storage.account import answering, created_if_absent
from itsm_bridge.troubles import Tally, Trouble

PARTITION: Final = "troubles"

_ATTEMPTS = 5


class TroubleTable:
    """The rows of troubles; safe to share between threads."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def add(self, trouble: Trouble, tally: Tally, *, over_after: timedelta) -> None:
        """Add what one process counted; a trouble that was not met for `over_after` is counted from the beginning.

        Raises:
            Conflict: other processes kept changing the row.
            Unavailable: the table did not answer; it may or may not have been added.
        """
        for _ in range(_ATTEMPTS):
            with answering("the table"), suppress(ResourceExistsError, ResourceModifiedError):
                created_if_absent(
                    lambda: self._written(trouble, tally, over_after),
                    create=self._table.create_table,
                    absent="TableNotFound",
                )
                return
        raise Conflict(f"the row of {trouble} keeps changing")

    def known(self) -> Mapping[Trouble, Tally]:
        """Return what was counted, by kind; kinds of a newer version of this program are left out.

        Raises:
            Unavailable: the table did not answer.
        """
        with answering("the table"):
            try:
                rows = list(self._table.query_entities(f"PartitionKey eq '{PARTITION}'"))
            except ResourceNotFoundError:
                return {}
        kinds = {str(kind) for kind in Trouble}
        return {Trouble(row["RowKey"]): _tally(row) for row in rows if row["RowKey"] in kinds}

    def clear(self) -> None:
        """Forget all that was counted.

        Raises:
            Unavailable: the table did not answer.
        """
        for trouble in self.known():
            with answering("the table"), suppress(ResourceNotFoundError):
                self._table.delete_entity(PARTITION, str(trouble))

    def _written(self, trouble: Trouble, tally: Tally, over_after: timedelta) -> None:
        try:
            row = self._table.get_entity(PARTITION, str(trouble))
        except ResourceNotFoundError:
            self._table.create_entity(_row(trouble, tally))
            return
        known = _tally(row)
        if tally.first_at - known.last_at < over_after:
            tally = known.plus(tally)
        self._table.update_entity(
            _row(trouble, tally),
            mode=UpdateMode.REPLACE,
            etag=str(row.metadata["etag"]),
            match_condition=MatchConditions.IfNotModified,
        )


def _row(trouble: Trouble, tally: Tally) -> dict[str, Any]:
    return {
        "PartitionKey": PARTITION,
        "RowKey": str(trouble),
        "count": tally.count,
        "first_at": tally.first_at,
        "last_at": tally.last_at,
        "detail": tally.detail,
    }


def _tally(row: Mapping[str, Any]) -> Tally:
    return Tally(
        count=int(row["count"]),
        first_at=row["first_at"],
        last_at=row["last_at"],
        detail=str(row.get("detail", "")),
    )
