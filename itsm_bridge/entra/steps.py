"""What does the directory lack, and how does it get it?

`setup` asks for the steps; `wanted` says what must be there. Each step looks first and writes only what is missing, so
a second run writes nothing.

1. The application and its properties. 2. Its owners: Azure Monitor lets only owners create, change or test the action.
3. Its service principal, which gives tokens only to those that were assigned a role.
4. The service principal of Azure Monitor's webhook application.
5. The assignment of our role, by its id, to Azure Monitor: Microsoft's script assigns whichever role stands first.

Sources of truth:
https://learn.microsoft.com/graph/api/serviceprincipal-post-approleassignedto
https://learn.microsoft.com/graph/aad-advanced-queries (which properties can be filtered)
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from itsm_bridge.entra.directory import Graph, Refused
from itsm_bridge.entra.wanted import ROLE, Result, Wanted, identifier_uri_of, missing_properties, our_role
from itsm_bridge.errors import PermanentError


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
        ours = self._service_principal(application["appId"], f"the service principal of {application['displayName']}")
        if not ours.get("appRoleAssignmentRequired"):
            self._change(
                "the rule that only callers with a role get tokens",
                "PATCH",
                f"/servicePrincipals/{ours['id']}",
                {"appRoleAssignmentRequired": True},
            )
        caller = self._service_principal(wanted.caller, "the service principal of Azure Monitor's webhook application")
        self._assigned(our_role(application), ours, caller)
        return Result(
            client_id=application["appId"],
            object_id=application["id"],
            identifier_uri=identifier_uri_of(application, wanted),
            tenant_id=ours.get("appOwnerOrganizationId") or "<tenant id>",
        )

    def signed_in(self) -> str:
        """Return the object id of the person who is signed in.

        Raises:
            PermanentError: a service principal is signed in, which must name itself.
            Unavailable: Graph did not answer in time.
        """
        try:
            user = self._graph.read("/me?$select=id")
        except Refused as error:
            raise PermanentError(
                "It cannot be told who is signed in. A service principal names itself with --owner and its object id"
                f" (under Enterprise applications, not under App registrations). ({error})"
            ) from error
        return str(user["id"]) if user else ""

    def _application(self, wanted: Wanted) -> dict[str, Any]:
        found = self._found(wanted)
        if found is not None:
            self._tell(f"application: {found['displayName']}, client id {found['appId']}")
            return found
        self._tell(f"application: {wanted.name}, which does not exist yet")
        body = {
            "displayName": wanted.name,
            "signInAudience": "AzureADMyOrg",
            **missing_properties({}, identifier_uri=""),
        }
        return {
            "id": "<object id of the application>",
            "appId": "<client id>",
            **self._change("the application", "POST", "/applications", body),
        }

    def _found(self, wanted: Wanted) -> dict[str, Any] | None:
        """Return the application that is meant; None if it has to be made."""
        if wanted.client_id:
            application = self._graph.read(f"/applications(appId='{quote(wanted.client_id, safe='')}')")
            if application is None:
                raise PermanentError(
                    f"There is no application with the client id {wanted.client_id} in this tenant."
                    " If it was deleted, forget it with: azd env set ENTRA_CLIENT_ID ''."
                    " If it lives in another tenant, name that with --tenant."
                )
            return application
        if wanted.identifier_uri:
            found = self._only(f"identifierUris/any(uri:uri eq {_literal(wanted.identifier_uri)})", wanted)
            if found is not None:
                return found
        return self._only(f"displayName eq {_literal(wanted.name)}", wanted)

    def _only(self, condition: str, wanted: Wanted) -> dict[str, Any] | None:
        found = list(self._graph.list(f"/applications?$filter={quote(condition)}"))
        if len(found) > 1:
            raise PermanentError(
                f"{len(found)} applications are named {wanted.name}. Say which one with --client-id:"
                f" {', '.join(each['appId'] for each in found)}."
            )
        return found[0] if found else None

    def _completed(self, application: dict[str, Any], wanted: Wanted) -> dict[str, Any]:
        missing = missing_properties(application, identifier_uri=identifier_uri_of(application, wanted))
        for name, value in missing.items():
            self._change(f"the application's {name}", "PATCH", f"/applications/{application['id']}", {name: value})
        return {**application, **missing}

    def _owned(self, application: dict[str, Any], wanted: Wanted) -> None:
        owners = wanted.owners or (self.signed_in(),)
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
            raise PermanentError(advice(f"{_capital(what)} could not be set up.", error)) from error


def _literal(text: str) -> str:
    """Return a string of OData."""
    return "'{}'".format(text.replace("'", "''"))


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
            "You may not do this. Ask an owner of the application to make you one, or hand the rest to a Cloud"
            " Application Administrator: --hand-over prints the command and what it will do; assigning the role is"
            " what takes that administrator's consent. A service principal needs the Graph permissions"
            " Application.ReadWrite.OwnedBy and AppRoleAssignment.ReadWrite.All."
        ),
    ),
)


def advice(failed: str, error: Refused) -> str:
    """Return what failed, what a person can do about it, and Graph's own words."""
    text = f"{error.code} {error.message}"
    found = [advice for sign, advice in _ADVICE if sign in text][:1]
    return " ".join([failed, *found, f"({error})"])


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
