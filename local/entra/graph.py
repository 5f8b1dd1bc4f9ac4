"""Which applications does the tenant know? A stand-in for Microsoft Graph, as far as the Entra set-up asks.

The tests of the set-up start it and look at what it holds afterwards; it signs no tokens.
It keeps applications, service principals and role assignments as Graph shows them, and refuses what Graph refuses, in
Graph's words. A write may be unknown to the next requests for a while, as it is among Graph's replicas.

Sources of truth:
https://learn.microsoft.com/graph/api/resources/application
https://learn.microsoft.com/graph/api/resources/serviceprincipal
https://learn.microsoft.com/graph/errors
"""

import copy
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from local.http_server import Answer, HttpServer, Request

TENANT_ID = "0f6c3a52-7d41-4b8e-9a26-c15e84d2b790"
USER_ID = "8f0c6d0e-3f6b-4d6a-9d4d-3f1b2a7c5e90"
#: Azure Monitor's webhook application; every tenant may have a service principal of it.
FIRST_PARTY = frozenset({"461e8683-5575-4561-ac7f-899cc907d62a"})
TOKEN = "made-up-graph-token"

_PAGE = 2

Document = dict[str, Any]


class Refusal(Exception):
    """Graph refuses what it was asked, in these words."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = _json(
            status,
            {"error": {"code": code, "message": message, "innerError": {"request-id": str(uuid.uuid4())}}},
            headers,
        )


class GraphStandIn:
    """The tenant, answering while its `with` block lasts."""

    def __init__(self) -> None:
        self.applications: list[Document] = []
        self.service_principals: list[Document] = []
        #: By the object id of an application.
        self.owners: dict[str, list[str]] = {}
        #: Object id of the person who is signed in; "" for a service principal, which has no /me.
        self.signed_in = USER_ID
        #: The token that is asked for.
        self.accepts = TOKEN
        #: Method and path of each request, and those of the writes that were done.
        self.requests: list[str] = []
        self.writes: list[str] = []
        #: Parts of `METHOD path`; a request that contains one is denied.
        self.denied: set[str] = set()
        #: Answers that are given to the next requests before any other.
        self.next_answers: deque[Answer] = deque()
        #: Whether owners are listed; a replica may not know them yet.
        self.lists_owners = True
        #: How many requests go by before an object that was just made is known.
        self.lag = 0
        self._unknown: dict[str, int] = {}
        self._server = HttpServer(0, self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Return what stands for https://graph.microsoft.com."""
        return self._server.url

    @property
    def assignments(self) -> list[Document]:
        """Return all role assignments."""
        return [each for principal in self.service_principals for each in principal["appRoleAssignedTo"]]

    def state(self) -> Document:
        """Return everything that can be asked for, to compare."""
        kept = {
            "applications": self.applications,
            "service_principals": self.service_principals,
            "owners": self.owners,
        }
        return copy.deepcopy(kept)

    def forget(self) -> None:
        """Become an empty tenant again."""
        self.applications, self.service_principals, self.owners = [], [], {}

    def add_application(self, **properties: Any) -> Document:
        """Register an application, empty but for `properties`."""
        application: Document = {
            "id": str(uuid.uuid4()),
            "appId": str(uuid.uuid4()),
            "displayName": "itsm-bridge",
            "signInAudience": "AzureADMyOrg",
            "identifierUris": [],
            "api": {"requestedAccessTokenVersion": None, "oauth2PermissionScopes": []},
            "appRoles": [],
            "optionalClaims": None,
            **properties,
        }
        self.applications.append(application)
        self.owners[application["id"]] = []
        return application

    def add_service_principal(self, app_id: str, **properties: Any) -> Document:
        """Make the service principal of an application of this tenant or of Microsoft's."""
        is_ours = any(each["appId"] == app_id for each in self.applications)
        principal: Document = {
            "id": str(uuid.uuid4()),
            "appId": app_id,
            "accountEnabled": True,
            "appOwnerOrganizationId": TENANT_ID if is_ours else "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
            "appRoleAssignmentRequired": False,
            "appRoleAssignedTo": [],
            **properties,
        }
        self.service_principals.append(principal)
        return principal

    def assign(self, principal: Document, role_id: str, resource: Document) -> Document:
        """Assign the role of `resource` to `principal`."""
        assignment = {
            "id": uuid.uuid4().hex,
            "principalId": principal["id"],
            "principalType": "ServicePrincipal",
            "resourceId": resource["id"],
            "appRoleId": role_id,
        }
        resource["appRoleAssignedTo"].append(assignment)
        return assignment

    def _answer(self, request: Request) -> Answer:
        target = urlsplit(request.target)
        path = unquote(target.path).removeprefix("/v1.0")
        self.requests.append(f"{request.method} {path}")
        if self.next_answers:
            return self.next_answers.popleft()
        try:
            self._check(request, path)
            query = {name: values[0] for name, values in parse_qs(target.query).items()}
            return self._route(request, path, query)
        except Refusal as refusal:
            return refusal.answer

    def _check(self, request: Request, path: str) -> None:
        if request.headers.get("authorization") != f"Bearer {self.accepts}":
            raise Refusal(401, "InvalidAuthenticationToken", "Access token is empty or invalid.")
        if any(part in f"{request.method} {path}" for part in self.denied):
            raise Refusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def _route(self, request: Request, path: str, query: Mapping[str, str]) -> Answer:
        body = json.loads(request.body or b"{}")
        for method, pattern, function in self._routes():
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                if method == "GET":
                    return _paged(function(query, *match.groups()), query, f"{self.url}/v1.0{path}")
                answer: Answer = function(body, *match.groups())
                self.writes.append(f"{method} {path}")
                return answer
        raise Refusal(400, "BadRequest", f"Resource not found for the segment '{path}'.")

    def _routes(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("GET", r"/me", self._me),
            ("GET", r"/applications", self._find_applications),
            ("GET", r"/applications\(appId='(.+)'\)", self._application_of),
            ("POST", r"/applications", self._create_application),
            ("PATCH", r"/applications/([^/]+)", self._update_application),
            ("GET", r"/applications/([^/]+)/owners", self._owners_of),
            ("POST", r"/applications/([^/]+)/owners/\$ref", self._add_owner),
            ("GET", r"/servicePrincipals\(appId='(.+)'\)", self._principal_of),
            ("POST", r"/servicePrincipals", self._create_principal),
            ("PATCH", r"/servicePrincipals/([^/]+)", self._update_principal),
            ("GET", r"/servicePrincipals/([^/]+)/appRoleAssignedTo", self._assigned_to),
            ("POST", r"/servicePrincipals/([^/]+)/appRoleAssignedTo", self._assign),
        )

    def _me(self, _: Document) -> Document:
        if not self.signed_in:
            raise Refusal(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        return {"id": self.signed_in}

    def _find_applications(self, query: Mapping[str, str]) -> list[Document]:
        by_name = re.fullmatch(r"displayName eq '(.*)'", query["$filter"])
        by_uri = re.fullmatch(r"identifierUris/any\((\w+):\1 eq '(.*)'\)", query["$filter"])
        if by_uri:
            uri = by_uri[2].replace("''", "'")
            return [each for each in self.applications if uri in each["identifierUris"]]
        if not by_name:
            raise Refusal(400, "Request_BadRequest", "Invalid filter clause")
        name = by_name[1].replace("''", "'")
        return [each for each in self.applications if each["displayName"] == name]

    def _application_of(self, _: Document, app_id: str) -> Document:
        return self._found(self.applications, "appId", app_id)

    def _create_application(self, body: Document) -> Answer:
        application = self.add_application(**body)
        # Users own what they register; service principals do as well.
        self.owners[application["id"]].append(self.signed_in or str(uuid.uuid4()))
        self._made(application)
        return _json(201, application)

    def _update_application(self, body: Document, object_id: str) -> Answer:
        application = self._found(self.applications, "id", object_id)
        for uri in body.get("identifierUris", ()):
            self._check_uri(uri, application)
        if "appRoles" in body:
            self._check_roles(body["appRoles"], application["appRoles"])
        application.update(body)
        return Answer(status=204)

    def _check_uri(self, uri: str, application: Document) -> None:
        if uri not in {f"api://{application['appId']}", "https://contoso.example/itsm-bridge"}:
            raise Refusal(
                400,
                "HostNameNotOnVerifiedDomain",
                "Values of identifierUris property must use a verified domain of the organization or its subdomain",
            )
        if any(uri in each["identifierUris"] for each in self.applications if each is not application):
            raise Refusal(
                400,
                "Request_BadRequest",
                "Another object with the same value for property identifierUris already exists.",
            )

    @staticmethod
    def _check_roles(roles: list[Document], present: list[Document]) -> None:
        kept = {each["id"]: each for each in roles}
        for each in present:
            if each["isEnabled"] and kept.get(each["id"]) != each:
                raise Refusal(
                    400,
                    "CannotDeleteOrUpdateEnabledEntitlement",
                    "Property value cannot be deleted or updated unless it is disabled first.",
                )

    def _owners_of(self, _: Document, object_id: str) -> list[Document]:
        self._found(self.applications, "id", object_id)
        return [{"id": each} for each in self.owners[object_id] if self.lists_owners]

    def _add_owner(self, body: Document, object_id: str) -> Answer:
        self._found(self.applications, "id", object_id)
        owner = body["@odata.id"].rpartition("/")[2]
        if owner in self.owners[object_id]:
            raise Refusal(
                400,
                "Request_BadRequest",
                "One or more added object references already exist for the following modified properties: 'owners'.",
            )
        self.owners[object_id].append(owner)
        return Answer(status=204)

    def _principal_of(self, _: Document, app_id: str) -> Document:
        principal = self._found(self.service_principals, "appId", app_id)
        return {name: value for name, value in principal.items() if name != "appRoleAssignedTo"}

    def _create_principal(self, body: Document) -> Answer:
        app_id = body["appId"]
        if any(each["appId"] == app_id for each in self.service_principals):
            raise Refusal(409, "Request_MultipleObjectsWithSameKeyValue", f"The name {app_id} is already in use.")
        known = [each for each in self.applications if each["appId"] == app_id and not self._is_unknown(each)]
        if not known and app_id not in FIRST_PARTY:
            raise Refusal(
                400,
                "Request_BadRequest",
                f"The appId '{app_id}' of the service principal does not reference a valid application object.",
            )
        principal = self.add_service_principal(app_id)
        self._made(principal)
        return _json(201, {name: value for name, value in principal.items() if name != "appRoleAssignedTo"})

    def _update_principal(self, body: Document, object_id: str) -> Answer:
        self._found(self.service_principals, "id", object_id).update(body)
        return Answer(status=204)

    def _assigned_to(self, _: Document, object_id: str) -> list[Document]:
        principal = self._found(self.service_principals, "id", object_id)
        assignments: list[Document] = principal["appRoleAssignedTo"]
        return assignments

    def _assign(self, body: Document, object_id: str) -> Answer:
        resource = self._found(self.service_principals, "id", object_id)
        principal = self._found(self.service_principals, "id", body["principalId"])
        application = next(each for each in self.applications if each["appId"] == resource["appId"])
        if body["appRoleId"] not in {each["id"] for each in application["appRoles"] if each["isEnabled"]}:
            raise Refusal(400, "Request_BadRequest", "Permission being assigned was not found on application.")
        if any(body.items() <= each.items() for each in resource["appRoleAssignedTo"]):
            raise Refusal(400, "Request_BadRequest", "Permission being assigned already exists on the object.")
        return _json(201, self.assign(principal, body["appRoleId"], resource))

    def _made(self, made: Document) -> None:
        self._unknown[made["id"]] = self.lag

    def _is_unknown(self, made: Document) -> bool:
        left = self._unknown.get(made["id"], 0)
        self._unknown[made["id"]] = max(left - 1, 0)
        return left > 0

    def _found(self, documents: list[Document], key: str, value: str) -> Document:
        found = next((each for each in documents if each[key] == value), None)
        if found is None or self._is_unknown(found):
            raise Refusal(
                404,
                "Request_ResourceNotFound",
                f"Resource '{value}' does not exist or one of its queried reference-property objects are not present.",
            )
        return found


def _paged(content: Document | list[Document], query: Mapping[str, str], address: str) -> Answer:
    """Return one object as it is, and a list two at a time."""
    if not isinstance(content, list):
        return _json(200, content)
    start = int(query.get("$skiptoken", "0"))
    page: Document = {"value": content[start : start + _PAGE]}
    if start + _PAGE < len(content):
        asked = urlencode({**query, "$skiptoken": start + _PAGE})
        page["@odata.nextLink"] = f"{address}?{asked}"
    return _json(200, page)


def _json(status: int, content: object, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps(content).encode(),
    )
