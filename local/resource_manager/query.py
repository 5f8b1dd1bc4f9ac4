"""Which alerts does a question to the list mean?

`service` asks for each request of the list. Filters, order and limits are those of the documentation. Whether a time
range speaks of the beginning or of the last change of an alert is documented nowhere, so a stand-in can be either.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from local.resource_manager.refusals import Refusal, error
from local.resource_manager.stored_alert import StoredAlert, moment

KEPT_FOR = timedelta(days=30)
MOST_PER_PAGE = 250
MOST_WITH_CONTEXT = 25
_RANGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7), "30d": KEPT_FOR}
#: The filters; each compares the essential of its name.
_FILTERS = (
    "monitorCondition",
    "alertState",
    "monitorService",
    "severity",
    "alertRule",
    "targetResource",
    "targetResourceType",
    "targetResourceGroup",
)
_TIMES = frozenset({"startDateTime", "lastModifiedDateTime"})
_SORTABLE = _TIMES | {"name", "severity", "alertState", "monitorCondition", "targetResource", "targetResourceName"}


def page_size(query: Mapping[str, str]) -> int:
    """Return how many alerts a page has.

    Raises:
        Refusal: that many are not allowed.
    """
    most = MOST_WITH_CONTEXT if wants_context(query) else MOST_PER_PAGE
    size = int(query.get("pageCount", "25"))
    if not 1 <= size <= most:
        raise Refusal(error(400, "BadRequest", f"pageCount must be from 1 to {most}."))
    return size


def wants_context(query: Mapping[str, str]) -> bool:
    """Return whether the context of each alert is wanted."""
    return query.get("includeContext", "false").lower() == "true"


def selected(
    alerts: Iterable[StoredAlert], query: Mapping[str, str], *, now: datetime, time_range_of: str
) -> Sequence[StoredAlert]:
    """Return the alerts that a question means, in its order.

    Args:
        alerts: All of the scope.
        query: The parameters of the question.
        now: Aware UTC.
        time_range_of: The essential that time ranges speak of.

    Raises:
        Refusal: the question is not allowed.
    """
    beginning, end = _range(query, now)
    wanted = {name: query[name].lower() for name in _FILTERS if query.get(name)}
    found = [
        alert
        for alert in alerts
        if beginning <= moment(str(alert.essentials[time_range_of])) <= end
        and all(str(alert.essentials.get(name)).lower() == value for name, value in wanted.items())
    ]
    sort_by = query.get("sortBy", "lastModifiedDateTime")
    if sort_by not in _SORTABLE:
        raise Refusal(error(400, "BadRequest", "sortBy is not one of the fields."))
    order = query.get("sortOrder", "desc" if sort_by in _TIMES else "asc").lower()
    return sorted(found, key=lambda alert: _sortable(alert, sort_by), reverse=order == "desc")


def _sortable(alert: StoredAlert, name: str) -> Any:  # noqa: ANN401 - times and texts
    value = alert.document["name"] if name == "name" else alert.essentials.get(name)
    return moment(str(value)) if name in _TIMES else str(value)


def _range(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    custom = query.get("customTimeRange", "")
    if not custom:
        return now - _RANGES[query.get("timeRange", "1d")], now
    if "timeRange" in query:
        raise Refusal(error(400, "BadRequest", "Use timeRange or customTimeRange."))
    beginning, _, end = custom.partition("/")
    if now - moment(beginning) > KEPT_FOR or not end:
        raise Refusal(error(400, "BadRequest", "customTimeRange must be within 30 days."))
    return moment(beginning), moment(end)
