from collections.abc import Callable
from dataclasses import replace

import pytest

from itsm_bridge.record import SETTLE_TIME, WAKE_UP_GRACE, Record, first_record, merge
from itsm_bridge.row import to_entity
from tests.builders import (
    HOUR,
    KEY,
    MINUTE,
    NOW,
    SECOND,
    incident,
    known_record,
    notification,
    record,
    resolved,
    told,
)


class TestMerge:
    """What a notification says to a row."""

    def test_a_first_fired_asks_for_an_incident(self) -> None:
        row = first_record(notification(), NOW)

        assert (row.firing, row.revision, row.is_firing, row.awaits_work) == (1, 1, True, True)
        assert row.fields == notification().fields

    def test_a_repetition_changes_nothing(self) -> None:
        row = known_record()

        assert merge(row, notification(), NOW) is row

    def test_a_change_asks_for_an_update_with_a_note(self) -> None:
        row = told(known_record(), notification(digest="worse", facts={"Severity": "Sev0"}, note="It is worse."))

        assert (row.firing, row.revision, row.is_settled) == (1, 2, False)
        assert len(row.notes) == 1
        assert "Sev1" in row.notes[0].text
        assert "Sev0" in row.notes[0].text

    def test_a_resolved_ends_it(self) -> None:
        row = told(known_record(), resolved())

        assert (row.firing, row.is_firing, row.close_notes) == (1, False, "The alert resolved.")
        assert [note.text for note in row.notes] == ["The alert resolved."]

    def test_a_resolved_before_any_fired_is_remembered_without_a_word(self) -> None:
        row = first_record(resolved(), NOW)

        assert (row.firing, row.fields, row.notes) == (0, {}, ())

    def test_a_fired_that_is_older_than_the_resolved_says_nothing_new(self) -> None:
        row = first_record(resolved(), NOW)

        assert merge(row, notification(), NOW) is row

    def test_a_fired_at_the_time_of_its_resolved_says_nothing_new(self) -> None:
        row = first_record(resolved(at=NOW - MINUTE), NOW)

        assert merge(row, notification(), NOW) is row

    def test_without_times_the_end_wins(self) -> None:
        row = first_record(resolved(at=None), NOW)

        assert merge(row, notification(at=None), NOW) is row
        assert merge(row, notification(), NOW) is row

    def test_a_fired_after_the_resolved_begins_a_new_firing(self) -> None:
        row = told(known_record(), resolved(), notification(at=NOW + SECOND, digest="anew"))

        assert (row.firing, row.is_firing) == (2, True)
        assert [note.text for note in row.notes] == ["The alert resolved.", "The alert fired again."]

    def test_a_resolved_of_an_earlier_firing_says_nothing_new(self) -> None:
        row = told(known_record(), resolved(), notification(at=NOW + HOUR, digest="anew"))

        assert merge(row, resolved(digest="late"), NOW) is row

    def test_an_older_update_says_nothing_new(self) -> None:
        row = told(known_record(), notification(digest="second", at=NOW + MINUTE))

        assert merge(row, notification(digest="first", at=NOW), NOW) is row

    def test_a_key_fires_until_its_last_signal_has_ended(self) -> None:
        row = told(known_record(), notification(signal="alert-2", digest="other"), resolved())

        assert row.is_firing
        assert not told(row, resolved(signal="alert-2")).is_firing

    def test_an_alert_that_fires_at_a_later_time_fires_anew_without_having_ended(self) -> None:
        row = told(known_record(), notification(at=NOW + HOUR))

        assert (row.firing, [note.text for note in row.notes]) == (2, ["The alert fired again."])

    def test_another_alert_of_the_key_fires_anew(self) -> None:
        assert told(known_record(), notification(signal="alert-2")).firing == 2

    def test_an_update_of_a_health_event_is_no_new_firing(self) -> None:
        health = first_record(notification(signal=""), NOW)

        row = told(health, notification(signal="", digest="update", at=NOW + HOUR))

        assert (row.firing, row.revision) == (1, 2)
        assert merge(row, notification(signal="", digest="update", at=NOW + 2 * HOUR), NOW) is row

    def test_a_resource_that_flaps_for_days_does_not_outgrow_its_row(self) -> None:
        row = known_record()
        for number in range(200):
            row = told(row, resolved(at=NOW + number * HOUR, digest="r", note=f"{number} " + "x" * 2900))
            row = told(row, notification(at=NOW + number * HOUR + MINUTE, digest="f"))

        assert row.notes[-2].text.startswith("199 ")
        assert sum(len(str(value)) for value in to_entity(row).values()) < 1024 * 1024 / 2

    def test_a_test_notification_opens_and_closes_at_once(self) -> None:
        row = first_record(notification(opens=True, closes=True), NOW)

        assert (row.firing, row.is_firing) == (1, False)
        assert row.close_notes == "The alert fired again."

    def test_news_takes_a_parked_row_out_of_the_park(self) -> None:
        row = told(known_record().parked("no"), resolved())

        assert (row.is_parked, row.attempts, row.last_error, row.awaits_work) == (False, 0, "", True)

    def test_nothing_of_the_observed_half_is_touched(self) -> None:
        row = replace(known_record(), leased_until=NOW + MINUTE, lease_holder="a", etag="e")
        merged = told(row, resolved())

        observed = ("sys_id", "number", "applied", "observed_revision", "reported_firing", "lease_holder", "etag")
        assert [getattr(merged, name) for name in observed] == [getattr(row, name) for name in observed]


