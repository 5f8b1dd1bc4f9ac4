"""Nothing lost, nothing doubled: a process may die right before or right after any call that it makes.

Every call of every scenario, one after the other; the end must be the same each time. Azure Monitor repeats what was
not answered, the host gives a message out again whose worker died, and nothing else helps: `resync` is not called.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from itsm_bridge.reconcile.attempt import Result
from itsm_bridge.reconcile.desired import News
from local.azurite import Azurite
from local.servicenow import faults
from local.servicenow.demo_cmdb import arm_id
from proof.apart import Died
from tests.builders import FIELDS, HOUR, NOW, SECOND, notification, resolved
from tests.killable import Crashing, Killable, Life
from tests.rig import Rig, rig

FIRED = notification()
RESOLVED = resolved()
WORSE = notification(digest="worse", facts={"Severity": "Sev0"}, fields={**FIELDS, "impact": "1", "urgency": "1"})
FIRED_ANEW = notification(at=NOW + HOUR, digest="fired anew")
ON_A_VM = notification(resources=(arm_id("Microsoft.Compute/virtualMachines/vm-web-02"),))
HEALTH = notification(signal="", note="An event began.")
HEALTH_UPDATE = notification(signal="", digest="update", at=NOW + HOUR, facts={"Stage": "Investigating"})
HEALTH_END = resolved(signal="", at=NOW + 2 * HOUR, note="The event is over.")
TEST = notification(closes=True, note="This is a test.")

#: What comes in, and what must be there in the end: state and number of notes of each incident.
#: "close" is a person's; while ServiceNow is "away" its instance hibernates.
SCENARIOS: dict[str, tuple[Sequence[News | str], list[tuple[str, int]]]] = {
    "fired": ([FIRED], [("open", 0)]),
    "fired twice": ([FIRED, FIRED], [("open", 0)]),
    "fired on a machine": ([ON_A_VM], [("open", 1)]),
    "fired, worse": ([FIRED, WORSE], [("open", 1)]),
    "fired, resolved": ([FIRED, RESOLVED], [("resolved", 1)]),
    "fired and resolved, each twice": ([FIRED, FIRED, RESOLVED, RESOLVED], [("resolved", 1)]),
    "resolved first": ([RESOLVED, FIRED], []),
    "fired anew after resolved": ([FIRED, RESOLVED, FIRED_ANEW], [("open", 2)]),
    "fired anew after closed": ([FIRED, "close", FIRED_ANEW], [("closed", 0), ("open", 1)]),
    "fired anew after resolved and closed": ([FIRED, RESOLVED, "close", FIRED_ANEW], [("closed", 1), ("open", 1)]),
    "a health event with an update": ([HEALTH, HEALTH_UPDATE], [("open", 1)]),
    "a health event that ends": ([HEALTH, HEALTH_UPDATE, HEALTH_END], [("resolved", 2)]),
    "a test notification": ([TEST], [("resolved", 0)]),
    "fired while ServiceNow is away": (["away", FIRED, "back"], [("open", 0)]),
    "fired and resolved while ServiceNow is away": (["away", FIRED, RESOLVED, "back"], [("resolved", 1)]),
    "resolved while ServiceNow is away": ([FIRED, "away", RESOLVED, "back"], [("resolved", 1)]),
}

#: What may come in twice at the same time, after what came before it, and the end.
AT_ONCE: dict[str, tuple[Sequence[News], News, list[tuple[str, int]]]] = {
    "fired": ([], FIRED, [("open", 0)]),
    "worse": ([FIRED], WORSE, [("open", 1)]),
    "resolved": ([FIRED], RESOLVED, [("resolved", 1)]),
    "fired anew": ([FIRED, RESOLVED], FIRED_ANEW, [("open", 2)]),
    "update of a health event": ([HEALTH], HEALTH_UPDATE, [("open", 1)]),
}


def play(world: Rig, steps: Sequence[News | str], life: Life) -> None:
    """Let one thing happen after the other, and then each wake-up come."""
    for step in steps:
        match step:
            case "close":
                life = rest(world, life)
                for row in world.instance.incidents:
                    world.instance.close(row["sys_id"])
            case "away":
                world.instance.faults.add(faults.hibernating(), times=None)
            case "back":
                world.instance.faults.clear()
            case News():
                life = deliver(world, life, step)
            case _:
                raise AssertionError(step)
    rest(world, life)


def deliver(world: Rig, life: Life, said: News) -> Life:
    """Let a notification come until it is answered, as Azure Monitor does; return the life that goes on."""
    try:
        life.receive(said, world.now)
    except Died:
        life = Crashing(world)
        world.now += timedelta(seconds=5)
        life.receive(said, world.now)
    world.now += SECOND
    return life


def rest(world: Rig, life: Life) -> Life:
    """Let wake-ups come when they are due, each twice, until there is none; return the life that goes on."""
    for _ in range(30):
        messages = world.take()
        if not messages:
            return life
        for message in messages:
            world.due(message)
            try:
                for _ in range(2):
                    life.reconcile(str(message.content), str(message.id), world.now)
            except Died:
                # The host hides a message for ten minutes from the last sign of life of whoever has it.
                life = Crashing(world)
                world.now += timedelta(minutes=10)
                world.queue.update_message(message, visibility_timeout=0)
            else:
                world.queue.delete_message(message)
    raise AssertionError(f"wake-ups come and come: {world.row().work.last_error}")


def end_state(world: Rig) -> list[tuple[str, int]]:
    words = {"1": "open", "2": "open", "6": "resolved", "7": "closed"}
    return [(words[state], len(notes)) for state, notes in world.story()]


def assert_at_rest(world: Rig, where: str, expected: list[tuple[str, int]]) -> None:
    assert (where, end_state(world)) == (where, expected)
    row = world.row()
    assert (where, row.awaits_work, row.work.lease_holder, row.work.is_parked) == (where, False, "", False)
    assert world.take() == []


def places(death: type[Crashing] | type[Killable]) -> Iterator[tuple[int, bool]]:
    """Yield where a process dies: at which of its calls, and whether before or after it.

    A process that is killed right before a call leaves what one leaves that is killed right after the call before it,
    because nothing leaves a process between two calls; so it is killed after each, and before the first.
    An exception is raised on both sides of each call: it passes other handlers there, and where the call is the first
    of a notification or a wake-up, another one is repeated.
    """
    for call in itertools.count(1):
        if death is Crashing or call == 1:
            yield call, True
        yield call, False


# Coverage would take as long again, for hundreds of times the same lines: other tests go through each of them.
@pytest.mark.parametrize("death", [pytest.param(Crashing, marks=pytest.mark.no_cover), Killable])
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_is_the_same_wherever_a_process_dies(
    name: str, death: type[Crashing] | type[Killable], azurite: Azurite
) -> None:
    steps, expected = SCENARIOS[name]
    for call, before in places(death):
        with rig(azurite) as world, death(world, at=call, before=before) as life:
            play(world, steps, life)

            where = f"{name}: died {'before' if before else 'after'} call {call}"
            assert_at_rest(world, where, expected)
            if not life.has_died:
                # There is no such call: this was the story without a death.
                assert call > 3
                return


@pytest.mark.no_cover
@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("name", AT_ONCE)
def test_the_same_notification_may_come_between_any_two_calls(name: str, same_process: bool, azurite: Azurite) -> None:
    """Once by another thread and once by another process; and whoever began may die at any call after that."""
    for call in itertools.count(1):
        for dies_at in itertools.count(call + 1):
            with rig(azurite) as world:
                first = interrupted(world, name, call, dies_at, same_process=same_process)
            if not first.has_died:
                break
        if first.calls < call:
            # There is no such call: nobody came between.
            assert call > 2
            return


def interrupted(world: Rig, name: str, call: int, dies_at: int, *, same_process: bool) -> Crashing:
    earlier, said, expected = AT_ONCE[name]
    for each in earlier:
        world.receive(each)
    first = Crashing(world, at=dies_at)
    other = first.another_thread() if same_process else world.make()
    first.fuse.at(call, lambda: assert_taken(world.receive(said, other)))

    play(world, [said], first)

    assert_at_rest(world, f"{name}: the other came before call {call}, the first died before call {dies_at}", expected)
    return first


def assert_taken(result: Result) -> None:
    assert result.record.desired.revision > 0


def test_the_proxies_see_every_call_of_an_alert(azurite: Azurite) -> None:
    with rig(azurite) as world, Killable(world) as life:
        for each in (WORSE, FIRED_ANEW):
            life.receive(replace(each, key="a1" * 32), world.now)
        life.asked.clear()

        life.receive(FIRED, world.now)

        assert life.asked == ["table insert", "POST incident", "table replace"]
