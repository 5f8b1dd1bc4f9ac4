"""Does the directory know us?

Sets up the objects that the secure webhook needs in Entra ID, and prints the values that the deployment needs.
A person or `infra/entra.sh` runs it, by itself or as a command of `operate.cli`:

    python -m itsm_bridge.entra.setup [--check | --dry-run] [--json | --azd]

It may be run again and again: each step looks first and writes only missing parts, so a second run writes nothing.

1. An application: identifier URI, version 2 tokens, the app role, the optional claim `idtyp`.
2. The person who runs this becomes its owner; Azure Monitor lets only owners create, change or test the action.
3. Its service principal, which gives tokens only to those that were assigned a role.
4. The service principal of Azure Monitor's webhook application.
5. The assignment of our role, by its id, to Azure Monitor: Microsoft's script assigns whichever role stands first.

Other roles, claims, URIs and owners of the application are left as they are.

Sources of truth:
https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook
https://learn.microsoft.com/graph/api/resources/application
https://learn.microsoft.com/graph/api/serviceprincipal-post-approleassignedto
"""

import argparse
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO
from urllib.parse import quote

from itsm_bridge.entra.directory import Graph, Refused
from itsm_bridge.errors import BridgeError, PermanentError
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
    #: Picks an application that exists; "": the one of that name.
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


