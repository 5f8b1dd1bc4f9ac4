import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from itsm_bridge import troubles
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict, Rejected, Unavailable, Unconfirmed
from itsm_bridge.reconcile.ports import Incident, Status
from itsm_bridge.reconcile.record import id_for
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.refusals import NotAllowed
from itsm_bridge.servicenow.table_api import TableApi
from local.servicenow import faults
from local.servicenow.exchange import Request, Response
from local.servicenow.faults import Fault
from local.servicenow.glide import OLDER_CLOSE_CODES, SysIds
from local.servicenow.instance import ServiceNowStandIn

SHORT, LONG = timedelta(seconds=0.3), timedelta(seconds=10)


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The lines of the adapter itself: what troubles are counted has lines of its own."""
    return [record for record in caplog.records if record.name != troubles.__name__]


def short() -> Deadline:
    return Deadline.after(SHORT)


def in_time() -> Deadline:
    return Deadline.after(LONG)


KEY, OTHER_KEY = "5f" * 32, "a1" * 32
SYS_ID = id_for(KEY, 1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def instance(clock: Clock) -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(has_demo_cmdb=False, now=clock) as running:
        yield running
        assert (running.crashes, running.injections, running.widened) == ([], [], [])


def client(instance: ServiceNowStandIn, clock: Clock, *, close_code: str = "") -> Incidents:
    table_api = TableApi(instance.url, Header("x-sn-apikey", instance.credentials.api_key))
    return Incidents(table_api, close_code=close_code, clock=clock.seconds)


@pytest.fixture
def servicenow(instance: ServiceNowStandIn, clock: Clock) -> Incidents:
    return client(instance, clock)


def fields(**changes: str) -> Mapping[str, str]:
    """What an incident is created with."""
    return {
        "sys_id": SYS_ID,
        "correlation_id": KEY,
        "correlation_display": "Azure Monitor: cpu-high",
        "short_description": "Sev1: CPU above 90 on vm-web-01",
        "description": "CPU is above 90.",
        "impact": "1",
        "urgency": "2",
        **changes,
    }


RESOLUTION = {"state": "6", "close_code": "Solution provided", "close_notes": "The alert resolved."}


def calls(instance: ServiceNowStandIn) -> list[tuple[str, str]]:
    return [(call.method, call.table) for call in instance.calls]


class TestMoreFields:
    """What rules set beside the fields that every incident is read with."""

    MORE = ("category", "assignment_group", "u_nothing", "work_notes")

    def test_a_creation_shows_them_as_stored(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        group = instance.insert("sys_user_group", {"name": "Shop operations"})
        sent = fields(assignment_group=group, category="software")

        created = servicenow.create(sent, more_fields=("subcategory", *self.MORE), deadline=in_time())

        assert (created.fields["category"], created.fields["subcategory"]) == ("software", "")
        assert (created.links["assignment_group"], created.links[CONFIGURATION_ITEM]) == (group, "")
        assert created.not_stored == ()

    def test_a_look_shows_them_and_leaves_out_those_that_do_not_exist(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        servicenow.create(fields(category="software"), deadline=in_time())
        instance.switches.unreadable_columns.add("assignment_group")

        plain = servicenow.find(SYS_ID, deadline=in_time())
        more = servicenow.find(SYS_ID, more_fields=self.MORE, deadline=in_time())
        noted = servicenow.find(SYS_ID, with_notes=True, more_fields=self.MORE, deadline=in_time())

        assert plain is not None
        assert "category" not in plain.fields
        for found in (more, noted):
            assert found is not None
            assert found.fields["category"] == "software"
            assert {"u_nothing", "assignment_group", "work_notes"} & found.fields.keys() == set()

    def test_a_change_shows_them_as_stored_and_what_was_dropped(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        servicenow.create(fields(category="software"), deadline=in_time())

        changed = servicenow.update(SYS_ID, {"category": "no such choice"}, more_fields=self.MORE, deadline=in_time())

        assert (changed.fields["category"], changed.not_stored) == ("software", ("category",))
        assert instance.incidents[0]["category"] == "software"

    def test_a_long_journal_does_not_lose_them(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(category="software"), deadline=in_time())
        for _ in range(70):
            instance.edit(SYS_ID, {"work_notes": "x" * 65_000})

        found = servicenow.find(SYS_ID, with_notes=True, more_fields=("category",), deadline=in_time())

        assert found is not None
        assert found.fields["category"] == "software"


class TestCreate:
    def test_an_incident_is_created_with_one_call(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        created = servicenow.create(fields(), deadline=in_time())

        assert calls(instance) == [("POST", "incident")]
        assert created == Incident(
            id=SYS_ID,
            number="INC0010001",
            status=Status.OPEN,
            state="1",
            fields={
                **fields(),
                "number": "INC0010001",
                "state": "1",
                "close_code": "",
                "close_notes": "",
                "cmdb_ci": "",
                "resolved_at": "",
                "sys_created_on": "2026-03-01 10:00:00",
                "sys_mod_count": "0",
            },
            links={CONFIGURATION_ITEM: ""},
            created_at=datetime(2026, 3, 1, 10, 0, tzinfo=UTC),
            version="0",
        )

    def test_only_what_is_given_is_sent(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(work_notes="Seen twice."), deadline=in_time())

        assert set(instance.calls[0].fields) == {*fields(), "work_notes"}
        assert instance.incident(SYS_ID)["priority"] == "2"
        assert instance.notes(SYS_ID) == ["Seen twice."]

    def test_a_second_creation_makes_no_second_incident(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        servicenow.create(fields(), deadline=in_time())
        with pytest.raises(Unconfirmed):
            servicenow.create(fields(), deadline=in_time())

        assert len(instance.incidents) == 1

    def test_it_is_learnt_that_our_sys_id_is_kept(self, servicenow: Incidents) -> None:
        before = servicenow.honours_sys_id
        servicenow.create(fields(), deadline=in_time())

        assert (before, servicenow.honours_sys_id) == (None, True)

    def test_it_is_learnt_that_our_sys_id_is_not_kept(
        self, instance: ServiceNowStandIn, servicenow: Incidents, caplog: pytest.LogCaptureFixture
    ) -> None:
        instance.switches.sys_ids = SysIds.IGNORED
        created = servicenow.create(fields(), deadline=in_time())
        instance.switches.sys_ids = SysIds.HONOURED
        servicenow.create(fields(sys_id=id_for(KEY, 2)), deadline=in_time())

        assert created.id == instance.incidents[0]["sys_id"] != SYS_ID
        assert (servicenow.honours_sys_id, created.not_stored) == (False, ())
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_an_incident_that_is_not_shown_to_us_is_no_certainty(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.switches.unreadable_tables.add("incident")

        with pytest.raises(Unconfirmed):
            servicenow.create(fields(), deadline=in_time())

    @pytest.mark.parametrize(
        "fault", [faults.business_rule_aborted(executed=True), faults.data_policy_violated("Caller", executed=True)]
    )
    def test_a_refusal_that_hides_an_incident_is_seen_through(
        self, instance: ServiceNowStandIn, servicenow: Incidents, fault: Fault
    ) -> None:
        instance.faults.add(fault, method="POST")

        with pytest.raises(Conflict, match=r"INC\d+ has the sys_id"):
            servicenow.create(fields(), deadline=in_time())

        assert len(instance.incidents) == 1

    def test_a_true_refusal_is_one(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        instance.faults.add(faults.data_policy_violated("Caller"), method="POST")

        with pytest.raises(Rejected, match="mandatory: Caller"):
            servicenow.create(fields(), deadline=in_time())

        assert calls(instance) == [("POST", "incident"), ("GET", "incident")]
        assert instance.incidents == []

    def test_a_refusal_is_in_doubt_while_nobody_can_look(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.faults.add(faults.data_policy_violated("Caller", executed=True), method="POST")
        instance.faults.add(faults.edge_failed(), method="GET")

        with pytest.raises(Unconfirmed, match="mandatory: Caller"):
            servicenow.create(fields(), deadline=in_time())

    def test_an_incident_of_somebody_else_is_not_taken_for_ours(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.insert("incident", {"sys_id": SYS_ID, "correlation_id": OTHER_KEY})
        instance.faults.add(faults.business_rule_aborted(), method="POST")

        with pytest.raises(Conflict):
            servicenow.create(fields(), deadline=in_time())

    @pytest.mark.parametrize(
        "fault",
        [
            faults.silence(executed=True),
            faults.closed(executed=True),
            faults.edge_failed(executed=True),
            faults.acl_exception(executed=True),
            faults.error_during_insert(executed=True),
            faults.accepted_202(executed=True),
            faults.empty_200(executed=True),
            faults.truncated_json(),
            faults.transaction_cancelled(),
        ],
        ids=lambda fault: fault.name,
    )
    def test_an_answer_that_hides_an_incident_is_no_certainty_and_a_look_finds_it(
        self, instance: ServiceNowStandIn, servicenow: Incidents, fault: Fault
    ) -> None:
        instance.faults.add(fault, method="POST")

        with pytest.raises(Unconfirmed):
            servicenow.create(fields(), deadline=short())
        found = servicenow.find(SYS_ID, deadline=in_time())

        assert found is not None
        assert [found.id] == [row["sys_id"] for row in instance.incidents]


class TestUpdate:
    @pytest.fixture(autouse=True)
    def _created(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(), deadline=in_time())
        instance.forget_calls()

    def test_an_incident_is_changed_with_one_call(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        updated = servicenow.update(SYS_ID, {"impact": "2", "work_notes": "Changed."}, deadline=in_time())

        assert calls(instance) == [("PATCH", "incident")]
        assert (updated.fields["impact"], updated.fields["correlation_id"], updated.not_stored) == ("2", KEY, ())
        assert instance.notes(SYS_ID) == ["Changed."]

    def test_an_incident_is_resolved_and_reopened(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        resolved = servicenow.update(SYS_ID, RESOLUTION, deadline=in_time())
        reopened = servicenow.update(SYS_ID, {"state": "2"}, deadline=in_time())

        assert (resolved.is_resolved, resolved.fields["close_code"]) == (True, "Solution provided")
        assert (reopened.is_open, instance.incident(SYS_ID)["reopen_count"]) == (True, "1")

    def test_one_that_was_closed_meanwhile_is_a_conflict(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.close(SYS_ID)

        with pytest.raises(Conflict):
            servicenow.update(SYS_ID, RESOLUTION, deadline=in_time())

    def test_one_that_was_deleted_meanwhile_is_a_conflict(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.delete(SYS_ID)

        with pytest.raises(Conflict):
            servicenow.update(SYS_ID, RESOLUTION, deadline=in_time())

    def test_a_refusal_of_an_open_one_is_final(self, servicenow: Incidents) -> None:
        with pytest.raises(Rejected, match="mandatory: Resolution code, Close notes"):
            servicenow.update(SYS_ID, {"state": "6"}, deadline=in_time())

    def test_an_answer_about_another_incident_is_no_certainty(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        other = instance.insert("incident", {"correlation_id": OTHER_KEY})
        body = f'{{"result":{{"sys_id":"{other}","number":"INC1","state":"1"}}}}'
        instance.faults.add(answering(body))

        with pytest.raises(Unconfirmed):
            servicenow.update(SYS_ID, {"impact": "2"}, deadline=in_time())


class TestWhatWasStored:
    def test_an_unknown_choice_is_reported(self, servicenow: Incidents) -> None:
        created = servicenow.create(fields(impact="7"), deadline=in_time())

        assert (created.fields["impact"], created.not_stored) == ("3", ("impact",))

    def test_a_field_that_we_may_not_write_is_reported(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.switches.unwritable_columns |= {"urgency", "state"}
        servicenow.create(fields(), deadline=in_time())

        updated = servicenow.update(SYS_ID, {**RESOLUTION, "urgency": "1"}, deadline=in_time())

        assert (updated.state, updated.not_stored) == ("1", ("state", "urgency"))

    def test_a_field_that_the_instance_lacks_is_reported(self, servicenow: Incidents) -> None:
        assert servicenow.create(fields(u_none="x"), deadline=in_time()).not_stored == ("u_none",)

    def test_text_that_was_cut_or_mangled_is_reported(self, servicenow: Incidents) -> None:
        created = servicenow.create(fields(short_description="x" * 161, correlation_display="😀"), deadline=in_time())

        assert created.fields["short_description"] == "x" * 160
        assert created.not_stored == ("correlation_display", "short_description")

    def test_a_correlation_id_that_came_back_different_is_reported(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.switches.unwritable_columns.add("correlation_id")

        created = servicenow.create(fields(), deadline=in_time())

        assert (created.fields["correlation_id"], created.not_stored) == ("", ("correlation_id",))

    def test_line_ends_and_blanks_at_the_ends_are_no_difference(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        servicenow.create(fields(), deadline=in_time())
        stored = f'{{"result":{{"sys_id":"{SYS_ID}","number":"INC1","state":"1","description":"a\\r\\nb"}}}}'
        instance.faults.add(answering(stored))

        assert servicenow.update(SYS_ID, {"description": "a \nb\n"}, deadline=in_time()).not_stored == ()

    def test_each_field_is_warned_of_once_and_without_its_value(
        self, servicenow: Incidents, caplog: pytest.LogCaptureFixture
    ) -> None:
        servicenow.create(fields(impact="secret", urgency="secret"), deadline=in_time())
        servicenow.update(SYS_ID, {"impact": "secret"}, deadline=in_time())

        assert [record.levelno for record in told(caplog)] == [logging.WARNING, logging.WARNING]
        assert ("impact" in caplog.text, "urgency" in caplog.text, "secret" in caplog.text) == (True, True, False)


class TestFind:
    def test_an_incident_is_found_with_one_call(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        created = servicenow.create(fields(), deadline=in_time())
        instance.forget_calls()

        found = servicenow.find(SYS_ID, deadline=in_time())

        assert calls(instance) == [("GET", "incident")]
        assert found is not None
        assert (found.number, found.fields["correlation_id"], found.journal) == (created.number, KEY, None)
        assert found.fields["short_description"] == fields()["short_description"]

    def test_its_journal_comes_with_it_if_asked_for(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(work_notes="one (ref 123)"), deadline=in_time())
        servicenow.update(SYS_ID, {"work_notes": "two (ref 456)"}, deadline=in_time())
        instance.edit(SYS_ID, {"assignment_group": ""})
        instance.forget_calls()

        found = servicenow.find(SYS_ID, with_notes=True, deadline=in_time())

        assert calls(instance) == [("GET", "incident")]
        assert found is not None
        assert found.journal is not None
        assert 0 < found.journal.index("two (ref 456)") < found.journal.index("one (ref 123)")
        assert (found.state, found.fields["sys_created_on"]) == ("1", "2026-03-01 10:00:00")
        assert "work_notes" not in found.fields

    def test_an_empty_journal_is_not_an_unread_one(self, servicenow: Incidents) -> None:
        servicenow.create(fields(), deadline=in_time())
        found = servicenow.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        assert found.journal == ""

    def test_none_is_none(self, servicenow: Incidents) -> None:
        assert servicenow.find(SYS_ID, deadline=in_time()) is None

    @pytest.mark.parametrize(
        "body",
        [
            '{"result":{}}',
            '{"result":{"sys_id":"x","number":"INC1","state":"1"}}',
            f'{{"result":{{"sys_id":"{SYS_ID}","number":"","state":"1"}}}}',
            f'{{"result":{{"sys_id":"{SYS_ID}","number":"INC1","state":"New"}}}}',
            f'{{"result":{{"sys_id":"{SYS_ID}","number":"INC1","state":null}}}}',
        ],
    )
    def test_a_row_that_is_not_the_incident_is_no_answer(
        self, instance: ServiceNowStandIn, servicenow: Incidents, body: str
    ) -> None:
        instance.faults.add(answering(body))

        with pytest.raises(Unavailable):
            servicenow.find(SYS_ID, deadline=in_time())

    def test_values_of_other_types_are_understood(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(), deadline=in_time())
        instance.faults.add(faults.values_of_wrong_type())

        found = servicenow.find(SYS_ID, deadline=in_time())

        assert found is not None
        assert (found.state, found.fields["impact"], found.fields["close_code"]) == ("1", "1", "")


class TestSearch:
    def test_incidents_of_a_key_come_oldest_first(
        self, instance: ServiceNowStandIn, servicenow: Incidents, clock: Clock
    ) -> None:
        for number in range(3):
            clock.now -= timedelta(hours=1)
            instance.insert("incident", {"correlation_id": KEY, "short_description": str(number)})
        instance.insert("incident", {"correlation_id": OTHER_KEY})

        found = servicenow.search(KEY, deadline=in_time())

        assert [incident.fields["short_description"] for incident in found] == ["2", "1", "0"]

    def test_of_very_many_the_newest_come(
        self, instance: ServiceNowStandIn, servicenow: Incidents, clock: Clock
    ) -> None:
        for number in range(23):
            clock.now += timedelta(hours=1)
            instance.insert("incident", {"correlation_id": KEY, "short_description": str(number)})

        found = servicenow.search(KEY, deadline=in_time())

        assert [incident.fields["short_description"] for incident in found] == [str(each) for each in range(3, 23)]
        assert calls(instance) == [("GET", "incident")]

    def test_nobody_else_s_incident_is_found(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        instance.insert("incident", {"correlation_id": ""})
        instance.insert("incident", {"correlation_id": OTHER_KEY})

        assert servicenow.search(KEY, deadline=in_time()) == ()

    @pytest.mark.parametrize("key", ["", "a^ORstate=1", "javascript:gs.getUserID()"])
    def test_a_key_that_would_ask_for_more_never_leaves(
        self, instance: ServiceNowStandIn, servicenow: Incidents, key: str
    ) -> None:
        with pytest.raises(ValueError, match="query"):
            servicenow.search(key, deadline=in_time())

        assert instance.calls == []


class TestHidden:
    """What our account may not read is not taken for what is not there."""

    def test_an_incident_that_is_hidden_is_told_from_one_that_is_gone(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        servicenow.create(fields(), deadline=in_time())
        instance.switches.unreadable_rows.add(SYS_ID)
        instance.forget_calls()

        with pytest.raises(NotAllowed):
            servicenow.find(SYS_ID, deadline=in_time())
        with pytest.raises(NotAllowed):
            servicenow.search(KEY, deadline=in_time())
        asked = len(instance.calls)
        instance.delete(SYS_ID)

        assert (
            asked,
            servicenow.find(SYS_ID, deadline=in_time()),
            servicenow.search(KEY, deadline=in_time()),
        ) == (2, None, ())

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(faults.no_record(), id="of a node"),
            pytest.param(faults.page(404), id="of an edge"),
            pytest.param(faults.no_resource(status=404), id="of a node that starts"),
        ],
    )
    def test_a_404_deletes_nothing(self, instance: ServiceNowStandIn, servicenow: Incidents, fault: Fault) -> None:
        servicenow.create(fields(), deadline=in_time())
        instance.faults.add(fault, times=2)

        with pytest.raises(Unavailable):
            servicenow.find(SYS_ID, deadline=in_time())
        with pytest.raises(Unavailable):
            servicenow.search(KEY, deadline=in_time())

    @pytest.mark.parametrize(
        "row", ["{}", '{"sys_id":"x","number":"INC1","state":"1"}', '{"number":"INC1","state":"1"}']
    )
    def test_a_row_of_somebody_else_deletes_nothing(
        self, instance: ServiceNowStandIn, servicenow: Incidents, row: str
    ) -> None:
        instance.faults.add(answering(f'{{"result":[{row}]}}'))

        with pytest.raises(Unavailable):
            servicenow.find(SYS_ID, deadline=in_time())

    def test_a_journal_that_is_hidden_is_unknown(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.create(fields(work_notes="Seen twice."), deadline=in_time())
        instance.switches.unreadable_columns.add("work_notes")

        found = servicenow.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        assert found.journal is None


class TestLongJournal:
    """People and mails write megabytes; the newest notes are enough."""

    @pytest.fixture
    def long(self, instance: ServiceNowStandIn, servicenow: Incidents, clock: Clock) -> Incidents:
        servicenow.create(fields(), deadline=in_time())
        for _ in range(1200):
            instance.edit(SYS_ID, {"work_notes": "x" * 3900})
        clock.now += timedelta(seconds=1)
        instance.edit(SYS_ID, {"work_notes": "the newest"})
        instance.forget_calls()
        return servicenow

    def test_its_newest_part_is_read(self, instance: ServiceNowStandIn, long: Incidents) -> None:
        found = long.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        assert (found.journal or "").startswith("the newest\n\n")
        assert [table for _, table in calls(instance)] == ["incident", "incident", "sys_journal_field"]

    def test_of_one_with_huge_entries_fewer_are_read(
        self, instance: ServiceNowStandIn, long: Incidents, clock: Clock
    ) -> None:
        for number in range(30):
            clock.now += timedelta(seconds=1)
            instance.edit(SYS_ID, {"work_notes": f"huge {number} " + "\u20ac" * 60000})

        found = long.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        notes = found.journal or ""
        assert notes.index("huge 29 ") < notes.index("huge 10 ")
        assert "huge 9 " not in notes

    def test_where_nobody_counts_an_empty_list_is_not_believed(
        self, instance: ServiceNowStandIn, long: Incidents
    ) -> None:
        instance.faults.add(answering('{"result":[]}'), table="sys_journal_field")

        found = long.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        assert found.journal is None

    def test_where_the_journal_may_not_be_read_apart_it_is_unknown(
        self, instance: ServiceNowStandIn, long: Incidents
    ) -> None:
        instance.switches.unreadable_tables.add("sys_journal_field")

        found = long.find(SYS_ID, with_notes=True, deadline=in_time())

        assert found is not None
        assert (found.state, found.journal) == ("1", None)


class TestCloseCode:
    @pytest.mark.parametrize(
        ("choices", "configured", "expected", "warnings"),
        [
            (("Duplicate", "Resolved by caller", "Solution provided"), "", "Solution provided", 0),
            (OLDER_CLOSE_CODES, "", "Solved (Permanently)", 0),
            (("Duplicate", "Resolved by caller"), "", "Resolved by caller", 0),
            (("Closed", "Other"), "", "Closed", 0),
            (("Fixed", "Other"), "", "", 1),
            (("Fixed", "Other"), "Other", "Other", 0),
            (("Solution provided", "Other"), "Gone", "Solution provided", 1),
            (("Closed", "Other"), "Gone", "Closed", 1),
            (("solution PROVIDED",), "", "solution PROVIDED", 0),
            (("Duplicate", "User error", "Known error", "Not Solved (Too Costly)", "Erledigt"), "", "", 1),
            (("Duplicate", "Erledigt"), "Erledigt", "Erledigt", 0),
            (("Duplicate", "Erledigt"), "Gone", "", 1),
        ],
    )
    def test_it_is_a_choice_of_the_instance(
        self,
        instance: ServiceNowStandIn,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
        choices: tuple[str, ...],
        configured: str,
        expected: str,
        warnings: int,
    ) -> None:
        instance.glide.set_choices("incident", "close_code", choices)

        assert client(instance, clock, close_code=configured).close_code(deadline=in_time()) == expected
        assert [record.levelno for record in told(caplog)] == [logging.WARNING] * warnings

    def test_it_may_be_inherited_from_task(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        instance.glide.set_choices("incident", "close_code", ())
        instance.glide.set_choices("task", "close_code", ("Solved (Permanently)", "Solution provided"))

        assert servicenow.close_code(deadline=in_time()) == "Solution provided"

    def test_those_of_the_incident_hide_those_of_task(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        instance.glide.set_choices("incident", "close_code", ("Solved (Permanently)",))
        instance.glide.set_choices("task", "close_code", ("Solution provided",))

        assert servicenow.close_code(deadline=in_time()) == "Solved (Permanently)"

    def test_an_inactive_choice_is_none(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        instance.glide.set_choices("incident", "close_code", ("Solution provided", "Resolved by caller"))
        row = next(row for row in instance.rows("sys_choice") if row["value"] == "Solution provided")
        instance.edit(row["sys_id"], {"inactive": "true"}, table="sys_choice")

        assert servicenow.close_code(deadline=in_time()) == "Resolved by caller"

    def test_it_is_asked_for_once_an_hour(
        self, instance: ServiceNowStandIn, servicenow: Incidents, clock: Clock
    ) -> None:
        asked = []
        for wait in (timedelta(0), timedelta(minutes=59), timedelta(minutes=1)):
            clock.now += wait
            servicenow.close_code(deadline=in_time())
            asked.append(len(instance.calls))

        assert asked == [1, 1, 2]

    @pytest.mark.parametrize(
        "fault",
        [
            faults.acl_validation_failed(),
            faults.invalid_table(table="sys_choice"),
            faults.node_failed(),
            faults.page(403),
            None,
        ],
    )
    def test_without_a_look_at_the_choices_nothing_is_guessed_and_they_are_asked_for_again(
        self, instance: ServiceNowStandIn, servicenow: Incidents, fault: Fault | None
    ) -> None:
        if fault is None:
            instance.switches.unreadable_tables.add("sys_choice")
        else:
            instance.faults.add(fault, table="sys_choice")

        with pytest.raises(Unavailable, match="SERVICENOW_CLOSE_CODE"):
            servicenow.close_code(deadline=in_time())
        instance.switches.unreadable_tables.clear()
        assert servicenow.close_code(deadline=in_time()) == "Solution provided"

    def test_the_last_known_choices_are_better_than_none(
        self, instance: ServiceNowStandIn, servicenow: Incidents, clock: Clock
    ) -> None:
        instance.glide.set_choices("incident", "close_code", OLDER_CLOSE_CODES)
        servicenow.close_code(deadline=in_time())
        instance.switches.unreadable_tables.add("sys_choice")
        clock.now += timedelta(days=2)

        assert servicenow.close_code(deadline=in_time()) == "Solved (Permanently)"

    def test_a_choice_that_is_hidden_does_not_hide_the_others(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        hidden = next(row for row in instance.rows("sys_choice") if row["value"] == "Duplicate")
        instance.switches.unreadable_rows.add(hidden["sys_id"])

        assert servicenow.close_code(deadline=in_time()) == "Solution provided"

    def test_the_preferred_one_is_found_however_it_is_cased(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.glide.set_choices("incident", "close_code", ("duplicate", "Solution provided"))

        assert servicenow.close_code(deadline=in_time(), preferred="Duplicate") == "duplicate"

    def test_where_any_text_will_do_it_is_the_usual_one(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.glide.set_choices("incident", "close_code", ())

        assert servicenow.close_code(deadline=in_time()) == "Solution provided"

    def test_without_a_look_at_the_choices_the_configured_one_is_trusted(
        self, instance: ServiceNowStandIn, clock: Clock
    ) -> None:
        instance.switches.unreadable_tables.add("sys_choice")

        assert client(instance, clock, close_code="Ours").close_code(deadline=in_time()) == "Ours"

    def test_an_instance_that_is_down_is_not_guessed_for(
        self, instance: ServiceNowStandIn, servicenow: Incidents
    ) -> None:
        instance.faults.add(faults.edge_failed(), table="sys_choice")

        with pytest.raises(Unavailable):
            servicenow.close_code(deadline=in_time())
        assert servicenow.close_code(deadline=in_time()) == "Solution provided"


class TestProbe:
    def test_an_instance_that_answers_passes(self, instance: ServiceNowStandIn, servicenow: Incidents) -> None:
        servicenow.probe(deadline=in_time())

        assert calls(instance) == [("GET", "incident")]

    @pytest.mark.parametrize(
        "fault", [faults.hibernating(), faults.not_authenticated(), faults.edge_failed(), faults.unscoped_api()]
    )
    def test_one_that_does_not_fails(self, instance: ServiceNowStandIn, servicenow: Incidents, fault: Fault) -> None:
        instance.faults.add(fault)

        with pytest.raises(BridgeError):
            servicenow.probe(deadline=in_time())


def answering(body: str) -> Fault:
    """An answer 200 with this body; the request is not executed."""

    def answer(_request: Request, _true: Response | None) -> Response:
        return Response(status=200, headers=(("X-Transaction-ID", "096cc61b9736"),), body=body.encode())

    return Fault(name="made-up answer", answer=answer)


def test_no_failure_tells_what_an_incident_says(
    instance: ServiceNowStandIn, servicenow: Incidents, caplog: pytest.LogCaptureFixture
) -> None:
    secret = fields(short_description="confidential", description="confidential", work_notes="confidential")
    planned = (
        faults.silence(),
        faults.closed(),
        faults.garbage(),
        faults.truncated_json(executed=False),
        faults.acl_exception(),
        faults.node_failed(),
        faults.edge_failed(),
        faults.business_rule_aborted(),
    )
    told = []
    for fault in planned:
        instance.faults.add(fault, method="POST")
        with pytest.raises(BridgeError) as caught:
            servicenow.create(secret, deadline=short())
        error: BaseException | None = caught.value
        while error is not None:
            told.append(repr(error))
            error = error.__cause__ or error.__context__

    assert "confidential" not in "".join(told) + caplog.text
