"""Which rows are there for operators to look at?

The commands `status`, `show`, `list`, `replay` and `forget` read here; nothing is written. What is open is found by the
index. For the rest the table filters and, where only counts are wanted, leaves the documents out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient

from itsm_bridge.errors import Damaged, LeadsNowhere, NewerVersion
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.account import answering
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import ASIDE, LEADS_TO, from_entity, is_key, partition_of


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
    #: A rule keeps it from ServiceNow for a trial, whether it fires or is over.
    SHADOW = "shadow"
    #: Nothing is left to do; it is purged in time.
    OVER = "over"


def state_of(
    *, awaits_work: bool, is_parked: bool, is_firing: bool, is_ignored: bool = False, is_shadowed: bool = False
) -> RowState:
    """Return the state of a row from its columns."""
    if is_parked:
        return RowState.PARKED
    if awaits_work:
        return RowState.UNSETTLED
    if is_ignored:
        return RowState.IGNORED
    if is_shadowed:
        return RowState.SHADOW
    return RowState.FIRING if is_firing else RowState.OVER


def state_of_record(record: Record) -> RowState:
    """Return the state of the row that holds `record`."""
    return state_of(
        awaits_work=record.awaits_work,
        is_parked=record.work.is_parked,
        is_firing=record.desired.is_firing,
        is_ignored=record.desired.is_ignored,
        is_shadowed=record.desired.is_shadowed,
    )


#: No row is older.
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)

#: By state, the rows that may be in it: rows of older versions lack the newest columns, and cannot be asked for them.
_CONDITIONS: Mapping[RowState, str] = {
    RowState.UNSETTLED: "awaits_work eq true",
    RowState.PARKED: "is_parked eq true",
    RowState.FIRING: "awaits_work eq false and is_parked eq false and is_firing eq true",
    RowState.IGNORED: "is_ignored eq true",
    RowState.SHADOW: "is_shadowed eq true",
    RowState.OVER: "awaits_work eq false and is_parked eq false and is_firing eq false",
}


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
        columns = ["awaits_work", "is_parked", "is_firing", "is_ignored", "is_shadowed"]
        counted: Counter[RowState] = Counter()
        with answering("the table"):
            try:
                for row in self._table.list_entities(select=["RowKey", LEADS_TO, *columns]):
                    if is_key(row["RowKey"]) and not row.get(LEADS_TO):
                        counted[state_of(**{name: bool(row.get(name)) for name in columns})] += 1
            except ResourceNotFoundError:
                pass
        return {state: counted[state] for state in RowState}

    def parked(self) -> Iterator[Record]:
        """Yield the records on which an operator has to act.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._open(RowState.PARKED)

    def unsettled(self) -> Iterator[Record]:
        """Yield the records that await work.

        Raises:
            Unavailable: the table did not answer.
        """
        return self._open(RowState.UNSETTLED)

    def _open(self, state: RowState) -> Iterator[Record]:
        """Yield the records in a state that the index names, where it can be relied upon; else every row is looked at.

        The index decides which rows are read, and what they say themselves decides which are shown.
        """
        table = AlertTable(self._table)
        index = table.index() if table.progress().vouches_for_index(datetime.now(UTC)) else None
        if index is None or index.failure is not None:
            yield from self._query(_CONDITIONS[state], {})
            return
        for outline in index.outlines:
            if outline.is_parked if state is RowState.PARKED else outline.awaits_work:
                try:
                    record = table.read(outline.key)
                except (Damaged, NewerVersion):
                    self._unreadable.add(outline.key)
                    continue
                except LeadsNowhere:
                    continue
                if record is not None and record.key == outline.key and state_of_record(record) is state:
                    yield record

    def changed(self, *, state: RowState | None = None, since: datetime | None = None) -> Iterator[Record]:
        """Yield the records in a state, or in any, that last changed at `since` or later, or ever; in no order.

        Raises:
            Unavailable: the table did not answer.
        """
        conditions = [_CONDITIONS[state]] if state else []
        found = self._query(" and ".join([*conditions, "changed_at ge @since"]), {"since": since or _ALWAYS})
        return (row for row in found if state is None or state_of_record(row) is state)

    def signals_changed(self, since: datetime) -> Iterator[str]:
        """Yield the names of the alerts of the rows that last changed at `since` or later: alertIds, or "".

        Raises:
            Unavailable: the table did not answer.
        """
        for row in self.changed(since=since):
            yield from row.desired.signals

    def beginning_with(self, digits: str) -> Iterator[Record]:
        """Yield the records whose key begins with these digits, two or more, or where such a row leads to.

        Raises:
            Unavailable: the table did not answer.
        """
        parameters = {"partition": partition_of(digits), "first": digits, "end": digits + "g"}
        condition = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @end"
        return self._query(condition, parameters)

    def of_alert(self, guid: str) -> Iterator[Record]:
        """Yield the records that stand for the alert whose alertId ends with `guid`; every row is read for that.

        Raises:
            Unavailable: the table did not answer.
        """
        wanted = guid.lower()
        return (row for row in self.changed() if any(name.endswith(wanted) for name in row.desired.signals))

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

    def _query(self, condition: str, parameters: Mapping[str, str | datetime]) -> Iterator[Record]:
        with answering("the table"):
            try:
                for entity in self._table.query_entities(condition, parameters=dict(parameters)):
                    if not is_key(str(entity["RowKey"])):
                        continue
                    try:
                        if LEADS_TO in entity:
                            group = str(entity[LEADS_TO])
                            entity = self._table.get_entity(partition_of(group), group)  # noqa: PLW2901 - led on
                        record = from_entity(entity, etag=str(entity.metadata["etag"]))
                    except (Damaged, NewerVersion):
                        self._unreadable.add(str(entity["RowKey"]))
                        continue
                    yield record
            except ResourceNotFoundError:
                return
