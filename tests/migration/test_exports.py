"""Whatever tool wrote the file, it holds the same action groups."""

import json
from typing import Any

import pytest

from itsm_bridge.migration.exports import NotAnExport, read, resources_of
from itsm_bridge.migration.inventory import inventory_of
from itsm_bridge.migration.report import content_of
from tests.migration.estate import CONNECTION, GROUPS, RULES, WORKSPACE, exported, group_id, resources, ticket

GROUP = GROUPS["one for each configuration item"]
USER = RULES[0]
FLAT = {**{name: value for name, value in GROUP.items() if name != "properties"}, **GROUP["properties"]}
OF_TERRAFORM = {
    "id": GROUP["id"],
    "name": "ag-per-ci",
    "resource_group_name": "rg-alerts",
    "short_name": "ag-per-ci",
    "enabled": True,
    "location": "global",
    "tags": GROUP["tags"],
    "email_receiver": [],
    "itsm_receiver": [
        {
            "name": "ServiceNow",
            "workspace_id": WORKSPACE,
            "connection_id": CONNECTION,
            "ticket_configuration": GROUP["properties"]["itsmReceivers"][0]["ticketConfiguration"],
            "region": "westeurope",
        }
    ],
}
USER_OF_TERRAFORM = {
    "id": USER["id"],
    "name": "disk-full",
    "display_name": "Disk is full",
    "enabled": True,
    "action": [{"action_groups": [GROUP["id"]]}],
}


def _pascal(value: Any) -> Any:
    """Return what PowerShell makes of it: names in PascalCase, lists in the singular."""
    if isinstance(value, dict):
        return {
            f"{name[0].upper()}{name[1:]}".replace("Receivers", "Receiver"): _pascal(each)
            for name, each in value.items()
        }
    return [_pascal(each) for each in value] if isinstance(value, list) else value


