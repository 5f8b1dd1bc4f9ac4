import re
from pathlib import Path

import pytest

from itsm_bridge.entra import wanted
from tests.infra.terraform import FILES, PROVIDERS, Block, Module, calls_of, required_variables
from tests.infra.terraform_checks import problems

EXAMPLE = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[2] / "infra" / "terraform" / "example").glob("*.tf"))
}


def test_the_module_fits_the_schemas_of_its_providers() -> None:
    assert problems(FILES) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "problem"),
    [
        (
            "stores.tf",
            "shared_access_key_enabled ",
            "shared_key_access_enabled ",
            "shared_key_access_enabled is unknown",
        ),
        ("stores.tf", "rbac_authorization_enabled    = true\n", "", "rbac_authorization_enabled is missing"),
        (
            "stores.tf",
            "purge_protection_enabled      = true",
            'purge_protection_enabled = "yes"',
            "is not of type bool",
        ),
        ("stores.tf", "network_acls {", "network_rules {", "network_rules is unknown"),
        ("stores.tf", "secrets@2024-11-01", "secret@2024-11-01", "sends the unknown type"),
        ("stores.tf", "identity.principal_id", "identity.principalid", "has no attribute principalid"),
        ("stores.tf", "local.is_public", "local.is_private", "local.is_private is not declared"),
        ("app.tf", "keyVaultReferenceIdentity ", "keyVaultReference ", "keyVaultReference is unknown"),
        ("app.tf", "instanceMemoryMB     = 2048", 'instanceMemoryMB = "2048"', "instanceMemoryMB is not of type int"),
        ("app.tf", "perInstanceConcurrency", "instanceConcurrency", "instanceConcurrency is unknown"),
        ("app.tf", 'ipAddress = "ActionGroup"', 'address = "ActionGroup"', "address is unknown"),
        ("app.tf", "excludedPaths ", "excludePaths ", "excludePaths is unknown"),
        ("app.tf", "{ allow = false }", "{ enabled = false }", "allow is missing"),
        ("app.tf", 'type         = "UserAssigned"', 'kind = "UserAssigned"', "identity.type is missing"),
        ("app.tf", "body = {\n    kind", "body = {\n    kinds", "kinds is unknown"),
        ("network.tf", "is_manual_connection           = false\n", "", "is_manual_connection is missing"),
        ("network.tf", "service_delegation {", "service {", "service_delegation is missing"),
        (
            "watch.tf",
            "minimum_failing_periods",
            "min_failing_periods",
            "min_failing_periods_to_trigger_alert is unknown",
        ),
        ("action_group.tf", "aad_auth {", "azuread_auth {", "azuread_auth is unknown"),
        ("entra.tf", "requested_access_token_version", "access_token_version", "access_token_version is unknown"),
        ("entra.tf", "app_role_assignment_required = true", "app_role_required = true", "app_role_required is unknown"),
        ("variables.tf", 'variable "retention_days"', 'variable "retention"', "var.retention_days is not declared"),
        (
            "outputs.tf",
            "azurerm_key_vault.vault.name",
            "azurerm_key_vault.kv.name",
            "azurerm_key_vault.kv is not declared",
        ),
        ("logs.tf", 'sku                          = "PerGB2018"', 'sku = "PerGB2018', "is not Terraform"),
    ],
)
def test_a_mistake_is_found(file: str, right: str, wrong: str, problem: str) -> None:
    assert right in FILES[file]

    found = problems({**FILES, file: FILES[file].replace(right, wrong, 1)})

    assert any(problem in each for each in found), found


def test_the_example_calls_the_module_with_what_it_takes() -> None:
    module = Module.parse(FILES)
    [call] = calls_of(EXAMPLE)

    given = set(call.attributes) - {"source"}
    assert given <= set(module.variables)
    assert required_variables(module) <= given


def test_the_module_brings_no_provider_and_no_backend() -> None:
    module = Module.parse(FILES)

    assert module.of("provider") == []
    [terraform] = module.of("terraform")
    assert [each.type for each in terraform.blocks] == ["required_providers"]


def test_the_versions_are_those_whose_schemas_were_read() -> None:
    text = PROVIDERS.read_text(encoding="utf-8")
    for name, version in re.findall(r'(\w+) = \{\s+source  = "[\w/]+"\s+version = "~> ([\d.]+)"', FILES["versions.tf"]):
        assert re.search(rf'"version": "{re.escape(version)}\.\d+"', text), name


def test_no_secret_is_an_output_or_ends_up_in_the_state() -> None:
    module = Module.parse(FILES)
    [secret] = [each for each in module.of("resource") if each.address == "azapi_resource_action.secret"]

    for output in module.of("output"):
        assert "secret" not in str(output.attributes["value"])
        assert "key" not in str(output.attributes["value"]).replace("key_vault", "")
    assert "sensitive_body" in secret.attributes
    assert "body" not in secret.attributes
    # A resource would be destroyed by the first run without the secret.
    assert secret.attributes["method"] == "PUT"


def test_nothing_of_others_is_destroyed_with_the_module() -> None:
    resources = Module.parse(FILES).of("resource")

    principals = [each for each in resources if each.kind == "azuread_service_principal"]
    assert [each.labels[1] for each in principals] == ["bridge"]
    assert not any("use_existing" in each.attributes for each in resources)
    [group] = [each for each in resources if each.kind == "azurerm_resource_group"]
    assert group.attributes["count"].text == "var.create_resource_group ? 1 : 0"


def _only(blocks: tuple[Block, ...], kind: str) -> Block:
    [found] = [each for each in blocks if each.type == kind]
    return found


def test_the_application_is_what_the_set_up_makes() -> None:
    [application] = [each for each in Module.parse(FILES).of("resource") if each.kind == "azuread_application"]
    shown = wanted.missing_properties({}, identifier_uri="")
    [role] = shown["appRoles"]

    ours = _only(application.blocks, "app_role").attributes
    assert ours["value"] == ours["display_name"] == wanted.ROLE == role["value"]
    assert ours["allowed_member_types"] == role["allowedMemberTypes"]
    assert ours["description"] == role["description"]
    assert _only(application.blocks, "api").attributes == {
        "requested_access_token_version": shown["api"]["requestedAccessTokenVersion"]
    }
    claim = _only(_only(application.blocks, "optional_claims").blocks, "access_token").attributes
    assert claim["name"] == shown["optionalClaims"]["accessToken"][0]["name"]
