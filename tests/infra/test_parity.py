"""Both templates set the same things; what only one of them has to say is written down with its reason."""

import re
from typing import Any

import pytest

from tests.infra import bicep, leaves, terraform
from tests.infra.test_bicep import FILES as BICEP
from tests.infra.test_bicep import OF_THE_HOST, OPTIONAL, REQUIRED, SIGN_INS, assigned_roles
from tests.infra.twins import ALIASES, ONLY_BICEP, ONLY_TERRAFORM, OTHERWISE, SAME_BODIES, TWINS

TERRAFORM = terraform.FILES
COMMON = ("name", "location", "tags")
#: Variables that are lists or a map, because Terraform's users expect them.
LISTS = {
    *("additional_audiences", "additional_tenant_ids", "action_group_names", "allowed_subscriptions"),
    *(
        "azure_action_group_ids",
        "followed_subscriptions",
        "operator_action_group_ids",
        "operator_addresses",
        "probe_locations",
    ),
}
#: Set by the module itself or by its provider, where main.bicep needs to be told or asks its environment.
TOLD_OTHERWISE = {"entra_client_id", "entra_object_id", "entra_identifier_uri", "entra_tenant_id", "entra_authority"}


def differences(bicep_files: dict[str, str], terraform_files: dict[str, str]) -> list[str]:
    """Return what one template sets and the other does not, or otherwise."""
    ours, theirs = leaves.of_bicep(bicep_files), leaves.of_terraform(terraform_files)
    seen_ours, seen_theirs, found = set(ONLY_BICEP), set(ONLY_TERRAFORM), []
    for symbol, (address, table) in TWINS.items():
        whole = {**({name: name for name in COMMON if f"{symbol}.{name}" not in ONLY_BICEP}), **table}
        for left, right in whole.items():
            one, other = f"{symbol}.{left}", f"{address}.{right}"
            if one not in ours and left in COMMON:
                continue
            if left == "location" and ours.get(one) == ["global"]:
                seen_ours.add(one)  # what is global has no location in azurerm
                continue
            found += _compared(one, ours.get(one), other, theirs.get(other))
            seen_ours.add(one)
            seen_theirs.add(other)
    for symbol, address in SAME_BODIES.items():
        found += _same_bodies(symbol, address, ours, theirs)
        seen_ours |= {each for each in ours if each.startswith(f"{symbol}.")}
        seen_theirs |= {each for each in theirs if each.startswith(f"{address}.")}
    found += [f"only Bicep sets {each}" for each in sorted(ours.keys() - seen_ours)]
    # A group is given to each resource, which in Bicep is the scope of the deployment.
    rest = {each for each in theirs.keys() - seen_theirs if not each.endswith(".resource_group_name")}
    found += [f"only Terraform sets {each}" for each in sorted(rest)]
    return found


def _compared(one: str, left: list[Any] | None, other: str, right: list[Any] | None) -> list[str]:
    if not left or not right:
        return [f"{one} is {left}, {other} is {right}"]
    if one in OTHERWISE:
        return (
            [] if ([OTHERWISE[one][0]], [OTHERWISE[one][1]]) == (left, right) else [f"{one} is {left}, {other} {right}"]
        )
    return [] if _is_same(left, right) else [f"{one} is {left}, {other} is {right}"]


def _is_same(left: list[Any], right: list[Any]) -> bool:
    name = re.fullmatch(r"\$\{(\w+)\}", str(left[0]))
    if name and name[1] in ALIASES:
        return str(right[0]) in (f"${{{ALIASES[name[1]]}}}", ALIASES[name[1]])
    if name and str(right[0]).startswith("${var."):
        return str(right[0]) == f"${{var.{snake(name[1])}}}"
    return str(left[0]).startswith("${") == str(right[0]).startswith("${") and (
        str(left[0]).startswith("${") or left == right
    )


