"""Where and how does a CMDB keep an Azure resource?

`lookup` takes its questions from here and asks them; nothing is sent here.
A CMDB keeps a resource as an item of a class that depends on the resource type, under the ARM id in some casing or
under a name. Customers differ: an override replaces the classes of its resource type.

Sources of truth: the classes that the Service Graph Connector and Discovery fill,
https://www.servicenow.com/docs/r/servicenow-platform/service-graph-connectors/cmdb-azure-classes.html
and https://www.servicenow.com/docs/r/it-operations-management/itom-visibility/data-collected-azure-discovery.html
and for resource ids https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

#: A machine as Azure has it, then as its operating system has it: servers of all kinds extend the latter.
HOST_CLASSES = ("cmdb_ci_vm_instance", "cmdb_ci_computer")

#: The table that knows every item by the key that its source gave it.
SOURCES = "sys_object_source"

#: The class of the types for which Discovery and the connector have no class of their own.
OTHER_CLASSES = ("cmdb_ci_cmp_resource",)

_DATABASE = ("cmdb_ci_cloud_database",)
_WEB = ("cmdb_ci_cloud_webserver", "cmdb_ci_cloud_function")
_GROUP = "Microsoft.Resources/resourceGroups"
SUBSCRIPTION = "Microsoft.Resources/subscriptions"

#: What a CMDB that knows subscriptions has of each.
ACCOUNTS = "cmdb_ci_cloud_service_account"

#: Classes by resource type, in the order in which they are asked; the types in the casing that Azure documents.
CLASSES: Mapping[str, Sequence[str]] = {
    "Microsoft.Compute/virtualMachines": HOST_CLASSES,
    "Microsoft.Compute/virtualMachineScaleSets": ("cmdb_ci_instance_scale_set",),
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines": HOST_CLASSES,
    "Microsoft.HybridCompute/machines": HOST_CLASSES,
    "Microsoft.Compute/disks": ("cmdb_ci_storage_volume",),
    "Microsoft.Network/loadBalancers": ("cmdb_ci_cloud_load_balancer",),
    "Microsoft.Network/applicationGateways": ("cmdb_ci_cloud_load_balancer",),
    "Microsoft.Network/virtualNetworks": ("cmdb_ci_network",),
    "Microsoft.Network/virtualNetworks/subnets": ("cmdb_ci_cloud_subnet",),
    "Microsoft.Network/networkInterfaces": ("cmdb_ci_nic",),
    "Microsoft.Network/publicIPAddresses": ("cmdb_ci_cloud_public_ipaddress",),
    "Microsoft.Network/networkSecurityGroups": ("cmdb_ci_compute_security_group",),
    "Microsoft.Storage/storageAccounts": ("cmdb_ci_cloud_storage_account",),
    "Microsoft.Sql/servers": _DATABASE,
    "Microsoft.Sql/servers/databases": _DATABASE,
    "Microsoft.Sql/managedInstances": _DATABASE,
    "Microsoft.Sql/managedInstances/databases": _DATABASE,
    "Microsoft.DBforPostgreSQL/servers": _DATABASE,
    "Microsoft.DBforPostgreSQL/flexibleServers": _DATABASE,
    "Microsoft.DBforMySQL/servers": _DATABASE,
    "Microsoft.DBforMySQL/flexibleServers": _DATABASE,
    # Discovery makes databases of these, the connector generic resources.
    "Microsoft.DocumentDB/databaseAccounts": _DATABASE + OTHER_CLASSES,
    "Microsoft.Cache/redis": _DATABASE + OTHER_CLASSES,
    # Web apps and functions share one type; only the kind of a site, which no resource id tells, makes it a function.
    "Microsoft.Web/sites": _WEB,
    "Microsoft.Web/sites/slots": _WEB,
    "Microsoft.ContainerService/managedClusters": ("cmdb_ci_kubernetes_cluster",),
    _GROUP: ("cmdb_ci_resource_group",),
    SUBSCRIPTION: (ACCOUNTS,),
}

_CANONICAL = {each.lower(): each for each in CLASSES}

#: Parts of a name with a type, the empty one before the first slash among them.
_TYPED = 5

#: How Azure writes the fixed parts of a resource id, by lower case.
_KEYS = {"subscriptions": "subscriptions", "resourcegroups": "resourceGroups", "providers": "providers"}


class Resource(NamedTuple):
    """The subject of an alert: an Azure resource by its ARM id, or anything else by a name."""

    name: str
    #: The ARM id as it was received, without a slash at its end; "" if there is but a name.
    arm_id: str = ""
    #: Provider and types, in Azure's casing where it is known: `Microsoft.Sql/servers/databases`; "" if unknown.
    type: str = ""
    #: The ARM id of the resource that it is a part of; "" if it stands for itself.
    parent_id: str = ""

    @property
    def arm_ids(self) -> tuple[str, ...]:
        """The ARM id as received, in lower case, as Azure writes it, and so with its group in upper case.

        Alerts give most ids in lower case, Azure Resource Manager gives names as they were chosen,
        and some providers turn the name of the group into capitals.
        """
        parts = [_KEYS.get(part.lower(), part) if at % 2 else part for at, part in enumerate(self.arm_id.split("/"))]
        if "providers" in parts[1::2]:
            namespace, *types = self.type.split("/")
            parts[-2 * len(types) - 1] = namespace
            parts[-2 * len(types) :: 2] = types
        canonical = "/".join(parts)
        if parts[3:4] == ["resourceGroups"]:
            parts[4] = parts[4].upper()
        return tuple(dict.fromkeys((self.arm_id, self.arm_id.lower(), canonical, "/".join(parts))))


class Question(NamedTuple):
    """Which rows of a table have one of these values in a field?"""

    table: str
    field: str
    values: tuple[str, ...]


def resource_of(text: str) -> Resource:
    """Return what `text` names: an Azure resource by its ARM id, one of a type by its name, else a name as it is.

    A name with a type is written `/providers/Microsoft.Cache/redis/redis-cart`.
    """
    arm_id = text.strip().rstrip("/")
    parts = arm_id.split("/")
    keys = [part.lower() for part in parts[1::2]]
    if keys[:1] == ["providers"] and len(parts) == _TYPED and not parts[0] and all(parts[1:]):
        found = f"{parts[2]}/{parts[3]}"
        return Resource(type=_CANONICAL.get(found.lower(), found), name=parts[4])
    if parts[0] or not all(parts[1:]) or len(parts) % 2 == 0:
        return Resource(name=text.strip())
    if keys == ["subscriptions"]:
        return Resource(arm_id=arm_id, type=SUBSCRIPTION, name=parts[-1])
    if keys == ["subscriptions", "resourcegroups"]:
        return Resource(arm_id=arm_id, type=_GROUP, name=parts[-1])
    if keys[:1] == ["subscriptions"] and "providers" in keys[:-1]:
        return _provided(arm_id, parts, 2 * (len(keys) - 1 - keys[-2::-1].index("providers")) - 1)
    return Resource(name=text.strip())


def _provided(arm_id: str, parts: Sequence[str], at: int) -> Resource:
    """Return the resource whose last provider is announced at `at`; types and names follow in turn."""
    namespace, *tail = parts[at + 1 :]
    found = "/".join((namespace, *tail[::2]))
    parent = parts[:-2] if tail[2:] else parts[:at]
    is_part = "providers" in [part.lower() for part in parent[1::2]]
    return Resource(
        arm_id=arm_id,
        type=_CANONICAL.get(found.lower(), found),
        name=tail[-1],
        parent_id="/".join(parent) if is_part else "",
    )


def lineage(resource: Resource) -> Iterator[Resource]:
    """Yield the resource, then each that it is a part of, step by step; the resource group is not among them."""
    yield resource
    while resource.parent_id:
        resource = resource_of(resource.parent_id)
        yield resource


def questions_of(resource: Resource, overrides: Mapping[str, str]) -> Iterator[Question]:
    """Yield the questions, the surest first; `overrides` are classes by resource type in lower case."""
    classes = _classes_of(resource, overrides)
    if resource.arm_id:
        by_account = resource.type == SUBSCRIPTION
        field, values = ("account_id", _spellings(resource.name)) if by_account else ("object_id", resource.arm_ids)
        yield from (Question(table=table, field=field, values=values) for table in classes)
        yield Question(table=SOURCES, field="id", values=resource.arm_ids)
    names = _spellings(resource.name)
    yield from (Question(table=table, field="name", values=names) for table in classes)
    if not (resource.arm_id or resource.type) and "." in resource.name:
        yield Question(table=classes[-1], field="fqdn", values=names)


def _classes_of(resource: Resource, overrides: Mapping[str, str]) -> Sequence[str]:
    if not (resource.arm_id or resource.type):
        return HOST_CLASSES
    override = overrides.get(resource.type.lower())
    return (override,) if override else CLASSES.get(resource.type, OTHER_CLASSES)


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, name.lower(), name.upper())))
