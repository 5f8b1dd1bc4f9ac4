"""What happened to one alert, and which action groups were called for it?

`client` reads the history of an alert here; `missed` asks what became of our action groups. Pure.
Each call of an action group is an entry of its own (`ActionsTriggered`), which names the group in `details`. A
processing rule that keeps groups from being called leaves `ActionsSuppressed`. Older answers have no `details`: then
nobody can tell which groups were called, and nothing is guessed.

Source of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-history
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from itsm_bridge.azure_monitor.json_body import Section
from itsm_bridge.azure_monitor.timestamps import parse_timestamp

#: The entries that this program acts upon, lower-cased.
TRIGGERED = "actionstriggered"
SUPPRESSED = "actionssuppressed"
FAILED = "actionsfailed"
STATE_CHANGE = "statechange"
CONDITION_CHANGE = "monitorconditionchange"
#: How many entries of one history are read.
_MOST = 5_000
_NEVER = datetime.min.replace(tzinfo=UTC)
_OF_ACTIONS = frozenset({TRIGGERED, SUPPRESSED, FAILED})


class Call(StrEnum):
    """What became of our action groups for one alert."""

    #: At least one of them was triggered.
    TRIGGERED = "triggered"
    #: Other groups were, or none.
    NOT_OURS = "not ours"
    #: A processing rule kept ours from being called.
    SUPPRESSED = "suppressed"
    #: The history does not tell which groups it speaks of.
    UNKNOWN = "unknown"
    #: It tells of no group at all; the entries may not be there yet.
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Modification:
    """One entry of a history. Texts are "" where nothing is said."""

    #: As sent: "StateChange", "ActionsTriggered", …
    event: str
    #: Aware UTC; None if it is not told.
    at: datetime | None
    #: "System", or a person.
    by: str
    old_value: str
    new_value: str
    comments: str
    #: Empty where an older version left it out.
    details: Section = field(repr=False)

    def is_a(self, event: str) -> bool:
        """Return whether it is an entry of this kind, which is given lower-cased."""
        return self.event.lower() == event

    @property
    def action_groups(self) -> frozenset[str]:
        """The ARM ids of the action groups that it names, lower-cased."""
        groups = (self.details.section("actionGroup"), *self.details.sections("suppressedActionGroups"))
        return frozenset(text.lower() for group in groups if (text := group.text("actionGroupId")))


def modifications(document: Section) -> Sequence[Modification]:
    """Return the entries of a history in the order of their times; entries without one stand where they were sent."""
    sent = document.section("properties").value("modifications")
    entries = sent[:_MOST] if isinstance(sent, list) else []
    found = [_modification(Section(each)) for each in entries if isinstance(each, dict)]
    if any(each.at is None for each in found):
        return found
    # Entries of one moment stay in the order in which they were sent.
    return sorted(found, key=lambda each: each.at or _NEVER)


def call_of(entries: Iterable[Modification], groups: Collection[str]) -> Call:
    """Return what became of our action groups when the alert fired: the first entry about each of them says it.

    Whom Azure called for the end says nothing of the beginning. But an alert may be over before anybody is called, so
    that the order decides, and not the end.

    Args:
        entries: The whole history of the alert, the oldest first.
        groups: The ARM ids of our action groups, lower-cased.
    """
    about = [each for each in entries if each.event.lower() in _OF_ACTIONS]
    first: dict[str, Modification] = {}
    for each in about:
        for group in each.action_groups.intersection(groups):
            first.setdefault(group, each)
    # A group that Azure Monitor called and could not reach failed, which is just what is looked for.
    if not about:
        return Call.NOBODY
    if any(each.is_a(TRIGGERED) or each.is_a(FAILED) for each in first.values()):
        return Call.TRIGGERED
    if first:
        return Call.SUPPRESSED
    return Call.UNKNOWN if any(not each.action_groups for each in about) else Call.NOT_OURS


def _modification(entry: Section) -> Modification:
    details = entry.section("details")
    return Modification(
        event=entry.text("modificationEvent"),
        at=parse_timestamp(entry.text("modifiedAt")),
        by=entry.text("modifiedBy"),
        old_value=entry.text("oldValue") or details.text("oldValue"),
        new_value=entry.text("newValue") or details.text("newValue"),
        comments=entry.text("comments") or details.text("comment", "comments"),
        details=details,
    )