def _same_bodies(symbol: str, address: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    left = {each.removeprefix(f"{symbol}."): value for each, value in ours.items() if each.startswith(f"{symbol}.")}
    left = {each: value for each, value in left.items() if not each.startswith((*COMMON, "identity."))}
    right = {
        path: value
        for each, value in theirs.items()
        for prefix in (f"{address}.body.", f"{address}.sensitive_body.")
        if each.startswith(prefix)
        for path in [each.removeprefix(prefix)]
    }
    found = [f"only one sets {symbol}.{each}" for each in sorted(left.keys() ^ right.keys())]
    for each in sorted(left.keys() & right.keys()):
        literals = [str(value[0]).startswith("${") for value in (left[each], right[each])]
        if literals[0] != literals[1] or (literals == [False, False] and left[each] != right[each]):
            found.append(f"{symbol}.{each} is {left[each]}, and {right[each]}")
    return found


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_both_templates_set_the_same_things() -> None:
    assert differences(BICEP, TERRAFORM) == []


def test_each_reason_is_about_something_that_is_set() -> None:
    assert ONLY_BICEP.keys() <= leaves.of_bicep(BICEP).keys()
    assert ONLY_TERRAFORM.keys() <= leaves.of_terraform(TERRAFORM).keys()


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("stores.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
        ("stores.bicep", "    minimumTlsVersion: 'TLS1_2'\n", ""),
        (
            "stores.bicep",
            "    enablePurgeProtection: true\n",
            "    enablePurgeProtection: true\n    enabledForDeployment: true\n",
        ),
        ("app.bicep", "httpsOnly: true", "httpsOnly: false"),
        ("app.bicep", "    keyVaultReferenceIdentity: identityId\n", ""),
        ("app.bicep", "excludedPaths: ['/api/health']", "excludedPaths: ['/api']"),
        ("app.bicep", "instanceMemoryMB: 2048", "instanceMemoryMB: 512"),
        ("watch.bicep", "failedLocationCount: 2", "failedLocationCount: 1"),
        ("watch.bicep", "Frequency: probeFrequency", "Frequency: 300"),
        ("stores.tf", 'min_tls_version                  = "TLS1_2"\n', ""),
        ("stores.tf", "purge_protection_enabled      = true", "purge_protection_enabled      = false"),
        ("stores.tf", "soft_delete_retention_days    = 7", "soft_delete_retention_days    = 90"),
        ("app.tf", 'publicNetworkAccess = "Enabled"', 'publicNetworkAccess = "Disabled"'),
        ("app.tf", "      httpsOnly                 = true\n", ""),
        ("watch.tf", "retry_enabled           = true", 'retry_enabled           = true\n  description = "x"'),
        ("logs.tf", "var.log_retention_days", "var.retention_days"),
        ("action_group.tf", "use_common_alert_schema = true", "use_common_alert_schema = false"),
    ],
)
def test_a_setting_of_one_template_alone_is_found(file: str, right: str, wrong: str) -> None:
    files = {**BICEP, **TERRAFORM}
    assert right in files[file]

    files[file] = files[file].replace(right, wrong, 1)

    found = differences(
        {name: text for name, text in files.items() if name.endswith(".bicep")},
        {name: text for name, text in files.items() if name.endswith(".tf")},
    )
    assert len(found) == 1, found


def app_settings() -> dict[str, set[str]]:
    """Return the names of the app settings that the module sets, by the sign-in."""
    module = terraform.Module.parse(TERRAFORM)
    host = set(re.findall(r"\b(\w+) +=", module.locals["host_settings"].text))
    common = set(module.locals["settings"]) | {each for each in host if each != "cloud"}
    return {name: common | set(own) for name, own in module.locals["sign_in_settings"].items()}


def test_both_templates_set_the_same_app_settings() -> None:
    assert app_settings() == {name: REQUIRED | OPTIONAL | OF_THE_HOST | own for name, own in SIGN_INS.items()}


def test_app_settings_come_from_the_variable_of_the_same_name() -> None:
    template = bicep.Template.parse(BICEP["installation.bicep"])
    theirs = terraform.Module.parse(TERRAFORM).locals["settings"]

    for name, value in template.variables["settings"].items():
        read = {snake(each) for each in re.findall(r"\w+", value.text) if each in template.parameters}
        for parameter in read - TOLD_OTHERWISE:
            assert f"var.{parameter}" in theirs[name].text, name


