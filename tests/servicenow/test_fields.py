from dataclasses import replace

from itsm_bridge.reconcile.orders import write_for
from itsm_bridge.reconcile.plan import Action, Decision
from itsm_bridge.reconcile.ports import Incident, Write
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import Note
from itsm_bridge.servicenow import fields
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from tests.builders import FIELDS, KEY, NOW, changed, incident, known_record, notification, record, resolved, told


def write(action: Action, row: Record, seen: Incident | None = None) -> Write:
    return write_for(Decision(action=action, reason=""), row, seen, creation_is_repeatable=True)


def test_a_new_incident_has_its_identity_and_what_the_alert_says() -> None:
    assert fields.creation(write(Action.CREATE, record())) == {
        "sys_id": record().incident_id,
        "correlation_id": KEY,
        **FIELDS,
    }


def test_a_next_generation_names_the_one_before() -> None:
    row = known_record().succeeded(incident(state=7), now=NOW)

    sent = fields.creation(write(Action.CREATE, row))

    assert sent["work_notes"] == "INC0010001 is over; this incident follows it."


def test_an_update_writes_what_differs_and_the_notes() -> None:
    row = told(known_record(), notification(digest="worse", fields={**FIELDS, "impact": "3"}))
    note = row.work.notes[0].marked(KEY)

    assert fields.change(write(Action.UPDATE, row, incident())) == {"impact": "3", "work_notes": note}
    assert fields.change(write(Action.UPDATE, row, incident(state=6))) == {"work_notes": note}


def test_a_configuration_item_is_written_once_and_only_where_there_is_none() -> None:
    row = changed(known_record(), links={CONFIGURATION_ITEM: "c1" * 16})
    bound = incident(links={CONFIGURATION_ITEM: "d2" * 16})

    assert fields.change(write(Action.UPDATE, row, incident())) == {"cmdb_ci": "c1" * 16}
    assert fields.change(write(Action.UPDATE, row, bound)) == {}
    told_once = row.written(incident(), sent=row, write=write(Action.UPDATE, row, incident()))
    assert fields.change(write(Action.UPDATE, told_once, incident())) == {}


def test_a_resolution_has_all_that_servicenow_demands() -> None:
    row = told(known_record(), resolved())

    assert fields.resolution(write(Action.RESOLVE, row, incident()), "Solution provided") == {
        "state": "6",
        "close_code": "Solution provided",
        "close_notes": "The alert resolved.",
        "work_notes": row.work.notes[0].marked(KEY),
    }


def test_a_reopening_says_why_even_if_the_row_does_not_know() -> None:
    assert fields.reopening(write(Action.REOPEN, known_record(), incident(state=6))) == {
        "state": "2",
        "work_notes": "Azure Monitor reports that the alert fired again.",
    }


def test_notes_that_a_journal_entry_cannot_hold_are_left_out_visibly_oldest_first() -> None:
    row = changed(known_record(), notes=tuple(Note(revision=n, text=f"{n} " + "x" * 900) for n in range(2, 10)))

    text = fields.change(write(Action.UPDATE, row, incident()))["work_notes"]

    assert len(text) <= fields.JOURNAL_LENGTH
    assert text.startswith("Earlier notes are left out.\n\n6 x")
    assert text.endswith(row.work.notes[-1].marked(KEY))


def test_what_a_person_edited_is_not_overwritten() -> None:
    row = told(known_record(), notification(digest="new", at=NOW, fields={**FIELDS, "impact": "3"}))

    assert "impact" not in fields.change(write(Action.UPDATE, row, incident(fields={"impact": "2"})))


def test_a_link_is_the_field_of_its_name_and_the_configuration_item_that_of_an_operator_first() -> None:
    def linked(**links: str) -> dict[str, str]:
        return dict(fields.change(replace(write(Action.UPDATE, known_record(), incident()), links=links, notes=())))

    assert linked(configuration_item="1" * 32) == {"cmdb_ci": "1" * 32}
    assert linked(configuration_item="1" * 32, assignment_group="2" * 32, caller_id="") == {
        "cmdb_ci": "1" * 32,
        "assignment_group": "2" * 32,
    }
    assert linked(configuration_item="1" * 32, cmdb_ci="3" * 32) == {"cmdb_ci": "3" * 32}
    assert linked(configuration_item="1" * 32, cmdb_ci="") == {"cmdb_ci": "1" * 32}
