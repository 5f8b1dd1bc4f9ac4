"""Stories that the simulator found: each is the shortest one that once ended with a lost or doubled alert."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Unavailable, Unconfirmed
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.ports import LinkEnd
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from itsm_bridge.reconcile.record import MOST_CREATIONS, SETTLE_TIME
from itsm_bridge.rules.ruling import Lifecycle
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM, IncidentState
from itsm_bridge.servicenow.target import ServiceNow
from proof.simulator.memory import MemoryIncidents, MemoryInstance, MemoryStore, MemoryWakeUps, Row, SysIds
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, incident, notification, resolved

Disturbance = Callable[[Callable[[], Any]], Any]


class AtOnce:
    """Does work of the background before its caller goes on."""

    waiting = 0

    def begin(self, work: Callable[[], None]) -> bool:
        work()
        return True

    hand_over = begin


@dataclass(kw_only=True)
class World:
    """One reconciler over memory; the next calls can be disturbed, and time passes by hand."""

    sys_ids: SysIds = SysIds.HONOURED
    protects_closed: bool = True
    rejects_duplicates: bool = False
    now: datetime = NOW
    disturbed: dict[str, list[Disturbance]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.instance = MemoryInstance(
            now=self.clock,
            sys_ids=self.sys_ids,
            protects_closed=self.protects_closed,
            rejects_duplicates=self.rejects_duplicates,
        )
        self.store = MemoryStore()
        self.wakeups = MemoryWakeUps(now=self.clock)
        self.reconciler = self.restart()

    def clock(self) -> datetime:
        return self.now

    def _seconds(self) -> float:
        return self.now.timestamp()

    def restart(self) -> Reconciler:
        """Let another process take over."""
        self.circuit = Circuit(slots=4, now=self.clock)
        self.reconciler = Reconciler(
            store=_Disturbed(self.store, self.disturbed),
            wakeups=self.wakeups,
            target=ServiceNow(
                _Disturbed(MemoryIncidents(self.instance), self.disturbed)  # type: ignore[arg-type] # the same methods
            ),
            circuit=self.circuit,
            background=AtOnce(),
            retry_horizon=timedelta(hours=72),
            retention=timedelta(days=90),
            now=self.clock,
            clock=self._seconds,
        )
        return self.reconciler

    def disturb(self, method: str, *disturbances: Disturbance) -> None:
        """Let the next calls of a method be these."""
        self.disturbed.setdefault(method, []).extend(disturbances)

    def receive(self, said: News) -> str:
        return str(self.reconciler.take(said, deadline=Deadline.after(INLINE_BUDGET, clock=self._seconds)).outcome)

    def pass_time(self, span: timedelta) -> None:
        """Let time pass; each wake-up comes when it is due, resync every five minutes."""
        end = self.now + span
        next_resync = self.now
        while True:
            due = min((each.visible_at for each in self.wakeups.messages.values()), default=end)
            self.now = max(self.now, min(due, next_resync, end))
            if self.now >= end:
                return
            if next_resync <= self.now:
                self.reconciler.resync()
                next_resync += 5 * MINUTE
            for message in [each for each in self.wakeups.messages.values() if each.visible_at <= self.now]:
                del self.wakeups.messages[message.message_id]
                self.reconciler.reconcile(message.key, wake_up_id=message.message_id)

    def settle(self) -> None:
        """Let time pass until the doubt of a write is over and its retry has come."""
        self.pass_time(SETTLE_TIME + 15 * MINUTE)

    @property
    def rows(self) -> list[Row]:
        return self.instance.of(KEY)

    @property
    def states(self) -> list[int]:
        return [row.state for row in self.rows]

    def notes(self) -> int:
        """Return how many notes of ours there are, by their marks."""
        return sum(text.count("(ref ") for row in self.rows for text in row.journal)


class _Disturbed:
    def __init__(self, target: object, disturbed: Mapping[str, list[Disturbance]]) -> None:
        self._target = target
        self._disturbed = disturbed

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not self._disturbed.get(name):
            return value
        disturbance = self._disturbed[name].pop(0)
        return lambda *args, **kwargs: disturbance(lambda: value(*args, **kwargs))


def unconfirmed(call: Callable[[], Any]) -> Any:
    """It takes effect, and the answer is lost."""
    call()
    raise Unconfirmed("no answer")


def unconfirmed_and_undone(_: Callable[[], Any]) -> Any:
    """It takes no effect, and nobody knows."""
    raise Unconfirmed("no answer")


def under_way(late: list[Callable[[], Any]]) -> Disturbance:
    """It has no effect before what it adds to `late` is called, and the answer is lost."""

    def disturbed(call: Callable[[], Any]) -> Any:
        late.append(call)
        raise Unconfirmed("no answer")

    return disturbed


def unavailable(_: Callable[[], Any]) -> Any:
    raise Unavailable("down")


ITEM = LinkEnd(id="c1" * 16, reason="Configuration item: vm-web-01.")


def fired_anew(hours: int) -> News:
    return notification(at=NOW + hours * HOUR, digest=f"fired {hours}", note=f"Fired again, {hours}.")


def test_a_third_generation_is_not_taken_for_the_first() -> None:
    world = World()
    for hours in (0, 1):
        world.receive(fired_anew(hours))
        world.rows[-1].state = 7
    world.restart()
    world.disturb("create", unconfirmed_and_undone)

    world.receive(fired_anew(2))
    world.settle()

    assert world.states == [7, 7, 1]


def test_an_incident_that_people_deleted_comes_once_when_its_alert_fires_anew() -> None:
    world = World(sys_ids=SysIds.IGNORED)
    world.receive(notification())
    world.instance.rows.clear()
    world.disturb("create", unconfirmed)

    world.receive(fired_anew(1))
    world.settle()

    assert world.states == [1]


def test_notes_of_a_creation_that_is_found_by_correlation_are_not_written_again() -> None:
    world = World(sys_ids=SysIds.IGNORED)
    world.disturb("create", unconfirmed_and_undone)
    world.receive(notification())
    world.receive(fired_anew(1))

    def created_and_gone(call: Callable[[], Any]) -> Any:
        world.disturb("search", *[unavailable] * 2)
        return unconfirmed(call)

    world.disturb("create", created_and_gone)
    world.settle()
    world.settle()

    assert (world.states, world.notes()) == ([1], 1)


def test_an_incident_that_was_seen_and_then_deleted_is_not_made_again() -> None:
    world = World()
    world.receive(notification())
    world.settle()
    world.disturb("create", unconfirmed)
    world.disturb("find", unavailable)
    world.rows[0].state = 7
    world.receive(fired_anew(1))
    world.disturb("find", lambda call: call(), unavailable)
    world.receive(resolved(at=NOW + 2 * HOUR))
    world.disturb("close_code", unavailable)
    world.pass_time(MINUTE)
    del world.instance.rows[world.rows[-1].sys_id]

    world.settle()

    assert world.states == [7]


def test_what_an_unconfirmed_write_stored_is_not_taken_for_the_work_of_people() -> None:
    world = World()
    world.receive(notification())
    world.disturb("update", unconfirmed)
    world.disturb("find", lambda call: call(), unavailable)
    changed = {**notification().content.fields, "urgency": "3"}
    world.receive(notification(digest="better", facts={"Severity": "Sev3"}, fields=changed))
    changed = {**notification().content.fields, "urgency": "1"}
    world.receive(notification(digest="worse", facts={"Severity": "Sev0"}, fields=changed))

    world.settle()

    assert world.rows[0].fields["urgency"] == "1"


@pytest.mark.parametrize("state", [6, 7])
def test_a_person_who_ends_the_incident_while_it_is_updated_does_not_end_the_new_firing(state: int) -> None:
    world = World(protects_closed=False)
    world.receive(notification())

    def ended(call: Callable[[], Any]) -> Any:
        world.rows[0].state = state
        return call()

    world.disturb("update", ended)
    world.receive(fired_anew(1))
    world.settle()

    assert world.states == {6: [2], 7: [7, 1]}[state]


def test_what_is_said_while_its_incident_changes_is_judged_by_the_incident_as_it_is() -> None:
    world = World()
    world.receive(notification())
    world.receive(resolved())

    def reopened_and_ended(call: Callable[[], Any]) -> Any:
        world.rows[0].state = 2
        world.receive(resolved(at=NOW + 3 * HOUR, digest="resolved again"))
        return call()

    # Fired and resolved anew, by people and by Azure Monitor, while the row of an update is being written.
    world.disturb("replace", lambda call: call(), reopened_and_ended)
    world.receive(resolved(at=NOW + 2 * HOUR, digest="resolved late"))
    world.settle()

    assert world.states == [6]


def test_a_wake_up_that_comes_while_the_row_is_leased_comes_back_soon() -> None:
    world = World()
    world.receive(notification(key="a1" * 32))
    world.disturb("create", unavailable, unavailable)
    world.receive(notification())
    world.disturb("replace", lambda call: call(), unavailable)
    message = next(iter(world.wakeups.messages))
    world.now += 12 * SECOND
    with pytest.raises(Unavailable):
        world.reconciler.reconcile(KEY, wake_up_id=message)

    world.pass_time(2 * MINUTE)

    assert world.states == [1]


def test_a_closed_incident_from_before_the_row_was_purged_does_not_stand_for_the_new_firing() -> None:
    world = World(rejects_duplicates=True)
    world.receive(notification())
    world.rows[0].state = 7
    row = world.store.read(KEY)
    assert row is not None
    world.store.delete(row)
    world.now += timedelta(days=100)

    world.receive(notification(at=world.now))
    world.settle()

    assert world.states == [7, 1]


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("rejects_duplicates", [False, True])
def test_a_row_after_one_with_many_generations_has_its_incident_soon(
    *, is_known: bool, rejects_duplicates: bool
) -> None:
    """Whether it is known that the instance keeps our ids or not."""
    world = World(rejects_duplicates=rejects_duplicates)
    for hours in range(30):
        world.receive(fired_anew(hours))
        world.rows[-1].state = IncidentState.CLOSED
        world.now += HOUR
    row = world.store.read(KEY)
    assert row is not None
    world.store.delete(row)
    world.now += timedelta(days=100)
    world.restart()
    if is_known:
        world.receive(notification(key="a1" * 32))

    world.receive(notification(at=world.now))
    world.pass_time(MINUTE)

    assert world.states == [*[IncidentState.CLOSED] * 30, IncidentState.NEW]


@pytest.mark.parametrize("state", [IncidentState.RESOLVED, IncidentState.CLOSED])
def test_an_incident_from_before_the_row_was_purged_is_not_taken_for_a_creation_in_doubt(state: int) -> None:
    world = World(sys_ids=SysIds.IGNORED)
    world.receive(notification())
    world.rows[0].state = state
    row = world.store.read(KEY)
    assert row is not None
    world.store.delete(row)
    world.now += timedelta(days=100)
    late: list[Callable[[], Any]] = []
    world.disturb("create", under_way(late))

    world.receive(notification(at=world.now))
    world.pass_time(MINUTE)
    late[0]()
    world.settle()

    assert world.states == [state, IncidentState.NEW]


def test_a_change_in_doubt_does_not_reach_the_incident_that_replaces_a_deleted_one() -> None:
    world = World()
    world.receive(notification())
    late: list[Callable[[], Any]] = []

    def lost_on_its_way(call: Callable[[], Any]) -> Any:
        late.append(call)
        world.instance.rows.clear()
        raise Unconfirmed("no answer")

    world.disturb("update", lost_on_its_way)
    world.receive(fired_anew(1))
    world.pass_time(MINUTE)
    for call in late:
        with suppress(Conflict):
            call()
    world.settle()

    assert (world.states, world.notes()) == ([1], 1)


def unconfirmed_and_closed(world: World) -> Disturbance:
    """It takes effect, a person closes the incident, and the answer is lost."""

    def disturbed(call: Callable[[], Any]) -> Any:
        call()
        world.rows[-1].state = IncidentState.CLOSED
        raise Unconfirmed("no answer")

    return disturbed


@pytest.mark.parametrize("sys_ids", [SysIds.IGNORED, SysIds.HONOURED])
def test_an_incident_that_replaces_one_deleted_while_a_change_was_in_doubt_is_made_once(sys_ids: SysIds) -> None:
    world = World(sys_ids=sys_ids)
    world.receive(notification())

    def lost_and_deleted(_: Callable[[], Any]) -> Any:
        world.instance.rows.clear()
        raise Unconfirmed("no answer")

    world.disturb("update", lost_and_deleted)
    world.disturb("create", unconfirmed_and_closed(world))
    world.receive(fired_anew(1))
    world.settle()
    world.settle()

    assert world.states == [IncidentState.CLOSED]


def test_a_person_who_closes_what_the_second_creation_made_has_seen_both_firings() -> None:
    world = World(sys_ids=SysIds.IGNORED)
    world.disturb("create", unconfirmed_and_undone, unconfirmed_and_closed(world))
    world.receive(notification())
    world.receive(fired_anew(1))
    world.settle()
    world.settle()

    assert world.states == [IncidentState.CLOSED]


def test_a_person_who_closes_what_a_creation_repeated_in_doubt_made_has_seen_both_firings() -> None:
    world = World()
    world.receive(notification(key="a1" * 32))
    world.disturb("create", unconfirmed_and_undone)
    world.disturb("find", unavailable)
    world.receive(notification())
    world.disturb("create", unconfirmed_and_closed(world))
    world.receive(fired_anew(1))
    world.settle()

    assert world.states == [IncidentState.CLOSED]


def test_processes_that_differ_on_whose_sys_id_is_kept_make_one_incident() -> None:
    world = World()
    knowing = world.reconciler
    world.receive(notification(key="a1" * 32))
    world.restart()
    world.disturb("create", unconfirmed_and_undone)
    world.receive(notification())

    def created_and_handed_over(call: Callable[[], Any]) -> Any:
        world.disturb("search", unavailable)
        world.reconciler = knowing
        return unconfirmed(call)

    world.disturb("create", created_and_handed_over)
    world.settle()
    world.settle()

    assert world.states == [1]


def test_the_note_about_the_item_of_a_creation_whose_answer_was_lost_is_not_written_again() -> None:
    row = first_record(notification(resources=("vm-web-01",)), NOW)
    sent = row.linked(CONFIGURATION_ITEM, ITEM)
    found = incident(journal=sent.work.notes[0].marked(KEY), links={CONFIGURATION_ITEM: ITEM.id})

    # The process died with what it knew of the item; the next one looks at the incident first.
    after = row.seen(found).linked(CONFIGURATION_ITEM, ITEM)

    assert (after.observed.links, after.work.notes) == ({CONFIGURATION_ITEM: ITEM.id}, ())


def test_a_wake_up_does_not_overtake_the_row_that_is_to_count_on_it() -> None:
    world = World()
    world.circuit.pause(MINUTE)
    world.receive(notification())
    world.pass_time(SECOND)
    (postponed,) = world.wakeups.messages.values()
    world.circuit.pause(postponed.visible_at - world.now + SECOND)

    def slow(call: Callable[[], Any]) -> Any:
        world.pass_time(2 * SECOND)
        return call()

    world.disturb("replace", slow)
    world.pass_time(2 * MINUTE)

    assert world.states == [1]


def test_a_row_does_not_count_on_a_wake_up_that_came_while_its_worker_stood_still() -> None:
    world = World()
    world.circuit.pause(SECOND)
    world.receive(notification())
    world.now += 2 * SECOND

    def stands_still(call: Callable[[], Any]) -> Any:
        """The wake-up of the next attempt comes, finds the row leased, and comes back at the end of the lease."""
        world.pass_time(20 * SECOND)
        return call()

    world.disturb("create", unavailable)
    world.disturb("replace", lambda call: call(), stands_still)
    world.pass_time(MINUTE)

    assert world.states == [1]


def test_news_that_come_while_an_attempt_fails_do_not_wait_for_the_next_one() -> None:
    world = World()

    def ends_meanwhile(_: Callable[[], Any]) -> Any:
        world.receive(resolved())
        raise Unavailable("down")

    world.disturb("create", *[unavailable] * 5, ends_meanwhile)
    world.receive(notification())
    while world.disturbed["create"]:
        world.pass_time(SECOND)
    world.pass_time(MINUTE)

    assert world.states == [6]


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_webhook_that_is_answered_503_over_a_row_with_its_lease_leaves_no_doubt(is_slow: bool) -> None:
    """Nothing was sent to the target under that lease, so no write can be under way."""
    world = World()
    world.receive(notification())

    def too_late(call: Callable[[], Any]) -> Any:
        world.now += INLINE_BUDGET
        return call()

    def unanswered(call: Callable[[], Any]) -> Any:
        call()
        raise Unavailable("the table did not answer")

    world.disturb("replace", too_late if is_slow else unanswered)
    with pytest.raises(Unavailable):
        world.receive(resolved())
    world.receive(resolved())
    world.pass_time(5 * SECOND)

    assert (world.states, world.notes()) == ([6], 1)


@pytest.mark.parametrize("is_written", [False, True])
def test_a_worker_that_cannot_write_down_what_it_did_leaves_no_doubt(is_written: bool) -> None:
    """It knows that the target confirmed its write, so what is newer has nothing to wait for."""
    world = World()
    world.receive(notification())

    def unanswered(call: Callable[[], Any]) -> Any:
        if is_written:
            call()
        raise Unavailable("the table did not answer")

    world.disturb("replace", lambda call: call(), unanswered)
    assert world.receive(resolved()) == "accepted"
    world.pass_time(SECOND)
    world.receive(fired_anew(1))
    world.pass_time(10 * SECOND)

    assert (world.states, world.notes()) == ([2], 2)


def test_a_wake_up_that_fails_over_a_row_with_its_lease_leaves_no_doubt() -> None:
    world = World()
    world.circuit.pause(SECOND)
    world.receive(notification())
    world.now += 2 * SECOND

    def unanswered(call: Callable[[], Any]) -> Any:
        call()
        raise Unavailable("the table did not answer")

    world.disturb("replace", unanswered)
    with pytest.raises(Unavailable):
        world.reconciler.reconcile(KEY, wake_up_id="any")
    world.reconciler.reconcile(KEY, wake_up_id="any")

    row = world.store.read(KEY)
    assert row is not None
    assert (world.states, row.is_settled, row.observed.in_doubt_until) == ([1], True, None)


def test_a_damaged_row_is_not_replaced_by_what_says_nothing() -> None:
    world = World()
    world.receive(notification(signal=""))
    world.store.change_document(KEY, lambda text: text[:-9])

    outcome = world.receive(notification(signal="", opens=False, digest="neutral", at=NOW + MINUTE))

    assert (outcome, world.store.aside) == ("unchanged", [])
    world.receive(notification(signal="", digest="worse", at=NOW + HOUR))
    assert (len(world.store.aside), world.states) == (1, [1])


def test_a_creation_in_doubt_is_looked_for_although_no_other_incident_may_be_created_yet() -> None:
    world = World(sys_ids=SysIds.IGNORED)
    for number in range(MOST_CREATIONS - 1):
        world.receive(fired_anew(number))
        world.rows[-1].state = IncidentState.CLOSED
        world.now += SECOND
    late: list[Callable[[], Any]] = []
    world.disturb("create", under_way(late))
    world.receive(fired_anew(MOST_CREATIONS))
    world.receive(resolved(at=NOW + 9 * HOUR))
    world.pass_time(MINUTE)
    late[0]()

    world.settle()

    assert world.states == [*[IncidentState.CLOSED] * (MOST_CREATIONS - 1), IncidentState.RESOLVED]


@pytest.mark.parametrize(("write", "look"), [("create", "search"), ("update", "find")])
def test_what_was_seen_before_the_end_of_a_doubt_does_not_count_after_it(write: str, look: str) -> None:
    world = World(sys_ids=SysIds.IGNORED)
    late: list[Callable[[], Any]] = []
    words = [notification(), fired_anew(1)] if write == "update" else [notification()]
    for word in words:
        world.disturb(write, *[under_way(late)] if word is words[-1] else [])
        world.receive(word)

    def slow(call: Callable[[], Any]) -> Any:
        """The write in doubt takes effect right after the look, and the doubt is over before the look is answered."""
        found = call()
        late[0]()
        world.now += SECOND
        return found

    world.pass_time(SETTLE_TIME - SECOND / 2)
    world.disturb(look, slow)
    world.receive(notification(at=NOW + 2 * HOUR, digest="worse", facts={"Severity": "Sev0"}))
    world.settle()

    assert (world.states, world.notes()) == ([IncidentState.NEW], len(words))


class TestRestored:
    """A row that took the place of a damaged one does not know for which firing its incident was made."""

    def damaged(self, *words: News, state: int | None = None) -> World:
        """Return a world whose row is damaged ten minutes after these words; `state` is what people made of them."""
        world = World()
        for word in words:
            world.receive(word)
            world.rows[-1].state = state or world.rows[-1].state
            world.now += 10 * MINUTE
        world.store.change_document(KEY, lambda text: text[:-9])
        return world

    @pytest.mark.parametrize("disturbance", [unavailable, unconfirmed_and_undone])
    def test_a_firing_is_told_although_the_incident_could_not_be_reopened_at_once(
        self, disturbance: Disturbance
    ) -> None:
        world = self.damaged(notification(), resolved())
        world.disturb("update", disturbance)

        world.receive(fired_anew(1))
        world.settle()

        assert world.states == [IncidentState.IN_PROGRESS]

    def test_a_firing_after_an_end_is_told(self) -> None:
        world = self.damaged(notification())
        world.receive(resolved())
        world.settle()
        assert world.states == [IncidentState.RESOLVED]

        world.receive(fired_anew(1))

        assert world.states == [IncidentState.IN_PROGRESS]

    def test_no_closed_incident_of_the_lost_row_stands_for_the_new_firing(self) -> None:
        closed = IncidentState.CLOSED
        world = self.damaged(notification(), fired_anew(1), state=closed)

        world.receive(fired_anew(2))
        world.settle()

        assert world.states == [closed, closed, IncidentState.NEW]

    def test_a_note_is_not_taken_for_one_of_the_lost_row(self) -> None:
        world = self.damaged(notification(), resolved())
        world.receive(fired_anew(1))
        world.disturb("update", unconfirmed_and_undone)

        world.receive(resolved(at=NOW + 2 * HOUR, note="It is over again."))
        world.settle()

        assert "It is over again." in world.rows[0].journal[-1]

    def test_an_incident_that_followed_a_resolved_one_is_no_double_of_it(self) -> None:
        never = Lifecycle(reopen_within=timedelta(0))
        words = [replace(word, lifecycle=never) for word in (notification(), resolved(), fired_anew(1), fired_anew(2))]
        world = self.damaged(*words[:-1])

        world.receive(words[-1])
        world.settle()

        assert world.states == [IncidentState.RESOLVED, IncidentState.NEW]

    def test_an_incident_that_comes_after_the_end_is_resolved(self) -> None:
        world = World()
        late: list[Callable[[], Any]] = []
        world.disturb("create", under_way(late))
        world.disturb("find", unavailable)
        world.receive(notification())
        world.store.change_document(KEY, lambda text: text[:-9])

        world.receive(resolved())
        late[0]()
        world.settle()

        assert world.states == [IncidentState.RESOLVED]


def test_the_end_by_our_clock_that_comes_late_does_not_end_the_next_firing() -> None:
    world = World()
    lifecycle = Lifecycle(close_after=HOUR)
    world.receive(replace(notification(), lifecycle=lifecycle))
    world.now += HOUR
    world.reconciler.resync()
    late: list[Callable[[], Any]] = []
    world.disturb("update", under_way(late))
    world.disturb("find", lambda call: call(), unavailable)
    while not late:
        world.pass_time(SECOND)
    # A person is faster.
    world.rows[0].turn(IncidentState.RESOLVED, world.now)
    world.pass_time(MINUTE)

    world.receive(replace(fired_anew(2), lifecycle=lifecycle))
    late[0]()
    world.settle()

    assert world.states == [IncidentState.IN_PROGRESS]


class TestIntentOfASuccessor:
    """The row must say that another incident follows before it is created, on an instance that keeps no sys_id."""

    def closed(self) -> tuple[World, Reconciler, Reconciler]:
        """Return a world whose incident is closed, and two processes of it."""
        world = World(sys_ids=SysIds.IGNORED)
        first = world.reconciler
        world.receive(notification())
        world.rows[0].state = IncidentState.CLOSED
        world.pass_time(SECOND)
        second = world.restart()
        world.reconciler = first
        return world, first, second

    def test_a_worker_whose_intent_never_comes_through_creates_nothing(self) -> None:
        world, first, second = self.closed()

        def raced(number: int) -> Disturbance:
            def call_after_a_webhook(call: Callable[[], Any]) -> Any:
                others, world.disturbed["replace"] = world.disturbed["replace"], []
                world.reconciler = second
                at = NOW + HOUR + 3 * number * SECOND
                world.receive(notification(at=at, digest=f"fired {number}", note=f"Fired {number}."))
                world.disturbed["replace"], world.reconciler = others, first
                return call()

            return call_after_a_webhook

        world.disturb("replace", lambda call: call(), *(raced(number) for number in range(1, 13)))
        world.receive(fired_anew(1))
        assert world.states == [IncidentState.CLOSED]

        world.restart()
        world.settle()

        assert world.states == [IncidentState.CLOSED, IncidentState.NEW]

    def test_a_worker_whose_lease_was_taken_over_creates_nothing(self) -> None:
        world, _, second = self.closed()
        ahead = 20 * SECOND
        second._now = second._worker._now = second._worker._endings._now = lambda: world.now + ahead

        def taken_over(call: Callable[[], Any]) -> Any:
            row = world.store.read(KEY)
            assert row is not None
            second.reconcile(KEY, wake_up_id=row.work.wake_up_id)
            return call()

        world.disturb("replace", lambda call: call(), taken_over)
        world.receive(fired_anew(1))
        world.settle()

        assert world.states == [IncidentState.CLOSED, IncidentState.NEW]
