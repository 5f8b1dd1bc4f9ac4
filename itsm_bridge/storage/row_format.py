"""How is a record laid out in a row of the table?

A few columns to search and to look at, and the record as one JSON document, cut into pieces
because a string property holds 32,768 UTF-16 units and an entity 1 MiB
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).

Versions of the program may run side by side while one is deployed, and a deployment may be taken back:

1. A row written by an older version lacks the newest fields and gets their defaults.
2. Fields that this version does not know are kept, of the record and of its signals.
3. A row names the version that one must at least understand to write it (`needs_version`). It is raised when a field
   comes that must not go stale; a version that is too old leaves such rows alone (`NewerVersion`).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from itsm_bridge.errors import Damaged, NewerVersion
from itsm_bridge.reconcile.record import Decision, Note, Record, Signal

#: What this version understands, and what one must understand to write a row that this version wrote.
VERSION = 1
NEEDS_VERSION = 1

#: How the RowKey of a row begins that was set aside: those of alerts are 64 hexadecimal digits and nothing else.
ASIDE = "damaged-"

_KEY = re.compile(r"[0-9a-f]{64}")

#: Characters in a piece: at most 30,000 units, because `json.dumps` leaves nothing outside ASCII.
_PIECE = 30_000

_TIMES = frozenset(field.name for field in fields(Record) if field.type in (datetime, datetime | None))
_NOT_STORED = frozenset({"etag", "unknown"})

#: The fields of a signal that are stored as they are.
_OF_SIGNAL = tuple(field.name for field in fields(Signal) if field.name not in ("at", "began_at", "unknown"))

#: In the column of a row that counts on no wake-up: a query for overdue wake-ups does not find it.
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)

#: The plain fields of a record and what they must hold: a worker that meets anything else would stumble over it.
_CHECKED = {field.name: field.type for field in fields(Record) if field.type in (str, int, bool)}


def is_key(text: str) -> bool:
    """Return whether a RowKey is that of an alert: 64 hexadecimal digits, and nothing else is."""
    return bool(_KEY.fullmatch(text))


def partition_of(key: str) -> str:
    """Return the partition of a key: 256 of them, so that a storm is spread over the table's servers."""
    return key[:2]


def to_entity(record: Record) -> dict[str, Any]:
    """Return the row of `record`."""
    document = json.dumps(_to_document(record), separators=(",", ":"))
    pieces = {
        f"document_{start // _PIECE}": document[start : start + _PIECE] for start in range(0, len(document), _PIECE)
    }
    return {
        "PartitionKey": partition_of(record.key),
        "RowKey": record.key,
        "awaits_work": record.awaits_work,
        "is_parked": record.is_parked,
        "is_firing": record.is_firing,
        "changed_at": record.changed_at,
        "wake_up_at": _NEVER if record.is_waiting else record.wake_up_at,
        "is_waiting": record.is_waiting,
        "looked_at": record.looked_at or record.changed_at,
        "number": record.number,
        "needs_version": NEEDS_VERSION,
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
        record = _from_document(json.loads("".join(pieces)), etag=etag)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"the row {key} cannot be read: {type(error).__name__}") from error
    wrong = [name for name, kind in _CHECKED.items() if type(getattr(record, name)) is not kind]
    if wrong or record.key != key:
        raise Damaged(f"the row {key} cannot be read: {', '.join(wrong) or 'key'}")
    return record


def aside(entity: Mapping[str, Any], *, etag: str) -> dict[str, Any]:
    """Return a damaged row as it is kept beside the alerts: whole, under a key that is none, in no query's way."""
    mark = hashlib.sha256(etag.encode()).hexdigest()[:12]
    kept = {f"was_{name}": value for name, value in entity.items() if name not in ("PartitionKey", "RowKey")}
    return {"PartitionKey": entity["PartitionKey"], "RowKey": f"{ASIDE}{entity['RowKey']}-{mark}", **kept}


def _to_document(record: Record) -> dict[str, Any]:
    known = {field.name: getattr(record, field.name) for field in fields(Record) if field.name not in _NOT_STORED}
    document = {**record.unknown, **known}
    document |= {name: _to_text(document[name]) for name in _TIMES}
    document["signals"] = {
        name: {
            **signal.unknown,
            **{each: getattr(signal, each) for each in _OF_SIGNAL},
            "at": _to_text(signal.at),
            "began_at": _to_text(signal.began_at),
        }
        for name, signal in record.signals.items()
    }
    document["creations"] = [_to_text(moment) for moment in record.creations]
    document["notes"] = [asdict(note) for note in record.notes]
    document["decisions"] = [{**asdict(each), "at": _to_text(each.at)} for each in record.decisions]
    document |= {name: dict(document[name]) for name in ("fields", "facts", "applied", "wished")}
    return document


def _from_document(document: Mapping[str, Any], *, etag: str) -> Record:
    names = {field.name for field in fields(Record)} - _NOT_STORED
    known = {name: document[name] for name in names & document.keys()}
    known |= {name: _to_time(known[name]) for name in _TIMES & known.keys()}
    known["signals"] = {name: _to_signal(content) for name, content in known["signals"].items()}
    known["creations"] = tuple(datetime.fromisoformat(moment) for moment in known.get("creations", ()))
    known["notes"] = tuple(Note(**_known(Note, note)) for note in known["notes"])
    known["decisions"] = tuple(_to_decision(each) for each in known.get("decisions", ()))
    known["resources"] = tuple(known["resources"])
    known["dropped"] = tuple(known.get("dropped", ()))
    known["wished"] = {name: tuple(prints) for name, prints in known.get("wished", {}).items()}
    unknown = {name: value for name, value in document.items() if name not in names}
    return Record(**{**known, "etag": etag, "unknown": unknown})


def _to_signal(content: Mapping[str, Any]) -> Signal:
    unknown = {name: value for name, value in content.items() if name not in (*_OF_SIGNAL, "at", "began_at")}
    # A row of an older version does not tell when its firing began: when it last spoke is the best guess.
    began_at = content.get("began_at", content["at"] if content["is_firing"] else None)
    times = {"at": _to_time(content["at"]), "began_at": _to_time(began_at)}
    known = {**_known(Signal, content), **times, "said": tuple(content.get("said", ()))}
    return Signal(**{**known, "unknown": unknown})


def _known(kind: type[Note | Signal | Decision], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what this version knows of `content`."""
    return {field.name: content[field.name] for field in fields(kind) if field.name in content}


def _to_decision(content: Mapping[str, Any]) -> Decision:
    return Decision(**{**_known(Decision, content), "at": datetime.fromisoformat(content["at"])})


def _to_text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()


def _to_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
