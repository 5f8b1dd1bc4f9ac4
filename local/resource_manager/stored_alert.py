"""What does Azure keep of one alert, and how does it change?

`service` keeps one `StoredAlert` per alert. The system changes the condition; people change the state; each change is
an entry of the history and moves the time of the last change.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-history
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.resource_manager.listed_form import Document, listed


@dataclass(slots=True, kw_only=True)
class StoredAlert:
    """One alert, with its history."""

    #: The GUID at the end of its id, lower-cased.
    guid: str
    #: The item of the list, with its context.
    document: Document
    #: When Azure stored it: the list knows it a while later.
    stored_at: datetime
    modifications: list[Document] = field(default_factory=list)

    @classmethod
    def of(cls, notification: Mapping[str, Any], *, at: datetime, is_scoped: bool) -> "StoredAlert":
        """Return the alert that this notification of its beginning tells of."""
        document = listed(notification, is_scoped=is_scoped)
        alert = cls(guid=document["id"].rpartition("/")[2].lower(), document=document, stored_at=at)
        alert.essentials.setdefault("startDateTime", text(at))
        alert._noted("AlertCreated", at, description="New alert is created")
        return alert

    @property
    def essentials(self) -> Document:
        """The essentials, to read and to change."""
        essentials: Document = self.document["properties"]["essentials"]
        return essentials

    @property
    def modified_at(self) -> datetime:
        """When it changed last, aware UTC."""
        return moment(self.essentials["lastModifiedDateTime"])

    def told(self, notification: Mapping[str, Any], *, at: datetime) -> bool:
        """Take in a later notification of the same alert, its end or news; return whether it is not a repetition."""
        was, essentials = self.essentials, listed(notification)["properties"]["essentials"]
        before, after = was["monitorCondition"], essentials["monitorCondition"]
        if (before, was["severity"]) == (after, essentials["severity"]) or before == "Resolved":
            return False
        kept = {"alertState": was["alertState"], "startDateTime": was["startDateTime"]}
        context = listed(notification)["properties"]["context"]
        self.document["properties"] |= {"essentials": {**was, **essentials, **kept}, "context": context}
        if after == "Resolved":
            self.essentials.setdefault("monitorConditionResolvedDateTime", text(at))
        what = "MonitorConditionChange" if before != after else "SeverityChange"
        self._noted(what, at, old=before, new=after, description=f"Monitor condition changed from {before} to {after}")
        return True

    def actions(
        self, groups: Iterable[str], *, at: datetime, event: str = "ActionsTriggered", has_details: bool = True
    ) -> None:
        """Write down that action groups were triggered, suppressed by a processing rule, or failed."""
        for group in groups:
            called = {"actionGroupId": group, "ruleId": self.essentials["alertRule"], "ruleType": "AlertRule"}
            details: Document = {"type": event, "actionGroup": called}
            if event == "ActionsSuppressed":
                details = {"type": event, "suppressedActionGroups": [called], "suppressionActionRules": ["night"]}
                self.essentials["actionStatus"] = {"isSuppressed": True}
            elif event == "ActionsTriggered":
                status = f"{group}/notificationStatus/{self.guid}?api-version=2021-09-01"
                details["notificationResult"] = {"status": "Accepted", "statusURL": status}
            entry = _entry(event, at, description="Action groups")
            self.modifications.append({**entry, "details": details} if has_details else entry)

    def set_state(self, state: str, *, by: str, comment: str, at: datetime) -> None:
        """Set how far people are with it; the same state again changes nothing."""
        before = self.essentials["alertState"]
        if before == state:
            return
        self.essentials["alertState"] = state
        sentence = f"State changed from '{before}' to '{state}'"
        self._noted("StateChange", at, by=by, old=before, new=state, comment=comment, description=sentence)

    def _noted(
        self,
        event: str,
        at: datetime,
        *,
        by: str = "System",
        old: str = "",
        new: str = "",
        comment: str = "",
        description: str = "",
    ) -> None:
        self.essentials["lastModifiedDateTime"] = text(at)
        self.essentials["lastModifiedUserName"] = by
        entry = _entry(event, at, by=by, old=old, new=new, comment=comment, description=description)
        details = {"type": "PropertyChange", "comment": comment, "oldValue": old, "newValue": new}
        self.modifications.append({**entry, "details": details if old or new else None})


def _entry(
    event: str,
    at: datetime,
    *,
    by: str = "System",
    old: str = "",
    new: str = "",
    comment: str = "",
    description: str = "",
) -> Document:
    return {
        "modificationEvent": event,
        "modifiedAt": text(at),
        "modifiedBy": by,
        "oldValue": old,
        "newValue": new,
        "comments": comment,
        "description": description,
    }


def text(at: datetime) -> str:
    """Return a time as Azure writes it, with seven digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def moment(written: str) -> datetime:
    """Return the time that Azure wrote, aware UTC."""
    found = datetime.fromisoformat(written[:26].removesuffix("Z"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
