"""Which action groups have ITSM actions, what does each do today, and who uses it?

`operate.migrate` builds the inventory of the resources that `exports` read; `rules_text`, the templates and `report`
tell it. Whether a resource uses an action group is found by the group's id anywhere in its properties, so that a kind
of rule that is newer than this program is found too.

Sources of truth: https://learn.microsoft.com/azure/templates/microsoft.insights/actiongroups,
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-processing-rules
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from itsm_bridge.migration import ticket
from itsm_bridge.migration.exports import Export, Resource, pick
from itsm_bridge.migration.receivers import RECEIVERS, WEBHOOK, is_bridge, properties_of
from itsm_bridge.migration.ticket import Ticket

ACTION_GROUP: Final = "microsoft.insights/actiongroups"
PROCESSING_RULE: Final = "microsoft.alertsmanagement/actionrules"
#: By the type of a resource that may use an action group, how people call it.
KINDS: Final[Mapping[str, str]] = {
    "microsoft.insights/metricalerts": "metric alert rule",
    "microsoft.insights/scheduledqueryrules": "log search alert rule",
    "microsoft.insights/activitylogalerts": "activity log alert rule",
    "microsoft.alertsmanagement/smartdetectoralertrules": "smart detector alert rule",
    "microsoft.alertsmanagement/prometheusrulegroups": "Prometheus rule group",
    "microsoft.consumption/budgets": "budget",
    PROCESSING_RULE: "alert processing rule",
}
#: The kinds whose alerts are never of log search.
NO_LOG_SEARCH: Final = frozenset(
    {
        *("metric alert rule", "activity log alert rule", "smart detector alert rule", "Prometheus rule group"),
        *("budget", KINDS[PROCESSING_RULE]),
    }
)
_PLACE: Final = re.compile(r"/subscriptions/([^/]+)/resourceGroups/([^/]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItsmAction:
    """One ITSM action of an action group."""

    name: str
    #: Subscription and workspace, with | between them.
    workspace_id: str
    connection_id: str
    region: str
    ticket: Ticket
    #: As it was exported, by Resource Manager's names.
    raw: Mapping[str, Any]
    #: Whether it is to be moved, because its connection was asked for.
    is_chosen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A resource that sends alerts to an action group."""

    kind: str
    name: str
    id: str
    is_enabled: bool
    #: The names under which its alerts come.
    alert_names: tuple[str, ...] = ()
    #: Of an alert processing rule: where the alerts are that it speaks of, and further conditions, in words.
    scopes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()

    @property
    def is_processing_rule(self) -> bool:
        """Whether it adds the group to alerts of other rules."""
        return self.kind == KINDS[PROCESSING_RULE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An action group with ITSM actions."""

    id: str
    name: str
    #: "" where the export does not know them.
    subscription: str
    resource_group: str
    location: str
    tags: Mapping[str, str]
    is_enabled: bool
    #: All of it, by Resource Manager's names, without what is read-only.
    properties: Mapping[str, Any]
    actions: tuple[ItsmAction, ...]
    used_by: tuple[Use, ...]
    #: The name of the secure webhook that calls the bridge already; "" if there is none.
    bridge: str = ""

    @property
    def chosen(self) -> tuple[ItsmAction, ...]:
        """The actions that are to be moved."""
        return tuple(action for action in self.actions if action.is_chosen)

    @property
    def webhook(self) -> str:
        """The name that the secure webhook has or gets: no other receiver of the group has it."""
        taken = {str(each.get("name", "")).lower() for kind in RECEIVERS for each in self.properties.get(kind, ())}
        names = [WEBHOOK, *(f"{WEBHOOK}-{number}" for number in range(2, 100))]
        return self.bridge or next(name for name in names if name not in taken)

    @property
    def others(self) -> Mapping[str, int]:
        """How many other receivers there are of each kind."""
        kinds = [kind for kind in RECEIVERS if kind != "itsmReceivers" and self.properties.get(kind)]
        return {kind: len(self.properties[kind]) for kind in kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All action groups with ITSM actions."""

    groups: tuple[Group, ...]
    #: How many action groups were looked at.
    seen: int
    #: Alert processing rules that keep alerts from all action groups.
    suppressions: tuple[Use, ...] = ()
    remarks: tuple[str, ...] = ()
    connections: tuple[str, ...] = field(default=())

    @property
    def actions(self) -> tuple[tuple[Group, ItsmAction], ...]:
        """Every action with its group."""
        return tuple((group, action) for group in self.groups for action in group.actions)

    @property
    def unreadable(self) -> tuple[tuple[Group, ItsmAction], ...]:
        """The actions whose configuration says nothing that could be read."""
        return tuple((group, action) for group, action in self.actions if action.ticket.fault)


def inventory_of(
    export: Export, *, connections: Sequence[str] = (), templates: Mapping[str, Mapping[str, str]] | None = None
) -> Inventory:
    """Return the inventory of what was exported; pure.

    Args:
        export: What was read.
        connections: The ids of the connections to be moved; () for all.
        templates: The fields that templates of ServiceNow set, as `servicenow_templates` returns them.
    """
    wanted = {each.lower() for each in connections}
    raw_groups = _each_once(each for each in export.resources if each.type == ACTION_GROUP)
    others = _each_once(each for each in export.resources if each.type != ACTION_GROUP)
    groups = [_group(each, others, wanted, templates or {}) for each in raw_groups]
    with_itsm = tuple(sorted((each for each in groups if each.actions), key=lambda each: (each.id, each.name)))
    known = {action.connection_id.lower() for group in with_itsm for action in group.actions}
    remarks = [*export.remarks, *(f"no ITSM action has the connection {each}" for each in sorted(wanted - known))]
    if with_itsm and not others:
        remarks.append("no alert rules are in the export, so who uses the action groups is not known")
    remarks += _shared(with_itsm)
    return Inventory(
        groups=with_itsm,
        seen=len(groups),
        suppressions=tuple(_use(each) for each in others if _suppresses(each)),
        remarks=tuple(dict.fromkeys(remarks)),
        connections=tuple(sorted({action.connection_id for group in with_itsm for action in group.actions})),
    )


def _shared(groups: Sequence[Group]) -> Iterator[str]:
    """Yield what people should know of resources whose alerts go to several groups with ITSM actions."""
    users: dict[str, tuple[Use, list[str]]] = {}
    for group in groups:
        for use in group.used_by if group.chosen else ():
            users.setdefault((use.id or use.name).lower(), (use, []))[1].append(group.name)
    for use, names in users.values():
        if len(names) > 1:
            yield (
                f"the {use.kind} {use.name} sends to several groups with ITSM actions ({', '.join(names)}): the"
                " connector made a work item for each, and the bridge makes one incident, with the fields of the last"
                " of their rules"
            )


def _each_once(resources: Iterable[Resource]) -> list[Resource]:
    """Return the resources without those that were exported twice; the last one counts."""
    return list({(each.id or each.name).lower(): each for each in resources}.values())


def _group(
    resource: Resource, others: Sequence[Resource], wanted: set[str], templates: Mapping[str, Mapping[str, str]]
) -> Group:
    properties = properties_of(resource.properties)
    place = _PLACE.match(resource.id)
    return Group(
        # Resource Graph spells ids in lower case, and Terraform takes them as its provider spells them.
        id=_id(place[1], place[2], resource.name) if place else resource.id,
        name=resource.name,
        subscription=place[1] if place else "",
        resource_group=place[2] if place else "",
        location=resource.location or "global",
        tags=resource.tags,
        is_enabled=properties.get("enabled") is not False,
        properties=properties,
        actions=tuple(_action(each, wanted, templates) for each in properties.get("itsmReceivers", ())),
        used_by=tuple(_use(each) for each in others if _uses(each, resource) and not _suppresses(each)),
        bridge=next((str(each.get("name")) for each in properties.get("webhookReceivers", ()) if is_bridge(each)), ""),
    )


def _id(subscription: str, resource_group: str, name: str) -> str:
    scope = f"/subscriptions/{subscription}/resourceGroups/{resource_group}"
    return f"{scope}/providers/Microsoft.Insights/actionGroups/{name}"


def _action(row: Mapping[str, Any], wanted: set[str], templates: Mapping[str, Mapping[str, str]]) -> ItsmAction:
    connection = str(row.get("connectionId", ""))
    said = ticket.read(row.get("ticketConfiguration"))
    if said.uses_template and said.template.lower() in templates:
        said = said.with_template(templates[said.template.lower()])
    return ItsmAction(
        name=str(row.get("name", "")),
        workspace_id=str(row.get("workspaceId", "")),
        connection_id=connection,
        region=str(row.get("region", "")),
        ticket=said,
        raw=row,
        is_chosen=not wanted or connection.lower() in wanted,
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _uses(resource: Resource, group: Resource) -> bool:
    return any(_refers(text.lower().rstrip("/"), group) for text in _texts(resource.properties))


def _refers(text: str, group: Resource) -> bool:
    """Whether a lower-cased text is the id of a group, or an expression of a template that makes it."""
    if group.id and text == group.id.lower():
        return True
    name = group.name.lower()
    of_template = text.startswith("[") and "actiongroups" in text and f"'{name}'" in text
    # A template names a group by an id that it does not know of itself.
    return of_template or (not group.id and text.endswith(f"/actiongroups/{name}"))


def _suppresses(resource: Resource) -> bool:
    if resource.type != PROCESSING_RULE:
        return False
    kinds = {str(pick(each, "actionType") or "").lower() for each in _rows(pick(resource.properties, "actions"))}
    older = str(pick(resource.properties, "type") or "").lower()
    is_of_terraform = not kinds and not older and pick(resource.properties, "add_action_group_ids") is None
    return "removeallactiongroups" in kinds or older == "suppression" or is_of_terraform


def _use(resource: Resource) -> Use:
    properties = resource.properties
    scopes = pick(properties, "scopes") if resource.type == PROCESSING_RULE else None
    older = pick(_mapping(pick(properties, "scope")), "values") if resource.type == PROCESSING_RULE else None
    enabled = pick(properties, "enabled", "isEnabled", "state", "status")
    return Use(
        kind=KINDS.get(resource.type, resource.type),
        name=resource.name,
        id=resource.id,
        is_enabled=str(enabled).lower() not in ("false", "disabled"),
        alert_names=() if resource.type == PROCESSING_RULE else tuple(_alert_names(resource)),
        scopes=tuple(str(each) for each in (scopes or older or ()) if isinstance(each, str)),
        conditions=tuple(_conditions(pick(properties, "conditions", "condition"))) if scopes or older else (),
    )


def _alert_names(resource: Resource) -> Iterator[str]:
    """Yield the names that alerts of a rule have: its own or the one that people see; of Prometheus, each alert's."""
    if resource.type == "microsoft.alertsmanagement/prometheusrulegroups":
        rules = [each for name in ("rules", "rule") for each in _rows(pick(resource.properties, name))]
        yield from dict.fromkeys(str(pick(each, "alert")) for each in rules if pick(each, "alert"))
        return
    yield resource.name
    shown = str(pick(resource.properties, "displayName") or "")
    if shown and shown.lower() != resource.name.lower():
        yield shown


def _conditions(value: object) -> Iterator[str]:
    """Yield the conditions of an alert processing rule in words: field, operator, values."""
    if isinstance(value, dict):
        # The version of 2019 and Terraform have the field for a key.
        value = [{"field": name, **each} for name, each in value.items() if isinstance(each, dict)]
    for each in _rows(value):
        if pick(each, "operator"):
            values = ", ".join(map(str, pick(each, "values") or ()))
            yield f"{pick(each, 'field')} {pick(each, 'operator')} {values}".strip()
        else:
            for name, inner in each.items():
                yield from _conditions([{"field": name, **row} for row in _rows(inner)])


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
