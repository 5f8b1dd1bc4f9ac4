"""Which configuration items, groups, users and services does the demonstration know?

The instance fills itself with them unless it is told not to; the demonstration sends an alert for each item.
The items are the resources of a small web shop, as Cloud Discovery leaves them: the ARM id is in `object_id` of the
class table, in the case that Azure happened to use. Three of them are traps: a retired duplicate, two items with the
same ARM id, and a database that has no `object_id` at all and is known by `sys_object_source` alone.
The groups have two more: one that is not active any more, and two of one name.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/servicenow-platform/service-graph-connectors/cmdb-azure-classes.md
"""

import uuid

from local.servicenow.glide import Glide, User

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-shop"

#: Class, name, and the ARM id within the resource group.
_RESOURCES: tuple[tuple[str, str, str], ...] = (
    ("cmdb_ci_vm_instance", "vm-web-01", "Microsoft.Compute/virtualMachines/vm-web-01"),
    ("cmdb_ci_vm_instance", "vm-web-02", "Microsoft.Compute/virtualMachines/vm-web-02"),
    ("cmdb_ci_linux_server", "vm-batch-01", "Microsoft.Compute/virtualMachines/vm-batch-01"),
    ("cmdb_ci_win_server", "vm-erp-01", "Microsoft.Compute/virtualMachines/vm-erp-01"),
    ("cmdb_ci_instance_scale_set", "vmss-api", "Microsoft.Compute/virtualMachineScaleSets/vmss-api"),
    ("cmdb_ci_storage_volume", "disk-web-01-os", "Microsoft.Compute/disks/disk-web-01-os"),
    ("cmdb_ci_cloud_load_balancer", "lb-shop", "Microsoft.Network/loadBalancers/lb-shop"),
    ("cmdb_ci_network", "vnet-shop", "Microsoft.Network/virtualNetworks/vnet-shop"),
    ("cmdb_ci_cloud_subnet", "snet-web", "Microsoft.Network/virtualNetworks/vnet-shop/subnets/snet-web"),
    ("cmdb_ci_nic", "nic-web-01", "Microsoft.Network/networkInterfaces/nic-web-01"),
    ("cmdb_ci_cloud_public_ipaddress", "pip-shop", "Microsoft.Network/publicIPAddresses/pip-shop"),
    ("cmdb_ci_compute_security_group", "nsg-web", "Microsoft.Network/networkSecurityGroups/nsg-web"),
    ("cmdb_ci_cloud_storage_account", "stshopdata", "Microsoft.Storage/storageAccounts/stshopdata"),
    ("cmdb_ci_cloud_database", "sqldb-orders", "Microsoft.Sql/servers/sql-shop/databases/sqldb-orders"),
    ("cmdb_ci_cloud_database", "pg-catalog", "Microsoft.DBforPostgreSQL/flexibleServers/pg-catalog"),
    ("cmdb_ci_cloud_webserver", "app-shop", "Microsoft.Web/sites/app-shop"),
    ("cmdb_ci_cloud_function", "func-mail", "Microsoft.Web/sites/func-mail"),
    ("cmdb_ci_kubernetes_cluster", "aks-shop", "Microsoft.ContainerService/managedClusters/aks-shop"),
    ("cmdb_ci_cmp_resource", "kv-shop", "Microsoft.KeyVault/vaults/kv-shop"),
    ("cmdb_ci_cmp_resource", "sb-orders", "Microsoft.ServiceBus/namespaces/sb-orders"),
)

#: Two discoveries made an item each for this ARM id, so that it names neither.
_AMBIGUOUS = "Microsoft.Cache/redis/redis-cart"


def resources() -> dict[str, str]:
    """Return the ARM id within the resource group of each item by its name, but for the traps."""
    return {name: within_group for _, name, within_group in _RESOURCES}


def arm_id(within_group: str) -> str:
    """Return the ARM id of a resource of the demonstration."""
    return f"{RESOURCE_GROUP}/providers/{within_group}"


