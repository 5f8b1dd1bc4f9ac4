import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import NewerVersion, Unavailable
from itsm_bridge.reconcile.attempt import Outcome
from itsm_bridge.reconcile.backoff import LAST_RETRY
from itsm_bridge.reconcile.circuit import WAKE_UPS_FIRST
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET
from itsm_bridge.reconcile.record import SETTLE_TIME, Record
from itsm_bridge.reconcile.resync import SCOUTS
from itsm_bridge.reconcile.sweep import LOOK_AGAIN
from itsm_bridge.reconcile.work import WAKE_UP_GRACE
from itsm_bridge.storage.row_format import ASIDE, VERSION, is_key
from local.azurite import Azurite
from local.servicenow import faults
from local.servicenow.demo_cmdb import arm_id, ci_sys_id
from local.servicenow.glide import SysIds
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, notification, resolved
from tests.rig import Rig, rig


@pytest.fixture
def world(azurite: Azurite) -> Iterator[Rig]:
    with rig(azurite) as made:
        yield made


def calls(world: Rig) -> list[str]:
    return ["BATCH" if call.table == "batch" else call.method for call in world.instance.calls]


def states(world: Rig) -> list[str]:
    return [row["state"] for row in world.instance.incidents]


class TestReceive:
    """A notification comes and there is room."""

    def test_a_new_alert_costs_one_call_and_leaves_no_wake_up(self, world: Rig) -> None:
        result = world.receive(notification())

        assert (result.outcome, calls(world), states(world)) == (Outcome.CREATED, ["POST"], ["1"])
        assert (world.row().is_settled, world.row().work.lease_holder, world.messages()) == (True, "", 0)

    def test_a_repetition_costs_nothing(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.forget_calls()

        result = world.receive(notification())

        assert (result.outcome, calls(world), world.messages()) == (Outcome.UNCHANGED, [], 0)
        assert result.record.observed.number == world.instance.incidents[0]["number"]

    def test_the_incident_is_ours_by_key(self, world: Rig) -> None:
        world.receive(notification())

        (row,) = world.instance.incidents
        assert (row["correlation_id"], row["sys_id"]) == (KEY, world.row().observed.incident_id)

    def test_a_new_generation_names_the_closed_incident(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.close(world.row().observed.incident_id)

        result = world.receive(notification(at=NOW + HOUR))

        old, new = world.instance.incidents
        assert (result.outcome, old["state"], new["state"]) == (Outcome.CREATED, "7", "1")
        assert old["number"] in world.instance.notes(new["sys_id"])[0]

    def test_a_resolved_incident_is_reopened_with_a_note(self, world: Rig) -> None:
        for each in (notification(), resolved()):
            world.receive(each)

        result = world.receive(notification(at=NOW + HOUR))

        assert (result.outcome, states(world)) == (Outcome.REOPENED, ["2"])
        assert "fired again" in world.instance.notes(world.row().observed.incident_id)[1]

    def test_the_end_of_an_alert_whose_row_was_lost_still_resolves_its_incident(self, world: Rig) -> None:
        world.receive(notification())
        world.store.delete(world.row())

        result = world.receive(resolved())

        assert (result.outcome, states(world)) == (Outcome.RESOLVED, ["6"])

    def test_an_alert_that_fires_after_its_row_was_lost_is_not_doubled(self, world: Rig) -> None:
        world.receive(notification())
        world.store.delete(world.row())

        world.receive(notification())

        assert states(world) == ["1"]

    def test_our_incident_is_ours_whatever_another_integration_made_of_its_correlation_id(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.edit(world.row().observed.incident_id, {"correlation_id": "VENDOR-4711"})

        result = world.receive(resolved())

        assert (result.outcome, states(world)) == (Outcome.RESOLVED, ["6"])

    def test_an_incident_that_people_deleted_is_not_made_again(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.delete(world.row().observed.incident_id)

        result = world.receive(resolved())

        assert (result.outcome, states(world)) == (Outcome.UNCHANGED, [])


class TestBinding:
    """The incident is linked to its configuration item; a slow CMDB delays nothing but the link."""

    def on_a_vm(self, **changes: Any) -> News:
        return notification(resources=(arm_id("Microsoft.Compute/virtualMachines/vm-web-02"),), **changes)

    def test_a_new_incident_has_its_item_and_says_why(self, world: Rig) -> None:
        world.receive(self.on_a_vm())

        (row,) = world.instance.incidents
        assert row["cmdb_ci"] == ci_sys_id("vm-web-02")
        assert "vm-web-02" in world.story()[0][1][0]
        assert calls(world).count("POST") == 1
        assert "PATCH" not in calls(world)

    def test_the_next_incident_of_the_same_resource_costs_one_call(self, world: Rig) -> None:
        world.receive(self.on_a_vm())
        world.instance.forget_calls()

        world.receive(self.on_a_vm(key="a1" * 32))

        assert calls(world) == ["POST"]

    def test_a_cmdb_that_does_not_answer_delays_nothing_but_the_binding(self, world: Rig) -> None:
        world.instance.faults.add(
            faults.node_failed(status=503), times=None, when=lambda request: request.table.startswith("cmdb")
        )
        first = world.receive(self.on_a_vm())
        unbound = world.instance.incidents[0]["cmdb_ci"]
        repeated = world.receive(self.on_a_vm())
        world.instance.faults.clear()
        world.drain()

        assert (first.outcome, unbound, repeated.outcome) == (Outcome.CREATED, "", Outcome.UNCHANGED)
        assert world.instance.incidents[0]["cmdb_ci"] == ci_sys_id("vm-web-02")
        assert states(world) == ["1"]

    def test_a_cmdb_that_never_answers_is_given_up(self, world: Rig) -> None:
        world.instance.faults.add(
            faults.node_failed(status=503), times=None, when=lambda request: request.table.startswith("cmdb")
        )
        world.receive(self.on_a_vm())
        world.drain()

        assert "did not answer" in world.story()[0][1][0]
        assert (world.row().work.is_parked, world.row().awaits_work) == (False, False)

    def test_an_outage_does_not_use_up_the_attempts_at_the_binding(self, world: Rig) -> None:
        world.instance.faults.add(faults.node_failed(status=503), times=None)
        world.receive(self.on_a_vm())
        for _ in range(8):
            world.now += HOUR
            world.wake()
        world.instance.faults.clear()
        # The instance comes back slowly.
        world.instance.faults.add(
            faults.node_failed(status=503), times=3, when=lambda request: request.table.startswith(("cmdb", "batch"))
        )
        world.drain()

        [row] = world.instance.incidents
        assert row["cmdb_ci"] == ci_sys_id("vm-web-02")

    def test_after_an_outage_an_incident_is_born_with_the_item_that_the_instance_demands(self, world: Rig) -> None:
        world.instance.switches.mandatory_always = ("cmdb_ci",)
        world.instance.faults.add(faults.node_failed(status=503), times=None)
        world.receive(self.on_a_vm())
        for _ in range(8):
            world.now += HOUR
            world.wake()
        world.instance.faults.clear()
        # The CMDB comes back later than the incidents.
        world.instance.faults.add(
            faults.node_failed(status=503), times=3, when=lambda request: request.table.startswith(("cmdb", "batch"))
        )
        world.drain()

        [row] = world.instance.incidents
        assert row["cmdb_ci"] == ci_sys_id("vm-web-02")
        assert not world.row().work.is_parked

    def test_what_a_person_bound_is_left_alone(self, world: Rig) -> None:
        world.instance.faults.add(
            faults.node_failed(status=503), times=None, when=lambda request: request.table.startswith("cmdb")
        )
        world.receive(self.on_a_vm())
        mine = ci_sys_id("vm-web-01")
        world.instance.edit(world.row().observed.incident_id, {"cmdb_ci": mine})
        world.instance.faults.clear()
        world.drain()

        assert world.instance.incidents[0]["cmdb_ci"] == mine

    def test_the_incident_that_follows_a_closed_one_is_bound_too(self, world: Rig) -> None:
        world.receive(self.on_a_vm())
        world.instance.close(world.row().observed.incident_id)

        world.receive(self.on_a_vm(at=NOW + HOUR))

        assert [row["cmdb_ci"] for row in world.instance.incidents] == [ci_sys_id("vm-web-02")] * 2


class TestPurgedRow:
    """A key comes back whose row is gone and whose incident is closed: Resource Health does that."""

    @pytest.fixture
    def later(self, world: Rig) -> Rig:
        world.receive(notification())
        world.instance.close(world.row().observed.incident_id)
        world.store.delete(world.row())
        world.now = datetime.now(UTC) + timedelta(days=100)
        return world

    def test_it_gets_a_new_incident_at_once(self, later: Rig) -> None:
        result = later.receive(notification(at=later.now))

        assert (result.outcome, states(later)) == (Outcome.CREATED, ["7", "1"])

    def test_a_refusal_that_hides_the_closed_incident_does_not_pass_for_a_creation(self, later: Rig) -> None:
        later.instance.faults.add(faults.data_policy_violated("Caller"), method="POST", times=1)

        result = later.receive(notification(at=later.now))

        assert (result.outcome, states(later)) == (Outcome.CREATED, ["7", "1"])


class TestUnansweredStorage:
    """A row write that took effect and whose answer was lost."""

    def test_the_next_generation_is_not_taken_for_told(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.close(world.row().observed.incident_id)
        writes: list[Record] = []

        class Silent:
            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def replace(self, row: Record) -> Record:
                writes.append(row)
                written = world.store.replace(row)
                if len(writes) == 2:
                    raise Unavailable("no answer")
                return written

        reconciler = world.make(store=Silent())
        world.receive(notification(at=NOW + HOUR), reconciler)
        world.drain()

        assert writes[1].observed.generation == 2
        assert (states(world), world.row().observed.generation) == (["7", "1"], 2)

    @pytest.mark.parametrize("is_known", [False, True])
    def test_a_webhook_recognises_the_row_that_it_leased_itself(self, world: Rig, is_known: bool) -> None:
        # The library repeats a write that got no answer, and is told that the row exists or has changed.
        class Repeating:
            leases = 0

            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def insert(self, row: Record) -> Record:
                world.store.insert(row)
                return world.store.insert(row)

            def replace(self, row: Record) -> Record:
                written = world.store.replace(row)
                if row.work.lease_holder and not self.leases:
                    self.leases += 1
                    return world.store.replace(row)
                return written

        if is_known:
            world.receive(notification(at=NOW - HOUR))

        result = world.receive(notification(), world.make(store=Repeating()))

        assert result.outcome is (Outcome.UPDATED if is_known else Outcome.CREATED)
        assert (world.row().is_settled, world.row().observed.in_doubt_until, world.messages()) == (True, None, 0)

    def test_a_wake_up_recognises_the_row_that_it_leased_itself(self, world: Rig) -> None:
        class Repeating:
            leases = 0

            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def replace(self, row: Record) -> Record:
                written = world.store.replace(row)
                if row.work.lease_holder and not self.leases:
                    self.leases += 1
                    return world.store.replace(row)
                return written

        world.circuit.pause(MINUTE)
        world.receive(notification())
        world.now += 2 * MINUTE

        world.wake(reconciler=world.make(store=Repeating()))

        assert (states(world), world.row().is_settled) == (["1"], True)


class TestSlowStorage:
    """What could not be made durable in time is not promised."""

    def test_a_row_that_took_too_long_is_answered_503_and_found_by_the_repetition(self, world: Rig) -> None:
        class Slow:
            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def insert(self, row: Record) -> Record:
                world.now += 3 * SECOND
                return world.store.insert(row)

        reconciler = world.make(store=Slow())
        with pytest.raises(Unavailable, match="too slow"):
            reconciler.take(notification(), deadline=world.within(INLINE_BUDGET))

        assert world.messages() == 0
        assert world.receive(notification()).outcome is Outcome.ACCEPTED
        world.drain()
        assert states(world) == ["1"]


class TestNoRoom:
    """No slot is free, or ServiceNow asked us to wait."""

    def test_without_a_slot_the_alert_is_remembered_and_woken_at_once(self, world: Rig) -> None:
        with world.circuit.slot(wait=SECOND), world.circuit.slot(wait=SECOND):  # noqa: SIM117 - four of four
            with world.circuit.slot(wait=SECOND), world.circuit.slot(wait=SECOND):
                result = world.receive(notification())

        assert (result.outcome, calls(world), world.messages()) == (Outcome.ACCEPTED, [], 1)
        world.wake()
        assert (states(world), calls(world)) == (["1"], ["POST"])

    def test_a_pause_costs_no_calls(self, world: Rig) -> None:
        world.circuit.pause(HOUR)

        outcome = world.receive(notification()).outcome
        world.wake()
        world.wake()

        assert (outcome, calls(world)) == (Outcome.ACCEPTED, [])
        assert world.row().work.wake_up_at >= NOW + HOUR
        world.now += HOUR + MINUTE
        world.wake()
        assert states(world) == ["1"]

    def test_what_servicenow_asks_to_wait_the_whole_process_waits(self, world: Rig) -> None:
        world.instance.faults.add(faults.rate_limited(retry_after=600), method="POST", times=1)

        world.receive(notification())
        world.receive(notification(key="a1" * 32))

        assert calls(world) == ["POST"]
        assert world.circuit.paused_for() == timedelta(seconds=600)

    def test_the_wake_up_of_an_alert_that_has_to_wait_comes_no_earlier(self, world: Rig) -> None:
        world.instance.faults.add(faults.rate_limited(retry_after=600), method="POST", times=1)

        world.receive(notification())

        assert world.row().work.wake_up_at >= NOW + timedelta(seconds=600)

    def test_a_limit_on_reads_holds_up_links_and_no_incident(self, world: Rig) -> None:
        limit = faults.rate_limited(retry_after=3000)
        limits = [
            world.instance.faults.add(limit, method="GET", times=None),
            world.instance.faults.add(limit, table="batch", times=None),
        ]
        vm, keys = arm_id("Microsoft.Compute/virtualMachines/vm-web-01"), (KEY, "a1" * 32)

        outcomes = [world.receive(notification(key=key, resources=(vm,))).outcome for key in keys]

        assert outcomes == [Outcome.CREATED, Outcome.CREATED]
        assert [row["cmdb_ci"] for row in world.instance.incidents] == ["", ""]
        assert world.row().work.wake_up_at >= NOW + timedelta(seconds=3000)
        assert not world.circuit.paused_for()
        for each in limits:
            world.instance.faults.remove(each)
        for key in keys:
            world.drain(key)
        assert [row["cmdb_ci"] for row in world.instance.incidents] == [ci_sys_id("vm-web-01")] * 2

    def test_a_full_queue_of_servicenow_is_given_time_to_empty(self, world: Rig) -> None:
        world.instance.faults.add(faults.semaphores_exhausted(), method="POST", times=1)

        world.receive(notification())
        world.receive(notification(key="a1" * 32))

        assert calls(world) == ["POST"]
        assert timedelta(0) < world.circuit.paused_for() < MINUTE

    def test_never_more_calls_at_once_than_slots(self, azurite: Azurite) -> None:
        with rig(azurite, slots=2) as world:
            world.instance.delay = 0.05
            keys = [f"{number:02x}" * 32 for number in range(24)]
            with ThreadPoolExecutor(12) as pool:
                list(pool.map(lambda key: world.receive(notification(key=key)), keys))
            for key in keys:
                world.wake(key)

            assert world.instance.max_in_flight <= 2
            assert len(states(world)) == len(keys)


class TestFailure:
    """ServiceNow does not do what it is asked to."""

    def test_a_failure_is_retried_later_and_later(self, world: Rig) -> None:
        world.instance.stop()
        world.receive(notification())
        delays = []
        for _ in range(8):
            world.wake()
            delays.append(world.row().work.wake_up_at - world.now)
            world.now = world.row().work.wake_up_at

        assert delays[0] >= timedelta(seconds=15)
        assert all(later > sooner for sooner, later in pairwise(delays[:5]))
        assert LAST_RETRY <= delays[-1] <= LAST_RETRY + MINUTE * 2
        assert world.row().work.attempts == 9
        world.instance.start()
        world.wake()
        assert (states(world), world.row().work.attempts, world.row().work.last_error) == (["1"], 0, "")

    def test_beyond_the_horizon_it_is_parked(self, world: Rig) -> None:
        world.instance.stop()
        world.receive(notification())
        world.now += timedelta(hours=73)
        world.wake()

        row = world.row()
        assert (row.work.is_parked, row.awaits_work) == (True, False)
        assert "given up" in row.work.last_error

    def test_a_first_failure_after_a_long_time_without_us_is_no_reason_to_park(self, world: Rig) -> None:
        world.circuit.pause(timedelta(hours=100))
        world.receive(notification())
        world.now += timedelta(hours=101)
        world.instance.stop()
        world.wake()

        assert not world.row().work.is_parked

    def test_a_refusal_for_good_is_parked_at_once_with_its_reason(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.faults.add(
            faults.data_policy_violated("Resolution code", "Close notes"), method="PATCH", times=1
        )

        result = world.receive(resolved())

        row = world.row()
        assert (result.outcome, row.work.is_parked) == (Outcome.ACCEPTED, True)
        assert "Resolution code" in row.work.last_error
        world.instance.forget_calls()
        assert world.receive(resolved()).outcome is Outcome.ACCEPTED
        assert calls(world) == []

    def test_a_refusal_of_our_account_is_retried(self, world: Rig) -> None:
        world.instance.faults.add(faults.not_authenticated(), times=None)
        world.receive(notification())

        assert (world.row().work.is_parked, world.row().work.attempts) == (False, 1)

    def test_a_write_that_is_confirmed_without_effect_is_told_and_parked(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.switches.unwritable_columns.add("state")

        world.receive(resolved())

        assert world.row().work.is_parked
        assert calls(world).count("PATCH") == 2
        assert "could not be resolved" in world.instance.notes(world.row().observed.incident_id)[-1]

    def test_storage_that_fails_after_the_alert_was_remembered_is_no_reason_to_refuse_it(self, world: Rig) -> None:
        class Broken:
            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def replace(self, _: object) -> object:
                raise Unavailable("the table did not answer")

        reconciler = world.make(store=Broken())

        assert world.receive(notification(), reconciler).outcome is Outcome.ACCEPTED
        assert world.messages() == 1
        world.drain()
        assert states(world) == ["1"]


class TestOutage:
    """ServiceNow fails for everybody."""

    KEYS = ("a1" * 32, "b2" * 32, "c3" * 32)

    @pytest.fixture
    def away(self, world: Rig) -> Rig:
        world.instance.faults.add(faults.hibernating(), times=None)
        for key in self.KEYS:
            world.receive(notification(key=key))
        return world

    def test_an_alert_is_remembered_without_a_call(self, away: Rig) -> None:
        away.instance.forget_calls()

        outcome = away.receive(notification()).outcome
        away.wake()

        assert (outcome, calls(away)) == (Outcome.ACCEPTED, [])
        row = away.row()
        assert (row.work.failing_since, row.work.attempts) == (away.now, 0)
        assert "hibernates" in row.work.last_error
        assert row.work.wake_up_at > away.now + away.circuit.paused_for() - SECOND

    def test_while_it_lasts_no_message_waits_in_the_queue(self, away: Rig) -> None:
        for message in away.take():
            away.queue.delete_message(message)
        for key in ("d4" * 32, "e5" * 32):
            away.receive(notification(key=key))
        for message in away.take():
            away.reconciler.reconcile(str(message.content), wake_up_id=message.id)
            away.queue.delete_message(message)

        assert away.messages() == 0
        assert (away.row("d4" * 32).work.is_waiting, away.row("d4" * 32).awaits_work) == (True, True)

    def test_resync_tries_a_few_and_wakes_nobody_while_it_lasts(self, away: Rig) -> None:
        waiting = [f"{number:02x}" * 32 for number in range(16, 26)]
        for key in waiting:
            away.receive(notification(key=key))
            away.wake(key)
        away.now += 10 * MINUTE
        away.instance.forget_calls()
        before = away.messages()

        away.reconciler.resync()

        assert len(away.instance.calls) == SCOUTS
        assert away.messages() <= before + SCOUTS
        assert sum(away.row(key).work.is_waiting for key in waiting) == len(waiting) - SCOUTS

    def test_when_it_is_over_resync_wakes_all_what_was_never_tried_first_and_the_oldest_of_that(
        self, away: Rig
    ) -> None:
        waiting = ("d4" * 32, "e5" * 32, "f6" * 32, "a7" * 32, "b8" * 32, "c9" * 32)
        for key in waiting:
            away.receive(notification(key=key))
            away.wake(key)
            away.now += SECOND
        tried = away.row(waiting[0])
        away.store.replace(changed(tried, failing_since=NOW - 9 * HOUR, attempted_at=NOW - 8 * HOUR))
        away.instance.faults.clear()
        away.now += 10 * MINUTE

        away.reconciler.resync()

        assert states(away) == ["1"] * SCOUTS
        left = [away.row(key) for key in (*waiting[1 + SCOUTS :], waiting[0])]
        assert not any(row.work.is_waiting for row in left)
        assert [row.work.wake_up_at for row in left] == sorted(row.work.wake_up_at for row in left)
        assert {row.work.woken_at for row in left} == {away.now}

    def test_who_sees_it_end_wakes_the_others(self, away: Rig) -> None:
        away.receive(notification())
        away.wake()
        away.instance.faults.clear()
        away.now += MINUTE

        away.wake(self.KEYS[0])

        assert (away.row().work.is_waiting, away.row().work.woken_at) == (False, away.now)

    def test_the_first_success_opens_it_for_all(self, away: Rig) -> None:
        away.instance.faults.clear()
        away.now += MINUTE
        away.wake(self.KEYS[0])
        away.instance.forget_calls()

        assert away.receive(notification()).outcome is Outcome.CREATED
        assert calls(away) == ["POST"]

    def test_wake_ups_see_first_whether_it_is_back(self, away: Rig) -> None:
        away.now += MINUTE
        away.instance.forget_calls()

        outcome = away.receive(notification()).outcome
        tried = calls(away)
        away.instance.faults.clear()
        away.wake()

        assert (away.circuit.outage(), outcome, tried) == ("", Outcome.ACCEPTED, [])
        assert (calls(away), away.circuit.admits_webhooks) == (["POST"], True)

    def test_a_process_without_wake_ups_finds_out_by_itself(self, away: Rig) -> None:
        away.instance.faults.clear()
        away.now += MINUTE + WAKE_UPS_FIRST

        assert away.receive(notification()).outcome is Outcome.CREATED

    @pytest.mark.parametrize("fault", [faults.acl_exception(), faults.data_policy_violated("Caller")])
    def test_a_refusal_by_servicenow_itself_is_no_outage(self, world: Rig, fault: faults.Fault) -> None:
        world.instance.faults.add(fault, times=None, method="POST")
        world.instance.faults.add(fault, times=None, method="GET")
        for key in (*self.KEYS, "d4" * 32):
            world.receive(notification(key=key))

        assert world.circuit.admits_webhooks

    def test_a_refusal_for_good_says_that_servicenow_is_there(self, world: Rig) -> None:
        away, there = faults.hibernating(), faults.data_policy_violated("Caller")
        for number, fault in enumerate([away, away, there, away]):
            world.instance.faults.add(fault, method="POST", times=1)
            world.receive(notification(key=f"{number:02x}" * 32))

        assert world.circuit.admits_webhooks

    def test_an_incident_that_only_lacks_its_item_is_never_parked(self, world: Rig) -> None:
        world.instance.faults.add(
            faults.node_failed(status=503), times=None, when=lambda request: request.table.startswith("cmdb")
        )
        world.receive(notification(resources=(arm_id("Microsoft.Compute/virtualMachines/vm-web-02"),)))
        world.instance.faults.add(faults.hibernating(), times=None)
        world.store.replace(changed(world.row(), failing_since=NOW - timedelta(hours=73)))
        world.now += MINUTE
        world.wake()

        row = world.row()
        assert (row.is_settled, row.work.is_parked, row.awaits_work, states(world)) == (True, False, False, ["1"])

    def test_whoever_waited_beyond_the_horizon_gets_a_last_attempt_and_is_parked(self, away: Rig) -> None:
        away.receive(notification())
        away.wake()
        away.now += timedelta(hours=73)
        for key in self.KEYS:
            away.wake(key)
        away.instance.forget_calls()

        away.wake()

        assert away.circuit.outage()
        assert calls(away) == ["POST"]
        assert away.row().work.is_parked
        assert "given up" in away.row().work.last_error

    def test_a_doubt_that_somebody_left_outlasts_the_wait(self, away: Rig) -> None:
        away.receive(notification())
        away.store.replace(away.row().leased(holder="dead", now=NOW, until=NOW + SECOND))
        away.now += 5 * SECOND

        away.wake()

        assert away.row().work.leased_until == NOW + SECOND


class TestDoubt:
    """A write whose outcome is not known."""

    def test_a_creation_that_took_effect_is_found(self, world: Rig) -> None:
        world.instance.faults.add(faults.closed(executed=True), method="POST", times=1)

        result = world.receive(notification())

        assert (states(world), calls(world)) == (["1"], ["POST", "GET"])
        assert (result.outcome, world.row().is_settled) == (Outcome.UNCHANGED, True)

    def test_a_creation_that_did_not_is_made_again(self, world: Rig) -> None:
        world.receive(notification(key="a1" * 32))
        world.instance.faults.add(faults.closed(executed=False), method="POST", times=1)

        result = world.receive(notification())

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1", "1"])

    def test_a_note_that_arrived_is_not_written_again(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.faults.add(faults.closed(executed=True), method="PATCH", times=1)

        world.receive(notification(digest="worse", facts={"Severity": "Sev0"}))
        world.drain()

        assert len(world.story()[0][1]) == 1

    def test_a_change_that_may_still_arrive_is_repeated_at_once_and_its_note_when_it_must_have_arrived(
        self, world: Rig
    ) -> None:
        world.receive(notification())
        world.instance.faults.add(faults.closed(executed=False), method="PATCH", times=1)
        world.receive(resolved())
        at_once = world.story()
        world.instance.forget_calls()

        world.now = world.row().work.wake_up_at
        world.wake()

        assert at_once == [("6", ())]
        assert calls(world) == ["GET", "PATCH"]
        assert [(state, len(notes)) for state, notes in world.story()] == [("6", 1)]
        assert NOW + SETTLE_TIME < world.now <= NOW + SETTLE_TIME + 2 * SECOND

    def test_a_change_that_may_still_arrive_and_would_undo_a_newer_one_is_waited_for(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(resolved())
        world.instance.faults.add(faults.closed(executed=False), method="PATCH", times=2)
        world.receive(notification(at=NOW + 5 * MINUTE))
        world.instance.forget_calls()

        result = world.receive(resolved(at=NOW + 6 * MINUTE))
        at_once = calls(world)
        world.now = world.row().work.wake_up_at
        world.wake()

        # A reopening that arrives late would undo an end that was told before.
        assert (result.outcome, at_once) == (Outcome.ACCEPTED, ["GET"])
        assert world.now > NOW + SETTLE_TIME
        assert (world.row().is_settled, [(state, len(notes)) for state, notes in world.story()]) == (True, [("6", 3)])

    def test_a_change_without_a_note_that_was_repeated_stays_in_doubt_and_undoes_nothing_newer(
        self, world: Rig
    ) -> None:
        world.receive(notification(fields={"description": "90 %"}))
        world.instance.faults.add(faults.closed(executed=False), method="PATCH", times=1)
        world.receive(notification(digest="worse", note="", fields={"description": "95 %"}))
        sys_id = world.instance.incidents[0]["sys_id"]
        at_once = world.instance.incident(sys_id)["description"]

        world.receive(notification(digest="worst", note="", fields={"description": "99 %"}))
        # The write whose answer was lost arrives now.
        world.instance.edit(sys_id, {"description": "95 %"})
        world.drain()

        assert at_once == "95 %"
        assert world.instance.incident(sys_id)["description"] == "99 %"
        assert world.row().observed.in_doubt_until is None

    def test_a_creation_by_a_process_that_died_is_found_by_the_next(self, world: Rig) -> None:
        world.receive(notification())
        row = world.row()
        died = changed(
            row, incident_id="", number="", revision=0, told_firing_count=0, confirmed_values={}, lease_holder="dead"
        )
        world.store.replace(changed(died, leased_until=NOW + SECOND))
        world.now += MINUTE

        world.wake()

        assert (states(world), world.row().is_settled) == (["1"], True)


class TestInstancesWithSysIdsOfTheirOwn:
    """The slow, safe path: what is in doubt is searched for by its correlation id, and waited for."""

    def test_an_instance_that_ignores_our_sys_id_is_remembered_as_such(self, world: Rig) -> None:
        world.instance.switches.sys_ids = SysIds.IGNORED

        world.receive(notification())
        result = world.receive(resolved())

        assert world.incidents.honours_sys_id is False
        assert (result.outcome, states(world)) == (Outcome.RESOLVED, ["6"])
        assert world.row().observed.incident_id == world.instance.incidents[0]["sys_id"]

    @pytest.mark.parametrize("executed", [True, False])
    def test_a_creation_in_doubt_there_is_one_incident(self, world: Rig, executed: bool) -> None:
        world.instance.switches.sys_ids = SysIds.IGNORED
        world.instance.faults.add(faults.closed(executed=executed), method="POST", times=1)
        world.receive(notification())
        world.now = world.row().work.wake_up_at
        world.wake()
        too_early = len(states(world))
        world.drain()

        assert too_early == (1 if executed else 0)
        assert states(world) == ["1"]

    def test_a_creation_that_arrives_late_there_is_one_incident(self, world: Rig) -> None:
        world.instance.switches.sys_ids = SysIds.IGNORED
        world.instance.faults.add(faults.late_commit(after=0.3, closes=True), method="POST", times=1)
        world.receive(notification())
        world.now = world.row().work.wake_up_at
        world.wake()
        world.instance.wait_for_late_commits()
        world.drain()

        assert states(world) == ["1"]

    def test_of_two_incidents_the_oldest_stays_and_the_younger_is_resolved_as_a_duplicate(self, world: Rig) -> None:
        world.instance.switches.sys_ids = SysIds.IGNORED
        world.instance.faults.add(faults.closed(executed=True), method="POST", times=1)
        world.instance.faults.add(faults.node_failed(status=503), method="GET", times=1)
        world.receive(notification())
        world.instance.insert("incident", {"correlation_id": KEY, "short_description": "the double"})
        world.drain()

        oldest, double = world.instance.incidents
        assert [oldest["state"], double["state"], double["close_code"]] == ["1", "6", "Duplicate"]
        assert world.row().observed.number == oldest["number"]
        assert double["number"] in world.instance.notes(oldest["sys_id"])[0]
        assert oldest["number"] in world.instance.notes(double["sys_id"])[0]

    def test_what_servicenow_dropped_is_told_in_the_row(self, world: Rig) -> None:
        world.instance.switches.unwritable_columns.add("urgency")

        world.receive(notification())

        assert (world.row().observed.fields_not_stored, world.row().is_settled) == (("urgency",), True)

    def test_an_instance_that_refuses_our_sys_id_gets_its_incident_without(self, world: Rig) -> None:
        world.instance.switches.sys_ids = SysIds.REFUSED
        world.receive(notification())

        world.drain()

        assert states(world) == ["1"]
        assert world.row().observed.incident_id == world.instance.incidents[0]["sys_id"]


class TestDecisions:
    """The row remembers what was decided, why, and what came of it."""

    def decisions(self, world: Rig) -> list[tuple[str, str, str]]:
        return [(each.action, each.reason, each.result) for each in world.row().work.steps]

    def test_a_life(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(resolved())
        number = world.row().observed.number

        assert self.decisions(world) == [
            ("create", "alert fired, news; incident absent", f"{number} in state 1"),
            ("resolve", "alert resolved; incident open", f"{number} in state 6"),
        ]

    def test_an_incident_that_is_left_alone_has_its_reason(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.resolve(world.row().observed.incident_id)
        world.receive(resolved())

        assert self.decisions(world)[-1] == ("nothing", "alert resolved; incident resolved", "left as it is")

    def test_what_failed_and_what_was_unknown_is_there(self, world: Rig) -> None:
        world.instance.faults.add(faults.closed(executed=True), method="POST", times=1)
        world.receive(notification())
        world.instance.faults.add(faults.hibernating(), times=None)
        world.receive(resolved())

        created, failed = self.decisions(world)
        assert created[:2] == ("create", "alert fired, news; incident absent")
        assert created[2].startswith("unknown: ")
        assert failed[:2] == ("observe", "alert resolved; incident unseen")
        assert "hibernates" in failed[2]

    def test_a_refusal_is_there_with_what_was_refused(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.faults.add(faults.data_policy_violated("Resolution code"), method="PATCH", times=1)
        world.receive(resolved())

        decisions = {action: result for action, _, result in self.decisions(world)}
        assert "Resolution code" in decisions["resolve"]
        assert "Resolution code" in decisions["park"]


class TestLease:
    """One worker per key."""

    def test_a_leased_row_is_left_alone_and_looked_at_later(self, world: Rig) -> None:
        world.instance.stop()
        world.receive(notification())
        world.instance.start()
        world.store.replace(world.row().leased(holder="another", now=NOW, until=NOW + MINUTE))
        world.instance.forget_calls()
        before = world.messages()

        world.wake()

        assert (calls(world), world.messages()) == ([], before + 1)

    def test_a_resolved_that_comes_while_the_incident_is_created_is_not_lost(self, world: Rig) -> None:
        world.instance.delay = 0.3
        with ThreadPoolExecutor(1) as pool:
            creating = pool.submit(world.receive, notification())
            while not world.instance.in_flight:
                threading.Event().wait(0.01)
            ending = world.receive(resolved())

        assert ending.outcome is Outcome.ACCEPTED
        assert creating.result().outcome is Outcome.RESOLVED
        assert states(world) == ["6"]

    def test_the_same_alert_from_many_threads_is_one_incident(self, world: Rig) -> None:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _: world.receive(notification()), range(24)))

        world.drain()
        assert sum(result.outcome is Outcome.CREATED for result in results) <= 1
        assert states(world) == ["1"]


class TestWakeUps:
    """Who comes back, and when."""

    def test_a_stray_wake_up_is_dropped(self, world: Rig) -> None:
        world.instance.stop()
        world.receive(notification())
        world.wake()
        world.instance.forget_calls()

        world.reconciler.reconcile(KEY, wake_up_id="stray")

        assert world.row().work.attempts == 2

    def test_a_wake_up_for_an_unknown_key_is_dropped(self, world: Rig) -> None:
        world.reconciler.reconcile(KEY, wake_up_id="any")

        assert world.store.read(KEY) is None

    def test_a_repetition_of_an_unsettled_alert_makes_sure_of_a_wake_up(self, world: Rig) -> None:
        world.circuit.pause(HOUR)
        world.receive(notification())
        world.queue.clear_messages()

        world.receive(notification())

        assert world.messages() == 1

    def test_resync_wakes_what_is_overdue_once(self, world: Rig) -> None:
        world.circuit.pause(HOUR)
        world.receive(notification())
        world.queue.clear_messages()
        world.reconciler.resync()
        too_early = world.messages()
        world.now += WAKE_UP_GRACE + SECOND

        world.reconciler.resync()
        world.reconciler.resync()

        assert (too_early, world.messages()) == (0, 1)

    def test_resync_purges_what_is_over_and_old(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(notification(key="a1" * 32))
        world.receive(resolved())
        world.now += timedelta(days=91)

        world.reconciler.resync()

        assert world.store.read(KEY) is None
        assert world.store.read("a1" * 32) is not None

    def test_a_row_that_cannot_be_written_keeps_no_other_asleep(self, world: Rig) -> None:
        world.circuit.pause(HOUR)
        keys = [f"{number:02x}" * 32 for number in range(10, 16)]
        for key in keys:
            world.receive(notification(key=key))
        world.queue.clear_messages()
        world.now += WAKE_UP_GRACE + SECOND

        class OneFails:
            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def replace(self, row: Record) -> Record:
                if row.key == keys[1]:
                    raise Unavailable("one partition is in trouble")
                return world.store.replace(row)

        world.make(store=OneFails()).resync()

        assert [bool(world.row(key).work.wake_up_id) for key in keys] == [True, False, True, True, True, True]

    def test_storage_that_fails_for_all_is_not_asked_for_each(self, world: Rig) -> None:
        world.circuit.pause(HOUR)
        for number in range(10, 20):
            world.receive(notification(key=f"{number:02x}" * 32))
        world.queue.clear_messages()
        world.now += WAKE_UP_GRACE + SECOND
        asked = []

        class Down:
            def __getattr__(self, name: str) -> object:
                return getattr(world.store, name)

            def replace(self, row: Record) -> Record:
                asked.append(row.key)
                raise Unavailable("down")

        with pytest.raises(Unavailable):
            world.make(store=Down()).resync()

        assert len(asked) < 10

    def test_a_part_that_fails_keeps_no_other_from_being_done(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(resolved())
        world.now += timedelta(days=91)

        class QueueIsDown:
            def __getattr__(self, name: str) -> object:
                return getattr(world.wakeups, name)

            def peek(self) -> object:
                raise Unavailable("the queue did not answer")

        with pytest.raises(Unavailable):
            world.make(wakeups=QueueIsDown()).resync()

        assert world.store.read(KEY) is None

    def test_a_long_line_is_late_and_not_lost(self, world: Rig) -> None:
        world.circuit.pause(HOUR)
        for number in range(10, 16):
            world.receive(notification(key=f"{number:02x}" * 32))
            world.now += SECOND
        lost, *late = world.take()
        world.queue.delete_message(lost)
        for message in late:
            world.queue.update_message(message, visibility_timeout=0)
        world.now += HOUR

        world.reconciler.resync()
        while_they_stand = world.messages()
        world.queue.clear_messages()
        world.reconciler.resync()

        assert (while_they_stand, world.messages()) == (5, 6)

    @pytest.mark.parametrize(("state", "is_kept"), [("1", True), ("6", True), ("7", False), ("8", False), ("", False)])
    def test_the_row_of_an_alert_that_never_ends_goes_once_its_incident_is_closed_or_gone(
        self, world: Rig, state: str, is_kept: bool
    ) -> None:
        world.receive(notification())
        if state:
            world.instance.edit(
                world.row().observed.incident_id, {"state": state, "close_code": "Duplicate", "close_notes": "x"}
            )
        else:
            world.instance.delete(world.row().observed.incident_id)
        world.now += timedelta(days=91)

        world.reconciler.resync()

        assert (world.store.read(KEY) is not None) is is_kept

    def test_one_that_the_target_refuses_to_show_keeps_no_other_from_being_purged(self, world: Rig) -> None:
        for key in (KEY, "a1" * 32):
            world.receive(notification(key=key))
        for row in world.instance.incidents:
            world.instance.delete(row["sys_id"])
        world.now += timedelta(days=91)
        world.instance.faults.add(faults.payload_rejected(), method="GET", times=1)

        world.reconciler.resync()

        assert [key for key in (KEY, "a1" * 32) if world.store.read(key)] == [KEY]
        assert world.row().work.looked_at == world.now

    def test_one_whose_incident_is_open_is_asked_about_once_a_week(self, world: Rig) -> None:
        world.receive(notification())
        world.now += timedelta(days=91)
        world.instance.forget_calls()
        asked = []
        for _ in range(3):
            world.reconciler.resync()
            asked.append(len(world.instance.calls))
            world.now += LOOK_AGAIN / 2 + HOUR

        assert asked == [1, 1, 2]


class TestDamage:
    """A row that cannot be read, or that a newer version wrote."""

    def damage(self, world: Rig, **changes: object) -> None:
        table = TableClient.from_connection_string(world.place.connection_string, world.place.table)
        with table:
            entity = table.get_entity(KEY[:2], KEY)
            entity.update(changes)
            table.update_entity(entity, mode=UpdateMode.REPLACE)

    def rows(self, world: Rig) -> list[str]:
        with TableClient.from_connection_string(world.place.connection_string, world.place.table) as table:
            return [str(row["RowKey"]) for row in table.list_entities() if row["PartitionKey"] == KEY[:2]]

    @pytest.mark.parametrize("sys_ids", SysIds)
    def test_its_key_goes_on_with_the_incident_that_it_has(self, world: Rig, sys_ids: SysIds) -> None:
        world.instance.switches.sys_ids = sys_ids
        world.receive(notification())
        world.drain()
        self.damage(world, document_0="{")

        outcome = world.receive(resolved()).outcome

        assert (outcome, states(world)) == (Outcome.RESOLVED, ["6"])
        kept = [row for row in self.rows(world) if is_key(row) or row.startswith(ASIDE)]
        assert sorted(map(is_key, kept)) == [False, True]

    @pytest.mark.parametrize("sys_ids", SysIds)
    def test_a_new_firing_finds_the_incident_too(self, world: Rig, sys_ids: SysIds) -> None:
        world.instance.switches.sys_ids = sys_ids
        world.receive(notification())
        world.drain()
        self.damage(world, document_0="{")

        world.receive(
            notification(at=NOW + HOUR, digest="anew", fields={**notification().content.fields, "urgency": "1"})
        )

        assert (states(world), world.instance.incidents[0]["urgency"]) == (["1"], "1")

    def test_a_later_generation_is_found_as_well(self, world: Rig) -> None:
        for hours in range(3):
            world.receive(notification(at=NOW + hours * HOUR, digest=f"{hours}"))
            if hours < 2:
                world.instance.close(world.instance.incidents[-1]["sys_id"])
        self.damage(world, document_0="{")

        world.receive(resolved(at=NOW + 4 * HOUR))

        assert states(world) == ["7", "7", "6"]

    def test_a_wake_up_for_it_is_done_with(self, world: Rig) -> None:
        world.receive(notification())
        self.damage(world, document_0="{", awaits_work=True)

        world.reconciler.reconcile(KEY, wake_up_id="")
        world.now += HOUR
        world.reconciler.resync()

        assert states(world) == ["1"]

    def test_one_of_a_newer_version_is_left_to_that(self, world: Rig) -> None:
        world.receive(notification())
        self.damage(world, needs_version=VERSION + 1)

        with pytest.raises(NewerVersion):
            world.receive(resolved())
        with pytest.raises(NewerVersion):
            world.reconciler.reconcile(KEY, wake_up_id="")

        assert self.rows(world) == [KEY]


class TestStumble:
    """An error that nobody foresaw."""

    class Broken:
        def __init__(self, target: object) -> None:
            self._target = target
            self.is_broken = True

        def __getattr__(self, name: str) -> object:
            if self.is_broken and name in ("create", "find"):
                raise RuntimeError("text of the alert")
            return getattr(self._target, name)

    def test_it_counts_as_a_failed_attempt_with_its_place_and_no_word_of_its_message(self, world: Rig) -> None:
        result = world.receive(notification(), world.make(incidents=self.Broken(world.incidents)))

        row = world.row()
        assert (result.outcome, row.work.attempts, row.work.lease_holder) == (Outcome.ACCEPTED, 1, "")
        assert "unexpected RuntimeError at test_reconciler.py:" in row.work.last_error
        assert "text of the alert" not in row.work.last_error

    def test_what_it_kept_from_being_done_is_done_when_it_is_gone(self, world: Rig) -> None:
        broken = self.Broken(world.incidents)
        reconciler = world.make(incidents=broken)
        world.receive(notification(), reconciler)
        broken.is_broken = False
        world.now += HOUR

        world.wake(reconciler=reconciler)

        assert states(world) == ["1"]

    def test_beyond_the_horizon_it_is_parked(self, world: Rig) -> None:
        reconciler = world.make(incidents=self.Broken(world.incidents))
        world.receive(notification(), reconciler)
        world.now += timedelta(hours=73)

        world.wake(reconciler=reconciler)

        assert world.row().work.is_parked


def test_a_repetition_of_a_parked_alert_gives_it_another_attempt(world: Rig) -> None:
    world.instance.faults.add(faults.data_policy_violated("Caller"), method="POST")
    world.receive(notification())
    assert world.row().work.is_parked
    before = world.messages()

    outcome = world.receive(notification()).outcome

    assert (outcome, world.row().work.is_parked, world.messages()) == (Outcome.ACCEPTED, False, before + 1)
    world.wake()
    assert states(world) == ["1"]
