"""What does Azure answer about alerts? A stand-in for Azure Resource Manager's provider Microsoft.AlertsManagement.

`World` starts one; the tests of `itsm_bridge.resource_manager` start their own. What it is told, and when, decides what
it lists: `told` takes the notifications of Azure Monitor, with the action groups that are called for them.

Sources of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts
"""

import copy
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from local.http_server import Answer, HttpServer, Request
from local.resource_manager.identity import IdentityEndpoint
from local.resource_manager.query import KEPT_FOR, page_size, selected, wants_context
from local.resource_manager.refusals import Refusal, as_json, error, forbidden, not_found, throttled
from local.resource_manager.stored_alert import StoredAlert

API_VERSIONS = frozenset({"2025-05-25-preview", "2019-05-05-preview"})
#: The action group that calls the webhook of the local world.
ACTION_GROUP = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-monitoring"
    "/providers/Microsoft.Insights/actionGroups/ag-itsm-bridge"
)
#: Where another process tells what Azure Monitor says, as `local.send` does; the real one has no such address.
TELLING = "/local/told"
#: What test notifications are of.
_TEST = "11111111-1111-1111-1111-111111111111"
READ, READ_HISTORY, CHANGE = (
    f"Microsoft.AlertsManagement/alerts/{what}" for what in ("read", "history/read", "changestate/action")
)

_LIST = re.compile(
    r"/(?P<scope>subscriptions/[^/]+(?:/resourcegroups/[^/]+)?)/providers/microsoft\.alertsmanagement/alerts",
    re.IGNORECASE,
)
_ALERT = re.compile(
    r"(?P<scope>(?:/.+)?)/providers/microsoft\.alertsmanagement/alerts/(?P<guid>[0-9a-f-]{36})"
    r"(?:/(?P<what>history|changestate))?",
    re.IGNORECASE,
)


