# What does the app stand on? Its identity, the storage account, the vault, and who may do what with them.

locals {
  # With no address let in, the public endpoints are off; else a firewall stands before them.
  is_public        = !var.private_network || length(var.operator_addresses) > 0
  firewall_default = var.private_network ? "Deny" : "Allow"

  # https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
  roles = {
    key_vault_secrets_officer      = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
    key_vault_secrets_user         = "4633458b-17de-408a-b874-0445c86b69e6"
    monitoring_metrics_publisher   = "3913510d-42f4-4e42-8a64-420c390055eb"
    storage_blob_data_owner        = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
    storage_queue_data_contributor = "974c5e8b-45b9-4653-ba55-5f855dd0fae8"
    storage_table_data_contributor = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
  }
  role_prefix = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
}

resource "azurerm_user_assigned_identity" "identity" {
  name                = replace(local.pattern, "{type}", "id")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
}

resource "azurerm_role_assignment" "telemetry_access" {
  scope              = azurerm_application_insights.component.id
  role_definition_id = "${local.role_prefix}/${local.roles.monitoring_metrics_publisher}"
  principal_id       = azurerm_user_assigned_identity.identity.principal_id
  principal_type     = "ServicePrincipal"
}

# ---- storage: the table and the queues of the program, the host's own blobs, the deployed package

resource "azurerm_storage_account" "storage" {
  name                             = local.storage_name
  resource_group_name              = local.group
  location                         = var.location
  tags                             = local.tags
  account_kind                     = "StorageV2"
  account_tier                     = split("_", var.storage_redundancy)[0]
  account_replication_type         = split("_", var.storage_redundancy)[1]
  allow_nested_items_to_be_public  = false
  shared_access_key_enabled        = false
  cross_tenant_replication_enabled = false
  default_to_oauth_authentication  = true
  min_tls_version                  = "TLS1_2"
  https_traffic_only_enabled       = true
  public_network_access_enabled    = local.is_public

  network_rules {
    default_action = local.firewall_default
    bypass         = ["None"]
    ip_rules       = var.operator_addresses
  }
}

resource "azurerm_storage_container" "packages" {
  name               = "packages"
  storage_account_id = azurerm_storage_account.storage.id
}

# Blob Data Owner is what the Functions host asks for: it keeps locks and keys in blobs of its own.
# https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
resource "azurerm_role_assignment" "storage_access" {
  for_each           = toset(["storage_blob_data_owner", "storage_queue_data_contributor", "storage_table_data_contributor"])
  scope              = azurerm_storage_account.storage.id
  role_definition_id = "${local.role_prefix}/${local.roles[each.key]}"
  principal_id       = azurerm_user_assigned_identity.identity.principal_id
  principal_type     = "ServicePrincipal"
}

# What `status`, `show` and `replay` need, and no blobs: packages and the host's keys are none of an operator's.
resource "azurerm_role_assignment" "operator_access" {
  for_each           = var.operator_principal_id == "" ? toset([]) : toset(["storage_queue_data_contributor", "storage_table_data_contributor"])
  scope              = azurerm_storage_account.storage.id
  role_definition_id = "${local.role_prefix}/${local.roles[each.key]}"
  principal_id       = var.operator_principal_id
  principal_type     = var.operator_principal_type
}

# ---- secrets of ServiceNow

resource "azurerm_key_vault" "vault" {
  name                          = local.vault_name
  resource_group_name           = local.group
  location                      = var.location
  tags                          = local.tags
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 7
  public_network_access_enabled = local.is_public

  network_acls {
    default_action = local.firewall_default
    bypass         = "None"
    ip_rules       = var.operator_addresses
  }
}

# Through Resource Manager, which needs no way into a private vault; the values are write-only and in no state.
# An empty one is not written, and what is in the vault stays: an action is done when it comes, and undone by nothing.
resource "azapi_resource_action" "secret" {
  for_each    = toset(nonsensitive([for name, value in local.secrets : name if value != ""]))
  type        = "Microsoft.KeyVault/vaults/secrets@2024-11-01"
  resource_id = "${azurerm_key_vault.vault.id}/secrets/${each.key}"
  method      = "PUT"

  sensitive_body = {
    properties = { value = local.secrets[each.key] }
  }
  sensitive_body_version = {
    "properties.value" = var.secret_version
  }
}

locals {
  secrets = {
    "servicenow-client-secret" = var.servicenow_client_secret
    "servicenow-api-key"       = var.servicenow_api_key
    "servicenow-password"      = var.servicenow_password
  }
}

resource "azurerm_role_assignment" "vault_access" {
  scope              = azurerm_key_vault.vault.id
  role_definition_id = "${local.role_prefix}/${local.roles.key_vault_secrets_user}"
  principal_id       = azurerm_user_assigned_identity.identity.principal_id
  principal_type     = "ServicePrincipal"
}

resource "azurerm_role_assignment" "secret_writer" {
  count              = var.operator_principal_id != "" && var.operator_may_write_secrets ? 1 : 0
  scope              = azurerm_key_vault.vault.id
  role_definition_id = "${local.role_prefix}/${local.roles.key_vault_secrets_officer}"
  principal_id       = var.operator_principal_id
  principal_type     = var.operator_principal_type
}

# Who read or changed a secret, and when.
resource "azurerm_monitor_diagnostic_setting" "vault_audit" {
  name                       = "audit"
  target_resource_id         = azurerm_key_vault.vault.id
  log_analytics_workspace_id = local.workspace_id

  enabled_log {
    category_group = "audit"
  }
}
