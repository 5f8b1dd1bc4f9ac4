"""What may a rules file say?

`reading` reads files into these shapes, `schema` publishes them for editors, `compiling` makes rules of them. Each
value has its description here, which editors show, and its check. A key that is absent says nothing: defaults are said
in `built_in.yaml`, and not here.
"""

from datetime import timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from itsm_bridge.rules import checks
from itsm_bridge.rules.checks import CONDITIONS, NO_SEVERITY, SERVICES, SEVERITIES, SIGNALS, Check


def _told(check: Check, description: str, *examples: str) -> Meta:
    """Return the description of a text, and the check that each such text has to pass."""
    return Meta(description=description, examples=list(examples) or None, extra={"check": check})


_ANY = "A word, a word with * for any characters, or a list of them. Case does not count."
_EACH = "By its name, a word or glob, or a list of them."

#: A word or glob, or a list of them of which one has to fit.
Texts = str | Annotated[list[str], Meta(min_length=1)]
SeverityWord = Literal["Sev0", "Sev1", "Sev2", "Sev3", "Sev4"]
SeverityOrNone = Literal["Sev0", "Sev1", "Sev2", "Sev3", "Sev4", "none"]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

#: A scalar of a file. It is read as the text that was written; numbers and booleans are named for editors alone.
Value = Annotated[str | int | float | bool, Meta(extra={"check": checks.value})]
Fields = Annotated[
    dict[str, Value | dict[str, Value]],
    Meta(
        description=(
            "Fields of the incident by ServiceNow's names. A value is a text, a template in {{ }}, or a reference such "
            "as { name: Shop operations }. An empty text leaves the field out."
        ),
        extra={"is_set": True},
    ),
]


class Shape(Struct, kw_only=True, forbid_unknown_fields=True):
    """Keys that are known, and no others."""


class ResourceMatch(Shape):
    """Of one affected resource, all that is named has to fit."""

    id: Annotated[Texts, _told(checks.resource_id, f"The ARM id. {_ANY}")] | UnsetType = UNSET
    type: (
        Annotated[Texts, _told(checks.resource_type, f"Provider and type. {_ANY}", "Microsoft.Compute/virtualMachines")]
        | UnsetType
    ) = UNSET
    name: Annotated[Texts, _told(checks.pattern, f"The name. {_ANY}", "vm-web-*")] | UnsetType = UNSET


class EventMatch(Shape):
    """What an entry of the activity log, Service Health or Resource Health says of itself."""

    source: (
        Annotated[Texts, _told(checks.pattern, f"Who wrote the entry. {_ANY}", "Administrative", "Security")]
        | UnsetType
    ) = UNSET
    operation: Annotated[Texts, _told(checks.pattern, f"The operation. {_ANY}")] | UnsetType = UNSET
    status: Annotated[Texts, _told(checks.pattern, f"The status. {_ANY}", "Failed")] | UnsetType = UNSET
    level: Annotated[Texts, _told(checks.pattern, f"The level. {_ANY}", "Error")] | UnsetType = UNSET
    caller: Annotated[Texts, _told(checks.pattern, f"Who did it. {_ANY}")] | UnsetType = UNSET
    severity: (
        Annotated[Texts, _told(checks.pattern, f"The severity of a security alert. {_ANY}", "High")] | UnsetType
    ) = UNSET
    kind: (
        Annotated[Texts, _told(checks.pattern, f"The kind of a Service Health event. {_ANY}", "Incident")] | UnsetType
    ) = UNSET
    stage: (
        Annotated[Texts, _told(checks.pattern, f"The stage of a Service Health event. {_ANY}", "Active")] | UnsetType
    ) = UNSET
    tracking_id: Annotated[Texts, _told(checks.pattern, f"The id of a Service Health event. {_ANY}")] | UnsetType = (
        UNSET
    )
    health: (
        Annotated[Texts, _told(checks.pattern, f"The health of the resource now. {_ANY}", "Unavailable")] | UnsetType
    ) = UNSET
    cause: (
        Annotated[Texts, _told(checks.pattern, f"Why it has this health. {_ANY}", "PlatformInitiated")] | UnsetType
    ) = UNSET


