"""Nothing lost, nothing doubled: a process may die right before or right after any call that it makes."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from itsm_bridge.notification import Notification
from local.azurite import Azurite
from tests.bench import Bench, Crash, Fuse, bench
from tests.builders import HOUR, NOW, notification, resolved

FIRED = notification()
RESOLVED = resolved()
WORSE = notification(digest="worse", facts={"Severity": "Sev0"}, fields={**FIRED.fields, "impact": "1", "urgency": "1"})
FIRED_ANEW = notification(at=NOW + HOUR, digest="fired anew")

#: What comes in, and what must be there in the end: state and notes of each incident.
SCENARIOS: dict[str, tuple[Sequence[Notification | str], list[tuple[str, int]]]] = {
    "fired": ([FIRED], [("open", 0)]),
    "fired twice": ([FIRED, FIRED], [("open", 0)]),
    "fired, worse": ([FIRED, WORSE], [("open", 1)]),
    "fired, resolved": ([FIRED, RESOLVED], [("resolved", 1)]),
    "resolved first": ([RESOLVED, FIRED], []),
    "fired anew after resolved": ([FIRED, RESOLVED, FIRED_ANEW], [("open", 2)]),
    "fired anew after closed": ([FIRED, "close", FIRED_ANEW], [("closed", 0), ("open", 1)]),
    "fired anew after resolved and closed": ([FIRED, RESOLVED, "close", FIRED_ANEW], [("closed", 1), ("open", 1)]),
}


def play(world: Bench, steps: Sequence[Notification | str], *, fuse: Fuse) -> None:
    """Let each notification come until it is answered, as Azure Monitor does; a process that died is started anew."""
    mortal = world.make(fuse)
    for step in steps:
        if isinstance(step, str):
            world.drain()
            for row in world.instance.incidents:
                world.instance.close(row["sys_id"])
            continue
        try:
            world.receive(step, mortal)
        except Crash:
            mortal = world.make()
            world.now += timedelta(seconds=5)
            world.receive(step, mortal)
    world.drain()


def end_state(world: Bench) -> list[tuple[str, int]]:
    words = {"1": "open", "2": "open", "6": "resolved", "7": "closed"}
    return [(words[state], len(notes)) for state, notes in world.story()]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_is_the_same_wherever_a_process_dies(name: str, azurite: Azurite) -> None:
    steps, expected = SCENARIOS[name]
    with bench(azurite) as world:
        whole = Fuse()
        play(world, steps, fuse=whole)
        assert end_state(world) == expected

    for call in range(1, whole.calls + 1):
        for before in (True, False):
            with bench(azurite) as world:
                play(world, steps, fuse=Fuse(at=call, before=before))

                where = f"{name}: died {'before' if before else 'after'} call {call}"
                assert (where, end_state(world)) == (where, expected)
                assert not world.row().awaits_work
