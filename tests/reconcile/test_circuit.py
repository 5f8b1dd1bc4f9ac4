import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY
from itsm_bridge.reconcile.circuit import OUTAGE_KEYS, SLOW, TROUBLED_KEYS, WAKE_UPS_FIRST, Circuit, Kind
from tests.builders import HOUR, MINUTE, NOW, SECOND

NO_TIME = timedelta(0)

Hook = Callable[[], None]


def test_there_are_as_many_slots_as_were_given() -> None:
    circuit = Circuit(slots=2, now=lambda: NOW)

    with (
        circuit.slot(wait=NO_TIME) as first,
        circuit.slot(wait=NO_TIME) as second,
        circuit.slot(wait=NO_TIME) as third,
    ):
        got = (first, second, third)

    assert got == (True, True, False)


def test_a_slot_is_free_again_after_its_block_even_if_that_failed() -> None:
    circuit = Circuit(slots=1, now=lambda: NOW)
    with pytest.raises(ZeroDivisionError), circuit.slot(wait=NO_TIME) as has_slot:
        _ = 1 / (not has_slot)

    with circuit.slot(wait=NO_TIME) as has_slot:
        assert has_slot


def test_a_pause_ends_by_itself_and_a_shorter_one_does_not_shorten_it() -> None:
    clock = [NOW]
    circuit = Circuit(slots=1, now=lambda: clock[0])
    assert circuit.paused_for() == NO_TIME

    circuit.pause(MINUTE)
    circuit.pause(SECOND)

    assert circuit.paused_for() == MINUTE
    clock[0] += MINUTE
    assert circuit.paused_for() == NO_TIME


