"""What must the directory hold so that Azure Monitor can call us?

`steps` asks, compares with what Graph shows, and writes what is missing; nothing here asks anybody.

1. An application: identifier URI, version 2 tokens, the app role, the optional claim `idtyp`.
2. What else an application holds is kept: Graph replaces each property as a whole, so each is returned whole.

Sources of truth:
https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook
https://learn.microsoft.com/graph/api/resources/application
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from itsm_bridge.errors import PermanentError
from itsm_bridge.settings import AZNS_AAD_WEBHOOK

ROLE: Final = "ActionGroupsSecureWebhook"
_CLAIM: Final = "idtyp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Where a national cloud keeps its directory.

    https://learn.microsoft.com/graph/deployments, https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud
    """

    graph: str
    authority: str
    #: Azure Monitor's webhook application; "" where nobody has published its id.
    caller: str


#: The id in US Government is the one that ServiceNow's documentation names.
CLOUDS: Final[Mapping[str, Cloud]] = {
    "public": Cloud(
        graph="https://graph.microsoft.com", authority="https://login.microsoftonline.com", caller=AZNS_AAD_WEBHOOK
    ),
    "usgov": Cloud(
        graph="https://graph.microsoft.us",
        authority="https://login.microsoftonline.us",
        caller="f1f34126-d4ef-40e1-ad4b-bf5d47b4860d",
    ),
    "usgov-dod": Cloud(
        graph="https://dod-graph.microsoft.us",
        authority="https://login.microsoftonline.us",
        caller="f1f34126-d4ef-40e1-ad4b-bf5d47b4860d",
    ),
    "china": Cloud(
        graph="https://microsoftgraph.chinacloudapi.cn",
        authority="https://login.partner.microsoftonline.cn",
        caller="",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The objects that the directory shall hold."""

    name: str
    #: Picks an application that exists; "": the one that has `identifier_uri`, else the one of that name.
    client_id: str
    #: "": api://CLIENT_ID, which every tenant allows.
    identifier_uri: str
    #: The client id of Azure Monitor's webhook application.
    caller: str
    #: Object ids; empty: the person who is signed in.
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The values that the deployment needs; none of them is secret."""

    client_id: str
    object_id: str
    identifier_uri: str
    tenant_id: str

    def settings(self, wanted: Wanted, cloud: Cloud) -> dict[str, str]:
        """Return the values of the azd environment."""
        return {
            "ENTRA_CLIENT_ID": self.client_id,
            "ENTRA_OBJECT_ID": self.object_id,
            "ENTRA_IDENTIFIER_URI": self.identifier_uri,
            "ENTRA_TENANT_ID": self.tenant_id,
            "ENTRA_AUTHORITY": cloud.authority,
            "ENTRA_ALLOWED_CALLERS": wanted.caller,
        }


def missing_properties(application: Mapping[str, Any], *, identifier_uri: str) -> dict[str, Any]:
    """Return the properties that the application lacks, each whole: Graph replaces them as they are sent.

    Raises:
        PermanentError: our role exists and is for users only; a person has to delete it.
    """
    roles, api = application.get("appRoles") or [], application.get("api") or {}
    claims = application.get("optionalClaims") or {}
    of_access_token = claims.get("accessToken") or []
    uris = application.get("identifierUris") or []
    missing: dict[str, Any] = {}
    if api.get("requestedAccessTokenVersion") != 2:  # noqa: PLR2004 - the version's own number
        missing["api"] = {**api, "requestedAccessTokenVersion": 2}
    if _usable_roles(roles) is not roles:
        missing["appRoles"] = _usable_roles(roles)
    if not any(each.get("name") == _CLAIM for each in of_access_token):
        claim = {"name": _CLAIM, "essential": False, "additionalProperties": []}
        missing["optionalClaims"] = {**claims, "accessToken": [*of_access_token, claim]}
    if identifier_uri and identifier_uri not in uris:
        missing["identifierUris"] = [*uris, identifier_uri]
    return missing


def our_role(application: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return our app role of an application that has it."""
    role: Mapping[str, Any] = next(each for each in application["appRoles"] if each.get("value") == ROLE)
    return role


def identifier_uri_of(application: Mapping[str, Any], wanted: Wanted) -> str:
    """Return the URI by which Azure Monitor asks for tokens: the wanted one, one that is there, or api://CLIENT_ID."""
    uris = application.get("identifierUris") or []
    own = f"api://{application['appId']}"
    return wanted.identifier_uri or (own if own in uris or not uris else str(uris[0]))


def _usable_roles(roles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `roles` itself if ours is among them and enabled; else all of them with ours enabled."""
    ours = next((each for each in roles if each.get("value") == ROLE), None)
    if ours is None:
        role = {
            "id": str(uuid.uuid4()),
            "allowedMemberTypes": ["Application"],
            "description": "May send alerts: Azure Monitor, through the secure webhook of an action group.",
            "displayName": ROLE,
            "isEnabled": True,
            "value": ROLE,
        }
        return [*roles, role]
    if "Application" not in ours["allowedMemberTypes"]:
        raise PermanentError(
            f"The app role {ROLE} exists and is for users only."
            " Disable and delete it under App roles, and run this again."
        )
    if ours["isEnabled"]:
        return roles
    return [{**each, "isEnabled": True} if each is ours else each for each in roles]
