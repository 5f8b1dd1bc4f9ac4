"""How long is "90s", "5m", "24h", "3d" or "1h30m"?

`checks` and `compiling` ask; the form is the one that alert rules and the tools around them use.
"""

import re
from datetime import timedelta

_PART = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration_of(text: str) -> timedelta | None:
    """Return the duration that a text names, to the second; None if it names none."""
    whole = timedelta(0)
    at = 0
    for part in _PART.finditer(text):
        if part.start() != at:
            return None
        whole += timedelta(**{_UNITS[part["unit"]]: int(part["number"])})
        at = part.end()
    return whole if text and at == len(text) else None


def spelled(duration: timedelta) -> str:
    """Return a duration as rules spell it: "1d12h", "5m", "0s"."""
    rest = int(duration.total_seconds())
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, seconds)
        parts += [f"{number}{unit}"] if number else []
    return "".join(parts) or "0s"
