import fnmatch
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import metadata
from pathlib import Path

import pytest

from itsm_bridge.entra.wanted import CLOUDS, Result, Wanted
from itsm_bridge.settings import Settings
from local.http_server import Answer, HttpServer, Request
from tests.infra.bicep import TYPES, Expression, Parameter, Resource, Template, problems, text_of

ROOT = Path(__file__).parents[2]
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "infra").glob("*.bicep"))}
TEMPLATES = {name: Template.parse(text) for name, text in FILES.items()}
PARAMETERS = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")

#: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "Key Vault Secrets Officer": ("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "vault"),
    "Key Vault Secrets User": ("4633458b-17de-408a-b874-0445c86b69e6", "vault"),
    "Monitoring Metrics Publisher": ("3913510d-42f4-4e42-8a64-420c390055eb", "component"),
    "Storage Blob Data Owner": ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "storage"),
    "Storage Queue Data Contributor": ("974c5e8b-45b9-4653-ba55-5f855dd0fae8", "storage"),
    "Storage Table Data Contributor": ("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "storage"),
}
#: The app settings of the program, and whether it starts without them.
OPTIONAL = {
    *("ENTRA_ALLOWED_CALLERS", "ENTRA_REQUIRED_ROLE", "ENTRA_AUTHORITY", "ALLOWED_SUBSCRIPTIONS"),
    *("SERVICENOW_MAX_CONCURRENCY", "SERVICENOW_CLOSE_CODE", "SERVICENOW_NOTE_MISSING_ITEM"),
    "TELEMETRY_TO_APPLICATION_INSIGHTS",
    "ITSM_RULES_FILE",
    *("RETRY_HORIZON_HOURS", "RETENTION_DAYS"),
}
REQUIRED = {"ENTRA_TENANT_ID", "ENTRA_AUDIENCE", "SERVICENOW_INSTANCE_URL"}
OF_THE_HOST = {
    *("APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
    *(
        "AzureWebJobsStorage__accountName",
        "AzureWebJobsStorage__blobServiceUri",
        "AzureWebJobsStorage__queueServiceUri",
    ),
    *("AzureWebJobsStorage__tableServiceUri", "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId"),
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
SIGN_INS = {
    "oauth-client-credentials": {"SERVICENOW_CLIENT_ID", "SERVICENOW_CLIENT_SECRET"},
    "oauth-password": {
        *("SERVICENOW_CLIENT_ID", "SERVICENOW_CLIENT_SECRET"),
        *("SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"),
    },
    "api-key": {"SERVICENOW_API_KEY"},
    "basic": {"SERVICENOW_USERNAME", "SERVICENOW_PASSWORD"},
}


def assigned_roles(text: str) -> set[tuple[str, str]]:
    """Return id and scope of each role that a Bicep file assigns."""
    template = Template.parse(text)
    roles = template.variables["roles"]
    return {
        (roles[name], str(assignment.body["scope"].text))
        for assignment in template.resources
        if assignment.type.startswith("Microsoft.Authorization/roleAssignments@")
        for name in _roles_of(assignment, template)
    }


def _roles_of(assignment: Resource, template: Template) -> Iterator[str]:
    """Yield the names in `roles` that an assignment uses; the role of a loop is its row."""
    for row in template.rows(assignment):
        definition = assignment.body["properties"]["roleDefinitionId"].text
        named = row.text if isinstance(row, Expression) else definition
        yield from re.findall(r"\broles\.(\w+)", named)


def app_settings(app_file: str, installation: str) -> dict[str, set[str]]:
    """Return the names of the app settings that the files set, by the sign-in."""
    template, outer = Template.parse(app_file), Template.parse(installation)
    app = next(each for each in template.resources if each.symbol == "app")
    listed = app.body["properties"]["siteConfig"]["appSettings"].text
    of_host = set(re.findall(r"name: '(\w+)'", listed))
    handed_over = next(each for each in outer.modules if each.symbol == "app").body["params"]["settings"].text
    assert "map(items(settings)" in listed
    assert handed_over == "union(settings, signInSettings[servicenowSignIn])"
    common = of_host | set(outer.variables["settings"])
    return {name: common | set(own) for name, own in outer.variables["signInSettings"].items()}


def test_the_bicep_files_fit_the_resource_types() -> None:
    assert problems(FILES) == []


def test_every_resource_type_that_is_used_is_known() -> None:
    used = {each.type for template in TEMPLATES.values() for each in template.resources}

    assert used == set(TYPES)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "problem"),
    [
        ("action-group.bicep", "useAadAuth: true", "useAadAuthentication: true", "useAadAuthentication is unknown"),
        ("action-group.bicep", "webhookReceivers:", "secureWebhookReceivers:", "secureWebhookReceivers is unknown"),
        ("action-group.bicep", "serviceUri:", "uri:", "serviceUri is missing"),
        ("action-group.bicep", "useAadAuth: true", "useAadAuth: 'true'", "useAadAuth is not of type bool"),
        ("action-group.bicep", "objectId: objectId", "objectId: applicationId", "applicationId is not declared"),
        ("stores.bicep", "allowSharedKeyAccess", "allowSharedKeysAccess", "allowSharedKeysAccess is unknown"),
        ("stores.bicep", "'TLS1_2'", "'TLS12'", "minimumTlsVersion is 'TLS12', not one of"),
        ("app.bicep", "perInstanceConcurrency", "instanceConcurrency", "instanceConcurrency is unknown"),
        ("app.bicep", "ipAddress: 'ActionGroup'", "address: 'ActionGroup'", "address is unknown"),
        ("app.bicep", "{ name: 'APPLICATIONINSIGHTS", "{ key: 'APPLICATIONINSIGHTS", "appSettings[].key is unknown"),
        ("stores.bicep", "categoryGroup: 'audit'", "categoryGroups: 'audit'", "categoryGroups is unknown"),
        ("app.bicep", "properties: { allow: false }", "properties: { enabled: false }", "allow is missing"),
        ("app.bicep", "maximumInstanceCount: maximumInstanceCount", "maximumInstanceCount: appName", "appName of type"),
        ("app.bicep", "sites@2024-11-01", "sites@2024-11-02", "unknown type Microsoft.Web/sites@2024-11-02"),
        ("stores.bicep", "family: 'A'", "family: 'A'\n}", "is not Bicep"),
        ("main.bicep", "operatorEmail: operatorEmail", "", "installation is not given operatorEmail"),
        ("installation.bicep", "workspaceId: logs", "workspace: logs", "stores has no parameter workspace"),
        ("installation.bicep", "app.outputs.hostName", "app.outputs.host", "app has no output host"),
        ("installation.bicep", "'watch.bicep'", "'alerts.bicep'", "alerts.bicep is not there"),
        ("installation.bicep", "string(retentionDays)", "string(retryHorizonHours)", "retentionDays is never used"),
        ("app.bicep", "excludedPaths", "excludePaths", "excludePaths is unknown"),
        ("network.bicep", "natGateway: hasGateway", "natGateways: hasGateway", "natGateways is unknown"),
        (
            "network.bicep",
            "delegations: [{ name: 'flex', properties:",
            "delegations: [{ name: 'flex', props:",
            "props is",
        ),
        ("endpoints.bicep", "groupIds: [", "groupId: [", "groupId is unknown"),
        ("endpoints.bicep", "registrationEnabled", "registration", "registration is unknown"),
        ("forward.bicep", "'AddActionGroups'", "'AddActionGroup'", "actionType is none of"),
        ("second-tenant.bicep", "serviceUri: serviceUri", "uri: serviceUri", "serviceUri is missing"),
        ("watch.bicep", "failedLocationCount", "failedLocations", "failedLocations is unknown"),
        ("watch.bicep", "WebtestLocation", "WebTestLocation", "odata.type is none of"),
        ("watch.bicep", "windowSize: trouble.window", "windowSize: trouble.resolves", "windowSize is not of type"),
        ("watch.bicep", "'GreaterThan'", "'Greater'", "operator is 'Greater', not one of"),
        ("watch.bicep", "{ Id: place }", "{ Location: place }", "Location is unknown"),
    ],
)
def test_a_mistake_is_found(file: str, right: str, wrong: str, problem: str) -> None:
    assert right in FILES[file]

    found = problems({**FILES, file: FILES[file].replace(right, wrong, 1)})

    assert any(problem in each for each in found), found


