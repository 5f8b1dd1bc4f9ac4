"""The table about the state of alerts, every cell of it, and what leads to a cell."""

import itertools
from dataclasses import replace
from datetime import datetime

import pytest

from itsm_bridge.reconcile.followed import FollowedAlert, Handling, TouchedIncident
from itsm_bridge.resource_manager import states
from itsm_bridge.resource_manager.listed_alert import AlertState
from itsm_bridge.resource_manager.states import (
    CLEARLY,
    DECISIONS,
    STATES,
    Action,
    Doing,
    Look,
    Seen,
    decide,
    decide_gone,
    doing_of,
    owes_word,
)
from tests.builders import MINUTE, NOW, SECOND

INCIDENT = TouchedIncident(
    key="5f" * 32,
    id="a" * 32,
    number="INC0010001",
    changed_at=NOW,
    is_as_created=False,
    is_open=True,
    is_in_work=True,
    assignee="",
    state="2",
)


def test_the_table_of_the_documentation_is_the_one_that_decides() -> None:
    doc = states.__doc__ or ""
    words = {"-": "nothing"}
    for doing in Doing:
        [line] = [each for each in doc.splitlines() if each.strip().startswith(f"{doing}  ")]
        cells = line.strip().removeprefix(doing).split()
        assert [words.get(each, each) for each in cells] == [str(DECISIONS[doing][seen]) for seen in Seen]


def test_no_cell_takes_back_what_a_person_in_azure_said() -> None:
    for row in DECISIONS.values():
        assert row[Seen.OTHERWISE] not in STATES
        assert row[Seen.GONE] not in STATES


def test_to_do_it_twice_does_nothing_the_second_time() -> None:
    for row, seen in itertools.product(DECISIONS.values(), Seen):
        if row[seen] in STATES:
            assert row[Seen(STATES[row[seen]].lower())] is Action.NOTHING


def test_what_the_bridge_did_itself_changes_no_alert() -> None:
    for doing in (Doing.UNCHANGED, Doing.PUT_BACK, Doing.REOPENED_BY_US, Doing.ENDED_BY_US):
        assert set(DECISIONS[doing].values()) == {Action.NOTHING}


@pytest.mark.parametrize(
    ("told", "handling", "by_us", "doing"),
    [
        (Handling.UNTOUCHED, Handling.UNTOUCHED, False, Doing.UNCHANGED),
        (Handling.UNTOUCHED, Handling.TAKEN, False, Doing.TAKEN),
        (Handling.TAKEN, Handling.UNTOUCHED, False, Doing.PUT_BACK),
        (Handling.TAKEN, Handling.ENDED, False, Doing.ENDED),
        (Handling.TAKEN, Handling.ENDED_BY_US, False, Doing.ENDED_BY_US),
        (Handling.ENDED, Handling.TAKEN, False, Doing.REOPENED),
        (Handling.ENDED, Handling.TAKEN, True, Doing.REOPENED_BY_US),
        (Handling.ENDED, Handling.UNTOUCHED, True, Doing.REOPENED_BY_US),
        (Handling.ENDED, Handling.UNTOUCHED, False, Doing.PUT_BACK),
        (Handling.UNTOUCHED, Handling.TAKEN, True, Doing.TAKEN),
        (Handling.ENDED, Handling.ENDED, True, Doing.UNCHANGED),
    ],
)
def test_what_happened_follows_from_what_the_alert_was_told(
    told: Handling, handling: Handling, by_us: bool, doing: Doing
) -> None:
    assert doing_of(told, handling, replace(INCIDENT, is_reopened_by_us=by_us)) is doing


