"""What do rules see of an alert?

`engine` makes one `Subject` for each notification; `matching` compares with it, `values` shows it to templates. Each
thing is worked out when the first rule asks for it. Texts to be compared are folded, because Azure varies the case of
its words and ids, and the spaces in them.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from itsm_bridge.azure_monitor.affected import affected_by
from itsm_bridge.azure_monitor.alert import Alert, Kind, Severity
from itsm_bridge.azure_monitor.correlation import is_over
from itsm_bridge.azure_monitor.criteria import criteria_of
from itsm_bridge.azure_monitor.wording.form import Wording, name_of
from itsm_bridge.rules.checks import NO_SEVERITY
from itsm_bridge.rules.patterns import folded, squeezed
from itsm_bridge.text import one_line

#: The kinds of alerts that tell of an event.
_EVENTS = (Kind.ACTIVITY_LOG, Kind.SERVICE_HEALTH, Kind.RESOURCE_HEALTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """An affected resource, or where the rule of the alert looks; "" for what is not known of it."""

    #: Its ARM id, or the name that the alert has for it.
    id: str
    name: str
    #: Provider and type: "Microsoft.Sql/servers/databases".
    type: str
    group: str
    subscription: str


class Subject:
    """One alert as rules see it. Its severity changes as rules apply; all else stays."""

    def __init__(self, alert: Alert, wording: Wording, now: datetime) -> None:
        self.alert = alert
        self.wording = wording
        #: Aware; when the notification came.
        self.now = now
        self.severity: Severity | None = None
        #: The severity that counts so far, or the word for none.
        self.severity_words: Sequence[str] = ()
        self.restate(alert.severity)

    def restate(self, severity: Severity | None) -> None:
        """Let another severity count from here on."""
        self.severity = severity
        self.severity_words = (str(severity or NO_SEVERITY).lower(),)

    @cached_property
    def service_words(self) -> Sequence[str]:
        """The monitoring service."""
        return (squeezed(self.alert.monitoring_service),)

    @cached_property
    def signal_words(self) -> Sequence[str]:
        """The signal type."""
        return (squeezed(self.alert.signal_type),)

    @cached_property
    def condition_words(self) -> Sequence[str]:
        """Whether it is over, by its own word or that of its event."""
        return ("resolved" if is_over(self.alert) else "fired",)

    @cached_property
    def rule_words(self) -> Sequence[str]:
        """The alert rule: as sent, which may be an ARM id, and as people call it."""
        return tuple(dict.fromkeys((folded(self.alert.alert_rule), folded(name_of(self.alert.alert_rule)))))

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """What is affected, the surest first, then where the rule looks."""
        found = affected_by(self.alert)
        return tuple(resource_of(each) for each in (*found.resources, *found.scopes))

    @cached_property
    def resource_words(self) -> Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]]:
        """Of each resource its id, type, and names."""
        return tuple(
            ((folded(each.id),), (folded(each.type),), (folded(each.name), folded(each.name.rpartition("/")[2])))
            for each in self.resources
        )

    @cached_property
    def any_resource_words(self) -> Sequence[str]:
        """The ids and names of all resources."""
        return tuple(word for ids, _, names in self.resource_words for word in (*ids, *names))

    @cached_property
    def group_words(self) -> Sequence[str]:
        """The resource groups of all resources."""
        return tuple(dict.fromkeys(folded(each.group) for each in self.resources if each.group))

    @cached_property
    def subscription_words(self) -> Sequence[str]:
        """The subscription that the alert comes from, and those of its resources."""
        found = (self.alert.subscription_id, *(each.subscription for each in self.resources))
        return tuple(dict.fromkeys(folded(each) for each in found if each))

    @cached_property
    def custom(self) -> Mapping[str, str]:
        """Custom properties as sent."""
        return self.alert.custom_properties

    @cached_property
    def custom_words(self) -> Mapping[str, Sequence[str]]:
        """Custom properties by folded name."""
        return {folded(name): (folded(text),) for name, text in self.custom.items()}

    @cached_property
    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """Dimensions of all criteria, then labels of Prometheus, as sent."""
        pairs = [pair for each in criteria_of(self.alert) for pair in each.dimensions]
        return tuple(dict.fromkeys((*pairs, *self.alert.context.section("labels").scalars().items())))

    @cached_property
    def dimension_words(self) -> Mapping[str, Sequence[str]]:
        """All values of each dimension, by folded name."""
        found: dict[str, list[str]] = {}
        for name, text in self.dimensions:
            found.setdefault(folded(name), []).append(folded(text))
        return found

    @cached_property
    def text_words(self) -> Sequence[str]:
        """The title, the description of the rule, and the text of the event."""
        return tuple(map(folded, (self.wording.headline, self.alert.description, self.wording.story)))

    @cached_property
    def event(self) -> Mapping[str, str]:
        """What an event says of itself, as sent; empty if the alert tells of none.

        Only kinds of alerts that are recognised by their shape are read, because the authors of other rules name their
        properties as they like.
        """
        alert, context = self.alert, self.alert.context
        if alert.kind not in _EVENTS:
            return {}
        properties = context.section("properties")
        said = {
            "operation": context.text("operationName"),
            "status": context.text("status"),
            "level": context.text("level"),
            "caller": context.text("caller"),
        }
        if alert.kind is Kind.SERVICE_HEALTH:
            own = {"kind": "incidentType", "stage": "stage", "tracking_id": "trackingId"}
            source = "ServiceHealth"
        elif alert.kind is Kind.RESOURCE_HEALTH:
            own = {"health": "currentHealthStatus", "cause": "cause"}
            source = "ResourceHealth"
        else:
            own = {"severity": "severity"}
            source = context.text("eventSource")
        return {"source": source, **said, **{name: properties.text(each) for name, each in own.items()}}

    @cached_property
    def event_words(self) -> Mapping[str, Sequence[str]]:
        """What an event says of itself, by name."""
        return {name: (squeezed(text),) for name, text in self.event.items() if text}


def resource_of(text: str) -> Resource:
    """Return a resource by its ARM id, by the end of one (/providers/…), or by its name."""
    whole = one_line(text)
    parts = [part for part in whole.split("/") if part]
    lower = [part.lower() for part in parts]
    is_path = whole.startswith("/") and len(parts) > 1
    return Resource(
        id=whole,
        name=name_of(whole),
        type=_type_of(parts, lower) if is_path else "",
        group=_after("resourcegroups", parts, lower) if is_path else "",
        subscription=_after("subscriptions", parts, lower) if is_path else "",
    )


def _type_of(parts: Sequence[str], lower: Sequence[str]) -> str:
    if "providers" not in lower:
        return ""
    after = len(lower) - lower[::-1].index("providers")
    return "/".join([*parts[after : after + 1], *parts[after + 1 :: 2]])


def _after(mark: str, parts: Sequence[str], lower: Sequence[str]) -> str:
    at = lower.index(mark) + 1 if mark in lower else len(parts)
    return parts[at] if at < len(parts) else ""