class ResourceManagerStandIn:
    """The alerts of a tenant, answering while its `with` block lasts."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_scoped: bool = True,
        has_details: bool = True,
        time_range_of: str = "lastModifiedDateTime",
    ) -> None:
        """Know nothing yet.

        Args:
            now: The time, aware UTC.
            is_scoped: Whether ids carry the target resource as their scope.
            has_details: Whether histories have `details`, as older versions had not.
            time_range_of: The essential that time ranges speak of.
        """
        self.now = now
        self.is_scoped = is_scoped
        self.has_details = has_details
        self.time_range_of = time_range_of
        #: By GUID, lower-cased.
        self.alerts: dict[str, StoredAlert] = {}
        #: How long the list does not know what was stored.
        self.lag = timedelta(0)
        #: Who changes states, by the token that is sent.
        self.person = "itsm-bridge"
        #: Actions that the identity may not do.
        self.denied: set[str] = set()
        #: Target resources that were deleted, lower-cased.
        self.deleted: set[str] = set()
        #: What is answered to whatever is asked about single alerts of which Azure cannot tell, by GUID, lower-cased.
        self.broken: dict[str, Answer] = {}
        #: Answers that are given to the next requests before any other.
        self.next_answers: deque[Answer] = deque()
        #: Changes each good answer to the list before it is sent.
        self.spoil: Callable[[dict[str, Any]], object] = lambda _: None
        #: Method and path with query of each request.
        self.requests: list[str] = []
        self.identity = IdentityEndpoint()
        self._lock = threading.RLock()
        self._server = HttpServer(0, self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        """Start it, and the endpoint that gives tokens for it."""
        self.identity.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.identity.__exit__()

    @property
    def url(self) -> str:
        """Return what stands for https://management.azure.com, or for the endpoint of another cloud."""
        return self._server.url

    @property
    def settings(self) -> dict[str, str]:
        """The settings by which the app finds it."""
        return {"AZURE_RESOURCE_MANAGER": self.url, **self.identity.environment}

    # What happens in Azure.

    def told(
        self,
        notification: Mapping[str, Any],
        *,
        groups: Iterable[str] = (ACTION_GROUP,),
        suppressed: Iterable[str] = (),
        failed: Iterable[str] = (),
    ) -> StoredAlert | None:
        """Take in what Azure Monitor says, and which action groups it calls; None if no list would have it.

        Test notifications are in no list, and a repetition of a call changes nothing.
        """
        essentials = notification.get("data", {}).get("essentials", {})
        guid = str(essentials.get("alertId", "")).rpartition("/")[2].lower()
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", guid) or _TEST in essentials["alertId"]:
            return None
        with self._lock:
            now, alert = self.now(), self.alerts.get(guid)
            if alert is None:
                alert = self.alerts[guid] = StoredAlert.of(notification, at=now, is_scoped=self.is_scoped)
            elif not alert.told(notification, at=now):
                return alert
            for event, which in (
                ("ActionsTriggered", groups),
                ("ActionsSuppressed", suppressed),
                ("ActionsFailed", failed),
            ):
                alert.actions(which, at=now, event=event, has_details=self.has_details)
            return alert

    def set_state(self, guid: str, state: str, *, by: str = "kim.akers@contoso.example", comment: str = "") -> None:
        """Let a person change how far people are with an alert."""
        with self._lock:
            self.alerts[guid.lower()].set_state(state, by=by, comment=comment, at=self.now())

    def throttle(self, *, seconds: str | None = "7", times: int = 1) -> None:
        """Refuse the next requests because there were too many; None says no time."""
        self.next_answers.extend(throttled(seconds) for _ in range(times))

    # What it answers.

    def _answer(self, request: Request) -> Answer:
        parts = urlsplit(request.target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        if path == TELLING:
            self.told(json.loads(request.body))
            return Answer(status=204)
        with self._lock:
            self.requests.append(f"{request.method} {request.target}")
            if self.next_answers:
                return self.next_answers.popleft()
            if request.headers.get("authorization") != f"Bearer {self.identity.token}":
                return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
            try:
                return self._found(request, path, query)
            except Refusal as refusal:
                return refusal.answer

    def _found(self, request: Request, path: str, query: Mapping[str, str]) -> Answer:
        if query.get("api-version") not in API_VERSIONS:
            return error(400, "InvalidApiVersionParameter", "The api-version is not supported.")
        if request.method == "GET" and (match := _LIST.fullmatch(path)):
            self._allow(READ)
            return self._list(path, match["scope"].lower(), query)
        match = _ALERT.fullmatch(path)
        alert = self._alert(match["scope"], match["guid"]) if match else None
        if match is None or alert is None:
            return not_found()
        if alert.guid in self.broken:
            return self.broken[alert.guid]
        return self._of_alert(request, alert, (match["what"] or "").lower(), query)

    def _of_alert(self, request: Request, alert: StoredAlert, what: str, query: Mapping[str, str]) -> Answer:
        if what == "changestate" and request.method == "POST":
            self._allow(CHANGE)
            state = query.get("newState", "")
            if state not in ("New", "Acknowledged", "Closed"):
                return error(400, "BadRequest", "newState is not valid.")
            sent = json.loads(request.body or b"null")
            comment = str(sent.get("comments", "")) if isinstance(sent, dict) else str(sent or "")
            alert.set_state(state, by=self.person, comment=comment, at=self.now())
            return as_json(alert.document)
        if request.method != "GET" or what == "changestate":
            return error(405, "MethodNotAllowed")
        if what == "history":
            self._allow(READ_HISTORY)
            properties = {"alertId": alert.guid, "modifications": alert.modifications}
            return as_json({**_named(alert), "properties": properties})
        self._allow(READ)
        return as_json(alert.document)

    def _list(self, path: str, scope: str, query: Mapping[str, str]) -> Answer:
        size, now = page_size(query), self.now()
        found = selected(self._known(scope), query, now=now, time_range_of=self.time_range_of)
        first = int(query.get("ctoken", "0"))
        page: dict[str, Any] = {
            "value": [_item(alert, with_context=wants_context(query)) for alert in found[first : first + size]]
        }
        if first + size < len(found):
            page["nextLink"] = f"{self.url}{path}?{urlencode({**query, 'ctoken': first + size})}"
        self.spoil(page)
        return as_json(page)

    def _known(self, scope: str) -> Sequence[StoredAlert]:
        """Return the alerts of a scope that the list knows by now and still keeps."""
        now = self.now()
        return [
            alert
            for alert in self.alerts.values()
            if str(alert.document["id"]).lower().startswith(f"/{scope}/")
            and alert.stored_at + self.lag <= now
            and now - alert.stored_at <= KEPT_FOR
        ]

    def _alert(self, scope: str, guid: str) -> StoredAlert | None:
        """Return an alert that is asked for below this scope: its own, or any above it."""
        alert = self.alerts.get(guid.lower())
        if alert is None or self.now() - alert.stored_at > KEPT_FOR:
            return None
        target = str(alert.essentials["targetResource"]).lower()
        return alert if target.startswith(scope.lower()) and scope.lower() not in self.deleted else None

    def _allow(self, action: str) -> None:
        if action in self.denied:
            raise Refusal(forbidden(action))


def _item(alert: StoredAlert, *, with_context: bool) -> dict[str, Any]:
    item = copy.deepcopy(alert.document)
    if not with_context:
        item["properties"].pop("context", None)
    return item


def _named(alert: StoredAlert) -> dict[str, Any]:
    return {name: alert.document[name] for name in ("id", "name", "type")}
