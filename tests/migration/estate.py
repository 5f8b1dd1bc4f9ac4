"""An estate that lives with the ITSM connector: action groups of every documented kind, and who uses them.

The shapes are those of https://learn.microsoft.com/azure/templates/microsoft.insights/actiongroups and of the threads
that `itsm_bridge.migration.ticket` names. All names, ids and keys are made up.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SUBSCRIPTION = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_SUBSCRIPTION = "bbbbbbbb-0000-4000-8000-000000000002"
CONNECTION = "a3b9076c-ce8e-434e-85b4-aff10cb3c8f1"
OTHER_CONNECTION = "c4d9076c-ce8e-434e-85b4-aff10cb3c8f2"
WORKSPACE = f"{SUBSCRIPTION}|55dfd1f8-7e59-4f89-bf56-4c82f5ace23c"
SECRET = "made-up-key-that-no-file-may-hold"
_IN_RG = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers"
FIELDS = {"contact_type": "email", "impact": "3", "urgency": "2", "category": "software"}


def group_id(name: str, *, subscription: str = SUBSCRIPTION) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/rg-alerts/providers/microsoft.insights/actionGroups/{name}"


def ticket(fields: Mapping[str, str] | None = None, **said: Any) -> str:
    """Return a ticket configuration as the portal writes it."""
    whole = {
        "PayloadRevision": 0,
        "WorkItemType": "Incident",
        "UseTemplate": False,
        "WorkItemData": json.dumps(fields or {}),
        "CreateOneWIPerCI": False,
        **said,
    }
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def action(name: str, configuration: object, *, connection: str = CONNECTION) -> dict[str, Any]:
    return {
        "name": name,
        "workspaceId": WORKSPACE,
        "connectionId": connection,
        "ticketConfiguration": configuration,
        "region": "westeurope",
    }


def group(name: str, *actions: dict[str, Any], subscription: str = SUBSCRIPTION, **properties: Any) -> dict[str, Any]:
    return {
        "id": group_id(name, subscription=subscription),
        "name": name,
        "type": "microsoft.insights/actiongroups",
        "location": "global",
        "tags": {"team": "it's ours"},
        "properties": {"groupShortName": name[:12], "enabled": True, "itsmReceivers": list(actions), **properties},
    }


#: By what each is an example of.
GROUPS: Mapping[str, dict[str, Any]] = {
    "one for each configuration item": group("ag-per-ci", action("ServiceNow", ticket(FIELDS, CreateOneWIPerCI=True))),
    "one for each rule": group("ag-per-rule", action("ServiceNow", ticket(FIELDS))),
    "one for each alert": group("ag-metrics", action("ServiceNow", ticket({"impact": "1", "urgency": "1"}))),
    "one for each log entry": group(
        "ag-events",
        action("Events", ticket({"resource": "x", "severity": "1"}, WorkItemType="Event", CreateOneWIPerLog=True)),
    ),
    "a template": group(
        "ag-template", action("ServiceNow", ticket({}, UseTemplate=True, TemplateName="Azure | outage"))
    ),
    "several receivers and others beside": group(
        "ag-several",
        action("ServiceNow", ticket(FIELDS)),
        action("ServiceNow again", ticket({"impact": "1"})),
        emailReceivers=[
            {"name": "Jo", "emailAddress": "jo@example.com", "useCommonAlertSchema": True, "status": "Enabled"}
        ],
        smsReceivers=[{"name": "on call", "countryCode": "49", "phoneNumber": "1234567", "status": "Enabled"}],
        webhookReceivers=[{"name": "chat", "serviceUri": f"https://chat.example/hook?key={SECRET}"}],
        logicAppReceivers=[
            {
                "name": "flow",
                "resourceId": f"{_IN_RG}/Microsoft.Logic/workflows/flow",
                "callbackUrl": f"https://logic.example/{SECRET}",
                "useCommonAlertSchema": True,
            }
        ],
        azureFunctionReceivers=[
            {
                "name": "function",
                "functionAppResourceId": f"{_IN_RG}/Microsoft.Web/sites/f",
                "functionName": "told",
                "httpTriggerUrl": f"https://f.example/api/told?code={SECRET}",
                "useCommonAlertSchema": True,
            }
        ],
        armRoleReceivers=[{"name": "owners", "roleId": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"}],
    ),
    "another connection": group(
        "ag-other-instance", action("ServiceNow EU", ticket(FIELDS), connection=OTHER_CONNECTION)
    ),
    "disabled": group("ag-disabled", action("ServiceNow", ticket(FIELDS)), enabled=False),
    "written by hand": group(
        "ag-by-hand",
        action(
            "ServiceNow",
            "{ 'PayloadRevision':0, 'WorkItemType':'Incident', 'UseTemplate':false,"
            """ 'WorkItemData':'{"assignment_group":"Shop Operations","priority":"2","Colour":"blue"}',"""
            " 'CreateOneWIPerCI':true, 'Owner':'Jo', }",
        ),
    ),
    "broken": group("ag-broken", action("ServiceNow", '{"PayloadRevision":0,')),
    "called alike elsewhere": group(
        "ag-per-rule", action("ServiceNow", ticket({"impact": "2"})), subscription=OTHER_SUBSCRIPTION
    ),
    "the webhook beside": group(
        "ag-on-trial",
        action("ServiceNow", ticket({})),
        webhookReceivers=[
            {
                "name": "itsm-bridge",
                "serviceUri": f"https://bridge.example/api/alerts?code={SECRET}",
                "useAadAuth": True,
                "objectId": "dddddddd-0000-4000-8000-000000000004",
                "identifierUri": "api://bridge",
                "tenantId": "eeeeeeee-0000-4000-8000-000000000005",
                "useCommonAlertSchema": True,
            }
        ],
    ),
    "no ITSM action": group("ag-mail", emailReceivers=[{"name": "Jo", "emailAddress": "jo@example.com"}]),
}


def _rule(kind: str, name: str, **properties: Any) -> dict[str, Any]:
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-rules/providers/{kind}"
    told = properties if "state" in properties else {"enabled": True, **properties}
    return {"id": f"{scope}/{name}", "name": name, "type": kind.lower(), "properties": told}


#: Who uses the groups.
RULES: Sequence[dict[str, Any]] = (
    _rule("Microsoft.Insights/scheduledQueryRules", "disk-full", displayName="Disk is full",
          actions={"actionGroups": [group_id("AG-per-CI")]}),
    _rule("Microsoft.Insights/scheduledQueryRules", "errors", actions={"actionGroups": [group_id("ag-per-rule")]}),
    _rule("Microsoft.Insights/scheduledQueryRules", "older-errors",
          action={"aznsAction": {"actionGroup": [group_id("ag-per-rule")]}}),
    _rule("Microsoft.Insights/metricAlerts", "cpu-high",
          actions=[{"actionGroupId": group_id("ag-metrics"), "webHookProperties": {}}]),
    _rule("Microsoft.Insights/activityLogAlerts", "deleted",
          actions={"actionGroups": [{"actionGroupId": group_id("ag-metrics")}]}),
    _rule("Microsoft.AlertsManagement/smartDetectorAlertRules", "anomalies", state="Disabled",
          actionGroups={"groupIds": [group_id("ag-several")]}),
    _rule("Microsoft.AlertsManagement/prometheusRuleGroups", "cluster",
          rules=[{"alert": "PodCrashes", "actions": [{"actionGroupId": group_id("ag-several")}]},
                 {"alert": "NodeDown", "actions": [{"actionGroupId": group_id("ag-several")}]}]),
    _rule("Microsoft.Insights/metricAlerts", "memory-low", actions=[{"actionGroupId": group_id("ag-by-hand")}]),
    _rule("Microsoft.Insights/metricAlerts", "broken-rule", actions=[{"actionGroupId": group_id("ag-broken")}]),
    _rule("Microsoft.Insights/scheduledQueryRules", "events", actions={"actionGroups": [group_id("ag-events")]}),
    _rule("Microsoft.AlertsManagement/actionRules", "pay is vital",
          scopes=[f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-pay"],
          conditions=[{"field": "Severity", "operator": "Equals", "values": ["Sev0", "Sev1"]},
                      {"field": "MonitorService", "operator": "Equals", "values": ["Platform"]}],
          actions=[{"actionType": "AddActionGroups", "actionGroupIds": [group_id("ag-template")]}]),
    _rule("Microsoft.AlertsManagement/actionRules", "patch night",
          scopes=[f"/subscriptions/{SUBSCRIPTION}"], actions=[{"actionType": "RemoveAllActionGroups"}]),
)  # fmt: skip


def resources() -> list[dict[str, Any]]:
    """Return all of it, as rows of Resource Graph."""
    return [*GROUPS.values(), *RULES]


def exported() -> bytes:
    """Return all of it, as `az graph query` prints it."""
    rows = resources()
    return json.dumps({"count": len(rows), "data": rows, "skip_token": None, "total_records": len(rows)}).encode()
