"""What was found in Azure's list and the call that comes after all are one."""

from dataclasses import replace
from typing import Any

import pytest

from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.merge import first_record, merge
from itsm_bridge.reconcile.record import Record
from itsm_bridge.rules.ruling import Lifecycle
from tests.builders import HOUR, MINUTE, NOW, SECOND, notification, resolved, signal

HOW = "Azure Monitor's call did not reach us; found in Azure's list."


def found(news: News) -> News:
    return news.found(HOW)


def after(*news: News) -> Record:
    row = first_record(news[0], NOW)
    for each in news[1:]:
        row = merge(row, each, NOW)
    return row


def notes(row: Record) -> list[str]:
    return [note.text for note in row.work.notes]


def test_the_first_note_of_what_was_found_says_how() -> None:
    assert notes(after(found(notification()))) == [HOW]
    assert notes(after(notification())) == []


def test_an_end_that_was_found_says_how_in_its_note() -> None:
    row = after(notification(), found(resolved()))

    assert notes(row) == [f"The alert resolved.\n\n{HOW}"]
    assert row.desired.closing == notes(row)[0]


@pytest.mark.parametrize("late", [notification(), resolved()], ids=["fired", "resolved"])
@pytest.mark.parametrize(
    "differs",
    [
        {},
        {"digest": "other words"},
        {"digest": "other words", "at": NOW - MINUTE - 90 * SECOND},
        {"digest": "other words", "note": "It fired, on another resource."},
    ],
)
def test_the_call_that_comes_after_all_changes_nothing(late: News, differs: dict[str, Any]) -> None:
    row = after(notification(), found(late)) if late.closes else after(found(late))

    assert merge(row, replace(late, **differs), NOW) is row


@pytest.mark.parametrize("differs", [{}, {"digest": "other words"}, {"digest": "other words", "at": NOW - 2 * MINUTE}])
def test_what_is_found_after_its_call_changes_nothing(differs: dict[str, Any]) -> None:
    fired, over = after(notification()), after(notification(), resolved())

    assert merge(fired, found(replace(notification(), **differs)), NOW) is fired
    assert merge(over, found(replace(resolved(), **differs)), NOW) is over
    assert merge(over, found(replace(notification(), **differs)), NOW) is over


def test_a_change_of_severity_is_news_of_what_was_found_too() -> None:
    row = after(found(notification()))

    worse = merge(row, notification(digest="worse", facts={"Severity": "Sev0"}), NOW)

    assert worse.desired.revision > row.desired.revision


def test_another_event_of_a_single_voice_is_news() -> None:
    row = after(found(notification(signal="")))

    assert merge(row, notification(signal="", digest="same event"), NOW) is row
    assert merge(row, notification(signal="", digest="update", at=NOW), NOW) is not row


def test_a_beginning_and_an_end_that_were_found_make_an_incident_that_is_over() -> None:
    row = after(found(notification()), found(resolved()))

    assert not row.desired.is_firing
    assert row.desired.firing_count == 1
    assert row.desired.closing
    for late in (notification(), resolved()):
        assert merge(row, late, NOW) is row


def test_a_beginning_that_is_found_after_its_end_came_makes_the_same() -> None:
    row = after(resolved(), found(notification()))

    assert not row.desired.is_firing
    assert (row.desired.firing_count, signal(row).ended_firing) == (1, True)
    assert row.desired.fields == notification().content.fields
    assert row.desired.closing == "The alert resolved."
    assert notes(row) == [HOW]
    for late in (notification(), resolved(), found(notification()), found(resolved())):
        assert merge(row, late, NOW) is row


def test_a_call_alone_makes_no_incident_of_what_is_over() -> None:
    row = after(resolved(), notification())

    assert row.desired.firing_count == 0


def test_a_beginning_that_a_call_brought_after_its_end_is_not_taken_for_missed() -> None:
    row = after(resolved(), notification())

    assert merge(row, found(notification()), NOW) is row
    assert merge(row, notification(), NOW) is row
    assert row.desired.revision == after(resolved()).desired.revision


def test_a_rule_that_holds_alerts_back_wants_nothing_of_one_that_is_over() -> None:
    held = replace(found(notification()), lifecycle=Lifecycle(hold=HOUR))

    assert after(resolved(), held).desired.firing_count == 0


def test_what_rules_ignore_stays_ignored_when_it_is_found() -> None:
    row = after(found(notification(ignored_by="noise")))

    assert row.desired.is_ignored
    assert notes(row) == []
