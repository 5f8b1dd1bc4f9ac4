"""What rules say of the beginning and the end of an incident comes true in ServiceNow."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Unavailable
from itsm_bridge.reconcile.attempt import Outcome
from itsm_bridge.reconcile.desired import News
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle
from itsm_bridge.storage.row_format import VERSION, partition_of
from local.azurite import Azurite
from local.servicenow import faults
from tests.builders import FIELDS, HOUR, KEY, MINUTE, NOW, SECOND, notification, resolved
from tests.rig import Rig, rig

DAY = timedelta(days=1)


@pytest.fixture
def world(azurite: Azurite) -> Iterator[Rig]:
    with rig(azurite) as made:
        yield made


def ruled(news: News = notification(), **lifecycle: Any) -> News:  # noqa: B008 - a value that nothing changes
    """The notification, by rules that say so of its incident."""
    return News(
        **{name: getattr(news, name) for name in news.__dataclass_fields__} | {"lifecycle": Lifecycle(**lifecycle)}
    )


def states(world: Rig) -> list[str]:
    return [row["state"] for row in world.instance.incidents]


def damage(world: Rig) -> None:
    damaged = {"PartitionKey": partition_of(KEY), "RowKey": KEY, "document_0": "{"}
    with TableClient.from_connection_string(world.place.connection_string, world.place.table) as table:
        table.update_entity(damaged, mode=UpdateMode.MERGE)


def wake_when_due(world: Rig) -> None:
    world.now = max(world.now, world.row().work.wake_up_at)
    world.wake()


class TestHold:
    """An alert that must fire for a while first."""

    def test_there_is_no_incident_before_it_fired_for_that_long(self, world: Rig) -> None:
        result = world.receive(ruled(hold=5 * MINUTE))

        assert (result.outcome, states(world), world.instance.calls) == (Outcome.ACCEPTED, [], [])
        assert world.row().work.wake_up_at == NOW + 5 * MINUTE

        wake_when_due(world)

        assert (states(world), world.row().is_settled) == (["1"], True)

    def test_what_clears_meanwhile_gets_none_and_the_row_says_so(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.now += MINUTE

        result = world.receive(ruled(resolved(), hold=5 * MINUTE))

        assert (result.outcome, states(world), world.row().awaits_work) == (Outcome.UNCHANGED, [], False)
        assert "before its hold was" in world.row().work.steps[-1].reason

    def test_what_clears_after_it_is_recorded_even_if_the_worker_was_late(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.now += HOUR

        world.receive(ruled(resolved(at=NOW + HOUR), hold=5 * MINUTE))

        assert states(world) == ["6"]

    def test_a_wake_up_that_comes_early_changes_nothing(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))

        world.now += MINUTE
        world.wake()
        assert states(world) == []

        wake_when_due(world)
        assert states(world) == ["1"]

    def test_a_lost_wake_up_is_found(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.queue.clear_messages()

        world.drain()

        assert states(world) == ["1"]

    def test_a_repetition_is_promised_the_same_moment(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.now += MINUTE

        result = world.receive(ruled(hold=5 * MINUTE))

        assert (result.outcome, world.row().work.wake_up_at) == (Outcome.ACCEPTED, NOW + 5 * MINUTE)

    def test_a_resolved_incident_is_not_reopened_before_the_alert_fired_for_that_long(self, world: Rig) -> None:
        for each in (notification(), resolved()):
            world.receive(each)
        world.now = NOW + HOUR

        world.receive(ruled(notification(at=world.now), hold=5 * MINUTE))
        assert states(world) == ["6"]

        wake_when_due(world)
        assert states(world) == ["2"]

    def test_what_clears_while_the_incident_of_before_is_resolved_tells_it_nothing(self, world: Rig) -> None:
        for each in (notification(), resolved()):
            world.receive(each)
        before = world.story()
        world.now = NOW + HOUR
        world.receive(ruled(notification(at=world.now), hold=5 * MINUTE))
        world.now += MINUTE

        world.receive(ruled(resolved(at=world.now, digest="again"), hold=5 * MINUTE))

        assert (world.story(), world.row().is_settled) == (before, True)

    def test_an_incident_that_is_open_is_told_at_once(self, world: Rig) -> None:
        world.receive(ruled(auto_resolve=AutoResolve.NOTE))
        world.receive(ruled(resolved(), auto_resolve=AutoResolve.NOTE))
        world.now = NOW + HOUR

        world.receive(ruled(notification(at=world.now), hold=5 * MINUTE))

        assert "fired again" in world.story()[0][1][-1]

    def test_a_word_without_hold_ends_it(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.now += MINUTE

        world.receive(notification(digest="worse", facts={"Severity": "Sev0"}))

        assert states(world) == ["1"]

    def test_a_firing_that_nobody_was_told_of_yet_needs_no_hold(self, world: Rig) -> None:
        world.instance.faults.add(faults.edge_failed(status=503), times=8)
        world.receive(notification())
        world.receive(resolved())

        world.receive(ruled(notification(at=NOW + HOUR), hold=DAY))
        world.instance.faults.clear()

        assert world.row().desired.held_until is None

    def test_the_end_of_another_alert_of_the_key_does_not_end_it(self, world: Rig) -> None:
        world.receive(ruled(hold=5 * MINUTE))
        world.now += MINUTE
        world.receive(ruled(notification(signal="alert-2", digest="other", at=world.now), hold=5 * MINUTE))

        world.receive(ruled(resolved(at=world.now), hold=5 * MINUTE))
        assert states(world) == []

        wake_when_due(world)
        assert states(world) == ["1"]

    def test_a_word_that_begins_nothing_does_not_end_it(self, world: Rig) -> None:
        world.receive(ruled(notification(signal=""), hold=5 * MINUTE))
        world.now += MINUTE

        world.receive(ruled(notification(signal="", digest="update", opens=False), hold=5 * MINUTE))

        assert (states(world), world.row().desired.held_until) == ([], NOW + 5 * MINUTE)


class TestAutoResolve:
    """People may keep the end to themselves."""

    def test_with_note_the_incident_stays_open_and_says_that_it_is_over(self, world: Rig) -> None:
        world.receive(ruled(auto_resolve=AutoResolve.NOTE))

        result = world.receive(ruled(resolved(), auto_resolve=AutoResolve.NOTE))

        assert (result.outcome, world.story()) == (Outcome.UPDATED, [("1", ("The alert resolved.",))])

    def test_with_off_nothing_is_said(self, world: Rig) -> None:
        world.receive(ruled(auto_resolve=AutoResolve.OFF))

        result = world.receive(ruled(resolved(), auto_resolve=AutoResolve.OFF))

        assert (result.outcome, world.story()) == (Outcome.UNCHANGED, [("1", ())])
        assert not world.row().awaits_work

    def test_what_came_and_went_while_servicenow_was_away_is_there_for_people(self, world: Rig) -> None:
        world.instance.faults.add(faults.edge_failed(status=503), times=4)
        world.receive(ruled(auto_resolve=AutoResolve.NOTE))
        world.receive(ruled(resolved(), auto_resolve=AutoResolve.NOTE))
        world.instance.faults.clear()

        world.drain()

        assert world.story() == [("1", ("The alert resolved.",))]

    def test_an_incident_that_a_lost_row_knew_of_is_left_to_them_too(self, world: Rig) -> None:
        world.receive(ruled(auto_resolve=AutoResolve.NOTE))
        damage(world)

        world.receive(ruled(resolved(), auto_resolve=AutoResolve.NOTE))
        world.now += HOUR
        world.drain()

        assert (states(world), world.row().awaits_work) == (["1"], False)

    def test_a_rule_that_came_meanwhile_counts(self, world: Rig) -> None:
        world.receive(notification())

        world.receive(ruled(resolved(), auto_resolve=AutoResolve.NOTE))

        assert states(world) == ["1"]


class TestAgain:
    """An alert fires again whose incident is over."""

    def over(self, world: Rig, *, resolved_at: str) -> None:
        for each in (notification(), resolved()):
            world.receive(each)
        world.instance.edit(world.row().observed.incident_id, {"resolved_at": resolved_at})
        world.now = NOW + 2 * HOUR

    def again(self, world: Rig, **lifecycle: Any) -> Any:
        return world.receive(ruled(notification(at=NOW + 2 * HOUR), **lifecycle))

    def test_a_short_time_after_it_is_reopened(self, world: Rig) -> None:
        self.over(world, resolved_at="2026-03-01 11:30:00")

        self.again(world, reopen_within=HOUR)

        assert states(world) == ["2"]

    def test_later_another_one_follows_which_names_it(self, world: Rig) -> None:
        self.over(world, resolved_at="2026-03-01 10:30:00")

        result = self.again(world, reopen_within=HOUR)

        old, new = world.instance.incidents
        assert (result.outcome, old["state"], new["state"]) == (Outcome.CREATED, "6", "1")
        assert f"{old['number']} is over" in world.instance.notes(new["sys_id"])[0]

    def test_or_never(self, world: Rig) -> None:
        self.over(world, resolved_at="2026-03-01 11:59:59")

        self.again(world, reopen_within=timedelta(0))

        assert states(world) == ["6", "1"]

    def test_the_end_resolves_the_one_that_followed(self, world: Rig) -> None:
        self.over(world, resolved_at="2026-03-01 10:30:00")
        self.again(world, reopen_within=HOUR)

        world.receive(ruled(resolved(at=NOW + 3 * HOUR, digest="again"), reopen_within=HOUR))

        assert states(world) == ["6", "6"]

    def test_an_instance_that_does_not_say_when_has_it_reopened(self, world: Rig) -> None:
        self.over(world, resolved_at="")

        self.again(world, reopen_within=HOUR)

        assert states(world) == ["2"]

    def test_a_closed_one_may_be_the_last(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.close(world.row().observed.incident_id)

        result = self.again(world, after_closed=AfterClosed.NOTHING)

        assert (result.outcome, states(world), world.row().is_settled) == (Outcome.UNCHANGED, ["7"], True)


class TestCloseAfter:
    """What Azure never ends is closed by the clock."""

    def test_after_that_time_it_is_resolved_and_says_why(self, world: Rig) -> None:
        world.receive(ruled(close_after=3 * DAY))
        world.now = NOW + 3 * DAY - SECOND
        world.reconciler.resync()
        assert not world.row().awaits_work

        world.now = NOW + 3 * DAY + SECOND
        world.reconciler.resync()
        wake_when_due(world)

        (row,) = world.instance.incidents
        assert (row["state"], world.row().awaits_work) == ("6", False)
        assert "Azure Monitor does not end this alert" in row["close_notes"]

    def test_also_where_the_end_is_left_to_people(self, world: Rig) -> None:
        world.receive(ruled(close_after=DAY, auto_resolve=AutoResolve.NOTE))
        world.now = NOW + 2 * DAY

        world.reconciler.resync()
        wake_when_due(world)

        assert states(world) == ["6"]

    def test_each_word_begins_the_time_anew(self, world: Rig) -> None:
        world.receive(ruled(close_after=DAY))
        world.now = NOW + DAY - HOUR
        world.receive(ruled(notification(at=world.now, digest="again"), close_after=DAY))

        world.now = NOW + DAY + HOUR
        world.reconciler.resync()

        assert not world.row().awaits_work

    def test_it_fires_again_after_that(self, world: Rig) -> None:
        world.receive(ruled(close_after=DAY))
        world.now = NOW + 2 * DAY
        world.reconciler.resync()
        wake_when_due(world)

        world.receive(ruled(notification(at=world.now), close_after=DAY))

        assert states(world) == ["2"]

    def test_an_end_that_azure_sends_after_all_changes_no_state(self, world: Rig) -> None:
        world.receive(ruled(close_after=DAY))
        world.now = NOW + 2 * DAY
        world.reconciler.resync()
        wake_when_due(world)

        world.receive(ruled(resolved(at=world.now), close_after=DAY))

        assert (states(world), world.row().awaits_work) == (["6"], False)


class TestFieldsOfRules:
    """A field that a rule sets is ours until people edit it."""

    def shown(self, world: Rig, *changes: dict[str, str]) -> dict[str, str]:
        for number, change in enumerate(changes):
            fields = {**FIELDS, **change}
            said = notification(digest=f"said {number}", at=NOW + number * MINUTE, fields=fields)
            content = replace(said.content, fields={**said.content.fields, **change}, fields_at_creation={})
            world.receive(replace(said, content=content))
        (row,) = world.instance.incidents
        return row

    def test_it_follows_the_rules(self, world: Rig) -> None:
        assert self.shown(world, {"category": "software"}, {"category": "network"})["category"] == "network"

    def test_a_rule_that_comes_later_fills_an_empty_field(self, world: Rig) -> None:
        assert self.shown(world, {}, {"subcategory": "internal application"})["subcategory"] == "internal application"

    def test_but_not_one_that_people_filled(self, world: Rig) -> None:
        self.shown(world, {})
        world.instance.edit(world.row().observed.incident_id, {"subcategory": "email"})

        assert self.shown(world, {}, {"subcategory": "internal application"})["subcategory"] == "email"


class TestIgnored:
    """A rule wants no incident."""

    def ignored(self, news: News = notification()) -> News:  # noqa: B008 - a value that nothing changes
        return News(**{name: getattr(news, name) for name in news.__dataclass_fields__} | {"ignored_by": "autoscale"})

    def test_it_is_remembered_and_servicenow_hears_nothing(self, world: Rig) -> None:
        results = [world.receive(self.ignored(each)) for each in (notification(), resolved(), notification())]

        assert [each.outcome for each in results] == [Outcome.IGNORED] * 3
        assert (world.instance.calls, world.messages()) == ([], 0)
        assert (world.row().desired.is_ignored, world.row().awaits_work) == (True, False)

    def test_the_end_of_what_was_ignored_is_nothing_either(self, world: Rig) -> None:
        world.receive(self.ignored())

        result = world.receive(resolved())

        assert (result.outcome, world.instance.calls) == (Outcome.UNCHANGED, [])

    def test_an_incident_that_is_there_already_is_resolved_by_its_end(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(self.ignored(notification(digest="worse")))
        assert states(world) == ["1"]

        result = world.receive(self.ignored(resolved()))

        assert (result.outcome, states(world)) == (Outcome.RESOLVED, ["6"])

    def test_once_the_rule_is_gone_the_same_notification_counts(self, world: Rig) -> None:
        world.receive(self.ignored())

        result = world.receive(notification())

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1"])
        assert not world.row().desired.is_ignored

    @pytest.mark.parametrize("is_end_ignored", [True, False])
    def test_once_it_is_over_a_late_repetition_by_other_rules_opens_nothing(
        self, world: Rig, *, is_end_ignored: bool
    ) -> None:
        world.receive(self.ignored())
        world.receive(self.ignored(resolved()) if is_end_ignored else resolved())

        world.receive(notification())

        assert (states(world), world.row().awaits_work) == ([], False)

    def test_an_ignored_end_that_comes_before_its_beginning_ends_it(self, world: Rig) -> None:
        world.receive(self.ignored(resolved()))

        world.receive(notification())

        assert (states(world), world.row().awaits_work) == ([], False)

    def test_a_firing_after_what_was_ignored_counts(self, world: Rig) -> None:
        world.receive(self.ignored())
        world.receive(self.ignored(resolved()))

        result = world.receive(notification(at=NOW + HOUR))

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1"])

    def test_a_firing_counts_that_begins_in_the_second_of_an_update(self, world: Rig) -> None:
        for each in (notification(signal=""), resolved(signal="")):
            world.receive(self.ignored(each))
        world.receive(notification(signal="", digest="update", opens=False, at=NOW + HOUR))

        result = world.receive(notification(signal="", digest="again", at=NOW + HOUR))

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1"])

    def test_in_the_place_of_a_row_that_was_lost_it_leaves_nothing_to_do(self, world: Rig) -> None:
        world.receive(self.ignored())
        damage(world)

        result = world.receive(self.ignored())

        assert (result.outcome, world.row().awaits_work, world.row().work.lease_holder) == (Outcome.IGNORED, False, "")

    def test_its_end_counts_if_the_row_that_was_lost_may_have_known_an_incident(self, world: Rig) -> None:
        world.receive(notification())
        damage(world)

        world.receive(self.ignored(resolved()))

        assert states(world) == ["6"]

    def test_its_row_is_purged_in_time(self, world: Rig) -> None:
        world.receive(self.ignored())
        world.now = NOW.replace(minute=1) + 91 * DAY

        world.reconciler.resync()

        assert world.store.read(KEY) is None


class TestTrial:
    """A rule has the bridge decide and remember, and ServiceNow hears nothing."""

    def on_trial(self, news: News = notification(), by: str = "trial", **lifecycle: Any) -> News:  # noqa: B008
        return replace(ruled(news, **lifecycle), shadowed_by=by)

    def end_trial(self, world: Rig) -> None:
        """Put rules in force of which none says shadow, and let time pass."""
        world.reconciler = world.make(trials=frozenset)
        world.reconciler.resync()
        if world.row().awaits_work:
            wake_when_due(world)

    def test_all_is_remembered_and_servicenow_hears_nothing(self, world: Rig) -> None:
        results = [world.receive(self.on_trial(each)) for each in (notification(), notification(), resolved())]

        assert [each.outcome for each in results] == [Outcome.IGNORED] * 3
        assert (world.instance.calls, world.messages()) == ([], 0)
        row = world.row()
        assert (row.desired.shadowed_by, row.awaits_work, row.desired.is_firing) == ("trial", False, False)
        assert row.desired.fields["short_description"] == notification().content.fields["short_description"]
        assert [(each.action, each.result) for each in row.work.steps] == [
            ("nothing", 'on trial by the rule "trial"'),
        ]

    def test_when_it_is_over_what_fires_becomes_an_incident(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.now += DAY

        self.end_trial(world)

        assert (states(world), world.row().is_settled, world.row().desired.shadowed_by) == (["1"], True, "")

        world.receive(resolved(at=world.now))
        assert states(world) == ["6"]

    def test_what_was_over_by_then_never_becomes_one(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.receive(self.on_trial(resolved()))

        self.end_trial(world)

        assert (states(world), world.instance.calls) == ([], [])

    def test_as_long_as_its_rule_is_in_force_nothing_happens(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.reconciler = world.make(trials=lambda: {"trial"})

        world.now += DAY
        world.reconciler.resync()

        assert (states(world), world.row().awaits_work) == ([], False)

    def test_the_end_of_another_trial_does_not_end_it(self, world: Rig) -> None:
        world.receive(self.on_trial(by="shop"))
        world.reconciler = world.make(trials=lambda: {"shop"})

        world.reconciler.resync()

        assert world.row().desired.shadowed_by == "shop"

    def test_rules_that_are_not_known_now_end_no_trial(self, world: Rig) -> None:
        def unknown() -> frozenset[str]:
            raise Unavailable("the rules in force are not known")

        world.receive(self.on_trial())
        world.reconciler = world.make(trials=unknown)

        with pytest.raises(Unavailable, match="not known"):
            world.reconciler.resync()

        assert world.row().desired.is_shadowed

    def test_the_same_notification_by_other_rules_ends_it_at_once(self, world: Rig) -> None:
        world.receive(self.on_trial())

        result = world.receive(notification())

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1"])

    def test_a_late_beginning_by_other_rules_does_not_bring_back_what_is_over(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.receive(self.on_trial(resolved()))

        world.receive(notification())

        assert (states(world), world.row().awaits_work) == ([], False)

    def test_a_firing_after_it_has_an_incident(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.receive(self.on_trial(resolved()))

        result = world.receive(notification(at=NOW + HOUR, digest="fired anew"))

        assert (result.outcome, states(world)) == (Outcome.CREATED, ["1"])

    def test_an_incident_that_is_there_is_followed_to_its_end(self, world: Rig) -> None:
        world.receive(notification())

        world.receive(self.on_trial(notification(digest="worse", facts={"Severity": "Sev0"})))
        result = world.receive(self.on_trial(resolved()))

        assert (result.outcome, states(world), world.row().desired.shadowed_by) == (Outcome.RESOLVED, ["6"], "")

    def test_an_incident_of_before_is_not_reopened(self, world: Rig) -> None:
        world.receive(notification())
        world.receive(resolved())
        before = world.story()

        result = world.receive(self.on_trial(notification(at=NOW + HOUR, digest="fired anew")))

        assert (result.outcome, world.story()) == (Outcome.IGNORED, before)

        world.now = NOW + 2 * HOUR
        self.end_trial(world)
        assert states(world) == ["2"]

    def test_a_resolution_that_is_owed_is_told_although_the_alert_fires_on_trial(self, world: Rig) -> None:
        world.receive(notification())
        world.instance.faults.add(faults.edge_failed(status=503), times=8)
        world.receive(resolved())
        world.instance.faults.clear()

        world.receive(self.on_trial(notification(at=NOW + HOUR, digest="fired anew")))
        world.drain()

        assert world.row().desired.shadowed_by == ""
        assert world.row().is_settled

    def test_an_outage_of_servicenow_delays_nothing(self, world: Rig) -> None:
        world.circuit.pause(HOUR)

        world.receive(self.on_trial())
        wake_when_due(world)

        assert (world.row().is_settled, world.instance.calls) == (True, [])

    def test_what_clears_during_its_hold_would_have_had_none(self, world: Rig) -> None:
        world.receive(self.on_trial(hold=5 * MINUTE))
        world.now += MINUTE

        result = world.receive(self.on_trial(resolved(), hold=5 * MINUTE))

        desired = world.row().desired
        assert (result.outcome, desired.cleared_firing_count, world.instance.calls) == (Outcome.IGNORED, 1, [])

    def test_its_row_needs_a_program_that_knows_trials(self, world: Rig) -> None:
        world.receive(self.on_trial())

        with TableClient.from_connection_string(world.place.connection_string, world.place.table) as table:
            entity = table.get_entity(partition_of(KEY), KEY)
        assert (entity["is_shadowed"], entity["needs_version"]) == (True, VERSION)

    def test_an_end_in_the_place_of_a_lost_row_may_belong_to_an_incident(self, world: Rig) -> None:
        world.receive(notification())
        damage(world)

        world.receive(self.on_trial(resolved()))

        assert states(world) == ["6"]

    def test_the_purge_asks_servicenow_nothing_about_it(self, world: Rig) -> None:
        world.receive(self.on_trial())
        world.now = NOW.replace(minute=1) + 91 * DAY

        world.reconciler.resync()

        assert (world.row().desired.is_firing, world.instance.calls) == (True, [])
