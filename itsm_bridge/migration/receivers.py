"""What do the receivers of an action group look like by Resource Manager's names, whatever tool wrote them?

`inventory` asks for each action group. Names that are not known are kept as they are.

Source of truth: https://learn.microsoft.com/azure/templates/microsoft.insights/actiongroups
"""

from collections.abc import Mapping
from typing import Any, Final

#: The lists of receivers, by Resource Manager's names.
RECEIVERS: Final = (
    *("armRoleReceivers", "automationRunbookReceivers", "azureAppPushReceivers", "azureFunctionReceivers"),
    *("emailReceivers", "eventHubReceivers", "incidentReceivers", "itsmReceivers", "logicAppReceivers"),
    *("smsReceivers", "voiceReceivers", "webhookReceivers"),
)
#: The name of the secure webhook's action in a group.
WEBHOOK: Final = "itsm-bridge"

_OF_RECEIVER: Final = {
    each.lower(): each
    for each in (
        *("name", "workspaceId", "connectionId", "ticketConfiguration", "region", "emailAddress", "phoneNumber"),
        *("countryCode", "serviceUri", "useCommonAlertSchema", "useAadAuth", "objectId", "identifierUri", "tenantId"),
        *("roleId", "automationAccountId", "runbookName", "webhookResourceId", "isGlobalRunbook", "resourceId"),
        *("callbackUrl", "functionAppResourceId", "functionName", "httpTriggerUrl", "eventHubNameSpace"),
        *("eventHubName", "subscriptionId", "status", "managedIdentity"),
    )
}
#: Read-only: a receiver that was never confirmed by its person.
_READ_ONLY: Final = frozenset({"status"})


def properties_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties by Resource Manager's names, whatever tool wrote them."""
    names = {each.lower().removesuffix("s"): each for each in (*RECEIVERS, "enabled", "groupShortName")}
    told: dict[str, Any] = {}
    for name, value in properties.items():
        plain = name.replace("_", "").lower()
        known = names.get(plain.removesuffix("s")) or names.get(plain)
        if known in RECEIVERS:
            rows = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
            told[known] = [_receiver(each) for each in rows if isinstance(each, dict)]
        elif known or value not in (None, [], {}, ""):
            told[known or name] = value
    return told


def _receiver(row: Mapping[str, Any]) -> dict[str, Any]:
    named = {_OF_RECEIVER.get(name.replace("_", "").lower(), name): value for name, value in row.items()}
    return {name: value for name, value in named.items() if value is not None and name not in _READ_ONLY}


def is_bridge(row: Mapping[str, Any]) -> bool:
    """Whether a receiver calls this program: a secure webhook at its address, or under its name."""
    if str(row.get("useAadAuth", "")).lower() != "true":
        return False
    path = str(row.get("serviceUri", "")).partition("?")[0].rstrip("/").lower()
    return path.endswith("/api/alerts") or str(row.get("name", "")).lower().startswith(WEBHOOK)
