import io
import itertools
import json
import shlex
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from itsm_bridge.entra import setup as setup_entra
from itsm_bridge.entra.directory import Graph, Refused
from itsm_bridge.entra.steps import Steps
from itsm_bridge.entra.wanted import Result, Wanted
from itsm_bridge.errors import Unavailable
from local.entra.graph import TENANT_ID, TOKEN, USER_ID, GraphStandIn, Refusal
from local.http_server import Answer

AZURE_MONITOR = "461e8683-5575-4561-ac7f-899cc907d62a"
OURS: dict[str, Any] = {
    "id": "11111111-0000-4000-8000-000000000001",
    "allowedMemberTypes": ["Application"],
    "description": "",
    "displayName": "ActionGroupsSecureWebhook",
    "isEnabled": True,
    "value": "ActionGroupsSecureWebhook",
}
OTHER: dict[str, Any] = {
    **OURS,
    "id": "11111111-0000-4000-8000-000000000002",
    "displayName": "Reader",
    "value": "Reader",
}


#: A folder without an azd environment.
NOWHERE = Path("/nowhere")


@pytest.fixture
def tenant() -> Iterator[GraphStandIn]:
    with GraphStandIn() as stand_in:
        yield stand_in


def command(
    tenant: GraphStandIn, *options: str, folder: Path = NOWHERE, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    parser = ArgumentParser()
    setup_entra.add_arguments(parser)
    out, err = io.StringIO(), io.StringIO()
    arguments = parser.parse_args(["--graph", tenant.url, *options])
    status = setup_entra.run(arguments, token=lambda: TOKEN, out=out, err=err, folder=folder, environ=environ or {})
    assert TOKEN not in out.getvalue() + err.getvalue()
    return status, out.getvalue(), err.getvalue()


def connected(tenant: GraphStandIn, waits: list[float]) -> Graph:
    """Return a connection that does not wait in real time; `waits` collects what would have been waited."""
    return Graph(host=tenant.url, token=lambda: TOKEN, sleep=waits.append, clock=lambda: sum(waits))


def taken(
    tenant: GraphStandIn, *, waits: list[float] | None = None, graph: Graph | None = None, **wanted: Any
) -> Result:
    graph = graph or connected(tenant, [] if waits is None else waits)
    properties = {"name": "itsm-bridge", "client_id": "", "identifier_uri": "", "caller": AZURE_MONITOR, "owners": ()}
    steps = Steps(graph, tell=lambda _: None, is_dry=False, shows_requests=False)
    return steps.take(Wanted(**{**properties, **wanted}))


def assert_set_up(tenant: GraphStandIn) -> None:
    [application] = tenant.applications
    assert application["api"]["requestedAccessTokenVersion"] == 2
    assert f"api://{application['appId']}" in application["identifierUris"]
    assert "idtyp" in [each["name"] for each in application["optionalClaims"]["accessToken"]]
    assert USER_ID in tenant.owners[application["id"]]
    [role] = [each for each in application["appRoles"] if each["value"] == "ActionGroupsSecureWebhook"]
    assert role["isEnabled"]
    assert role["allowedMemberTypes"] == ["Application"]
    ours = next(each for each in tenant.service_principals if each["appId"] == application["appId"])
    caller = next(each for each in tenant.service_principals if each["appId"] == AZURE_MONITOR)
    assert ours["appRoleAssignmentRequired"]
    [assignment] = [each for each in tenant.assignments if each["principalId"] == caller["id"]]
    assert assignment["appRoleId"] == role["id"]
    assert assignment["resourceId"] == ours["id"]
    assert len(tenant.service_principals) == 2


def test_an_empty_tenant_is_set_up(tenant: GraphStandIn) -> None:
    result = taken(tenant)

    assert_set_up(tenant)
    [application] = tenant.applications
    assert result == Result(
        client_id=application["appId"],
        object_id=application["id"],
        identifier_uri=f"api://{application['appId']}",
        tenant_id=TENANT_ID,
    )


#: What may exist before, each only if the first does.
PARTS = ["application", "uri", "version", "role", "claim", "owner", "ours", "required", "assignment", "caller"]
SUBSETS = [
    set(chosen)
    for count in range(len(PARTS) + 1)
    for chosen in itertools.combinations(PARTS, count)
    if "application" in chosen or set(chosen) <= {"caller"}
    if "required" not in chosen or "ours" in chosen
    if "assignment" not in chosen or {"role", "ours", "caller"} <= set(chosen)
]


def prepare(tenant: GraphStandIn, parts: set[str]) -> None:
    caller = tenant.add_service_principal(AZURE_MONITOR) if "caller" in parts else None
    if "application" not in parts:
        return
    application = tenant.add_application(appRoles=[OTHER, OURS] if "role" in parts else [OTHER])
    if "uri" in parts:
        application["identifierUris"] = [f"api://{application['appId']}"]
    if "version" in parts:
        application["api"]["requestedAccessTokenVersion"] = 2
    if "claim" in parts:
        application["optionalClaims"] = {"accessToken": [{"name": "idtyp"}], "idToken": [{"name": "email"}]}
    if "owner" in parts:
        tenant.owners[application["id"]].append(USER_ID)
    if "ours" in parts:
        ours = tenant.add_service_principal(application["appId"], appRoleAssignmentRequired="required" in parts)
        if "assignment" in parts and caller:
            tenant.assign(caller, OURS["id"], ours)


def test_whatever_exists_before_the_end_is_the_same_and_a_second_run_writes_nothing(tenant: GraphStandIn) -> None:
    assert len(SUBSETS) == 226
    graph = connected(tenant, [])
    for parts in SUBSETS:
        tenant.forget()
        prepare(tenant, parts)

        taken(tenant, graph=graph)

        assert_set_up(tenant)
        state, tenant.writes = tenant.state(), []
        taken(tenant, graph=graph)
        assert tenant.writes == [], parts
        assert tenant.state() == state


def test_a_step_that_is_done_is_not_done_again(tenant: GraphStandIn) -> None:
    prepare(tenant, set(PARTS) - {"owner"})

    taken(tenant)

    [write] = tenant.writes
    assert write.endswith("/owners/$ref")


def test_our_role_is_assigned_though_another_stands_first(tenant: GraphStandIn) -> None:
    prepare(tenant, {"application", "role"})

    taken(tenant)

    assert [each["appRoleId"] for each in tenant.assignments] == [OURS["id"]]


def test_another_role_of_azure_monitor_does_not_stand_in_for_ours(tenant: GraphStandIn) -> None:
    prepare(tenant, {"application", "role", "ours", "caller"})
    caller, ours = tenant.service_principals
    tenant.assign(caller, OTHER["id"], ours)

    taken(tenant)

    assert [each["appRoleId"] for each in tenant.assignments] == [OTHER["id"], OURS["id"]]


def test_what_else_the_application_holds_is_kept(tenant: GraphStandIn) -> None:
    prepare(tenant, {"application"})
    [application] = tenant.applications
    application["identifierUris"] = ["https://contoso.example/itsm-bridge"]
    application["optionalClaims"] = {"idToken": [{"name": "email"}], "accessToken": [{"name": "ipaddr"}]}
    application["api"] = {"requestedAccessTokenVersion": 1, "acceptMappedClaims": True}

    result = taken(tenant)

    assert application["appRoles"][0] == OTHER
    assert application["optionalClaims"]["idToken"] == [{"name": "email"}]
    assert [each["name"] for each in application["optionalClaims"]["accessToken"]] == ["ipaddr", "idtyp"]
    assert application["api"] == {"requestedAccessTokenVersion": 2, "acceptMappedClaims": True}
    assert application["identifierUris"] == ["https://contoso.example/itsm-bridge"]
    assert result.identifier_uri == "https://contoso.example/itsm-bridge"


def test_a_wanted_identifier_uri_joins_those_that_are_there(tenant: GraphStandIn) -> None:
    application = tenant.add_application()
    application["identifierUris"] = [f"api://{application['appId']}"]

    result = taken(tenant, identifier_uri="https://contoso.example/itsm-bridge")

    assert application["identifierUris"] == [f"api://{application['appId']}", "https://contoso.example/itsm-bridge"]
    assert result.identifier_uri == "https://contoso.example/itsm-bridge"


def test_a_disabled_role_is_enabled(tenant: GraphStandIn) -> None:
    tenant.add_application(appRoles=[OTHER, {**OURS, "isEnabled": False}])

    taken(tenant)

    assert_set_up(tenant)


def test_an_assignment_far_down_the_list_is_found(tenant: GraphStandIn) -> None:
    prepare(tenant, set(PARTS) - {"assignment"})
    ours = next(each for each in tenant.service_principals if each["appId"] != AZURE_MONITOR)
    for number in range(4):
        tenant.assign({"id": f"somebody-{number}"}, OURS["id"], ours)
    tenant.assign(next(each for each in tenant.service_principals if each is not ours), OURS["id"], ours)

    taken(tenant)

    assert tenant.writes == []


def test_objects_that_other_replicas_do_not_know_yet_are_waited_for(tenant: GraphStandIn) -> None:
    tenant.lag = 3
    waits: list[float] = []

    taken(tenant, waits=waits)

    assert_set_up(tenant)
    assert waits[:3] == [1.0, 2.0, 4.0]


def test_waiting_for_replicas_ends(tenant: GraphStandIn) -> None:
    tenant.lag = 1000
    waits: list[float] = []

    with pytest.raises(Unavailable):
        taken(tenant, waits=waits)

    assert 60 < sum(waits) <= 90


def test_a_throttled_request_waits_as_long_as_graph_asks(tenant: GraphStandIn) -> None:
    throttled = Refusal(429, "TooManyRequests", "Too many requests", {"Retry-After": "17"}).answer
    tenant.next_answers.extend([throttled, throttled])
    waits: list[float] = []

    taken(tenant, waits=waits)

    assert_set_up(tenant)
    assert waits == [17.0, 17.0]


def test_endless_throttling_ends(tenant: GraphStandIn) -> None:
    tenant.next_answers.extend([Refusal(429, "TooManyRequests", "", {"Retry-After": "40"}).answer] * 9)
    waits: list[float] = []

    with pytest.raises(Unavailable):
        taken(tenant, waits=waits)

    assert waits == [40.0, 40.0]


def test_a_write_of_unknown_outcome_is_not_repeated(tenant: GraphStandIn) -> None:
    graph = Graph(host=tenant.url, token=lambda: TOKEN, sleep=lambda seconds: pytest.fail(f"waited {seconds} s"))
    tenant.next_answers.append(Refusal(504, "UnknownError", "").answer)

    with pytest.raises(Refused):
        graph.write("POST", "/applications", {})

    assert tenant.requests == ["POST /applications"]


def test_a_read_of_unknown_outcome_is_repeated(tenant: GraphStandIn) -> None:
    graph = Graph(host=tenant.url, token=lambda: TOKEN, sleep=lambda _: None)
    tenant.next_answers.append(Refusal(504, "UnknownError", "").answer)

    assert graph.read("/me") == {"id": USER_ID}


def test_the_token_does_not_go_to_another_host(tenant: GraphStandIn) -> None:
    page = {"value": [], "@odata.nextLink": "https://elsewhere.example/v1.0/applications"}
    tenant.next_answers.append(Answer(status=200, body=json.dumps(page).encode()))
    graph = Graph(host=tenant.url, token=lambda: TOKEN)

    with pytest.raises(Unavailable, match="another host"):
        list(graph.list("/applications"))


@pytest.mark.parametrize(
    "answer", [Answer(status=302, headers={"Location": "/me"}), Answer(status=407, body=b"<html>")]
)
def test_what_is_not_graphs_answer_is_refused(tenant: GraphStandIn, answer: Answer) -> None:
    tenant.next_answers.append(answer)
    graph = Graph(host=tenant.url, token=lambda: TOKEN)

    with pytest.raises(Refused):
        graph.read("/me")


def test_a_page_of_a_proxy_is_not_taken_for_an_answer(tenant: GraphStandIn) -> None:
    tenant.next_answers.append(Answer(status=200, body=b"<html>Sign in</html>"))
    graph = Graph(host=tenant.url, token=lambda: TOKEN)

    with pytest.raises(Unavailable, match="not in JSON"):
        graph.read("/me")


def test_a_refused_connection_is_told() -> None:
    graph = Graph(host="http://127.0.0.1:1", token=lambda: TOKEN)

    with pytest.raises(Unavailable):
        graph.read("/me")


def test_the_result_is_printed_for_azd(tenant: GraphStandIn) -> None:
    status, out, _ = command(tenant)

    [application] = tenant.applications
    assert status == 0
    assert out.splitlines() == [
        f"azd env set ENTRA_CLIENT_ID {application['appId']}",
        f"azd env set ENTRA_OBJECT_ID {application['id']}",
        f"azd env set ENTRA_IDENTIFIER_URI api://{application['appId']}",
        f"azd env set ENTRA_TENANT_ID {TENANT_ID}",
        "azd env set ENTRA_AUTHORITY https://login.microsoftonline.com",
        f"azd env set ENTRA_ALLOWED_CALLERS {AZURE_MONITOR}",
    ]


def test_the_result_is_printed_as_json(tenant: GraphStandIn) -> None:
    status, out, _ = command(tenant, "--json")

    assert status == 0
    assert json.loads(out)["ENTRA_OBJECT_ID"] == tenant.applications[0]["id"]


def test_a_check_reports_and_writes_nothing(tenant: GraphStandIn) -> None:
    status, out, err = command(tenant, "--check")

    assert status == 1
    assert out == ""
    assert tenant.writes == []
    assert err.splitlines() == [
        "application: itsm-bridge, which does not exist yet",
        "missing: the application",
        "missing: the application's identifierUris",
        f"missing: {USER_ID} as an owner of the application",
        "missing: the service principal of itsm-bridge",
        "missing: the rule that only callers with a role get tokens",
        "missing: the service principal of Azure Monitor's webhook application",
        "missing: the role ActionGroupsSecureWebhook for Azure Monitor",
    ]


@pytest.mark.parametrize("part", sorted(set(PARTS) - {"application", "caller", "role", "ours"}))
def test_a_check_names_each_part_that_is_missing(tenant: GraphStandIn, part: str) -> None:
    prepare(tenant, set(PARTS) - {part})

    status, _, err = command(tenant, "--check")

    assert status == 1
    assert len([line for line in err.splitlines() if line.startswith("missing: ")]) == 1


def test_a_check_of_what_is_set_up_is_content(tenant: GraphStandIn) -> None:
    prepare(tenant, set(PARTS))

    status, out, err = command(tenant, "--check")

    [application] = tenant.applications
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        f"application: itsm-bridge, client id {application['appId']}",
        "Everything is set up.",
    ]


