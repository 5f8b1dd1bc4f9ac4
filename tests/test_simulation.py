"""Nothing lost, nothing doubled: a thousand histories, and ServiceNow away for days.

A failure prints its story; `python -m tests.simulator --seed N` tells it again.
"""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from math import comb

import pytest

from itsm_bridge.retry import LAST_RETRY
from tests.simulator.history import Options, play
from tests.simulator.memory import SysIds
from tests.simulator.outage import Outage, Slow

HISTORIES = 1000
_EACH = 50


@pytest.mark.parametrize("first", range(0, HISTORIES, _EACH))
def test_every_history_ends_well(first: int) -> None:
    for seed in range(first, first + _EACH):
        ending = play(seed)

        assert not ending.faults, f"\n{ending}"


def test_the_same_seed_tells_the_same_story() -> None:
    assert play(17).story == play(17).story
    assert play(17).story != play(18).story


@pytest.mark.parametrize("sys_ids", SysIds)
def test_histories_full_of_trouble_and_deaths_end_well(sys_ids: SysIds) -> None:
    worst = Options(deaths=12, storage=0.3, servicenow=0.6, sys_ids=sys_ids)
    for seed in range(2000, 2030):
        ending = play(seed, worst)

        assert not ending.faults, f"\n{ending}"


@pytest.mark.parametrize(
    ("looks", "hours_apart"), [("refused", 1), ("asleep", 4), ("asked to wait", 8), ("not done, silent", 8)]
)
def test_after_three_days_without_servicenow_everything_arrives_soon(looks: str, hours_apart: int) -> None:
    outage = Outage(span=timedelta(hours=71), looks=looks, step=timedelta(hours=hours_apart))
    outage.play()

    assert outage.ending().faults == ()
    assert {key for key, _ in outage.created_after} == {alert.key for alert in outage.alerts}
    assert max(late for _, late in outage.created_after) < timedelta(minutes=12)
    # However many wait: the slots of each process, every few minutes, each with a look after an unknown outcome.
    assert outage.cloud.requests < 2 * outage.slots * (timedelta(hours=71) / LAST_RETRY)
    # The oldest come first, but for those that were tried just before; without any order every second pair is wrong.
    ages = [outage.age_of(key) for key, _ in outage.created_after]
    wrong = sum(sooner < later for sooner, later in combinations(ages, 2)) / comb(len(ages), 2)
    assert looks != "refused" or wrong < 0.42


def test_old_alerts_with_troubles_of_their_own_keep_nobody_waiting() -> None:
    outage = Outage(span=timedelta(hours=20), looks="refused", step=timedelta(hours=4), troubled=4)
    outage.schedule.run(until=outage.returns_at + timedelta(minutes=15))

    assert {alert.key for alert in outage.alerts} <= {key for key, _ in outage.created_after}


@pytest.mark.parametrize(("slowness", "step"), [(4, 2), (8, 3)])
def test_a_servicenow_that_is_slow_is_not_taken_for_one_that_is_away(slowness: float, step: float) -> None:
    slow = Slow(slowness=slowness, step=timedelta(seconds=step))
    slow.play()

    assert slow.ending().faults == ()
    # A creation that took too long for the webhook is looked at some seconds later.
    assert slow.lateness < timedelta(seconds=90)


def test_beyond_the_horizon_alerts_are_parked_and_one_replay_brings_them_in() -> None:
    outage = Outage(span=timedelta(hours=90), looks="refused", step=timedelta(hours=8))
    outage.oracle.may_park = True
    outage.play()

    parked = [row for row in outage.store.records if row.is_parked]
    assert {row.key for row in parked} == {
        alert.key for alert in outage.alerts if outage.age_of(alert.key) > timedelta(hours=72)
    }
    assert all("given up after" in row.last_error for row in parked)
    for row in parked:
        outage.store.replace(replace(row, is_parked=False, attempts=0, failing_since=None, wake_up_id=""))
        outage.wakeups.send(row.key, delay=timedelta(0))
    outage.rest()

    assert outage.ending().faults == ()
    assert len(outage.instance.rows) == len(outage.alerts)
