"""Which setting of the Terraform module is which of the Bicep files? The one table.

`test_parity` holds both templates against it: a leaf that is in neither table is a setting that one of them lacks.
Of each pair the name, the location and the tags are compared without being named here.
"""

from collections.abc import Mapping
from typing import Any

#: By the symbol in Bicep: the address in Terraform, and its arguments by the properties in Bicep.
TWINS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "bridge": (
        "azurerm_monitor_action_group.bridge",
        {
            "properties.groupShortName": "short_name",
            "properties.enabled": "enabled",
            "properties.webhookReceivers[].name": "webhook_receiver.name",
            "properties.webhookReceivers[].serviceUri": "webhook_receiver.service_uri",
            "properties.webhookReceivers[].useCommonAlertSchema": "webhook_receiver.use_common_alert_schema",
            "properties.webhookReceivers[].objectId": "webhook_receiver.aad_auth.object_id",
            "properties.webhookReceivers[].identifierUri": "webhook_receiver.aad_auth.identifier_uri",
            "properties.webhookReceivers[].tenantId": "webhook_receiver.aad_auth.tenant_id",
        },
    ),
    "plan": ("azurerm_service_plan.plan", {"sku.name": "sku_name"}),
    "appLogs": (
        "azurerm_monitor_diagnostic_setting.app_logs",
        {
            "properties.workspaceId": "log_analytics_workspace_id",
            "properties.logs[].category": "enabled_log.category",
            "properties.metrics[].category": "enabled_metric.category",
        },
    ),
    "zone": ("azurerm_private_dns_zone.zone", {}),
    "link": (
        "azurerm_private_dns_zone_virtual_network_link.link",
        {
            "properties.registrationEnabled": "registration_enabled",
            "properties.virtualNetwork.id": "virtual_network_id",
        },
    ),
    "endpoint": (
        "azurerm_private_endpoint.endpoint",
        {
            "properties.subnet.id": "subnet_id",
            "properties.privateLinkServiceConnections[].name": "private_service_connection.name",
            "properties.privateLinkServiceConnections[].properties.privateLinkServiceId": (
                "private_service_connection.private_connection_resource_id"
            ),
            "properties.privateLinkServiceConnections[].properties.groupIds[]": (
                "private_service_connection.subresource_names[]"
            ),
        },
    ),
    "registration": (
        "azurerm_private_endpoint.endpoint",
        {
            "name": "private_dns_zone_group.name",
            "properties.privateDnsZoneConfigs[].properties.privateDnsZoneId": (
                "private_dns_zone_group.private_dns_zone_ids[]"
            ),
        },
    ),
    "workspace": (
        "azurerm_log_analytics_workspace.workspace",
        {
            "properties.sku.name": "sku",
            "properties.retentionInDays": "retention_in_days",
            "properties.features.disableLocalAuth": "local_authentication_enabled",
        },
    ),
    "component": (
        "azurerm_application_insights.component",
        {
            "properties.Application_Type": "application_type",
            "properties.WorkspaceResourceId": "workspace_id",
            "properties.DisableLocalAuth": "local_authentication_enabled",
        },
    ),
    "publicAddress": (
        "azurerm_public_ip.gateway",
        {"sku.name": "sku", "properties.publicIPAllocationMethod": "allocation_method"},
    ),
    "gateway": ("azurerm_nat_gateway.gateway", {"sku.name": "sku_name"}),
    "securityGroup": ("azurerm_network_security_group.network", {}),
    "network": (
        "azurerm_virtual_network.network",
        {"properties.addressSpace.addressPrefixes[]": "address_space[]"},
    ),
    "identity": ("azurerm_user_assigned_identity.identity", {}),
    "telemetryAccess": (
        "azurerm_role_assignment.telemetry_access",
        {
            "properties.principalId": "principal_id",
            "properties.principalType": "principal_type",
            "properties.roleDefinitionId": "role_definition_id",
        },
    ),
    "storage": (
        "azurerm_storage_account.storage",
        {
            "kind": "account_kind",
            "sku.name": "account_replication_type",
            "properties.allowBlobPublicAccess": "allow_nested_items_to_be_public",
            "properties.allowSharedKeyAccess": "shared_access_key_enabled",
            "properties.allowCrossTenantReplication": "cross_tenant_replication_enabled",
            "properties.defaultToOAuthAuthentication": "default_to_oauth_authentication",
            "properties.minimumTlsVersion": "min_tls_version",
            "properties.supportsHttpsTrafficOnly": "https_traffic_only_enabled",
            "properties.publicNetworkAccess": "public_network_access_enabled",
            "properties.networkAcls.defaultAction": "network_rules.default_action",
            "properties.networkAcls.bypass": "network_rules.bypass[]",
            "properties.networkAcls.ipRules": "network_rules.ip_rules",
        },
    ),
    "container": ("azurerm_storage_container.packages", {}),
    "storageAccess": (
        "azurerm_role_assignment.storage_access",
        {
            "properties.principalId": "principal_id",
            "properties.principalType": "principal_type",
            "properties.roleDefinitionId": "role_definition_id",
        },
    ),
    "operatorAccess": (
        "azurerm_role_assignment.operator_access",
        {
            "properties.principalId": "principal_id",
            "properties.principalType": "principal_type",
            "properties.roleDefinitionId": "role_definition_id",
        },
    ),
    "vault": (
        "azurerm_key_vault.vault",
        {
            "properties.tenantId": "tenant_id",
            "properties.sku.name": "sku_name",
            "properties.enableRbacAuthorization": "rbac_authorization_enabled",
            "properties.enablePurgeProtection": "purge_protection_enabled",
            "properties.softDeleteRetentionInDays": "soft_delete_retention_days",
            "properties.publicNetworkAccess": "public_network_access_enabled",
            "properties.networkAcls.defaultAction": "network_acls.default_action",
            "properties.networkAcls.bypass": "network_acls.bypass",
            "properties.networkAcls.ipRules": "network_acls.ip_rules",
        },
    ),
    "vaultAccess": (
        "azurerm_role_assignment.vault_access",
        {
            "properties.principalId": "principal_id",
            "properties.principalType": "principal_type",
            "properties.roleDefinitionId": "role_definition_id",
        },
    ),
    "secretWriter": (
        "azurerm_role_assignment.secret_writer",
        {
            "properties.principalId": "principal_id",
            "properties.principalType": "principal_type",
            "properties.roleDefinitionId": "role_definition_id",
        },
    ),
    "vaultAudit": (
        "azurerm_monitor_diagnostic_setting.vault_audit",
        {
            "properties.workspaceId": "log_analytics_workspace_id",
            "properties.logs[].categoryGroup": "enabled_log.category_group",
        },
    ),
    "operators": (
        "azurerm_monitor_action_group.operators",
        {
            "properties.groupShortName": "short_name",
            "properties.enabled": "enabled",
            "properties.emailReceivers[].name": "email_receiver.name",
            "properties.emailReceivers[].emailAddress": "email_receiver.email_address",
            "properties.emailReceivers[].useCommonAlertSchema": "email_receiver.use_common_alert_schema",
        },
    ),
    "rule": (
        "azurerm_monitor_scheduled_query_rules_alert_v2.rule",
        {
            "properties.displayName": "display_name",
            "properties.description": "description",
            "properties.severity": "severity",
            "properties.enabled": "enabled",
            "properties.scopes[]": "scopes[]",
            "properties.evaluationFrequency": "evaluation_frequency",
            "properties.windowSize": "window_duration",
            "properties.autoMitigate": "auto_mitigation_enabled",
            "properties.skipQueryValidation": "skip_query_validation",
            "properties.actions.actionGroups": "action.action_groups",
            "properties.criteria.allOf[].query": "criteria.query",
            "properties.criteria.allOf[].dimensions[].name": "criteria.dimension.name",
            "properties.criteria.allOf[].dimensions[].operator": "criteria.dimension.operator",
            "properties.criteria.allOf[].dimensions[].values[]": "criteria.dimension.values[]",
            "properties.criteria.allOf[].timeAggregation": "criteria.time_aggregation_method",
            "properties.criteria.allOf[].operator": "criteria.operator",
            "properties.criteria.allOf[].threshold": "criteria.threshold",
            "properties.criteria.allOf[].failingPeriods.numberOfEvaluationPeriods": (
                "criteria.failing_periods.number_of_evaluation_periods"
            ),
            "properties.criteria.allOf[].failingPeriods.minFailingPeriodsToAlert": (
                "criteria.failing_periods.minimum_failing_periods_to_trigger_alert"
            ),
        },
    ),
    "probe": (
        "azurerm_application_insights_standard_web_test.probe",
        {
            "properties.Enabled": "enabled",
            "properties.Frequency": "frequency",
            "properties.Timeout": "timeout",
            "properties.RetryEnabled": "retry_enabled",
            "properties.Locations": "geo_locations",
            "properties.Request.RequestUrl": "request.url",
            "properties.Request.HttpVerb": "request.http_verb",
            "properties.Request.ParseDependentRequests": "request.parse_dependent_requests_enabled",
            "properties.ValidationRules.ExpectedHttpStatusCode": "validation_rules.expected_status_code",
            "properties.ValidationRules.SSLCheck": "validation_rules.ssl_check_enabled",
            "properties.ValidationRules.SSLCertRemainingLifetimeCheck": "validation_rules.ssl_cert_remaining_lifetime",
        },
    ),
    "unreachable": (
        "azurerm_monitor_metric_alert.unreachable",
        {
            "properties.description": "description",
            "properties.severity": "severity",
            "properties.enabled": "enabled",
            "properties.scopes[]": "scopes[]",
            "properties.evaluationFrequency": "frequency",
            "properties.windowSize": "window_size",
            "properties.criteria.webTestId": (
                "application_insights_web_test_location_availability_criteria.web_test_id"
            ),
            "properties.criteria.componentId": (
                "application_insights_web_test_location_availability_criteria.component_id"
            ),
            "properties.criteria.failedLocationCount": (
                "application_insights_web_test_location_availability_criteria.failed_location_count"
            ),
            "properties.actions": "action.action_group_id",
        },
    ),
}