class Match(Shape):
    """Which alerts a rule speaks of: those that fit all that is named."""

    service: Annotated[Texts, _told(checks.service, f"The monitoring service. {_ANY}", *SERVICES)] | UnsetType = UNSET
    signal: Annotated[Texts, _told(checks.signal, f"The signal type. {_ANY}", *SIGNALS)] | UnsetType = UNSET
    severity: (
        Annotated[
            Texts,
            _told(checks.severity, f"The severity, as the rules before left it. {_ANY}", *SEVERITIES, NO_SEVERITY),
        ]
        | UnsetType
    ) = UNSET
    rule: Annotated[Texts, _told(checks.pattern, f"The name of the alert rule in Azure. {_ANY}")] | UnsetType = UNSET
    condition: (
        Annotated[
            Texts,
            _told(
                checks.condition, "Fired: it goes on. Resolved: it is over, also by the stage of an event.", *CONDITIONS
            ),
        ]
        | UnsetType
    ) = UNSET
    resource: (
        Annotated[Texts, _told(checks.pattern, f"An affected resource, by its name or ARM id. {_ANY}", "vm-web-*")]
        | ResourceMatch
        | UnsetType
    ) = UNSET
    resource_group: (
        Annotated[Texts, _told(checks.resource_group, f"The group of an affected resource. {_ANY}", "rg-shop-*")]
        | UnsetType
    ) = UNSET
    subscription: Annotated[Texts, _told(checks.subscription, f"The id of the subscription. {_ANY}")] | UnsetType = (
        UNSET
    )
    test: Annotated[bool, Meta(description="Whether somebody pressed Test in an action group.")] | UnsetType = UNSET
    custom: Annotated[dict[str, Texts], _told(checks.pattern, f"Custom properties. {_EACH}")] | UnsetType = UNSET
    dimension: (
        Annotated[dict[str, Texts], _told(checks.pattern, f"Dimensions and Prometheus labels. {_EACH}")] | UnsetType
    ) = UNSET
    text: (
        Annotated[
            Texts, _told(checks.pattern, "What the title, the description or the text of the event contains somewhere.")
        ]
        | UnsetType
    ) = UNSET
    event: EventMatch | UnsetType = UNSET
    during: (
        Annotated[Texts, _told(checks.name, "The name of a window, or a list of names: within any of them.")]
        | UnsetType
    ) = UNSET
    not_: (
        Annotated["Match | list[Match]", Meta(description="Not the alerts that fit all of this, or any one of a list.")]
        | UnsetType
    ) = field(name="not", default=UNSET)


class LifecycleSaid(Shape):
    """How the incident begins and ends."""

    auto_resolve: (
        Annotated[
            Literal["resolve", "note", "off"],
            Meta(description="When the alert is over: resolve the incident, write a work note, or do nothing."),
        ]
        | UnsetType
    ) = UNSET
    reopen_within: (
        Annotated[
            str,
            _told(
                checks.duration(most=timedelta(days=365), words=("always", "never")),
                "For how long after it was resolved an incident is reopened when its alert fires again.",
                "always",
                "24h",
                "never",
            ),
        ]
        | UnsetType
    ) = UNSET
    after_closed: (
        Annotated[
            Literal["new", "nothing"],
            Meta(description="When an alert fires again whose incident is closed: a new incident, or nothing."),
        ]
        | UnsetType
    ) = UNSET
    hold: (
        Annotated[
            str,
            _told(
                checks.duration(most=timedelta(hours=24)),
                "How long the alert must fire before there is an incident.",
                "5m",
            ),
        ]
        | UnsetType
    ) = UNSET
    close_after: (
        Annotated[
            str,
            _told(
                checks.duration(least=timedelta(minutes=5), most=timedelta(days=365), words=("never",)),
                "How long after its last word an alert that Azure never ends is taken for over.",
                "3d",
                "never",
            ),
        ]
        | UnsetType
    ) = UNSET


class CorrelateSaid(Shape):
    """Which alerts share an incident."""

    per: Annotated[
        Literal["alert", "resource", "rule", "event"],
        Meta(description="One incident for each alert, affected resource, alert rule, or Service Health event."),
    ]
    within: (
        Annotated[
            str,
            _told(
                checks.duration(least=timedelta(minutes=1), most=timedelta(days=365)),
                "An alert joins an incident that was last joined no longer ago than this.",
                "1h",
            ),
        ]
        | UnsetType
    ) = UNSET


