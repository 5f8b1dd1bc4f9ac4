"""How do many alerts fit into one row?

`merge` asks here after each word of an alert that shares its incident. A row holds 1 MiB, and two bytes per character
count. So only of the newest alerts all is kept that they said, and of very many alerts some are forgotten: those that
are over first, then those that have fired for longest. The incident tells how many there were. It is pure.

Source of truth: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from itsm_bridge.reconcile.desired import Desired, Signal

#: How many alerts a row holds at most, and how many characters of JSON they may fill: two fifths of a row.
MOST_ALERTS = 500
MOST_CHARACTERS = 200_000

#: Of how many of the newest alerts all is kept, and how long a field may be that is kept of the others.
WHOLE_ALERTS = 3
SHORT_FIELD = 200

#: How many notifications are recognised when they come again, of an alert that is not one of the newest.
_SAID_KEPT = 4

#: The characters of JSON that an alert fills beside its texts.
_FRAME = 250


def crowded(desired: Desired) -> Desired:
    """Return what alerts say that share an incident, made to fit into a row; idempotent."""
    newest_first = sorted(desired.signals.items(), key=lambda each: (each[1].is_firing, each[1].revision), reverse=True)
    kept: dict[str, Signal] = {}
    room = MOST_CHARACTERS
    for place, (name, signal) in enumerate(newest_first[:MOST_ALERTS]):
        held = signal if place < WHOLE_ALERTS else _shortened(signal)
        room -= _FRAME + len(name) + _characters(held)
        if place >= WHOLE_ALERTS and room < 0:
            break
        kept[name] = held
    signals = {name: kept[name] for name in desired.signals if name in kept}
    return replace(desired, signals=signals, forgotten=desired.forgotten + len(desired.signals) - len(kept))


def _characters(signal: Signal) -> int:
    texts = [*signal.fields.values(), *signal.facts.values(), signal.closing, *signal.said]
    # Between two texts, and around all of them, stand two characters each.
    return len(json.dumps(texts)) - 2 * len(texts)


def _shortened(signal: Signal) -> Signal:
    fields, said = _short(signal.fields), signal.said[-_SAID_KEPT:]
    is_more = signal.fields_at_creation or signal.facts or signal.links or signal.closing
    if not is_more and (fields, said) == (signal.fields, signal.said):
        # So are all but the newest, each time.
        return signal
    return replace(
        signal,
        said=said,
        fields=fields,
        fields_at_creation={},
        facts={},
        links={},
        closing="",
    )


def _short(texts: Mapping[str, str]) -> Mapping[str, str]:
    return {name: text for name, text in texts.items() if len(text) <= SHORT_FIELD}