def ci_sys_id(name: str) -> str:
    """Return the sys_id of the item of that name; the same in every instance."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"ci:{name}").hex


def fill(glide: Glide, *, by: User) -> None:
    """Insert the demonstration's group and items."""
    group = glide.insert("sys_user_group", {"sys_id": ci_sys_id("group"), "name": "Shop Operations"}, by=by)
    _insert_people(glide, by=by)
    for table, name, within_group in _RESOURCES:
        values = {"sys_id": ci_sys_id(name), "name": name, "object_id": arm_id(within_group)}
        glide.insert(table, {**values, "support_group": group["sys_id"], "discovery_source": "ServiceNow"}, by=by)
        tag = {"key": "environment", "value": "production", "configuration_item": ci_sys_id(name)}
        glide.insert("cmdb_key_value", tag, by=by)
    _insert_account(glide, by=by)
    _insert_traps(glide, by=by)


def _insert_account(glide: Glide, *, by: User) -> None:
    subscription = SUBSCRIPTION.rpartition("/")[2]
    account = {"sys_id": ci_sys_id("sub-shop"), "name": "sub-shop", "account_id": subscription}
    glide.insert("cmdb_ci_cloud_service_account", account, by=by)
    group = {"sys_id": ci_sys_id("rg-shop"), "name": "rg-shop", "object_id": RESOURCE_GROUP}
    glide.insert("cmdb_ci_resource_group", group, by=by)
    region = {"sys_id": ci_sys_id("westeurope"), "name": "westeurope", "region": "westeurope"}
    glide.insert("cmdb_ci_azure_datacenter", region, by=by)
    service = {"sys_id": ci_sys_id("Web shop"), "name": "Web shop"}
    glide.insert("cmdb_ci_service", service, by=by)
    offering = {"sys_id": ci_sys_id("Web shop, gold"), "name": "Web shop, gold"}
    glide.insert("service_offering", offering, by=by)


def _insert_people(glide: Glide, *, by: User) -> None:
    caller = {"sys_id": ci_sys_id("azure.monitor"), "user_name": "azure.monitor", "name": "Azure Monitor"}
    glide.insert("sys_user", {**caller, "email": "azure.monitor@example.com"}, by=by)
    leaver = {"sys_id": ci_sys_id("left.long.ago"), "user_name": "left.long.ago", "name": "Left Long Ago"}
    glide.insert("sys_user", {**leaver, "active": "false"}, by=by)
    for name in ("Network", "Network (import)"):
        glide.insert("sys_user_group", {"sys_id": ci_sys_id(f"group {name}"), "name": "Network"}, by=by)
    former = {"sys_id": ci_sys_id("group Data centre"), "name": "Data centre", "active": "false"}
    glide.insert("sys_user_group", former, by=by)


def _insert_traps(glide: Glide, *, by: User) -> None:
    retired = {"sys_id": ci_sys_id("vm-web-01 (retired)"), "name": "vm-web-01", "install_status": "7"}
    retired["object_id"] = arm_id("Microsoft.Compute/virtualMachines/vm-web-01")
    glide.insert("cmdb_ci_vm_instance", retired, by=by)
    for name in ("redis-cart", "redis-cart (import)"):
        item = {"sys_id": ci_sys_id(name), "name": name, "object_id": arm_id(_AMBIGUOUS)}
        glide.insert("cmdb_ci_cmp_resource", item, by=by)
    database = {"sys_id": ci_sys_id("SQL01@vm-erp-01"), "name": "SQL01@vm-erp-01", "instance_name": "SQL01"}
    glide.insert("cmdb_ci_db_mssql_instance", database, by=by)
    native = arm_id("Microsoft.SqlVirtualMachine/sqlVirtualMachines/vm-erp-01")
    source = {"name": "SG-Azure", "id": native, "source_feed": "SG-Azure"}
    source |= {"target_sys_id": database["sys_id"], "target_table": "cmdb_ci_db_mssql_instance"}
    glide.insert("sys_object_source", source, by=by)
