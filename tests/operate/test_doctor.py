"""Each thing is broken in turn, and `doctor` names it, with the right remedy, and nothing else as broken."""

import base64
import io
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient

from itsm_bridge.entra.directory import Graph
from itsm_bridge.entra.person import NotSignedIn
from itsm_bridge.finding import Finding, Status
from itsm_bridge.operate import cli
from itsm_bridge.operate.doctor import Asked, doctor, examined, graph_of
from itsm_bridge.settings import entra_from
from itsm_bridge.storage.account import TABLE
from itsm_bridge.storage.trouble_table import TroubleTable
from itsm_bridge.troubles import Tally, Trouble
from local.azurite import Azurite
from local.breakages import BREAKAGES, Breaker
from local.entra.authority import AZURE_MONITOR, Entra
from local.entra.graph import TOKEN, GraphStandIn
from local.http_server import Answer, HttpServer
from local.servicenow import batch_faults, faults
from local.servicenow.glide import SysIds
from local.servicenow.instance import ServiceNowStandIn

ROLE = "ActionGroupsSecureWebhook"
DAY = timedelta(days=1)


@dataclass(kw_only=True)
class Parts:
    """A world without an app: doctor asks the parties themselves."""

    azurite: Azurite
    entra: Entra
    servicenow: ServiceNowStandIn

    #: As they are right; a breakage changes what they meet.
    settings: Mapping[str, str]


def settings_of(azurite: Azurite, entra: Entra, servicenow: ServiceNowStandIn) -> dict[str, str]:
    return {
        "PYTHON_THREADPOOL_THREAD_COUNT": "16",
        "AzureWebJobsStorage": azurite.connection_string,
        "ENTRA_TENANT_ID": entra.tenants[0],
        "ENTRA_AUDIENCE": f"{entra.client_id},{entra.identifier_uri}",
        "ENTRA_AUTHORITY": entra.authority,
        "SERVICENOW_INSTANCE_URL": servicenow.url,
        "SERVICENOW_CLIENT_ID": servicenow.credentials.client_id,
        "SERVICENOW_CLIENT_SECRET": servicenow.credentials.client_secret,
    }


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    # An account of its own: others leave alerts and troubles behind.
    with Azurite() as azurite, Entra() as entra, ServiceNowStandIn() as servicenow:
        settings = settings_of(azurite, entra, servicenow)
        yield Parts(azurite=azurite, entra=entra, servicenow=servicenow, settings=settings)
        assert servicenow.crashes == []


@pytest.fixture(autouse=True)
def _nothing_counted(parts: Parts) -> Iterator[None]:
    yield
    with TableClient.from_connection_string(parts.azurite.connection_string, TABLE) as rows:
        TroubleTable(rows).clear()


def look(
    parts: Parts, settings: Mapping[str, str] | None = None, *, writes: bool = False, graph: Graph | None = None
) -> list[Finding]:
    environ = {**parts.settings, **(settings or {})}
    return list(examined(Asked(environ=environ, writes=writes, graph=lambda _: graph)))


def named(found: list[Finding], *statuses: Status) -> dict[str, Finding]:
    return {each.check: each for each in found if each.status in (statuses or (Status.BROKEN,))}


def assert_alone(found: list[Finding], check: str, meaning: str, remedy: str) -> None:
    """The check is broken, in these words, and nothing else is."""
    broken = named(found)
    assert set(broken) == {check}
    assert meaning in broken[check].message
    assert remedy in broken[check].remedy


def test_a_healthy_world_has_nothing_broken(parts: Parts) -> None:
    found = look(parts, writes=True)

    assert named(found) == {}
    assert {
        *("settings.valid", "storage.table", "storage.queue", "entra.keys", "servicenow.reachable"),
        *("servicenow.sign-in", "servicenow.read", "servicenow.close-code", "servicenow.journal", "servicenow.cmdb"),
        *("servicenow.create", "servicenow.sys-id", "servicenow.fields", "servicenow.resolve", "servicenow.clock"),
        *("servicenow.limit", "servicenow.batch", "rules.valid", "app.troubles"),
    } <= set(named(found, Status.OK))
    assert set(named(found, Status.WARNING)) == {"servicenow.mandatory"}


