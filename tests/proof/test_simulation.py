"""Nothing lost, nothing doubled: four hundred histories, and ServiceNow away for days.

A failure prints its story; `python -m proof.simulator --seed N` tells it again.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from itsm_bridge.reconcile.backoff import LAST_RETRY
from local.host.host_json import read_host_json
from local.host.scale_vote import scale_vote
from proof.simulator.history import ALL_WORK, SPLIT, Options
from proof.simulator.memory import SysIds
from proof.simulator.outage import Backlog, Outage, Slow, Waiting
from proof.simulator.playing import play
from proof.simulator.ruled import GROUPS, LIFECYCLES, operators_of
from tests.builders import changed

#: Histories take as long as the machine takes; only one that never ends is to be stopped.
# Coverage would make them three times as slow; other tests go through every line of the loop.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.no_cover]

HISTORIES = 400
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


@pytest.mark.parametrize("operators", [LIFECYCLES, GROUPS])
def test_histories_with_rules_full_of_trouble_and_deaths_end_well(operators: str) -> None:
    worst = Options(deaths=8, storage=0.1, servicenow=0.3, operators=operators)
    for seed in range(3000, 3030):
        ending = play(seed, worst)

        assert not ending.faults, f"\n{ending}"


def test_half_of_the_histories_have_rules() -> None:
    spoken = Counter(operators_of(seed) for seed in range(HISTORIES))

    assert spoken[LIFECYCLES] > HISTORIES / 4
    assert spoken[GROUPS] > HISTORIES / 8
    assert spoken[""] > HISTORIES * 2 / 5


def test_a_worker_that_lost_its_lease_before_it_wrote_a_successor_leaves_one_incident() -> None:
    frozen = 0
    for seed in range(3100, 3160):
        ending = play(seed, Options(people=True, freeze=timedelta(minutes=11), processes=(ALL_WORK, ALL_WORK)))
        frozen += any("stands still" in line for line in ending.story)

        assert not ending.faults, f"\n{ending}"
    assert frozen


@pytest.mark.parametrize("processes", [(ALL_WORK, ALL_WORK), SPLIT])
@pytest.mark.parametrize(
    ("looks", "hours_apart"), [("refused", 2), ("asleep", 6), ("asked to wait", 12), ("not done, silent", 12)]
)
def test_after_three_days_without_servicenow_everything_arrives_soon(
    looks: str, hours_apart: int, processes: Sequence[frozenset[str]]
) -> None:
    outage = Outage(span=timedelta(hours=71), looks=looks, step=timedelta(hours=hours_apart), processes=processes)
    outage.play()

    waiting = {alert.key for alert in outage.alerts}
    arrived = [(key, late) for key, late in outage.created_after if key in waiting]
    assert outage.ending().faults == ()
    assert {key for key, _ in arrived} == waiting
    # Five minutes until `resync` looks, six of doubt where no answer came, five until it is tried again.
    assert max(late for _, late in arrived) < timedelta(minutes=16)
    # However many wait: the slots of each process, every few minutes, each with a search for the item before the
    # creation, so that none is born without it when the target is back, and a look after an unknown outcome.
    assert outage.cloud.requests < 3 * outage.slots * (timedelta(hours=71) / LAST_RETRY)
    # And then everything is as before, also in a process that is given no wake-ups.
    assert max(map(outage.lateness_of, outage.later)) < timedelta(seconds=30)


def test_five_hundred_alerts_that_wait_for_hours_start_no_instances() -> None:
    outage = Outage(span=timedelta(hours=5), looks="refused", step=timedelta(seconds=36), processes=SPLIT)
    outage.play()

    settings = read_host_json(Path(__file__).parents[2], {}).queues
    votes = [scale_vote(count, are_visible=is_any, settings=settings) for count, is_any in outage.lengths]
    assert len(outage.alerts) == 500
    assert max(votes) <= 3
    assert scale_vote(len(outage.alerts), are_visible=True, settings=settings) == 125
    assert outage.ending().faults == ()


def test_old_alerts_with_troubles_of_their_own_keep_nobody_waiting() -> None:
    outage = Outage(span=timedelta(hours=20), looks="refused", step=timedelta(hours=4), troubled=6)
    outage.start_timer()
    outage.schedule.run(until=outage.returns_at + timedelta(hours=2))

    waiting = {alert.key for alert in outage.alerts}
    arrived = [late for key, late in outage.created_after if key in waiting]
    assert len(arrived) == len(waiting)
    assert max(arrived) < timedelta(minutes=12)
    # Each process has to learn which they are.
    late = [alert for alert in outage.later if outage.lateness_of(alert) > timedelta(seconds=10)]
    assert len(late) <= 2 * len(outage.processes)


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

    parked = [row for row in outage.store.records if row.work.is_parked]
    assert {row.key for row in parked} == {
        alert.key for alert in outage.alerts if outage.age_of(alert.key) > timedelta(hours=72)
    }
    assert all("given up after" in row.work.last_error for row in parked)
    for row in parked:
        outage.store.replace(changed(row, is_parked=False, attempts=0, failing_since=None, wake_up_id=""))
        outage.wakeups.send(row.key, delay=timedelta(0))
    outage.rest()

    assert outage.ending().faults == ()
    assert len(outage.instance.rows) == len(outage.alerts) + len(outage.later)


@pytest.mark.parametrize("looks", ["refused", "asked to wait", "read-only"])
def test_alerts_that_wait_for_hours_start_no_instances(looks: str) -> None:
    waiting = Waiting(count=200, span=timedelta(hours=3), looks=looks)
    waiting.play()

    settings = read_host_json(Path(__file__).parents[2], {}).queues
    votes = [scale_vote(count, are_visible=is_any, settings=settings) for count, is_any in waiting.lengths[15:]]
    assert waiting.ending().faults == ()
    assert all(len(waiting.instance.of(alert.key)) == 1 for alert in waiting.alerts)
    assert max(votes) <= 3
    # However many wait, a few of them try every few minutes; and then each is created.
    assert waiting.cloud.requests < 4 * len(waiting.alerts) + 3 * waiting.slots * (timedelta(hours=3) / LAST_RETRY)
    # Some of those that try try again and again, each time another one.
    assert waiting.most_wake_ups < 30


def test_a_long_line_of_wake_ups_is_late_and_not_lost() -> None:
    backlog = Backlog(count=400, slowness=8)
    backlog.play()

    assert backlog.ending().faults == ()
    # More than the time after which a wake-up that stands nowhere counts as lost.
    assert backlog.took > timedelta(minutes=12)
    assert backlog.wake_ups_each < 1.15
