"""The instance in memory and the stand-in, seen through the real adapter over HTTP, are the same to the program.

And what the simulator takes for granted of each trouble is what the real adapter makes of the same fault.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Conflict, Rejected, TemporaryError, Unconfirmed
from itsm_bridge.reconcile.ports import Incident
from itsm_bridge.reconcile.record import id_for
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.settings import ServiceNowSettings
from local.servicenow import faults, glide
from local.servicenow.instance import ServiceNowStandIn
from proof.simulator.faults import REFUSAL, TROUBLES
from proof.simulator.memory import MemoryIncidents, MemoryInstance, SysIds
from tests.builders import KEY, NOW, notification


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=5))


IMPATIENT = timedelta(seconds=0.4)
SYS_ID = id_for(KEY, 1)
FIELDS = {"sys_id": SYS_ID, "correlation_id": KEY, **notification().content.fields}
RESOLUTION = {"state": "6", "close_code": "Solution provided", "close_notes": "Over.", "work_notes": "It is over."}


class InMemory:
    """An instance in memory, and what people do there."""

    def __init__(self) -> None:
        self.sys_ids = SysIds.HONOURED
        self.options: dict[str, Any] = {}
        self._instance: MemoryInstance | None = None

    @property
    def instance(self) -> MemoryInstance:
        self._instance = self._instance or MemoryInstance(now=lambda: NOW, sys_ids=self.sys_ids, **self.options)
        return self._instance

    def sign_in(self) -> MemoryIncidents:
        return MemoryIncidents(self.instance)

    def refuse_duplicates(self) -> None:
        self.options["rejects_duplicates"] = True

    def leave_closed_unprotected(self) -> None:
        self.options["protects_closed"] = False

    def close(self, sys_id: str) -> None:
        self.instance.rows[sys_id].state = 7

    def delete(self, sys_id: str) -> None:
        del self.instance.rows[sys_id]

    def incidents(self) -> list[tuple[str, int, int]]:
        return [(row.fields["correlation_id"], row.state, len(row.journal)) for row in self.instance.rows.values()]


class OverHttp:
    """The stand-in, and what people do there."""

    def __init__(self, standin: ServiceNowStandIn) -> None:
        self.standin = standin

    @property
    def sys_ids(self) -> SysIds:
        raise NotImplementedError

    @sys_ids.setter
    def sys_ids(self, kept: SysIds) -> None:
        self.standin.switches.sys_ids = glide.SysIds[kept.name]

    def sign_in(self) -> Incidents:
        settings = ServiceNowSettings(
            instance_url=self.standin.url,
            client_id="",
            client_secret="",
            api_key=self.standin.credentials.api_key,
            username="",
            password="",
            max_concurrency=4,
        )
        return Incidents(TableApi(settings.instance_url, credentials_of(settings)))

    def refuse_duplicates(self) -> None:
        self.standin.faults.add(
            faults.business_rule_aborted(),
            method="POST",
            times=None,
            when=lambda _: any(row["sys_id"] == SYS_ID for row in self.standin.incidents),
        )

    def leave_closed_unprotected(self) -> None:
        self.standin.switches.closed_incidents_are_protected = False

    def close(self, sys_id: str) -> None:
        self.standin.close(sys_id)

    def delete(self, sys_id: str) -> None:
        self.standin.delete(sys_id)

    def incidents(self) -> list[tuple[str, int, int]]:
        return [
            (row["correlation_id"], int(row["state"]), len(self.standin.notes(row["sys_id"])))
            for row in self.standin.incidents
        ]


Instance = InMemory | OverHttp


@pytest.fixture
def standin() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn(now=lambda: NOW) as running:
        yield running
        assert running.crashes == []


@pytest.fixture(params=["memory", "http"])
def instance(request: pytest.FixtureRequest) -> Instance:
    return InMemory() if request.param == "memory" else OverHttp(request.getfixturevalue("standin"))


def shown(incident: Incident | None) -> Mapping[str, object] | None:
    """What the program looks at; the number is the instance's own affair."""
    if incident is None:
        return None
    names = (*notification().content.fields, "close_code", "close_notes")
    return {
        "sys_id": incident.id,
        "state": incident.state,
        "created_at": incident.created_at,
        **{name: incident.fields.get(name) for name in names if name != "correlation_display"},
    }


