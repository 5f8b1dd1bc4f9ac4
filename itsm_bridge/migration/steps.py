"""Which receivers does an action group have in each step of the migration?

    today    the ITSM actions alone
    trial    the secure webhook beside them
    final    the secure webhook in their place; actions of connections that are not moved stay

The templates and scripts of `group_bicep`, `group_terraform` and `az_script` are made of this. Addresses and keys of
receivers are secrets of others, so no file holds them: each becomes a parameter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from itsm_bridge.migration.inventory import Group
from itsm_bridge.migration.receivers import RECEIVERS

#: What holds a key: the address of a webhook, of a Logic App, of a function.
SECRETS: Final = frozenset({"serviceUri", "callbackUrl", "httpTriggerUrl"})


class Step(StrEnum):
    """The two steps forward."""

    TRIAL = "trial"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is not written into a file: the name of the parameter that holds it."""

    name: str


#: The parameters of the secure webhook, and what each is.
WEBHOOK_PARAMETERS: Final[Mapping[str, str]] = {
    "bridge_uri": "The address of the secure webhook with its key: https://NAME.azurewebsites.net/api/alerts?code=KEY",
    "entra_object_id": "Object id of the Entra application, not of its service principal",
    "entra_identifier_uri": "Application ID URI of the Entra application",
    "entra_tenant_id": "The tenant of the Entra application",
}


def receivers_of(group: Group, step: Step) -> Mapping[str, list[dict[str, Any]]]:
    """Return the receivers by their kind, each with `Named` in place of a secret; kinds without any are left out."""
    told: dict[str, list[dict[str, Any]]] = {}
    for kind in RECEIVERS:
        rows = group.properties.get(kind, ())
        if kind == "itsmReceivers" and step is Step.FINAL:
            rows = [action.raw for action in group.actions if not action.is_chosen]
        told[kind] = [_without_secrets(group, row) for row in rows]
    if group.chosen and not group.bridge:
        told["webhookReceivers"].append(webhook_of(group))
    return {kind: rows for kind, rows in told.items() if rows}


def webhook_of(group: Group) -> dict[str, Any]:
    """Return the secure webhook that calls the bridge."""
    return {
        "name": group.webhook,
        "serviceUri": Named("bridge_uri"),
        "useCommonAlertSchema": True,
        "useAadAuth": True,
        "objectId": Named("entra_object_id"),
        "identifierUri": Named("entra_identifier_uri"),
        "tenantId": Named("entra_tenant_id"),
    }


def secrets_of(group: Group) -> Mapping[str, str]:
    """Return the parameters for the secrets of the group's other receivers, with what each is."""
    return {
        _parameter(group, row, name): f"{name} of the receiver {row.get('name')} in {group.name}"
        for kind in RECEIVERS
        for row in group.properties.get(kind, ())
        for name in row
        if name in SECRETS and row[name]
    }


def _without_secrets(group: Group, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: Named(_parameter(group, row, name)) if name in SECRETS and value else value for name, value in row.items()
    }


def _parameter(group: Group, row: Mapping[str, Any], name: str) -> str:
    return f"{symbol(group.name)}_{symbol(str(row.get('name', '')))}_{symbol(name)}"


def symbol(text: str) -> str:
    """Return a text as a name in Bicep and Terraform."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()
    return plain if plain[:1].isalpha() else f"x_{plain}"
