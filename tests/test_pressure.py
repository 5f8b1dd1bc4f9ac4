import logging
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from itsm_bridge.pressure import OUTAGE_KEYS, Pressure
from itsm_bridge.retry import FIRST_RETRY, LAST_RETRY
from tests.builders import HOUR, MINUTE, NOW, SECOND

NO_TIME = timedelta(0)


def test_there_are_as_many_slots_as_were_given() -> None:
    pressure = Pressure(slots=2, now=lambda: NOW)

    with (
        pressure.slot(wait=NO_TIME) as first,
        pressure.slot(wait=NO_TIME) as second,
        pressure.slot(wait=NO_TIME) as third,
    ):
        got = (first, second, third)

    assert got == (True, True, False)


def test_a_slot_is_free_again_after_its_block_even_if_that_failed() -> None:
    pressure = Pressure(slots=1, now=lambda: NOW)
    with pytest.raises(ZeroDivisionError), pressure.slot(wait=NO_TIME) as has_slot:
        _ = 1 / (not has_slot)

    with pressure.slot(wait=NO_TIME) as has_slot:
        assert has_slot


def test_a_pause_ends_by_itself_and_a_shorter_one_does_not_shorten_it() -> None:
    clock = [NOW]
    pressure = Pressure(slots=1, now=lambda: clock[0])
    assert pressure.paused_for() == NO_TIME

    pressure.pause(MINUTE)
    pressure.pause(SECOND)

    assert pressure.paused_for() == MINUTE
    clock[0] += MINUTE
    assert pressure.paused_for() == NO_TIME


class TestOutage:
    """ServiceNow fails for several alerts and succeeds for none."""

    def away(self, clock: list[datetime]) -> Pressure:
        pressure = Pressure(slots=1, now=lambda: clock[0])
        for number in range(OUTAGE_KEYS):
            pressure.failed(f"key {number}", "refused the connection")
        return pressure

    def test_one_alert_that_fails_again_and_again_is_no_outage(self) -> None:
        pressure = Pressure(slots=1, now=lambda: NOW)
        for _ in range(20):
            pressure.failed("a", "forbidden")
            pressure.failed("b", "forbidden")

        assert (pressure.paused_for(), pressure.outage) == (NO_TIME, "")

    def test_several_alerts_that_fail_are(self) -> None:
        pressure = self.away([NOW])

        assert FIRST_RETRY <= pressure.paused_for() < 2 * FIRST_RETRY
        assert pressure.outage == "refused the connection"

    def test_a_success_between_them_says_that_it_is_there(self) -> None:
        pressure = Pressure(slots=1, now=lambda: NOW)
        for number in range(2 * OUTAGE_KEYS):
            pressure.failed(f"key {number}", "forbidden")
            if number % 2:
                pressure.succeeded()

        assert pressure.paused_for() == NO_TIME

    def test_whoever_fails_after_a_pause_begins_a_longer_one(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        pauses = []
        for _ in range(8):
            pauses.append(pressure.paused_for())
            clock[0] += pauses[-1]
            assert pressure.paused_for() == NO_TIME
            for number in range(OUTAGE_KEYS + 1):  # all at once
                pressure.failed(f"key {number}", "refused the connection")

        assert all(longer > shorter for shorter, longer in pairwise(pauses[:4]))
        assert LAST_RETRY <= pauses[-1] <= LAST_RETRY + MINUTE

    def test_one_alert_with_a_trouble_of_its_own_does_not_keep_it_up(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        clock[0] += pressure.paused_for()
        for _ in range(20):
            pressure.failed("key 0", "cannot be read")

        assert (pressure.paused_for(), pressure.is_away) == (NO_TIME, True)

    def test_its_beginning_and_its_end_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        for _ in range(5):
            clock[0] += HOUR
            for number in range(OUTAGE_KEYS):
                pressure.failed(f"key {number}", "refused the connection")
        for _ in range(2):
            pressure.succeeded()

        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [message[:19] for message in told] == ["ServiceNow is away,", "ServiceNow is back"]

    def test_the_first_success_ends_it(self) -> None:
        pressure = self.away([NOW])
        pressure.succeeded()
        pressure.failed("key 0", "refused the connection")

        assert (pressure.paused_for(), pressure.outage, pressure.is_away) == (NO_TIME, "", False)

    def test_what_servicenow_asked_for_outlasts_an_outage_and_its_end(self) -> None:
        pressure = self.away([NOW])
        pressure.pause(MINUTE)
        pressure.succeeded()

        assert (pressure.paused_for(), pressure.outage) == (MINUTE, "")
