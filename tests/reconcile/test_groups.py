"""Alerts that share an incident: it counts them, shows the worst, and ends with the last."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from itsm_bridge.errors import Unavailable
from itsm_bridge.reconcile.attempt import Outcome
from itsm_bridge.reconcile.crowd import MOST_ALERTS
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.gathering import Group, Shared
from itsm_bridge.reconcile.merge import merge
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET
from itsm_bridge.reconcile.record import Record
from local.azurite import Azurite
from tests.builders import HOUR, MINUTE, NOW, SECOND, notification, resolved
from tests.rig import Rig, rig

MACHINE = Group(key="ab" * 32, shared=Shared.RESOURCE, name="vm-web-01")
STORM = Group(key="cd" * 32, shared=Shared.STORM, name="shop", within=5 * MINUTE, more_than=3)


@pytest.fixture
def world(azurite: Azurite) -> Iterator[Rig]:
    with rig(azurite) as made:
        yield made


def said(news: News, **changes: Any) -> News:
    return News(**{each.name: getattr(news, each.name) for each in fields(news)} | changes)


def own_key(number: int) -> str:
    return f"{number:064x}"


def fired(number: int, *, severity: str = "Sev3", urgency: str = "3", **changes: Any) -> News:
    """The Fired of one of several alerts."""
    title = f"{severity}: disk {number} is full on vm-web-01"
    shown = {
        "short_description": title,
        "description": f"All of disk {number}.",
        "impact": "2",
        "urgency": urgency,
    }
    given = {
        "key": own_key(number),
        "signal": f"alert-{number}",
        "digest": f"fired {number}",
        "facts": {"Alert": f"disk {number} is full", "Severity": severity},
        "note": f"Fired: disk {number} is full.",
        "group": MACHINE,
        "fields": shown,
    }
    group = {name: (given | changes)[name] for name in ("group",)}
    rest = {name: value for name, value in (given | changes).items() if name not in (*group, "storm")}
    return said(notification(**rest), **group, storm=changes.get("storm"))


def ended(number: int, **changes: Any) -> News:
    given = {
        "key": own_key(number),
        "signal": f"alert-{number}",
        "digest": f"resolved {number}",
        "note": f"Resolved: disk {number} is full.",
        "facts": {"Alert": f"disk {number} is full", "Severity": "Sev3"},
    }
    group = changes.pop("group", MACHINE)
    return said(resolved(**given | changes), group=group)


def shown(world: Rig) -> tuple[str, str, str, str]:
    (row,) = world.instance.incidents
    return row["state"], row["short_description"], row["impact"], row["urgency"]


class TestSharing:
    """One incident for several alerts."""

    def test_the_first_has_an_incident_like_any_other(self, world: Rig) -> None:
        result = world.receive(fired(1))

        assert result.outcome is Outcome.CREATED
        assert shown(world) == ("1", "Sev3: disk 1 is full on vm-web-01", "2", "3")
        assert world.instance.incidents[0]["correlation_id"] == MACHINE.key

    def test_it_counts_them_and_shows_the_worst_and_the_newest(self, world: Rig) -> None:
        for each in (fired(1), fired(2, severity="Sev1", urgency="2"), fired(3)):
            world.receive(each)

        assert shown(world) == ("1", "Sev1: disk 2 is full on vm-web-01 (and 2 more)", "2", "2")
        text = world.instance.incidents[0]["description"].splitlines()
        assert text[0] == "This incident stands for 3 alerts on vm-web-01; 3 fire now."
        assert [line.split(" on ")[0] for line in text[2:5]] == [
            "- Sev3: disk 3 is full",
            "- Sev1: disk 2 is full",
            "- Sev3: disk 1 is full",
        ]
        assert text[-1] == "All of disk 3."

    def test_each_is_told_in_a_note_that_counts(self, world: Rig) -> None:
        for each in (fired(1), fired(2), ended(1)):
            world.receive(each)

        assert world.story() == [
            (
                "1",
                (
                    "Fired: disk 2 is full.\nOf the 2 alerts of this incident, 2 fire now.",
                    "Resolved: disk 1 is full.\nOf the 2 alerts of this incident, 1 fires now.",
                ),
            )
        ]

    def test_when_the_worst_ends_it_is_as_bad_as_what_is_left(self, world: Rig) -> None:
        for each in (fired(1), fired(2, severity="Sev1", urgency="1"), ended(2)):
            world.receive(each)

        assert shown(world) == ("1", "Sev3: disk 1 is full on vm-web-01", "2", "3")

    def test_it_ends_with_the_last_of_them(self, world: Rig) -> None:
        for each in (fired(1), fired(2), ended(2), ended(1)):
            world.receive(each)

        (row,) = world.instance.incidents
        assert row["state"] == "6"
        assert row["close_notes"].startswith("All 2 alerts are over. The last one: Resolved: disk 1")

    def test_the_next_one_reopens_it(self, world: Rig) -> None:
        for each in (fired(1), ended(1), fired(2, at=NOW + HOUR)):
            world.receive(each)

        assert shown(world)[0] == "2"

    def test_repetitions_change_nothing(self, world: Rig) -> None:
        for each in (fired(1), fired(2)):
            world.receive(each)
        world.instance.forget_calls()

        outcomes = [world.receive(each).outcome for each in (fired(2), fired(1), fired(2))]

        assert (outcomes, world.instance.calls) == ([Outcome.UNCHANGED] * 3, [])

    def test_an_end_before_its_beginning_is_remembered(self, world: Rig) -> None:
        world.receive(ended(1))
        world.receive(fired(1))

        assert world.instance.incidents == []

    def test_health_events_share_too(self, world: Rig) -> None:
        """Of single voices each one's end counts for itself."""
        for number in (1, 2):
            world.receive(fired(number, signal=""))
        world.receive(ended(1, signal=""))
        assert shown(world)[0] == "1"

        world.receive(ended(2, signal=""))
        assert shown(world)[0] == "6"


