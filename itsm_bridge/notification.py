"""What does one alert ask of an incident?

A notification is an alert after correlation and wording: it names the key that it belongs to and holds
what the incident should say. It knows nothing of what was notified before and nothing of ServiceNow's state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What Azure Monitor said once about one correlation key."""

    #: Which row and which incident: SHA-256 in hex over the lower-cased key parts.
    key: str
    #: Which of the key's signals speaks, so that one that clears does not silence another:
    #: the lower-cased alertId, or "" where the key has a single voice (Service Health, Resource Health).
    signal: str
    #: Whether it calls for an incident: Fired, and all that is like it.
    opens: bool
    #: Whether it ends its signal: Resolved, and all that is like it.
    #: A test notification both opens and closes.
    closes: bool
    #: When Azure says it happened, aware UTC; None if the alert does not tell.
    at: datetime | None
    #: Equal for two deliveries of the same notification, different if anything differs that an incident shows.
    digest: str
    #: The incident fields that it wants, by ServiceNow's names: OWNED_FIELDS and correlation_display.
    fields: Mapping[str, str]
    #: What changed, for people: display facts by label ("Severity": "Sev1"), compared to tell an update.
    facts: Mapping[str, str]
    #: The work note if this notification updates, resolves or reopens an existing incident, without the changed facts.
    note: str
    #: Affected resources, ARM ids or names, the best candidate for a configuration item first.
    resources: tuple[str, ...] = ()
