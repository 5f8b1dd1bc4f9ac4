"""How are alerts that share an incident kept together in the table?

`alert_table` is the table that the reconciler knows; this part of it keeps two more kinds of rows, beside the row that
the group has like any alert:

    the row of an alert's own key that leads to the group   RowKey: the key; `leads_to`: the key of the group
    who joined a group lately                               RowKey: `group-` and the key of the group

A leading row is written once and never changed. It says that a program must know of groups to write it, so that an
older one leaves the alert alone.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, Unavailable
from itsm_bridge.reconcile.gathering import Gathering
from itsm_bridge.storage.account import answering, created_if_absent
from itsm_bridge.storage.row_format import NEEDS_VERSION_WITH_RULES, partition_of

_T = TypeVar("_T")

log = logging.getLogger(__name__)

#: The column of a row that leads to a group.
LEADS_TO = "leads_to"
_GATHERING = "group-"

#: How often a row may come and go before it is given up.
_ATTEMPTS = 3
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

#: Seconds for a page of a scan; storage itself ends it after 5.
_SCAN_PATIENCE = 10


def leading_row(key: str, *, to: str, now: datetime) -> dict[str, Any]:
    """Return the row of `key` that leads to the group `to`."""
    return {
        "PartitionKey": partition_of(key),
        "RowKey": key,
        LEADS_TO: to,
        "led_at": now,
        "needs_version": NEEDS_VERSION_WITH_RULES,
    }


def gathering_row(gathering: Gathering) -> dict[str, Any]:
    """Return the row of a gathering."""
    return {
        "PartitionKey": partition_of(gathering.group),
        "RowKey": f"{_GATHERING}{gathering.group}",
        "number": gathering.number,
        "is_storm": gathering.is_storm,
        "last_at": gathering.last_at,
        "joined": json.dumps([[key, at.astimezone(UTC).isoformat()] for key, at in gathering.joined]),
    }


def gathering_from(entity: Mapping[str, Any], *, etag: str) -> Gathering:
    """Return the gathering of a row.

    Raises:
        Damaged: it cannot be read.
    """
    try:
        return Gathering(
            group=str(entity["RowKey"]).removeprefix(_GATHERING),
            number=int(entity["number"]),
            is_storm=bool(entity["is_storm"]),
            last_at=entity["last_at"],
            joined=tuple((str(key), datetime.fromisoformat(at)) for key, at in json.loads(entity["joined"])),
            etag=etag,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the gathering {entity.get('RowKey')} cannot be read: {type(error).__name__}") from error


class GroupRows:
    """The rows of groups in the table `alerts`."""

    def __init__(self, table: TableClient) -> None:
        self._table = table

    def lead(self, key: str, *, to: str) -> str:
        """Let the row of `key` lead to the group `to`, if `key` has no row yet; return where it leads then.

        That is `key` itself if it has a record of its own.

        Raises:
            Unavailable: the table did not answer; the row may or may not have been written.
        """
        row = leading_row(key, to=to, now=datetime.now(UTC))
        for _ in range(_ATTEMPTS):
            try:
                self._asked(lambda: self._table.create_entity(row))
            except ResourceExistsError:
                found = self._entity(partition_of(key), key)
                if found is not None:
                    return str(found.get(LEADS_TO, key))
            else:
                return to
        raise Unavailable(f"the row {key} comes and goes")

    def gathering(self, group: str) -> Gathering | None:
        """Return who joined a group lately, None if nobody did. A row that cannot be read says nobody.

        Raises:
            Unavailable: the table did not answer.
        """
        entity = self._entity(partition_of(group), f"{_GATHERING}{group}")
        if entity is None:
            return None
        try:
            return gathering_from(entity, etag=_etag_of(entity))
        except Damaged as error:
            # It is written anew: no alert may be refused for it. Its next incident must not be one that it had.
            log.error("%s; it begins anew", error)
            now = datetime.now(UTC)
            return Gathering(group=group, number=int(now.timestamp()), last_at=_LONG_AGO, etag=_etag_of(entity))

    def gather(self, gathering: Gathering) -> None:
        """Write who joined a group lately, unless that changed since it was read.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; the write may or may not have happened.
        """
        row = gathering_row(gathering)
        try:
            if not gathering.etag:
                self._asked(lambda: self._table.create_entity(row))
                return
            self._asked(
                lambda: self._table.update_entity(
                    row,
                    mode=UpdateMode.REPLACE,
                    etag=gathering.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            )
        except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
            raise Conflict(f"the gathering {gathering.group} changed since it was read") from error

    def purge_groups(self, *, changed_before: datetime, limit: int) -> int:
        """Delete at most `limit` of the rows that lead to a group without a row, and of the old gatherings.

        Raises:
            Unavailable: the table did not answer.
        """
        deleted = 0
        groups: dict[str, bool] = {}
        condition = "led_at lt @before or (last_at lt @before and RowKey ge 'group-' and RowKey lt 'group.')"
        with answering("the table"):
            try:
                found = self._table.query_entities(
                    condition, parameters={"before": changed_before}, read_timeout=_SCAN_PATIENCE
                )
                for entity in found:
                    if deleted == limit:
                        break
                    group = str(entity.get(LEADS_TO, ""))
                    if group and group not in groups:
                        groups[group] = self._entity(partition_of(group), group) is not None
                    if not groups.get(group):
                        self._table.delete_entity(
                            entity, etag=_etag_of(entity), match_condition=MatchConditions.IfNotModified
                        )
                        deleted += 1
            except (ResourceModifiedError, ResourceNotFoundError):
                # Another process was faster, or an alert joined right now; the rest has time until the next hour.
                return deleted
        return deleted

    def _entity(self, partition: str, row: str) -> TableEntity | None:
        try:
            return self._asked(lambda: self._table.get_entity(partition, row))
        except ResourceNotFoundError:
            return None

    def _asked(self, call: Callable[[], _T]) -> _T:
        with answering("the table"):
            return created_if_absent(call, create=self._table.create_table, absent="TableNotFound")


def _etag_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])
