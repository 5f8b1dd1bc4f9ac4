"""Nothing lost, nothing doubled: a thousand histories, and ServiceNow away for days.

A failure prints its story; `python -m tests.simulator --seed N` tells it again.
"""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from itsm_bridge.retry import LAST_RETRY
from tests.simulator.history import Options, play
from tests.simulator.memory import SysIds
from tests.simulator.outage import Outage

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
    ("looks", "keeps_order"),
    # Who waits as long as it was told to, or until a doubt has passed, comes when its own time is up.
    [("refused", True), ("asleep", True), ("asked to wait", False), ("not done, silent", False)],
)
def test_after_three_days_without_servicenow_everything_arrives_soon_and_the_oldest_first(
    looks: str, keeps_order: bool
) -> None:
    outage = Outage(span=timedelta(hours=71), looks=looks)
    outage.play()

    assert outage.ending().faults == ()
    assert {key for key, _ in outage.created_after} == {alert.key for alert in outage.alerts}
    assert max(late for _, late in outage.created_after) < timedelta(minutes=12)
    # However many wait: the slots of each process, every few minutes, each with a look after an unknown outcome.
    assert outage.cloud.requests < 2 * outage.slots * (timedelta(hours=71) / LAST_RETRY)
    # The few that were tried last come by their own retry. Without any order half of all would precede an older one.
    ages = [outage.age_of(key) for key, _ in outage.created_after]
    assert not keeps_order or sum(before < after for before, after in pairwise(ages)) < len(ages) / 3


def test_beyond_the_horizon_alerts_are_parked_and_one_replay_brings_them_in() -> None:
    outage = Outage(span=timedelta(hours=90), looks="refused")
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
