"""Which tables does the instance have, and which columns?

`glide` keeps its rows by this, and shows it to clients as `sys_dictionary`. No row is kept here.
A table has the columns of the tables that it extends; `object_id` is deliberately not on `cmdb_ci`,
where real instances do not have it either: only some classes own it.

The classes are those of https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/servicenow-platform/service-graph-connectors/cmdb-azure-classes.md
Which of their common ancestors owns `object_id` is not documented: `cmdb_ci_vm_object` and `cmdb_ci_computer` are
an assumption, as are most of the lengths. A client must ask `sys_dictionary`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: Characters that a column keeps if its type says nothing else.
_LENGTHS = {"reference": 32, "GUID": 32, "journal_input": 65000}

_LABELS = {
    "caller_id": "Caller",
    "close_code": "Resolution code",
    "cmdb_ci": "Configuration item",
    "sys_mod_count": "Updates",
    "sys_created_on": "Created",
    "sys_updated_on": "Updated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One entry of the dictionary."""

    name: str
    #: ServiceNow's internal type: string, integer, boolean, glide_date_time, reference, journal_input, GUID.
    type: str = "string"
    #: Java characters that are kept; the rest is cut without a word.
    length: int = 40
    #: The table that a reference points into.
    reference: str = ""
    #: Whether the database refuses a second row with the same value.
    unique: bool = False
    #: Whether the form insists on a value. The Table API does not.
    mandatory: bool = False

    @property
    def label(self) -> str:
        """The name that people see."""
        return _LABELS.get(self.name, self.name.replace("_", " ").capitalize())


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table, with its own columns by name."""

    name: str
    columns: Mapping[str, Column]
    #: The table that it extends.
    parent: str | None = None
    #: The column that stands for a row where it is referred to.
    display: str = "name"


def column(text: str) -> Column:
    """Read `name`, `name:type`, `name:length` or `name:reference:table`; `!` at the end means unique, `*` mandatory."""
    name, *rest = text.rstrip("!*").split(":")
    is_unique, is_mandatory = "!" in text, "*" in text
    kind = rest[0] if rest else "string"
    if kind.isdigit():
        return Column(name=name, length=int(kind), unique=is_unique, mandatory=is_mandatory)
    reference = rest[1] if kind == "reference" else ""
    length = _LENGTHS.get(kind, 40)
    return Column(name=name, type=kind, length=length, reference=reference, unique=is_unique, mandatory=is_mandatory)


def columns(text: str) -> dict[str, Column]:
    """Read columns that are separated by white space."""
    return {each.name: each for each in map(column, text.split())}


#: The columns of every table.
_ROOT = """
    sys_id:GUID! sys_created_on:glide_date_time sys_created_by sys_updated_on:glide_date_time sys_updated_by
    sys_mod_count:integer sys_tags
"""

_TASK = """
    sys_class_name:80 sys_domain:32 sys_domain_path:255 parent:reference:task number active:boolean
    approval approval_history approval_set:glide_date_time upon_approval upon_reject
    short_description:160* description:4000 work_notes:journal_input comments:journal_input
    comments_and_work_notes:journal_input work_notes_list watch_list group_list additional_assignee_list
    state:integer impact:integer urgency:integer priority:integer escalation:integer order:integer
    opened_at:glide_date_time opened_by:reference:sys_user closed_at:glide_date_time closed_by:reference:sys_user
    close_notes:4000 due_date:glide_date_time expected_start:glide_date_time activity_due:glide_date_time
    follow_up:glide_date_time work_start:glide_date_time work_end:glide_date_time sla_due:glide_date_time
    business_duration calendar_duration time_worked made_sla:boolean knowledge:boolean user_input:4000
    assignment_group:reference:sys_user_group assigned_to:reference:sys_user reassignment_count:integer
    cmdb_ci:reference:cmdb_ci business_service:reference:cmdb_ci_service
    service_offering:reference:service_offering company:reference:core_company location:reference:cmn_location
    contact_type correlation_id:100 correlation_display:100 contract delivery_plan delivery_task
    route_reason:integer task_effective_number universal_request
"""

_INCIDENT = """
    caller_id:reference:sys_user* category subcategory notify:integer severity:integer incident_state:integer
    hold_reason:integer close_code cause:4000 caused_by rfc parent_incident:reference:incident problem_id
    child_incidents:integer business_impact:4000 business_stc:integer calendar_stc:integer origin_id origin_table
    resolved_at:glide_date_time resolved_by:reference:sys_user
    reopen_count:integer reopened_by:reference:sys_user reopened_time:glide_date_time