class TestWhatIsAsked:
    """Each method, without any trouble."""

    def test_an_absent_incident_is_none(self, instance: Instance) -> None:
        servicenow = instance.sign_in()

        assert servicenow.find(SYS_ID, deadline=soon()) is None
        assert servicenow.search(KEY, deadline=soon()) == ()
        assert servicenow.honours_sys_id is None

    def test_a_created_incident_is_found_as_it_was_answered(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        made = servicenow.create(FIELDS, deadline=soon())

        found = servicenow.find(SYS_ID, deadline=soon())
        (searched,) = servicenow.search(KEY, deadline=soon())

        assert shown(made) == shown(found) == shown(searched)
        assert shown(made) == {
            "sys_id": SYS_ID,
            "state": "1",
            "short_description": "Sev1: CPU above 90 on vm-web-01",
            "description": "CPU is above 90.",
            "impact": "1",
            "urgency": "2",
            "close_code": "",
            "close_notes": "",
            "created_at": NOW,
        }
        assert servicenow.honours_sys_id is True

    def test_notes_are_appended_and_read_when_asked_for(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        servicenow.create({**FIELDS, "work_notes": "first"}, deadline=soon())
        for _ in range(2):
            servicenow.update(SYS_ID, {"work_notes": "second"}, deadline=soon())

        with_notes = servicenow.find(SYS_ID, with_notes=True, deadline=soon())
        without = servicenow.find(SYS_ID, deadline=soon())

        assert with_notes is not None
        assert without is not None
        assert (with_notes.journal or "").count("second") == 2
        assert (with_notes.journal or "").count("first") == 1
        assert without.journal is None
        assert instance.incidents() == [(KEY, 1, 3)]

    def test_a_resolved_incident_is_answered_resolved(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())

        answer = servicenow.update(SYS_ID, RESOLUTION, deadline=soon())

        assert shown(answer) == shown(servicenow.find(SYS_ID, deadline=soon()))
        assert (answer.state, answer.fields["close_notes"]) == ("6", "Over.")
        assert servicenow.close_code(deadline=soon()) == "Solution provided"

    def test_a_second_creation_is_of_unknown_outcome_and_makes_nothing(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())

        with pytest.raises(Unconfirmed):
            servicenow.create(FIELDS, deadline=soon())
        assert instance.incidents() == [(KEY, 1, 0)]

    def test_a_creation_that_is_refused_because_it_exists_conflicts(self, instance: Instance) -> None:
        instance.refuse_duplicates()
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())
        instance.close(SYS_ID)

        with pytest.raises(Conflict):
            servicenow.create(FIELDS, deadline=soon())
        assert instance.incidents() == [(KEY, 7, 0)]

    def test_a_sys_id_that_is_ignored_is_learnt_and_found_by_correlation(self, instance: Instance) -> None:
        instance.sys_ids = SysIds.IGNORED
        servicenow = instance.sign_in()
        made = [servicenow.create(FIELDS, deadline=soon()).id for _ in range(2)]

        assert servicenow.honours_sys_id is False
        assert servicenow.find(SYS_ID, deadline=soon()) is None
        assert {each.id for each in servicenow.search(KEY, deadline=soon())} == set(made)

    def test_a_sys_id_that_is_refused_makes_nothing_and_none_makes_one(self, instance: Instance) -> None:
        instance.sys_ids = SysIds.REFUSED
        servicenow = instance.sign_in()
        with pytest.raises(Unconfirmed):
            servicenow.create(FIELDS, deadline=soon())
        before = instance.incidents()

        servicenow.create({name: text for name, text in FIELDS.items() if name != "sys_id"}, deadline=soon())

        assert (before, instance.incidents()) == ([], [(KEY, 1, 0)])
        assert servicenow.honours_sys_id is None

    def test_a_deleted_incident_cannot_be_changed(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())
        instance.delete(SYS_ID)

        with pytest.raises(Conflict):
            servicenow.update(SYS_ID, RESOLUTION, deadline=soon())

    def test_a_closed_incident_is_protected(self, instance: Instance) -> None:
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())
        instance.close(SYS_ID)

        with pytest.raises(Conflict):
            servicenow.update(SYS_ID, {"work_notes": "late"}, deadline=soon())
        assert instance.incidents() == [(KEY, 7, 0)]

    def test_a_closed_incident_that_is_not_protected_stays_closed(self, instance: Instance) -> None:
        instance.leave_closed_unprotected()
        servicenow = instance.sign_in()
        servicenow.create(FIELDS, deadline=soon())
        instance.close(SYS_ID)

        assert servicenow.update(SYS_ID, {"work_notes": "late"}, deadline=soon()).state == "7"
        assert instance.incidents() == [(KEY, 7, 1)]


TROUBLED = [
    pytest.param(name, method, id=f"{method}: {name}")
    for name, trouble in {**TROUBLES, "refused for good": REFUSAL}.items()
    for method in sorted(trouble.hits)
    if method != "close_code"
]


class TestTroubles:
    """Each row of the simulator's table, with the stand-in's fault and the real adapter."""

    @pytest.mark.parametrize(("name", "method"), TROUBLED)
    def test_the_adapter_makes_of_a_fault_what_the_table_says(
        self, name: str, method: str, standin: ServiceNowStandIn
    ) -> None:
        trouble = {**TROUBLES, "refused for good": REFUSAL}[name]
        servicenow = OverHttp(standin).sign_in()
        if method != "create":
            servicenow.create(FIELDS, deadline=soon())
        # A read is repeated once when its connection was dropped.
        standin.faults.add(trouble.fault(), table="incident", times=1 if method in ("create", "update") else 2)

        raised = _tried(servicenow, method, IMPATIENT if trouble.is_silent else timedelta(seconds=5))

        standin.wait_for_late_commits()
        assert isinstance(raised, trouble.error)
        if trouble.retry_after is not None:
            assert isinstance(raised, TemporaryError)
            assert raised.retry_after == timedelta(seconds=trouble.retry_after)
        assert _took_effect(standin, method) is (trouble.executed or method in ("find", "search"))


def _tried(servicenow: Incidents, method: str, within: timedelta) -> BridgeError | None:
    try:
        match method:
            case "create":
                servicenow.create(FIELDS, deadline=Deadline.after(within))
            case "update":
                servicenow.update(SYS_ID, RESOLUTION, deadline=Deadline.after(within))
            case "find":
                servicenow.find(SYS_ID, deadline=Deadline.after(within))
            case "search":
                servicenow.search(KEY, deadline=Deadline.after(within))
    except (TemporaryError, Rejected) as error:
        return error
    return None


def _took_effect(standin: ServiceNowStandIn, method: str) -> bool:
    if method == "update":
        return [row["state"] for row in standin.incidents] == ["6"]
    return len(standin.incidents) == 1
