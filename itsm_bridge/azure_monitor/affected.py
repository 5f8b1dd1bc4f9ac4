"""Which resources does an alert affect, and where did its rule look?

`wording.form` names them in the title and the text, and a target looks for its configuration item among them: all in
the same order. What is affected comes before where the rule looks:

1. a resource that a dimension, a label or the context names by its ARM id
2. the machine or cluster that a dimension or label names
3. the configuration items
4. the targets
5. scopes: workspaces, monitor accounts, resource groups, subscriptions

If 1 or 2 name a resource and the rule has several targets, the others are not affected: a rule for twelve machines
tells of one.
A name is replaced by the ARM id of a target that has it. A name whose type is known is written as the end of an ARM id
is (`/providers/Microsoft.ContainerService/managedClusters/aks-shop`), so that nothing takes it for that of a machine.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema (configurationItems)
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from itsm_bridge.azure_monitor.alert import Alert, Kind
from itsm_bridge.azure_monitor.criteria import criteria_of
from itsm_bridge.text import one_line

#: An ARM id of a subscription or of anything in it.
_ARM_ID = re.compile(r"/subscriptions/[^/]+", re.IGNORECASE)
#: The ARM id of a resource.
_RESOURCE_ID = re.compile(r"/subscriptions/[^/]+/(?:.*/)?providers/[^/]+/[^/]+/[^/]", re.IGNORECASE)
#: Where rules look, and not what they find.
_SCOPE = re.compile(
    r"/subscriptions/[^/]+(?:/resourcegroups/[^/]+)?/?"
    r"|/subscriptions/.*/providers/microsoft\.(?:operationalinsights/workspaces|monitor/accounts)/[^/]+/?",
    re.IGNORECASE,
)
#: One provider, one type.
_TYPE = re.compile(r"microsoft\.[a-z]+/[a-z]+", re.ASCII | re.IGNORECASE)
_MACHINE = "Microsoft.Compute/virtualMachines"

_CLUSTER = "Microsoft.ContainerService/managedClusters"

#: The dimensions and labels that name a resource, lower-cased and without signs, and the type of what they name; "" for
#: machines, which the CMDB knows by their bare names.
_NAMING = {
    **dict.fromkeys(("computer", "hostname", "vmname", "virtualmachine", "machinename"), ""),
    **dict.fromkeys(("cluster", "clustername", "k8sclustername"), _CLUSTER),
}


class Affected(NamedTuple):
    """The resources of an alert, each once: ARM ids, typed names or names, the surest first."""

    resources: tuple[str, ...]
    #: Where the rule looks: the last resort for a configuration item, and no place for people if it is a subscription.
    scopes: tuple[str, ...]


@lru_cache(maxsize=8)
def affected_by(alert: Alert) -> Affected:
    """Return what `alert` affects."""
    targets = [target for target in alert.alert_target_ids if target]
    if alert.kind is Kind.BUDGET:
        scope = alert.context.section("AlertData").text("Scope").rstrip("/")
        return Affected(resources=(), scopes=tuple(_each_once([scope] if scope else targets)))
    named = [_resolved(each, targets) for each in _named(alert)]
    items = [_resolved(_typed(each, _type_of_items(alert)), targets) for each in alert.configuration_items]
    others = [*items, *targets]
    known = {target.lower() for target in targets if not _is_scope(target)}
    if len(known) > 1 and any(not _is_scope(each) for each in named):
        others = [each for each in others if each.lower() not in known]
    found = _each_once([*named, *others])
    return Affected(
        resources=tuple(each for each in found if not _is_scope(each)),
        scopes=tuple(each for each in found if _is_scope(each)),
    )


def is_arm_id(resource: str) -> bool:
    """Return whether a resource is named by its whole ARM id."""
    return bool(_ARM_ID.match(resource))


def _named(alert: Alert) -> Iterator[str]:
    """Yield what dimensions, labels and the context name: ARM ids, then names."""
    context = alert.context
    pairs = [pair for each in criteria_of(alert) for pair in each.dimensions]
    pairs += context.section("labels").scalars().items()
    linked = context.text("linkedResourceId")
    yield from (text for text in (linked, *(value for _, value in pairs)) if _RESOURCE_ID.match(text))
    for name, value in pairs:
        kind = _NAMING.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if kind is not None and value and not value.startswith("/"):
            yield _typed(value, kind)


def _type_of_items(alert: Alert) -> str:
    """Return the type of configuration items that are bare names; "" for machines and where nobody can tell."""
    kinds = {each.namespace.lower(): each.namespace for each in criteria_of(alert)}
    (kind,) = kinds.values() if len(kinds) == 1 else ("",)
    return kind if _TYPE.fullmatch(kind) and kind.lower() != _MACHINE.lower() else ""


def _typed(name: str, kind: str) -> str:
    is_bare = "/" not in name and bool(name.strip())
    return f"/providers/{kind}/{one_line(name)}" if kind and is_bare else name


def _resolved(resource: str, targets: Sequence[str]) -> str:
    """Return the ARM id of the target that `resource` names, or `resource` as it is."""
    if is_arm_id(resource):
        return resource
    name = one_line(resource.rpartition("/")[2]).lower()
    ends = {target.rstrip("/").rpartition("/")[2].lower(): target for target in targets if not _is_scope(target)}
    return ends.get(name) or ends.get(name.partition(".")[0]) or resource


def _is_scope(resource: str) -> bool:
    return bool(_SCOPE.fullmatch(resource))


def _each_once(resources: Iterable[str]) -> list[str]:
    """Return the resources in their order, without the names of what an ARM id of a resource names too."""
    unique: dict[str, str] = {}
    for resource in filter(None, map(one_line, resources)):
        unique.setdefault(resource.rstrip("/").lower(), resource)
    # A resource group is often called as the machine in it.
    ends = {key.rpartition("/")[2] for key in unique if key.startswith("/") and not _is_scope(key)}
    return [each for key, each in unique.items() if key.startswith("/") or key.partition(".")[0] not in ends]
