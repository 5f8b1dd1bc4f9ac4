"""When does a schedule of five fields begin last?

`windows` asks for the beginnings of maintenance windows. The fields are minute, hour, day of the month, month and day
of the week, with `*`, lists, ranges and steps, and the names of months and days; `tue#2` is a month's second Tuesday.
If both the day of the month and the day of the week are restricted, either is enough, as crontab(5) has it:
https://man7.org/linux/man-pages/man5/crontab.5.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from itsm_bridge.rules.faults import Trouble, quoted

_PART = re.compile(r"(?P<first>\*|\w{1,3})(?:-(?P<last>\w{1,3}))?(?:/(?P<step>[0-9]{1,2}))?")
_NUMBERED = re.compile(r"(?P<day>[0-7]|[a-z]{3})#(?P<number>[1-5])")
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES)}
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_SUNDAY = 7


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule; minutes and hours have the latest first."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    #: 0 is Sunday.
    weekdays: frozenset[int]
    #: Days of the week with their number in the month.
    numbered: frozenset[tuple[int, int]]
    #: Whether the day of the month and that of the week are restricted both, so that either is enough.
    is_either_day: bool

    def falls_on(self, day: date) -> bool:
        """Return whether it begins on this day at all."""
        in_month = day.day in self.days
        weekday = day.isoweekday() % 7
        in_week = weekday in self.weekdays or (weekday, (day.day + 6) // 7) in self.numbered
        return day.month in self.months and (in_month or in_week if self.is_either_day else in_month and in_week)


def cron_of(text: str) -> Cron | Trouble:
    """Return the schedule that a text names, or what is wrong with it."""
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        message = f"{quoted(text)} has {len(words)} fields"
        return Trouble(message, 'five: minute, hour, day, month, weekday, as in "0 22 * * sat"')
    numbered = frozenset(pair for part in words[4].split(",") if (pair := _numbered(part)))
    if numbered:
        words[4] = ",".join(part for part in words[4].split(",") if not _numbered(part))
    found = []
    for word, (name, least, most, names) in zip(words, _FIELDS, strict=True):
        numbers = _numbers(word, least, most, names) if word else frozenset()
        if not numbers and (word or not numbered):
            known = f" or {', '.join(names)}" if names else ""
            return Trouble(f"{quoted(word)} is no {name}", f"{least} to {most}{known}, with * , - and /")
        found.append(numbers)
    minutes, hours, days, months, weekdays = found
    return Cron(
        minutes=tuple(sorted(minutes, reverse=True)),
        hours=tuple(sorted(hours, reverse=True)),
        days=days,
        months=months,
        weekdays=frozenset(day % _SUNDAY for day in weekdays),
        numbered=numbered,
        is_either_day=not words[2].startswith("*") and not words[4].startswith("*"),
    )


def _numbered(part: str) -> tuple[int, int] | None:
    """Return "tue#2" as a day of the week and its number in the month; None if it is none."""
    match = _NUMBERED.fullmatch(part)
    day = _number(match["day"], _DAYS) if match else -1
    return (day % _SUNDAY, int(match["number"])) if match and 0 <= day <= _SUNDAY else None


def _numbers(word: str, least: int, most: int, names: Mapping[str, int]) -> frozenset[int]:
    """Return the numbers that one field names; none if any part of it is wrong."""
    numbers: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return frozenset()
        first, last = _ends(match["first"], match["last"], bool(match["step"]), (least, most), names)
        step = int(match["step"] or 1)
        if not least <= first <= last <= most or step < 1:
            return frozenset()
        numbers.update(range(first, last + 1, step))
    return frozenset(numbers)


def _ends(
    first: str, last: str | None, has_step: bool, bounds: tuple[int, int], names: Mapping[str, int]
) -> tuple[int, int]:
    least, most = bounds
    if first == "*":
        return (least, most) if last is None else (-1, -1)
    beginning = _number(first, names)
    if last is not None:
        return beginning, _number(last, names)
    return beginning, most if has_step else beginning


def _number(word: str, names: Mapping[str, int]) -> int:
    if word.isascii() and word.isdecimal():
        return int(word)
    return names.get(word, -1)
