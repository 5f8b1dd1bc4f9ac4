"""Which alerts are in Azure's own list, and whose are they?

`gives_up` asks for the alerts of a history. Each fires once and is over once, if ever. It is told twice: by the words
that Azure Monitor calls us with, as `azure` makes them, and by what the list has of it, in the words of the stand-in.
The list's times have other digits and are up to a second apart from those of the calls, and it knows of each change
up to ten minutes late.

    ours         our action group was triggered for the beginning; at its end it was too, or was suppressed
    others       another action group was triggered, and nobody called us
    suppressed   a processing rule kept our action group from being called for the beginning; for the end perhaps not
    unclear      our action group was triggered, and the history does not tell which one was

Not modelled: alerts without an alertId of their own (health), several words of one alert between its beginning and its
end, several of our action groups for one alert, and alerts that Azure forgets.
"""

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from local.alerts import MetricAlert
from local.resource_manager.service import ACTION_GROUP
from local.resource_manager.stored_alert import StoredAlert, text
from proof.simulator.azure import BEGIN, Role, Word, a_notification
from proof.simulator.azure_list import AzureList

OTHER_GROUP = ACTION_GROUP.replace("itsm-bridge", "mail")
SUBSCRIPTIONS = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002")
_SERVICES = ({"monitoringService": "Platform"}, {"monitoringService": "Log Alerts V2", "signalType": "Log"})
#: Seconds: how late the list may know of a change.
_LATENESS = (0, 0, 30, 300, 600)


class Fate(Enum):
    """What Azure Monitor did with our action group when an alert fired."""

    OURS = "ours"
    OTHERS = "others"
    SUPPRESSED = "suppressed"
    UNCLEAR = "unclear"


