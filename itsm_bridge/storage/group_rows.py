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
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, UpdateMode

from itsm_bridge.errors import Conflict, Damaged, Unavailable
from itsm_bridge.reconcile.gathering import Gathering
from itsm_bridge.reconcile.pages import GroupRow
from itsm_bridge.storage.account import answering, created_if_absent
from itsm_bridge.storage.row_format import GATHERING, LEADS_TO, NEEDS_VERSION_WITH_RULES, partition_of

_T = TypeVar("_T")

log = logging.getLogger(__name__)

#: How often a row may come and go before it is given up.
_ATTEMPTS = 3
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


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
        "RowKey": f"{GATHERING}{gathering.group}",
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
            group=str(entity["RowKey"]).removeprefix(GATHERING),
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
        entity = self._entity(partition_of(group), f"{GATHERING}{group}")
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

    def purge_group(self, row: GroupRow, *, changed_before: datetime) -> bool:
        """Delete a row that leads to a group without a row, or an old gathering; return whether it was deleted.

        Raises:
            Conflict: an alert joined the group meanwhile.
            Unavailable: the table did not answer.
        """
        own_key = row.key if row.leads_to else f"{GATHERING}{row.key}"
        entity = self._entity(partition_of(row.key), own_key)
        if entity is None or _changed_at(entity) >= changed_before:
            return False
        group = str(entity.get(LEADS_TO, ""))
        if group and self._entity(partition_of(group), group) is not None:
            return False
        condition: dict[str, Any] = {"etag": _etag_of(entity), "match_condition": MatchConditions.IfNotModified}
        with suppress(ResourceNotFoundError):
            try:
                self._asked(lambda: self._table.delete_entity(entity, **condition))
            except ResourceModifiedError as error:
                raise Conflict(f"the row {row.key} changed since it was read") from error
        return True

    def _entity(self, partition: str, row: str) -> TableEntity | None:
        try:
            return self._asked(lambda: self._table.get_entity(partition, row))
        except ResourceNotFoundError:
            return None

    def _asked(self, call: Callable[[], _T]) -> _T:
        with answering("the table"):
            return created_if_absent(call, create=self._table.create_table, absent="TableNotFound")


def _changed_at(entity: TableEntity) -> datetime:
    # A row of an alert has no such column: it is never old enough.
    changed_at = entity.get("led_at") or entity.get("last_at")
    return changed_at if isinstance(changed_at, datetime) else _NEVER


def _etag_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])
