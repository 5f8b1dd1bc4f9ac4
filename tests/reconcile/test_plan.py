from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.plan import (
    DECISIONS,
    UNSEEN,
    Action,
    Held,
    Observation,
    Wanted,
    decide,
    held_of,
    wanted_of,
)
from itsm_bridge.reconcile.ports import Incident, LinkEnd
from itsm_bridge.reconcile.record import MOST_CREATIONS, Record
from itsm_bridge.reconcile.work import Note
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle
from tests.builders import (
    HOUR,
    MINUTE,
    NOW,
    changed,
    incident,
    known_record,
    notification,
    record,
    resolved,
    told,
    write,
)

#: A note of what came after the end, which a resolved incident is told too.
AFTER_END = Note(revision=9, text="The cause was a change.", after_end=True)

NOTED = Lifecycle(auto_resolve=AutoResolve.NOTE)
HELD_FOR_AN_HOUR = Lifecycle(hold=HOUR)

#: A row of each kind, before anything was observed.
ROWS: dict[Wanted, Callable[[], Record]] = {
    Wanted.NEVER_FIRED: lambda: first_record(resolved(), NOW),
    Wanted.ON_HOLD: lambda: told(
        known_record(), resolved(), notification(at=NOW + HOUR, digest="fired anew", lifecycle=HELD_FOR_AN_HOUR)
    ),
    Wanted.FIRED_NEWS: lambda: told(known_record(), resolved(), notification(at=NOW + HOUR, digest="fired anew")),
    Wanted.FIRED: lambda: told(known_record(), notification(digest="fired, worse", facts={"Severity": "Sev0"})),
    Wanted.RESOLVED_NEWS: lambda: told(
        known_record(),
        resolved(),
        notification(at=NOW + HOUR, digest="fired anew"),
        resolved(at=NOW + 2 * HOUR, digest="resolved anew"),
    ),
    Wanted.RESOLVED: lambda: changed(told(known_record(), resolved()), notes=(AFTER_END,)),
    Wanted.LEFT_NEWS: lambda: told(
        known_record(),
        resolved(),
        notification(at=NOW + HOUR, digest="fired anew"),
        resolved(at=NOW + 2 * HOUR, digest="resolved anew", lifecycle=NOTED),
    ),
    Wanted.LEFT: lambda: changed(told(known_record(), resolved(lifecycle=NOTED)), notes=(AFTER_END,)),
    Wanted.ON_TRIAL: lambda: changed(
        told(known_record(), resolved(), notification(at=NOW + HOUR, digest="fired anew")), shadowed_by="trial"
    ),
}

#: What is observed, and what the rules say of it.
COLUMNS: dict[Held, tuple[Observation, dict[str, Any]]] = {
    Held.UNSEEN: (UNSEEN, {}),
    Held.ABSENT: (None, {}),
    Held.OPEN: (incident(), {}),
    Held.RESOLVED: (incident(state=6, resolved_at=NOW - HOUR), {"reopen_within": 2 * HOUR}),
    Held.STALE: (incident(state=6, resolved_at=NOW - 2 * HOUR), {"reopen_within": HOUR}),
    Held.CLOSED: (incident(state=7), {}),
    Held.FINAL: (incident(state=7), {"after_closed": AfterClosed.NOTHING}),
}

#: The table of the module's docstring, written down a second time.
EXPECTED = """
never fired     observe   nothing  resolve   nothing    nothing   nothing   nothing
on hold         observe   hold     update    hold       hold      hold      nothing
fired, news     observe   create   update    reopen     succeed   succeed   nothing
fired           observe   nothing  update    update     update    nothing   nothing
resolved, news  observe   create   resolve   update     update    succeed   nothing
resolved        observe   nothing  resolve   update     update    nothing   nothing
left, news      observe   create   update    update     update    succeed   nothing
left            observe   nothing  update    update     update    nothing   nothing
on trial        nothing   nothing  nothing   nothing    nothing   nothing   nothing
"""


def expected_table() -> dict[tuple[Wanted, Held], Action]:
    lines = EXPECTED.strip().splitlines()
    cells: dict[tuple[Wanted, Held], Action] = {}
    for desired, line in zip(Wanted, lines, strict=True):
        assert line.startswith(desired.value)
        words = line.removeprefix(desired.value).split()
        cells |= {(desired, observed): Action(word) for observed, word in zip(Held, words, strict=True)}
    return cells


def plan(
    row: Record,
    observed: Observation,
    *,
    now: datetime = NOW,
    creation_is_repeatable: bool | None = True,
    may_link: bool = True,
) -> Action:
    return decide(row, observed, now=now, creation_is_repeatable=creation_is_repeatable, may_link=may_link).action


