import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from itsm_bridge.settings import Settings
from local.resource_manager.service import CHANGE, READ, READ_HISTORY
from tests.infra.bicep import Expression, Parameter, Resource, Template, text_of
from tests.infra.bicep_checks import TYPES, problems

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
    *("AZURE_ACTION_GROUP_IDS", "RECOVER_MISSED_ALERTS", "SYNC_ALERT_STATE"),
    *("AZURE_CLIENT_ID", "AZURE_RESOURCE_MANAGER"),
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
        (
            "installation.bicep",
            "operatorAddresses: filter(split(operatorAddresses, ','), each => !empty(each))",
            "operatorAddresses: operatorAddresses",
            "stores is given operatorAddresses of type string, not array",
        ),
        (
            "installation.bicep",
            "isPrivate: privateNetwork",
            "isPrivate: networkPrefix",
            "isPrivate of type string, not bool",
        ),
        ("installation.bicep", "names: split(", "names: trim(", "names of type string, not array"),
        (
            "installation.bicep",
            "workspaceId: logs.outputs.workspaceId",
            "workspaceId: [logs]",
            "of type array, not string",
        ),
        ("installation.bicep", "probeFrequency: probeFrequency", "probeFrequency: '900'", "of type string, not int"),
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


def test_the_role_that_follows_alerts_has_the_actions_that_are_asked_for_and_no_others() -> None:
    [role, _] = TEMPLATES["followed.bicep"].resources
    [permission] = role.body["properties"]["permissions"]
    always, where_changed = permission["actions"].text.split("?")

    assert set(re.findall(r"'([^']+)'", always)) == {READ, READ_HISTORY}
    assert re.findall(r"'([^']+)'", where_changed) == [CHANGE]
    assert "mayChangeState: syncAlertState" in FILES["installation.bicep"]


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

    assert f'log.error("%s {phrase[1]}' in (ROOT / "itsm_bridge" / "reconcile" / "endings.py").read_text(
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


def test_the_platform_checks_the_same_token_as_the_program() -> None:
    # A second wall that stands elsewhere than the first would refuse alerts, and Azure Monitor repeats no 401.
    settings = TEMPLATES["installation.bicep"].variables["settings"]
    [call] = [each for each in TEMPLATES["installation.bicep"].modules if each.symbol == "app"]
    [wall] = [each for each in TEMPLATES["app.bicep"].resources if each.symbol == "authentication"]
    directory = wall.body["properties"]["identityProviders"]["azureActiveDirectory"]
    policy = directory["validation"]["defaultAuthorizationPolicy"]
    function_app = (ROOT / "function_app.py").read_text(encoding="utf-8")
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))

    assert settings["ENTRA_AUDIENCE"].text == f"join({call.body['params']['entraAudiences'].text}, ',')"
    assert directory["validation"]["allowedAudiences"].text == "entraAudiences"
    assert settings["ENTRA_ALLOWED_CALLERS"].text == call.body["params"]["entraAllowedCallers"].text
    assert policy["allowedApplications"].text == "split(entraAllowedCallers, ',')"
    # The set-up asks for version 2 tokens, whose issuer this is.
    assert directory["registration"]["openIdIssuer"].text == "uri(entraAuthority, '${entraTenantId}/v2.0')"
    # Health is asked without a token, also by the probe.
    [open_path] = wall.body["properties"]["globalValidation"]["excludedPaths"]
    assert open_path == f"/{host['extensions']['http']['routePrefix']}/health"
    assert 'route="health"' in function_app


def test_the_webhook_stays_public_and_what_is_behind_it_need_not() -> None:
    stores = TEMPLATES["stores.bicep"]
    [app] = [each for each in TEMPLATES["app.bicep"].resources if each.symbol == "app"]
    closed = [each for each in stores.resources if each.symbol in {"storage", "vault"}]

    assert app.body["properties"]["publicNetworkAccess"] == "Enabled"
    assert stores.variables["publicAccess"].text == "isPrivate && empty(operatorAddresses) ? 'Disabled' : 'Enabled'"
    assert stores.variables["firewallDefault"].text == "isPrivate ? 'Deny' : 'Allow'"
    for each in closed:
        assert each.body["properties"]["publicNetworkAccess"].text == "publicAccess"
        assert each.body["properties"]["networkAcls"]["defaultAction"].text == "firewallDefault"
        assert each.body["properties"]["networkAcls"]["bypass"] == "None"


def test_every_service_of_storage_that_the_app_is_told_of_has_a_private_endpoint() -> None:
    told = set(re.findall(r"AzureWebJobsStorage__(\w+)ServiceUri", FILES["app.bicep"]))
    services = {each["group"]: each["target"].text for each in TEMPLATES["endpoints.bicep"].variables["services"]}

    assert services == {**dict.fromkeys(told, "storageId"), "vault": "vaultId"}


def test_the_subnet_of_the_app_is_as_flex_consumption_wants_it() -> None:
    [network] = [each for each in TEMPLATES["network.bicep"].resources if each.symbol == "network"]
    app, endpoints = network.body["properties"]["subnets"]

    [delegation] = app["properties"]["delegations"]
    assert delegation["properties"]["serviceName"] == "Microsoft.App/environments"
    assert "_" not in app["name"]
    assert app["properties"]["addressPrefix"].text == "cidrSubnet(networkPrefix, 26, 0)"
    assert endpoints["properties"]["addressPrefix"].text == "cidrSubnet(networkPrefix, 26, 1)"


def test_an_operator_may_do_what_the_command_line_does_and_no_more() -> None:
    template = TEMPLATES["stores.bicep"]
    roles = template.variables["roles"]
    given = {
        (each.symbol, roles[name])
        for each in template.resources
        if each.symbol in {"operatorAccess", "secretWriter"}
        for name in _roles_of(each, template)
    }

    assert given == {
        ("operatorAccess", ROLES["Storage Queue Data Contributor"][0]),
        ("operatorAccess", ROLES["Storage Table Data Contributor"][0]),
        ("secretWriter", ROLES["Key Vault Secrets Officer"][0]),
    }
    assert "if (!empty(operatorPrincipalId) && operatorMayWriteSecrets)" in FILES["stores.bicep"]
