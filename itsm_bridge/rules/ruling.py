"""What do the rules say of one alert?

`rules` makes one `Ruling` per notification. The target renders it, and the loop keeps it in the row: a change of the
rules means nothing to an incident until Azure Monitor speaks of its alert again.
Shapes only: nothing is decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.wording.form import Wording

#: The name under which the rules that ship with the program answer for what no rule of an operator says.
BUILT_IN = "built-in"
#: The name under which the defaults of an operator's file answer.
DEFAULTS = "defaults"


class AutoResolve(StrEnum):
    """What happens to the incident when Azure Monitor says that the alert is over."""

    #: It is resolved.
    RESOLVE = "resolve"
    #: A work note tells it, and people resolve the incident.
    NOTE = "note"
    #: Nothing.
    OFF = "off"


class AfterClosed(StrEnum):
    """What happens when an alert fires again whose incident is closed or canceled."""

    #: Another incident follows, which names the old one.
    NEW = "new"
    #: Nothing.
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """How the incident of an alert begins and ends."""

    auto_resolve: AutoResolve = AutoResolve.RESOLVE
    #: For how long after it was resolved an incident is reopened when the alert fires again; after that another one
    #: follows. None: as long as it is not closed. Zero: never.
    reopen_within: timedelta | None = None
    after_closed: AfterClosed = AfterClosed.NEW
    #: How long an alert must fire before there is an incident of it.
    hold: timedelta = timedelta(0)
    #: How long after its last word an alert that Azure never ends is taken for over; None: never.
    close_after: timedelta | None = None


class Per(StrEnum):
    """Which alerts share an incident."""

    ALERT = "alert"
    RESOURCE = "resource"
    RULE = "rule"
    #: All that tell of one Service Health event, whatever their subscription.
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlate:
    """Which alerts share the incident of this one."""

    per: Per = Per.ALERT
    #: An alert joins an incident that was last joined no longer ago than this; None: however long ago.
    within: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """When the alerts of a rule become lines of one incident."""

    more_than: int
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A record of the target that is named by one of its fields: the group whose name is "Shop operations"."""

    field: str
    value: str

    def __str__(self) -> str:
        """Return it as "name=Shop operations"."""
        return f"{self.field}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the rules say of one alert."""

    #: As the rules see it: its severity may be another than was sent.
    alert: Alert
    wording: Wording
    #: Whether there is to be no incident.
    is_ignored: bool = False
    #: Whether the incident is on trial: all is decided and remembered, and the target hears nothing.
    is_shadowed: bool = False
    #: By the target's names, the fields that rules set, rendered and not fitted to any length yet.
    fields: Mapping[str, str] = field(default_factory=dict)
    #: By the target's names, the fields that name another record.
    references: Mapping[str, Reference] = field(default_factory=dict)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    correlate: Correlate = field(default_factory=Correlate)
    #: None if no rule speaks of storms; else with the name of the rule that does.
    storm: Storm | None = None
    storm_rule: str = ""
    #: By what was said (the name of a field, "severity", "action", "auto_resolve", "correlate", ...), the rule that
    #: said it; what is absent here is `BUILT_IN`.
    because: Mapping[str, str] = field(default_factory=dict)
    #: The templates that failed, each with rule and field, in a sentence for the log.
    faults: tuple[str, ...] = ()