class TestChangedRules:
    """An alert stays where it was placed first."""

    def test_the_end_finds_the_group_that_its_beginning_joined(self, world: Rig) -> None:
        world.receive(fired(1))

        result = world.receive(ended(1, group=None))

        assert (result.outcome, shown(world)[0]) == (Outcome.RESOLVED, "6")

    def test_the_end_finds_the_incident_of_its_own(self, world: Rig) -> None:
        world.receive(fired(1, group=None))

        world.receive(ended(1))

        assert shown(world)[0] == "6"

    def test_a_repetition_stays_in_the_group(self, world: Rig) -> None:
        world.receive(fired(1))

        result = world.receive(fired(1, group=None, digest="worse"))

        assert (result.outcome, len(world.instance.incidents)) == (Outcome.UPDATED, 1)

    def test_a_repetition_stays_alone(self, world: Rig) -> None:
        world.receive(fired(1, group=None))

        world.receive(fired(1, digest="worse"))

        assert [row["correlation_id"] for row in world.instance.incidents] == [own_key(1)]

    def test_another_group_takes_only_new_ones(self, world: Rig) -> None:
        other = Group(key="ef" * 32, shared=Shared.RULE, name="cpu")
        for each in (fired(1), fired(1, group=other, digest="worse"), fired(2, group=other)):
            world.receive(each)

        assert [row["correlation_id"] for row in world.instance.incidents] == [MACHINE.key, other.key]

    def test_a_process_that_died_right_after_placing_leaves_nothing_doubled(self, world: Rig) -> None:
        world.store.lead(own_key(1), to=MACHINE.key)

        for group in (None, MACHINE, None):
            world.receive(fired(1, group=group))

        assert [row["correlation_id"] for row in world.instance.incidents] == [MACHINE.key]


class TestWithin:
    """A group may end by time."""

    def test_what_comes_soon_joins_and_what_comes_late_begins_another_one(self, world: Rig) -> None:
        hourly = Group(key="ab" * 32, shared=Shared.RULE, name="backup", within=HOUR)
        for number, after in enumerate((timedelta(0), HOUR, 2 * HOUR, 3 * HOUR + SECOND)):
            world.now = NOW + after
            world.receive(fired(number, group=hourly, at=world.now))

        assert len(world.instance.incidents) == 2

    def test_a_repetition_joins_nothing_anew(self, world: Rig) -> None:
        hourly = Group(key="ab" * 32, shared=Shared.RULE, name="backup", within=HOUR)
        world.receive(fired(1, group=hourly))
        world.now = NOW + 2 * HOUR

        world.receive(fired(1, group=hourly))
        world.receive(ended(1, group=hourly))

        assert shown(world)[0] == "6"


class TestStorm:
    """So many alerts of a rule that they are lines of one incident."""

    def test_the_first_have_their_own_and_the_others_share(self, world: Rig) -> None:
        for number in range(8):
            world.now += SECOND
            world.receive(fired(number, group=None, storm=STORM))

        keys = [row["correlation_id"] for row in world.instance.incidents]
        assert keys[:3] == [own_key(number) for number in range(3)]
        assert len(keys) == 4
        assert "stands for 5 alerts in a storm" in world.instance.incidents[3]["description"]

    def test_it_ends_with_the_last(self, world: Rig) -> None:
        for number in range(6):
            world.receive(fired(number, group=None, storm=STORM))
        for number in range(6):
            world.receive(ended(number, group=None))

        assert [row["state"] for row in world.instance.incidents] == ["6"] * 4

    def test_after_the_storm_alerts_are_single_again(self, world: Rig) -> None:
        for number in range(6):
            world.receive(fired(number, group=None, storm=STORM))
        world.now += 10 * MINUTE

        world.receive(fired(7, group=None, storm=STORM))

        assert world.instance.incidents[-1]["correlation_id"] == own_key(7)

    def test_slow_ones_are_no_storm(self, world: Rig) -> None:
        for number in range(8):
            world.now += 2 * MINUTE
            world.receive(fired(number, group=None, storm=STORM))

        assert len(world.instance.incidents) == 8

    def test_the_next_storm_has_an_incident_of_its_own(self, world: Rig) -> None:
        for number in range(6):
            world.receive(fired(number, group=None, storm=STORM))
        world.now += HOUR
        for number in range(10, 16):
            world.receive(fired(number, group=None, storm=STORM))

        assert len(world.instance.incidents) == 8

    def test_a_repetition_counts_once(self, world: Rig) -> None:
        for _ in range(8):
            world.receive(fired(1, group=None, storm=STORM))

        assert len(world.instance.incidents) == 1


