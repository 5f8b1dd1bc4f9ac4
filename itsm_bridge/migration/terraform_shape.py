"""What are the resources of a Terraform state or plan, told as Resource Manager tells them?

`exports` calls it. Only what has to do with alerts is translated; other resources are left out, because a state may
hold a whole company.

Sources of truth: https://developer.hashicorp.com/terraform/internals/json-format,
https://registry.terraform.io/providers/hashicorp/azurerm/latest/docs/resources/monitor_action_group
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

#: By Terraform's type, Azure's.
TYPES: Final[Mapping[str, str]] = {
    "azurerm_monitor_action_group": "Microsoft.Insights/actionGroups",
    "azurerm_monitor_metric_alert": "Microsoft.Insights/metricAlerts",
    "azurerm_monitor_scheduled_query_rules_alert": "Microsoft.Insights/scheduledQueryRules",
    "azurerm_monitor_scheduled_query_rules_alert_v2": "Microsoft.Insights/scheduledQueryRules",
    "azurerm_monitor_activity_log_alert": "Microsoft.Insights/activityLogAlerts",
    "azurerm_monitor_smart_detector_alert_rule": "Microsoft.AlertsManagement/smartDetectorAlertRules",
    "azurerm_monitor_alert_prometheus_rule_group": "Microsoft.AlertsManagement/prometheusRuleGroups",
    "azurerm_monitor_alert_processing_rule_action_group": "Microsoft.AlertsManagement/actionRules",
    "azurerm_monitor_alert_processing_rule_suppression": "Microsoft.AlertsManagement/actionRules",
    "azurerm_consumption_budget_subscription": "Microsoft.Consumption/budgets",
    "azurerm_consumption_budget_resource_group": "Microsoft.Consumption/budgets",
}
_RECEIVER: Final = "_receiver"
#: Names that camel case alone does not make.
_NAMES: Final = {"event_hub_namespace": "eventHubNameSpace", "arm_role": "armRole", "short_name": "groupShortName"}
_AAD_AUTH: Final = "aad_auth"


def is_terraform(content: Mapping[str, Any]) -> bool:
    """Whether a file is a state, or what `terraform show -json` prints."""
    return "terraform_version" in content or "planned_values" in content


def resources_of(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the resources that have to do with alerts, each as Resource Manager would tell it."""
    shown = content.get("planned_values") or content.get("values")
    if isinstance(shown, dict):
        yield from _of_module(shown.get("root_module"))
        return
    resources = content.get("resources")
    for each in resources if isinstance(resources, list) else ():
        for instance in each.get("instances", ()) if each.get("mode", "managed") == "managed" else ():
            yield from _of(str(each.get("type", "")), str(each.get("name", "")), instance.get("attributes"))


def _of_module(module: object) -> Iterator[dict[str, Any]]:
    if not isinstance(module, dict):
        return
    for each in module.get("resources", ()):
        if each.get("mode", "managed") == "managed":
            yield from _of(str(each.get("type", "")), str(each.get("name", "")), each.get("values"))
    for inner in module.get("child_modules", ()):
        yield from _of_module(inner)


def _of(kind: str, label: str, attributes: object) -> Iterator[dict[str, Any]]:
    if not isinstance(attributes, dict):
        return
    if kind == "azapi_resource":
        yield from _of_azapi(attributes)
    elif kind in TYPES:
        outer = {name: attributes.get(name) for name in ("id", "location", "tags")}
        properties = {
            name: value
            for name, value in attributes.items()
            if name not in ("id", "name", "location", "tags", "resource_group_name", "timeouts")
        }
        if kind == "azurerm_monitor_action_group":
            properties = _group(properties)
        yield {**outer, "name": attributes.get("name") or label, "type": TYPES[kind], "properties": properties}


def _of_azapi(attributes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    body = attributes.get("body")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            body = None
    type_ = str(attributes.get("type", "")).partition("@")[0]
    if isinstance(body, dict) and type_.lower() in {each.lower() for each in TYPES.values()}:
        yield {**{name: attributes.get(name) for name in ("id", "name", "location", "tags")}, **body, "type": type_}


def _group(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of an action group by Resource Manager's names."""
    told: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.endswith(_RECEIVER):
            kind = f"{_camel(name.removesuffix(_RECEIVER))}Receivers"
            told[kind] = [_receiver(each) for each in value or () if isinstance(each, dict)]
        else:
            told[_camel(name)] = value
    return told


def _receiver(attributes: Mapping[str, Any]) -> dict[str, Any]:
    told = {_camel(name): value for name, value in attributes.items() if name != _AAD_AUTH and value not in (None, "")}
    for auth in attributes.get(_AAD_AUTH) or ():
        told |= {"useAadAuth": True, **{_camel(name): value for name, value in auth.items() if value}}
    return told


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return _NAMES.get(name) or "".join([first, *(each.capitalize() for each in others)])
