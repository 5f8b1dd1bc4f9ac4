"""How is the index of open rows laid out in the table?

`index_table` calls this; nothing is read or written here. Beside an open row, in its partition, lies an entry:

    RowKey   `open-` and the key of the row
    outline  what `resync` has to know of the row, as JSON

A row names in its column `indexed_as` the entry that was written with it. So a write that changes nothing of the entry
leaves it alone, and an entry or a row that an older version of the program left behind is recognised: such a version
drops the column. No column of an entry has the name of a column of a row, because older versions query for those.

Two rows of the partition `index` say how far sweeps have come, and when somebody last looked for rows in hand.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from itsm_bridge.reconcile.outline import Outline, outline_of
from itsm_bridge.reconcile.pages import START, GroupRow, Page, Place, Progress, Swept
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.row_format import GATHERING, LEADS_TO, NEVER, indexed_as, is_key, partition_of

#: How the RowKey of an entry begins, and the end of the range of all entries of a partition.
OPEN: Final = "open-"
OPEN_END: Final = "open."

#: Every partition in which rows of alerts lie.
PARTITIONS: Final = tuple(f"{number:02x}" for number in range(256))

#: The columns that a sweep asks for.
SWEPT_COLUMNS: Final = (
    *("PartitionKey", "RowKey", "awaits_work", "is_parked", "is_firing", "is_shadowed", "expires_at"),
    *("changed_at", "looked_at", "indexed_as", LEADS_TO, "led_at", "last_at"),
)
#: The columns of an entry.
ENTRY_COLUMNS: Final = ("PartitionKey", "RowKey", "outline")

#: Of the index. A higher one makes sweeps look at every row again.
LAYOUT: Final = 1
PARTITION: Final = "index"
SWEEP: Final = "sweep"
LOOK: Final = "look"

#: No row is older.
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


def entry_key(key: str) -> str:
    """Return the RowKey of the entry of a row."""
    return OPEN + key


def entry_of(record: Record) -> dict[str, Any] | None:
    """Return the entry of a row as the index should have it, None if the row is not open."""
    outline = outline_of(record)
    if not outline.is_open:
        return None
    text = json.dumps(_to_json(outline), separators=(",", ":"))
    return {"PartitionKey": partition_of(record.key), "RowKey": entry_key(record.key), "outline": text}


def mark_of(entry: Mapping[str, Any] | None) -> str:
    """Return what names the content of an entry, "" for none."""
    return "" if entry is None else hashlib.sha256(str(entry.get("outline")).encode()).hexdigest()[:16]


def outline_from(entry: Mapping[str, Any]) -> Outline:
    """Return the outline that an entry holds. One that cannot be read says that its row is to be looked at."""
    key = str(entry["RowKey"]).removeprefix(OPEN)
    try:
        return _from_json(key, json.loads(str(entry.get("outline"))), mark=mark_of(entry))
    except (ValueError, KeyError, TypeError, AttributeError):
        return _from_json(key, _UNREADABLE, mark=mark_of(entry))


def page_of(entities: Iterable[Mapping[str, Any]], *, is_last: bool) -> Page:
    """Return what a page of the table shows; its entities are in the order of their keys."""
    rows, groups, indexed, end = [], [], [], START
    for entity in entities:
        key = str(entity["RowKey"])
        end = Place(str(entity["PartitionKey"]), key)
        if key.startswith(OPEN):
            indexed.append(key.removeprefix(OPEN))
        elif key.startswith(GATHERING):
            groups.append(GroupRow(key.removeprefix(GATHERING), "", _time(entity, "last_at")))
        elif is_key(key) and entity.get(LEADS_TO):
            groups.append(GroupRow(key, str(entity[LEADS_TO]), _time(entity, "led_at")))
        elif is_key(key):
            rows.append(_swept(key, entity))
    return Page(rows=rows, groups=groups, indexed=indexed, end=START if is_last else end)


def progress_row(progress: Progress) -> dict[str, Any]:
    """Return the row that says how far sweeps have come."""
    times = {name: getattr(progress, name) for name in _TIMES}
    return {
        **_row(SWEEP),
        "layout": LAYOUT,
        "partition": progress.place.partition,
        "row": progress.place.row,
        **{name: time for name, time in times.items() if time is not None},
    }


def progress_from(entity: Mapping[str, Any], *, etag: str) -> Progress:
    """Return how far sweeps have come; of another layout of the index, that none has begun."""
    if entity.get("layout") != LAYOUT:
        return Progress(etag=etag)
    times = {name: time for name in _TIMES if isinstance(time := entity.get(name), datetime)}
    return Progress(place=Place(str(entity.get("partition", "")), str(entity.get("row", ""))), etag=etag, **times)


def look_row(began_at: datetime, name: str) -> dict[str, Any]:
    """Return the row that says when somebody last began to look for rows in hand; `name` is that of this look."""
    return {**_row(LOOK), "began_at": began_at, "name": name}


_TIMES: Final = ("ran_at", "round_began_at", "hasty_since")


def _row(key: str) -> dict[str, Any]:
    return {"PartitionKey": PARTITION, "RowKey": key}


def _swept(key: str, entity: Mapping[str, Any]) -> Swept:
    awaits_work, is_parked, is_firing, is_shadowed = (
        bool(entity.get(name)) for name in ("awaits_work", "is_parked", "is_firing", "is_shadowed")
    )
    is_on_trial = is_firing and is_shadowed and not awaits_work
    ends = (entity.get("expires_at") or NEVER) < NEVER
    changed_at = _time(entity, "changed_at")
    return Swept(
        key=key,
        is_open=awaits_work or is_parked or is_on_trial or ends,
        is_firing=is_firing,
        is_on_trial=is_on_trial,
        changed_at=changed_at,
        looked_at=entity.get("looked_at") or changed_at,
        indexed_as=indexed_as(entity),
    )


def _time(entity: Mapping[str, Any], name: str) -> datetime:
    time = entity.get(name)
    return time if isinstance(time, datetime) else _LONG_AGO


#: Of an outline in JSON, the fields by their kinds; `place` stands apart.
_BOOLEANS: Final = ("awaits_work", "is_settled", "is_parked", "is_waiting", "is_leased", "is_firing")
_TEXTS: Final = ("shadowed_by", "wake_up_id")
_MOMENTS: Final = ("told_at", "wake_up_at", "expires_at", "failing_since")
_NEEDED_MOMENTS: Final = ("told_at", "wake_up_at")

_UNREADABLE: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_BOOLEANS, False),
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_MOMENTS, None),
    **dict.fromkeys(_NEEDED_MOMENTS, _LONG_AGO.isoformat()),
    "awaits_work": True,
    "is_leased": True,
    "place": [False, _LONG_AGO.isoformat()],
}


def _to_json(outline: Outline) -> Mapping[str, Any]:
    moments = {name: getattr(outline, name) for name in _MOMENTS}
    was_tried, since = outline.place
    return {
        **{name: getattr(outline, name) for name in (*_BOOLEANS, *_TEXTS)},
        **{name: each and _told(each) for name, each in moments.items()},
        "place": [was_tried, _told(since)],
    }


def _from_json(key: str, content: Mapping[str, Any], *, mark: str) -> Outline:
    moments = {name: content[name] and datetime.fromisoformat(content[name]) for name in _MOMENTS}
    if any(moments[name] is None for name in _NEEDED_MOMENTS):
        raise ValueError
    was_tried, since = content["place"]
    fields: dict[str, Any] = {
        **{name: bool(content[name]) for name in _BOOLEANS},
        **{name: str(content[name]) for name in _TEXTS},
        **moments,
    }
    return Outline(key=key, **fields, place=(bool(was_tried), datetime.fromisoformat(since)), mark=mark)


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
