"""Which incidents changed lately, and what of that did people do?

`resource_manager.following_state` asks once in a run, and passes it on to the alerts in Azure. One query answers
mostly: the incidents with a correlation id, the one that changed last first, down to those that are known.

1. No moment stands in the query, because an instance reads it in the time zone of the account. Moments that come back
   are UTC, and are compared with nothing but such moments: the clock of the instance alone counts.
2. Whether an incident is ours is told by its correlation id, which has 64 hexadecimal digits, and by its row, which the
   caller looks up. What the other integrations of an instance hold passes by unread.
3. An incident was created by our account. So whoever opened it is us, and whoever else resolved, closed or reopened it
   is not. What a person did and the bridge touched afterwards stays what that person did.
4. Rows that are deleted between two pages move those behind them: pages overlap.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.followed import TouchedIncident
from itsm_bridge.reconcile.ports import Status
from itsm_bridge.servicenow.incident import IncidentState, status_of
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET, Row, TableApi

_FIELDS: Final = (
    *("number", "state", "correlation_id", "assigned_to", "sys_updated_on", "sys_mod_count"),
    *("opened_by", "resolved_by", "resolved_at", "closed_by", "closed_at", "reopened_by", "reopened_time"),
    *("sys_created_on", "sys_created_by", "sys_updated_by"),
)
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_STATE: Final = re.compile(r"-?[0-9]{1,9}")

#: A page that is not read to its end must be short; who has to look far takes long ones.
_FIRST_PAGE: Final = 50
_LONG_PAGE: Final = 1000
_OVERLAP: Final = 20
#: How soon after a creation the bridge adds what it looked up meanwhile.
_CREATING: Final = timedelta(minutes=2)
#: How many incidents are looked at in one run, those of other integrations included.
MOST_ROWS: Final = 10_000


class Touched(NamedTuple):
    """The incidents that changed."""

    #: Ours, as far as their correlation ids tell: the oldest change first.
    incidents: tuple[TouchedIncident, ...]
    #: When the last incident changed, whoever made it; None if there is none.
    newest_at: datetime | None
    #: Whether more changed than was looked at: the oldest changes are not among them.
    is_cut: bool = False


class People:
    """The incidents of one instance that changed; safe to share between threads."""

    def __init__(self, table_api: TableApi) -> None:
        self._table_api = table_api

    def touched(self, since: datetime | None, *, deadline: Deadline) -> Touched:
        """Return the incidents that changed at `since` or later, by the clock of the instance.

        With None the newest change is told and no incident.

        Raises:
            Unavailable: ServiceNow did not answer, or not what was asked.
            Rejected: it refuses the question for good.
        """
        rows: dict[str, Row] = {}
        newest_at: datetime | None = None
        offset = 0
        while offset < MOST_ROWS:
            limit = _LONG_PAGE if offset else _FIRST_PAGE
            page = self._table_api.newest(
                "incident",
                filled="correlation_id",
                order_by="sys_updated_on",
                fields=_FIELDS,
                limit=limit,
                offset=offset,
                deadline=deadline.for_request(REQUEST_BUDGET),
            )
            times = [_moment(row["sys_updated_on"]) for row in page.rows]
            newest_at = newest_at or next((at for at in times if at), None)
            if since is None:
                break
            rows |= {row["sys_id"]: row for row, at in zip(page.rows, times, strict=True) if at and at >= since}
            has_more = page.matching is None or offset + limit < page.matching
            if not has_more or any(at and at < since for at in times):
                break
            offset += limit - _OVERLAP
        found = [incident for row in rows.values() if (incident := touched_incident(row))]
        found.sort(key=lambda each: (each.changed_at, each.id))
        return Touched(tuple(found), newest_at, is_cut=offset >= MOST_ROWS)


def touched_incident(row: Row) -> TouchedIncident | None:
    """Return the incident that a row shows; None if it is none of ours."""
    state, changed_at = row.get("state", ""), _moment(row.get("sys_updated_on", ""))
    key = row.get("correlation_id", "").lower()
    if not (_KEY.fullmatch(key) and _STATE.fullmatch(state) and row.get("number") and changed_at):
        return None
    us, reopened_by = row.get("opened_by", ""), row.get("reopened_by", "")
    reopened_at = _moment(row.get("reopened_time", ""))
    is_reopened_by_us = reopened_at is not None and bool(us) and reopened_by == us
    status = status_of(int(state))
    as_begun = {IncidentState.NEW, *([IncidentState.IN_PROGRESS] if is_reopened_by_us else [])}
    return TouchedIncident(
        key=key,
        id=row["sys_id"],
        number=row["number"],
        changed_at=changed_at,
        is_as_created=_is_as_created(row, changed_at),
        is_open=status is Status.OPEN,
        is_in_work=int(state) not in as_begun and row.get("sys_mod_count") != "0",
        assignee=row.get("assigned_to", ""),
        is_ended_by_us=_is_ended_by_us(row),
        ended_at=_moment(row.get("resolved_at", "")) or _moment(row.get("closed_at", "")),
        is_reopened_by_us=is_reopened_by_us,
        reopened_at=reopened_at,
    )


def _is_as_created(row: Row, changed_at: datetime) -> bool:
    created_at = _moment(row.get("sys_created_on", ""))
    is_young = created_at is not None and changed_at - created_at <= _CREATING
    return is_young and row.get("sys_updated_by", "") == row.get("sys_created_by", "")


def _is_ended_by_us(row: Row) -> bool:
    """Whoever resolved it ended it, whoever closed it later; else who closed it, else who changed it last."""
    ended_by = row.get("resolved_by") or row.get("closed_by")
    if ended_by and row.get("opened_by"):
        return ended_by == row["opened_by"]
    return row.get("sys_updated_by", "") == row.get("sys_created_by", "")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