def test_a_dry_run_shows_the_requests_and_sends_none(tenant: GraphStandIn) -> None:
    status, _, err = command(tenant, "--dry-run")

    assert status == 0
    assert tenant.writes == []
    assert not any("<" in request for request in tenant.requests)
    shown = [line for line in err.splitlines() if line.startswith(("POST", "PATCH"))]
    assert shown == [
        "POST /applications",
        "PATCH /applications/<object id of the application>",
        "POST /applications/<object id of the application>/owners/$ref",
        "POST /servicePrincipals",
        "PATCH /servicePrincipals/<object id of the service principal of itsm-bridge>",
        "POST /servicePrincipals",
        "POST /servicePrincipals/<object id of the service principal of itsm-bridge>/appRoleAssignedTo",
    ]


@pytest.mark.parametrize(
    ("denied", "missing", "what"),
    [
        ("POST /applications", set(PARTS), "The application could not be set up."),
        ("PATCH /applications", {"version"}, "The application's api could not be set up."),
        ("/owners/$ref", {"owner"}, f"{USER_ID} as an owner of the application could not be set up."),
        ("POST /servicePrincipals", {"caller", "assignment"}, "webhook application could not be set up."),
        (
            "PATCH /servicePrincipals",
            {"required"},
            "The rule that only callers with a role get tokens could not be set up.",
        ),
        (
            "POST /servicePrincipals/",
            {"assignment"},
            "The role ActionGroupsSecureWebhook for Azure Monitor could not be",
        ),
    ],
)
def test_who_may_not_do_a_step_is_told_which_and_whom_to_ask(
    tenant: GraphStandIn, denied: str, missing: set[str], what: str
) -> None:
    prepare(tenant, set(PARTS) - missing)
    tenant.denied.add(denied)

    status, out, err = command(tenant)

    assert status == 1
    assert out == ""
    assert what in err
    assert "Cloud Application Administrator" in err


