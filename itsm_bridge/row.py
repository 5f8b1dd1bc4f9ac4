"""How is a record laid out in a row of the table?

A few columns to search and to look at, and the record as one JSON document, cut into pieces
because a string property holds 32,768 UTF-16 units and an entity 1 MiB
(https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model).
A row written by an older version lacks the newest fields and gets their defaults; fields of a newer one are ignored.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from itsm_bridge.record import Decision, Note, Record, Signal

#: Characters in a piece: at most 30,000 units, because `json.dumps` leaves nothing outside ASCII.
_PIECE = 30_000

_TIMES = frozenset(field.name for field in fields(Record) if "datetime" in str(field.type))
_NOT_STORED = frozenset({"etag"})


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
        "wake_up_at": record.wake_up_at,
        "number": record.number,
        **pieces,
    }


def from_entity(entity: Mapping[str, Any], *, etag: str) -> Record:
    """Return the record of a row."""
    pieces: list[str] = []
    while (piece := entity.get(f"document_{len(pieces)}")) is not None:
        pieces.append(piece)
    return _from_document(json.loads("".join(pieces)), etag=etag)


def _to_document(record: Record) -> dict[str, Any]:
    document = {field.name: getattr(record, field.name) for field in fields(Record) if field.name not in _NOT_STORED}
    document |= {name: _to_text(document[name]) for name in _TIMES}
    document["signals"] = {
        name: {"is_firing": signal.is_firing, "at": _to_text(signal.at), "digest": signal.digest}
        for name, signal in record.signals.items()
    }
    document["notes"] = [{"revision": note.revision, "text": note.text} for note in record.notes]
    document["decisions"] = [{**asdict(each), "at": _to_text(each.at)} for each in record.decisions]
    document |= {name: dict(document[name]) for name in ("fields", "facts", "applied", "wished")}
    return document


def _from_document(document: Mapping[str, Any], *, etag: str) -> Record:
    known = {field.name: document[field.name] for field in fields(Record) if field.name in document}
    known |= {name: _to_time(known[name]) for name in _TIMES & known.keys()}
    known["signals"] = {
        name: Signal(is_firing=signal["is_firing"], at=_to_time(signal["at"]), digest=signal["digest"])
        for name, signal in known["signals"].items()
    }
    known["notes"] = tuple(Note(revision=note["revision"], text=note["text"]) for note in known["notes"])
    known["decisions"] = tuple(_to_decision(each) for each in known.get("decisions", ()))
    known["resources"] = tuple(known["resources"])
    known["dropped"] = tuple(known.get("dropped", ()))
    known["wished"] = {name: tuple(prints) for name, prints in known.get("wished", {}).items()}
    return Record(**{**known, "etag": etag})


def _to_decision(content: Mapping[str, Any]) -> Decision:
    known = {field.name: content[field.name] for field in fields(Decision) if field.name in content}
    return Decision(**{**known, "at": datetime.fromisoformat(content["at"])})


def _to_text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()


def _to_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
