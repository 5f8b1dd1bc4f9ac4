"""What does a schedule mean? The six fields of NCRONTAB: second, minute, hour, day, month, day of week.

The timer trigger asks when a schedule is due next; this module waits for nothing and reads no clock.

1. Times are UTC, as they are in Azure.
2. A day must satisfy both its day of month and its day of week; other crons ask for either.
3. Days of the week run from 0, Sunday, to 6. Months and days may be named, and abbreviated: `Jan`, `Monday`, `mon`.
4. Five fields mean second 0.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
         https://github.com/atifaziz/NCrontab
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

FIELD_RANGES = (range(60), range(60), range(24), range(1, 32), range(1, 13), range(7))
MONTHS = tuple(calendar.month_name[1:])
DAYS_OF_WEEK = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
FIELD_NAMES: tuple[Sequence[str], ...] = ((), (), (), (), MONTHS, DAYS_OF_WEEK)

#: The rarest day, a 29 February on a given day of the week, comes once in 40 years at the latest.
MAX_DAYS = 41 * 366


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a timer fires."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    #: 0 is Sunday.
    days_of_week: tuple[int, ...]

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first occurrence after `moment`, an aware time; None if there is none, as for 31 February."""
        earliest = (moment.astimezone(UTC) + timedelta(seconds=1)).replace(microsecond=0)
        for days in range(MAX_DAYS):
            day = earliest.date() + timedelta(days=days)
            if self._falls_on(day):
                floor = (earliest.hour, earliest.minute, earliest.second) if days == 0 else (0, 0, 0)
                times = product(self.hours, self.minutes, self.seconds)
                found = next((clock for clock in times if clock >= floor), None)
                if found:
                    return datetime.combine(day, time(*found), UTC)
        return None

    def _falls_on(self, day: date) -> bool:
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.days_of_week


def parse_schedule(expression: str) -> Schedule:
    """Parse an NCRONTAB expression.

    Raises:
        ValueError: it is none.
    """
    fields = expression.split()
    if len(fields) == len(FIELD_RANGES) - 1:
        fields.insert(0, "0")
    if len(fields) != len(FIELD_RANGES):
        raise ValueError(f"'{expression}' has {len(fields)} fields instead of six")
    seconds, minutes, hours, days, months, days_of_week = (
        _parse_field(field, allowed, names)
        for field, allowed, names in zip(fields, FIELD_RANGES, FIELD_NAMES, strict=True)
    )
    return Schedule(seconds=seconds, minutes=minutes, hours=hours, days=days, months=months, days_of_week=days_of_week)


def _parse_field(field: str, allowed: range, names: Sequence[str]) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            start, end = allowed[0], allowed[-1]
        else:
            start = _parse_number(first, allowed, names)
            # `5/15` counts on to the end of the field; a plain `5` is only itself.
            end = _parse_number(last, allowed, names) if last else allowed[-1] if step else start
        numbers.update(range(start, end + 1, int(step or 1)))
    if not numbers:
        raise ValueError(f"'{field}' names no value")
    return tuple(sorted(numbers))


def _parse_number(text: str, allowed: range, names: Sequence[str]) -> int:
    named = (allowed[i] for i, name in enumerate(names) if text and name.lower().startswith(text.lower()))
    number = int(text) if text.isdecimal() else next(named, None)
    if number is None or number not in allowed:
        raise ValueError(f"'{text}' is not one of {allowed[0]} to {allowed[-1]}")
    return number