class TestTogether:
    """Many at once want the same row."""

    def test_forty_at_once_are_one_incident_and_none_is_refused(self, world: Rig) -> None:
        start = threading.Barrier(40)

        def receive(number: int) -> Outcome:
            start.wait()
            return world.receive(fired(number)).outcome

        with ThreadPoolExecutor(40) as pool:
            outcomes = list(pool.map(receive, range(40)))
        world.drain(MACHINE.key)

        assert set(outcomes) <= {Outcome.CREATED, Outcome.UPDATED, Outcome.ACCEPTED, Outcome.UNCHANGED}
        assert world.row(MACHINE.key).desired.count == 40
        assert len(world.instance.incidents) == 1

    @pytest.mark.parametrize("error", [Unavailable("too late"), KeyError("a bug")])
    def test_a_change_that_fails_fails_alone(self, world: Rig, error: Exception) -> None:
        """Those that are written together with it are none the worse."""
        together = world.reconciler._intake._together
        both = threading.Barrier(2)

        def failing(_: Record | None) -> Record | None:
            raise error

        def change(failed: bool) -> type[Exception] | None:
            both.wait()
            try:
                if failed:
                    together.swap(MACHINE.key, failing, deadline=world.within(INLINE_BUDGET))
                else:
                    world.receive(fired(1))
            except Exception as caught:  # noqa: BLE001 - the error is what is looked at
                return type(caught)
            return None

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(change, [True, False]))

        assert (results, len(world.instance.incidents)) == ([type(error), None], 1)


class TestCrowd:
    """A row holds only so many alerts."""

    @pytest.mark.parametrize(("is_dear", "least"), [(True, 100), (False, 400)])
    def test_a_thousand_alerts_fit_and_are_counted(self, world: Rig, *, is_dear: bool, least: int) -> None:
        first = fired(0, note="ä" * 3000)
        row = world.receive(first).record
        for number in range(1, 1000):
            title = "☃" * 160 if is_dear else f"Sev3: disk {number} is full"
            row = _merged(row, fired(number, facts={"Alert": title}, fields={"short_description": title}))
        world.store.replace(row)

        read = world.row(MACHINE.key)
        assert read.desired.count == 1000
        assert least <= len(read.desired.signals) <= MOST_ALERTS

    def test_those_that_are_over_are_forgotten_first(self, world: Rig) -> None:
        row = world.receive(fired(0)).record
        row = _merged(row, fired(1))
        row = _merged(row, ended(1))
        for number in range(2, 1000):
            row = _merged(row, fired(number))
            if "alert-0" not in row.desired.signals:
                break

        assert "alert-1" not in row.desired.signals
        assert row.desired.firing == len(row.desired.signals)


def _merged(row: Record, news: News) -> Record:
    return merge(row, news, NOW)


def test_an_end_that_came_without_its_beginning_is_not_counted(world: Rig) -> None:
    for each in (ended(9), fired(1)):
        world.receive(each)

    assert shown(world)[1] == "Sev3: disk 1 is full on vm-web-01"


def test_a_gathering_that_cannot_be_read_refuses_no_alert(world: Rig) -> None:
    hourly = Group(key="ab" * 32, shared=Shared.RULE, name="backup", within=HOUR)
    world.receive(fired(1, group=hourly))
    table = world.store._table
    entity = table.get_entity("ab", f"group-{hourly.key}")
    table.update_entity({**entity, "joined": "{"}, mode=UpdateMode.REPLACE)

    results = [world.receive(fired(number, group=hourly)).outcome for number in (2, 3)]

    assert results == [Outcome.CREATED, Outcome.UPDATED]
    assert len(world.instance.incidents) == 2


def test_what_leads_to_a_group_that_is_gone_is_purged_with_it(world: Rig) -> None:
    for each in (fired(1), ended(1)):
        world.receive(each)
    world.now = NOW.replace(minute=1) + timedelta(days=400)

    world.reconciler.resync()
    world.reconciler.resync()

    assert world.store.read(own_key(1)) is None
