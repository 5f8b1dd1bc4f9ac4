"""Which incidents changed lately, and what of that did people do?

`resource_manager.following_state` asks once in a run, and passes it on to the alerts in Azure. One query answers
mostly: the incidents with a correlation id that changed in the last minutes.

1. The query says how long ago, not when: the instance would read a moment in the time zone of the account, and its
   clock may differ from ours. Moments that come back are UTC, and are compared with nothing but such moments.
2. Whether an incident is ours is told by its correlation id, which has 64 hexadecimal digits, and by its row, which the
   caller looks up. What the other integrations of an instance hold passes by unread.
3. An incident was created by our account. So who created it is us, and who opened it unless a rule says otherwise;
   whoever else resolved, closed or reopened it is not. What a person did and the bridge touched afterwards stays what
   that person did.
4. An incident that changes between two pages moves to the end, and those behind it move up: pages overlap.

Source of truth: https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html
and https://www.servicenow.com/docs/bundle/zurich-platform-user-interface/page/use/common-ui-elements/reference/r_OpAvailableFiltersQueries.html
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.followed import TouchedIncident
from itsm_bridge.reconcile.ports import Status
from itsm_bridge.servicenow.incident import IncidentState, status_of
from itsm_bridge.servicenow.queries import Lately, Row
from itsm_bridge.servicenow.refusals import OtherRows
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET, TableApi

FIELDS: Final = (
    *("number", "state", "correlation_id", "assigned_to", "sys_updated_on", "sys_mod_count"),
    *("opened_by", "resolved_by", "resolved_at", "closed_by", "closed_at", "reopened_by", "reopened_time"),
    *("sys_created_on", "sys_created_by", "sys_updated_by"),
    *("resolved_by.user_name", "closed_by.user_name", "reopened_by.user_name"),
)
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_STATE: Final = re.compile(r"-?[0-9]{1,9}")

_PAGE: Final = 1000
_OVERLAP: Final = 50
#: How many incidents are looked at in one run, those of other integrations included.
MOST_ROWS: Final = 10_000
#: Azure keeps alerts no longer.
_LONGEST: Final = timedelta(days=30)
#: How far the changes of one answer may lie apart beyond what was asked for: the instance counts whole minutes.
_BLUR: Final = timedelta(minutes=2)
#: How soon after a creation the bridge adds what it looked up meanwhile.
_CREATING: Final = timedelta(minutes=2)


class Touched(NamedTuple):
    """The incidents that changed. Times are of the instance's clock, aware UTC."""

    #: Ours, as far as their correlation ids tell: the oldest change first.
    incidents: tuple[TouchedIncident, ...]
    #: The oldest change of all, whoever made it, and the last one that was looked at if there are more; None if there
    #: is none.
    first_at: datetime | None = None
    cut_at: datetime | None = None


class People:
    """The incidents of one instance that changed; safe to share between threads."""

    def __init__(self, table_api: TableApi) -> None:
        self._table_api = table_api

    def touched(self, within: timedelta, *, deadline: Deadline) -> Touched:
        """Return the incidents that changed in the last time, by the clock of the instance.

        Raises:
            Unavailable: ServiceNow did not answer, or not what was asked.
            Rejected: it refuses the question for good.
        """
        within = min(within, _LONGEST)
        rows: dict[str, Row] = {}
        has_more, offset = True, 0
        while has_more and offset < MOST_ROWS:
            lately = Lately(
                table="incident", filled="correlation_id", within=within, fields=FIELDS, limit=_PAGE, offset=offset
            )
            page = self._table_api.changed(lately, deadline=deadline.for_request(REQUEST_BUDGET))
            rows |= {row["sys_id"]: row for row in page.rows}
            has_more = len(page.rows) == _PAGE if page.matching is None else offset + _PAGE < page.matching
            offset += _PAGE - _OVERLAP
        times = [at for row in rows.values() if (at := _moment(row["sys_updated_on"]))]
        if times and max(times) - min(times) > within + _BLUR:
            # It did not understand how long ago, and answered with incidents of all times.
            raise OtherRows("ServiceNow, GET incident: incidents that did not change lately")
        found = [incident for row in rows.values() if (incident := touched_incident(row))]
        found.sort(key=lambda each: (each.changed_at, each.id))
        cut_at = max(times, default=None) if has_more else None
        return Touched(tuple(found), min(times, default=None), cut_at)


def touched_incident(row: Row) -> TouchedIncident | None:
    """Return the incident that a row shows; None if it is none of ours."""
    state, changed_at = row.get("state", ""), _moment(row.get("sys_updated_on", ""))
    key = row.get("correlation_id", "").lower()
    if not (_KEY.fullmatch(key) and _STATE.fullmatch(state) and row.get("number") and changed_at):
        return None
    reopened_at = _moment(row.get("reopened_time", ""))
    is_reopened_by_us = reopened_at is not None and _is_us(row, "reopened_by")
    status = status_of(int(state))
    is_changed = row.get("sys_mod_count") != "0"
    as_begun = {IncidentState.NEW, *([IncidentState.IN_PROGRESS] if is_reopened_by_us else [])}
    is_begun = int(state) not in as_begun and status is Status.OPEN
    return TouchedIncident(
        key=key,
        id=row["sys_id"],
        number=row["number"],
        changed_at=changed_at,
        is_as_created=_is_as_created(row, changed_at),
        is_open=status is Status.OPEN,
        is_in_work=is_begun and is_changed,
        state=state,
        begun_in=state if is_begun and not is_changed else "",
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
    for who in ("resolved_by", "closed_by"):
        if row.get(who):
            return _is_us(row, who)
    return row.get("sys_updated_by", "") == row.get("sys_created_by", "")


def _is_us(row: Row, who: str) -> bool:
    """Whether a field names our account: by its name, if we may read that, else by who opened the incident."""
    name, us = row.get(f"{who}.user_name", ""), row.get("sys_created_by", "")
    return name == us if name and us else bool(row.get(who)) and row.get(who) == row.get("opened_by")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
