"""How do the action groups of one subscription look in Terraform, in one step of the migration?

`operate.migrate` writes what `terraform_of` returns, a folder for each subscription. It has `import` blocks, so that a
state that does not know the groups takes them over; whoever has them in a state already copies the blocks of the
receivers instead.

Source of truth: https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/monitor_action_group
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from itsm_bridge.migration.inventory import Group
from itsm_bridge.migration.steps import WEBHOOK_PARAMETERS, Named, Step, receivers_of, secrets_of, symbol

#: The receivers that the provider knows, in its own order.
_BLOCKS: Final[Mapping[str, str]] = {
    "armRoleReceivers": "arm_role_receiver",
    "automationRunbookReceivers": "automation_runbook_receiver",
    "azureAppPushReceivers": "azure_app_push_receiver",
    "azureFunctionReceivers": "azure_function_receiver",
    "emailReceivers": "email_receiver",
    "eventHubReceivers": "event_hub_receiver",
    "itsmReceivers": "itsm_receiver",
    "logicAppReceivers": "logic_app_receiver",
    "smsReceivers": "sms_receiver",
    "voiceReceivers": "voice_receiver",
    "webhookReceivers": "webhook_receiver",
}
_ARGUMENTS: Final[Mapping[str, frozenset[str]]] = {
    "arm_role_receiver": frozenset({"name", "role_id", "use_common_alert_schema"}),
    "automation_runbook_receiver": frozenset(
        {
            *("name", "automation_account_id", "runbook_name", "webhook_resource_id", "is_global_runbook"),
            *("service_uri", "use_common_alert_schema"),
        }
    ),
    "azure_app_push_receiver": frozenset({"name", "email_address"}),
    "azure_function_receiver": frozenset(
        {"name", "function_app_resource_id", "function_name", "http_trigger_url", "use_common_alert_schema"}
    ),
    "email_receiver": frozenset({"name", "email_address", "use_common_alert_schema"}),
    "event_hub_receiver": frozenset(
        {"name", "event_hub_namespace", "event_hub_name", "subscription_id", "tenant_id", "use_common_alert_schema"}
    ),
    "itsm_receiver": frozenset({"name", "workspace_id", "connection_id", "ticket_configuration", "region"}),
    "logic_app_receiver": frozenset({"name", "resource_id", "callback_url", "use_common_alert_schema"}),
    "sms_receiver": frozenset({"name", "country_code", "phone_number"}),
    "voice_receiver": frozenset({"name", "country_code", "phone_number"}),
    "webhook_receiver": frozenset({"name", "service_uri", "use_common_alert_schema"}),
}
_AAD_AUTH: Final = ("object_id", "identifier_uri", "tenant_id")
#: The provider refuses a ticket configuration without these:
#: https://github.com/hashicorp/terraform-provider-azurerm/pull/18190
_DEMANDED: Final = ("PayloadRevision", "WorkItemType")


def terraform_of(groups: Sequence[Group], step: Step) -> str:
    """Return the file of the action groups of one subscription; pure."""
    secrets = {name: what for group in groups for name, what in secrets_of(group).items()}
    needs_bridge = any(group.chosen and not group.bridge for group in groups)
    variables = {**(WEBHOOK_PARAMETERS if needs_bridge else {}), **secrets}
    knows_place = all(group.resource_group for group in groups)
    if not knows_place:
        variables["resource_group_name"] = "The resource group of the action groups"
    what = "beside the ITSM actions" if step is Step.TRIAL else "in the place of the ITSM actions"
    lines = [
        f"# The secure webhook {what}; `python -m itsm_bridge migrate` wrote it. Whoever applies it must be an owner",
        "# of the Entra application. If a state has the groups already, copy the receivers into its configuration.",
    ]
    for name, text in variables.items():
        lines += ["", f'variable "{name}" {{', f"  description = {_quoted(text)}", "  type        = string"]
        lines += ["  sensitive   = true"] if name in secrets or name == "bridge_uri" else []
        lines += ["}"]
    for number, group in enumerate(groups):
        lines += ["", *_resource(f"{symbol(group.name)}_{number}", group, step)]
    return "\n".join(lines) + "\n"


def _resource(label: str, group: Group, step: Step) -> Iterator[str]:
    if group.id:
        yield from ("import {", f"  to = azurerm_monitor_action_group.{label}", f"  id = {_quoted(group.id)}", "}", "")
    place = _quoted(group.resource_group) if group.resource_group else "var.resource_group_name"
    yield f'resource "azurerm_monitor_action_group" "{label}" {{'
    arguments = {
        "name": _quoted(group.name),
        "resource_group_name": place,
        "short_name": _quoted(str(group.properties.get("groupShortName") or group.name[:12])),
        "enabled": "true" if group.is_enabled else "false",
    }
    if group.location.lower() != "global":
        arguments["location"] = _quoted(group.location)
    yield from _aligned(arguments, "  ")
    if group.tags:
        yield "  tags = {"
        yield from _aligned({_quoted(name): _quoted(value) for name, value in group.tags.items()}, "    ")
        yield "  }"
    for kind, rows in receivers_of(group, step).items():
        for row in rows:
            yield ""
            yield from _block(kind, row)
    yield "}"


def _block(kind: str, row: Mapping[str, Any]) -> Iterator[str]:
    block = _BLOCKS.get(kind)
    if block is None:
        yield f"  # {row.get('name')} ({kind}) is not known to the provider; keep it with azapi."
        return
    given = {_snake(name): value for name, value in row.items() if value not in (None, "")}
    auth = {name: given.pop(name) for name in _AAD_AUTH if name in given and name not in _ARGUMENTS[block]}
    is_secure = str(given.pop("use_aad_auth", "")).lower() == "true"
    unknown = sorted(set(given) - _ARGUMENTS[block])
    yield f"  {block} {{"
    yield from (f"    # {name} is not known to the provider and is left out." for name in unknown)
    if block == "itsm_receiver" and not _is_taken_by_provider(given.get("ticket_configuration")):
        yield "    # The provider refuses this ticket configuration as it stands in Azure; use Bicep or az instead."
    known = {name: _literal(value) for name, value in given.items() if name in _ARGUMENTS[block]}
    yield from _aligned(known, "    ")
    if is_secure:
        yield ""
        yield "    aad_auth {"
        yield from _aligned({name: _literal(value) for name, value in auth.items()}, "      ")
        yield "    }"
    yield "  }"


def _aligned(arguments: Mapping[str, str], indent: str) -> Iterator[str]:
    """Yield arguments as `terraform fmt` lays them out."""
    width = max(map(len, arguments), default=0)
    yield from (f"{indent}{name:<{width}} = {value}" for name, value in arguments.items())


def _is_taken_by_provider(text: object) -> bool:
    try:
        content = json.loads(str(text))
    except ValueError:
        return False
    return isinstance(content, dict) and all(name in content for name in _DEMANDED)


def _snake(name: str) -> str:
    if name == "eventHubNameSpace":
        return "event_hub_namespace"
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _literal(value: object) -> str:
    if isinstance(value, Named):
        return f"var.{value.name}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value if isinstance(value, str) else json.dumps(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
