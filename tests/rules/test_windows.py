"""Windows are told on the clocks of their zone, over midnight and over changes of the clocks."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsm_bridge.rules.cron import Cron, cron_of
from itsm_bridge.rules.faults import Trouble
from tests.rules.files import applies

BERLIN = ZoneInfo("Europe/Berlin")


def is_within(window: str, moment: str, zone: str = "") -> bool:
    """Whether a time, of the zone or in UTC, is within a window."""
    now = datetime.fromisoformat(moment)
    now = now if now.tzinfo else now.replace(tzinfo=ZoneInfo(zone) if zone else UTC)
    return applies("metric-static.fired", "during: w", before=f"windows: {{ w: {window} }}", now=now)


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        ('{ from: "09:00", to: "17:00" }', "2026-03-02T09:00", True),
        ('{ from: "09:00", to: "17:00" }', "2026-03-02T16:59:59", True),
        ('{ from: "09:00", to: "17:00" }', "2026-03-02T17:00", False),
        ('{ from: "09:00", to: "17:00" }', "2026-03-02T08:59:59", False),
        ('{ from: "22:00", to: "04:00" }', "2026-03-02T23:00", True),
        ('{ from: "22:00", to: "04:00" }', "2026-03-02T03:59", True),
        ('{ from: "22:00", to: "04:00" }', "2026-03-02T04:00", False),
        ('{ from: "22:00", to: "24:00" }', "2026-03-02T23:59", True),
        ('{ from: "22:00", to: "24:00" }', "2026-03-03T00:00", False),
        # 2026-03-07 is a Saturday: the window begins on it and ends on Sunday.
        ('{ days: [Sat], from: "22:00", to: "04:00" }', "2026-03-07T23:00", True),
        ('{ days: [Sat], from: "22:00", to: "04:00" }', "2026-03-08T03:00", True),
        ('{ days: [Sat], from: "22:00", to: "04:00" }', "2026-03-07T03:00", False),
        ("{ days: [Sat, Sun] }", "2026-03-08T23:59", True),
        ("{ days: [Sat, Sun] }", "2026-03-09T00:00", False),
        ("{ from: 2026-12-24T18:00, to: 2026-12-26T08:00 }", "2026-12-25T00:00", True),
        ("{ from: 2026-12-24T18:00, to: 2026-12-26T08:00 }", "2026-12-26T08:00", False),
        ('{ cron: "0 22 * * sat", lasts: 6h }', "2026-03-08T03:59", True),
        ('{ cron: "0 22 * * sat", lasts: 6h }', "2026-03-08T04:00", False),
        ('{ cron: "0 22 * * sat", lasts: 3d }', "2026-03-10T21:59", True),
        ('{ cron: "0 22 * * sat", lasts: 3d }', "2026-03-10T22:00", False),
        ('{ cron: "*/30 * * * *", lasts: 10m }', "2026-03-10T10:39", True),
        ('{ cron: "*/30 * * * *", lasts: 10m }', "2026-03-10T10:40", False),
        ('{ cron: "0 20 * * tue#2", lasts: 6h }', "2026-03-10T21:00", True),
        ('{ cron: "0 20 * * tue#2", lasts: 6h }', "2026-03-03T21:00", False),
        ('[{ from: "01:00", to: "02:00" }, { from: "05:00", to: "06:00" }]', "2026-03-10T05:30", True),
        ('[{ from: "01:00", to: "02:00" }, { from: "05:00", to: "06:00" }]', "2026-03-10T03:30", False),
    ],
)
def test_a_window_holds_from_its_beginning_to_before_its_end(window: str, moment: str, *, expected: bool) -> None:
    assert is_within(window, moment) is expected


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        # On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00, at 01:00 UTC.
        ('{ from: "02:30", to: "05:00", time_zone: Europe/Berlin }', "2026-03-29T01:29+00:00", False),
        ('{ from: "02:30", to: "05:00", time_zone: Europe/Berlin }', "2026-03-29T01:30+00:00", True),
        ('{ from: "02:30", to: "05:00", time_zone: Europe/Berlin }', "2026-03-29T02:59+00:00", True),
        ('{ from: "02:30", to: "05:00", time_zone: Europe/Berlin }', "2026-03-29T03:00+00:00", False),
        # On 2026-10-25 they go from 03:00 back to 02:00, at 01:00 UTC: 02:30 is at 00:30 and at 01:30 UTC.
        ('{ from: "02:30", to: "05:00", time_zone: Europe/Berlin }', "2026-10-25T00:30+00:00", True),
        ('{ from: "22:00", to: "02:30", time_zone: Europe/Berlin }', "2026-10-25T01:29+00:00", True),
        ('{ from: "22:00", to: "02:30", time_zone: Europe/Berlin }', "2026-10-25T01:30+00:00", False),
        ('{ cron: "30 2 * * *", lasts: 2h, time_zone: Europe/Berlin }', "2026-10-25T02:29+00:00", True),
        ('{ cron: "30 2 * * *", lasts: 2h, time_zone: Europe/Berlin }', "2026-10-25T02:30+00:00", False),
        ("{ days: [Sun], time_zone: Europe/Berlin }", "2026-10-24T22:00+00:00", True),
        ("{ days: [Sun], time_zone: Europe/Berlin }", "2026-10-25T22:59+00:00", True),
        ("{ days: [Sun], time_zone: Europe/Berlin }", "2026-10-25T23:00+00:00", False),
        # The same moment is Saturday in one zone and Sunday in the other.
        ("{ days: [Sun], time_zone: Pacific/Auckland }", "2026-03-07T12:00+00:00", True),
        ("{ days: [Sun], time_zone: America/New_York }", "2026-03-08T03:00+00:00", False),
    ],
)  # fmt: skip
def test_changes_of_the_clocks_and_zones_are_reckoned_with(window: str, moment: str, *, expected: bool) -> None:
    assert is_within(window, moment) is expected


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)))  # noqa: DTZ001 - it is given its zone below
def test_two_windows_that_share_their_ends_hold_at_any_time(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    zone = "time_zone: Europe/Berlin"
    both = f'[{{ from: "06:00", to: "18:00", {zone} }}, {{ from: "18:00", to: "06:00", {zone} }}]'

    assert applies("metric-static.fired", "during: w", before=f"windows: {{ w: {both} }}", now=now)


@pytest.mark.parametrize(
    ("schedule", "day", "expected"),
    [
        ("0 0 1 * *", date(2026, 3, 1), True),
        ("0 0 1 * *", date(2026, 3, 2), False),
        ("0 0 1 * mon", date(2026, 3, 2), True),  # either is enough
        ("0 0 1 * mon", date(2026, 3, 3), False),
        ("0 0 * jan,mar mon-fri", date(2026, 3, 2), True),
        ("0 0 * jan,mar mon-fri", date(2026, 3, 1), False),
        ("0 0 * * 7", date(2026, 3, 1), True),
        ("0 0 * * 0", date(2026, 3, 1), True),
        ("0 0 * * fri#5", date(2026, 5, 29), True),
        ("0 0 */10 * *", date(2026, 3, 11), True),
    ],
)
def test_a_schedule_falls_on_its_days(schedule: str, day: date, *, expected: bool) -> None:
    found = cron_of(schedule)

    assert isinstance(found, Cron)
    assert found.falls_on(day) is expected


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
     "a * * * *", "* * * * mon#6", "*-5 * * * *", "1,,2 * * * *", "\u0663 * * * *", "- * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_told(schedule: str) -> None:
    assert isinstance(cron_of(schedule), Trouble)


def test_a_window_never_lasts_longer_than_its_schedule_says() -> None:
    beginning = datetime(2026, 3, 28, 22, tzinfo=BERLIN).astimezone(UTC)
    window = '{ cron: "0 22 * * sat", lasts: 8h, time_zone: Europe/Berlin }'

    hours = [is_within(window, (beginning + timedelta(hours=hour)).isoformat()) for hour in range(-1, 10)]

    assert hours == [False, *[True] * 8, False, False]