@pytest.mark.parametrize(
    ("incident", "handling"),
    [
        (INCIDENT, Handling.TAKEN),
        (replace(INCIDENT, is_in_work=False), Handling.UNTOUCHED),
        (replace(INCIDENT, state="-5"), Handling.UNTOUCHED),
        (replace(INCIDENT, state="-5", reopened_at=NOW), Handling.TAKEN),
        (replace(INCIDENT, is_in_work=False, assignee="beth"), Handling.TAKEN),
        (replace(INCIDENT, is_in_work=False, assignee="rota"), Handling.UNTOUCHED),
        (replace(INCIDENT, is_in_work=False, assignee="beth", is_as_created=True), Handling.UNTOUCHED),
        (replace(INCIDENT, is_open=False), Handling.ENDED),
        (replace(INCIDENT, is_open=False, is_ended_by_us=True), Handling.ENDED_BY_US),
    ],
)
def test_how_far_people_are_with_an_incident(incident: TouchedIncident, handling: Handling) -> None:
    assert incident.handling(not_people={"rota", ""}, begun_in="-5") is handling


def seen_of(doing: Doing, incident: TouchedIncident, look: Look, not_before: datetime | None) -> str:
    return decide(doing, incident, look, not_before=not_before).reason.rpartition("alert ")[2]


@pytest.mark.parametrize(
    ("doing", "at", "seen"),
    [
        (Doing.ENDED, NOW - CLEARLY - SECOND, "acknowledged"),
        (Doing.ENDED, NOW - CLEARLY, "otherwise"),
        (Doing.ENDED, NOW + MINUTE, "otherwise"),
        (Doing.ENDED, None, "acknowledged"),
    ],
)
def test_a_person_in_azure_has_the_last_word_unless_the_incident_changed_clearly_later(
    doing: Doing, at: datetime | None, seen: str
) -> None:
    incident = replace(INCIDENT, is_open=False, ended_at=NOW)

    assert seen_of(doing, incident, Look(state=AlertState.ACKNOWLEDGED, person_at=at), None) == seen


def test_a_person_who_gave_the_alert_the_very_state_contradicts_nobody() -> None:
    look = Look(state=AlertState.CLOSED, person_at=NOW + MINUTE)

    assert decide(Doing.ENDED, replace(INCIDENT, ended_at=NOW), look, not_before=None).action is Action.NOTHING


def test_when_an_incident_was_taken_is_told_by_the_last_look_alone() -> None:
    look = Look(state=AlertState.CLOSED, person_at=NOW)

    assert seen_of(Doing.TAKEN, INCIDENT, look, None) == "otherwise"
    assert seen_of(Doing.TAKEN, INCIDENT, look, NOW + MINUTE) == "otherwise"
    assert seen_of(Doing.TAKEN, INCIDENT, look, NOW + 2 * MINUTE) == "closed"


def test_nothing_is_looked_at_for_what_changes_no_alert() -> None:
    asks = {doing for doing in Doing if decide(doing, INCIDENT).action is Action.LOOK}

    assert asks == {Doing.TAKEN, Doing.REOPENED, Doing.ENDED}
    assert decide_gone(Doing.TAKEN).action is Action.LEAVE
    assert decide_gone(Doing.ENDED_BY_US).action is Action.NOTHING


@pytest.mark.parametrize(
    ("known", "look", "has_incident", "owes"),
    [
        (FollowedAlert(), Look(state=AlertState.CLOSED, person_at=NOW), True, True),
        (FollowedAlert(), Look(state=AlertState.CLOSED, person_at=NOW), False, False),
        (FollowedAlert(), Look(state=AlertState.CLOSED), True, False),
        (FollowedAlert(), Look(state=AlertState.NEW, person_at=NOW), True, False),
        (FollowedAlert(state="Closed"), Look(state=AlertState.CLOSED, person_at=NOW), True, False),
        (FollowedAlert(told=Handling.ENDED), Look(state=AlertState.CLOSED, person_at=NOW), True, False),
        (FollowedAlert(told=Handling.TAKEN), Look(state=AlertState.CLOSED, person_at=NOW), True, True),
    ],
)
def test_an_incident_is_told_of_a_closing_that_is_news(
    known: FollowedAlert, look: Look, has_incident: bool, owes: bool
) -> None:
    assert owes_word(known, look, has_incident=has_incident) is owes