def test_the_table_has_a_cell_for_every_state_of_alert_and_incident() -> None:
    cells = {(desired, observed): action for desired, row in DECISIONS.items() for observed, action in row.items()}

    assert set(cells) == set(product(Wanted, Held))
    assert cells == expected_table()


@pytest.mark.parametrize(("desired", "observed"), list(product(Wanted, Held)))
def test_every_cell_is_the_next_step(desired: Wanted, observed: Held) -> None:
    row = ROWS[desired]()
    seen, rules = COLUMNS[observed]
    signals = {
        name: replace(each, lifecycle=replace(each.lifecycle, **rules)) for name, each in row.desired.signals.items()
    }
    row = changed(row, signals=signals)

    assert wanted_of(row, NOW) is desired
    assert held_of(seen, row.desired.lifecycle, NOW) is observed
    assert plan(row, seen) is expected_table()[desired, observed]


@pytest.mark.parametrize("state", [1, 2, 3, 18, -5])
def test_a_state_that_we_do_not_know_is_open(state: int) -> None:
    assert held_of(incident(state=state), Lifecycle(), NOW) is Held.OPEN


@pytest.mark.parametrize("state", [7, 8])
def test_closed_and_canceled_incidents_are_never_written(state: int) -> None:
    writes = {Action.CREATE, Action.UPDATE, Action.RESOLVE, Action.REOPEN}

    assert not {plan(make(), incident(state=state)) for make in ROWS.values()} & writes


def test_a_settled_record_needs_nothing() -> None:
    assert plan(known_record(), UNSEEN) is Action.NOTHING


def test_an_update_with_nothing_to_write_is_none() -> None:
    row = changed(record(), told_firing_count=0)

    assert plan(row, incident()) is Action.NOTHING


def test_what_a_person_edited_is_no_reason_to_write() -> None:
    row = told(known_record(), notification(digest="same text", at=NOW))

    assert plan(changed(row, notes=()), incident(fields={"short_description": "My own words"})) is Action.NOTHING


def test_an_incident_found_after_a_lost_answer_that_a_person_has_resolved_stays_resolved() -> None:
    found = incident(state=6)

    assert plan(record().seen(found), found) is Action.NOTHING


@pytest.mark.parametrize(("state", "expected"), [(6, Action.REOPEN), (7, Action.SUCCEED)])
def test_an_incident_older_than_the_row_knows_nothing_of_this_firing(state: int, expected: Action) -> None:
    found = incident(state=state, created_at=datetime(2025, 11, 1, 8, tzinfo=UTC))

    assert plan(record().seen(found), found) is expected


def test_an_incident_that_people_resolved_is_told_nothing_of_the_end() -> None:
    row = told(known_record(), resolved())

    assert row.work.notes
    assert plan(row, incident(state=6)) is Action.NOTHING


class TestLimits:
    """Whatever rules an instance has, a firing makes one incident, and a key a handful an hour."""

    @pytest.mark.parametrize("state", [6, 7, 8])
    def test_an_incident_that_a_rule_ended_at_birth_stays_as_the_rule_wanted_it(self, state: int) -> None:
        born = incident(state=state)
        row = record().written(born, sent=record(), write=write(), created_at=NOW)

        assert plan(row, born) is Action.NOTHING
        assert plan(row, None) is Action.NOTHING

    def test_nothing_is_created_twice_for_one_firing_even_if_it_was_not_told(self) -> None:
        row = changed(record(), created_firing_count=1, told_firing_count=0)

        assert [plan(row, seen) for seen in (None, incident(state=7), incident(state=6))] == [Action.NOTHING] * 3

    @pytest.mark.parametrize("seen", [None, incident(state=7)])
    def test_a_key_that_was_given_too_many_within_an_hour_waits(self, seen: Incident | None) -> None:
        row = changed(record(), creations=tuple(NOW - n * MINUTE for n in range(MOST_CREATIONS, 0, -1)))

        assert plan(row, seen) is Action.LIMIT
        assert row.creation_allowed_at(NOW) == NOW - MOST_CREATIONS * MINUTE + HOUR
        assert plan(row, seen, now=NOW + HOUR) is not Action.LIMIT


class TestRefusal:
    """Where ServiceNow refuses a state for good, the incident is told why, and then people must act."""

    @pytest.mark.parametrize(("desired", "state"), [(Wanted.RESOLVED, 1), (Wanted.FIRED_NEWS, 6)])
    def test_first_the_note_then_the_park(self, desired: Wanted, state: int) -> None:
        row = ROWS[desired]()

        row = row.refused("a data policy forbids it", "It could not be done: …", revision=row.desired.revision)

        assert plan(row, incident(state=state)) is Action.UPDATE
        assert plan(changed(row, notes=()), incident(state=state)) is Action.PARK

    def test_of_what_is_wanted_no_more_it_says_nothing(self) -> None:
        row = ROWS[Wanted.RESOLVED]()

        assert row.refused("no", "no", revision=row.desired.revision - 1) is row

    def test_it_is_told_once_however_often_it_is_refused(self) -> None:
        row = ROWS[Wanted.RESOLVED]()
        row = row.refused("no", "no", revision=row.desired.revision)

        again = changed(row, notes=()).replayed(NOW).refused("no", "no", revision=row.desired.revision)

        assert (again.work.notes, again.work.refusal) == ((), "no")


