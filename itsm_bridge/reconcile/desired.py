"""What did Azure Monitor last say of one correlation key?

This is the desired part of a record. The webhook that receives a notification writes it, with `merge`; nothing else
does. One key may stand for several alerts, so the words of each alert are kept in a `Signal` of its own. The incident
shows one of them, the speaker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Self

from itsm_bridge.azure_monitor.notification import Notification
from itsm_bridge.reconcile.gathering import Group, Shared, group_of, storm_of
from itsm_bridge.reconcile.ports import Content
from itsm_bridge.rules.ruling import BUILT_IN, Lifecycle, Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class News(Notification):
    """One notification about one key, how the target shows it, and what the rules say of it."""

    content: Content
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    #: The alerts that share its incident, and those that are a storm with it; None if rules ask for neither.
    group: Group | None = None
    storm: Group | None = None
    #: The rule that wants no incident of it; "" if none does.
    ignored_by: str = ""
    #: The rule that keeps it from the target for a trial; "" if none does.
    shadowed_by: str = ""
    #: How we know of it although Azure Monitor's call did not reach us, for people; "" if it did.
    recovered: str = ""

    def found(self, how: str) -> Self:
        """Return what was not brought by a call, and is told in the incident to be found `how`; as it is for ""."""
        return replace(self, recovered=how, note=f"{self.note}\n\n{how}") if how else self

    @classmethod
    def of(cls, notification: Notification, content: Content, ruling: Ruling | None = None) -> Self:
        """Return `notification` together with the `content` that the target rendered of it, and what rules say."""
        said = {each.name: getattr(notification, each.name) for each in fields(notification)}
        if ruling is None:
            return cls(**said, content=content)
        return cls(
            **said,
            content=content,
            lifecycle=ruling.lifecycle,
            group=group_of(ruling),
            storm=storm_of(ruling),
            ignored_by=ruling.because.get("action", BUILT_IN) if ruling.is_ignored else "",
            shadowed_by=ruling.because.get("action", BUILT_IN) if ruling.is_shadowed else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """The last word of one of the key's alerts."""

    is_firing: bool
    #: When Azure says it happened, aware UTC; None if it did not tell.
    at: datetime | None
    digest: str
    #: Its latest notifications, as fingerprints of digest and time, because several action groups send texts of their
    #: own at one moment and Azure Monitor repeats each of them.
    said: tuple[str, ...] = ()
    #: Whether its end ended a firing that we knew; if not, the beginning that belongs to it may still come.
    ended_firing: bool = False
    #: When the firing that goes on began, as far as we know; None if it does not fire, or Azure did not tell.
    began_at: datetime | None = None
    #: The revision of the record with which it last said something new.
    revision: int = 0
    #: The fields that its last beginning wants the incident to have: those that are kept up to date, and those of a
    #: creation. Both are empty if only its end was seen.
    fields: Mapping[str, str] = field(default_factory=dict)
    fields_at_creation: Mapping[str, str] = field(default_factory=dict)
    #: Its last facts for people, by label; the next notification is compared with them.
    facts: Mapping[str, str] = field(default_factory=dict)
    #: By name of the link, the candidates for its other end, the best first.
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: The text of its end; "" before it ended.
    closing: str = ""
    #: How the rules want its incident to begin and end, as of its last notification.
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    #: The rule that wants no incident of its present firing; "" if none does.
    ignored_by: str = ""
    #: Whether it was ended by our clock, because Azure never ends it.
    is_expired: bool = False
    #: Whether a call told its beginning after its end, so that there is no incident of it.
    began_late: bool = False
    #: Whether its last word was found in Azure's list: the call that would have brought it may come yet.
    is_recovered: bool = False
    #: Fields that a newer version of this program wrote here; they are kept.
    unknown: Mapping[str, Any] = field(default_factory=dict)