_FATES = (*[Fate.OURS] * 7, Fate.OTHERS, Fate.SUPPRESSED, Fate.UNCLEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert, as it really happened."""

    fate: Fate
    begin: Word
    #: None if it fires for ever.
    end: Word | None
    #: When the list knows that it is over; None if it never is.
    over_at: datetime | None
    #: The words that Azure Monitor calls us with.
    called: tuple[Word, ...]

    @property
    def key(self) -> str:
        return self.begin.notification.key

    @property
    def words(self) -> Iterator[Word]:
        """Its words, as they happened."""
        return (word for word in (self.begin, self.end) if word is not None)


def drawn_case(rng: random.Random, azure: AzureList, *, name: str, begin: float, subscriptions: int) -> Case:
    """Draw an alert that fires `begin` seconds after the beginning, and let the list know it in its time."""
    fate = rng.choice(_FATES)
    subscription = SUBSCRIPTIONS[rng.randrange(subscriptions)]
    guid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    alert_id = f"/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts/{guid}"
    signal, key = alert_id.lower(), key_of_alert_id(alert_id)
    end = begin + rng.choice([1, 20, 400, 1800]) if rng.random() < 0.8 else None

    def word(role: Role, span: float, at: float) -> Word:
        digest = f"{name}-{'fired' if role is Role.BEGIN else 'resolved'}"
        is_end = role is Role.END
        said = a_notification(key, digest, signal=signal, at=at, opens=not is_end, closes=is_end)
        return Word(span=span, role=role, notification=said)

    begins = word(Role.BEGIN, begin, begin)
    # Many a Resolved knows only when its alert fired.
    ends = None if end is None else word(Role.END, end, rng.choice([end, end, begin]))
    is_end_called = ends is not None and fate is not Fate.OTHERS and rng.random() < 0.8
    is_called = fate in (Fate.OURS, Fate.UNCLEAR)
    listed = _Listed(rng, azure, fate, alert_id=alert_id, name=name, subscription=subscription)
    listed.fires(begin)
    return Case(
        fate=fate,
        begin=begins,
        end=ends,
        over_at=None if end is None else listed.ends(end, is_called=is_end_called),
        called=(*([begins] if is_called else []), *([ends] if ends is not None and is_end_called else [])),
    )


def fill(rng: random.Random, azure: AzureList, *, count: int, within: float) -> None:
    """Let the list have many alerts of other groups besides, so that one look takes several pages."""
    for number in range(count):
        guid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        alert_id = f"/subscriptions/{SUBSCRIPTIONS[0]}/providers/Microsoft.AlertsManagement/alerts/{guid}"
        other = _Listed(
            rng, azure, Fate.OTHERS, alert_id=alert_id, name=f"other{number}", subscription=SUBSCRIPTIONS[0]
        )
        other.fires(rng.uniform(0, within))


class _Listed:
    """One alert as Azure keeps it."""

    def __init__(
        self, rng: random.Random, azure: AzureList, fate: Fate, *, alert_id: str, name: str, subscription: str
    ) -> None:
        self._rng = rng
        self._azure = azure
        self._fate = fate
        self._alert_id = alert_id
        self._name = name
        self._subscription = subscription
        self._service = rng.choice(_SERVICES)
        self._is_scoped = rng.random() < 0.5
        self._stored: StoredAlert
        self._acted_last = BEGIN

    def fires(self, begin: float) -> None:
        group = OTHER_GROUP if self._fate is Fate.OTHERS else ACTION_GROUP
        event = "ActionsSuppressed" if self._fate is Fate.SUPPRESSED else "ActionsTriggered"
        at = self._stored_at(begin)
        self._stored = StoredAlert.of(self._told(MetricAlert.fired, begin), at=at, is_scoped=self._is_scoped)
        if self._fate is Fate.OURS and self._rng.random() < 0.3:
            # Others are called as well.
            self._stored.actions([OTHER_GROUP], at=self._acted_at(at))
        self._stored.actions([group], at=self._acted_at(at), event=event, has_details=self._fate is not Fate.UNCLEAR)
        self._know(at)

    def ends(self, end: float, *, is_called: bool) -> datetime:
        """Let it be over; return when the list knows."""
        at = max(self._stored_at(end), self._stored.modified_at)
        over = self._told(MetricAlert.resolved, end, resolvedDateTime=text(self._dated(end)))
        assert self._stored.told(over, at=at)
        group = OTHER_GROUP if self._fate is Fate.OTHERS else ACTION_GROUP
        event = "ActionsTriggered" if is_called or self._fate is Fate.OTHERS else "ActionsSuppressed"
        self._stored.actions([group], at=self._acted_at(at), event=event, has_details=self._fate is not Fate.UNCLEAR)
        return self._know(at)

    def _know(self, at: datetime) -> datetime:
        late = timedelta(seconds=self._rng.uniform(0, self._rng.choice(_LATENESS)))
        item = self._azure.tell(self._stored, subscription=self._subscription, known_at=at + late)
        if self._rng.random() < 0.05:
            # For less than an hour: what cannot be judged for longer is told to people and passed by.
            item.is_troubled_until = item.versions[-1].known_at + timedelta(minutes=self._rng.choice([3, 20, 35]))
        return item.versions[-1].known_at

    def _told(self, condition: Callable[..., dict[str, Any]], span: float, **essentials: Any) -> dict[str, Any]:
        alert = MetricAlert(rule=self._name, guid=self._alert_id.rpartition("/")[2], fired_at=BEGIN)
        target = alert.target.replace(SUBSCRIPTIONS[0], self._subscription)
        begun = essentials or {"firedDateTime": text(self._dated(span))}
        told = condition(alert, alertId=self._alert_id, alertTargetIDs=[target], **self._service, **begun)
        assert isinstance(told, dict)
        return told

    def _stored_at(self, span: float) -> datetime:
        """Return when Azure writes down what happened."""
        return BEGIN + timedelta(seconds=span + self._rng.uniform(0, 3))

    def _acted_at(self, at: datetime) -> datetime:
        """Return when action groups are called for what was written down then; it may be over by then.

        They are called for the beginning first.
        """
        self._acted_last = max(
            self._acted_last, at + timedelta(seconds=self._rng.choice([0, self._rng.uniform(0, 10)]))
        )
        return self._acted_last

    def _dated(self, span: float) -> datetime:
        """Return when the list says that something happened."""
        at = BEGIN + timedelta(seconds=span + self._rng.choice([0, 0, self._rng.uniform(-1, 1)]))
        return self._rng.choice([at, at.replace(microsecond=0)])