class TestLinking:
    """The other end of a link is looked for before an incident is created and while one is open."""

    def unlinked(self, row: Record) -> Record:
        signals = {name: replace(each, links={"item": ("vm-web-01",)}) for name, each in row.desired.signals.items()}
        return changed(row, signals=signals)

    def test_before_a_creation(self) -> None:
        row = self.unlinked(record())

        assert plan(row, None) is Action.LINK
        assert plan(row, None, may_link=False) is Action.CREATE

    def test_while_it_is_open(self) -> None:
        row = self.unlinked(changed(known_record(), links_later=True))

        assert plan(row, UNSEEN) is Action.OBSERVE
        assert plan(row, incident()) is Action.LINK
        assert plan(row, incident(), may_link=False) is Action.NOTHING

    def test_not_while_it_is_on_trial(self) -> None:
        row = self.unlinked(ROWS[Wanted.ON_TRIAL]())

        assert [plan(row, seen) for seen in (UNSEEN, None, incident())] == [Action.NOTHING] * 3

    def test_not_when_it_is_over(self) -> None:
        row = changed(self.unlinked(ROWS[Wanted.RESOLVED]()), notes=())

        assert plan(row, incident()) is Action.RESOLVE
        assert plan(row, incident(state=6)) is Action.NOTHING

    def test_once(self) -> None:
        row = self.unlinked(record()).linked("item", LinkEnd(reason="None of this name."))

        assert plan(row, None) is Action.CREATE


class TestInDoubt:
    """A write of unknown outcome may still take effect."""

    def doubtful(self, row: Record) -> Record:
        return changed(row, in_doubt_until=NOW + MINUTE)

    def test_looking_is_always_allowed(self) -> None:
        assert plan(self.doubtful(record()), UNSEEN) is Action.OBSERVE

    def test_creating_again_is_harmless_where_our_sys_id_is_honoured(self) -> None:
        assert plan(self.doubtful(record()), None) is Action.CREATE

    @pytest.mark.parametrize("creation_is_repeatable", [None, False])
    def test_creating_again_waits_where_it_is_not(self, creation_is_repeatable: bool | None) -> None:
        row = self.doubtful(record())

        assert plan(row, None, creation_is_repeatable=creation_is_repeatable) is Action.WAIT
        assert plan(row, None, now=NOW + 2 * MINUTE, creation_is_repeatable=creation_is_repeatable) is Action.CREATE

    @pytest.mark.parametrize(
        ("desired", "seen"),
        [
            (Wanted.FIRED, incident()),
            (Wanted.RESOLVED, incident()),
            (Wanted.FIRED_NEWS, incident(state=6)),
        ],
    )
    def test_any_other_write_waits(self, desired: Wanted, seen: Incident) -> None:
        row = self.doubtful(ROWS[desired]())

        assert plan(row, seen) is Action.WAIT
        assert plan(row, seen, now=NOW + 2 * MINUTE) is DECISIONS[desired][held_of(seen, Lifecycle(), NOW)]

    def test_what_is_on_trial_waits_for_no_write(self) -> None:
        row = self.doubtful(ROWS[Wanted.ON_TRIAL]())

        assert row.work.notes
        assert plan(row, incident()) is Action.NOTHING

    def test_a_write_that_has_arrived_is_not_waited_for(self) -> None:
        row = changed(self.doubtful(told(known_record(), resolved())), doubted_revision=2)
        landed = row.seen(incident(state=6, journal=row.work.notes[0].marked(row.key)))

        assert plan(landed, incident(state=6)) is Action.NOTHING

    def test_nothing_is_settled_while_a_note_has_not_arrived(self) -> None:
        row = self.doubtful(told(known_record(), resolved()))

        assert plan(row, incident(state=6)) is Action.WAIT


def test_a_firing_that_came_and_went_while_its_old_incident_was_closed_gets_one_of_its_own() -> None:
    row = ROWS[Wanted.RESOLVED_NEWS]()
    next_generation = row.succeeded(incident(state=7), now=NOW)

    assert plan(next_generation, None) is Action.CREATE
    assert plan(changed(next_generation, notes=(Note(revision=9, text="x"),)), incident()) is Action.RESOLVE