#: What azapi sends as Bicep writes it: the two bodies must be the same, leaf by leaf.
SAME_BODIES: Mapping[str, str] = {
    "app": "azapi_resource.app",
    "noScmPassword": "azapi_update_resource.no_password",
    "noFtpPassword": "azapi_update_resource.no_password",
    "authentication": "azapi_update_resource.authentication",
    "secret": "azapi_resource_action.secret",
    "workbook": "azapi_resource.workbook",
    "alertsRole": "azapi_resource.alerts_role",
    "alertsAccess": "azapi_resource.alerts_access",
}

#: Leaves of Bicep whose literal is another one in Terraform, with both.
OTHERWISE: Mapping[str, tuple[Any, Any]] = {
    "workspace.properties.features.disableLocalAuth": (True, False),
    "component.properties.DisableLocalAuth": (True, False),
}

#: Expressions that are the same value under other names than that of the parameter.
ALIASES: Mapping[str, str] = {
    "existingWorkspaceId": "local.workspace_id",
    "firewallDefault": "local.firewall_default",
    "healthUri": "local.health_uri",
    "identifierUri": "local.entra_identifier_uri",
    "objectId": "local.entra_object_id",
    "operatorGroupName": "var.operator_action_group_name",
    "packages": "packages",
    "publicAccess": "local.is_public",
    "subnetId": "local.endpoint_subnet_id",
    "storageName": "local.storage_name",
    "storageRedundancy": 'split("_", var.storage_redundancy)[1]',
    "tags": "local.tags",
    "tenantId": "local.entra_tenant_id",
    "told": "local.told",
    "usedWorkspaceId": "local.workspace_id",
    "vaultName": "local.vault_name",
    "virtualNetworkId": "azurerm_virtual_network.network[0].id",
    "workspaceId": "local.workspace_id",
}

