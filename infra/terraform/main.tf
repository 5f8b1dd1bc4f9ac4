# Everything that the bridge needs in Azure, as infra/installation.bicep sets it; tests/infra/test_parity.py proves it.
#
#   entra.tf         the application that Azure Monitor gets tokens for
#   logs.tf          where is logged what the app does?
#   stores.tf        identity, storage account, vault, and who may do what with them
#   network.tf       which network does the app send from, and how does it reach its stores?
#   followed.tf      what may the app do with the alerts of other subscriptions?
#   app.tf           the function app
#   watch.tf         who is told when the bridge itself is in trouble?
#   action_group.tf  the secure webhook that Azure Monitor calls
#
# docs/terraform.md says how it is used; example/ is a whole configuration.

data "azurerm_client_config" "current" {}

resource "azurerm_resource_group" "bridge" {
  count    = var.create_resource_group ? 1 : 0
  name     = local.group_name
  location = var.location
  tags     = local.tags
}

locals {
  group_name = var.resource_group_name != "" ? var.resource_group_name : "rg-itsm-bridge-${var.environment_name}"
  # Whatever lies in the group waits for it by this name.
  group = var.create_resource_group ? azurerm_resource_group.bridge[0].name : local.group_name
  tags  = merge(var.tags, { "azd-env-name" = var.environment_name })

  token        = substr(sha256("${data.azurerm_client_config.current.subscription_id}/${var.environment_name}/${var.location}"), 0, 13)
  pattern      = replace(replace(var.name_pattern != "" ? var.name_pattern : "{type}-{token}", "{token}", local.token), "{env}", var.environment_name)
  storage_name = substr(replace(lower(replace(local.pattern, "{type}", "st")), "-", ""), 0, 24)
  vault_name   = substr(replace(local.pattern, "{type}", "kv"), 0, 24)

  # What differs between clouds. https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure
  cloud = {
    public = {
      storage    = "core.windows.net"
      vault_zone = "privatelink.vaultcore.azure.net"
      authority  = "https://login.microsoftonline.com"
      manager    = "https://management.azure.com"
      places     = ["emea-nl-ams-azr", "us-va-ash-azr", "apac-sg-sin-azr"]
    }
    usgovernment = {
      storage    = "core.usgovcloudapi.net"
      vault_zone = "privatelink.vaultcore.usgovcloudapi.net"
      authority  = "https://login.microsoftonline.us"
      manager    = "https://management.usgovcloudapi.net"
      places     = ["usgov-va-azr", "usgov-phx-azr", "usgov-tx-azr"]
    }
    china = {
      storage    = "core.chinacloudapi.cn"
      vault_zone = "privatelink.vaultcore.azure.cn"
      authority  = "https://login.partner.microsoftonline.cn"
      manager    = "https://management.chinacloudapi.cn"
      places     = []
    }
  }[var.cloud]

  entra_authority = var.entra_authority != "" ? var.entra_authority : local.cloud.authority
  entra_tenant_id = var.entra_tenant_id != "" ? var.entra_tenant_id : data.azurerm_client_config.current.tenant_id
  audiences       = concat([local.entra_client_id, local.entra_identifier_uri], var.additional_audiences)
  probe_locations = length(var.probe_locations) > 0 ? var.probe_locations : local.cloud.places
  own_action_group_ids = [
    for name in var.action_group_names :
    "/subscriptions/${data.azurerm_client_config.current.subscription_id}/resourceGroups/${local.group_name}/providers/Microsoft.Insights/actionGroups/${name}"
  ]
  has_network     = var.private_network || var.fixed_outgoing_address || var.app_subnet_id != ""

  # Key Vault references: the platform reads the secrets with the app's identity, and nobody else needs to.
  client_secret = "@Microsoft.KeyVault(VaultName=${local.vault_name};SecretName=servicenow-client-secret)"
  api_key       = "@Microsoft.KeyVault(VaultName=${local.vault_name};SecretName=servicenow-api-key)"
  password      = "@Microsoft.KeyVault(VaultName=${local.vault_name};SecretName=servicenow-password)"

  sign_in_settings = {
    "oauth-client-credentials" = {
      SERVICENOW_CLIENT_ID     = var.servicenow_client_id
      SERVICENOW_CLIENT_SECRET = local.client_secret
    }
    "oauth-password" = {
      SERVICENOW_CLIENT_ID     = var.servicenow_client_id
      SERVICENOW_CLIENT_SECRET = local.client_secret
      SERVICENOW_USERNAME      = var.servicenow_username
      SERVICENOW_PASSWORD      = local.password
    }
    "api-key" = {
      SERVICENOW_API_KEY = local.api_key
    }
    "basic" = {
      SERVICENOW_USERNAME = var.servicenow_username
      SERVICENOW_PASSWORD = local.password
    }
  }

  settings = {
    ENTRA_TENANT_ID = join(",", concat([local.entra_tenant_id], var.additional_tenant_ids))
    # Version 2 tokens name the client id; version 1 tokens the URI.
    ENTRA_AUDIENCE                    = join(",", local.audiences)
    ENTRA_ALLOWED_CALLERS             = var.entra_allowed_callers
    ENTRA_REQUIRED_ROLE               = var.entra_required_role == "none" ? "" : var.entra_required_role
    ENTRA_AUTHORITY                   = local.entra_authority
    ALLOWED_SUBSCRIPTIONS             = join(",", var.allowed_subscriptions)
    SERVICENOW_INSTANCE_URL           = var.servicenow_instance_url
    SERVICENOW_MAX_CONCURRENCY        = tostring(var.servicenow_max_concurrency)
    SERVICENOW_CLOSE_CODE             = var.servicenow_close_code
    SERVICENOW_NOTE_MISSING_ITEM      = tostring(var.servicenow_note_missing_item)
    TELEMETRY_TO_APPLICATION_INSIGHTS = tostring(var.telemetry_to_application_insights)
    ITSM_RULES_FILE                   = var.rules_file
    RETRY_HORIZON_HOURS               = tostring(var.retry_horizon_hours)
    RETENTION_DAYS                    = tostring(var.retention_days)
    AZURE_ACTION_GROUP_IDS            = join(",", length(var.azure_action_group_ids) > 0 ? var.azure_action_group_ids : local.own_action_group_ids)
    RECOVER_MISSED_ALERTS             = tostring(var.recover_missed_alerts)
    SYNC_ALERT_STATE                  = tostring(var.sync_alert_state)
    AZURE_RESOURCE_MANAGER            = local.cloud.manager
  }
}