def test_every_role_that_the_app_needs_is_assigned_where_it_is_needed() -> None:
    assert assigned_roles(FILES["stores.bicep"]) == set(ROLES.values())


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_missing_or_misspelt_role_is_found(role: str) -> None:
    number, _ = ROLES[role]
    name = next(name for name, each in TEMPLATES["stores.bicep"].variables["roles"].items() if each == number)

    missing = re.sub(rf"roles\.{name}(, )?", "", FILES["stores.bicep"])
    misspelt = FILES["stores.bicep"].replace(number, number[::-1])

    assert assigned_roles(missing) == set(ROLES.values()) - {ROLES[role]}
    assert assigned_roles(misspelt) != set(ROLES.values())


def test_the_app_waits_for_its_roles() -> None:
    [app] = [each for each in TEMPLATES["installation.bicep"].modules if each.symbol == "app"]

    # A module is done when all that is in it is done, its role assignments too.
    assert "stores.outputs" in app.body["params"]["identityId"].text
    assert [each.text for each in app.body["dependsOn"]] == ["endpoints"]


@pytest.mark.parametrize("sign_in", sorted(SIGN_INS))
def test_every_app_setting_is_set_for_each_sign_in(sign_in: str) -> None:
    settings = app_settings(FILES["app.bicep"], FILES["installation.bicep"])

    assert settings[sign_in] == REQUIRED | OPTIONAL | OF_THE_HOST | SIGN_INS[sign_in]