def test_rules_that_are_not_valid_are_named_with_line_and_column(parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules:\n  - name: a\n    match: { sevrity: Sev1 }\n", encoding="utf-8")

    found = look(parts, {"ITSM_RULES_FILE": str(file)})

    assert_alone(found, "rules.valid", "line 4, column 14", "rules check")
    assert "in force: the built-in rules" in named(found)["rules.valid"].message


def test_a_field_that_rules_fill_is_not_missed(parts: Parts, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\ndefaults: { set: { caller_id: { user_name: azure.monitor } } }\n", encoding="utf-8")

    found = look(parts, {"ITSM_RULES_FILE": str(file)})

    assert "servicenow.mandatory" in named(found, Status.OK)


def test_the_incident_of_a_trial_is_marked_and_resolved(parts: Parts) -> None:
    look(parts, writes=True)

    row = parts.servicenow.incidents[-1]
    assert (row["short_description"][:6], row["state"]) == ("[TEST]", "6")


def test_without_write_no_incident_is_made(parts: Parts) -> None:
    before = len(parts.servicenow.incidents)

    look(parts)

    assert len(parts.servicenow.incidents) == before


#: Whether --write is needed, what is broken, what it says, and who shall do what. The numbers are those of the errors
#: of Microsoft's ITSM connector
#: (https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-dashboard-errors).
BROKEN: Mapping[str, tuple[bool, str, str, str]] = {
    "servicenow-down": (False, "servicenow.reachable", "does not answer", "SERVICENOW_INSTANCE_URL"),  # 3
    "hibernating": (False, "servicenow.reachable", "hibernates", "Developer Site"),
    "slow": (False, "servicenow.reachable", "no answer in time", "looks whether it is up"),
    "server-errors": (False, "servicenow.reachable", "500", "looks whether it is up"),
    "gateway-errors": (False, "servicenow.reachable", "502", "looks whether it is up"),
    "firewall": (False, "servicenow.reachable", "refuses us", "outbound addresses"),  # 8
    "rate-limit": (False, "servicenow.limit", "limits how often we call", "rate limit"),  # 4
    "unscoped": (False, "servicenow.sign-in", "securely scoped", "Application Registry"),
    "wrong-secret": (False, "servicenow.sign-in", "SERVICENOW_CLIENT_SECRET", "compare these settings"),  # 5
    "wrong-client": (False, "servicenow.sign-in", "OAuth client credentials", "compare these settings"),  # 9
    "no-grant": (False, "servicenow.sign-in", "OAuth client credentials", "way of signing in is allowed"),
    "no-rights": (True, "servicenow.create", "may not create incidents", "sn_incident_write"),  # 2
    "no-change": (True, "servicenow.resolve", "may not change incidents", "sn_incident_write"),  # 2
    "no-read": (False, "servicenow.read", "may not read all incidents", "sn_incident_read"),
    "no-choices": (False, "servicenow.close-code", "sys_choice", "personalize_choices"),
    "no-close-code": (False, "servicenow.close-code", "no close code", "SERVICENOW_CLOSE_CODE"),
    "mandatory-field": (True, "servicenow.create", "mandatory: Caller", "data policy"),
    "dropped-field": (True, "servicenow.fields", "description", "write these fields"),
    "swallowed": (True, "servicenow.create", "it is not there", "business rule"),  # 1
    "closed-at-once": (True, "servicenow.create", "is Canceled at once", "business rule"),  # 1
    "entra-down": (False, "entra.keys", "cannot be read", "ENTRA_AUTHORITY"),
}

#: What works all the same, and is told: check, meaning, remedy.
DOUBTFUL: Mapping[str, tuple[bool, str, str, str]] = {
    "no-journal": (False, "servicenow.journal", "sys_journal_field", "read ACL"),
    "no-cmdb": (False, "servicenow.cmdb", "cmdb_ci_vm_instance", "cmdb_read"),  # 11
    "sys-id": (True, "servicenow.sys-id", "sys_id of its own", "incident.sys_id"),  # 10
    "clock": (False, "servicenow.clock", "20 minutes", "time server"),
}

#: Seen only by an app that is called (`test_silent_failures`), or of no consequence.
ELSEWHERE = {"audience", "role", "azurite", "no-batch"}


@contextmanager
def broken(parts: Parts, name: str) -> Iterator[None]:
    if name == "no-journal":
        parts.servicenow.insert("incident", {"work_notes": "a note that is hidden"})
    breaker = Breaker(parts)
    breaker.break_one(name)
    try:
        yield
    finally:
        breaker.mend()


def test_every_breakage_is_tried() -> None:
    assert set(BREAKAGES) == {*BROKEN, *DOUBTFUL, *ELSEWHERE}
    assert len(BROKEN) + len(DOUBTFUL) >= 25


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_alone_with_its_remedy(name: str, parts: Parts) -> None:
    writes, check, meaning, remedy = BROKEN[name]
    with broken(parts, name):
        found = look(parts, writes=writes)

    assert_alone(found, check, meaning, remedy)
    assert named(look(parts)) == {}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_works_all_the_same_is_a_warning(name: str, parts: Parts) -> None:
    writes, check, meaning, remedy = DOUBTFUL[name]
    with broken(parts, name):
        found = look(parts, writes=writes)

    assert named(found) == {}
    told = [each for each in found if each.check == check and each.status is Status.WARNING]
    assert any(meaning in each.message and remedy in each.remedy for each in told)


def test_storage_that_does_not_answer_is_named_alone(parts: Parts) -> None:
    with broken(parts, "azurite"):
        found = look(parts)

    assert set(named(found)) == {"storage.table", "storage.queue"}
    assert all("did not answer" in each.message for each in named(found).values())


@pytest.mark.parametrize(
    ("settings", "check", "meaning", "remedy"),
    [
        ({"SERVICENOW_INSTANCE_URL": ""}, "settings.valid", "SERVICENOW_INSTANCE_URL is missing", "README"),  # 7
        ({"ENTRA_AUDIENCE": ""}, "settings.valid", "ENTRA_AUDIENCE is missing", "README"),
        ({"ALLOWED_SUBSCRIPTIONS": "Shop"}, "settings.valid", "must be subscription ids", "README"),
        (
            {"SERVICENOW_CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=https://v.example/s)"},
            *("settings.valid", "was not resolved: in Azure the app's identity needs the role", "README"),
        ),
        (
            {"SERVICENOW_INSTANCE_URL": "https://no-such-host.invalid"},
            *("servicenow.reachable", "no-such-host.invalid", "SERVICENOW_INSTANCE_URL"),
        ),
        (
            {"SERVICENOW_API_KEY": "wrong", "SERVICENOW_CLIENT_ID": "", "SERVICENOW_CLIENT_SECRET": ""},
            *("servicenow.sign-in", "API key (SERVICENOW_API_KEY)", "compare these settings"),
        ),
        (
            {"ENTRA_TENANT_ID": "00000000-0000-4000-8000-00000000dead"},
            *("entra.keys", "00000000-0000-4000-8000-00000000dead", "ENTRA_TENANT_ID"),
        ),
    ],
    ids=lambda each: "" if not isinstance(each, dict) else ",".join(each),
)
def test_a_wrong_setting_is_named_alone(
    settings: dict[str, str], check: str, meaning: str, remedy: str, parts: Parts
) -> None:
    found = look(parts, settings)

    broken_checks = named(found)
    assert set(broken_checks) == {check}
    assert any(meaning in each.message and remedy in each.remedy for each in found if each.check == check)


def test_an_address_that_is_no_instance_is_told(parts: Parts) -> None:
    found = look(parts, {"SERVICENOW_INSTANCE_URL": parts.entra.authority})

    assert_alone(found, "servicenow.reachable", "is no ServiceNow instance", "SERVICENOW_INSTANCE_URL")


@contextmanager
def refusing_account(code: str) -> Iterator[str]:
    """Serve an account that refuses every request; yield its connection string."""
    server = HttpServer(0, lambda _: Answer(status=403, headers={"x-ms-error-code": code}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    account = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;"
    try:
        yield f"{account}TableEndpoint={server.url}/a;QueueEndpoint={server.url}/a;"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_person_without_a_role_is_told_so_and_the_account_is_not_called_broken(parts: Parts) -> None:
    with refusing_account("AuthorizationPermissionMismatch") as account:
        found = look(parts, {"AzureWebJobsStorage": account})

    assert named(found) == {}
    told = named(found, Status.WARNING)
    assert all("Storage Table Data Contributor" in told[check].message for check in ("storage.table", "storage.queue"))


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("AuthenticationFailed", "the key or the signature is wrong"),
        ("AuthorizationFailure", "its firewall does not let this address in"),
        ("KeyBasedAuthenticationNotPermitted", "AzureWebJobsStorage__accountName"),
    ],
)
def test_an_account_that_refuses_us_says_why(code: str, meaning: str, parts: Parts) -> None:
    with refusing_account(code) as account:
        found = look(parts, {"AzureWebJobsStorage": account})

    assert set(named(found)) == {"storage.table", "storage.queue"}
    assert all(meaning in each.message and code in each.message for each in named(found).values())
    assert "a2V5" not in str(found)


@pytest.mark.parametrize("trouble", [each for each in Trouble if each.startswith("refused-")])
def test_calls_that_the_app_refused_are_told(trouble: Trouble, parts: Parts) -> None:
    now = datetime.now(UTC)
    with TableClient.from_connection_string(parts.azurite.connection_string, TABLE) as rows:
        tally = Tally(count=3, first_at=now, last_at=now, detail="audience 'x'")
        TroubleTable(rows).add(trouble, tally, over_after=DAY)

    assert_alone(look(parts), f"app.{trouble}", "were refused", "status --acknowledge")


@pytest.mark.parametrize(
    ("trouble", "breakage", "writes", "status"),
    [
        (Trouble.RIGHT_TO_CREATE, "", False, Status.BROKEN),
        (Trouble.RIGHT_TO_CREATE, "", True, Status.WARNING),
        (Trouble.SIGN_IN, "", False, Status.WARNING),
        (Trouble.SIGN_IN, "wrong-secret", False, None),
    ],
)
def test_what_the_app_met_with_servicenow_is_told_if_the_look_does_not_tell_it(
    trouble: Trouble, breakage: str, writes: bool, status: Status | None, parts: Parts
) -> None:
    now = datetime.now(UTC)
    with TableClient.from_connection_string(parts.azurite.connection_string, TABLE) as rows:
        tally = Tally(count=3, first_at=now, last_at=now, detail="")
        TroubleTable(rows).add(trouble, tally, over_after=DAY)
    with broken(parts, breakage) if breakage else nullcontext():
        found = look(parts, writes=writes)

    assert next((each.status for each in found if each.check == f"app.{trouble}"), None) is status


def test_wake_ups_that_failed_for_good_are_told(parts: Parts) -> None:
    with QueueClient.from_connection_string(parts.azurite.connection_string, "alert-wakeups-poison") as poison:
        poison.create_queue()
        poison.send_message("x")
        found = look(parts)
        poison.delete_queue()

    assert "1 wake-ups failed" in named(found, Status.WARNING)["storage.poison"].message


class TestTrialThatFailsHalfway:
    """A trial leaves no incident behind that nobody knows of."""

    def test_an_incident_that_cannot_be_read_again_is_named(self, parts: Parts) -> None:
        planned = parts.servicenow.faults.add(
            faults.acl_validation_failed(), times=None, when=lambda request: "sys_id%3D" in request.target
        )
        found = look(parts, writes=True)
        parts.servicenow.faults.remove(planned)

        number = parts.servicenow.incidents[-1]["number"]
        assert_alone(found, "servicenow.create", f"{number} was created and cannot be read again", "sn_incident_read")

    def test_an_answer_that_was_lost_makes_no_second_incident(self, parts: Parts) -> None:
        before = len(parts.servicenow.incidents)
        parts.servicenow.faults.add(faults.closed(executed=True), method="POST", table="incident")
        found = look(parts, writes=True)

        assert len(parts.servicenow.incidents) == before + 1
        assert "is not known; look for one with the title" in named(found)["servicenow.create"].message


class TestDirectory:
    """Microsoft Graph is asked where somebody is signed in who may."""

    @pytest.fixture
    def tenant(self, parts: Parts) -> Iterator[GraphStandIn]:
        with GraphStandIn() as stand_in:
            application = stand_in.add_application(
                appId=parts.entra.client_id,
                identifierUris=[parts.entra.identifier_uri],
                api={"requestedAccessTokenVersion": 2},
                appRoles=[
                    {"id": "1" * 8, "value": ROLE, "isEnabled": True, "allowedMemberTypes": ["Application"]},
                ],
            )
            ours = stand_in.add_service_principal(application["appId"])
            caller = stand_in.add_service_principal(AZURE_MONITOR)
            stand_in.assign(caller, "1" * 8, ours)
            yield stand_in

    def look(self, parts: Parts, tenant: GraphStandIn, **settings: str) -> list[Finding]:
        return look(parts, settings, graph=Graph(host=tenant.url, token=lambda: TOKEN))

    def test_all_is_as_it_must_be(self, parts: Parts, tenant: GraphStandIn) -> None:
        found = self.look(parts, tenant)

        assert named(found) == {}
        assert {"entra.application", "entra.token-version", "entra.role"} <= set(named(found, Status.OK))
        assert tenant.writes == []

    def test_an_application_that_was_deleted(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.applications.clear()

        assert_alone(self.look(parts, tenant), "entra.application", "was deleted", "setup")  # 6

    def test_a_role_that_was_not_assigned(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.service_principals[0]["appRoleAssignedTo"].clear()

        assert_alone(self.look(parts, tenant), "entra.role", "was not assigned", "setup")

    def test_a_role_that_is_disabled(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.applications[0]["appRoles"][0]["isEnabled"] = False

        assert_alone(self.look(parts, tenant), "entra.role", "disabled", "setup")

    def test_a_service_principal_that_is_disabled(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.service_principals[0]["accountEnabled"] = False

        assert_alone(self.look(parts, tenant), "entra.role", "is disabled", "enables it")

    def test_azure_monitor_is_unknown_in_the_tenant(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.service_principals.pop()

        assert_alone(self.look(parts, tenant), "entra.role", "no service principal of the caller", "setup")

    def test_tokens_of_version_1_for_an_audience_that_is_not_accepted(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.applications[0]["api"] = {"requestedAccessTokenVersion": None}

        found = self.look(parts, tenant, ENTRA_AUDIENCE=parts.entra.client_id)

        assert_alone(found, "entra.token-version", "version 1", "ENTRA_AUDIENCE")

    def test_an_application_without_a_uri(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.applications[0]["identifierUris"] = []

        assert_alone(self.look(parts, tenant), "entra.identifier-uri", "identifier URI", "setup")

    def test_whoever_may_not_read_it_is_told_so_and_nothing_is_broken(self, parts: Parts, tenant: GraphStandIn) -> None:
        tenant.denied.add("GET")

        found = self.look(parts, tenant)

        assert named(found) == {}
        assert "az login" in named(found, Status.WARNING)["entra.directory"].remedy

    def test_nobody_is_signed_in(self, parts: Parts, tenant: GraphStandIn) -> None:
        def nobody() -> str:
            raise NotSignedIn("Nobody is signed in")

        found = look(parts, graph=Graph(host=tenant.url, token=nobody))

        assert named(found) == {}
        assert "Nobody is signed in" in named(found, Status.WARNING)["entra.directory"].message

    def test_an_unknown_authority_has_no_directory(self, parts: Parts) -> None:
        assert graph_of(entra_from(parts.settings)) is None
        assert graph_of(entra_from({**parts.settings, "ENTRA_AUTHORITY": "https://login.microsoftonline.us"}))


class TestWarnings:
    """Works, and somebody should know."""

    @pytest.mark.parametrize(
        ("settings", "check"),
        [
            ({"PYTHON_THREADPOOL_THREAD_COUNT": "4"}, "settings.threads"),
            ({"ENTRA_REQUIRED_ROLE": ""}, "entra.required-role"),
            ({"ENTRA_AUDIENCE": "api://x"}, "entra.audience"),
            ({"SERVICENOW_CLOSE_CODE": "None of yours"}, "servicenow.close-code"),
        ],
    )
    def test_of_settings(self, settings: dict[str, str], check: str, parts: Parts) -> None:
        found = look(parts, settings)

        assert named(found) == {}
        assert check in named(found, Status.WARNING)

    def test_of_no_batches(self, parts: Parts) -> None:
        with broken(parts, "no-batch"):
            found = look(parts)

        assert named(found) == {}
        assert "there is no Batch API" in named(found, Status.OK)["servicenow.batch"].message

    def test_of_batches_that_hide_what_is_shown_alone(self, parts: Parts) -> None:
        nothing = base64.b64encode(b'{"result":[]}').decode()
        parts.servicenow.faults.add(batch_faults.items(0, body=nothing), table="batch")

        found = look(parts)

        assert named(found) == {}
        assert "does not show an item" in named(found, Status.WARNING)["servicenow.batch"].message

    def test_of_a_low_limit(self, parts: Parts) -> None:
        parts.servicenow.switches.requests_per_hour = 500
        try:
            found = look(parts)
        finally:
            parts.servicenow.switches.requests_per_hour = None

        assert "500 times an hour" in named(found, Status.WARNING)["servicenow.limit"].message

    def test_a_refused_sys_id_is_no_lack_of_rights(self, parts: Parts) -> None:
        # What such an instance answers cannot be told from an account that may not create anything.
        parts.servicenow.switches.sys_ids = SysIds.REFUSED
        try:
            found = look(parts, writes=True)
        finally:
            parts.servicenow.switches.sys_ids = SysIds.HONOURED

        assert named(found) == {}
        assert "refuses a sys_id" in named(found, Status.WARNING)["servicenow.sys-id"].message


class TestPrinted:
    """For people and for scripts."""

    def run(self, parts: Parts, *, as_json: bool, **settings: str) -> tuple[int, str]:
        out = io.StringIO()
        asked = Asked(environ={**parts.settings, **settings}, graph=lambda _: None)
        return doctor(asked, out=out, as_json=as_json), out.getvalue()

    def test_json_has_the_four_fields_and_exit_0_if_nothing_is_broken(self, parts: Parts) -> None:
        code, text = self.run(parts, as_json=True)

        told: list[dict[str, Any]] = json.loads(text)
        assert code == 0
        assert all(set(each) == {"check", "status", "message", "remedy"} for each in told)
        assert {each["status"] for each in told} <= {"ok", "warning"}
        assert all(each["remedy"] for each in told if each["status"] != "ok")

    def test_exit_1_if_anything_is_broken(self, parts: Parts) -> None:
        code, text = self.run(parts, as_json=False, SERVICENOW_CLIENT_SECRET="wrong-one")

        assert code == 1
        assert "  BROKEN   sign-in        ServiceNow refuses our sign-in by OAuth client credentials" in text
        assert "wrong-one" not in text
        assert text.splitlines()[-1].startswith("1 broken")

    def test_no_secret_is_told(self, parts: Parts) -> None:
        known = parts.servicenow.credentials
        with broken(parts, "wrong-secret"):
            texts = [self.run(parts, as_json=as_json)[1] for as_json in (True, False)]

        secrets = (known.client_secret, known.password, known.api_key, "AccountKey", TOKEN)
        assert not any(secret in text for secret in secrets for text in texts)

    def test_the_command_finds_its_settings(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name, value in parts.settings.items():
            monkeypatch.setenv(name, value)

        assert cli.main(["doctor", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