def test_both_templates_have_the_same_parameters() -> None:
    ours = bicep.Template.parse(BICEP["main.bicep"]).parameters
    theirs = terraform.Module.parse(TERRAFORM).variables

    assert {snake(name) for name in ours} - {"tag_list"} == set(theirs) - {
        *("tags", "cloud", "create_entra_application", "entra_owners", "secret_version")
    }


@pytest.mark.parametrize("name", sorted(bicep.Template.parse(BICEP["main.bicep"]).parameters))
def test_a_parameter_has_the_same_type_default_and_choice(name: str) -> None:
    ours = bicep.Template.parse(BICEP["main.bicep"]).parameters[name]
    theirs = terraform.Module.parse(TERRAFORM).variables["tags" if name == "tagList" else snake(name)]
    default = theirs.attributes.get("default")

    assert theirs.attributes["description"]
    assert bool(theirs.attributes.get("sensitive")) == ours.is_secure
    if name == "tagList":
        assert default == {}
    elif snake(name) in LISTS:
        assert theirs.attributes["type"].text == "list(string)"
        assert ",".join(default or []) == ours.default
    elif snake(name) not in TOLD_OTHERWISE:
        types = {"string": "string", "int": "number", "bool": "bool"}
        assert theirs.attributes["type"].text == types[ours.type]
        assert default == ours.default
        assert ("default" not in theirs.attributes) == ours.is_required
    told = next((each.attributes["condition"].text for each in theirs.blocks if each.type == "validation"), "")
    assert re.findall(r"[\w-]+", ours.allowed) == (
        re.findall(r"[\w-]+", told.partition("[")[2].partition("]")[0]) if "contains(" in told else []
    )


def test_both_templates_assign_the_same_roles_to_the_same_things() -> None:
    module = terraform.Module.parse(TERRAFORM)
    roles = module.locals["roles"]
    scopes = {
        "azurerm_application_insights.component.id": "component",
        "azurerm_storage_account.storage.id": "storage",
        "azurerm_key_vault.vault.id": "vault",
    }
    assigned = {
        (roles[role], scopes[each.attributes["scope"].text])
        for each in module.of("resource")
        if each.kind == "azurerm_role_assignment"
        for role in re.findall(r"local\.roles\.(\w+)", each.attributes["role_definition_id"].text)
        or re.findall(r'"(storage_\w+)"', each.attributes["for_each"].text)
    }

    assert assigned == assigned_roles(BICEP["stores.bicep"])


def test_a_missing_role_is_found() -> None:
    stores = BICEP["stores.bicep"].replace("roles.storageTableDataContributor]", "roles.storageQueueDataContributor]")

    assert assigned_roles(stores) != assigned_roles(BICEP["stores.bicep"])


def test_both_templates_watch_for_the_same_troubles() -> None:
    ours = bicep.Template.parse(BICEP["watch.bicep"]).variables["troubles"]
    theirs = terraform.Module.parse(TERRAFORM).locals["troubles"]

    assert {each["name"] for each in ours} == set(theirs)
    for each in ours:
        assert {snake(key): value for key, value in each.items() if key != "name"} == theirs[each["name"]]


def test_both_templates_have_the_same_private_endpoints_and_probe_places() -> None:
    services = bicep.Template.parse(BICEP["endpoints.bicep"]).variables["services"]
    module = terraform.Module.parse(TERRAFORM)
    places = bicep.Template.parse(BICEP["installation.bicep"]).variables["probePlaces"].text

    assert [each["group"] for each in services] == list(module.locals["services"])
    clouds = module.locals["cloud"].text
    assert all(place in clouds for place in re.findall(r"'([\w-]+-azr)'", places))


def test_both_templates_tell_the_same_names() -> None:
    ours = bicep.Template.parse(BICEP["main.bicep"]).outputs
    theirs = {each.labels[0] for each in terraform.Module.parse(TERRAFORM).of("output")}

    assert {name.lower() for name in ours} - {"action_group_id", "azure_resource_group"} == theirs - {"entra_client_id"}