#: What Bicep alone has to say, and why Terraform need not. A reason ends the sentence "Terraform does not, because".
ONLY_BICEP: Mapping[str, str] = {
    "bridge.properties.webhookReceivers[].useAadAuth": "the block aad_auth says it",
    "plan.kind": "os_type and sku_name say it",
    "plan.sku.tier": "sku_name says it",
    "plan.properties.reserved": "os_type says it",
    "appLogs.properties.logs[].enabled": "the block says it",
    "appLogs.properties.metrics[].enabled": "the block says it",
    "registration.properties.privateDnsZoneConfigs[].name": "the provider chooses it",
    "component.kind": "the provider sends application_type for it",
    "gateway.properties.publicIpAddresses[].id": "an association of its own says it",
    "network.properties.subnets[].name": "subnets are resources of their own",
    "network.properties.subnets[].properties.addressPrefix": "subnets are resources of their own",
    "network.properties.subnets[].properties.natGateway": "an association of its own says it",
    "network.properties.subnets[].properties.networkSecurityGroup.id": "an association of its own says it",
    "network.properties.subnets[].properties.delegations[].name": "subnets are resources of their own",
    "network.properties.subnets[].properties.delegations[].properties.serviceName": "the subnet of the app says it",
    "network.properties.subnets[].properties.privateEndpointNetworkPolicies": "subnets are resources of their own",
    "telemetryAccess.name": "the provider makes the name of an assignment",
    "storageAccess.name": "the provider makes the name of an assignment",
    "operatorAccess.name": "the provider makes the name of an assignment",
    "vaultAccess.name": "the provider makes the name of an assignment",
    "secretWriter.name": "the provider makes the name of an assignment",
    "blobs.name": "the container is the account's own",
    "vault.properties.sku.family": "there is one family",
    "vault.properties.enableSoftDelete": "the provider knows no vault without it",
    "vaultAudit.properties.logs[].enabled": "the block says it",
    "rule.kind": "the resource is of one kind",
    "probe.tags": "the provider adds the link to the component",
    "probe.kind": "the resource is of one kind",
    "probe.properties.Name": "the provider takes the name",
    "probe.properties.SyntheticMonitorId": "the provider takes the name",
    "probe.properties.Kind": "the resource is of one kind",
    "unreachable.properties.criteria.odata.type": "the block says it",
}