class Steps:
    """The steps, either taken or only told.

    A change that is only told is pretended to have been made, so that the steps after it can be told too; ids that
    only Graph could give then read `<...>`, and nothing is asked of Graph under such an id.
    """

    def __init__(self, graph: Graph, *, tell: Callable[[str], None], is_dry: bool, shows_requests: bool) -> None:
        self._graph = graph
        self._tell = tell
        self._is_dry = is_dry
        self._shows_requests = shows_requests
        #: How many changes were made or told.
        self.changes = 0

    def take(self, wanted: Wanted) -> Result:
        """Bring the directory into the wanted state; return what it then holds.

        Raises:
            PermanentError: a person has to act; the message says what to do.
            Unavailable: Graph did not answer in time. Run it again.
        """
        application = self._application(wanted)
        application = self._completed(application, wanted)
        self._owned(application, wanted)
        ours = self._service_principal(application["appId"], f"the service principal of {wanted.name}")
        if not ours.get("appRoleAssignmentRequired"):
            self._change(
                "the rule that only callers with a role get tokens",
                "PATCH",
                f"/servicePrincipals/{ours['id']}",
                {"appRoleAssignmentRequired": True},
            )
        caller = self._service_principal(wanted.caller, "the service principal of Azure Monitor's webhook application")
        self._assigned(_our_role(application), ours, caller)
        return Result(
            client_id=application["appId"],
            object_id=application["id"],
            identifier_uri=_identifier_uri(application, wanted),
            tenant_id=ours.get("appOwnerOrganizationId") or "<tenant id>",
        )

    def _application(self, wanted: Wanted) -> dict[str, Any]:
        if wanted.client_id:
            application = self._graph.read(f"/applications(appId='{wanted.client_id}')")
            if application is None:
                raise PermanentError(f"There is no application with the client id {wanted.client_id} in this tenant.")
            return application
        condition = "displayName eq '{}'".format(wanted.name.replace("'", "''"))
        found = list(self._graph.list(f"/applications?$filter={quote(condition)}"))
        if len(found) > 1:
            raise PermanentError(
                f"{len(found)} applications are named {wanted.name}. Say which one with --client-id:"
                f" {', '.join(each['appId'] for each in found)}."
            )
        if found:
            return found[0]
        body = {"displayName": wanted.name, "signInAudience": "AzureADMyOrg", **_missing({}, identifier_uri="")}
        return {
            "id": "<object id of the application>",
            "appId": "<client id>",
            **self._change("the application", "POST", "/applications", body),
        }

    def _completed(self, application: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
        missing = _missing(application, identifier_uri=_identifier_uri(application, wanted))
        for name, value in missing.items():
            self._change(f"the application's {name}", "PATCH", f"/applications/{application['id']}", {name: value})
        return {**application, **missing}

    def _owned(self, application: dict[str, Any], wanted: Wanted) -> None:
        owners = wanted.owners or (self._signed_in(),)
        path = f"/applications/{application['id']}/owners"
        have = {each["id"] for each in self._listed(f"{path}?$select=id")}
        for owner in owners:
            if owner not in have:
                self._change(
                    f"{owner} as an owner of the application",
                    "POST",
                    f"{path}/$ref",
                    self._graph.reference(f"/directoryObjects/{owner}"),
                )

    def _signed_in(self) -> str:
        try:
            user = self._graph.read("/me?$select=id")
        except Refused as error:
            raise PermanentError(
                "It cannot be told who is signed in. A service principal names itself with --owner and its object id"
                f" (under Enterprise applications, not under App registrations). ({error})"
            ) from error
        return str(user["id"]) if user else ""

    def _service_principal(self, app_id: str, what: str) -> dict[str, Any]:
        found = None if app_id.startswith("<") else self._graph.read(f"/servicePrincipals(appId='{app_id}')")
        if found is not None:
            if found.get("accountEnabled") is False:
                raise PermanentError(
                    f"{_capital(what)} is disabled, so no token is given for it."
                    " Enable it under Enterprise applications, Properties, Enabled for users to sign in."
                )
            return found
        return {"id": f"<object id of {what}>", **self._change(what, "POST", "/servicePrincipals", {"appId": app_id})}

    def _assigned(self, role: Mapping[str, Any], ours: Mapping[str, Any], caller: Mapping[str, Any]) -> None:
        path = f"/servicePrincipals/{ours['id']}/appRoleAssignedTo"
        wanted = {"principalId": caller["id"], "resourceId": ours["id"], "appRoleId": role["id"]}
        if not any(wanted.items() <= each.items() for each in self._listed(path)):
            self._change(f"the role {ROLE} for Azure Monitor", "POST", path, wanted)

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        return iter(()) if "<" in path else self._graph.list(path, after_write=self.changes > 0)

    def _change(self, what: str, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a change, or only tell it; return what it made, in part if it was only told."""
        self.changes += 1
        self._tell(f"{'missing' if self._is_dry else 'setting up'}: {what}")
        if self._shows_requests:
            self._tell(f"{method} {path}\n{json.dumps(body, indent=2)}")
        if self._is_dry:
            return dict(body)
        try:
            return self._graph.write(method, path, body, after_write=self.changes > 1)
        except Refused as error:
            if _is_there(path, error):
                return {}
            raise PermanentError(_advice(f"{_capital(what)} could not be set up.", error)) from error


def _missing(application: Mapping[str, Any], *, identifier_uri: str) -> dict[str, Any]:
    """Return the properties that the application lacks, each whole: Graph replaces them as they are sent."""
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


def _our_role(application: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(each for each in application["appRoles"] if each.get("value") == ROLE)


def _identifier_uri(application: Mapping[str, Any], wanted: Wanted) -> str:
    """Return the URI by which Azure Monitor asks for tokens: the wanted one, one that is there, or api://CLIENT_ID."""
    uris = application.get("identifierUris") or []
    own = f"api://{application['appId']}"
    return wanted.identifier_uri or (own if own in uris or not uris else str(uris[0]))


def _is_there(path: str, error: Refused) -> bool:
    """Whether the owner or the assignment is there already: Graph may not have listed it yet."""
    return path.endswith(("/$ref", "/appRoleAssignedTo")) and "already exist" in error.message


#: The advice to a person, by words in Graph's code or message; the first that fits.
_ADVICE: Final = (
    (
        "verified domain",
        "The tenant allows only identifier URIs of its own kind. Leave out --identifier-uri to use api://CLIENT_ID.",
    ),
    (
        "identifierUris",
        "Another application has this identifier URI. Choose another one with --identifier-uri, or leave it out.",
    ),
    ("Entitlement", f"The app role {ROLE} is disabled or in use. Enable it under App roles, and run this again."),
    (
        "InvalidAuthenticationToken",
        "The sign-in has expired or is for another cloud. Sign in again: az login or azd auth login.",
    ),
    (
        "Authorization_RequestDenied",
        (
            "You may not do this. Ask an owner of the application to make you one, or have a Cloud Application"
            " Administrator run it: assigning the role is what takes that administrator's consent. A service principal"
            " needs the Graph permissions Application.ReadWrite.OwnedBy and AppRoleAssignment.ReadWrite.All."
        ),
    ),
)


def _advice(failed: str, error: Refused) -> str:
    text = f"{error.code} {error.message}"
    advice = [advice for sign, advice in _ADVICE if sign in text][:1]
    return " ".join([failed, *advice, f"({error})"])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="only report what is missing; exit status 1 if anything is")
    mode.add_argument("--dry-run", action="store_true", help="show the requests that would change something")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the result as JSON")
    output.add_argument("--azd", action="store_true", help="store the result in the current azd environment")
    parser.add_argument("--name", default="itsm-bridge", help="display name of the application (%(default)s)")
    parser.add_argument("--client-id", default="", help="use this application, whatever its name")
    parser.add_argument("--identifier-uri", default="", help="application ID URI (api://CLIENT_ID)")
    parser.add_argument("--owner", action="append", default=[], help="object id of an owner (whoever is signed in)")
    parser.add_argument("--tenant", default="", help="tenant to sign in to (that of the sign-in)")
    parser.add_argument("--cloud", choices=sorted(CLOUDS), default="public", help="(%(default)s)")
    parser.add_argument("--graph", default="", help="address of Microsoft Graph, if --cloud does not know it")
    parser.add_argument("--authority", default="", help="address that signs in, if --cloud does not know it")
    parser.add_argument("--caller", default="", help="client id of Azure Monitor's webhook application in this cloud")


def run(
    arguments: argparse.Namespace,
    *,
    token: Callable[[], str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> int:
    """Run the command; return its exit status: 0 done, 1 something is missing or went wrong.

    The result goes to `out`, everything else to `err`. `token` replaces the sign-in.
    """
    out, err = out or sys.stdout, err or sys.stderr
    cloud = _cloud(arguments)
    graph = Graph(host=cloud.graph, token=token or _signed_in_token(arguments, cloud))
    is_dry = arguments.check or arguments.dry_run
    steps = Steps(
        graph,
        tell=lambda text: print(text, file=err),
        is_dry=is_dry,
        shows_requests=arguments.dry_run,
    )
    try:
        wanted = _wanted(arguments, cloud)
        result = steps.take(wanted)
        if not is_dry:
            _hand_over(result.settings(wanted, cloud), arguments, out)
    except Refused as error:
        print(_advice("The directory could not be read.", error), file=err)
        return 1
    except BridgeError as error:
        print(error, file=err)
        return 1
    if steps.changes == 0:
        print("Everything is set up.", file=err)
    return 1 if arguments.check and steps.changes else 0


def _cloud(arguments: argparse.Namespace) -> Cloud:
    known = CLOUDS[arguments.cloud]
    return Cloud(
        graph=arguments.graph or known.graph,
        authority=arguments.authority or known.authority,
        caller=arguments.caller or known.caller,
    )


def _wanted(arguments: argparse.Namespace, cloud: Cloud) -> Wanted:
    if not cloud.caller:
        raise PermanentError(
            "Nobody has published the client id of Azure Monitor's webhook application in this cloud. Look for"
            ' "AzNS AAD Webhook" among the enterprise applications of a tenant that has a secure webhook,'
            " and pass its application id with --caller."
        )
    return Wanted(
        name=arguments.name,
        client_id=arguments.client_id,
        identifier_uri=arguments.identifier_uri,
        caller=cloud.caller,
        owners=tuple(arguments.owner),
    )


def _hand_over(settings: Mapping[str, str], arguments: argparse.Namespace, out: TextIO) -> None:
    if arguments.azd:
        for name, value in settings.items():
            _set_in_azd(name, value)
    elif arguments.json:
        print(json.dumps(settings, indent=2), file=out)
    else:
        for name, value in settings.items():
            print(f"azd env set {name} {value}", file=out)


def _set_in_azd(name: str, value: str) -> None:
    try:
        subprocess.run(["azd", "env", "set", name, value], check=True, timeout=60)  # noqa: S603, S607 - azd is where PATH says
    except (OSError, subprocess.SubprocessError) as error:
        raise PermanentError(
            f"azd env set {name} failed: {type(error).__name__}. Is there an azd environment?"
        ) from error


def _signed_in_token(arguments: argparse.Namespace, cloud: Cloud) -> Callable[[], str]:
    """Return a function that fetches tokens for Graph; azure-identity is imported here, because only this needs it."""
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - see above
    from azure.identity import AzureDeveloperCliCredential, DefaultAzureCredential  # noqa: PLC0415 - see above

    # The person who is signed in becomes the owner and must deploy later, so with azd it is azd's own sign-in.
    credential = (
        AzureDeveloperCliCredential(tenant_id=arguments.tenant)
        if arguments.azd
        else DefaultAzureCredential(authority=cloud.authority, exclude_managed_identity_credential=True)
    )
    options = {"tenant_id": arguments.tenant} if arguments.tenant else {}

    def fetch() -> str:
        try:
            return credential.get_token(f"{cloud.graph}/.default", **options).token
        except ClientAuthenticationError as error:
            raise PermanentError(
                "Nobody is signed in who may ask Microsoft Graph. Sign in with az login or azd auth login"
                f" (--tenant picks a tenant): {str(error).splitlines()[0][:256]}"
            ) from error

    return fetch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m itsm_bridge.entra.setup", description="Set up what the secure webhook needs in Entra ID."
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
