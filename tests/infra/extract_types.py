"""What may each Azure resource hold? Writes `infra/schemas/types.json`, against which the Bicep files are checked.

Three published packages know the resource types, and all work without a network once they are installed:
the Bicep types inside npm's `@azure/mcp-linux-x64`, and, for what those lack, the models of PyPI's
`azure-mgmt-monitor` and `azure-mgmt-privatedns`. None is needed to run the checks, so none is among the requirements.

    npm install --prefix /tmp/types @azure/mcp-linux-x64@2.0.5
    pip install azure-mgmt-monitor==6.0.2 azure-mgmt-privatedns==1.2.0
    python -m tests.infra.extract_types /tmp/types/node_modules/@azure/mcp-linux-x64/dist/azmcp

A shape is "string", "int", "bool" or "any"; {"choice": [...]}; {"list": shape};
{"properties": {name: shape}, "required": [...], "others": shape of all other names}; or, where one property
tells what the others are, {"by": name of that property, "kinds": {its value: shape}}. Read-only properties are left
out: a template must not set them.
"""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Shape = str | dict[str, Any]

TYPES = Path(__file__).parents[2] / "infra" / "schemas" / "types.json"
SOURCES = [
    "npm package @azure/mcp-linux-x64 2.0.5",
    "PyPI package azure-mgmt-monitor 6.0.2",
    "PyPI package azure-mgmt-privatedns 1.2.0",
]

BICEP_TYPES = (
    "Microsoft.AlertsManagement/actionRules",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Insights/components",
    "Microsoft.Insights/webtests",
    "Microsoft.Insights/workbooks",
    "Microsoft.KeyVault/vaults",
    "Microsoft.KeyVault/vaults/secrets",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Resources/resourceGroups",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "Microsoft.Web/serverfarms",
    "Microsoft.Web/sites",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies",
    "Microsoft.Web/sites/config",
)
#: Resource type, the module of its models, their class. The package has no 2022-06-15 of scheduled query rules; the
#: preview after it adds three properties, which are taken away again below.
MONITOR_TYPES = (
    ("Microsoft.Insights/actionGroups@2023-01-01", "v2023_01_01", "ActionGroupResource"),
    ("Microsoft.Insights/diagnosticSettings@2021-05-01-preview", "v2021_05_01_preview", "DiagnosticSettingsResource"),
    ("Microsoft.Insights/metricAlerts@2018-03-01", "v2018_03_01", "MetricAlertResource"),
    ("Microsoft.Insights/scheduledQueryRules@2022-06-15", "v2022_08_01_preview", "ScheduledQueryRuleResource"),
)
DNS_TYPES = (
    ("Microsoft.Network/privateDnsZones@2020-06-01", "PrivateZone"),
    ("Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01", "VirtualNetworkLink"),
)
SIMPLE = {"str": "string", "iso-8601": "string", "duration": "string", "int": "int", "float": "int", "bool": "bool"}


def main(azmcp: str) -> None:
    resources = dict(resource for name in BICEP_TYPES for resource in bicep_type(azmcp, name))
    for name, version, model in MONITOR_TYPES:
        module = importlib.import_module(f"azure.mgmt.monitor.{version}.models")
        resources[name] = with_name(monitor_shape(module, model))
    for name, model in DNS_TYPES:
        resources[name] = with_name(monitor_shape(importlib.import_module("azure.mgmt.privatedns.models"), model))
    rule = resources["Microsoft.Insights/scheduledQueryRules@2022-06-15"]["properties"]
    del rule["identity"], rule["properties"]["properties"]["publicNetworkAccess"]
    del rule["properties"]["properties"]["ruleResolveConfiguration"]
    correct(resources)
    text = json.dumps({"sources": SOURCES, "resources": resources}, indent=1, sort_keys=True)
    TYPES.write_text(text + "\n", encoding="utf-8")


def correct(resources: dict[str, dict[str, Any]]) -> None:
    """Add what the packages do not have yet, and leave out what no template will use.

    `siteUpdateStrategy` is in preview: https://learn.microsoft.com/azure/azure-functions/flex-consumption-site-updates
    """
    app = resources["Microsoft.Web/sites@2024-11-01"]["properties"]["properties"]["properties"]
    strategy = {"properties": {"type": {"choice": ["Recreate", "RollingUpdate"]}}, "required": ["type"]}
    app["functionAppConfig"]["properties"]["siteUpdateStrategy"] = strategy
    config = resources["Microsoft.Web/sites/config@2024-11-01"]
    config["kinds"] = {"authsettingsV2": config["kinds"]["authsettingsV2"]}