"""

_CMDB_CI = """
    sys_class_name:80 sys_domain:32 name:255 short_description:1000 asset_tag serial_number:255 correlation_id:100
    install_status:integer operational_status:integer category:255 subcategory:255 environment discovery_source
    first_discovered:glide_date_time last_discovered:glide_date_time ip_address:255 fqdn:255 mac_address
    support_group:reference:sys_user_group assigned_to:reference:sys_user owned_by:reference:sys_user
    managed_by:reference:sys_user company:reference:core_company location:reference:cmn_location comments:4000
"""

#: Extension, own columns and display column by table. A class of a cloud resource owns `object_id`, or inherits it.
_TABLES: tuple[tuple[str, str | None, str, str], ...] = (
    ("sys_user", None, "user_name:40! name:151 first_name last_name email:100 active:boolean time_zone", "name"),
    ("sys_user_group", None, "name:80 description:1000 active:boolean", "name"),
    ("core_company", None, "name:80", "name"),
    ("cmn_location", None, "name:100", "name"),
    ("sys_choice", None, "name:80 element:80 value language label:100 sequence:integer inactive:boolean", "label"),
    (
        "sys_dictionary",
        None,
        """name:80 element:80 internal_type column_label:80 max_length:integer reference unique:boolean active:boolean
        mandatory:boolean read_only:boolean""",
        "element",
    ),
    ("sys_journal_field", None, "name:80 element:80 element_id:32 value:65000", "element"),
    ("sys_object_source", None, "name:255 id:512 target_sys_id:32 target_table:80 source_feed:255", "name"),
    ("cmdb_key_value", None, "key:255 value:255 configuration_item:reference:cmdb_ci", "key"),
    ("task", None, _TASK, "number"),
    ("incident", "task", _INCIDENT, "number"),
    ("cmdb_ci", None, _CMDB_CI, "name"),
    ("cmdb_ci_service", "cmdb_ci", "busines_criticality", "name"),
    ("service_offering", "cmdb_ci_service", "", "name"),
    ("cmdb_ci_hardware", "cmdb_ci", "cpu_count:integer", "name"),
    ("cmdb_ci_computer", "cmdb_ci_hardware", "os:255 os_version:255 object_id:255", "name"),
    ("cmdb_ci_server", "cmdb_ci_computer", "virtual:boolean", "name"),
    ("cmdb_ci_linux_server", "cmdb_ci_server", "", "name"),
    ("cmdb_ci_win_server", "cmdb_ci_server", "", "name"),
    ("cmdb_ci_nic", "cmdb_ci", "object_id:255", "name"),
    ("cmdb_ci_database", "cmdb_ci", "version:255", "name"),
    ("cmdb_ci_db_mssql_instance", "cmdb_ci_database", "instance_name:255", "name"),
    ("cmdb_ci_network", "cmdb_ci", "object_id:255", "name"),
    ("cmdb_ci_kubernetes_cluster", "cmdb_ci", "object_id:255", "name"),
    ("cmdb_ci_vm_object", "cmdb_ci", "object_id:255", "name"),
    ("cmdb_ci_vm_instance", "cmdb_ci_vm_object", "vm_inst_id:255 state", "name"),
    ("cmdb_ci_instance_scale_set", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_storage_volume", "cmdb_ci_vm_object", "size:integer", "name"),
    ("cmdb_ci_cloud_load_balancer", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_cloud_subnet", "cmdb_ci_vm_object", "cidr", "name"),
    ("cmdb_ci_cloud_public_ipaddress", "cmdb_ci_vm_object", "public_ip_address", "name"),
    ("cmdb_ci_compute_security_group", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_cloud_storage_account", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_cloud_database", "cmdb_ci_vm_object", "version", "name"),
    ("cmdb_ci_cloud_webserver", "cmdb_ci_vm_object", "url:1024", "name"),
    ("cmdb_ci_cloud_function", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_resource_group", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_cmp_resource", "cmdb_ci_vm_object", "", "name"),
    ("cmdb_ci_cloud_service_account", "cmdb_ci", "account_id:255 datacenter_type", "name"),
    ("cmdb_ci_azure_datacenter", "cmdb_ci", "region:255", "name"),
)


def shipped_tables() -> dict[str, Table]:
    """Return the tables of a new instance by name."""
    return {
        name: Table(name=name, parent=parent, columns=columns(text if parent else _ROOT + text), display=display)
        for name, parent, text, display in _TABLES
    }


def lineage(tables: Mapping[str, Table], name: str) -> Iterator[Table]:
    """Yield the table `name`, then what it extends, up to the root."""
    current: str | None = name
    while current:
        yield tables[current]
        current = tables[current].parent


def descendants(tables: Mapping[str, Table], name: str) -> list[str]:
    """Return `name` and every table that extends it, however far."""
    return [each for each in tables if any(table.name == name for table in lineage(tables, each))]
