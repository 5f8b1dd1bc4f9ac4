"""When was it, and how long did it last?

The room reads Azure's spellings here, and `itsm_bridge.reconcile` compares moments with `is_before`. No clock is read.
Azure mostly writes ISO 8601, with up to seven digits of a second and sometimes without a zone, which then is UTC.
Log alerts of the first version write United States dates, and autoscale writes the dates of e-mail.
Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

#: Zones that `fromisoformat` does not read everywhere; without any zone the time is UTC.
_UTC = re.compile(r"\s?(?:[Zz]|UTC)$")
#: A zone right behind a date would be read as its time, one behind a space not at all.
_ZONE = re.compile(r"^(?P<date>[0-9-]{10})\s?(?=[+-])|\s(?=[+-])")

#: How the others begin, so that no other text is held against their formats.
_OTHER = re.compile(r"[0-9]{1,2}/|[A-Za-z]{3}\s+[0-9]")
#: How they are written, without their commas and points.
_FORMATS = (
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S %p",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y %H:%M %p",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y",
    "%a %d %b %Y %H:%M:%S GMT",
)
_DURATION = re.compile(
    r"P(?:(?P<day>[0-9]{1,6})D)?(?:T(?:(?P<hour>[0-9]{1,6})H)?(?:(?P<minute>[0-9]{1,6})M)?(?:(?P<second>[0-9]{1,6})S)?)?"
)

_SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}

#: Azure sends other years as placeholders: 0001-01-01 is .NET's "never".
_YEARS = range(1970, 9999)


def parse_timestamp(text: str) -> datetime | None:
    """Return the moment that `text` names, aware UTC; None if it names none."""
    moment = _moment(text.strip()[:64])
    if moment is None or moment.year not in _YEARS:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def utc_text(moment: datetime | None) -> str:
    """Return a moment for people, to the second; "" for None."""
    return "" if moment is None else f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"


def precision_of(moment: datetime) -> timedelta:
    """Return how finely a moment was told, by its digits: to the second where it has no fraction.

    Azure's services write the same moment with none, three, five or seven digits.
    """
    step = 1_000_000
    while moment.microsecond % step:
        step //= 10
    return timedelta(microseconds=step)


def is_before(one: datetime, other: datetime, *, within: timedelta = timedelta(0)) -> bool:
    """Return whether `one` is earlier than `other` by more than `within`, and by more than their digits can hide."""
    apart = other - one
    return apart > within and apart >= max(precision_of(one), precision_of(other))


def duration_text(text: str) -> str:
    """Return an ISO 8601 duration in words ("PT90M": "1 hour 30 minutes"), any other text as it is."""
    match = _DURATION.fullmatch(text.upper())
    if not match:
        return text
    return " ".join(_parts(sum(int(match[unit] or 0) * seconds for unit, seconds in _SECONDS.items()))) or text


def lasting_text(beginning: datetime | None, end: datetime | None) -> str:
    """Return how long something lasted in its two largest units; "" if it is unknown or the times cannot tell it."""
    if beginning is None or end is None or not is_before(beginning, end):
        return ""
    return " ".join(_parts(int((end - beginning).total_seconds()))[:2]) or "less than a second"


def _parts(rest: int) -> list[str]:
    """Return a number of seconds by its units, the largest first: "1 hour", "30 minutes"."""
    parts = []
    for unit, seconds in _SECONDS.items():
        number, rest = divmod(rest, seconds)
        parts += [f"{number} {unit}{'' if number == 1 else 's'}"] if number else []
    return parts


def _zone(match: re.Match[str]) -> str:
    return f"{match['date']}T00:00" if match["date"] else ""


def _moment(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(_ZONE.sub(_zone, _UTC.sub("", text)))
    words = text.replace(",", "").replace(".", "")
    for form in _FORMATS if _OTHER.match(words) else ():
        with suppress(ValueError):
            return datetime.strptime(words, form).replace(tzinfo=UTC)
    return None