@pytest.mark.parametrize(
    "name", sorted(REQUIRED | OPTIONAL | OF_THE_HOST | SIGN_INS["oauth-password"] | {"SERVICENOW_API_KEY"})
)
def test_a_missing_or_misspelt_app_setting_is_found(name: str) -> None:
    misspelt = {file: re.sub(rf"\b{name}(?=:|')", "MISSPELT", text) for file, text in FILES.items()}

    found = app_settings(misspelt["app.bicep"], misspelt["installation.bicep"])

    assert found != {each: REQUIRED | OPTIONAL | OF_THE_HOST | own for each, own in SIGN_INS.items()}


def test_the_settings_of_the_template_are_those_of_the_documentation() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", readme.partition("## Settings")[2].partition("\n## ")[0]))

    assert documented == REQUIRED | OPTIONAL | set.union(*SIGN_INS.values()) | {"PYTHON_THREADPOOL_THREAD_COUNT"}


@pytest.mark.parametrize("sign_in", sorted(SIGN_INS))
def test_the_program_accepts_what_the_template_sets(sign_in: str) -> None:
    environ = {
        **dict.fromkeys(REQUIRED | SIGN_INS[sign_in], "x"),
        "SERVICENOW_INSTANCE_URL": "https://example.service-now.com",
        "ENTRA_AUTHORITY": "https://login.microsoftonline.com/",
        "ENTRA_ALLOWED_CALLERS": TEMPLATES["main.bicep"].parameters["entraAllowedCallers"].default,
        "ALLOWED_SUBSCRIPTIONS": "",
        "ITSM_RULES_FILE": "",
        "SERVICENOW_MAX_CONCURRENCY": str(TEMPLATES["main.bicep"].parameters["servicenowMaxConcurrency"].default),
        "RETRY_HORIZON_HOURS": str(TEMPLATES["main.bicep"].parameters["retryHorizonHours"].default),
        "RETENTION_DAYS": str(TEMPLATES["main.bicep"].parameters["retentionDays"].default),
        "AzureWebJobsStorage__queueServiceUri": "https://stx.queue.core.windows.net",
        "AzureWebJobsStorage__tableServiceUri": "https://stx.table.core.windows.net",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": "x",
    }

    settings = Settings.from_environ(environ)

    assert settings.storage.credential == "managedidentity"
    assert settings.retention.days == 90


