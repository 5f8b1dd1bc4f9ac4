"""Which alert does a person mean?

The commands `show`, `replay` and `forget` call `rows_named`. A person has what is at hand: a key or its beginning, as
`status` and `list` print it, an alertId or the GUID at its end, as Azure shows it, or the number of the incident.
"""

import re
from typing import Final

from itsm_bridge.app import Stored
from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.row_format import is_key

#: Digits of a key by which it may be named.
FEWEST_DIGITS: Final = 6
#: How many keys are named of those that a beginning fits.
_NAMED: Final = 8

_DIGITS = re.compile(r"[0-9a-f]+")
_GUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


def rows_named(stored: Stored, name: str) -> list[Record]:
    """Return the rows that `name` means: none, one, or several that have the same incident or stand for the same alert.

    Raises:
        NotUnderstood: `name` is too short, or the beginning of several keys.
        Damaged, NewerVersion: it means a row that cannot be read.
        Unavailable: storage did not answer.
    """
    text = name.strip().lower()
    if not text:
        raise NotUnderstood("Say which alert: a key, an alertId, or an incident's number")
    if is_key(text):
        row = stored.store.read(text)
        return [row] if row else []
    if "/" in text:
        row = stored.store.read(key_of_alert_id(text))
        # An alert of a key that stands for several alerts is found by its name alone.
        return [row] if row else _of_guid(stored, text.rpartition("/")[2])
    if _DIGITS.fullmatch(text):
        return _beginning_with(stored, text) or _of_guid(stored, text)
    return _of_guid(stored, text) or list(stored.listing.with_number(text.upper()))


def _beginning_with(stored: Stored, digits: str) -> list[Record]:
    if len(digits) < FEWEST_DIGITS:
        raise NotUnderstood(f"{digits} is too short: at least {FEWEST_DIGITS} digits of a key are needed")
    found = list(stored.listing.beginning_with(digits))
    if len(found) > 1:
        keys = ", ".join(f"{row.key[:16]} ({row.observed.number or 'no incident'})" for row in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise NotUnderstood(f"{digits} is the beginning of {len(found)} keys: {keys}{more}. Type more of it")
    unreadable = next((key for key in stored.listing.unreadable if key.startswith(digits)), None)
    if not found and unreadable:
        stored.store.read(unreadable)  # it says why it cannot be read
    return found


def _of_guid(stored: Stored, text: str) -> list[Record]:
    if not _GUID.fullmatch(text):
        return []
    digits = text.replace("-", "")
    return list(stored.listing.of_alert(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"))
