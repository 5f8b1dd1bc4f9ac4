from datetime import UTC, datetime, timedelta

import pytest

from itsm_bridge.azure_monitor.timestamps import duration_text, lasting_text, parse_timestamp, utc_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-03-22T13:58:24.3713213Z", datetime(2019, 3, 22, 13, 58, 24, 371321, tzinfo=UTC)),
        ("2021-11-17T05:34:48.0623172", datetime(2021, 11, 17, 5, 34, 48, 62317, tzinfo=UTC)),
        ("2021-11-17T05:34:44.5778226+00:00", datetime(2021, 11, 17, 5, 34, 44, 577822, tzinfo=UTC)),
        ("2021-11-17T05:34:44-0230", datetime(2021, 11, 17, 8, 4, 44, tzinfo=UTC)),
        ("2021-11-17T00:15:44+05:30", datetime(2021, 11, 16, 18, 45, 44, tzinfo=UTC)),
        ("2021-11-17 05:34", datetime(2021, 11, 17, 5, 34, tzinfo=UTC)),
        ("2021-11-17 05:34:48 UTC", datetime(2021, 11, 17, 5, 34, 48, tzinfo=UTC)),
        ("2021-11-17t05:34:48,5z", datetime(2021, 11, 17, 5, 34, 48, 500000, tzinfo=UTC)),
        ("2021-11-17T05:34:48.9999999Z", datetime(2021, 11, 17, 5, 34, 48, 999999, tzinfo=UTC)),
        ("2021-11-17T05:34:48.25 +05:30", datetime(2021, 11, 17, 0, 4, 48, 250000, tzinfo=UTC)),
        ("2022-11-01+01:00", datetime(2022, 10, 31, 23, tzinfo=UTC)),
        ("2022-11-01 -01:00", datetime(2022, 11, 1, 1, tzinfo=UTC)),
        ("2022-11-01Z", datetime(2022, 11, 1, tzinfo=UTC)),
        ("2022-11-01", datetime(2022, 11, 1, tzinfo=UTC)),
        ("3/22/2019 1:36:33 PM", datetime(2019, 3, 22, 13, 36, 33, tzinfo=UTC)),
        ("12/1/2019 12:05:00 AM", datetime(2019, 12, 1, 0, 5, tzinfo=UTC)),
        ("12/1/2019 12:05:00 PM", datetime(2019, 12, 1, 12, 5, tzinfo=UTC)),
        ("12/1/2019, 1:05 p.m.", datetime(2019, 12, 1, 13, 5, tzinfo=UTC)),
        ("12/1/2019 13:05:00 PM", datetime(2019, 12, 1, 13, 5, tzinfo=UTC)),
        ("12/1/2019 0:05 AM", datetime(2019, 12, 1, 0, 5, tzinfo=UTC)),
        ("12/1/2019", datetime(2019, 12, 1, tzinfo=UTC)),
        ("06/25/2017 19:59:39", datetime(2017, 6, 25, 19, 59, 39, tzinfo=UTC)),
        ("Wed, 21 Aug 2019 16:17:47 GMT", datetime(2019, 8, 21, 16, 17, 47, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("2019-13-22T13:58:24Z", None),
        ("2019-02-30T13:58:24Z", None),
        ("0001-01-01T00:00:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("1/1/2019 99:00:00", None),
        ("13/1/2019", None),
        ("٢٠١٩-03-22T13:58:24Z", None),
        ("2019-03-22T13:58:24Z" + " " * 100_000 + "x", None),
    ],
)
def test_a_timestamp_is_read_in_every_spelling_or_not_at_all(text: str, expected: datetime | None) -> None:
    assert parse_timestamp(text) == expected


def test_a_moment_is_shown_in_utc() -> None:
    assert utc_text(datetime(2019, 3, 22, 13, 58, 24, 371321, tzinfo=UTC)) == "2019-03-22 13:58:24 UTC"
    assert utc_text(None) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5M", "5 minutes"),
        ("PT1M", "1 minute"),
        ("PT90M", "1 hour 30 minutes"),
        ("PT1H", "1 hour"),
        ("PT1440M", "1 day"),
        ("P2DT30S", "2 days 30 seconds"),
        ("P", "P"),
        ("PT0S", "PT0S"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_a_duration_is_told_in_words(text: str, expected: str) -> None:
    assert duration_text(text) == expected


@pytest.mark.parametrize(
    ("lasted", "text"),
    [
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=21, seconds=11.5), "21 minutes 11 seconds"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(days=3, hours=1, minutes=7, seconds=9), "3 days 1 hour"),
        (timedelta(days=1, seconds=5), "1 day 5 seconds"),
        (timedelta(0), ""),
        (timedelta(seconds=-5), ""),
    ],
)
def test_how_long_something_lasted_is_told_in_two_units(lasted: timedelta, text: str) -> None:
    began = datetime(2026, 3, 14, 2, 41, 7, tzinfo=UTC)

    assert lasting_text(began, began + lasted) == text


def test_less_than_a_second_is_told_where_the_digits_can_tell_it() -> None:
    began = datetime(2026, 3, 14, 2, 41, 7, 100000, tzinfo=UTC)

    assert lasting_text(began, began + timedelta(milliseconds=500)) == "less than a second"
    assert lasting_text(began.replace(microsecond=0), began) == ""


def test_without_both_times_it_is_not_known_how_long_something_lasted() -> None:
    moment = datetime(2026, 3, 14, 2, 41, 7, tzinfo=UTC)

    assert lasting_text(None, moment) == lasting_text(moment, None) == lasting_text(None, None) == ""
