"""How is an entry of the activity log put into words: operations, policies, autoscale, security, advice, health?

`by_kind` calls one function for the activity log, one for Service Health and one for Resource Health. Each fills the
form; how much of it fits into an incident is decided in `description`.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice

from itsm_bridge.azure_monitor.alert import Alert
from itsm_bridge.azure_monitor.json_body import Section, is_nothing, leaves, text_of, unpacked_value
from itsm_bridge.azure_monitor.timestamps import parse_timestamp, utc_text
from itsm_bridge.azure_monitor.wording.form import (
    Line,
    Rank,
    Wording,
    lines_of,
    name_of,
    place_of,
    read_html,
    rule_of,
    some,
)
from itsm_bridge.text import clip, one_line

#: The label of the stage of a Service Health event.
STAGE = "Stage"

#: The trouble, its place, and its kind.
Subject = tuple[str, str, str]

#: Between two words of "wasSSHSessionInitiated".
_WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])| ")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")

#: Properties that only machines read, or that the headline tells.
_UNTOLD = frozenset({"activeautoscaleprofile", "ancestors", "hierarchy", "policies", "recommendationschemaversion"})

#: Labels that the lines of every alert have.
_TAKEN = frozenset({"Alert", "Resource", "Rule", "Severity", "Status"})

#: How many properties are shown, and how much of one: characters, and scalars if it holds many.
_PROPERTIES = 40
_PROPERTY_LENGTH = 300
_PROPERTY_SCALARS = 8


def activity_wording(alert: Alert) -> Wording:
    """Return the words for an activity log alert, by the source that wrote the entry."""
    context = alert.context
    subject_of = _BY_SOURCE.get(context.text("eventSource").lower(), _operation)
    subject = subject_of(alert, context) or _operation(alert, context)
    what, place, which = subject or (rule_of(alert), place_of(alert), "")
    properties = context.section("properties")
    story = _event_text(context)
    facts = [
        ("Operation", context.text("operationName")),
        ("Status", _status(context)),
        ("Caller", context.text("caller")),
        ("Level", context.text("level")),
    ]
    return Wording(
        what=what,
        place=place,
        which=(("", which),),
        story=story,
        lines=(
            *lines_of(facts, is_fact=True),
            *lines_of([("Event time", utc_text(event_time(context)))]),
            *_property_lines(properties, told=one_line(story)),
            *lines_of([("Correlation id", context.text("correlationId"))], rank=Rank.EXTRA),
        ),
        links=lines_of([("Recommendation", properties.text("recommendationResourceLink"))]),
    )


def service_health_wording(alert: Alert) -> Wording:
    """Return the words for one communication of Service Health, without the rule, because rules share its incident."""
    context = alert.context
    properties = context.section("properties")
    kind, tracking_id = properties.text("incidentType"), properties.text("trackingId")
    services, regions = _impacted(properties)
    name = " ".join(filter(None, ("Service Health", _words(kind).lower(), tracking_id)))
    facts = [
        ("Services", some(services, most=10)),
        ("Regions", some(regions, most=10)),
        ("Impact from", utc_text(parse_timestamp(properties.text("impactStartTime")))),
        ("Impact until", utc_text(parse_timestamp(properties.text("impactMitigationTime")))),
    ]
    return Wording(
        what=": ".join(filter(None, (name, _service_health_title(properties, services, regions)))),
        story=read_html(properties.text("communication", "defaultLanguageContent")),
        lines=(
            *lines_of([(STAGE, properties.text("stage") or context.text("status"))], rank=Rank.VITAL, is_fact=True),
            *lines_of([("Kind", kind), *facts], is_fact=True),
            *lines_of([("Tracking id", tracking_id)]),
        ),
    )


def resource_health_wording(alert: Alert) -> Wording:
    """Return the words for a change of a resource's health."""
    context = alert.context
    properties = context.section("properties")
    health, before = properties.text("currentHealthStatus"), properties.text("previousHealthStatus")
    change = f"{health} (was {before})" if before and before != health else health
    facts = [
        ("Cause", _words(properties.text("cause"))),
        ("Type", properties.text("type")),
        ("Status", _status(context)),
    ]
    state = f"{place_of(alert) or 'Resource'} is {change}"
    title = one_line(properties.text("title"))
    return Wording(
        what=": ".join(filter(None, (state, "" if title == health else title))),
        story=read_html(properties.text("details")) or _event_text(context),
        lines=(
            *lines_of([("Health", health)], rank=Rank.VITAL, is_fact=True),
            *lines_of(facts, is_fact=True),
            *lines_of([("Event time", utc_text(event_time(context)))]),
        ),
    )


def event_time(context: Section) -> datetime | None:
    """Return when an entry of the activity log was written, aware UTC; None if it does not say."""
    return parse_timestamp(context.text("eventTimestamp", "submissionTimestamp"))