def test_a_secret_is_a_secure_parameter_and_ends_up_in_the_vault_alone() -> None:
    main = TEMPLATES["installation.bicep"]
    secrets = next(each for each in main.modules if each.symbol == "stores").body["params"]["secrets"]

    assert {each.text for each in secrets.values()} == {
        name for name, each in main.parameters.items() if each.is_secure
    }
    assert {name for name, each in main.parameters.items() if each.is_secure} == {
        *("servicenowClientSecret", "servicenowApiKey", "servicenowPassword")
    }
    assert TEMPLATES["stores.bicep"].parameters["secrets"].is_secure
    assert set(secrets) == set(TEMPLATES["stores.bicep"].variables["secretNames"])
    for name in secrets:
        assert f"SecretName={name})" in FILES["installation.bicep"]


def test_no_secret_is_an_output() -> None:
    for template in TEMPLATES.values():
        for output in template.outputs.values():
            assert not re.search(r"(?i)key\b|listKeys|secret|password|connection", _text(output))


def _text(value: object) -> str:
    return value.text if isinstance(value, Expression) else str(value)


def test_every_parameter_of_the_deployment_is_described() -> None:
    undescribed = [
        (file, name)
        for file in ("main.bicep", "installation.bicep", "second-tenant.bicep", "forward.bicep")
        for name, each in TEMPLATES[file].parameters.items()
        if not each.description
    ]

    assert undescribed == []


def out_of_reach(main: str, parameters: str) -> tuple[set[str], set[str]]:
    """Return the parameters that azd cannot set, and those that it sets and that do not exist."""
    handed_over = set(json.loads(parameters)["parameters"])
    declared = set(Template.parse(main).parameters)
    return declared - handed_over, handed_over - declared


def test_every_parameter_is_in_azds_reach() -> None:
    assert out_of_reach(FILES["main.bicep"], PARAMETERS) == (set(), set())


def test_a_parameter_out_of_azds_reach_is_found() -> None:
    more = FILES["main.bicep"] + "\nparam forgotten string = ''\n"
    misspelt = PARAMETERS.replace('"probeFrequency"', '"probeFrequencies"')

    assert out_of_reach(more, PARAMETERS) == ({"forgotten"}, set())
    assert out_of_reach(FILES["main.bicep"], misspelt) == ({"probeFrequency"}, {"probeFrequencies"})


def test_azd_can_set_lists_because_they_are_text() -> None:
    # azd converts text to booleans and numbers, and to nothing else.
    assert {each.type for each in TEMPLATES["main.bicep"].parameters.values()} == {"string", "int", "bool"}


def test_each_variable_of_azd_sets_one_parameter() -> None:
    variables = re.findall(r"\$\{(\w+)", PARAMETERS)

    assert sorted(variables) == sorted(set(variables))


def shape(parameter: Parameter) -> tuple[object, ...]:
    default = parameter.default.text if isinstance(parameter.default, Expression) else parameter.default
    return (parameter.type, default, parameter.allowed, parameter.is_secure, parameter.description)


def test_the_two_scopes_have_the_same_parameters() -> None:
    main, installation = TEMPLATES["main.bicep"], TEMPLATES["installation.bicep"]
    [call] = main.modules

    assert set(main.parameters) - set(installation.parameters) == {"resourceGroupName", "createResourceGroup"}
    for name, parameter in installation.parameters.items():
        assert shape(main.parameters[name]) == shape(parameter), name
        assert call.body["params"][name].text == name
    assert set(main.outputs) == set(installation.outputs)
    assert {name: _text(each) for name, each in main.outputs.items()} == {
        name: f"installation.outputs.{name}" for name in main.outputs
    }


