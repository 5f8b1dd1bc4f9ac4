"""Which action groups, alert rules and alert processing rules are there?

`operate.migrate` calls `rows_of`. One query with pages; nothing is changed. Resource Graph answers 429 with Retry-After
when a person or a tenant has asked too often, and counts down in `x-ms-user-quota-remaining`.

Sources of truth: https://learn.microsoft.com/rest/api/azureresourcegraph/resourcegraph/resources/resources,
https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import PermanentError, Unavailable
from itsm_bridge.transport import NoAnswer, Received, Transport

API_VERSION: Final = "2024-04-01"
#: The types of the resources that have to do with alerts.
TYPES: Final = (
    "microsoft.insights/actiongroups",
    "microsoft.insights/metricalerts",
    "microsoft.insights/scheduledqueryrules",
    "microsoft.insights/activitylogalerts",
    "microsoft.alertsmanagement/actionrules",
    "microsoft.alertsmanagement/smartdetectoralertrules",
    "microsoft.alertsmanagement/prometheusrulegroups",
)
#: Ordered by id, or pages overlap and leave gaps.
QUERY: Final = (
    f"resources | where type in~ ({', '.join(map(repr, TYPES))})"
    " | project id, name, type, location, tags, properties | order by id asc"
)

_PATIENCE: Final = timedelta(seconds=30)
#: How many rows a page has at most; the answer of a full page of rules stays below what `transport` reads.
_PAGE: Final = 100
_MOST_PAGES: Final = 500
#: How often one page is asked for, and how long the longest pause is.
_ATTEMPTS: Final = 5
_LONGEST_PAUSE: Final = timedelta(minutes=2)
_SPAN: Final = re.compile(r"(\d+):(\d\d):(\d\d)")


class Refused(PermanentError):
    """Resource Graph understood the query and said no; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where is looked: subscriptions, or all below a management group."""

    subscriptions: tuple[str, ...] = ()
    management_group: str = ""


def rows_of(
    scope: Scope,
    *,
    token: str,
    resource_manager: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Sequence[Mapping[str, Any]]:
    """Return all rows of `QUERY`, whatever number of pages they take.

    Raises:
        Refused: the person may not read there, or the scope is not known.
        Unavailable: Resource Graph did not answer, or asked for too long a pause.
    """
    transport, rows, skip_token = Transport(), [], ""
    for _ in range(_MOST_PAGES):
        page = _page(transport, scope, skip_token, token=token, resource_manager=resource_manager, sleep=sleep)
        data = page.get("data")
        if not isinstance(data, list):
            raise Unavailable("Resource Graph answered without rows")
        rows += [each for each in data if isinstance(each, dict)]
        skip_token = str(page.get("$skipToken") or "")
        if not skip_token:
            if str(page.get("resultTruncated", "false")).lower() == "true":
                raise Unavailable("Resource Graph left rows out and tells no page that has them")
            return rows
    raise Unavailable(f"Resource Graph has more than {_MOST_PAGES} pages")


def _page(
    transport: Transport,
    scope: Scope,
    skip_token: str,
    *,
    token: str,
    resource_manager: str,
    sleep: Callable[[float], None],
) -> Mapping[str, Any]:
    options = {"resultFormat": "objectArray", "$top": _PAGE, **({"$skipToken": skip_token} if skip_token else {})}
    asked: dict[str, Any] = {"query": QUERY, "options": options}
    if scope.management_group:
        asked["managementGroups"] = [scope.management_group]
    else:
        asked["subscriptions"] = list(scope.subscriptions)
    url = f"{resource_manager.rstrip('/')}/providers/Microsoft.ResourceGraph/resources?api-version={API_VERSION}"
    for attempt in range(1, _ATTEMPTS + 1):
        answer = _exchange(transport, url, token, json.dumps(asked).encode())
        if answer.status == HTTPStatus.OK:
            _spare_quota(answer, sleep)
            return _object(answer)
        if answer.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            raise _refusal(answer)
        pause = _pause(answer, attempt)
        if pause > _LONGEST_PAUSE:
            raise Unavailable(f"Resource Graph asks for a pause of {pause.total_seconds():.0f} s", retry_after=pause)
        if attempt < _ATTEMPTS:
            sleep(pause.total_seconds())
    raise Unavailable(f"Resource Graph answered {answer.status} {_ATTEMPTS} times")


def _exchange(transport: Transport, url: str, token: str, body: bytes) -> Received:
    headers = {"Accept": "application/json", "Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    try:
        return transport.exchange("POST", url, headers=headers, body=body, deadline=Deadline.after(_PATIENCE))
    except NoAnswer as error:
        raise Unavailable(f"{urlsplit(url).netloc} did not answer: {error}") from error


def _spare_quota(answer: Received, sleep: Callable[[float], None]) -> None:
    """Wait for the quota to be reset if this answer used the last of it."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if headers.get("x-ms-user-quota-remaining", "").strip() != "0":
        return
    span = _SPAN.fullmatch(headers.get("x-ms-user-quota-resets-after", "").strip())
    if span:
        hours, minutes, seconds = map(int, span.groups())
        sleep(min(timedelta(hours=hours, minutes=minutes, seconds=seconds), _LONGEST_PAUSE).total_seconds())


def _pause(answer: Received, attempt: int) -> timedelta:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    said = headers.get("retry-after", "").strip()
    return timedelta(seconds=int(said) if said.isascii() and said.isdecimal() and len(said) < 7 else 2**attempt)  # noqa: PLR2004


def _refusal(answer: Received) -> PermanentError | Unavailable:
    error = _object(answer).get("error", {})
    message = str(error.get("message", ""))[:256] if isinstance(error, dict) else ""
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"Resource Graph answered {answer.status}")
    hint = {
        HTTPStatus.UNAUTHORIZED: "`az login` signs you in",
        HTTPStatus.FORBIDDEN: "it takes Reader on the subscriptions or the management group",
        HTTPStatus.BAD_REQUEST: "are the subscriptions and the management group right?",
    }.get(HTTPStatus(answer.status), "")
    return Refused(": ".join(each for each in (f"Resource Graph answered {answer.status}", message, hint) if each))


def _object(answer: Received) -> Mapping[str, Any]:
    try:
        content = json.loads(answer.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
