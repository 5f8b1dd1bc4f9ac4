from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.record import DECISIONS_KEPT, SETTLE_TIME, WAKE_UP_GRACE, Decision, Record
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
)


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
        row = known_record().succeeded(incident(state=7), now=NOW)

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


class TestDecisions:
    """What was done and why, for people."""

    def decided(self, number: int, **changes: Any) -> Decision:
        decision = Decision(at=NOW + number * MINUTE, action="create", reason="alert fired", result="down")
        return replace(decision, **changes)

    def test_like_ones_are_counted_and_the_last_one_is_shown(self) -> None:
        row = record()
        for number in range(3):
            row = row.decided(self.decided(number))
        row = row.decided(self.decided(3, result="INC0010001 in state 1"))

        assert row.decisions == (self.decided(2, times=3), self.decided(3, result="INC0010001 in state 1"))

    def test_only_the_newest_are_kept(self) -> None:
        row = record()
        for number in range(DECISIONS_KEPT + 5):
            row = row.decided(self.decided(number, result=f"{number}"))

        assert [each.result for each in row.decisions] == [f"{number}" for number in range(5, DECISIONS_KEPT + 5)]

    def test_one_that_is_there_is_not_added_again(self) -> None:
        row = record().decided(self.decided(1)).decided(self.decided(2, action="resolve"))

        assert row.decided(self.decided(1)) == row
