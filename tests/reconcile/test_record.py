from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.record import SETTLE_TIME, Record
from itsm_bridge.reconcile.work import STEPS_KEPT, WAKE_UP_GRACE, Step
from tests.builders import (
    HOUR,
    KEY,
    MINUTE,
    NOW,
    incident,
    known_record,
    notification,
    record,
    resolved,
    told,
    worked,
    write,
)


class TestLease:
    """The right to write, and what a lost one means."""

    def test_a_released_lease_leaves_no_doubt(self) -> None:
        row = worked(record().leased(holder="a", now=NOW, until=NOW + MINUTE), "released")

        assert row.leased(holder="b", now=NOW + HOUR, until=NOW + 2 * HOUR).observed.in_doubt_until is None

    def test_a_lease_that_was_never_released_leaves_doubt_until_its_last_write_must_have_ended(self) -> None:
        row = record().leased(holder="a", now=NOW, until=NOW + MINUTE)

        taken_over = row.leased(holder="b", now=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE)

        assert taken_over.observed.in_doubt_until == NOW + MINUTE + SETTLE_TIME
        assert taken_over.may_have_incident

    def test_a_row_that_nobody_wrote_for_has_no_incident_to_look_for(self) -> None:
        assert not record().leased(holder="a", now=NOW, until=NOW + MINUTE).may_have_incident
        assert first_record(resolved(), NOW).may_have_incident


class TestObservedHalf:
    """What the holder of the lease writes; each change may be repeated."""

    def test_what_was_asked_for_during_a_write_is_ours_if_its_own_answer_is_lost(self) -> None:
        sent = known_record().leased(holder="a", now=NOW, until=NOW + MINUTE)
        worse = notification(digest="worse", fields={"short_description": "Worse"})
        row = told(sent, worse).written(incident(), sent=sent, write=write(fields=sent.desired.fields))

        better = told(row.doubted(NOW), notification(digest="better", fields={"short_description": "Better"}))

        assert better.changed_fields(incident(fields={"short_description": "Worse"})) == {"short_description": "Better"}

    def test_a_confirmed_write_is_remembered_field_by_field(self) -> None:
        row = known_record()

        assert (row.observed.incident_id, row.observed.number, row.observed.told_firing_count) == (
            incident().id,
            "INC0010001",
            1,
        )
        assert row.changed_fields(incident()) == {}

    def test_a_field_that_we_want_different_is_written(self) -> None:
        row = told(
            known_record(), notification(digest="worse", fields={**notification().content.fields, "impact": "2"})
        )

        assert row.changed_fields(incident()) == {"impact": "2"}

    def test_a_field_that_a_person_edited_is_left_alone(self) -> None:
        row = told(
            known_record(), notification(digest="worse", fields={**notification().content.fields, "impact": "2"})
        )

        assert row.changed_fields(incident(fields={"impact": "3"})) == {}

    def test_a_field_that_servicenow_cut_is_not_written_again_and_again(self) -> None:
        first = first_record(notification(fields={"short_description": "long " * 50}), NOW)
        row = first.written(
            incident(fields={"short_description": "long"}), sent=first, write=write(fields=first.desired.fields)
        )

        assert row.changed_fields(incident(fields={"short_description": "long"})) == {}

    def test_notes_that_came_after_a_write_are_still_owed(self) -> None:
        sent = told(known_record(), resolved())
        meanwhile = told(sent, notification(at=NOW + HOUR, digest="anew"))

        row = meanwhile.written(incident(), sent=sent, write=write())

        assert [note.text for note in row.work.notes] == ["The alert fired again."]

    def test_a_note_found_in_the_journal_is_no_longer_owed(self) -> None:
        row = told(known_record(), resolved())

        assert row.seen(incident(journal="somebody: hello")).work.notes == row.work.notes
        assert row.seen(incident(journal=f"bridge: {row.work.notes[0].marked(KEY)}")).work.notes == ()

    def test_what_came_meanwhile_keeps_a_row_unsettled_and_leased(self) -> None:
        planned = told(known_record(), resolved()).leased(holder="a", now=NOW, until=NOW + MINUTE)
        meanwhile = told(planned, notification(at=NOW + HOUR, digest="anew"))

        row = meanwhile.settled(planned)

        assert (row.is_settled, row.work.lease_holder) == (False, "a")
        assert (planned.settled(planned).is_settled, planned.settled(planned).work.lease_holder) == (True, "")

    @pytest.mark.parametrize(
        "change",
        [
            lambda row: row.seen(incident()),
            lambda row: row.written(incident(), sent=record(), write=write(fields=record().desired.fields)),
            lambda row: row.settled(record()),
            lambda row: row.doubted(NOW),
            lambda row: worked(row, "parked", "no"),
            lambda row: worked(row, "awaiting", wake_up_at=NOW, wake_up_id="m"),
        ],
    )
    def test_changes_can_be_repeated(self, change: Callable[[Record], Record]) -> None:
        once = change(record())

        assert change(once) == once

    def test_a_new_generation_has_an_identity_of_its_own(self) -> None:
        row = known_record().succeeded(incident(state=7), now=NOW)

        assert (row.observed.generation, row.observed.previous_number, row.observed.incident_id) == (
            2,
            "INC0010001",
            "",
        )
        assert row.incident_id != known_record().incident_id


class TestWakeUp:
    """A row counts on one wake-up."""

    def test_another_one_is_a_stray(self) -> None:
        row = worked(record(), "awaiting", wake_up_at=NOW, wake_up_id="mine")

        assert row.work.counts_on_another("stray", NOW)
        assert not row.work.counts_on_another("mine", NOW)

    def test_any_will_do_when_it_is_not_known_or_long_overdue(self) -> None:
        assert not record().work.counts_on_another("any", NOW)
        assert not worked(record(), "awaiting", wake_up_at=NOW, wake_up_id="mine").work.counts_on_another(
            "any", NOW + WAKE_UP_GRACE
        )


class TestSteps:
    """What was done and why, for people."""

    def step(self, number: int, **changes: Any) -> Step:
        step = Step(at=NOW + number * MINUTE, action="create", reason="alert fired", result="down")
        return replace(step, **changes)

    def test_like_ones_are_counted_and_the_last_one_is_shown(self) -> None:
        row = record()
        for number in range(3):
            row = worked(row, "done", self.step(number))
        row = worked(row, "done", self.step(3, result="INC0010001 in state 1"))

        assert row.work.steps == (self.step(2, times=3), self.step(3, result="INC0010001 in state 1"))

    def test_only_the_newest_are_kept(self) -> None:
        row = record()
        for number in range(STEPS_KEPT + 5):
            row = worked(row, "done", self.step(number, result=f"{number}"))

        assert [each.result for each in row.work.steps] == [f"{number}" for number in range(5, STEPS_KEPT + 5)]

    def test_one_that_is_there_is_not_added_again(self) -> None:
        row = worked(worked(record(), "done", self.step(1)), "done", self.step(2, action="resolve"))

        assert worked(row, "done", self.step(1)) == row