def test_an_owner_that_graph_does_not_list_yet_is_no_error(tenant: GraphStandIn) -> None:
    prepare(tenant, set(PARTS))
    tenant.lists_owners = False

    assert command(tenant)[0] == 0
    assert tenant.writes == []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the only one where programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_result_is_stored_in_the_azd_environment(tenant: GraphStandIn, programs: Path) -> None:
    azd = programs / "azd"
    azd.write_text(f'#!/bin/sh\necho "$@" >>{programs}/calls\n')
    azd.chmod(0o755)

    status, out, _ = command(tenant, "--azd")

    assert (status, out) == (0, "")
    calls = (programs / "calls").read_text().splitlines()
    assert calls[0] == f"env set ENTRA_CLIENT_ID {tenant.applications[0]['appId']}"
    assert len(calls) == 6


@pytest.mark.usefixtures("programs")
def test_a_missing_azd_is_told(tenant: GraphStandIn) -> None:
    status, _, err = command(tenant, "--azd")

    assert status == 1
    assert "azd env set ENTRA_CLIENT_ID failed: FileNotFoundError" in err


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("options", [[], ["--azd"], ["--tenant", TENANT_ID]])
def test_who_is_not_signed_in_is_told_how_to(
    tenant: GraphStandIn, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    status = setup_entra.main(["--graph", tenant.url, *options])

    assert status == 1
    assert "Sign in with az login or azd auth login" in capsys.readouterr().err
    assert tenant.requests == []


def test_an_identifier_uri_of_a_foreign_domain_is_explained(tenant: GraphStandIn) -> None:
    status, _, err = command(tenant, "--identifier-uri", "https://foreign.example/bridge")

    assert status == 1
    assert "Leave out --identifier-uri" in err


def test_an_identifier_uri_of_another_application_is_explained(tenant: GraphStandIn) -> None:
    tenant.add_application(displayName="Other", identifierUris=["https://contoso.example/itsm-bridge"])
    ours = tenant.add_application()

    status, _, err = command(
        tenant, "--client-id", ours["appId"], "--identifier-uri", "https://contoso.example/itsm-bridge"
    )

    assert status == 1
    assert "Another application has this identifier URI" in err


def test_a_role_for_users_is_not_touched_and_explained(tenant: GraphStandIn) -> None:
    tenant.add_application(appRoles=[{**OURS, "allowedMemberTypes": ["User"]}])

    status, _, err = command(tenant)

    assert status == 1
    assert "is for users only" in err
    assert tenant.writes == []


def test_a_disabled_caller_is_explained(tenant: GraphStandIn) -> None:
    tenant.add_service_principal(AZURE_MONITOR, accountEnabled=False)

    status, _, err = command(tenant)

    assert status == 1
    assert "The service principal of Azure Monitor's webhook application is disabled" in err


def test_an_expired_sign_in_is_explained(tenant: GraphStandIn) -> None:
    tenant.next_answers.append(Refusal(401, "InvalidAuthenticationToken", "Lifetime validation failed.").answer)

    status, _, err = command(tenant)

    assert status == 1
    assert "Sign in again" in err


def test_a_service_principal_names_itself(tenant: GraphStandIn) -> None:
    tenant.signed_in = ""

    assert "--owner" in command(tenant)[2]
    assert command(tenant, "--owner", "robot")[0] == 0
    assert "robot" in tenant.owners[tenant.applications[0]["id"]]


def test_of_several_applications_of_the_name_one_must_be_chosen(tenant: GraphStandIn) -> None:
    first, second, third = (tenant.add_application() for _ in range(3))

    status, _, err = command(tenant)

    assert status == 1
    assert all(each["appId"] in err for each in (first, second, third))
    assert command(tenant, "--client-id", second["appId"])[0] == 0
    assert second["identifierUris"]
    assert not first["identifierUris"]


def test_an_unknown_client_id_is_told(tenant: GraphStandIn) -> None:
    assert "There is no application" in command(tenant, "--client-id", "nothing")[2]


@pytest.mark.parametrize("name", ["O'Neill's bridge", "R&D #1 + 50 %"])
def test_a_name_with_signs_is_found_again(tenant: GraphStandIn, name: str) -> None:
    taken(tenant, name=name)
    taken(tenant, name=name)

    [application] = tenant.applications
    assert application["displayName"] == name


def test_a_token_for_another_cloud_is_explained(tenant: GraphStandIn) -> None:
    tenant.accepts = "another-token"

    assert "is for another cloud" in command(tenant)[2]


def test_a_cloud_without_a_known_caller_asks_for_it(tenant: GraphStandIn) -> None:
    assert "--caller" in command(tenant, "--cloud", "china")[2]
    assert tenant.requests == []


def test_a_national_cloud_hands_over_its_own_addresses(tenant: GraphStandIn) -> None:
    caller = "f1f34126-d4ef-40e1-ad4b-bf5d47b4860d"
    tenant.add_service_principal(caller)

    status, out, _ = command(tenant, "--cloud", "usgov", "--json")

    assert status == 0
    assert json.loads(out)["ENTRA_AUTHORITY"] == "https://login.microsoftonline.us"
    assert json.loads(out)["ENTRA_ALLOWED_CALLERS"] == caller


def azd_folder(folder: Path, name: str, **values: str) -> Path:
    """Write what azd keeps of its environments; `name` is the default one."""
    (folder / ".azure" / name).mkdir(parents=True)
    (folder / ".azure" / "config.json").write_text(json.dumps({"version": 1, "defaultEnvironment": name}))
    lines = [f'{key}="{value}"' for key, value in values.items()]
    (folder / ".azure" / name / ".env").write_text("\n".join([*lines, "BARE=1", "# nothing", ""]))
    return folder


def test_the_application_of_the_azd_environment_is_found_whatever_its_name(
    tenant: GraphStandIn, tmp_path: Path
) -> None:
    tenant.add_application()
    renamed = tenant.add_application(displayName="Alerts to incidents")
    folder = azd_folder(tmp_path, "prod", ENTRA_CLIENT_ID=renamed["appId"])

    _, _, err = command(tenant, "--check", folder=folder)

    assert err.splitlines()[0] == f"application: Alerts to incidents, client id {renamed['appId']}"


def test_before_the_first_deployment_the_azd_environment_tells_the_name(tenant: GraphStandIn, tmp_path: Path) -> None:
    folder = azd_folder(tmp_path, "prod")

    assert command(tenant, folder=folder)[0] == 0
    assert command(tenant, folder=folder)[0] == 0

    assert [each["displayName"] for each in tenant.applications] == ["itsm-bridge-prod"]


def test_a_hook_of_azd_is_given_the_environment_by_azd(tenant: GraphStandIn, tmp_path: Path) -> None:
    azd_folder(tmp_path, "prod")
    stage = tenant.add_application(displayName="itsm-bridge-stage")
    environ = {"AZURE_ENV_NAME": "stage", "ENTRA_CLIENT_ID": stage["appId"]}

    _, _, err = command(tenant, "--check", folder=tmp_path, environ=environ)

    assert err.startswith("application: itsm-bridge-stage, ")


@pytest.mark.parametrize(
    "option", [("--name", "itsm-bridge"), ("--no-azd",), ("--identifier-uri", "https://contoso.example/itsm-bridge")]
)
def test_the_command_line_wins_over_the_azd_environment(
    tenant: GraphStandIn, tmp_path: Path, option: tuple[str, ...]
) -> None:
    tenant.add_application(identifierUris=["https://contoso.example/itsm-bridge"])
    other = tenant.add_application(displayName="itsm-bridge-prod")
    folder = azd_folder(tmp_path, "prod", ENTRA_CLIENT_ID=other["appId"])

    _, _, err = command(tenant, "--check", *option, folder=folder)

    assert err.startswith("application: itsm-bridge, ")


def test_an_application_is_found_by_its_identifier_uri(tenant: GraphStandIn) -> None:
    ours = tenant.add_application(displayName="Ours", identifierUris=["https://contoso.example/itsm-bridge"])

    status, _, _ = command(tenant, "--identifier-uri", "https://contoso.example/itsm-bridge")

    assert status == 0
    assert tenant.applications == [ours]


def test_an_azd_environment_that_names_a_deleted_application_is_explained(tenant: GraphStandIn, tmp_path: Path) -> None:
    folder = azd_folder(tmp_path, "prod", ENTRA_CLIENT_ID="7e4f3a52-0000-4000-8000-000000000000")

    status, _, err = command(tenant, folder=folder)

    assert status == 1
    assert "azd env set ENTRA_CLIENT_ID ''" in err
    assert tenant.writes == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"defaultEnvironment": 3}', '{"defaultEnvironment": "../../etc"}'])
