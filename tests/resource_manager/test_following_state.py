"""Both sides say the same: people work on incidents and on alerts, over HTTP, with Azurite and both stand-ins."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.deadline import Deadline
from itsm_bridge.follow import followed_by
from itsm_bridge.operate import show
from itsm_bridge.reconcile.followed import Handling
from itsm_bridge.reconcile.outline import outline_of
from itsm_bridge.storage.progress_table import ProgressTable
from local.alerts import SUBSCRIPTION, MetricAlert, samples
from local.azurite import Azurite
from local.http_server import Answer
from local.resource_manager.refusals import error, html
from local.resource_manager.service import CHANGE
from local.servicenow.glide import User
from tests.builders import MINUTE, SECOND
from tests.resource_manager.both_sides import BothSidesScene, both_sides
from tests.resource_manager.scene import OPEN, RESOLVED, alert

ROOT = Path(__file__).parents[2]

US = "itsm-bridge"
KIM = "kim.akers@contoso.example"


@pytest.fixture
def scene(azurite: Azurite) -> Iterator[BothSidesScene]:
    with both_sides(azurite) as running:
        yield running


def key_of(of: MetricAlert) -> str:
    return key_of_alert_id(f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{of.guid}")


def reasons(scene: BothSidesScene, of: MetricAlert) -> list[tuple[str, str]]:
    """Return the decisions that `show` tells of people."""
    told = show.content(scene.rig.row(key_of(of)), scene.rig.now)["people"]
    assert isinstance(told, list)
    return [(each["action"], each["reason"]) for each in told]


class TestFromIncidentToAlert:
    def test_an_alert_whose_incident_nobody_touched_stays_new(self, scene: BothSidesScene) -> None:
        fired = alert()
        scene.fired(fired)

        scene.sync()

        assert scene.state(fired) == "New"
        assert scene.changes(fired) == []

    def test_an_incident_that_somebody_takes_acknowledges_the_alert(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.take(incident)
        scene.sync()
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]
        assert reasons(scene, fired) == [("acknowledge", "incident taken; alert new")]

    def test_to_be_assigned_is_to_be_taken(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.rig.instance.edit(incident, {"assigned_to": User(user_name="beth.anglin", name="").sys_id})
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_an_incident_that_the_instance_gives_to_somebody_is_not_taken(self, scene: BothSidesScene) -> None:
        beth = User(user_name="beth.anglin", name="").sys_id

        def give(table: str, before: object, row: dict[str, str]) -> None:
            if table == "incident" and before is None:
                row["assigned_to"] = beth

        scene.rig.instance.glide.rules.append(give)
        fired = alert()
        incident = scene.fired(fired)
        scene.rig.instance.edit(incident, {"comments": "How bad is it?"})
        scene.sync()
        assert scene.changes(fired) == []

        scene.take(incident)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_an_incident_that_the_instance_begins_in_work_is_not_taken(self, scene: BothSidesScene) -> None:
        def begin(table: str, before: object, row: dict[str, str]) -> None:
            if table == "incident" and before is None:
                row["state"] = "2"

        scene.rig.instance.glide.rules.append(begin)
        fired = alert()
        incident = scene.fired(fired)
        # The bridge tells the incident so, and changes it for the first time.
        scene.azure.set_state(fired.guid, "Closed", by=KIM)
        for _ in range(3):
            scene.sync()
        assert len(scene.notes(incident)) == 1
        assert scene.changes(fired) == [(KIM, "Closed")]

        scene.rig.instance.edit(incident, {"state": "3", "hold_reason": "1"})
        scene.sync()

        assert scene.changes(fired) == [(KIM, "Closed"), (US, "Acknowledged")]

    def test_such_an_incident_is_taken_when_a_person_reopens_it(self, scene: BothSidesScene) -> None:
        def begin(table: str, before: object, row: dict[str, str]) -> None:
            if table == "incident" and before is None:
                row["state"] = "2"

        scene.rig.instance.glide.rules.append(begin)
        fired = alert()
        incident = scene.fired(fired)

        scene.rig.instance.resolve(incident)
        scene.sync()
        scene.rig.instance.edit(incident, {"state": "2"})
        scene.sync()

        assert scene.changes(fired) == [(US, "Closed"), (US, "Acknowledged")]

    def test_the_alert_says_which_incident_it_follows(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.take(incident)
        scene.sync()

        number = scene.rig.instance.incident(incident)["number"]
        [entry] = [
            each for each in scene.azure.alerts[fired.guid].modifications if each["modificationEvent"] == "StateChange"
        ]
        assert entry["comments"].startswith(f"{number}: somebody works on it in ServiceNow.")

    @pytest.mark.parametrize("end", ["resolve", "close", "cancel"])
    def test_an_incident_that_people_end_closes_the_alert(self, scene: BothSidesScene, end: str) -> None:
        fired = alert()
        incident = scene.fired(fired)

        getattr(scene.rig.instance, end)(incident)
        scene.sync()
        scene.sync()

        assert scene.changes(fired) == [(US, "Closed")]
        assert reasons(scene, fired) == [("close", "incident ended by people; alert new")]

    def test_a_person_takes_resolves_and_reopens_an_incident(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.take(incident)
        scene.sync()
        scene.rig.instance.resolve(incident)
        scene.sync()
        scene.rig.instance.edit(incident, {"state": "2"})
        scene.sync()
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged"), (US, "Closed"), (US, "Acknowledged")]
        assert scene.notes(incident) == []
        assert reasons(scene, fired) == [
            ("acknowledge", "incident taken; alert new"),
            ("close", "incident ended by people; alert acknowledged"),
            ("acknowledge", "incident reopened; alert closed"),
        ]

    def test_what_people_write_in_an_incident_changes_no_alert(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        scene.sync()

        scene.rig.instance.edit(incident, {"work_notes": "It is the disk.", "category": "hardware"})
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_what_the_bridge_resolves_itself_closes_no_alert(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.over(fired)
        scene.sync()

        assert scene.rig.instance.incident(incident)["state"] == RESOLVED
        assert scene.changes(fired) == []

    def test_an_incident_that_a_job_closes_after_the_bridge_resolved_it_closes_no_alert(
        self, scene: BothSidesScene
    ) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.over(fired)

        scene.rig.instance.close(incident, by=User(user_name="system", name="System", is_admin=True))
        scene.sync()

        assert scene.changes(fired) == []

    def test_an_incident_that_a_person_took_and_the_bridge_touched_since_is_taken(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.take(incident)
        scene.monitor.fires(fired.fired(severity="Sev0"))
        scene.pass_(30 * SECOND)
        scene.work()
        assert scene.rig.instance.incident(incident)["sys_updated_by"] != "beth.anglin"
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_an_incident_that_was_taken_and_resolved_by_the_bridge_keeps_its_alert_acknowledged(
        self, scene: BothSidesScene
    ) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        scene.sync()

        scene.over(fired)
        scene.sync()

        assert scene.rig.instance.incident(incident)["state"] == RESOLVED
        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_incidents_of_others_are_left_alone(self, scene: BothSidesScene) -> None:
        scene.fired(alert())
        scene.rig.instance.insert("incident", {"short_description": "Printer", "correlation_id": "JIRA-7"})
        scene.rig.instance.insert(
            "incident", {"short_description": "Printer", "correlation_id": "5f" * 32, "state": "2"}
        )
        scene.azure.requests.clear()

        report = scene.sync()

        assert report.changes == []
        assert scene.asked() == ["list"]


class TestFromAlertToIncident:
    def test_a_person_who_closes_the_alert_is_told_in_the_incident_once(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.azure.set_state(fired.guid, "Closed", by=KIM, comment="[code]Deployed[/code] the fix")
        scene.sync()
        scene.sync()
        scene.over(fired)
        scene.sync()

        [note] = scene.notes(incident)
        assert note.startswith(f"{KIM} closed this alert in Azure at ")
        assert "Deployed" in note
        assert "[code]" not in note
        assert scene.changes(fired) == [(KIM, "Closed")]
        assert reasons(scene, fired) == [("note", "alert closed by people in Azure")]

    def test_it_leaves_the_incident_to_people(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.azure.set_state(fired.guid, "Closed", by=KIM)
        scene.sync()

        assert scene.rig.instance.incident(incident)["state"] == OPEN

    def test_what_the_bridge_closed_itself_is_not_told(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.rig.instance.resolve(incident)
        for _ in range(4):
            scene.sync()

        assert scene.changes(fired) == [(US, "Closed")]
        assert scene.notes(incident) == []

    def test_an_old_alert_that_is_owed_a_note_has_not_waited_for_long(self, scene: BothSidesScene) -> None:
        fired = alert()
        scene.fired(fired)
        scene.pass_(timedelta(hours=3))
        scene.azure.set_state(fired.guid, "Closed", by=KIM)

        scene.sync(works=False)

        row = scene.rig.row(key_of(fired))
        assert row.awaits_work
        assert not show.is_waiting_long(outline_of(row), scene.rig.now)
        assert show.is_waiting_long(outline_of(row), scene.rig.now + show.LONG_WAIT + SECOND)

    def test_each_closing_is_told(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        for state in ("Closed", "New", "Closed"):
            scene.azure.set_state(fired.guid, state, by=KIM)
            scene.sync()

        assert len(scene.notes(incident)) == 2

    def test_the_note_waits_for_servicenow(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.azure.set_state(fired.guid, "Closed", by=KIM)

        scene.rig.instance.stop()
        report = scene.sync(works=False)
        scene.rig.instance.start()
        assert report.troubles
        scene.rig.drain(key_of(fired))

        assert len(scene.notes(incident)) == 1


class TestBothAtOnce:
    def test_an_incident_that_is_ended_while_a_person_closes_the_alert_is_closed_on_both_sides(
        self, scene: BothSidesScene
    ) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.rig.instance.resolve(incident)
        scene.pass_(20 * SECOND)
        scene.azure.set_state(fired.guid, "Closed", by=KIM)
        scene.sync()
        scene.sync()

        assert scene.changes(fired) == [(KIM, "Closed")]
        assert scene.rig.instance.incident(incident)["state"] == RESOLVED
        assert scene.notes(incident) == []

    @pytest.mark.parametrize("first", ["incident", "alert"])
    def test_an_incident_that_is_taken_while_a_person_closes_the_alert_is_told_so(
        self, scene: BothSidesScene, first: str
    ) -> None:
        fired = alert()
        incident = scene.fired(fired)

        if first == "incident":
            scene.take(incident)
            scene.pass_(20 * SECOND)
        scene.azure.set_state(fired.guid, "Closed", by=KIM)
        scene.pass_(20 * SECOND)
        if first == "alert":
            scene.take(incident)
        for _ in range(3):
            scene.sync()

        assert scene.changes(fired) == [(KIM, "Closed")]
        assert len(scene.notes(incident)) == 1
        assert reasons(scene, fired) == [
            ("leave", "incident taken; alert otherwise"),
            ("note", "alert closed by people in Azure"),
        ]

    def test_who_comes_clearly_later_has_the_last_word(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)

        scene.azure.set_state(fired.guid, "Acknowledged", by=KIM)
        scene.pass_(90 * SECOND)
        scene.rig.instance.resolve(incident)
        scene.sync()

        assert scene.changes(fired) == [(KIM, "Acknowledged"), (US, "Closed")]

    def test_a_person_who_reopens_the_alert_afterwards_is_not_overruled(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.rig.instance.resolve(incident)
        scene.sync()

        scene.azure.set_state(fired.guid, "New", by=KIM)
        scene.rig.instance.edit(incident, {"work_notes": "Gone."})
        for _ in range(3):
            scene.sync()

        assert scene.state(fired) == "New"

    def test_an_incident_that_is_taken_after_its_alert_was_closed_acknowledges_it(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.azure.set_state(fired.guid, "Closed", by=KIM)
        scene.sync()
        scene.sync()

        scene.take(incident)
        scene.sync()

        assert scene.changes(fired) == [(KIM, "Closed"), (US, "Acknowledged")]


class TestIncidentsOfSeveralAlerts:
    def test_all_alerts_of_an_incident_follow(self, scene: BothSidesScene) -> None:
        scene.rule((ROOT / "docs" / "rules" / "one-incident-per-machine.yaml").read_text(encoding="utf-8"))
        one, other = alert(1), alert(2)
        scene.fired(one)
        incident = scene.fired(other)
        assert len(scene.rig.instance.incidents) == 1

        scene.take(incident)
        scene.sync()
        scene.rig.instance.resolve(incident)
        scene.sync()

        assert scene.changes(one) == scene.changes(other) == [(US, "Acknowledged"), (US, "Closed")]

    def test_one_alert_that_cannot_be_asked_for_holds_up_no_other(self, scene: BothSidesScene) -> None:
        scene.rule((ROOT / "docs" / "rules" / "one-incident-per-machine.yaml").read_text(encoding="utf-8"))
        one, other = alert(1), alert(2)
        scene.fired(one)
        incident = scene.fired(other)
        scene.take(incident)
        # The first question of a run is about the first alert.
        scene.azure.next_answers.append(error(503, "ServerTimeout"))

        report = scene.sync()
        assert not report.is_complete
        assert sorted([scene.state(one), scene.state(other)]) == ["Acknowledged", "New"]
        scene.sync()

        assert scene.changes(one) == scene.changes(other) == [(US, "Acknowledged")]

    def test_an_alert_that_joins_an_incident_is_in_the_hands_of_whoever_has_that(self, scene: BothSidesScene) -> None:
        scene.rule((ROOT / "docs" / "rules" / "one-incident-per-machine.yaml").read_text(encoding="utf-8"))
        one, other = alert(1), alert(2)
        incident = scene.fired(one)
        scene.take(incident)
        scene.sync()

        scene.fired(other)
        scene.sync()

        assert scene.changes(one) == scene.changes(other) == [(US, "Acknowledged")]

    def test_the_alerts_of_a_health_event_follow_although_no_row_names_them(self, scene: BothSidesScene) -> None:
        bodies = [json.loads(samples()[f"service-health-incident.{stage}"]) for stage in ("active", "update")]
        ids = [each["data"]["essentials"]["alertId"] for each in bodies]
        scene.subscriptions = frozenset({ids[0].split("/")[2]})
        scene.sync()
        for body in bodies:
            scene.monitor.fires(body)
            scene.pass_(MINUTE)
            scene.work()
            scene.sync()
        [incident] = scene.rig.instance.incidents

        scene.rig.instance.resolve(incident["sys_id"])
        scene.sync()

        states = {guid: stored.essentials["alertState"] for guid, stored in scene.azure.alerts.items()}
        assert states == {each.rpartition("/")[2]: "Closed" for each in ids}

    def test_the_incident_that_follows_a_closed_one_is_untouched(self, scene: BothSidesScene) -> None:
        scene.rule((ROOT / "docs" / "rules" / "one-incident-per-machine.yaml").read_text(encoding="utf-8"))
        one, other = alert(1), alert(2)
        scene.rig.instance.close(scene.fired(one))
        scene.sync()

        following = scene.fired(other)
        scene.sync()
        assert len(scene.rig.instance.incidents) == 2
        assert (scene.state(one), scene.state(other)) == ("Closed", "New")
        scene.take(following)
        scene.sync()

        assert scene.state(other) == "Acknowledged"


class TestWhatGoesWrong:
    def test_a_pause_that_azure_asks_for_is_kept(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        scene.azure.throttle(seconds="300")

        first = scene.sync()
        scene.azure.requests.clear()
        second = scene.sync()
        assert scene.azure.requests == []
        assert (first.is_complete, second.is_complete) == (False, False)
        scene.pass_(5 * MINUTE)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_a_missing_role_is_told_and_the_change_is_made_when_it_is_there(self, scene: BothSidesScene) -> None:
        one, other = alert(1), alert(2)
        incidents = [scene.fired(one), scene.fired(other)]
        scene.azure.denied.add(CHANGE)
        for incident in incidents:
            scene.take(incident)
        scene.azure.requests.clear()

        report = scene.sync()
        assert len([each for each in scene.azure.requests if "/changestate" in each]) == 1
        assert len(report.troubles) == 1
        assert [str(each) for each in scene.troubles.take()] == ["azure-may-not-change-alerts"]
        scene.azure.denied.clear()
        scene.sync()

        assert scene.changes(one) == scene.changes(other) == [(US, "Acknowledged")]

    def test_an_alert_whose_resource_was_deleted_follows_all_the_same(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.azure.deleted.add(fired.target)

        scene.take(incident)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_an_alert_that_azure_keeps_no_more_is_left_alone(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.pass_(timedelta(days=31))

        scene.take(incident)
        report = scene.sync()
        scene.azure.requests.clear()
        scene.sync()

        assert report.troubles == []
        assert report.is_complete
        assert scene.changes(fired) == []
        assert reasons(scene, fired) == [("leave", "incident taken; alert gone")]
        assert scene.asked() == ["list"]

    def test_a_crash_between_the_change_and_the_mark_changes_nothing_twice(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        row = scene.rig.row(key_of(fired))
        kept = ProgressTable(scene.table).read("states")

        scene.sync()
        # As if the process had died right after Azure's answer: neither the row nor the mark knows of it.
        scene.rig.store.replace(scene.rig.row(key_of(fired)).with_followed(row.followed))
        now = ProgressTable(scene.table).read("states")
        ProgressTable(scene.table).write("states", kept.document, etag=now.etag)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]
        assert scene.followed(key_of(fired)).alert(fired.guid).told is Handling.TAKEN

    def test_a_process_that_died_holds_up_the_others_for_a_while_only(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        progress = ProgressTable(scene.table)
        kept = progress.read("states")
        held_until = (scene.rig.now + 5 * MINUTE).isoformat()
        progress.write("states", {**kept.document, "held_until": held_until}, etag=kept.etag)

        assert not scene.sync().is_complete
        assert scene.changes(fired) == []
        scene.pass_(5 * MINUTE)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_a_run_that_has_no_time_is_followed_by_one_that_goes_on(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)

        report = scene.sync(budget=timedelta(seconds=4))
        assert not report.is_complete
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_a_mark_that_cannot_be_read_begins_anew(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        progress = ProgressTable(scene.table)
        progress.write("states", {"incidents_until": "soon"}, etag=progress.read("states").etag)

        scene.sync()
        scene.take(incident)
        scene.sync()

        assert scene.changes(fired) == [(US, "Acknowledged")]

    @pytest.mark.parametrize("answer", [error(500, "InternalServerError"), error(400, "BadRequest"), html()])
    def test_an_alert_of_which_azure_cannot_tell_holds_up_no_other_and_is_told_when_it_can(
        self, answer: Answer, scene: BothSidesScene
    ) -> None:
        one, other = alert(1), alert(2)
        incidents = [scene.fired(one), scene.fired(other)]
        scene.azure.broken[one.guid] = answer
        for each in (one, other):
            scene.pass_(SECOND)
            scene.azure.set_state(each.guid, "Closed", by=KIM)

        report = scene.sync()

        assert (len(report.troubles), report.is_complete) == (1, False)
        assert [len(scene.notes(each)) for each in incidents] == [0, 1]
        scene.pass_(timedelta(hours=1))
        scene.sync()
        scene.azure.broken.clear()
        scene.sync()
        assert [len(scene.notes(each)) for each in incidents] == [1, 1]

    def test_an_answer_that_is_no_list_keeps_the_look_where_it_was(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.azure.set_state(fired.guid, "Closed", by=KIM)

        def spoil(page: dict[str, Any]) -> None:
            page.pop("value")

        scene.azure.spoil = spoil
        assert scene.sync().troubles
        scene.azure.spoil = lambda _: None
        scene.sync()

        assert len(scene.notes(incident)) == 1


class TestCost:
    def test_nothing_new_costs_one_request_to_each_side(self, scene: BothSidesScene) -> None:
        for number in range(1, 6):
            scene.fired(alert(number))
        scene.pass_(timedelta(hours=1))
        scene.sync()
        scene.azure.requests.clear()
        scene.rig.instance.forget_calls()

        scene.sync()

        assert scene.asked() == ["list"]
        assert [(call.method, call.table) for call in scene.rig.instance.calls] == [("GET", "incident")]

    def test_both_followers_look_at_azures_list_with_one_request(self, scene: BothSidesScene) -> None:
        missed = alert(1)
        means = scene.means()
        means = replace(means, settings=means.settings._replace(recovers_missed_alerts=True))
        run = followed_by(means, scene.sides())
        run(Deadline.after(MINUTE))
        scene.miss(missed.fired())
        scene.pass_(5 * MINUTE)
        scene.azure.requests.clear()

        run(Deadline.after(MINUTE))

        assert scene.asked() == ["list", "history", "alert"]
        scene.work()
        assert len(scene.rig.instance.incidents) == 1

    def test_no_moment_stands_in_the_query(self, scene: BothSidesScene) -> None:
        scene.fired(alert())
        scene.rig.instance.forget_calls()

        scene.sync()

        [call] = scene.rig.instance.calls_to("incident", "GET")
        assert "javascript" not in json.dumps(str(call))
        assert "2026" not in str(call)

    def test_a_look_may_begin_before_the_end_of_the_last_one(self, scene: BothSidesScene) -> None:
        fired = alert()
        incident = scene.fired(fired)
        scene.take(incident)
        progress = ProgressTable(scene.table)
        scene.pass_(timedelta(hours=2))
        kept = progress.read("states")
        progress.write("states", {**kept.document, "incidents_until": scene.rig.now.isoformat()}, etag=kept.etag)
        scene.sync()
        assert scene.changes(fired) == []

        scene.sync(since=scene.rig.now - timedelta(hours=3))

        assert scene.changes(fired) == [(US, "Acknowledged")]

    def test_a_dry_run_tells_what_would_be_done_and_does_nothing(self, scene: BothSidesScene) -> None:
        one, other = alert(1), alert(2)
        incident = scene.fired(one)
        scene.fired(other)
        scene.take(incident)
        scene.azure.set_state(other.guid, "Closed", by=KIM)
        before = [scene.rig.row(key_of(each)) for each in (one, other)]
        kept = ProgressTable(scene.table).read("states")

        report = scene.sync(is_dry=True)

        assert [each.action for each in report.changes] == ["acknowledge", "note"]
        assert (scene.changes(one), scene.changes(other)) == ([], [(KIM, "Closed")])
        assert [scene.rig.row(key_of(each)) for each in (one, other)] == before
        assert ProgressTable(scene.table).read("states") == kept
