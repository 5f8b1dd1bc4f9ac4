"""Histories as Azure writes them, in the order that it likes."""

from typing import Any

import pytest

from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.resource_manager.history import Call, call_of, modifications
from local.resource_manager.service import ACTION_GROUP

OURS = {ACTION_GROUP.lower()}


def entry(event: str, minute: int | None, **more: Any) -> dict[str, Any]:
    at = None if minute is None else f"2026-03-01T10:{minute:02}:00.1234567Z"
    return {"modificationEvent": event, "modifiedAt": at, "modifiedBy": "System", **more}


def triggered(minute: int | None, group: str = ACTION_GROUP) -> dict[str, Any]:
    details = {"type": "ActionsTriggered", "actionGroup": {"actionGroupId": group, "ruleType": "AlertRule"}}
    return entry("ActionsTriggered", minute, details=details)


def suppressed(minute: int, group: str = ACTION_GROUP) -> dict[str, Any]:
    details = {"type": "ActionsSuppressed", "suppressedActionGroups": [{"actionGroupId": group}]}
    return entry("ActionsSuppressed", minute, details=details)


def over(minute: int | None) -> dict[str, Any]:
    return entry("MonitorConditionChange", minute, oldValue="Fired", newValue="Resolved")


def called(*entries: Any) -> Call:
    found = modifications(Section({"properties": {"modifications": list(entries)}}))
    return call_of(found, OURS)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry("AlertCreated", 1), triggered(1)], Call.TRIGGERED),
        # The newest first, too.
        ([triggered(9), over(9), triggered(1), entry("AlertCreated", 1)], Call.TRIGGERED),
        ([triggered(9), over(8), suppressed(1), entry("AlertCreated", 1)], Call.SUPPRESSED),
        ([entry("AlertCreated", 1), suppressed(1), over(5), triggered(6)], Call.SUPPRESSED),
        # It was over before anybody was called.
        ([entry("AlertCreated", 1), over(1), triggered(2)], Call.TRIGGERED),
        ([entry("AlertCreated", 1), over(5)], Call.NOBODY),
        # A state that is called as a condition is no end.
        ([entry("StateChange", 1, newValue="Resolved"), triggered(2)], Call.TRIGGERED),
        ([triggered(1, ACTION_GROUP.upper())], Call.TRIGGERED),
        ([triggered(1, "/subscriptions/another")], Call.NOT_OURS),
        ([triggered(1, "")], Call.UNKNOWN),
        ([entry("ActionsTriggered", 1)], Call.UNKNOWN),
        ([entry("ActionsTriggered", 1, details=None), triggered(1)], Call.TRIGGERED),
        ([entry("ActionsTriggered", 1, details="text"), triggered(1, "/other")], Call.UNKNOWN),
        ([], Call.NOBODY),
        ([*[entry("StateChange", 1)] * 200, triggered(1)], Call.TRIGGERED),
        ([entry("AlertCreated", None), triggered(None)], Call.TRIGGERED),
        ([7, None, "text", {}], Call.NOBODY),
    ],
)
def test_whom_azure_called_for_the_beginning(entries: list[Any], expected: Call) -> None:
    assert called(*entries) is expected


def test_an_entry_is_read_with_its_details_where_it_says_nothing_itself() -> None:
    details = {"comment": "taken", "oldValue": "New", "newValue": "Closed"}
    [found] = modifications(
        Section({"properties": {"modifications": [entry("StateChange", 1, modifiedBy="kim", details=details)]}})
    )

    assert (found.by, found.old_value, found.new_value, found.comments) == ("kim", "New", "Closed", "taken")
    assert found.at is not None
