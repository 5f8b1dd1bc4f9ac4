"""How did older versions of the program write a row?

The inverse of `itsm_bridge.storage.row_version_1`, for histories in which a deployment was taken back, and for tests.
"""

import json
from typing import Any

from itsm_bridge.storage import row_version_1 as version_1

#: What the first version of layout 1 did not write yet.
_NEWEST_FIELDS = frozenset(
    {
        *("asked_revision", "created_firing", "creations", "doubted_revision", "generation_since", "is_restored"),
        *("item_may_be_told", "sys_id_refused", "is_waiting", "looked_at", "mod_count", "refusal", "refusal_revision"),
        "woken_at",
    }
)


def as_version_1(text: str, *, is_first: bool = False) -> str:
    """Return the document of a row as version 1 wrote it; the first of them if `is_first`."""
    document = json.loads(text)
    desired, observed, work = document["desired"], document["observed"], document["work"]
    signals = desired["signals"]
    speaker: dict[str, Any] = next(iter(signals.values()), {})
    written = {
        "key": document["key"],
        "created_at": document["created_at"],
        **{old: desired[new] for old, new in version_1._DESIRED.items()},
        **{old: observed[new] for old, new in version_1._OBSERVED.items()},
        **{old: work[new] for old, new in version_1._WORK.items()},
        "signals": {
            name: {each: signal.get(each, silent) for each, silent in _OF_SIGNAL.items()}
            for name, signal in signals.items()
        },
        "fields": {**speaker.get("fields", {}), **speaker.get("fields_at_creation", {})},
        "facts": speaker.get("facts", {}),
        "close_notes": speaker.get("closing", ""),
        "resources": speaker.get("links", {}).get(version_1._LINK, []),
        "ci_sys_id": observed["links"].get(version_1._LINK),
        "applied": {_column(name): each for name, each in observed["confirmed_values"].items()},
        "wished": observed["unconfirmed_values"],
        "notes": [{name: note[name] for name in ("revision", "text", "after_end")} for note in work["notes"]],
    }
    if is_first:
        written = {name: value for name, value in written.items() if name not in _NEWEST_FIELDS}
        for signal in written["signals"].values():
            for name in ("said", "ended_firing", "began_at"):
                del signal[name]
    return json.dumps(written)


#: What version 1 wrote of a signal, and what is meant where a row of today leaves it out.
_OF_SIGNAL: dict[str, Any] = {
    "is_firing": False,
    "at": None,
    "digest": "",
    "said": [],
    "ended_firing": False,
    "began_at": None,
}


def _column(name: str) -> str:
    return "cmdb_ci" if name == version_1._LINK else name
