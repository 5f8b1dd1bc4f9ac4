"""What does Azure know of alerts, and how is their state changed?

`follow_azure` and the command `follow` ask here; the webhook never does. Every request goes to one endpoint with a
token for that endpoint, and ends at its deadline.

1. Changed alerts are asked for newest first, from the last 30 days, and the reading stops at the first page that ends
   with one that is older than what is wanted. Whether Azure's time range speaks of the beginning of an alert or of its
   last change is documented nowhere, and so the answer is complete either way.
2. An alert that changes while pages are read leaves a range that has an end, and what stands behind it moves up, past
   the page that is asked for next. So a look that reaches up to about now asks for a range without an end: there it
   moves to the front, and hides nothing.
3. A link to the next page may lead nowhere but to the same endpoint, because the token goes there.
4. Whatever the answer is, it becomes alerts, or an error of `errors` with one sentence. Nothing of a body is quoted but
   Azure's error code.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from itsm_bridge.azure_monitor.json_body import Section, load
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import InvalidAlert, InvalidSettings, Unconfirmed
from itsm_bridge.resource_manager.answers import Away, Gone, Malformed, Refused, TooLarge, TooManyChanges, error_of
from itsm_bridge.resource_manager.history import Modification, modifications
from itsm_bridge.resource_manager.listed_alert import (
    AlertState,
    ListedAlert,
    NotListed,
    addresses_of,
    listed_alert,
    modified_at_of,
)
from itsm_bridge.settings import is_private
from itsm_bridge.telemetry import NOTHING, Metric, Role, Telemetry
from itsm_bridge.transport import NoAnswer, Received, Transport

API_VERSION: Final = "2025-05-25-preview"

#: How long Azure keeps alerts, less what clocks may differ by: it refuses to look further back.
KEPT_FOR: Final = timedelta(days=30) - timedelta(minutes=10)
#: How long any single request may take.
REQUEST_BUDGET: Final = timedelta(seconds=15)
#: A page that is not read to its end must be short; a longer look takes the longest pages that there are.
_SHORT_PAGE: Final = 50
_LONG_PAGE: Final = 250
_LEAST_PAGE: Final = 10
_SHORT_LOOK: Final = timedelta(hours=1)
#: How long ago a look may end that asks for all that is newer, too.
_OPEN_END: Final = timedelta(minutes=3)
#: How many pages one look may take.
MOST_PAGES: Final = 10
#: Characters of a comment.
_LONGEST_COMMENT: Final = 1000

_PORTS: Final = {"https": 443, "http": 80}


class Unreadable(NamedTuple):
    """An item of the list that tells of no alert."""

    #: It is not younger than that, aware UTC.
    since: datetime
    #: What it is.
    what: str
    #: A name by which the same item is recognised.
    name: str


class Changes(NamedTuple):
    """What changed between two moments."""

    #: By the time of their last change, the oldest first; each once.
    alerts: tuple[ListedAlert, ...]
    unreadable: tuple[Unreadable, ...]


class ResourceManager:
    """Azure's own list of alerts; safe to share between threads."""

    def __init__(
        self,
        endpoint: str,
        token: Callable[[Deadline], str],
        *,
        telemetry: Telemetry = NOTHING,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Remember whom to ask; nothing is sent yet.

        Args:
            endpoint: Azure Resource Manager of the cloud, https, or http to loopback.
            token: Returns an access token for it; it may raise a BridgeError.
            telemetry: Who is told of each request.
            now: The time, aware UTC.

        Raises:
            InvalidSettings: the endpoint would carry tokens over the network unencrypted.
        """
        parts = urlsplit(endpoint)
        if not is_private(parts.scheme, parts.hostname):
            raise InvalidSettings("AZURE_RESOURCE_MANAGER must be an https address")
        self._endpoint = endpoint.rstrip("/")
        self._origin = _origin(endpoint)
        self._token = token
        self._telemetry = telemetry
        self._now = now
        self._transport = Transport()

    def alerts(
        self,
        subscription: str,
        *,
        since: datetime,
        until: datetime,
        deadline: Deadline,
        monitor_condition: str = "",
    ) -> Iterator[ListedAlert]:
        """Return the alerts of `changed`, the oldest change first; raises as that."""
        found = self.changed(
            subscription, since=since, until=until, deadline=deadline, monitor_condition=monitor_condition
        )
        return iter(found.alerts)

    def changed(
        self,
        subscription: str,
        *,
        since: datetime,
        until: datetime,
        deadline: Deadline,
        monitor_condition: str = "",
        most_pages: int = MOST_PAGES,
    ) -> Changes:
        """Return the alerts of a subscription whose last change is between two moments, both included.

        They come without the section that differs per monitoring service; `alert` has it.

        Args:
            subscription: Its id.
            since: Aware UTC; what is longer ago than Azure keeps alerts is not found.
            until: Aware UTC, later than `since`.
            deadline: By when all of it must be there.
            monitor_condition: "Fired" or "Resolved"; "" for both.
            most_pages: How many pages it may take.

        Raises:
            TooManyChanges: it takes more pages than that.
            Throttled: Azure wants to be left alone for a while.
            Malformed: an answer is no page of the list, or its pages are not in order.
            Unavailable: Azure did not answer, or not in time.
            MissingRole: we may not read alerts there.
            Refused: Azure does not understand the question.
        """
        oldest = max(since, self._now() - KEPT_FOR)
        if until <= oldest:
            return Changes((), ())
        query = {
            "api-version": API_VERSION,
            **self._range(until),
            "sortBy": "lastModifiedDateTime",
            "sortOrder": "desc",
            **({"monitorCondition": monitor_condition} if monitor_condition else {}),
        }
        path = f"/subscriptions/{quote(subscription, safe='')}/providers/Microsoft.AlertsManagement/alerts"
        url = f"{self._endpoint}{path}?{urlencode(query)}&pageCount="
        page = _SHORT_PAGE if until - oldest <= _SHORT_LOOK else _LONG_PAGE
        try:
            items = [*self._items(f"{url}{page}", oldest, most_pages, deadline)]
        except TooLarge:
            items = [*self._items(f"{url}{_LEAST_PAGE}", oldest, most_pages * page // _LEAST_PAGE, deadline)]
        return _changes(items, oldest, until)

    def alert(self, alert_id: str, *, deadline: Deadline) -> ListedAlert | None:
        """Return one alert with its context, None if Azure does not know it; raises as `changed`.

        Args:
            alert_id: Its ARM id, as listed or in the short form.
            deadline: By when it must be there.
        """
        try:
            document = self._of_alert(alert_id, "", deadline)
        except Gone:
            return None
        try:
            return listed_alert(document.entries)
        except NotListed as error:
            raise Malformed(f"Azure Resource Manager answered with {error}") from error

    def history(self, alert_id: str, *, deadline: Deadline) -> Sequence[Modification]:
        """Return what happened to an alert, the oldest first; raises as `changed`, and Gone.

        Args:
            alert_id: Its ARM id, as listed or in the short form.
            deadline: By when it must be there.
        """
        document = self._of_alert(alert_id, "/history", deadline)
        if not isinstance(document.section("properties").value("modifications"), list):
            raise Malformed("Azure Resource Manager answered with a history without entries")
        return modifications(document)

    def change_state(self, alert: ListedAlert, state: AlertState, *, comment: str, deadline: Deadline) -> ListedAlert:
        """Set how far people are with an alert; return it as it is then. Repeating it changes nothing more.

        Raises:
            Unconfirmed: it was sent and got no answer: look before it is sent again.
            Gone: Azure does not know the alert any more.
            MissingRole: we may not change alerts there.
            Conflict: Azure says that somebody else changes it.
            Throttled, Malformed, Unavailable, Refused: as `changed`.
        """
        body = json.dumps({"comments": comment[:_LONGEST_COMMENT]}).encode()
        document = self._of_alert(alert.id, "/changestate", deadline, body=body, newState=state.value)
        try:
            return listed_alert(document.entries)
        except NotListed as error:
            # It is done: the answer came with 200.
            raise Unconfirmed(f"the state of alert {alert.guid} was sent, and the answer is {error}") from error

    # Requests.

    def _range(self, until: datetime) -> Mapping[str, str]:
        now = self._now()
        if now - until <= _OPEN_END:
            return {"timeRange": "30d"}
        return {"customTimeRange": f"{_moment(now - KEPT_FOR)}/{_moment(until)}"}

    def _items(self, url: str, oldest: datetime, most: int, deadline: Deadline) -> Iterator[object]:
        """Yield the items, newest first, up to the end of the page that ends with one that is older than `oldest`."""
        seen: set[str] = set()
        reached: datetime | None = None
        for _ in range(most):
            seen.add(url)
            page = self._exchange("GET", url, deadline)
            items = page.value("value")
            if not isinstance(items, list):
                # What is beyond all reading comes as its text.
                is_beyond = page.entries.keys() == {"body"}
                raise (TooLarge if is_beyond else Malformed)(
                    "Azure Resource Manager answered with a page without alerts"
                )
            times = [moment for item in items if (moment := modified_at_of(item))]
            if times and times[0] < times[-1]:
                raise Malformed("Azure Resource Manager lists alerts in another order than it was asked for")
            yield from items
            reached = times[-1] if times else reached
            link = page.text("nextLink")
            if not link or (times and times[-1] < oldest):
                return
            url = self._followed(link, seen)
        raise TooManyChanges(f"more than {most} pages of alerts changed", reached=reached or oldest)

    def _followed(self, link: str, seen: set[str]) -> str:
        if _origin(link) != self._origin:
            raise Malformed("Azure Resource Manager answered with a link to another server")
        if link in seen:
            raise Malformed("Azure Resource Manager answered with a loop of links")
        return link

    def _of_alert(
        self, alert_id: str, what: str, deadline: Deadline, *, body: bytes | None = None, **query: str
    ) -> Section:
        """Return what Azure says at an address below an alert; its target resource may be deleted."""
        addresses = addresses_of(alert_id)
        if not addresses:
            raise Refused("that is not the id of an alert")
        method = "GET" if body is None else "POST"
        for address in addresses[:-1]:
            try:
                return self._exchange(method, self._address(address, what, query), deadline, body=body)
            except Gone:
                continue
        return self._exchange(method, self._address(addresses[-1], what, query), deadline, body=body)

    def _address(self, alert_id: str, what: str, query: Mapping[str, str]) -> str:
        return f"{self._endpoint}{quote(alert_id)}{what}?{urlencode({'api-version': API_VERSION, **query})}"

    def _exchange(self, method: str, url: str, deadline: Deadline, *, body: bytes | None = None) -> Section:
        # A link has a query of its own; which page it is, is not for a trace.
        with self._telemetry.span("resource_manager", Role.CLIENT, method=method):
            answer = self._answer(method, url, deadline, body)
        if answer.status != HTTPStatus.OK:
            raise error_of(answer, changes=method != "GET")
        try:
            return Section(load(answer.body))
        except InvalidAlert as error:
            if method == "GET":
                raise Malformed("Azure Resource Manager answered with something other than a JSON object") from error
            raise Unconfirmed("the state of an alert was sent, and the answer is no JSON object") from error

    def _answer(self, method: str, url: str, deadline: Deadline, body: bytes | None) -> Received:
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token(deadline)}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        for attempt in (1, 2):
            budget = deadline.for_request(REQUEST_BUDGET)
            try:
                answer = self._transport.exchange(method, url, headers=headers, deadline=budget, body=body)
            except NoAnswer as error:
                self._telemetry.tell(Metric.RESOURCE_MANAGER_CALLS, method=method, status=0)
                # A kept connection may end at any time; what only reads may be asked again.
                if method == "GET" and error.was_dropped and attempt == 1:
                    continue
                if method != "GET" and error.was_sent:
                    raise Unconfirmed(f"the state of an alert was sent and got no answer: {error}") from error
                raise (TooLarge if error.was_too_large else Away)(
                    f"Azure Resource Manager did not answer: {error}"
                ) from error
            self._telemetry.tell(Metric.RESOURCE_MANAGER_CALLS, method=method, status=answer.status)
            return answer
        raise AssertionError  # pragma: no cover - the second attempt ends the loop


def _changes(items: Sequence[object], oldest: datetime, until: datetime) -> Changes:
    found: dict[str, ListedAlert] = {}
    unreadable: list[Unreadable] = []
    place = oldest
    # From the oldest on, so that an item without a time gets that of the one before it.
    for item in reversed(items):
        place = modified_at_of(item) or place
        try:
            alert = listed_alert(item)
        except NotListed as error:
            name = hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()
            unreadable += [Unreadable(place, str(error), name)] if oldest <= place <= until else []
            continue
        if oldest <= alert.modified_at <= until:
            found[alert.guid] = alert
    return Changes(tuple(sorted(found.values(), key=lambda each: each.modified_at)), tuple(unreadable))


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a url; ("", "", None) if it has none."""
    try:
        parts = urlsplit(url)
        host = "" if parts.username or parts.password else parts.hostname or ""
        return (parts.scheme, host, parts.port or _PORTS.get(parts.scheme)) if host else ("", "", None)
    except ValueError:
        return ("", "", None)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