def test_a_file_that_azd_did_not_write_is_no_environment(tenant: GraphStandIn, tmp_path: Path, text: str) -> None:
    (tmp_path / ".azure").mkdir()
    (tmp_path / ".azure" / "config.json").write_text(text)

    _, _, err = command(tenant, "--check", folder=tmp_path)

    assert err.startswith("application: itsm-bridge, ")


def test_the_cloud_of_the_azd_environment_is_taken(tenant: GraphStandIn, tmp_path: Path) -> None:
    folder = azd_folder(tmp_path, "prod", ENTRA_CLOUD="usgov")
    tenant.add_service_principal("f1f34126-d4ef-40e1-ad4b-bf5d47b4860d")

    _, out, _ = command(tenant, "--json", folder=folder)

    assert json.loads(out)["ENTRA_AUTHORITY"] == "https://login.microsoftonline.us"


def test_a_cloud_that_does_not_exist_is_told_and_nothing_is_asked(tenant: GraphStandIn, tmp_path: Path) -> None:
    folder = azd_folder(tmp_path, "prod", ENTRA_CLOUD="germany")

    status, _, err = command(tenant, folder=folder)

    assert status == 1
    assert "china, public, usgov, usgov-dod" in err
    assert tenant.requests == []


def test_a_token_is_sent_over_https_alone(tenant: GraphStandIn) -> None:
    status, _, err = command(tenant, "--graph", "http://graph.example")

    assert status == 1
    assert "is not an https address" in err
    assert tenant.requests == []


