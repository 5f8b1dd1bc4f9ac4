import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.operate.health import FRESH, Check, Health, servicenow_check
from itsm_bridge.reconcile.circuit import OUTAGE_KEYS, Circuit, Kind
from tests.builders import NOW, SECOND


class Part:
    """A part of the app that is well, down, or slow to tell; it counts how often it was asked."""

    def __init__(self, check: Callable[[], object] = bool) -> None:
        self._check = check
        self.asked = 0

    def probe(self, **_: Any) -> None:
        self.asked += 1
        self._check()


def is_down() -> None:
    raise Unavailable("no answer")


def health(clock: list[Any], circuit: Circuit | None = None, **parts: Part) -> Health:
    servicenow: Any = parts.get("servicenow") or Part()
    circuit = circuit or Circuit(slots=1, now=lambda: clock[0])
    checks = [Check(name=name, run=(parts.get(name) or Part()).probe) for name in ("entra", "table", "queue")]
    return Health(*checks, servicenow_check(servicenow, circuit), now=lambda: clock[0])


def test_what_is_down_is_named() -> None:
    assert health([NOW]).down() == ()
    assert health([NOW], entra=Part(is_down), table=Part(is_down)).down() == ("entra", "table")


def test_asking_often_costs_nothing() -> None:
    clock, servicenow = [NOW], Part()
    asked = health(clock, servicenow=servicenow)
    for _ in range(10):
        asked.down()
    clock[0] += FRESH

    asked.down()

    assert servicenow.asked == 2


def test_a_check_that_stumbles_is_not_taken_for_a_part_that_is_down() -> None:
    stumbles = Health(Check(name="table", run=Part(lambda: int("none")).probe), now=lambda: NOW)

    with pytest.raises(ValueError, match="none"):
        stumbles.down()


def test_servicenow_is_not_called_while_it_asked_us_to_wait() -> None:
    clock, servicenow = [NOW], Part()
    circuit = Circuit(slots=1, now=lambda: clock[0])
    circuit.pause(SECOND)

    assert health(clock, circuit, servicenow=servicenow).down() == ("servicenow",)
    assert servicenow.asked == 0


def test_whoever_asks_during_a_slow_look_is_told_what_was_seen_last() -> None:
    clock, release, looking = [NOW], threading.Event(), threading.Event()

    def slow() -> None:
        looking.set()
        assert release.wait(10)

    release.set()
    asked = health(clock, table=Part(slow))
    asked.down()
    clock[0] += FRESH + timedelta(seconds=1)
    release.clear()
    looking.clear()
    looker = threading.Thread(target=asked.down)
    looker.start()
    assert looking.wait(10)

    told = asked.down()

    release.set()
    looker.join()
    assert told == ()


def test_whoever_sees_that_servicenow_is_back_tells_the_rest_of_the_process() -> None:
    clock = [NOW]
    circuit = Circuit(slots=1, now=lambda: clock[0])
    for number in range(OUTAGE_KEYS):
        circuit.failed(f"key {number}", "refused the connection", Kind.READ)
    during = health(clock, circuit).down()
    clock[0] += circuit.paused_for()
    before = circuit.admits_webhooks

    after = health(clock, circuit).down()

    assert (during, before) == (("servicenow",), False)
    assert (after, circuit.admits_webhooks) == ((), True)


def test_that_servicenow_can_be_read_does_not_tell_that_it_can_be_changed() -> None:
    clock = [NOW]
    circuit = Circuit(slots=1, now=lambda: clock[0])
    for number in range(OUTAGE_KEYS):
        circuit.failed(f"key {number}", "read-only")
    clock[0] += circuit.paused_for()

    health(clock, circuit).down()

    assert not circuit.admits_webhooks