def _impacted(properties: Section) -> tuple[list[str], list[str]]:
    """Return the names of the impacted services and regions."""
    services = properties.sections("impactedServices")
    regions = [region.text("RegionName") for service in services for region in service.sections("ImpactedRegions")]
    names = [service.text("ServiceName") for service in services]
    return (
        _each_once(names) or _each_once([properties.text("service")]),
        _each_once(regions) or _each_once([properties.text("region")]),
    )


def _service_health_title(properties: Section, services: list[str], regions: list[str]) -> str:
    """Return the title, with the services and regions if it names none of them."""
    title = one_line(read_html(properties.text("title", "defaultLanguageTitle")))
    where = " in ".join(filter(None, (some(services), some(regions))))
    if not title or not where or any(service.lower() in title.lower() for service in services):
        return title or where
    return f"{title} ({where})"


def _operation(alert: Alert, context: Section) -> Subject | None:
    """Return "Restart succeeded", "web1", "Microsoft.Compute/virtualMachines"."""
    parts = [part for part in context.text("operationName").split("/") if part]
    if not parts:
        return None
    if len(parts) > 1 and parts[-1].lower() == "action":
        parts.pop()
    what = f"{_words(parts[-1])} {context.text('status').lower()}".strip()
    return what, place_of(alert), "/".join(parts[:-1])


def _policy(alert: Alert, context: Section) -> Subject | None:
    policies = context.section("properties").sections("policies")
    names = _each_once(policy.text("policyAssignmentName", "policyDefinitionName") for policy in policies)
    effects = _each_once(policy.text("policyDefinitionEffect") for policy in policies)
    return (f"Policy {some(names)} not met", place_of(alert), some(effects)) if names else None


def _autoscale(alert: Alert, context: Section) -> Subject | None:
    properties = context.section("properties")
    old, new = properties.text("oldInstancesCount"), properties.text("newInstancesCount")
    place = name_of(properties.text("resourceName")) or place_of(alert)
    what = f"Autoscale {_status(context).lower()}".strip()
    return (f"{what}: from {old} to {new} instances", place, "") if old and new else None


def _security(alert: Alert, context: Section) -> Subject | None:
    properties = context.section("properties")
    first_sentence = _SENTENCE_END.split(_event_text(context), maxsplit=1)[0].rstrip(".")
    threat = " ".join(
        filter(None, (properties.text("category"), properties.text("threatStatus", "actionTaken").lower()))
    )
    what = first_sentence or properties.text("title", "alertDisplayName", "eventName") or threat
    place = one_line(properties.text("compromisedEntity")) or place_of(alert)
    return (f"Security alert: {one_line(what)}", place, "") if what else None


def _recommendation(alert: Alert, context: Section) -> Subject | None:
    properties = context.section("properties")
    name = one_line(properties.text("recommendationName"))
    return (f"Recommendation: {name}", place_of(alert), properties.text("recommendationCategory")) if name else None


_BY_SOURCE: Mapping[str, Callable[[Alert, Section], Subject | None]] = {
    "policy": _policy,
    "autoscale": _autoscale,
    "security": _security,
    "recommendation": _recommendation,
}


def _event_text(context: Section) -> str:
    """Return what the entry says of itself; the essentials hold the rule's description instead."""
    properties = context.section("properties")
    return read_html(context.text("Activity Log Event Description", "description") or properties.text("description"))


def _status(context: Section) -> str:
    status, more = context.text("status"), context.text("subStatus")
    return f"{status} ({more})" if status and more else status or more


def _property_lines(properties: Section, *, told: str) -> tuple[Line, ...]:
    """Return the properties that people read, except for the text that was `told` already."""
    shown = (
        (name, value) for name, value in islice(properties.entries.items(), _PROPERTIES) if name.lower() not in _UNTOLD
    )
    pairs = ((_words(name), _property_text(value)) for name, value in shown)
    free = ((f"Event {label.lower()}" if label in _TAKEN else label, text) for label, text in pairs)
    return lines_of(((label, text) for label, text in free if text != told and not is_nothing(text)), rank=Rank.EXTRA)


def _property_text(value: object) -> str:
    """Return a property in one line; a list or an object, often sent as a string of JSON, by its first scalars."""
    unpacked = unpacked_value(value)
    if not isinstance(unpacked, (dict, list)):
        return clip(one_line(text_of(unpacked)), _PROPERTY_LENGTH)
    scalars = islice(leaves(unpacked), _PROPERTY_SCALARS)
    texts = [text if path.isdecimal() else f"{path} = {text}" for path, text in scalars]
    return clip(one_line("; ".join(texts)), _PROPERTY_LENGTH)


def _words(name: str) -> str:
    """Return "wasSSHSessionInitiated" as "Was SSH session initiated"."""
    words = (word if word.isupper() and len(word) > 1 else word.lower() for word in _WORD_BORDER.split(one_line(name)))
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(one_line(name) for name in names if name))
