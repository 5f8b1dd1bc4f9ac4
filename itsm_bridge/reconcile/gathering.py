"""Which alerts share an incident?

Rules may give all alerts of one resource, of one rule, or of one Service Health event the same incident, and make the
alerts beyond the first ones of a storm lines of one. `placing` asks here when a beginning comes; nothing is read or
written. An alert that was placed once stays where it is, whatever the rules say later: the row of its own key leads
there.

    group       what the alerts have in common: its key, and how people name it
    gathering   what is remembered of a group whose incidents depend on time: who joined lately
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from itsm_bridge.azure_monitor.affected import affected_by
from itsm_bridge.azure_monitor.alert import Alert, Kind
from itsm_bridge.azure_monitor.correlation import key_of
from itsm_bridge.azure_monitor.wording.form import name_of
from itsm_bridge.rules.ruling import Per, Ruling

#: How many of those that joined are remembered at least, so that a repeated notification joins nothing again.
JOINED_KEPT = 24


class Shared(StrEnum):
    """What alerts that share an incident have in common."""

    RESOURCE = "resource"
    RULE = "rule"
    EVENT = "event"
    STORM = "storm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Alerts that share an incident."""

    #: SHA-256 in hex over what they have in common.
    key: str
    shared: Shared
    #: How people name what they have in common.
    name: str
    #: An alert joins if another one joined no longer ago than this; None: it always does.
    within: timedelta | None = None
    #: Of a storm: how many alerts within that time have incidents of their own.
    more_than: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Who joined a group lately."""

    #: The key of the group.
    group: str
    #: Which incident of the group is joined now; 0 if none was yet.
    number: int = 0
    #: Whether so many came lately that they are lines of one incident.
    is_storm: bool = False
    #: When an alert last joined, our clock, aware UTC.
    last_at: datetime
    #: Of the last alerts: own key, and when it joined.
    joined: tuple[tuple[str, datetime], ...] = ()
    #: The version of the row that it was read from; "" if it was not read.
    etag: str = ""


def group_of(ruling: Ruling) -> Group | None:
    """Return the alerts that share the incident of this one; None if it has one of its own."""
    alert, correlate = ruling.alert, ruling.correlate
    if alert.is_test or correlate.per is Per.ALERT:
        return None
    parts, name = _IN_COMMON[correlate.per](alert)
    if not all(parts):
        return None
    shared = Shared(correlate.per.value)
    return Group(key=key_of(shared, *parts), shared=shared, name=name, within=correlate.within)


def storm_of(ruling: Ruling) -> Group | None:
    """Return the alerts that are a storm together with this one, if there are many; None if no rule asks for it."""
    storm = ruling.storm
    if storm is None or ruling.alert.is_test:
        return None
    key = key_of(Shared.STORM, ruling.storm_rule)
    return Group(key=key, shared=Shared.STORM, name=ruling.storm_rule, within=storm.within, more_than=storm.more_than)


def joined(known: Gathering | None, group: Group, own_key: str, now: datetime) -> tuple[Gathering, str]:
    """Return the gathering after an alert joined it, and the key of the incident; "" if it has one of its own.

    Repeating it changes nothing.
    """
    before = known or Gathering(group=group.key, last_at=now)
    if own_key in dict(before.joined):
        return before, _incident_key(before, group)
    within = group.within or timedelta(0)
    is_fresh = known is not None and now - before.last_at <= within
    everybody = (*before.joined, (own_key, now))
    after = replace(
        before,
        last_at=max(now, before.last_at),
        joined=everybody[-max(JOINED_KEPT, group.more_than + 1) :],
        is_storm=before.is_storm and is_fresh,
    )
    lately = sum(now - at <= within for _, at in everybody)
    if group.shared is Shared.STORM and not after.is_storm and lately > group.more_than:
        after = replace(after, number=before.number + 1, is_storm=True)
    if group.shared is not Shared.STORM and not is_fresh:
        after = replace(after, number=before.number + 1)
    return after, _incident_key(after, group)


def _incident_key(gathering: Gathering, group: Group) -> str:
    """Return the key of the incident that is joined now."""
    if group.shared is Shared.STORM and not gathering.is_storm:
        return ""
    return key_of(group.key, str(gathering.number))


def _resource(alert: Alert) -> tuple[Sequence[str], str]:
    found = affected_by(alert)
    resource = next(iter((*found.resources, *found.scopes)), "")
    return (alert.subscription_id if not resource.startswith("/") else "-", resource), name_of(resource)


def _rule(alert: Alert) -> tuple[Sequence[str], str]:
    return (alert.subscription_id or "-", alert.alert_rule), name_of(alert.alert_rule)


def _event(alert: Alert) -> tuple[Sequence[str], str]:
    tracking_id = alert.context.section("properties").text("trackingId") if alert.kind is Kind.SERVICE_HEALTH else ""
    return (tracking_id,), tracking_id


_IN_COMMON: Mapping[Per, Callable[[Alert], tuple[Sequence[str], str]]] = {
    Per.RESOURCE: _resource,
    Per.RULE: _rule,
    Per.EVENT: _event,
}