_SILENT: Final = Signal(is_firing=False, at=None, digest="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The desired state of the incident of a key."""

    #: By alertId; "" where the key has a single voice, which has its own key for a name where alerts share an incident.
    signals: Mapping[str, Signal]
    #: How often the key began to fire; 0 if only its end was seen.
    firing_count: int
    #: How many notifications were accepted.
    revision: int
    #: When a notification was last accepted, our clock.
    changed_at: datetime
    #: Until when the firing that goes on must last before there is an incident of it; None if it need not.
    held_until: datetime | None = None
    #: The `firing_count` whose firing ended while it was on hold: nobody is told of it.
    cleared_firing_count: int = 0
    #: The rule that keeps the last firing from the target for a trial; "" if none does.
    shadowed_by: str = ""
    #: What the alerts that share the incident have in common, and how people name it; None if it is of one alert.
    shared: Shared | None = None
    shared_name: str = ""
    #: How many alerts were forgotten since, because a row holds only so many.
    forgotten: int = 0
    #: What the incident of several alerts should have in place of what its speaker says.
    combined: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_firing(self) -> bool:
        """Whether any of the key's alerts is firing."""
        return any(signal.is_firing for signal in self.signals.values())

    @property
    def count(self) -> int:
        """How many alerts the incident stands for: those that fired, as far as we know."""
        return sum(signal.is_firing or bool(signal.fields) for signal in self.signals.values()) + self.forgotten

    @property
    def stands_for_several(self) -> bool:
        """Whether several alerts share the incident by now."""
        return self.shared is not None and self.count > 1

    @property
    def firing(self) -> int:
        """How many of them fire."""
        return sum(signal.is_firing for signal in self.signals.values())

    @property
    def is_ignored(self) -> bool:
        """Whether rules want no incident of anything that was said."""
        return self.firing_count == 0 and any(signal.ignored_by for signal in self.signals.values())

    @property
    def is_shadowed(self) -> bool:
        """Whether the target is to hear nothing of the last firing, because of a trial."""
        return bool(self.shadowed_by)

    @property
    def lifecycle(self) -> Lifecycle:
        """How the rules want the incident to begin and end: what they said of the signal that spoke last."""
        return _latest(self.signals.values()).lifecycle

    @property
    def is_expired(self) -> bool:
        """Whether our clock had the last word, because Azure never ends the alert."""
        return _latest(self.signals.values()).is_expired

    @property
    def expires_at(self) -> datetime | None:
        """When our clock ends what fires; None if it never does."""
        close_after = self.lifecycle.close_after
        return self.changed_at + close_after if self.is_firing and close_after is not None else None

    def completed(self, content: Content) -> Self:
        """Return it with what `content` has and no alert of the key said."""
        signals = {
            name: replace(
                each, fields={**content.fields, **each.fields}, links={**content.links, **_that_lead(each.links)}
            )
            if each.fields
            else each
            for name, each in self.signals.items()
        }
        combined = {**content.fields, **self.combined} if self.combined else self.combined
        return replace(self, signals=signals, combined=combined)

    @property
    def speaker(self) -> Signal:
        """The signal that the incident shows: of those that fire, else of those that did, the one that spoke last."""
        signals = self.signals.values()
        firing = [signal for signal in signals if signal.is_firing]
        return _latest(firing or [signal for signal in signals if signal.fields] or signals)

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields that the incident should have, by the target's names."""
        return self.combined or self.speaker.fields

    @property
    def fields_at_creation(self) -> Mapping[str, str]:
        """The fields that only a new incident gets."""
        return self.speaker.fields_at_creation

    @property
    def links(self) -> Mapping[str, tuple[str, ...]]:
        """By name of the link, the candidates for its other end; a link without a candidate is left out."""
        return _that_lead(self.speaker.links)

    @property
    def closing(self) -> str:
        """Why the incident is over; "" if no end was seen or an alert fires."""
        closing = "" if self.is_firing else _latest(self.signals.values()).closing
        if not closing or not self.stands_for_several:
            return closing
        return f"All {self.count} alerts are over. The last one: {closing}"


def _that_lead(links: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return {name: wanted for name, wanted in links.items() if wanted}


def _latest(signals: Iterable[Signal]) -> Signal:
    return max(signals, key=lambda signal: signal.revision, default=_SILENT)
