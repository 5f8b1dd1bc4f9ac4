"""What does Azure's own list say of one alert?

`client` reads each item of the list here; `translation` makes an `Alert` of it. Pure.
The list names things in its own way, and its ids may carry the target resource as their scope where notifications use
the short form. So alerts are compared by the GUID at the end of their ids.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from itsm_bridge.azure_monitor.alert import MonitorCondition
from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.azure_monitor.timestamps import parse_timestamp

#: The subscription is "" for alerts of the whole tenant. No segment of a path leads elsewhere: no `.`, no query.
_ID = re.compile(
    r"(?:/subscriptions/(?P<subscription>[0-9a-f-]{36}))?(?:/(?!\.{1,2}(?:/|$))[^/?#\\\x00-\x1f]+)*?"
    r"/providers/microsoft\.alertsmanagement/alerts/(?P<guid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.IGNORECASE,
)
_SUBSCRIPTION = re.compile(r"/subscriptions/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/|$)", re.IGNORECASE)
_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/[^/]+(?=/providers/)", re.IGNORECASE)

_Word = TypeVar("_Word", bound=StrEnum)

_ALERTS = "/providers/Microsoft.AlertsManagement/alerts/"


class AlertState(StrEnum):
    """How far people are with an alert; the system never changes it."""

    NEW = "New"
    ACKNOWLEDGED = "Acknowledged"
    CLOSED = "Closed"


class NotListed(ValueError):
    """An item of the list lacks what every alert has; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlert:
    """One alert as Azure lists it. Texts are "" where nothing is said."""

    #: The ARM id as listed.
    id: str
    #: The GUID at its end, lower-cased.
    guid: str
    #: Lower-cased; "" for an alert of the whole tenant.
    subscription: str
    alert_state: AlertState
    #: What the system says; it tells nothing of what people did.
    condition: MonitorCondition
    #: In the list's own spelling ("ActivityLog Administrative").
    service: str
    #: A name, or the ARM id of the rule.
    rule: str
    #: An ARM id or a name.
    target: str
    #: Aware UTC; None if it is not told.
    started_at: datetime | None
    #: Of the condition, the state or anything else. Aware UTC.
    modified_at: datetime
    #: Who did that: "System", or a person.
    modified_by: str
    #: Whether a processing rule keeps its action groups from being called, as far as the list knows.
    is_suppressed: bool
    #: The item as it was sent. `context` is in it only where an alert was asked for by itself.
    document: Mapping[str, Any] = field(repr=False)

    @property
    def short_id(self) -> str:
        """The ARM id in the form that notifications use."""
        return f"{f'/subscriptions/{self.subscription}' if self.subscription else ''}{_ALERTS}{self.guid}"

    @property
    def has_context(self) -> bool:
        """Whether the section is there that differs per monitoring service."""
        return bool(Section(self.document).section("properties").section("context"))


def listed_alert(item: object) -> ListedAlert:
    """Return the alert that an item of the list tells of.

    Raises:
        NotListed: it has no id of an alert, no essentials, or no time.
    """
    sent = Section(item)
    essentials = sent.section("properties").section("essentials")
    alert_id = sent.text("id")
    parts = _ID.fullmatch(alert_id)
    if parts is None:
        raise NotListed("an item without the id of an alert")
    guid = parts["guid"].lower()
    if not essentials:
        raise NotListed(f"the alert {guid} without essentials")
    modified_at = modified_at_of(item)
    if modified_at is None:
        raise NotListed(f"the alert {guid} without the time of its last change")
    condition = _word(MonitorCondition, essentials.text("monitorCondition"))
    if condition is None:
        raise NotListed(f"the alert {guid}, which neither fired nor is resolved")
    return ListedAlert(
        id=alert_id,
        guid=guid,
        subscription=(parts["subscription"] or "").lower(),
        # What people did is no part of what a missed alert says, so that an unknown word is no fault.
        alert_state=_word(AlertState, essentials.text("alertState")) or AlertState.NEW,
        condition=condition,
        service=essentials.text("monitorService", "monitoringService"),
        rule=essentials.text("alertRule"),
        target=essentials.text("targetResource"),
        started_at=parse_timestamp(essentials.text("startDateTime")),
        modified_at=modified_at,
        modified_by=essentials.text("lastModifiedUserName"),
        is_suppressed=essentials.section("actionStatus").text("isSuppressed").lower() == "true",
        document=sent.entries,
    )


def modified_at_of(item: object) -> datetime | None:
    """Return when an item of the list changed, aware UTC; None if it does not say."""
    essentials = Section(item).section("properties").section("essentials")
    return parse_timestamp(essentials.text("lastModifiedDateTime", "startDateTime"))


def guid_of(alert_id: str) -> str:
    """Return the GUID at the end of the ARM id of an alert, lower-cased; "" if it is no such id."""
    parts = _ID.fullmatch(alert_id)
    return parts["guid"].lower() if parts else ""


def subscription_of(arm_id: str) -> str:
    """Return the subscription that an ARM id names, lower-cased; "" if it names none."""
    found = _SUBSCRIPTION.match(arm_id)
    return found[1].lower() if found else ""


def addresses_of(alert_id: str) -> tuple[str, ...]:
    """Return the ids by which an alert can be asked for, the best one first; () if it is no id of an alert.

    After its target resource was deleted, an alert is found below the parents of that alone.
    """
    parts = _ID.fullmatch(alert_id)
    if parts is None:
        return ()
    group = _GROUP.match(alert_id)
    scopes = [group[0]] if group else []
    scopes += [f"/subscriptions/{parts['subscription']}"] if parts["subscription"] else []
    return tuple(dict.fromkeys((alert_id, *(f"{scope}{_ALERTS}{parts['guid']}" for scope in scopes))))


def _word(words: type[_Word], text: str) -> _Word | None:
    return next((word for word in words if word.value.lower() == text.lower()), None)