def bicep_type(azmcp: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    command = [azmcp, "bicepschema", "get", "--resource-type", name]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
    definitions = answer["results"]["BicepSchemaResult"]
    objects = {each["name"]: each for each in definitions if "Object" in each["$type"]}
    return [
        (each["name"], bicep_object(each["bodyType"], objects, ()))
        for each in definitions
        if each["$type"] == "Resource"
    ]


def bicep_object(definition: Mapping[str, Any], objects: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    above = (*above, definition["name"])
    if definition["$type"] == "DiscriminatedObject":
        return bicep_kinds(definition, objects, above)
    return bicep_properties(definition["properties"], definition.get("additionalPropertiesType"), objects, above)


def bicep_properties(
    properties: list[dict[str, Any]], others: str | None, objects: Mapping[str, Any], above: tuple[str, ...]
) -> dict[str, Any]:
    writable = [each for each in properties if "ReadOnly" not in each.get("flags", "")]
    shape: dict[str, Any] = {
        "properties": {each["name"]: bicep_shape(each["type"], objects, above) for each in writable},
        "required": [each["name"] for each in writable if "Required" in each.get("flags", "")],
    }
    if others:
        shape["others"] = bicep_shape(others, objects, above)
    return shape


def bicep_kinds(definition: Mapping[str, Any], objects: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    discriminator, base = definition["discriminator"], definition["baseProperties"]
    kinds = {}
    for element in definition["elements"]:
        own = next(each["type"] for each in element["properties"] if each["name"] == discriminator)
        kinds[own] = bicep_properties([*base, *element["properties"]], None, objects, above)
    return {"by": discriminator, "kinds": kinds}


def bicep_shape(text: str, objects: Mapping[str, Any], above: tuple[str, ...]) -> Shape:
    if text in {"string", "int", "bool"}:
        return text
    if text.endswith("[]") and " | " not in text:
        return {"list": bicep_shape(text[:-2], objects, above)}
    if text in objects:
        return "any" if text in above else bicep_object(objects[text], objects, above)
    choice = [each.strip() for each in text.split("|")]
    known = [each for each in choice if each not in {"string", "null"}]
    return {"choice": known} if len(choice) > 1 and known and "[]" not in text else "any"


def monitor_shape(module: Any, name: str) -> dict[str, Any]:
    model = getattr(module, name)
    shape = monitor_object(module, model)
    [(discriminator, kinds)] = getattr(model, "_subtype_map", {}).items() or [("", {})]
    if not kinds:
        return shape
    key = model._attribute_map[discriminator]["key"].replace("\\.", ".")
    return {"by": key, "kinds": {value: monitor_object(module, getattr(module, kind)) for value, kind in kinds.items()}}


def monitor_object(module: Any, model: Any) -> dict[str, Any]:
    shape: dict[str, Any] = {"properties": {}, "required": []}
    for attribute, described in model._attribute_map.items():
        rule = model._validation.get(attribute, {})
        if rule.get("readonly"):
            continue
        *outer, key = [part.replace("\0", ".") for part in described["key"].replace("\\.", "\0").split(".")]
        target = shape
        for part in outer:
            if rule.get("required") and part not in target["required"]:
                target["required"].append(part)
            target = target["properties"].setdefault(part, {"properties": {}, "required": []})
        if not key:  # whatever else a later version may add; a template means what this version knows
            continue
        target["properties"][key] = monitor_value(module, model, attribute, described["type"])
        if rule.get("required"):
            target["required"].append(key)
    return shape


def monitor_value(module: Any, model: Any, attribute: str, text: str) -> Shape:
    if text.startswith("["):
        return {"list": monitor_value(module, model, attribute, text[1:-1])}
    if text.startswith("{"):
        return {"properties": {}, "required": [], "others": SIMPLE.get(text[1:-1], "any")}
    if text == "str":
        known = re.search(
            rf":ivar {attribute}:(?:(?!:vartype).)*?(?:Known values are:|Possible values include:)\s*"
            r"((?:(?!:vartype).)*)",
            model.__doc__ or "",
            re.DOTALL,
        )
        values = re.findall(r'"([^"]+)"', known[1]) if known else []
        return {"choice": values} if values else "string"
    return SIMPLE.get(text) or (monitor_shape(module, text) if hasattr(module, text) else "any")


def with_name(shape: dict[str, Any]) -> dict[str, Any]:
    """Return `shape` with the name that the models take from the address."""
    shape["properties"]["name"] = "string"
    shape["required"].append("name")
    return shape


if __name__ == "__main__":
    main(sys.argv[1])
