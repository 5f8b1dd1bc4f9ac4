"""What did people do to the incident of a key, and what do its alerts in Azure say of that?

`resource_manager.following_state` writes this part of a record and nothing else does; `show` prints it. The loop takes
no notice of it. Pure.
How far people are with an incident (`Handling`) is told to each of its alerts once. What a worker of this program did
is no doing of people: that it resolved the incident, reopened it, or gave it to somebody because a rule says so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from itsm_bridge.reconcile.work import STEPS_KEPT, Step

#: How many alerts of one key are remembered: more than share an incident whose people would look at each.
MOST_ALERTS = 500


class Handling(StrEnum):
    """How far people are with an incident."""

    UNTOUCHED = "untouched"
    #: Somebody has it, or works on it.
    TAKEN = "taken"
    #: People resolved, closed or canceled it.
    ENDED = "ended by people"
    #: The bridge resolved it, because the alert was over.
    ENDED_BY_US = "ended by the bridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchedIncident:
    """An incident that changed, as its target holds it. Times are of the target's clock, aware UTC."""

    #: The correlation key that it was created for.
    key: str
    id: str
    number: str
    changed_at: datetime
    #: Whether it is just created and nobody but the bridge touched it: who has it was given it by a rule.
    is_as_created: bool
    is_open: bool
    #: Whether its state says that somebody works on it, it was not the bridge that began so, and it was changed since
    #: it was created.
    is_in_work: bool
    #: The person who has it; "" if nobody does.
    assignee: str
    #: Its state, in the target's own words.
    state: str
    #: That state if nothing was changed since it was created and it says that somebody works on it: a rule of the
    #: target begins so.
    begun_in: str = ""
    #: Whether the bridge ended it, and when it was ended; None if it is open, or the target does not say.
    is_ended_by_us: bool = False
    ended_at: datetime | None = None
    #: Whether it was the bridge that reopened it last, and when it was reopened; None if it never was.
    is_reopened_by_us: bool = False
    reopened_at: datetime | None = None

    def handling(self, *, not_people: Collection[str], begun_in: str = "") -> Handling:
        """Return how far people are with it.

        To be given to one of `not_people` is nobody's doing, nor is the state `begun_in`, in which a rule of the target
        created it, until it is reopened.
        """
        if not self.is_open:
            return Handling.ENDED_BY_US if self.is_ended_by_us else Handling.ENDED
        is_given = bool(self.assignee) and self.assignee not in not_people and not self.is_as_created
        is_as_begun = self.state == begun_in and self.reopened_at is None
        return Handling.TAKEN if is_given or (self.is_in_work and not is_as_begun) else Handling.UNTOUCHED


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedAlert:
    """What is known of one alert."""

    #: The handling of the incident that it was last told of, whether it had to be changed for that or not.
    told: Handling = Handling.UNTOUCHED
    #: Its state as it was last seen in Azure; "" if it was never looked at.
    state: str = ""
    #: Its ARM id, where no notification told it.
    id: str = ""
    unknown: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What is known of the alerts of one key. Every change returns a new object and is idempotent."""

    #: The incident that they were told of.
    incident_id: str = ""
    #: Who had the incident when it was created: the target gave it to them, and nobody took it.
    given_to: str = ""
    #: The state in which it was created, if that says that somebody works on it: the target gave it that.
    begun_in: str = ""
    #: By the GUID at the end of the alertId, lower-cased; the one that changed last is the last.
    alerts: Mapping[str, FollowedAlert] = field(default_factory=dict)
    #: When a person's word was last owed to the incident, our clock, aware UTC.
    word_at: datetime | None = None
    #: The last steps, the newest last; no decision depends on them.
    steps: tuple[Step, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def of_incident(self, incident_id: str) -> Self:
        """Return it for this incident: of another generation nobody was told anything."""
        if incident_id == self.incident_id:
            return self
        alerts = {guid: replace(each, told=Handling.UNTOUCHED) for guid, each in self.alerts.items()}
        return replace(self, incident_id=incident_id, given_to="", begun_in="", alerts=alerts)

    def alert(self, guid: str) -> FollowedAlert:
        """Return what is known of an alert, which may be nothing."""
        return self.alerts.get(guid, FollowedAlert())

    def with_alert(self, guid: str, alert: FollowedAlert) -> Self:
        """Return it knowing this of an alert; of too many the one that changed longest ago is forgotten."""
        if self.alert(guid) == alert and (guid in self.alerts or alert == FollowedAlert()):
            return self
        others = {name: each for name, each in self.alerts.items() if name != guid}
        kept = list({**others, guid: alert}.items())[-MOST_ALERTS:]
        return replace(self, alerts=dict(kept))

    def done(self, step: Step) -> Self:
        """Return it remembering one more step."""
        if any(each.at == step.at and each.is_like(step) for each in self.steps):
            return self
        return replace(self, steps=(*self.steps, step)[-STEPS_KEPT:])