def _state(*resources: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [
        {"mode": "managed", "type": kind, "name": "it", "instances": [{"attributes": attributes}]}
        for kind, attributes in resources
    ]
    data = {"mode": "data", "type": "azurerm_monitor_action_group", "name": "seen", "instances": [{"attributes": {}}]}
    return {"version": 4, "terraform_version": "1.9.0", "resources": [*rows, data]}


def _shown(key: str, *resources: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [{"mode": "managed", "type": kind, "name": "it", "values": values} for kind, values in resources]
    return {
        "format_version": "1.0",
        "terraform_version": "1.9.0",
        key: {"root_module": {"resources": rows[:1], "child_modules": [{"resources": rows[1:]}]}},
    }


_PAIR = (
    ("azurerm_monitor_action_group", OF_TERRAFORM),
    ("azurerm_monitor_scheduled_query_rules_alert_v2", USER_OF_TERRAFORM),
)
_COLUMNS = ("id", "name", "type", "tags", "properties")
SHAPES: dict[str, Any] = {
    "az, a list": [GROUP, USER],
    "az, older, properties at the top": [FLAT, USER],
    "Resource Manager": {"value": [GROUP, USER], "nextLink": None},
    "Resource Graph": {"data": [GROUP, USER], "count": 2, "skip_token": None, "total_records": 2},
    "Resource Graph, a table": {
        "data": {
            "columns": [{"name": name} for name in _COLUMNS],
            "rows": [[each.get(name) for name in _COLUMNS] for each in (GROUP, USER)],
        }
    },
    "the portal, properties as text": [
        {**each, "properties": json.dumps(each["properties"])} for each in (GROUP, USER)
    ],
    "PowerShell": [_pascal(FLAT), _pascal(USER)],
    "a Terraform state": _state(*_PAIR),
    "a Terraform plan": _shown("planned_values", *_PAIR),
    "terraform show": _shown("values", *_PAIR),
    "azapi": _state(
        (
            "azapi_resource",
            {"id": GROUP["id"], "name": "ag-per-ci", "type": "Microsoft.Insights/actionGroups@2023-01-01",
             "tags": GROUP["tags"], "body": json.dumps({"properties": GROUP["properties"]})},
        ),
        _PAIR[1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_tells_the_same(shape: str) -> None:
    expected = content_of(inventory_of(resources_of([GROUP, USER])))

    found = content_of(inventory_of(read(json.dumps(SHAPES[shape]).encode())))

    assert found == expected
    assert expected["action_groups"][0]["used_by"][0]["alert_names"] == ["disk-full", "Disk is full"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_powershell_may_begin_with_a_mark(encoding: str) -> None:
    assert len(read(json.dumps([GROUP]).encode(encoding)).resources) == 1


def test_one_group_alone_is_enough() -> None:
    assert [each.name for each in read(json.dumps(GROUP).encode()).resources] == ["ag-per-ci"]


class TestTemplate:
    """An ARM template knows neither ids nor, often, names."""

    def template(self, **changes: Any) -> bytes:
        name = "[parameters('actionGroupName')]"
        whole = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "parameters": {"actionGroupName": {"type": "string", "defaultValue": "ag-shop"}},
            "variables": {"connection": CONNECTION, "title": "[concat('Service', 'Now')]"},
            "resources": [
                {
                    "type": "Microsoft.Insights/actionGroups",
                    "apiVersion": "2023-01-01",
                    "name": name,
                    "location": "Global",
                    "properties": {
                        "enabled": True,
                        "itsmReceivers": [
                            {
                                "name": "[variables('title')]",
                                "connectionId": "[variables('connection')]",
                                "workspaceId": WORKSPACE,
                                "region": "westeurope",
                                "ticketConfiguration": ticket({"impact": "3"}),
                            }
                        ],
                    },
                },
                {
                    "type": "Microsoft.Insights/metricAlerts",
                    "name": "cpu-high",
                    "properties": {
                        "actions": [{"actionGroupId": f"[resourceId('Microsoft.Insights/actionGroups', {name[1:-1]})]"}]
                    },
                },
            ],
            **changes,
        }
        return json.dumps(whole).encode()

    def test_defaults_are_filled_in_and_references_are_followed(self) -> None:
        (group,) = inventory_of(read(self.template())).groups

        assert (group.name, group.id, group.location) == ("ag-shop", "", "Global")
        assert [(each.name, each.connection_id) for each in group.actions] == [("ServiceNow", CONNECTION)]
        assert [use.name for use in group.used_by] == ["cpu-high"]

    def test_a_name_without_a_default_stays_an_expression(self) -> None:
        (group,) = inventory_of(read(self.template(parameters={"actionGroupName": {"type": "string"}}))).groups

        assert group.name == "[parameters('actionGroupName')]"

    def test_resources_may_have_symbolic_names_and_be_nested(self) -> None:
        inner = json.loads(self.template())
        inner["resources"] = {str(number): each for number, each in enumerate(inner["resources"])}
        nested = {"type": "Microsoft.Resources/deployments", "name": "inner", "properties": {"template": inner}}

        (group,) = inventory_of(read(self.template(resources=[nested]))).groups

        assert group.name == "ag-shop"

    def test_a_parameter_that_names_itself_ends(self) -> None:
        circle = {"actionGroupName": {"defaultValue": "[parameters('actionGroupName')]"}}

        assert inventory_of(read(self.template(parameters=circle))).groups


class TestNotAll:
    """What is not understood is told."""

    @pytest.mark.parametrize("page", [{"nextLink": "https://x"}, {"skip_token": "x"}, {"$skipToken": "x"}])
    def test_one_page_of_several(self, page: dict[str, str]) -> None:
        export = read(json.dumps({"value": [GROUP], **page}).encode())

        assert any("one page of several" in each for each in export.remarks)

    @pytest.mark.parametrize("odd", [7, "text", None, {"colour": "blue"}, {"type": "x", "name": "y"}, {"id": "/x"}])
    def test_an_object_of_no_known_shape(self, odd: object) -> None:
        export = read(json.dumps([GROUP, odd]).encode())

        assert len(export.resources) == 1
        assert len(export.remarks) == 1

    @pytest.mark.parametrize("text", ["", "{", "{}", "7", '{"colour": "blue"}', "\x00", "id,name\n1,2"])
    def test_a_file_without_any_resource_is_none(self, text: str) -> None:
        with pytest.raises(NotAnExport):
            read(text.encode())

    def test_an_empty_list_holds_nothing(self) -> None:
        assert read(b"[]").resources == ()

    def test_groups_without_rules_are_told(self) -> None:
        assert any("not known" in each for each in inventory_of(resources_of([GROUP])).remarks)

    def test_whatever_a_value_is_replaced_by_nothing_breaks(self) -> None:
        odds: tuple[Any, ...] = (None, 7, "x", [7], {"x": 7}, [[]])
        for odd in odds:
            rows = [{**whole, name: odd} for name in ("properties", "tags", "location", "id") for whole in resources()]
            properties = [
                {**whole, "properties": {**whole["properties"], name: odd}}
                for whole in resources()
                for name in whole["properties"]
            ]
            content_of(inventory_of(read(json.dumps([*rows, *properties, GROUP, USER]).encode())))


def test_a_group_in_two_files_counts_once() -> None:
    export = resources_of([GROUP, {**GROUP, "id": GROUP["id"].upper()}, USER])

    assert [each.name for each in inventory_of(export).groups] == ["ag-per-ci"]


class TestInventory:
    """Who uses a group, and in which words."""

    def uses(self, name: str) -> set[tuple[str, str, bool]]:
        groups = {each.name: each for each in inventory_of(read(exported())).groups}
        return {(use.kind, use.name, use.is_enabled) for use in groups[name].used_by}

    @pytest.mark.parametrize(
        ("name", "uses"),
        [
            ("ag-per-ci", {("log search alert rule", "disk-full", True)}),
            ("ag-metrics", {("metric alert rule", "cpu-high", True), ("activity log alert rule", "deleted", True)}),
            (
                "ag-several",
                {("smart detector alert rule", "anomalies", False), ("Prometheus rule group", "cluster", True)},
            ),
            ("ag-template", {("alert processing rule", "pay is vital", True)}),
            ("ag-disabled", set()),
        ],
    )
    def test_each_kind_of_rule_is_found(self, name: str, uses: set[tuple[str, str, bool]]) -> None:
        assert self.uses(name) == uses

    def test_a_kind_that_is_newer_than_the_program_is_found_too(self) -> None:
        newer = {"id": "/x/providers/a.b/newrules/n", "name": "n", "type": "a.b/newRules",
                 "properties": {"deep": [{"down": group_id("ag-per-ci")}]}}  # fmt: skip

        (group,) = inventory_of(resources_of([GROUP, newer])).groups

        assert [(use.kind, use.name) for use in group.used_by] == [("a.b/newrules", "n")]

    def test_suppressions_are_told_apart(self) -> None:
        assert [use.name for use in inventory_of(read(exported())).suppressions] == ["patch night"]

    def test_processing_rules_of_terraform_and_of_2019_are_read(self) -> None:
        adds: dict[str, Any] = {
            "id": "/subscriptions/1/x",
            "name": "adds",
            "scopes": ["/subscriptions/1/resourceGroups/rg-pay"],
            "enabled": True,
            "add_action_group_ids": [GROUP["id"]],
            "condition": [{"severity": [{"operator": "Equals", "values": ["Sev0"]}], "alert_rule_id": []}],
        }
        older = {
            "id": "/subscriptions/1/providers/Microsoft.AlertsManagement/actionRules/older",
            "name": "older",
            "type": "Microsoft.AlertsManagement/actionRules",
            "properties": {
                "status": "Enabled",
                "type": "ActionGroup",
                "actionGroupId": GROUP["id"],
                "scope": {"scopeType": "ResourceGroup", "values": ["/subscriptions/1/resourceGroups/rg-old"]},
                "conditions": {"severity": {"operator": "Equals", "values": ["Sev1"]}},
            },
        }
        state = _state(_PAIR[0], ("azurerm_monitor_alert_processing_rule_action_group", adds))

        (of_terraform,) = inventory_of(read(json.dumps(state).encode())).groups[0].used_by
        (of_2019,) = inventory_of(resources_of([GROUP, older])).groups[0].used_by

        assert (of_terraform.scopes, of_terraform.conditions) == (tuple(adds["scopes"]), ("severity Equals Sev0",))
        assert (of_2019.scopes, of_2019.conditions) == (
            ("/subscriptions/1/resourceGroups/rg-old",),
            ("severity Equals Sev1",),
        )

    def test_a_connection_that_nothing_has_is_told(self) -> None:
        inventory = inventory_of(read(exported()), connections=["nobody"])

        assert inventory.remarks == ("no ITSM action has the connection nobody",)
        assert not any(group.chosen for group in inventory.groups)
