"""Values for tests, with honest defaults."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from itsm_bridge.azure_monitor.notification import Notification
from itsm_bridge.reconcile.merge import first_record, merge
from itsm_bridge.reconcile.record import Record
from itsm_bridge.servicenow.incident import Incident, sys_id_for

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
KEY = "5f" * 32
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def notification(**changes: Any) -> Notification:
    """A Fired of an alert that can resolve."""
    fired = Notification(
        key=KEY,
        signal="alert-1",
        opens=True,
        closes=False,
        at=NOW - MINUTE,
        digest="fired",
        fields={
            "short_description": "Sev1: CPU above 90 on vm-web-01",
            "description": "CPU is above 90.",
            "impact": "1",
            "urgency": "2",
            "correlation_display": "Azure Monitor: cpu-high",
        },
        facts={"Severity": "Sev1"},
        note="The alert fired again.",
        resources=(),
    )
    return replace(fired, **changes)


def resolved(**changes: Any) -> Notification:
    """The Resolved that belongs to `notification()`."""
    return notification(
        **{"opens": False, "closes": True, "at": NOW, "digest": "resolved", "note": "The alert resolved.", **changes}
    )


def record(**changes: Any) -> Record:
    """The row right after the first Fired."""
    return replace(first_record(notification(), NOW), **changes)


def known_record(**changes: Any) -> Record:
    """The row after its incident was created and nothing is left to do."""
    first = record()
    told = first.written(incident(), sent=first, fields=first.fields).settled(first)
    return replace(told, **changes)


def told(row: Record, *notifications: Notification) -> Record:
    """The row after more notifications were taken in."""
    for each in notifications:
        row = merge(row, each, NOW)
    return row


def incident(**changes: Any) -> Incident:
    """The incident as created for `record()`."""
    fields = {**notification().fields, "sys_created_on": "2026-03-01 10:00:00", **changes.pop("fields", {})}
    made = Incident(
        sys_id=sys_id_for(KEY, 1), number="INC0010001", state=1, correlation_id=KEY, fields=fields, work_notes=None
    )
    return replace(made, **changes)
