from dataclasses import replace

from itsm_bridge.merge import first_record, merge
from itsm_bridge.row import to_entity
from tests.builders import HOUR, MINUTE, NOW, SECOND, known_record, notification, resolved, told


def test_a_first_fired_asks_for_an_incident() -> None:
    row = first_record(notification(), NOW)

    assert (row.firing, row.revision, row.is_firing, row.awaits_work) == (1, 1, True, True)
    assert row.fields == notification().fields


def test_a_repetition_changes_nothing() -> None:
    row = known_record()

    assert merge(row, notification(), NOW) is row


def test_a_change_asks_for_an_update_with_a_note() -> None:
    row = told(known_record(), notification(digest="worse", facts={"Severity": "Sev0"}, note="It is worse."))

    assert (row.firing, row.revision, row.is_settled) == (1, 2, False)
    assert len(row.notes) == 1
    assert "Sev1" in row.notes[0].text
    assert "Sev0" in row.notes[0].text


def test_a_resolved_ends_it() -> None:
    row = told(known_record(), resolved())

    assert (row.firing, row.is_firing, row.close_notes) == (1, False, "The alert resolved.")
    assert [note.text for note in row.notes] == ["The alert resolved."]


def test_a_resolved_before_any_fired_is_remembered_without_a_word() -> None:
    row = first_record(resolved(), NOW)

    assert (row.firing, row.fields, row.notes) == (0, {}, ())


def test_a_fired_that_is_older_than_the_resolved_says_nothing_new() -> None:
    row = first_record(resolved(), NOW)

    assert merge(row, notification(), NOW) is row


def test_a_fired_at_the_time_of_its_resolved_says_nothing_new() -> None:
    row = first_record(resolved(at=NOW - MINUTE), NOW)

    assert merge(row, notification(), NOW) is row


def test_without_times_the_end_wins() -> None:
    row = first_record(resolved(at=None), NOW)

    assert merge(row, notification(at=None), NOW) is row
    assert merge(row, notification(), NOW) is row


def test_a_fired_after_the_resolved_begins_a_new_firing() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + SECOND, digest="anew"))

    assert (row.firing, row.is_firing) == (2, True)
    assert [note.text for note in row.notes] == ["The alert resolved.", "The alert fired again."]


def test_a_resolved_of_an_earlier_firing_says_nothing_new() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + HOUR, digest="anew"))

    assert merge(row, resolved(digest="late"), NOW) is row


def test_an_older_update_says_nothing_new() -> None:
    row = told(known_record(), notification(digest="second", at=NOW + MINUTE))

    assert merge(row, notification(digest="first", at=NOW), NOW) is row


def test_a_key_fires_until_its_last_signal_has_ended() -> None:
    row = told(known_record(), notification(signal="alert-2", digest="other"), resolved())

    assert row.is_firing
    assert not told(row, resolved(signal="alert-2")).is_firing


def test_an_alert_that_fires_at_a_later_time_fires_anew_without_having_ended() -> None:
    row = told(known_record(), notification(at=NOW + HOUR))

    assert (row.firing, [note.text for note in row.notes]) == (2, ["The alert fired again."])


def test_another_alert_of_the_key_fires_anew() -> None:
    assert told(known_record(), notification(signal="alert-2")).firing == 2


def test_an_update_of_a_health_event_is_no_new_firing() -> None:
    health = first_record(notification(signal=""), NOW)

    row = told(health, notification(signal="", digest="update", at=NOW + HOUR))

    assert (row.firing, row.revision) == (1, 2)
    assert merge(row, notification(signal="", digest="update", at=NOW + 2 * HOUR), NOW) is row


def test_a_resource_that_flaps_for_days_does_not_outgrow_its_row() -> None:
    row = known_record()
    for number in range(200):
        row = told(row, resolved(at=NOW + number * HOUR, digest="r", note=f"{number} " + "x" * 2900))
        row = told(row, notification(at=NOW + number * HOUR + MINUTE, digest="f"))

    assert row.notes[-2].text.startswith("199 ")
    assert sum(len(str(value)) for value in to_entity(row).values()) < 1024 * 1024 / 2


def test_a_test_notification_opens_and_closes_at_once() -> None:
    row = first_record(notification(opens=True, closes=True), NOW)

    assert (row.firing, row.is_firing) == (1, False)
    assert row.close_notes == "The alert fired again."


def test_news_takes_a_parked_row_out_of_the_park() -> None:
    row = told(known_record().parked("no"), resolved())

    assert (row.is_parked, row.attempts, row.last_error, row.awaits_work) == (False, 0, "", True)


def test_nothing_of_the_observed_half_is_touched() -> None:
    row = replace(known_record(), leased_until=NOW + MINUTE, lease_holder="a", etag="e")
    merged = told(row, resolved())

    observed = ("sys_id", "number", "applied", "observed_revision", "reported_firing", "lease_holder", "etag")
    assert [getattr(merged, name) for name in observed] == [getattr(row, name) for name in observed]