class StormSaid(Shape):
    """When the alerts that a rule speaks of become lines of one incident."""

    more_than: Annotated[int, Meta(ge=1, le=100_000, description="So many alerts have an incident each.")]
    within: Annotated[
        str, _told(checks.duration(least=timedelta(minutes=1), most=timedelta(hours=24)), "Within this time.", "5m")
    ]


StormOrOff = Annotated[
    StormSaid | Literal["off"], Meta(description="More alerts become one incident; off: they never do.")
]


class Window(Shape):
    """A maintenance window: times of day (on some days), one span of dates, or a schedule with a duration."""

    days: (
        Annotated[list[Day], Meta(min_length=1, description="The days on which it begins; every day without.")]
        | UnsetType
    ) = UNSET
    from_: (
        Annotated[
            str, _told(checks.moment, 'When it begins: "22:00", or 2026-12-24T22:00.', "22:00", "2026-12-24T22:00")
        ]
        | UnsetType
    ) = field(name="from", default=UNSET)
    to: (
        Annotated[str, _told(checks.moment, "When it ends; a time of day before `from` is on the next day.", "06:00")]
        | UnsetType
    ) = UNSET
    cron: (
        Annotated[str, _told(checks.cron, "When it begins: minute, hour, day, month, weekday.", "0 22 * * sat")]
        | UnsetType
    ) = UNSET
    lasts: (
        Annotated[
            str,
            _told(checks.duration(least=timedelta(minutes=1), most=timedelta(days=31)), "How long after `cron`.", "6h"),
        ]
        | UnsetType
    ) = UNSET
    time_zone: Annotated[str, _told(checks.time_zone, "The zone of its times.", "Europe/Berlin", "UTC")] = "UTC"


class Defaults(Shape):
    """What holds for every alert unless a rule says otherwise."""

    set: Fields | UnsetType = UNSET
    by_severity: (
        Annotated[
            dict[SeverityOrNone, Fields],
            Meta(description="Fields by the severity that counts after all rules. They win over `set` beside them."),
        ]
        | UnsetType
    ) = UNSET
    lifecycle: LifecycleSaid | UnsetType = UNSET
    correlate: CorrelateSaid | UnsetType = UNSET
    storm: StormOrOff | UnsetType = UNSET


class Rule(Shape):
    """One rule. All rules whose match fits apply in their order; a later one wins where two speak of the same."""

    name: Annotated[str, _told(checks.name, "What it is about; preview, list and the log show it.")]
    match: Match | UnsetType = UNSET
    severity: (
        Annotated[
            SeverityWord, Meta(description="The severity that counts from here on, for later rules and for templates.")
        ]
        | UnsetType
    ) = UNSET
    because: (
        Annotated[
            str,
            _told(checks.reason, 'Why, as the end of "it is Sev1, because"; the description of the incident tells it.'),
        ]
        | UnsetType
    ) = UNSET
    set: Fields | UnsetType = UNSET
    action: (
        Annotated[
            Literal["incident", "ignore", "shadow"],
            Meta(
                description=(
                    "Whether there is an incident at all. shadow: a trial, in which the bridge decides and remembers "
                    "what it would send, and does nothing in ServiceNow."
                )
            ),
        ]
        | UnsetType
    ) = UNSET
    lifecycle: LifecycleSaid | UnsetType = UNSET
    correlate: CorrelateSaid | UnsetType = UNSET
    storm: StormOrOff | UnsetType = UNSET
    stop: Annotated[bool, Meta(description="Whether the rules after this one are left out.")] = False


class RulesFile(Shape):
    """How alerts become incidents."""

    version: Annotated[Literal[1], Meta(description="The version of this form.")]
    defaults: Defaults | UnsetType = UNSET
    windows: (
        Annotated[dict[str, Window | list[Window]], Meta(description="Maintenance windows by name.")] | UnsetType
    ) = UNSET
    rules: Annotated[list[Rule], Meta(description="In the order in which they apply.")] | UnsetType = UNSET
