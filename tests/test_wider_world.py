"""What instances do that nobody who builds against the documentation thinks of: each once doubled or lost an alert."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.reconcile.circuit import OUTAGE_KEYS
from itsm_bridge.reconcile.record import MOST_CREATIONS
from local.servicenow import faults
from local.servicenow.dictionary import Column
from local.servicenow.faults import Fault
from local.servicenow.glide import NEWER_CLOSE_CODES, OLDER_CLOSE_CODES, Refused, Row, Switches, SysIds
from tests.builders import HOUR, KEY, MINUTE, NOW, SECOND, changed, notification, resolved
from tests.over_http import OverHttp

KEYS = tuple(f"{number:02x}" * 32 for number in range(16, 26))
DAY = 24 * HOUR


@pytest.fixture
def world() -> Iterator[OverHttp]:
    made = OverHttp()
    yield made
    made.instance.stop()
    assert made.instance.crashes == []


def ignoring(world: OverHttp) -> OverHttp:
    world.instance.switches.sys_ids = SysIds.IGNORED
    return world


def at_insert(world: OverHttp, **values: str) -> None:
    """Let a business rule set columns of each new incident."""

    def rule(table: str, before: Row | None, after: Row) -> None:
        if table == "incident" and before is None:
            after.update(values)

    world.instance.glide.rules.append(rule)


def at_update(world: OverHttp, *, to_state: str, **values: str) -> None:
    """Let a business rule set columns of each incident that is brought into a state."""

    def rule(table: str, before: Row | None, after: Row) -> None:
        if table == "incident" and before is not None and after["state"] == to_state:
            after.update(values)

    world.instance.glide.rules.append(rule)


def aborting(world: OverHttp, *, to_state: str, detail: str) -> None:
    def rule(table: str, before: Row | None, after: Row) -> None:
        if table == "incident" and before is not None and after["state"] == to_state != before["state"]:
            raise Refused(403, "Operation Failed", detail)

    world.instance.glide.rules.append(rule)


class TestRulesAtBirth:
    """Maintenance windows and noise filters close incidents before they are there."""

    @pytest.mark.parametrize("sys_ids", SysIds)
    @pytest.mark.parametrize("state", ["6", "7", "8"])
    def test_there_is_one_incident_as_the_rule_wanted_it(self, world: OverHttp, state: str, sys_ids: SysIds) -> None:
        world.instance.switches.sys_ids = sys_ids
        at_insert(world, state=state, close_code="Duplicate", close_notes="Maintenance")

        world.receive(notification())
        world.pass_time(3 * HOUR)
        world.receive(notification())
        world.pass_time(72 * HOUR)
        assert world.states == [state]

        world.receive(resolved())
        world.pass_time(DAY)
        assert (world.states, world.row().work.is_parked, world.row().is_settled) == ([state], False, True)

    @pytest.mark.parametrize("state", ["6", "7", "8"])
    def test_also_when_the_answer_to_the_creation_is_lost(self, world: OverHttp, state: str) -> None:
        at_insert(world, state=state, close_code="Duplicate", close_notes="Maintenance")
        world.instance.faults.add(faults.closed(executed=True), method="POST")

        world.receive(notification())
        world.pass_time(DAY)

        assert (world.states, world.row().is_settled) == ([state], True)

    def test_each_firing_makes_one_and_an_hour_sees_a_handful(
        self, world: OverHttp, caplog: pytest.LogCaptureFixture
    ) -> None:
        at_insert(world, state="8")
        for number in range(30):
            at = NOW + number * 2 * MINUTE
            world.receive(notification(signal="", at=at, digest=f"fired {number}"))
            world.pass_time(MINUTE)
            world.receive(resolved(signal="", at=at + MINUTE, digest=f"resolved {number}"))
            world.pass_time(MINUTE)

        assert len(world.states) == MOST_CREATIONS
        assert any("within an hour" in record.message for record in caplog.records if record.levelno == logging.ERROR)
        world.pass_time(3 * HOUR)
        assert (len(world.states), world.row().is_settled) == (MOST_CREATIONS + 1, True)

    def test_a_rule_that_resolves_on_every_update_is_not_fought(self, world: OverHttp) -> None:
        world.receive(notification())
        at_update(world, to_state="1", state="6", close_code="Duplicate", close_notes="x")
        at_update(world, to_state="2", state="6")

        world.receive(notification(digest="worse", facts={"Severity": "Sev0"}))
        world.pass_time(72 * HOUR)
        world.receive(notification(at=NOW + 80 * HOUR, digest="anew", note="Fired again."))
        world.pass_time(DAY)

        assert (world.states, world.row().work.is_parked) == (["6"], True)
        assert world.notes().count("Fired again.") == 1
        assert "could not be reopened" in world.notes()
        assert len(world.instance.calls_to("incident", "PATCH")) < 6


class TestCloseCodes:
    """The code that an incident is resolved with."""

    @pytest.mark.parametrize(
        "fault", [faults.acl_validation_failed(), faults.node_failed(), faults.page(403), faults.page(451), None]
    )
    def test_one_look_that_fails_parks_nothing(self, world: OverHttp, fault: Fault | None) -> None:
        world.instance.glide.set_choices("incident", "close_code", OLDER_CLOSE_CODES)
        if fault is not None:
            world.instance.faults.add(fault, table="sys_choice")
        else:
            world.instance.switches.unreadable_tables.add("sys_choice")
        for key in KEYS:
            world.receive(notification(key=key))
        for key in KEYS:
            world.receive(resolved(key=key))
            world.pass_time(MINUTE)
            world.instance.switches.unreadable_tables.clear()
        world.pass_time(HOUR)

        assert world.states == ["6"] * len(KEYS)
        assert {row["close_code"] for row in world.instance.incidents} == {"Solved (Permanently)"}

    def test_an_instance_with_codes_of_its_own_is_never_told_what_is_false(self, world: OverHttp) -> None:
        world.instance.glide.set_choices("incident", "close_code", ("Duplicate", "User error", "Erledigt"))
        world.receive(notification())
        world.receive(resolved())

        (row,) = world.instance.incidents
        assert (row["close_code"], row["state"], world.row().work.is_parked) == ("", "1", True)
        assert "SERVICENOW_CLOSE_CODE" in world.row().work.last_error
        assert "could not be resolved" in world.notes()

    def test_one_that_fills_it_in_itself_is_left_to_do_so(self, world: OverHttp) -> None:
        world.instance.glide.set_choices("incident", "close_code", ("Duplicate", "Erledigt"))
        world.instance.switches.mandatory_to_close = ("close_notes",)
        at_update(world, to_state="6", close_code="Erledigt")
        world.receive(notification())

        assert world.receive(resolved()) == "resolved"
        assert world.instance.incidents[0]["close_code"] == "Erledigt"

    def test_the_code_that_the_operator_set_needs_no_look(self) -> None:
        world = OverHttp(close_code="Workaround provided")
        world.instance.switches.unreadable_tables.add("sys_choice")
        world.receive(notification())

        assert world.receive(resolved()) == "resolved"
        assert world.instance.incidents[0]["close_code"] == "Workaround provided"
        world.instance.stop()


def edge_faults() -> list[Any]:
    pages = [
        pytest.param(faults.page(status), id=f"page {status}")
        for status in (400, 401, 403, 404, 405, 406, 410, 421, 451)
    ]
    return [
        *pages,
        pytest.param(faults.edge_refused(), id="edge 400"),
        pytest.param(faults.no_resource(), id="node that starts, 400"),
        pytest.param(faults.no_resource(status=404), id="node that starts, 404"),
        pytest.param(faults.invalid_table(), id="no incident table yet"),
    ]


@pytest.mark.parametrize("fault", edge_faults())
def test_two_minutes_of_refusals_that_no_node_meant_park_nothing(world: OverHttp, fault: Fault) -> None:
    world.receive(notification(key="ab" * 32))
    planned = world.instance.faults.add(fault, times=None)
    for key in KEYS:
        world.receive(notification(key=key))
        world.pass_time(12 * SECOND)
    world.receive(resolved(key="ab" * 32))
    world.instance.forget_calls()
    world.pass_time(10 * MINUTE)
    asked = len(world.instance.calls)
    world.instance.faults.remove(planned)
    world.pass_time(3 * HOUR)

    assert sorted(world.states) == ["1"] * len(KEYS) + ["6"]
    assert not any(world.row(key).work.is_parked for key in KEYS)
    # It is an outage: they do not each go on asking.
    assert asked < 4 * len(KEYS)


class TestHidden:
    """An account that loses the right to read."""

    @pytest.mark.parametrize("single", [True, False])
    def test_what_is_hidden_for_a_while_is_resolved_afterwards(
        self, world: OverHttp, single: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        for key in KEYS:
            world.receive(notification(key=key))
        switches = world.instance.switches
        if single:
            switches.unreadable_rows |= {row["sys_id"] for row in world.instance.incidents}
        else:
            switches.unreadable_tables.add("incident")
        answers = {world.receive(resolved(key=key)) for key in KEYS}
        world.pass_time(10 * MINUTE)
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        switches.unreadable_rows.clear()
        switches.unreadable_tables.clear()
        world.pass_time(HOUR)

        assert answers == {"accepted"}
        assert told
        assert world.states == ["6"] * len(KEYS)

    @pytest.mark.parametrize("fault", [faults.no_record(), faults.page(404), faults.empty_200()])
    def test_an_answer_that_is_no_list_deletes_nothing(self, world: OverHttp, fault: Fault) -> None:
        world.receive(notification())
        planned = world.instance.faults.add(fault, times=None, method="GET", table="incident")
        outcome = world.receive(resolved())
        world.pass_time(10 * MINUTE)
        world.instance.faults.remove(planned)
        world.pass_time(HOUR)

        assert (outcome, world.states) == ("accepted", ["6"])

    def test_what_people_deleted_is_deleted(self, world: OverHttp) -> None:
        world.receive(notification())
        world.instance.delete(world.row().observed.incident_id)

        assert world.receive(resolved()) == "unchanged"
        assert (world.row().is_settled, world.states) == (True, [])

    def test_on_an_instance_that_chooses_its_sys_ids_a_hidden_incident_is_not_made_again(self, world: OverHttp) -> None:
        ignoring(world)
        world.instance.faults.add(faults.closed(executed=True), method="POST")
        world.receive(notification())
        world.instance.switches.unreadable_tables.add("incident")
        world.pass_time(HOUR)
        assert len(world.states) == 1

        world.instance.switches.unreadable_tables.clear()
        world.pass_time(HOUR)
        assert (world.states, world.row().is_settled) == (["1"], True)


class TestManyGenerations:
    """A resource that flaps for months, on an instance that chooses its sys_ids."""

    @pytest.mark.parametrize("closed", [19, 20, 21, 30])
    def test_a_lost_answer_doubles_nothing_and_the_end_is_found(self, world: OverHttp, closed: int) -> None:
        ignoring(world)
        for number in range(closed):
            world.receive(notification(signal="", at=world.now, digest=f"f{number}"))
            world.pass_time(HOUR)
            world.receive(resolved(signal="", at=world.now, digest=f"r{number}"))
            world.pass_time(HOUR)
            world.instance.close(world.instance.incidents[-1]["sys_id"])
            world.pass_time(DAY)
        world.instance.faults.add(faults.closed(executed=True), method="POST", table="incident")

        world.receive(notification(signal="", at=world.now, digest="last"))
        world.pass_time(DAY)
        assert world.states == ["7"] * closed + ["1"]

        world.receive(resolved(signal="", at=world.now, digest="end"))
        world.pass_time(DAY)
        assert world.states == ["7"] * closed + ["6"]

    def test_a_creation_that_was_not_done_is_not_taken_for_an_older_one(self, world: OverHttp) -> None:
        ignoring(world)
        world.receive(notification(signal="", at=world.now, digest="f"))
        world.pass_time(HOUR)
        world.instance.close(world.instance.incidents[0]["sys_id"])
        world.receive(resolved(signal="", at=world.now, digest="r"))
        world.pass_time(DAY)
        world.instance.faults.add(faults.closed(executed=False), method="POST", table="incident")

        world.receive(notification(signal="", at=world.now, digest="f2"))
        world.instance.delete(world.instance.incidents[0]["sys_id"])
        world.pass_time(DAY)

        assert world.states == ["1"]


@pytest.mark.parametrize("readable", [True, False])
def test_a_journal_of_megabytes_is_no_reason_to_give_up(world: OverHttp, readable: bool) -> None:
    world.receive(notification())
    for number in range(1100):
        world.instance.edit(world.row().observed.incident_id, {"work_notes": f"{number} " + "x" * 3900})
    if not readable:
        world.instance.switches.unreadable_tables.add("sys_journal_field")
    world.instance.faults.add(faults.closed(executed=False), method="PATCH", table="incident")

    world.receive(resolved())
    world.pass_time(HOUR)

    assert (world.states, world.row().is_settled) == (["6"], True)


class TestHiddenJournal:
    """A field ACL hides the work notes: nobody can tell whether a note arrived."""

    @pytest.fixture
    def hidden(self, world: OverHttp) -> OverHttp:
        world.instance.switches.unreadable_columns |= {"work_notes"}
        world.receive(notification())
        return world

    def test_a_note_that_may_be_there_is_not_written_again(self, hidden: OverHttp) -> None:
        hidden.instance.faults.add(faults.closed(executed=True), method="PATCH")

        hidden.receive(notification(digest="worse", facts={"Severity": "Sev0"}, note="Worse now."))
        hidden.pass_time(DAY)

        assert (hidden.notes().count("Worse now."), hidden.row().is_settled) == (1, True)

    def test_one_that_cannot_be_there_is_written(self, hidden: OverHttp) -> None:
        hidden.instance.faults.add(faults.closed(executed=False), method="PATCH")

        hidden.receive(notification(digest="worse", facts={"Severity": "Sev0"}, note="Worse now."))
        hidden.pass_time(DAY)

        assert (hidden.notes().count("Worse now."), hidden.row().is_settled) == (1, True)

    def test_what_was_said_after_it_is_told(self, hidden: OverHttp) -> None:
        hidden.instance.faults.add(faults.closed(executed=True), method="PATCH")
        hidden.receive(notification(digest="worse", facts={"Severity": "Sev0"}, note="Worse now."))

        hidden.receive(resolved(note="It is over."))
        hidden.pass_time(DAY)

        assert (hidden.states, hidden.notes().count("Worse now."), hidden.notes().count("It is over.")) == (["6"], 1, 1)


class TestRewrittenCorrelation:
    """E-bonding and other integrations take the correlation id for theirs."""

    @pytest.mark.parametrize("lost", [True, False])
    def test_the_sys_id_is_proof_enough(self, world: OverHttp, lost: bool) -> None:
        at_insert(world, correlation_id="VENDOR-4711")
        if lost:
            world.instance.faults.add(faults.closed(executed=True), method="POST")

        world.receive(notification())
        world.receive(notification(digest="worse", facts={"Severity": "Sev0"}, note="Worse now."))
        world.receive(resolved())
        world.pass_time(DAY)

        assert (world.states, world.row().work.is_parked, world.notes().count("Worse now.")) == (["6"], False, 1)


class TestRefusedResolve:
    """A field that is mandatory on resolve, a rule that forbids it, a state that is put back."""

    def refusing(self, world: OverHttp, how: str) -> None:
        if how == "mandatory":
            world.instance.glide.add_column("incident", Column(name="u_cause"))
            world.instance.switches.mandatory_to_close = ("close_code", "close_notes", "u_cause")
        elif how == "rule":
            rule = "Business Rule 'Cause first^d41d'. Business Rule Stack:x"
            aborting(world, to_state="6", detail=f"Operation against file 'incident' was aborted by {rule}")
        else:
            at_update(world, to_state="6", state="2")

    @pytest.mark.parametrize("how", ["mandatory", "rule", "put back"])
    def test_the_incident_says_that_it_is_over_and_why_it_is_still_open(self, world: OverHttp, how: str) -> None:
        world.receive(notification())
        self.refusing(world, how)

        outcome = world.receive(resolved(note="Azure Monitor resolved it."))
        world.pass_time(DAY)

        assert (outcome, world.row().work.is_parked) == ("accepted", True)
        assert world.states[0] in ("1", "2")
        assert world.notes().count("Azure Monitor resolved it.") == 1
        assert world.notes().count("could not be resolved") == 1

    @pytest.mark.parametrize("how", ["mandatory", "rule"])
    def test_when_it_is_allowed_a_replay_resolves_it_and_tells_nothing_twice(self, world: OverHttp, how: str) -> None:
        world.receive(notification())
        self.refusing(world, how)
        world.receive(resolved(note="Azure Monitor resolved it."))
        world.store.replace(world.row().replayed(world.now))
        world.wakeups.send(KEY, delay=timedelta(0))
        world.pass_time(HOUR)
        assert world.row().work.is_parked
        world.instance.switches.mandatory_to_close = ("close_code", "close_notes")
        world.instance.glide.rules.clear()

        world.store.replace(world.row().replayed(world.now))
        world.wakeups.send(KEY, delay=timedelta(0))
        world.pass_time(HOUR)

        assert (world.states, world.row().is_settled, world.row().work.is_parked) == (["6"], True, False)
        assert world.notes().count("Azure Monitor resolved it.") == 1
        assert world.notes().count("could not be resolved") == 1

    def test_a_person_who_resolves_it_settles_it(self, world: OverHttp) -> None:
        world.receive(notification())
        self.refusing(world, "mandatory")
        world.receive(resolved())
        world.instance.switches.mandatory_to_close = ()
        world.instance.resolve(world.row().observed.incident_id)

        world.receive(resolved())
        world.pass_time(HOUR)

        assert (world.states, world.row().is_settled, world.row().work.is_parked) == (["6"], True, False)


class TestPartialOutage:
    """Reads work and writes do not, or one table does not answer."""

    def test_writes_that_fail_are_an_outage_although_reads_work(
        self, world: OverHttp, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.receive(notification(key="ab" * 32))
        planned = [
            world.instance.faults.add(faults.node_failed(), times=None, method=method) for method in ("POST", "PATCH")
        ]
        for key in KEYS:
            world.receive(notification(key=key))
            world.pass_time(20 * SECOND)
        world.instance.forget_calls()
        world.pass_time(6 * HOUR)
        asked = len(world.instance.calls)
        messages = len(world.wakeups.messages)
        for each in planned:
            world.instance.faults.remove(each)
        world.pass_time(HOUR)

        lines = [record for record in caplog.records if "ServiceNow is away" in record.message]
        assert asked < 6 * 12 * 8
        assert [line.levelno for line in lines].count(logging.WARNING) == 1
        # Those that showed that it is away, and nobody else.
        assert messages <= OUTAGE_KEYS
        assert world.states == ["1"] * (len(KEYS) + 1)

    def test_where_the_choices_alone_do_not_answer_new_alerts_become_incidents(self, world: OverHttp) -> None:
        for key in KEYS:
            world.receive(notification(key=key))
        planned = world.instance.faults.add(faults.node_failed(), times=None, table="sys_choice")
        for key in KEYS:
            world.receive(resolved(key=key))
        for number in range(5):
            world.receive(notification(key=f"{number:02x}" * 32))
            world.pass_time(5 * MINUTE)
        # The last of them may have waited with the others: a few of those who wait are tried every five minutes.
        world.pass_time(20 * MINUTE)
        opened = world.states.count("1")
        world.instance.faults.remove(planned)
        world.pass_time(HOUR)

        assert opened == len(KEYS) + 5
        assert world.states == ["6"] * len(KEYS) + ["1"] * 5


def test_the_codes_that_instances_ship_have_one_that_is_true() -> None:
    for codes in (NEWER_CLOSE_CODES, OLDER_CLOSE_CODES):
        world = OverHttp(instance={"switches": Switches()})
        world.instance.glide.set_choices("incident", "close_code", codes)
        world.receive(notification())

        assert world.receive(resolved()) == "resolved"
        world.instance.stop()


def test_a_word_that_comes_while_a_creation_is_in_doubt_replaces_our_own_text(world: OverHttp) -> None:
    world.instance.faults.add(faults.closed(executed=True), method="POST")
    planned = None
    for number in range(15):
        text = {**notification().content.fields, "short_description": f"{number} %", "impact": str(1 + number % 3)}
        world.receive(notification(signal="", at=NOW + number * MINUTE, digest=f"{number}", fields=text))
        planned = planned or world.instance.faults.add(faults.node_failed(), times=None)
        world.pass_time(7 * MINUTE)
    world.instance.faults.remove(planned)  # type: ignore[arg-type] # it was added
    world.pass_time(HOUR)

    (row,) = world.instance.incidents
    assert (row["short_description"], row["impact"], changed(world.row()).is_settled) == ("14 %", "3", True)
