"""How does a row of layout version 1 read in version 2?

Version 1 kept one flat document per row, with ServiceNow's field names, and what the incident should say beside the
signals instead of in them. `row_format` calls this for each such row that it reads; nothing writes version 1 any more.
"""

from collections.abc import Mapping
from typing import Any

#: By part, the fields of version 1 and what they are called now.
_DESIRED = {"firing": "firing_count", "revision": "revision", "changed_at": "changed_at"}
_OBSERVED = {
    "observed_revision": "revision",
    "reported_firing": "told_firing_count",
    "sys_id": "incident_id",
    "number": "number",
    "previous_number": "previous_number",
    "generation": "generation",
    "generation_firing": "generation_firing_count",
    "generation_since": "generation_since",
    "created_firing": "created_firing_count",
    "creations": "creations",
    "omits_sys_id": "omits_id",
    "sys_id_refused": "id_refused",
    "is_restored": "is_restored",
    "item_may_be_told": "link_may_be_told",
    "dropped": "fields_not_stored",
    "mod_count": "incident_version",
    "in_doubt_until": "in_doubt_until",
    "asked_revision": "asked_revision",
    "doubted_revision": "doubted_revision",
}
_WORK = {
    **{name: name for name in ("notes", "leased_until", "lease_holder", "write_mark", "wake_up_at", "wake_up_id")},
    **{name: name for name in ("is_waiting", "woken_at", "attempts", "attempted_at", "failing_since", "last_error")},
    **{name: name for name in ("is_parked", "refusal", "refusal_revision", "looked_at")},
    "binds_later": "links_later",
    "decisions": "steps",
}
#: Translated apart.
_OTHERS = ("key", "created_at", "signals", "fields", "facts", "close_notes", "resources")
_OBSERVED_APART = ("ci_sys_id", "applied", "wished")

_LINK = "configuration_item"
_OWNED = ("short_description", "description", "impact", "urgency")


def translated(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the document of version 2 that says what one of version 1 says.

    Raises:
        KeyError, TypeError, AttributeError: it is no document of version 1.
    """
    known = {*_DESIRED, *_OBSERVED, *_WORK, *_OTHERS, *_OBSERVED_APART}
    return {
        **{name: value for name, value in document.items() if name not in known},
        "key": document["key"],
        "created_at": document["created_at"],
        "desired": {**_renamed(document, _DESIRED), "signals": _signals(document)},
        "observed": {**_renamed(document, _OBSERVED), **_values(document)},
        "work": {**_renamed(document, _WORK), "notes": list(document["notes"])},
    }


def _renamed(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {new: document[old] for old, new in names.items() if old in document}


def _signals(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the signals, each with what the record said: in version 1 a key had one signal alone."""
    fields = document["fields"]
    said = {
        "revision": document["revision"],
        "fields": {name: fields[name] for name in _OWNED if name in fields},
        "fields_at_creation": {name: text for name, text in fields.items() if name not in _OWNED},
        "facts": document["facts"],
        "closing": document["close_notes"],
        "links": {_LINK: document["resources"]},
    }
    return {name: {**said, **_signal(signal)} for name, signal in document["signals"].items()}


def _signal(signal: Mapping[str, Any]) -> Mapping[str, Any]:
    # The oldest rows do not tell when their firing began: when the alert last spoke is the best guess.
    return {"began_at": signal["at"] if signal["is_firing"] else None, **signal}


def _values(document: Mapping[str, Any]) -> dict[str, Any]:
    item, confirmed = document.get("ci_sys_id"), document["applied"]
    return {
        "links": {} if item is None else {_LINK: item},
        "confirmed_values": {(_LINK if name == "cmdb_ci" else name): each for name, each in confirmed.items()},
        "unconfirmed_values": document.get("wished", {}),
    }
