from datetime import timedelta

import pytest

from itsm_bridge.pressure import Pressure
from tests.builders import MINUTE, NOW, SECOND

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