class TestOutage:
    """ServiceNow fails for several alerts and succeeds for none."""

    def away(self, clock: list[datetime]) -> Circuit:
        circuit = Circuit(slots=1, now=lambda: clock[0])
        for number in range(OUTAGE_KEYS):
            circuit.failed(f"key {number}", "refused the connection")
        return circuit

    def test_one_alert_that_fails_again_and_again_is_no_outage(self) -> None:
        circuit = Circuit(slots=1, now=lambda: NOW)
        for _ in range(20):
            circuit.failed("a", "forbidden")
            circuit.failed("b", "forbidden")

        assert (circuit.paused_for(), circuit.outage()) == (NO_TIME, "")

    def test_several_alerts_that_fail_are(self) -> None:
        circuit = self.away([NOW])

        assert FIRST_RETRY <= circuit.paused_for() < 2 * FIRST_RETRY
        assert circuit.outage() == "refused the connection"

    def test_a_success_between_them_says_that_it_is_there(self) -> None:
        circuit = Circuit(slots=1, now=lambda: NOW)
        for number in range(2 * OUTAGE_KEYS):
            circuit.failed(f"key {number}", "forbidden")
            if number % 2:
                circuit.succeeded("another")

        assert circuit.paused_for() == NO_TIME

    def test_whoever_fails_after_a_pause_begins_a_longer_one(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        pauses = []
        for _ in range(8):
            pauses.append(circuit.paused_for())
            clock[0] += pauses[-1]
            assert circuit.paused_for() == NO_TIME
            for number in range(OUTAGE_KEYS + 1):  # all at once
                circuit.failed(f"key {number}", "refused the connection")

        assert all(longer > shorter for shorter, longer in pairwise(pauses[:4]))
        assert LAST_RETRY <= pauses[-1] <= LAST_RETRY + MINUTE

    def test_one_alert_with_a_trouble_of_its_own_does_not_keep_it_up(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        clock[0] += circuit.paused_for()
        for _ in range(20):
            circuit.failed("key 0", "cannot be read")

        assert circuit.paused_for() == NO_TIME

    def test_what_was_under_way_when_a_pause_began_does_not_count_after_it(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        for number in range(3, 9):
            circuit.failed(f"key {number}", "refused the connection")
        clock[0] += circuit.paused_for()
        circuit.failed("key 0", "cannot be read")

        assert circuit.paused_for() == NO_TIME

    def test_the_few_that_fail_while_others_succeed_count_no_more_until_they_succeed(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        circuit.succeeded("another")
        for _ in range(5):
            for number in range(OUTAGE_KEYS):
                circuit.failed(f"key {number}", "cannot be read")
        left_alone = circuit.paused_for()
        for number in range(OUTAGE_KEYS):
            circuit.succeeded(f"key {number}")
        for number in range(OUTAGE_KEYS):
            circuit.failed(f"key {number}", "refused the connection")

        assert (left_alone, circuit.paused_for() > NO_TIME) == (NO_TIME, True)

    def test_the_many_that_failed_in_an_outage_count_in_the_next(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        clock[0] += HOUR
        for number in range(2 * TROUBLED_KEYS):
            circuit.failed(f"key {number}", "refused the connection")
            clock[0] += HOUR
        circuit.succeeded("another")
        for number in range(OUTAGE_KEYS):
            circuit.failed(f"key {number}", "refused the connection")

        assert circuit.paused_for() > NO_TIME

    def test_after_a_pause_webhooks_let_wake_ups_try_and_try_themselves_if_none_did(self) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        clock[0] += circuit.paused_for()
        at_once = circuit.admits_webhooks
        clock[0] += WAKE_UPS_FIRST

        assert (at_once, circuit.admits_webhooks) == (False, True)

    def test_its_beginning_and_its_end_are_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = [NOW]
        circuit = self.away(clock)
        for _ in range(5):
            clock[0] += HOUR
            for number in range(OUTAGE_KEYS):
                circuit.failed(f"key {number}", "refused the connection")
        for _ in range(2):
            circuit.succeeded("another")

        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [message[:19] for message in told] == ["the target is away,", "the target is back"]

    def test_the_first_success_ends_it(self) -> None:
        circuit = self.away([NOW])
        circuit.succeeded("another")
        circuit.failed("key 0", "refused the connection")

        assert (circuit.paused_for(), circuit.outage(), circuit.admits_webhooks) == (NO_TIME, "", True)

    def test_what_servicenow_asked_for_outlasts_an_outage_and_its_end(self) -> None:
        circuit = self.away([NOW])
        circuit.pause(MINUTE)
        circuit.succeeded("another")

        assert (circuit.paused_for(), circuit.outage()) == (MINUTE, "")


def test_where_the_time_of_webhooks_runs_out_they_do_not_try_for_a_while() -> None:
    clock = [NOW]
    circuit = Circuit(slots=1, now=lambda: clock[0])
    for _ in range(5):
        circuit.ran_out("one")
    one_is_none = circuit.admits_webhooks
    for number in range(OUTAGE_KEYS):
        circuit.ran_out(f"key {number}")

    assert (one_is_none, circuit.admits_webhooks) == (True, False)
    # Wake-ups have more time.
    assert circuit.paused_for() == NO_TIME
    clock[0] += SLOW
    assert circuit.admits_webhooks


class TestReadsAndWrites:
    """An instance may show its incidents and change none."""

    def failing(self, clock: list[datetime], kind: Kind) -> Circuit:
        circuit = Circuit(slots=1, now=lambda: clock[0])
        for number in range(TROUBLED_KEYS):
            circuit.failed(f"key {number}", "read-only", kind)
            if kind is Kind.WRITE:
                circuit.succeeded(f"key {number}", Kind.READ)
        if kind is Kind.READ:
            circuit.succeeded("new", Kind.WRITE)
        return circuit

    @pytest.mark.parametrize("kind", Kind)
    def test_the_success_of_one_does_not_end_an_outage_of_the_other(self, kind: Kind) -> None:
        circuit = self.failing([NOW], kind)

        assert circuit.outage() == "read-only"
        assert not circuit.takes_return()

    @pytest.mark.parametrize("kind", Kind)
    def test_it_ends_with_a_success_of_its_kind(self, kind: Kind) -> None:
        circuit = self.failing([NOW], kind)
        circuit.succeeded("another", kind)

        assert circuit.outage() == ""
        assert (circuit.takes_return(), circuit.takes_return()) == (True, False)

    def test_where_both_failed_the_success_of_either_ends_it(self) -> None:
        circuit = self.failing([NOW], Kind.WRITE)
        for number in range(OUTAGE_KEYS):
            circuit.failed(f"key {number}", "no answer", Kind.READ)
        circuit.succeeded("key 0", Kind.READ)

        assert circuit.outage() == ""

    def test_one_slow_read_and_a_good_one_after_it_do_not_end_an_outage_of_writes(self) -> None:
        circuit = self.failing([NOW], Kind.WRITE)
        circuit.failed("key 0", "no answer", Kind.READ)
        circuit.succeeded("key 0", Kind.READ)

        assert circuit.outage() == "read-only"

    @pytest.mark.parametrize(("heard", "is_believed"), [(timedelta(seconds=-1), False), (timedelta(seconds=1), True)])
    def test_another_process_is_believed_unless_it_failed_here_since(self, heard: timedelta, is_believed: bool) -> None:
        circuit = self.failing([NOW], Kind.WRITE)
        circuit.heard_of_success(NOW + heard)

        assert (circuit.outage() == "") is is_believed


def test_asking_while_another_thread_ends_an_outage_is_safe() -> None:
    hooks: list[Hook] = []

    def now() -> datetime:
        if hooks:
            hooks.pop()()
        return NOW

    circuit = Circuit(slots=1, now=now)
    for number in range(OUTAGE_KEYS):
        circuit.failed(f"key {number}", "refused the connection")

    def in_another_thread() -> None:
        thread = threading.Thread(target=circuit.succeeded, args=("another",))
        thread.start()
        thread.join()

    hooks.append(in_another_thread)

    assert circuit.admits_webhooks
