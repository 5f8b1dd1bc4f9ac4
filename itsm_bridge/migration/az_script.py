"""Which `az` commands take the steps of the migration, and take them back?

`operate.migrate` writes what `scripts_of` returns. Each command adds or removes one action and leaves the rest of the
action group as it is.

Source of truth: https://learn.microsoft.com/cli/azure/monitor/action-group#az-monitor-action-group-update
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping

from itsm_bridge.migration.inventory import Group, Inventory, ItsmAction
from itsm_bridge.migration.steps import WEBHOOK_PARAMETERS

_HEAD = """#!/bin/sh
# {what}
# `python -m itsm_bridge migrate` wrote it. It needs `az login` as an owner of the Entra application with the role
# Monitoring Contributor. It stops at the first command that fails; `migrate` then writes it anew without
# what is done.
set -eu
"""


def scripts_of(inventory: Inventory) -> Mapping[str, str]:
    """Return the scripts by their names: two steps forward, and each step back; pure."""
    groups = [group for group in inventory.groups if group.chosen]
    return {
        "az-trial.sh": _script("Adds the secure webhook beside the ITSM actions.", groups, _add_webhook),
        "az-trial-back.sh": _script("Takes the secure webhook away again.", groups, _remove_webhook),
        "az-final.sh": _script("Removes the ITSM actions; the secure webhook stays.", groups, _remove_itsm),
        "az-final-back.sh": _script(
            "Adds the ITSM actions again. Try it with one group first: Microsoft closed the connector to new"
            " connections, and may refuse it.",
            groups,
            _add_itsm,
        ),
    }


def _script(what: str, groups: list[Group], commands: Callable[[Group], Iterator[str]]) -> str:
    lines = [_HEAD.format(what=what)]
    body = [line for group in groups for line in commands(group)]
    if any("$BRIDGE_URI" in line for line in body):
        names = WEBHOOK_PARAMETERS.items()
        lines += [f': "${{{name.upper()}:?{text}}}"' for name, text in names if name != "entra_tenant_id"]
    if any("$RESOURCE_GROUP" in line for line in body):
        lines.append(': "${RESOURCE_GROUP:?The resource group of the action groups}"')
    return "\n".join([*lines, "", *body]) + "\n"


def _update(group: Group) -> str:
    if not group.resource_group:
        return f'az monitor action-group update --resource-group "$RESOURCE_GROUP" --name {shlex.quote(group.name)}'
    place = f"--subscription {shlex.quote(group.subscription)} --resource-group {shlex.quote(group.resource_group)}"
    return f"az monitor action-group update {place} --name {shlex.quote(group.name)}"


def _add_webhook(group: Group) -> Iterator[str]:
    if group.bridge:
        yield f"# {_comment(group.name)} has it already: {_comment(group.bridge)}"
        return
    yield _update(group) + " \\"
    yield f'  --add-action webhook {shlex.quote(group.webhook)} "$BRIDGE_URI" \\'
    yield '  useaadauth "$ENTRA_OBJECT_ID" "$ENTRA_IDENTIFIER_URI" usecommonalertschema'


def _remove_webhook(group: Group) -> Iterator[str]:
    yield f"{_update(group)} --remove-action {shlex.quote(group.webhook)}"


def _remove_itsm(group: Group) -> Iterator[str]:
    names = " ".join(shlex.quote(action.name) for action in group.chosen)
    yield f"{_update(group)} --remove-action {names}"


def _add_itsm(group: Group) -> Iterator[str]:
    for action in group.chosen:
        yield f"{_update(group)} --add-action itsm {' '.join(shlex.quote(each) for each in _words(action))}"


def _words(action: ItsmAction) -> tuple[str, ...]:
    raw = action.raw.get("ticketConfiguration", "")
    text = raw if isinstance(raw, str) else json.dumps(raw)
    return action.name, action.workspace_id, action.connection_id, text, action.region


def _comment(text: str) -> str:
    return " ".join(text.split())