def test_the_administrators_part_is_one_command_that_does_what_it_says(tenant: GraphStandIn) -> None:
    operator = "8f0c6d0e-0000-4000-8000-00000000beef"
    tenant.signed_in = operator

    status, out, _ = command(tenant, "--hand-over", "--name", "itsm-bridge-prod", "--tenant", TENANT_ID)

    assert status == 0
    assert tenant.writes == []
    [line] = [line.strip() for line in out.splitlines() if "infra/entra.sh" in line]
    told = [line.strip() for line in out.splitlines() if "sets up " in line]
    options = shlex.split(line)[2:]
    tenant.signed_in = USER_ID
    status, printed, done = command(tenant, *options)
    assert status == 0
    assert [each.replace("setting up: ", "- sets up ") for each in done.splitlines()[1:]] == told
    [application] = tenant.applications
    assert operator in tenant.owners[application["id"]]
    assert len(printed.splitlines()) == 6
    tenant.signed_in = operator
    assert command(tenant, "--check", "--name", "itsm-bridge-prod")[0] == 0


def test_what_is_left_is_handed_over_for_the_application_that_exists(tenant: GraphStandIn) -> None:
    prepare(tenant, set(PARTS) - {"assignment"})
    [application] = tenant.applications

    _, out, _ = command(tenant, "--hand-over")

    assert f"--client-id {application['appId']} --owner {USER_ID} --tenant {TENANT_ID}" in out
    assert [line.strip() for line in out.splitlines() if "sets up" in line] == [
        "- sets up the role ActionGroupsSecureWebhook for Azure Monitor"
    ]
