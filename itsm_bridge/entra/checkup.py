"""Does Entra ID know us, and Azure Monitor's role with us?

The command `doctor` calls `examine`. The authority's metadata and keys are read as the app reads them; the directory is
read through Microsoft Graph if somebody is signed in who may. Nothing is changed: `setup` does that.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook
"""

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from itsm_bridge.entra.directory import Graph, Refused
from itsm_bridge.entra.person import NotSignedIn
from itsm_bridge.entra.signing_keys import read_published
from itsm_bridge.entra.token import METADATA_PATHS
from itsm_bridge.errors import Unavailable
from itsm_bridge.finding import Finding, Report, broken, ok, warning
from itsm_bridge.settings import EntraSettings

_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_KEEPER: Final = "whoever keeps the app"
_ADMINISTRATOR: Final = "a Cloud Application Administrator"
_SETUP: Final = f"{_ADMINISTRATOR} runs `python -m itsm_bridge setup`"


def examine(settings: EntraSettings, graph: Graph | None, report: Report) -> None:
    """Look at the authority and, with `graph`, at the directory, and report what was found."""
    for tenant in settings.tenants:
        report(_authority(settings, tenant))
    for finding in _settings(settings):
        report(finding)
    if graph is None:
        return
    try:
        _directory(settings, graph, report)
    except (NotSignedIn, Refused, Unavailable) as error:
        report(
            warning(
                "entra.directory",
                f"the directory was not looked at: {str(error).rstrip('.')}",
                "sign in with `az login` to the tenant as somebody who may read applications",
            )
        )


def _authority(settings: EntraSettings, tenant: str) -> Finding:
    check = "entra.keys"
    try:
        counts = {
            version: len(read_published(tenant, f"{settings.authority}/{tenant}{path}", time.monotonic()).keys)
            for version, path in METADATA_PATHS.items()
        }
    except Unavailable as error:
        return broken(
            check,
            f"the signing keys of tenant {tenant} cannot be read from {settings.authority}: {error}",
            f"{_KEEPER} compares ENTRA_TENANT_ID and ENTRA_AUTHORITY with the tenant and its cloud, and looks whether"
            " the network lets the app out",
        )
    return ok(check, f"{max(counts.values())} signing keys of tenant {tenant} are published")


def _settings(settings: EntraSettings) -> list[Finding]:
    found = []
    if not any(_GUID.fullmatch(audience) for audience in settings.audiences):
        found.append(
            warning(
                "entra.audience",
                "ENTRA_AUDIENCE names no client id, and tokens of version 2 name nothing else",
                f"{_KEEPER} adds the client id of the application to ENTRA_AUDIENCE",
            )
        )
    if not settings.required_role:
        found.append(
            warning(
                "entra.required-role",
                "ENTRA_REQUIRED_ROLE is empty: an application needs no role to call",
                f"{_KEEPER} sets ENTRA_REQUIRED_ROLE to ActionGroupsSecureWebhook",
            )
        )
    return found


def _directory(settings: EntraSettings, graph: Graph, report: Report) -> None:
    client_ids = [audience for audience in settings.audiences if _GUID.fullmatch(audience)]
    for client_id in client_ids:
        application = graph.read(f"/applications(appId='{client_id}')")
        if application is None:
            report(
                broken(
                    "entra.application",
                    f"there is no application {client_id} in this tenant: it was deleted, or ENTRA_AUDIENCE is wrong",
                    f"{_SETUP}, and {_KEEPER} puts its client id into ENTRA_AUDIENCE and into the action group",
                )
            )
            continue
        report(ok("entra.application", f"the application {client_id} is there"))
        for finding in (*_application(settings, application), *_role(settings, graph, application)):
            report(finding)


def _application(settings: EntraSettings, application: Mapping[str, Any]) -> list[Finding]:
    version = (application.get("api") or {}).get("requestedAccessTokenVersion") or 1
    uris = application.get("identifierUris") or []
    found = []
    if not uris:
        found.append(
            broken(
                "entra.identifier-uri",
                "the application has no identifier URI, by which Azure Monitor asks for tokens",
                f"{_SETUP}",
            )
        )
    elif version == 1 and not set(uris) & set(settings.audiences):
        found.append(
            broken(
                "entra.token-version",
                f"tokens are of version 1 and name {uris[0]}, which ENTRA_AUDIENCE lacks",
                f"{_SETUP}, which asks for version 2, or {_KEEPER} adds the identifier URI to ENTRA_AUDIENCE",
            )
        )
    else:
        found.append(ok("entra.token-version", f"tokens are of version {version}, for an audience that is accepted"))
    return found


def _role(settings: EntraSettings, graph: Graph, application: Mapping[str, Any]) -> list[Finding]:
    check, name = "entra.role", settings.required_role
    if not name:
        return []
    role = next((each for each in application.get("appRoles") or [] if each.get("value") == name), None)
    if role is None or not role.get("isEnabled"):
        return [broken(check, f"the application has no app role {name}, or it is disabled", _SETUP)]
    ours = graph.read(f"/servicePrincipals(appId='{application['appId']}')")
    if ours is None:
        return [broken(check, "the application has no service principal, so that no token is given for it", _SETUP)]
    if ours.get("accountEnabled") is False:
        remedy = f"{_ADMINISTRATOR} enables it under Enterprise applications, Properties"
        return [broken(check, "the service principal of the application is disabled", remedy)]
    assigned = {
        each["principalId"]
        for each in graph.list(f"/servicePrincipals/{ours['id']}/appRoleAssignedTo")
        if each.get("appRoleId") == role["id"]
    }
    return [_caller(graph, caller, assigned, name) for caller in settings.allowed_callers]


def _caller(graph: Graph, caller: str, assigned: set[str], role: str) -> Finding:
    principal = graph.read(f"/servicePrincipals(appId='{caller}')") if _GUID.fullmatch(caller) else None
    if principal is None:
        return broken(
            "entra.role",
            f"the tenant has no service principal of the caller {caller}",
            f"{_SETUP}; in national clouds {_KEEPER} sets ENTRA_ALLOWED_CALLERS",
        )
    if principal["id"] not in assigned:
        return broken(
            "entra.role",
            f"the caller {caller} was not assigned the app role {role}, so that its calls are refused with 403",
            f"{_SETUP}, which assigns it; it is in tokens after 90 minutes at most",
        )
    return ok("entra.role", f"the caller {caller} has the app role {role}")
