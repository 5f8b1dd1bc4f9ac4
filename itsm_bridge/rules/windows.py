"""Is it within a maintenance window?

`compiling` makes the windows of a file once; `matching` asks with the time of the notification, aware.

Times are those of the clocks in the window's zone. Where these are put forward or back in between, a beginning that the
clocks skip is read with the offset before the change, a beginning that comes twice is the first of the two, and an end
that comes twice is the last: a window never ends early. How long a schedule lasts is told in elapsed time.
Source of truth for skipped and repeated times: https://www.rfc-editor.org/rfc/rfc5545#section-3.3.5
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import UNSET

from itsm_bridge.rules.checks import local_time, time_of_day
from itsm_bridge.rules.cron import Cron, cron_of
from itsm_bridge.rules.durations import duration_of
from itsm_bridge.rules.model import Window

_DAY = timedelta(days=1)
_MIDNIGHT = time(0)
_DAYS = {"Mon": 0, "Tue": 1, "Wed": 2, "Thu": 3, "Fri": 4, "Sat": 5, "Sun": 6}


class Span(Protocol):
    """A part of a window."""

    def holds(self, now: datetime) -> bool:
        """Return whether `now`, aware, is within it."""


def holds(spans: Sequence[Span], now: datetime) -> bool:
    """Return whether `now`, aware, is within any of the spans."""
    return any(span.holds(now) for span in spans)


def span_of(said: Window) -> Span:
    """Return a checked window of the model as a span."""
    zone = ZoneInfo(said.time_zone)
    if said.cron is not UNSET and said.lasts is not UNSET:
        schedule, lasts = cron_of(said.cron), duration_of(said.lasts)
        if isinstance(schedule, Cron) and lasts:
            return _Schedule(zone=zone, cron=schedule, lasts=lasts)
    beginning, end = said.from_ or "00:00", said.to or "00:00"
    first, last = local_time(beginning), local_time(end)
    if first and last:
        return _Once(beginning=_earliest(first, zone), end=_latest(last, zone))
    days = frozenset(_DAYS.values() if said.days is UNSET else (_DAYS[day] for day in said.days))
    return _Daily(
        zone=zone, days=days, beginning=time_of_day(beginning) or _MIDNIGHT, end=time_of_day(end) or _MIDNIGHT
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Once:
    """From one moment to another, aware UTC."""

    beginning: datetime
    end: datetime

    def holds(self, now: datetime) -> bool:
        return self.beginning <= now < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Daily:
    """From one time of day to another, which is on the next day if it is not later."""

    zone: ZoneInfo
    #: The days on which it begins; 0 is Monday.
    days: frozenset[int]
    beginning: time
    end: time

    def holds(self, now: datetime) -> bool:
        today = now.astimezone(self.zone).date()
        return any(self._holds_from(day, now) for day in (today, today - _DAY))

    def _holds_from(self, day: date, now: datetime) -> bool:
        if day.weekday() not in self.days:
            return False
        last = day if self.end > self.beginning else day + _DAY
        beginning = _earliest(datetime.combine(day, self.beginning), self.zone)
        return beginning <= now < _latest(datetime.combine(last, self.end), self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    """From each beginning of a schedule for some time."""

    zone: ZoneInfo
    cron: Cron
    lasts: timedelta

    def holds(self, now: datetime) -> bool:
        today = now.astimezone(self.zone).date()
        # A day more, because days of the zone are up to an hour longer or shorter than 24 hours.
        for back in range(self.lasts.days + 3):
            day = today - back * _DAY
            beginning = self._last_on(day, now) if self.cron.falls_on(day) else None
            if beginning:
                return now < beginning + self.lasts
        return False

    def _last_on(self, day: date, now: datetime) -> datetime | None:
        """Return when it begins last on a day, but not after `now`."""
        # An hour that is yet to come is not looked at minute by minute; clocks are put back by less than two hours.
        latest = now.astimezone(self.zone).replace(tzinfo=None) + timedelta(hours=2)
        for hour in self.cron.hours:
            if datetime.combine(day, time(hour)) > latest:
                continue
            for minute in self.cron.minutes:
                beginning = _earliest(datetime.combine(day, time(hour, minute)), self.zone)
                if beginning <= now:
                    return beginning
        return None


def _earliest(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _latest(local: datetime, zone: ZoneInfo) -> datetime:
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