def test_a_resource_group_that_exists_is_left_alone() -> None:
    [group] = TEMPLATES["main.bicep"].resources

    assert "if (createResourceGroup)" in FILES["main.bicep"]
    assert group.symbol == "group"
    assert "scope: resourceGroup(groupName)" in FILES["main.bicep"]


def test_what_azd_hands_over_by_default_is_the_default_of_the_template() -> None:
    handed_over = json.loads(PARAMETERS)["parameters"]
    for name, parameter in TEMPLATES["main.bicep"].parameters.items():
        default = re.search(r"=(.*)\}", handed_over.get(name, {}).get("value", ""))
        if default and not isinstance(parameter.default, Expression):
            assert default[1] == str(parameter.default).replace("False", "false").replace("True", "true"), name


def test_the_secure_webhook_is_told_all_that_it_needs() -> None:
    [group] = [each for each in TEMPLATES["action-group.bicep"].resources if not each.is_existing]
    [webhook] = group.body["properties"]["webhookReceivers"]

    assert webhook["useAadAuth"] is True
    assert webhook["useCommonAlertSchema"] is True
    assert {"objectId", "identifierUri", "tenantId"} <= set(webhook)
    assert webhook["serviceUri"].text.startswith("'https://${app.properties.defaultHostName}/api/alerts?code=")


def test_the_rule_for_parked_alerts_looks_for_what_the_program_logs() -> None:
    parked = TEMPLATES["watch.bicep"].variables["troubles"][0]
    phrase = re.search(r'contains "([^"]+)"', parked["query"])
    assert phrase

    assert f'log.error("%s {phrase[1]}' in (ROOT / "itsm_bridge" / "reconcile" / "attempt.py").read_text(
        encoding="utf-8"
    )


def test_trouble_of_the_bridge_is_not_told_through_the_bridge() -> None:
    watch = TEMPLATES["watch.bicep"]
    groups = [each for each in watch.resources if each.type.startswith("Microsoft.Insights/actionGroups@")]

    assert [each.symbol for each in groups] == ["operators"]
    assert "webhookReceivers" not in FILES["watch.bicep"]
    assert groups[0].body["properties"]["emailReceivers"]
    for symbol in ("rule", "unreachable"):
        [rule] = [each for each in watch.resources if each.symbol == symbol]
        assert "told" in str(_texts(rule.body["properties"]["actions"]))
    assert _text(watch.variables["told"]) == "concat([operators.id], operatorActionGroupIds)"