#: What Terraform alone has to say, and why Bicep need not.
ONLY_TERRAFORM: Mapping[str, str] = {
    "azurerm_resource_group.bridge.name": "main.bicep makes the group",
    "azurerm_resource_group.bridge.location": "main.bicep makes the group",
    "azurerm_resource_group.bridge.tags": "main.bicep makes the group",
    "azurerm_application_insights_standard_web_test.probe.application_insights_id": "a tag says it",
    "azurerm_application_insights_standard_web_test.probe.tags": "it has a tag more",
    "azurerm_service_plan.plan.os_type": "reserved says it",
    "azurerm_storage_account.storage.account_tier": "the name of the redundancy says it",
    "azurerm_storage_container.packages.storage_account_id": "it is nested",
    "azurerm_private_dns_zone_virtual_network_link.link.private_dns_zone_id": "parent says it",
    "azurerm_private_endpoint.endpoint.private_service_connection.is_manual_connection": "it has a list of its own",
    "azurerm_monitor_diagnostic_setting.app_logs.target_resource_id": "scope says it",
    "azurerm_monitor_diagnostic_setting.vault_audit.target_resource_id": "scope says it",
    **{
        f"azurerm_role_assignment.{name}.scope": "scope says it"
        for name in ("telemetry_access", "storage_access", "operator_access", "vault_access", "secret_writer")
    },
    **{
        f"azurerm_subnet.{name}.{argument}": "subnets are part of the network"
        for name in ("app", "endpoints")
        for argument in ("name", "virtual_network_name", "address_prefixes[]")
    },
    "azurerm_subnet.app.delegation.name": "subnets are part of the network",
    "azurerm_subnet.app.delegation.service_delegation.name": "subnets are part of the network",
    "azurerm_subnet.app.delegation.service_delegation.actions[]": "Azure knows the actions of the service",
    "azurerm_subnet.endpoints.private_endpoint_network_policies": "subnets are part of the network",
    **{
        f"azurerm_{association}.{argument}": "it is a property of the subnet or the gateway"
        for association, arguments in {
            "nat_gateway_public_ip_association.gateway": ("nat_gateway_id", "public_ip_address_id"),
            "subnet_network_security_group_association.app": ("subnet_id", "network_security_group_id"),
            "subnet_network_security_group_association.endpoints": ("subnet_id", "network_security_group_id"),
            "subnet_nat_gateway_association.app": ("subnet_id", "nat_gateway_id"),
        }.items()
        for argument in arguments
    },
}
