"""A webhook waits for its turn for a moment, and this process goes on with what was answered 202."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.reconcile.attempt import Outcome
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.ports import WakeUp
from itsm_bridge.reconcile.reconciler import HANDED_OVER, TURN, Reconciler
from itsm_bridge.reconcile.record import Record
from local.azurite import Azurite
from local.servicenow import faults
from tests.builders import KEY, SECOND, notification, resolved
from tests.rig import Rig, reconciler_of, rig


@pytest.fixture
def world(azurite: Azurite) -> Iterator[Rig]:
    with rig(azurite) as made:
        yield made


class Later:
    """Goes on with work when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], None]] = []
        self.is_full = False

    @property
    def waiting(self) -> int:
        return len(self.begun)

    def hand_over(self, work: Callable[[], None]) -> bool:
        return not self.is_full and self.begin(work)

    def begin(self, work: Callable[[], None]) -> bool:
        self.begun.append(work)
        return True

    def go_on(self) -> None:
        for work in self.begun:
            work()


class QueueIsDown:
    """The queue does not answer."""

    def send(self, key: str, *, delay: timedelta) -> WakeUp:  # noqa: ARG002 - as the queue has it
        raise Unavailable("the queue did not answer")


class Timetable:
    """The queue, of which only the times are kept."""

    def __init__(self) -> None:
        self.delays: list[timedelta] = []

    def send(self, key: str, *, delay: timedelta) -> WakeUp:
        self.delays.append(delay)
        return WakeUp(message_id=key, pop_receipt="")


def never(event: threading.Event, span: timedelta) -> bool:  # noqa: ARG001 - as a circuit asks
    """Wait for a turn that does not come."""
    return event.is_set()


def one_slot(world: Rig, *, line: int, background: Later | None = None) -> Reconciler:
    world.circuit = Circuit(slots=1, line=line, now=world.clock, wait=never)
    parts = {**world.parts, "background": background}
    return reconciler_of(parts, world.clock, world.circuit)


def test_a_webhook_waits_for_its_turn_and_is_answered_what_came_of_it(world: Rig) -> None:
    world.circuit = Circuit(slots=1, line=1, now=world.clock)
    reconciler = reconciler_of(world.parts, world.clock, world.circuit)
    outcomes: list[Outcome] = []
    is_written = threading.Event()
    insert = world.store.insert

    class Telling:
        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def insert(self, record: object) -> object:
            row = insert(record)  # type: ignore[arg-type]
            is_written.set()
            return row

    reconciler = reconciler_of({**world.parts, "store": Telling()}, world.clock, world.circuit)
    thread = threading.Thread(target=lambda: outcomes.append(world.receive(notification(), reconciler).outcome))
    with world.circuit.slot(wait=SECOND) as holds:
        thread.start()
        assert is_written.wait(10)
        before = list(outcomes), [call.method for call in world.instance.calls]
    thread.join(10)

    assert holds
    assert before == ([], [])
    assert (outcomes, world.messages()) == ([Outcome.CREATED], 0)


def test_the_row_is_durable_before_a_webhook_waits(world: Rig) -> None:
    reconciler = one_slot(world, line=1)
    with world.circuit.slot(wait=SECOND):
        world.receive(notification(), reconciler)

    row = world.row()
    assert (row.awaits_work, row.work.lease_holder, row.observed.in_doubt_until) == (True, "", None)
    assert world.messages() == 1


def test_a_webhook_whose_turn_does_not_come_leaves_nothing_in_doubt(world: Rig) -> None:
    reconciler = one_slot(world, line=1)
    with world.circuit.slot(wait=SECOND):
        result = world.receive(notification(), reconciler)
    world.wake()

    assert result.outcome is Outcome.ACCEPTED
    assert [call.method for call in world.instance.calls] == ["POST"]
    assert world.row().is_settled


@pytest.mark.parametrize("line", [0, 1])
def test_this_process_goes_on_with_what_was_answered_202_and_takes_the_wake_up_back(world: Rig, line: int) -> None:
    later = Later()
    reconciler = one_slot(world, line=line, background=later)
    with world.circuit.slot(wait=SECOND):
        outcome = world.receive(notification(), reconciler).outcome
        promised = world.messages()
    later.go_on()

    assert (outcome, promised) == (Outcome.ACCEPTED, 1)
    assert ([row["state"] for row in world.instance.incidents], world.messages()) == (["1"], 0)


def test_a_webhook_does_not_pass_the_alerts_that_were_answered_202(world: Rig) -> None:
    later = Later()
    reconciler = one_slot(world, line=1, background=later)
    with world.circuit.slot(wait=SECOND):
        world.receive(notification(), reconciler)

    newer = world.receive(notification(key="a1" * 32), reconciler).outcome
    later.go_on()

    assert newer is Outcome.ACCEPTED
    assert [row["correlation_id"] for row in world.instance.incidents] == [KEY, "a1" * 32]


