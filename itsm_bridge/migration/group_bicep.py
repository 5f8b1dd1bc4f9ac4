"""How do the action groups of one resource group look in Bicep, in one step of the migration?

`operate.migrate` writes what `bicep_of` returns, a file for each resource group. It is a whole action group, because
Resource Manager replaces all receivers at once.

Source of truth: https://learn.microsoft.com/azure/templates/microsoft.insights/actiongroups
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from itsm_bridge.migration.inventory import Group
from itsm_bridge.migration.receivers import RECEIVERS
from itsm_bridge.migration.steps import WEBHOOK_PARAMETERS, Named, Step, receivers_of, secrets_of, symbol

#: As in infra/action-group.bicep.
API_VERSION: Final = "2023-01-01"

_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def bicep_of(groups: Sequence[Group], step: Step) -> str:
    """Return the template of the action groups of one resource group; pure."""
    secrets = {name: what for group in groups for name, what in secrets_of(group).items()}
    needs_bridge = any(group.chosen and not group.bridge for group in groups)
    parameters = {**(WEBHOOK_PARAMETERS if needs_bridge else {}), **secrets}
    what = "beside the ITSM actions" if step is Step.TRIAL else "in the place of the ITSM actions"
    lines = [
        f"// The secure webhook {what}; `python -m itsm_bridge migrate` wrote it. Whoever deploys it must be an owner",
        "// of the Entra application. It states each action group as a whole: what changed since it was read is",
        "// undone.",
    ]
    for name, text in parameters.items():
        lines += [f"@description({_quoted(text)})"]
        lines += ["@secure()"] if name in secrets or name == "bridge_uri" else []
        lines += [f"param {name} string"]
    for number, group in enumerate(groups):
        lines += ["", *_resource(f"{symbol(group.name)}_{number}", group, step)]
    return "\n".join(lines) + "\n"


def _resource(name: str, group: Group, step: Step) -> list[str]:
    others = {key: value for key, value in group.properties.items() if key not in RECEIVERS and not _is_of_azure(key)}
    properties = {**others, "enabled": group.is_enabled, **receivers_of(group, step)}
    body: dict[str, object] = {"name": group.name, "location": group.location.lower() or "global"}
    if group.tags:
        body["tags"] = dict(group.tags)
    body["properties"] = properties
    return [f"resource {name} 'Microsoft.Insights/actionGroups@{API_VERSION}' = {_literal(body, '')}"]


def _is_of_azure(name: str) -> bool:
    return name.lower() in ("provisioningstate", "resourceguid")


def _literal(value: object, indent: str) -> str:
    """Return a value in Bicep."""
    deeper = f"{indent}  "
    if isinstance(value, Named):
        return value.name
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, Mapping):
        rows = [f"{deeper}{_key(str(key))}: {_literal(each, deeper)}" for key, each in value.items()]
        return "\n".join(["{", *rows, f"{indent}}}"]) if rows else "{}"
    if isinstance(value, list | tuple):
        rows = [f"{deeper}{_literal(each, deeper)}" for each in value]
        return "\n".join(["[", *rows, f"{indent}]"]) if rows else "[]"
    return _quoted(str(value))


def _key(name: str) -> str:
    return name if _KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
    for sign, letter in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(sign, letter)
    return f"'{escaped}'"
