import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY
from itsm_bridge.reconcile.circuit import OUTAGE_KEYS, SLOW, TROUBLED_KEYS, WAKE_UPS_FIRST, Kind, Pressure
from tests.builders import HOUR, MINUTE, NOW, SECOND

NO_TIME = timedelta(0)

Hook = Callable[[], None]


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

        assert (pressure.paused_for(), pressure.outage()) == (NO_TIME, "")

    def test_several_alerts_that_fail_are(self) -> None:
        pressure = self.away([NOW])

        assert FIRST_RETRY <= pressure.paused_for() < 2 * FIRST_RETRY
        assert pressure.outage() == "refused the connection"

    def test_a_success_between_them_says_that_it_is_there(self) -> None:
        pressure = Pressure(slots=1, now=lambda: NOW)
        for number in range(2 * OUTAGE_KEYS):
            pressure.failed(f"key {number}", "forbidden")
            if number % 2:
                pressure.succeeded("another")

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

        assert pressure.paused_for() == NO_TIME

    def test_what_was_under_way_when_a_pause_began_does_not_count_after_it(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        for number in range(3, 9):
            pressure.failed(f"key {number}", "refused the connection")
        clock[0] += pressure.paused_for()
        pressure.failed("key 0", "cannot be read")

        assert pressure.paused_for() == NO_TIME

    def test_the_few_that_fail_while_others_succeed_count_no_more_until_they_succeed(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        pressure.succeeded("another")
        for _ in range(5):
            for number in range(OUTAGE_KEYS):
                pressure.failed(f"key {number}", "cannot be read")
        left_alone = pressure.paused_for()
        for number in range(OUTAGE_KEYS):
            pressure.succeeded(f"key {number}")
        for number in range(OUTAGE_KEYS):
            pressure.failed(f"key {number}", "refused the connection")

        assert (left_alone, pressure.paused_for() > NO_TIME) == (NO_TIME, True)

    def test_the_many_that_failed_in_an_outage_count_in_the_next(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        clock[0] += HOUR
        for number in range(2 * TROUBLED_KEYS):
            pressure.failed(f"key {number}", "refused the connection")
            clock[0] += HOUR
        pressure.succeeded("another")
        for number in range(OUTAGE_KEYS):
            pressure.failed(f"key {number}", "refused the connection")

        assert pressure.paused_for() > NO_TIME

    def test_after_a_pause_webhooks_let_wake_ups_try_and_try_themselves_if_none_did(self) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        clock[0] += pressure.paused_for()
        at_once = pressure.admits_webhooks
        clock[0] += WAKE_UPS_FIRST

        assert (at_once, pressure.admits_webhooks) == (False, True)

    def test_its_beginning_and_its_end_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = [NOW]
        pressure = self.away(clock)
        for _ in range(5):
            clock[0] += HOUR
            for number in range(OUTAGE_KEYS):
                pressure.failed(f"key {number}", "refused the connection")
        for _ in range(2):
            pressure.succeeded("another")

        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [message[:19] for message in told] == ["ServiceNow is away,", "ServiceNow is back"]

    def test_the_first_success_ends_it(self) -> None:
        pressure = self.away([NOW])
        pressure.succeeded("another")
        pressure.failed("key 0", "refused the connection")

        assert (pressure.paused_for(), pressure.outage(), pressure.admits_webhooks) == (NO_TIME, "", True)

    def test_what_servicenow_asked_for_outlasts_an_outage_and_its_end(self) -> None:
        pressure = self.away([NOW])
        pressure.pause(MINUTE)
        pressure.succeeded("another")

        assert (pressure.paused_for(), pressure.outage()) == (MINUTE, "")


def test_where_the_time_of_webhooks_runs_out_they_do_not_try_for_a_while() -> None:
    clock = [NOW]
    pressure = Pressure(slots=1, now=lambda: clock[0])
    for _ in range(5):
        pressure.ran_out("one")
    one_is_none = pressure.admits_webhooks
    for number in range(OUTAGE_KEYS):
        pressure.ran_out(f"key {number}")

    assert (one_is_none, pressure.admits_webhooks) == (True, False)
    # Wake-ups have more time.
    assert pressure.paused_for() == NO_TIME
    clock[0] += SLOW
    assert pressure.admits_webhooks


class TestReadsAndWrites:
    """An instance may show its incidents and change none."""

    def failing(self, clock: list[datetime], kind: Kind) -> Pressure:
        pressure = Pressure(slots=1, now=lambda: clock[0])
        for number in range(TROUBLED_KEYS):
            pressure.failed(f"key {number}", "read-only", kind)
            if kind is Kind.WRITE:
                pressure.succeeded(f"key {number}", Kind.READ)
        if kind is Kind.READ:
            pressure.succeeded("new", Kind.WRITE)
        return pressure

    @pytest.mark.parametrize("kind", Kind)
    def test_the_success_of_one_does_not_end_an_outage_of_the_other(self, kind: Kind) -> None:
        pressure = self.failing([NOW], kind)

        assert pressure.outage() == "read-only"
        assert not pressure.takes_return()

    @pytest.mark.parametrize("kind", Kind)
    def test_it_ends_with_a_success_of_its_kind(self, kind: Kind) -> None:
        pressure = self.failing([NOW], kind)
        pressure.succeeded("another", kind)

        assert pressure.outage() == ""
        assert (pressure.takes_return(), pressure.takes_return()) == (True, False)

    def test_where_both_failed_the_success_of_either_ends_it(self) -> None:
        pressure = self.failing([NOW], Kind.WRITE)
        for number in range(OUTAGE_KEYS):
            pressure.failed(f"key {number}", "no answer", Kind.READ)
        pressure.succeeded("key 0", Kind.READ)

        assert pressure.outage() == ""

    def test_one_slow_read_and_a_good_one_after_it_do_not_end_an_outage_of_writes(self) -> None:
        pressure = self.failing([NOW], Kind.WRITE)
        pressure.failed("key 0", "no answer", Kind.READ)
        pressure.succeeded("key 0", Kind.READ)

        assert pressure.outage() == "read-only"

    @pytest.mark.parametrize(("heard", "is_believed"), [(timedelta(seconds=-1), False), (timedelta(seconds=1), True)])
    def test_another_process_is_believed_unless_it_failed_here_since(self, heard: timedelta, is_believed: bool) -> None:
        pressure = self.failing([NOW], Kind.WRITE)
        pressure.heard_of_success(NOW + heard)

        assert (pressure.outage() == "") is is_believed


def test_asking_while_another_thread_ends_an_outage_is_safe() -> None:
    hooks: list[Hook] = []

    def now() -> datetime:
        if hooks:
            hooks.pop()()
        return NOW

    pressure = Pressure(slots=1, now=now)
    for number in range(OUTAGE_KEYS):
        pressure.failed(f"key {number}", "refused the connection")

    def in_another_thread() -> None:
        thread = threading.Thread(target=pressure.succeeded, args=("another",))
        thread.start()
        thread.join()

    hooks.append(in_another_thread)

    assert pressure.admits_webhooks
