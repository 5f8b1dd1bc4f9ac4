from dataclasses import replace

from itsm_bridge.reconcile.record import Note
from itsm_bridge.servicenow import fields as writes
from tests.builders import KEY, NOW, incident, known_record, notification, record, resolved, told


def test_a_new_incident_has_its_identity_and_what_the_alert_says() -> None:
    assert writes.creation(record()) == {
        "sys_id": record().incident_sys_id,
        "correlation_id": KEY,
        **notification().fields,
    }


def test_a_next_generation_names_the_one_before() -> None:
    fields = writes.creation(known_record().succeeded(incident(state=7), now=NOW))

    assert fields["work_notes"] == "INC0010001 is closed; this incident follows it."


def test_an_update_writes_what_differs_and_the_notes() -> None:
    row = told(known_record(), notification(digest="worse", fields={**notification().fields, "impact": "3"}))

    assert writes.update(row, incident()) == {"impact": "3", "work_notes": row.notes[0].marked(KEY)}
    assert writes.update(row, incident(state=6)) == {"work_notes": row.notes[0].marked(KEY)}


def test_a_resolution_has_all_that_servicenow_demands() -> None:
    row = told(known_record(), resolved())

    assert writes.resolution(row, "Solution provided") == {
        "state": "6",
        "close_code": "Solution provided",
        "close_notes": "The alert resolved.",
        "work_notes": row.notes[0].marked(KEY),
    }


def test_a_reopening_says_why_even_if_the_row_does_not_know() -> None:
    assert writes.reopening(known_record(), incident(state=6)) == {
        "state": "2",
        "work_notes": "Azure Monitor reports that the alert fired again.",
    }


def test_notes_that_a_journal_entry_cannot_hold_are_left_out_visibly_oldest_first() -> None:
    row = replace(known_record(), notes=tuple(Note(revision=n, text=f"{n} " + "x" * 900) for n in range(2, 10)))

    text = writes.update(row, incident())["work_notes"]

    assert len(text) <= writes.JOURNAL_LENGTH
    assert text.startswith("Earlier notes are left out.\n\n6 x")
    assert text.endswith(row.notes[-1].marked(KEY))


def test_what_a_person_edited_is_not_overwritten() -> None:
    row = told(known_record(), notification(digest="new", at=NOW, fields={**notification().fields, "impact": "3"}))

    assert "impact" not in writes.update(row, incident(fields={"impact": "2"}))