def _texts(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _texts(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return text_of(value.node) if isinstance(value, Expression) else value


def test_the_host_has_as_many_threads_as_calls_and_the_app_is_on_the_right_plan() -> None:
    bridge = TEMPLATES["app.bicep"]
    [app] = [each for each in bridge.resources if each.symbol == "app"]
    [plan] = [each for each in bridge.resources if each.symbol == "plan"]
    scale = app.body["properties"]["functionAppConfig"]["scaleAndConcurrency"]

    assert bridge.variables["threads"] == 16
    assert scale["triggers"]["http"]["perInstanceConcurrency"].text == "threads"
    assert scale["instanceMemoryMB"] == 2048
    assert app.body["properties"]["functionAppConfig"]["runtime"] == {"name": "python", "version": "3.13"}
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert TEMPLATES["main.bicep"].parameters["alwaysReadyInstances"].default == 1


def test_azd_finds_the_app_by_its_tag() -> None:
    manifest = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    [service] = re.findall(r"^services:\n  (\w+):$", manifest, flags=re.MULTILINE)

    assert f"'azd-service-name': '{service}'" in FILES["app.bicep"]


def test_the_action_group_is_created_once_the_code_has_run() -> None:
    steps = re.findall(r"- azd: (.+)", (ROOT / "azure.yaml").read_text(encoding="utf-8"))
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")

    assert steps == ["provision", "deploy --all", "env set CREATE_ACTION_GROUP true", "provision"]
    assert "${CREATE_ACTION_GROUP=false}" in parameters


def test_what_the_set_up_stores_is_what_the_deployment_reads() -> None:
    result = Result(client_id="", object_id="", identifier_uri="", tenant_id="")
    wanted = Wanted(name="", client_id="", identifier_uri="", caller="", owners=())
    parameters = (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")

    for name in result.settings(wanted, CLOUDS["public"]):
        assert f"${{{name}" in parameters


def test_nothing_but_the_app_is_deployed() -> None:
    patterns = (ROOT / ".funcignore").read_text(encoding="utf-8").split("\n")
    ignored = [each.rstrip("/") for each in patterns if each and not each.startswith("#")]
    deployed = {
        each.name for each in ROOT.iterdir() if not any(fnmatch.fnmatchcase(each.name, pattern) for pattern in ignored)
    }

    assert deployed == {"function_app.py", "host.json", "requirements.txt", "itsm_bridge"}


def test_what_is_deployed_does_not_install_on_an_older_python() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    [line] = [each for each in lines if each.startswith("azure-functions-runtime==")]

    assert ";" not in line.removesuffix("\\")
    assert metadata("azure-functions-runtime")["Requires-Python"].startswith(">=3.13")


def test_a_deployment_is_over_when_the_app_is_healthy(tmp_path: Path) -> None:
    # An instance of the version before answers once more.
    answers = iter([503, 200, 503, 200, 200, 200])

    def answer(_: Request) -> Answer:
        return Answer(status=next(answers), body=b'{"status":"x"}')

    with HttpServer(0, answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        environment = {**os.environ, "HEALTH_URI": f"{server.url}/api/health", "HEALTH_PAUSE": "0"}
        done = subprocess.run(
            ["sh", str(ROOT / "infra" / "healthy.sh")], env=environment, cwd=tmp_path, capture_output=True, check=False
        )
        server.shutdown()

    assert (done.returncode, done.stdout) == (0, b"The app is healthy.\n")
    assert "infra/healthy.sh" in (ROOT / "azure.yaml").read_text(encoding="utf-8")


def test_the_most_requests_in_flight_are_what_one_node_of_servicenow_bears() -> None:
    parameters = TEMPLATES["main.bicep"].parameters
    groups = 2  # webhooks and wake-ups; timers run in one instance

    instances = int(parameters["maximumInstanceCount"].default)
    always_ready = int(parameters["alwaysReadyInstances"].default) + int(
        parameters["alwaysReadyWakeUpInstances"].default
    )
    most = (groups * instances + always_ready + 1) * int(parameters["servicenowMaxConcurrency"].default)

    # Four run and fifty wait; the next is answered 429.
    assert most <= 4 + 50
    assert f"{most} requests" in (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def test_the_hosts_name_for_the_account_is_given_in_the_public_cloud_alone() -> None:
    assert "environment().name == 'AzureCloud' ? [{ name: 'AzureWebJobsStorage__accountName'" in FILES["app.bicep"]


@pytest.mark.parametrize(("value", "status"), [("false", 1), ("true", 0), (None, 0)])
def test_azd_down_does_not_delete_a_resource_group_of_others(value: str | None, status: int) -> None:
    environment = {"PATH": os.environ["PATH"], "RESOURCE_GROUP": "rg-shared"}
    if value is not None:
        environment["CREATE_RESOURCE_GROUP"] = value

    done = subprocess.run(
        ["sh", str(ROOT / "infra" / "before-down.sh")], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    assert ("rg-shared" in done.stderr) == bool(status)
    assert "run: infra/before-down.sh" in (ROOT / "azure.yaml").read_text(encoding="utf-8")
