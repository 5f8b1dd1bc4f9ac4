"""When was it, and how long did it last? Azure's many spellings of both.

Mostly ISO 8601, with up to seven digits of a second and sometimes without a zone, which then is UTC;
log alerts of the first version write United States dates, autoscale writes the dates of e-mail.
Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples
"""

import re
from datetime import UTC, datetime, timedelta

_ISO = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,12}))?)?)?"
    r"\s?(?:[Zz]|UTC|(?P<offset>[+-][0-9]{2}:?[0-9]{2}))?"
)
_UNITED_STATES = re.compile(
    r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4})"
    r"(?:,? (?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?(?: (?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_EMAIL = "%a, %d %b %Y %H:%M:%S GMT"
_DURATION = re.compile(
    r"P(?:(?P<day>[0-9]{1,6})D)?(?:T(?:(?P<hour>[0-9]{1,6})H)?(?:(?P<minute>[0-9]{1,6})M)?(?:(?P<second>[0-9]{1,6})S)?)?"
)

_SECONDS = {"day": 86_400, "hour": 3_600, "minute": 60, "second": 1}

#: Years outside are placeholders (0001-01-01 is .NET's "never") and nobody's alert.
_YEARS = range(1970, 9999)


def parse_timestamp(text: str) -> datetime | None:
    """Return the moment that `text` names, aware UTC; None if it names none."""
    text = text.strip()[:64]
    if match := _ISO.fullmatch(text) or _UNITED_STATES.fullmatch(text):
        return _moment(match.groupdict())
    try:
        moment = datetime.strptime(text, _EMAIL).replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment if moment.year in _YEARS else None


def utc_text(moment: datetime | None) -> str:
    """Return a moment for people, to the second; "" for None."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def precision_of(moment: datetime) -> timedelta:
    """Return how finely a moment was told, by its digits: to the second where it has no fraction.

    Azure's services write none, three, five or seven digits of the same moment.
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
    rest = sum(int(match[unit] or 0) * seconds for unit, seconds in _SECONDS.items())
    words = []
    for unit, seconds in _SECONDS.items():
        number, rest = divmod(rest, seconds)
        words.append(f"{number} {unit}{'' if number == 1 else 's'}" if number else "")
    return " ".join(filter(None, words)) or text


def _moment(parts: dict[str, str | None]) -> datetime | None:
    hour = int(parts["hour"] or 0)
    if half := parts.get("half"):
        hour = hour % 12 + (12 if half in "Pp" else 0)
    try:
        moment = datetime(
            int(parts["year"] or 0),
            int(parts["month"] or 0),
            int(parts["day"] or 0),
            hour,
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            int(((parts.get("fraction") or "") + "000000")[:6]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment - _offset(parts.get("offset") or "+0000") if moment.year in _YEARS else None


def _offset(text: str) -> timedelta:
    digits = text[1:].replace(":", "")
    east = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -east if text.startswith("-") else east