class TestLease:
    """The right to write, and what a lost one means."""

    def test_a_released_lease_leaves_no_doubt(self) -> None:
        row = record().leased(holder="a", now=NOW, until=NOW + MINUTE).released()

        assert row.leased(holder="b", now=NOW + HOUR, until=NOW + 2 * HOUR).in_doubt_until is None

    def test_a_lease_that_was_never_released_leaves_doubt_until_its_last_write_must_have_ended(self) -> None:
        row = record().leased(holder="a", now=NOW, until=NOW + MINUTE)

        taken_over = row.leased(holder="b", now=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE)

        assert taken_over.in_doubt_until == NOW + MINUTE + SETTLE_TIME
        assert taken_over.may_have_incident

    def test_a_row_that_nobody_wrote_for_has_no_incident_to_look_for(self) -> None:
        assert not record().leased(holder="a", now=NOW, until=NOW + MINUTE).may_have_incident
        assert first_record(resolved(), NOW).may_have_incident


class TestObservedHalf:
    """What the holder of the lease writes; each change may be repeated."""

    def test_a_confirmed_write_is_remembered_field_by_field(self) -> None:
        row = known_record()

        assert (row.sys_id, row.number, row.reported_firing) == (incident().sys_id, "INC0010001", 1)
        assert row.changed_fields(incident()) == {}

    def test_a_field_that_we_want_different_is_written(self) -> None:
        row = told(known_record(), notification(digest="worse", fields={**notification().fields, "impact": "2"}))

        assert row.changed_fields(incident()) == {"impact": "2"}

    def test_a_field_that_a_person_edited_is_left_alone(self) -> None:
        row = told(known_record(), notification(digest="worse", fields={**notification().fields, "impact": "2"}))

        assert row.changed_fields(incident(fields={"impact": "3"})) == {}

    def test_a_field_that_servicenow_cut_is_not_written_again_and_again(self) -> None:
        first = record(fields={"short_description": "long " * 50})
        row = first.written(incident(fields={"short_description": "long"}), sent=first, fields=first.fields)

        assert row.changed_fields(incident(fields={"short_description": "long"})) == {}

    def test_notes_that_came_after_a_write_are_still_owed(self) -> None:
        sent = told(known_record(), resolved())
        meanwhile = told(sent, notification(at=NOW + HOUR, digest="anew"))

        row = meanwhile.written(incident(), sent=sent, fields={})

        assert [note.text for note in row.notes] == ["The alert fired again."]

    def test_a_note_found_in_the_journal_is_no_longer_owed(self) -> None:
        row = told(known_record(), resolved())

        assert row.seen(incident(work_notes="somebody: hello")).notes == row.notes
        assert row.seen(incident(work_notes=f"bridge: {row.notes[0].marked(KEY)}")).notes == ()

    def test_what_came_meanwhile_keeps_a_row_unsettled_and_leased(self) -> None:
        planned = told(known_record(), resolved()).leased(holder="a", now=NOW, until=NOW + MINUTE)
        meanwhile = told(planned, notification(at=NOW + HOUR, digest="anew"))

        row = meanwhile.settled(planned)

        assert (row.is_settled, row.lease_holder) == (False, "a")
        assert (planned.settled(planned).is_settled, planned.settled(planned).lease_holder) == (True, "")

    @pytest.mark.parametrize(
        "change",
        [
            lambda row: row.seen(incident()),
            lambda row: row.written(incident(), sent=record(), fields=record().fields),
            lambda row: row.settled(record()),
            lambda row: row.doubted(NOW),
            lambda row: row.parked("no"),
            lambda row: row.awaiting(wake_up_at=NOW, wake_up_id="m"),
        ],
    )
    def test_changes_can_be_repeated(self, change: Callable[[Record], Record]) -> None:
        once = change(record())

        assert change(once) == once

    def test_a_new_generation_has_an_identity_of_its_own(self) -> None:
        row = known_record().succeeded(incident(state=7))

        assert (row.generation, row.previous_number, row.sys_id) == (2, "INC0010001", "")
        assert row.incident_sys_id != known_record().incident_sys_id


class TestWakeUp:
    """A row counts on one wake-up."""

    def test_another_one_is_a_stray(self) -> None:
        row = record().awaiting(wake_up_at=NOW, wake_up_id="mine")

        assert row.counts_on_another("stray", NOW)
        assert not row.counts_on_another("mine", NOW)

    def test_any_will_do_when_it_is_not_known_or_long_overdue(self) -> None:
        assert not record().counts_on_another("any", NOW)
        assert not record().awaiting(wake_up_at=NOW, wake_up_id="mine").counts_on_another("any", NOW + WAKE_UP_GRACE)