def test_the_wake_up_does_the_work_where_the_process_died(world: Rig) -> None:
    later = Later()
    reconciler = one_slot(world, line=0, background=later)
    with world.circuit.slot(wait=SECOND):
        world.receive(notification(), reconciler)

    world.now += HANDED_OVER
    world.reconciler.reconcile(KEY, wake_up_id="any")
    later.go_on()

    assert [call.method for call in world.instance.calls] == ["POST"]


def test_the_wake_up_of_an_alert_with_many_before_it_comes_after_their_turns(world: Rig) -> None:
    later = Later()
    queue = Timetable()
    one_slot(world, line=0)
    reconciler = reconciler_of({**world.parts, "background": later, "wakeups": queue}, world.clock, world.circuit)
    with world.circuit.slot(wait=SECOND):
        for number in range(30):
            world.receive(notification(key=f"{number:064x}"), reconciler)

    assert queue.delays == [HANDED_OVER + before * TURN for before in range(30)]


def test_the_queue_has_an_alert_at_once_that_finds_no_room_in_this_process(world: Rig) -> None:
    later = Later()
    later.is_full = True
    reconciler = one_slot(world, line=0, background=later)
    with world.circuit.slot(wait=SECOND):
        outcome = world.receive(notification(), reconciler).outcome
    world.drain()

    assert (outcome, later.begun) == (Outcome.ACCEPTED, [])
    assert [row["state"] for row in world.instance.incidents] == ["1"]


def test_an_alert_that_waits_is_not_gone_on_with_while_servicenow_is_away(world: Rig) -> None:
    later = Later()
    reconciler = one_slot(world, line=0, background=later)
    with world.circuit.slot(wait=SECOND):
        world.receive(notification(), reconciler)
    world.circuit.pause(timedelta(hours=1))
    later.go_on()

    assert (list(world.instance.calls), world.messages()) == ([], 1)


def test_a_queue_that_is_down_keeps_no_incident_from_being_made(world: Rig) -> None:
    reconciler = reconciler_of({**world.parts, "wakeups": QueueIsDown()}, world.clock)

    assert world.receive(notification(), reconciler).outcome is Outcome.CREATED
    assert world.receive(resolved(), reconciler).outcome is Outcome.RESOLVED


def test_nothing_is_promised_that_neither_the_incident_nor_the_queue_has(world: Rig) -> None:
    reconciler = reconciler_of({**world.parts, "wakeups": QueueIsDown()}, world.clock)
    world.instance.faults.add(faults.hibernating(), times=None)

    with pytest.raises(Unavailable, match="the queue did not answer"):
        world.receive(notification(), reconciler)

    # Azure Monitor calls again, and a wake-up waits for the end of the lease of the first call.
    world.instance.faults.clear()
    assert (world.receive(notification()).outcome, world.messages()) == (Outcome.ACCEPTED, 1)
    world.drain()
    assert [row["state"] for row in world.instance.incidents] == ["1"]


def test_what_a_worker_left_that_died_over_a_wake_up_is_found_by_the_next_process(world: Rig) -> None:
    world.instance.faults.add(faults.hibernating(), times=1)
    world.receive(notification())
    for message in world.take():
        world.queue.delete_message(message)
    world.now = world.row().work.wake_up_at

    class Dies:
        """Writes the lease and is killed before the next write."""

        def __init__(self) -> None:
            self.writes = 0

        def __getattr__(self, name: str) -> object:
            return getattr(world.store, name)

        def replace(self, record: Record) -> Record:
            self.writes += 1
            if self.writes > 1:
                raise SystemExit
            return world.store.replace(record)

    with pytest.raises(SystemExit):
        world.wake(reconciler=world.make(store=Dies()))
    killed_at = world.now
    # The host hides the message of the dead worker for ten minutes.
    world.make().cover()
    (found,) = world.take()
    world.now = world.row().work.wake_up_at + SECOND
    world.reconciler.reconcile(str(found.content), wake_up_id=str(found.id))

    assert [row["state"] for row in world.instance.incidents] == ["1"]
    assert world.now - killed_at < timedelta(seconds=30)


def test_what_was_found_in_azures_list_is_left_to_a_wake_up(world: Rig) -> None:
    later = Later()
    reconciler = one_slot(world, line=1, background=later)

    outcome = world.receive(notification().found("It was found."), reconciler).outcome

    assert (outcome, later.begun, world.messages()) == (Outcome.ACCEPTED, [], 1)
