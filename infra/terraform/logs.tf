# Where is logged what the app does? Application Insights in a Log Analytics workspace, made here or there already.

resource "azurerm_log_analytics_workspace" "workspace" {
  count                        = var.workspace_id == "" ? 1 : 0
  name                         = replace(local.pattern, "{type}", "log")
  resource_group_name          = local.group
  location                     = var.location
  tags                         = local.tags
  sku                          = "PerGB2018"
  retention_in_days            = var.log_retention_days
  local_authentication_enabled = false
}

locals {
  workspace_id = var.workspace_id == "" ? azurerm_log_analytics_workspace.workspace[0].id : var.workspace_id
}

resource "azurerm_application_insights" "component" {
  name                         = replace(local.pattern, "{type}", "appi")
  resource_group_name          = local.group
  location                     = var.location
  tags                         = local.tags
  application_type             = "web"
  workspace_id                 = local.workspace_id
  local_authentication_enabled = false
}
