"""Values for tests, with honest defaults."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from itsm_bridge.app import built_in_rules
from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.notification import notification_of
from itsm_bridge.reconcile.desired import Desired, News, Signal
from itsm_bridge.reconcile.merge import first_record, merge
from itsm_bridge.reconcile.observed import Observed
from itsm_bridge.reconcile.ports import Content, Incident, Status, Write
from itsm_bridge.reconcile.record import Record, id_for
from itsm_bridge.reconcile.work import Work
from itsm_bridge.rules.ruling import Ruling
from itsm_bridge.servicenow.fields import content_of
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM, OWNED_FIELDS, status_of

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
KEY = "5f" * 32
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

FIELDS = {
    "short_description": "Sev1: CPU above 90 on vm-web-01",
    "description": "CPU is above 90.",
    "impact": "1",
    "urgency": "2",
    "correlation_display": "Azure Monitor: cpu-high",
}


def ruled(alert: Alert, now: datetime = NOW) -> Ruling:
    """What the built-in rules say of an alert."""
    return built_in_rules().apply(alert, now)


def news_of(alert: Alert) -> News:
    """An alert as the reconciler takes it in."""
    ruling = ruled(alert)
    return News.of(notification_of(ruling.alert, ruling.wording), content_of(ruling))


def content(fields: dict[str, str] | None = None, resources: tuple[str, ...] = ()) -> Content:
    """What an alert says, of the fields and resources given."""
    said = FIELDS if fields is None else fields
    return Content(
        fields={name: text for name, text in said.items() if name in OWNED_FIELDS},
        fields_at_creation={name: text for name, text in said.items() if name not in OWNED_FIELDS},
        links={CONFIGURATION_ITEM: resources},
    )


def notification(**changes: Any) -> News:
    """A Fired of an alert that can resolve."""
    shown = content(changes.pop("fields", None), changes.pop("resources", ()))
    fired = News(
        key=KEY,
        signal="alert-1",
        opens=True,
        closes=False,
        at=NOW - MINUTE,
        digest="fired",
        content=shown,
        facts={"Severity": "Sev1"},
        note="The alert fired again.",
    )
    return replace(fired, **changes)


def resolved(**changes: Any) -> News:
    """The Resolved that belongs to `notification()`."""
    return notification(
        **{"opens": False, "closes": True, "at": NOW, "digest": "resolved", "note": "The alert resolved.", **changes}
    )


def changed(row: Record, **changes: Any) -> Record:
    """The row with fields changed, whichever of its parts they belong to."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        part = next((part for part, kind in _PARTS.items() if name in {each.name for each in fields(kind)}), "")
        parts.setdefault(part, {})[name] = value
    whole = parts.pop("", {})
    return replace(row, **{part: replace(getattr(row, part), **each) for part, each in parts.items()}, **whole)


_PARTS: dict[str, Any] = {"desired": Desired, "observed": Observed, "work": Work}


def record(**changes: Any) -> Record:
    """The row right after the first Fired."""
    return changed(first_record(notification(), NOW), **changes)


def known_record(**changes: Any) -> Record:
    """The row after its incident was created and nothing is left to do."""
    first = record()
    told = first.written(incident(), sent=first, write=write(fields=first.desired.fields)).settled(first)
    return changed(told, **changes)


def write(**changes: Any) -> Write:
    """A write of nothing."""
    return replace(Write(key=KEY, incident_id=id_for(KEY, 1), fields={}, links={}, notes=()), **changes)


def signal(row: Record) -> Signal:
    """What the only alert of a row said."""
    (only,) = row.desired.signals.values()
    return only


def told(row: Record, *news: News) -> Record:
    """The row after more notifications were taken in."""
    for each in news:
        row = merge(row, each, NOW)
    return row


def incident(**changes: Any) -> Incident:
    """The incident as created for `record()`."""
    shown = {**FIELDS, **changes.pop("fields", {})}
    if "state" in changes:
        changes |= {"status": status_of(changes["state"]), "state": str(changes["state"])}
    made = Incident(
        id=id_for(KEY, 1),
        number="INC0010001",
        status=Status.OPEN,
        state="1",
        fields=shown,
        created_at=NOW,
    )
    return replace(made, **changes)


def worked(row: Record, change: str, *given: Any, **named: Any) -> Record:
    """The row after a change of its work, by the name of the change."""
    return row.with_work(getattr(row.work, change)(*given, **named))
