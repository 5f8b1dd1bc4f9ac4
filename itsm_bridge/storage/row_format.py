"""How is a record laid out in a row of the table?

`alert_table` and `listing` call this; nothing is read or written here.

A row has a few columns to search and to look at, and the record as one JSON document, cut into pieces
because a string property holds 32,768 UTF-16 units and an entity 1 MiB
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).

Versions of the program may run side by side while one is deployed, and a deployment may be taken back:

1. A row written by an older version lacks the newest fields and gets their defaults.
2. Fields that this version does not know are kept, of each part of the record and of its signals.
3. A row names the version of the layout that a program must at least understand to write it (`needs_version`). It is
   raised when a field comes that must not go stale; a program that is too old leaves such rows alone (`NewerVersion`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from itsm_bridge.errors import Damaged, NewerVersion
from itsm_bridge.reconcile.desired import Desired
from itsm_bridge.reconcile.followed import Followed
from itsm_bridge.reconcile.observed import Observed
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import Work
from itsm_bridge.rules.ruling import Lifecycle
from itsm_bridge.storage.part_format import exactly, form_of

#: The layout that this program understands, and the one that a program must understand to write a row of ours: where
#: rules say how an incident begins and ends, a program that knows no rules must leave its row alone, and one that knows
#: no trial would make an incident of what is on trial.
VERSION = 4
NEEDS_VERSION = 2
NEEDS_VERSION_WITH_RULES = 3
NEEDS_VERSION_ON_TRIAL = 4

#: How the RowKey of a row begins that was set aside; RowKeys of alerts are 64 hexadecimal digits and nothing else.
ASIDE = "damaged-"

#: The column of a row that leads to a group, and how the RowKey of a gathering begins.
LEADS_TO = "leads_to"
GATHERING = "group-"

_KEY = re.compile(r"[0-9a-f]{64}")

#: Characters in a piece: at most 30,000 units, because `json.dumps` leaves nothing outside ASCII.
_PIECE = 30_000

#: In the columns of a row that counts on no wake-up, or that our clock never ends: older versions of the program query
#: for what is due.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)

_NOT_FOLLOWED = Followed()
#: How incidents begin and end where no rule of an operator says otherwise.
_NO_RULES = Lifecycle()

_text = exactly(str)
_MOMENT, _DESIRED, _OBSERVED, _WORK, _FOLLOWED = map(form_of, (datetime, Desired, Observed, Work, Followed))


def is_key(text: str) -> bool:
    """Return whether a RowKey is that of an alert: 64 hexadecimal digits, and nothing else is."""
    return bool(_KEY.fullmatch(text))


def partition_of(key: str) -> str:
    """Return the partition of a key: 256 of them, so that a storm is spread over the table's servers."""
    return key[:2]


def to_entity(record: Record) -> dict[str, Any]:
    """Return the row of `record`."""
    work = record.work
    document = json.dumps(_to_document(record), separators=(",", ":"), check_circular=False)
    pieces = {
        f"document_{start // _PIECE}": document[start : start + _PIECE] for start in range(0, len(document), _PIECE)
    }
    return {
        "PartitionKey": partition_of(record.key),
        "RowKey": record.key,
        "awaits_work": record.awaits_work,
        "is_parked": work.is_parked,
        "is_firing": record.desired.is_firing,
        "is_ignored": record.desired.is_ignored,
        "is_shadowed": record.desired.is_shadowed,
        "expires_at": record.desired.expires_at or NEVER,
        "changed_at": record.desired.changed_at,
        "wake_up_at": NEVER if work.is_waiting else work.wake_up_at,
        "is_waiting": work.is_waiting,
        "looked_at": work.looked_at or record.desired.changed_at,
        "number": record.observed.number,
        "needs_version": _needed_version(record),
        **({} if record.indexed_as is None else {"indexed_as": record.indexed_as}),
        **pieces,
    }


def from_entity(entity: Mapping[str, Any], *, etag: str) -> Record:
    """Return the record of a row.

    Raises:
        NewerVersion: only a newer version of this program may write it.
        Damaged: it cannot be read.
    """
    key = str(entity.get("RowKey", ""))
    needs_version = entity.get("needs_version", 1)
    if isinstance(needs_version, int) and needs_version > VERSION:
        raise NewerVersion(f"the row {key} needs version {needs_version} of its layout, and this is {VERSION}")
    pieces: list[str] = []
    while (piece := entity.get(f"document_{len(pieces)}")) is not None:
        pieces.append(piece)
    try:
        record = _from_document(json.loads("".join(pieces)), etag=etag, indexed_as=indexed_as(entity))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"the row {key} cannot be read: {type(error).__name__}") from error
    if record.key != key:
        raise Damaged(f"the row {key} cannot be read: key")
    return record


def indexed_as(entity: Mapping[str, Any]) -> str | None:
    """Return the mark of what the index says of a row; "" if nothing, None if an older version wrote the row."""
    mark = entity.get("indexed_as")
    return mark if isinstance(mark, str) else None


def _needed_version(record: Record) -> int:
    if record.desired.is_shadowed:
        return NEEDS_VERSION_ON_TRIAL
    return NEEDS_VERSION_WITH_RULES if _follows_rules(record) else NEEDS_VERSION


def _follows_rules(record: Record) -> bool:
    signals = record.desired.signals.values()
    return any(each.lifecycle != _NO_RULES or each.ignored_by for each in signals)


def aside(entity: Mapping[str, Any], *, etag: str) -> dict[str, Any]:
    """Return a damaged row as it is kept: whole, under a RowKey of no alert, and found by no query for alerts."""
    mark = hashlib.sha256(etag.encode()).hexdigest()[:12]
    kept = {f"was_{name}": value for name, value in entity.items() if name not in ("PartitionKey", "RowKey")}
    return {"PartitionKey": entity["PartitionKey"], "RowKey": f"{ASIDE}{entity['RowKey']}-{mark}", **kept}


# The document.


def _to_document(record: Record) -> dict[str, Any]:
    return {
        **record.unknown,
        "version": VERSION,
        "key": record.key,
        "created_at": _MOMENT.write(record.created_at),
        "desired": _DESIRED.write(record.desired),
        "observed": _OBSERVED.write(record.observed),
        "work": _WORK.write(record.work),
        # Few rows have it.
        **({"followed": _FOLLOWED.write(record.followed)} if record.followed != _NOT_FOLLOWED else {}),
    }


def _from_document(document: Mapping[str, Any], *, etag: str, indexed_as: str | None) -> Record:
    if "version" not in document:
        from itsm_bridge.storage import row_version_1  # noqa: PLC0415 - few rows are left of it, and imports are timed

        document = row_version_1.translated(document)
    known = ("version", "key", "created_at", "desired", "observed", "work", "followed")
    return Record(
        key=_text(document["key"]),
        created_at=_MOMENT.read(document["created_at"]),
        desired=_DESIRED.read(document["desired"]),
        observed=_OBSERVED.read(document["observed"]),
        work=_WORK.read(document["work"]),
        followed=_FOLLOWED.read(document["followed"]) if "followed" in document else _NOT_FOLLOWED,
        etag=etag,
        indexed_as=indexed_as,
        unknown={name: value for name, value in document.items() if name not in known},
    )
