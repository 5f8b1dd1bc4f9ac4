"""Which rows are there for operators to look at?

The commands `status`, `show` and `replay` read here; nothing is written. The table filters and, where only counts are
wanted, leaves the documents out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient

from itsm_bridge.errors import Damaged, NewerVersion
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.account import answering
from itsm_bridge.storage.row_format import ASIDE, from_entity, is_key


class RowState(StrEnum):
    """The state of a row, by what happens to it next."""

    #: A worker will look at it again without an operator's doing.
    UNSETTLED = "unsettled"
    #: An operator has to act.
    PARKED = "parked"
    #: Its incident is open, as it should be.
    FIRING = "firing"
    #: A rule wants no incident of it.
    IGNORED = "ignored"
    #: Nothing is left to do; it is purged in time.
    OVER = "over"


def state_of(*, awaits_work: bool, is_parked: bool, is_firing: bool, is_ignored: bool = False) -> RowState:
    """Return the state of a row from its columns."""
    if is_parked:
        return RowState.PARKED
    if awaits_work:
        return RowState.UNSETTLED
    if is_ignored:
        return RowState.IGNORED
    return RowState.FIRING if is_firing else RowState.OVER


class Listing:
    """The table `alerts`, read only."""

    def __init__(self, table: TableClient) -> None:
        self._table = table
        self._unreadable: set[str] = set()

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The keys of the rows that were met so far and could not be read."""
        return tuple(sorted(self._unreadable))

    def counts(self) -> Mapping[RowState, int]:
        """Return how many rows are in each state; every row is looked at, without its document.

        Raises:
            Unavailable: the table did not answer.
        """
        columns = ["awaits_work", "is_parked", "is_firing", "is_ignored"]
        counted: Counter[RowState] = Counter()
        with answering("the table"):
            try:
                for row in self._table.list_entities(select=["RowKey", *columns]):
                    if is_key(row["RowKey"]):
                        counted[state_of(**{name: bool(row.get(name)) for name in columns})] += 1
            except ResourceNotFoundError:
                pass
        return {state: counted[state] for state in RowState}

    def parked(self) -> Iterator[Record]:
        """Yield the records on which an operator has to act.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("is_parked eq true", {})

    def unsettled(self) -> Iterator[Record]:
        """Yield the records that await work.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("awaits_work eq true", {})

    def with_number(self, number: str) -> Iterator[Record]:
        """Yield the records whose incident has this number, as ServiceNow writes it.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._query("number eq @number", {"number": number})

    def set_aside(self) -> Sequence[str]:
        """Return the RowKeys of damaged rows that were set aside, so that their keys could go on.

        Raises:
            Unavailable: the table did not answer.
        """
        parameters = {"first": ASIDE, "end": ASIDE + "~"}
        with answering("the table"):
            try:
                found = self._table.query_entities(
                    "RowKey ge @first and RowKey lt @end", parameters=parameters, select=["RowKey"]
                )
                return [str(row["RowKey"]) for row in found]
            except ResourceNotFoundError:
                return ()

    def _query(self, condition: str, parameters: Mapping[str, str]) -> Iterator[Record]:
        with answering("the table"):
            try:
                for entity in self._table.query_entities(condition, parameters=dict(parameters)):
                    try:
                        record = from_entity(entity, etag=str(entity.metadata["etag"]))
                    except (Damaged, NewerVersion):
                        self._unreadable.add(str(entity["RowKey"]))
                        continue
                    yield record
            except ResourceNotFoundError:
                return
