output "action_group_ids" {
  description = "Add these action groups to alert rules. Empty until they exist."
  value       = [for name in var.action_group_names : azurerm_monitor_action_group.bridge[name].id if var.create_action_group]
}

output "function_app_name" {
  description = "The function app: az functionapp ... --name"
  value       = azapi_resource.app.name
}

output "health_uri" {
  description = "Tells whether the app can do its work."
  value       = local.health_uri
}

output "key_vault_name" {
  description = "The vault that holds the ServiceNow secrets: az keyvault secret set --vault-name"
  value       = azurerm_key_vault.vault.name
}

output "storage_account_name" {
  description = "The storage account of the table and the queues, for the command line: AzureWebJobsStorage__accountName."
  value       = azurerm_storage_account.storage.name
}

output "outgoing_address" {
  description = "The address that the app sends from, for the allow-list of the ServiceNow instance. Empty: many, which change."
  value       = local.has_gateway ? azurerm_public_ip.gateway[0].ip_address : ""
}

output "identity_principal_id" {
  description = "Object id of the identity of the app, for who grants it roles elsewhere."
  value       = azurerm_user_assigned_identity.identity.principal_id
}

output "resource_group" {
  description = "The resource group of all this."
  value       = local.group
}

output "entra_client_id" {
  description = "The application that Azure Monitor gets tokens for."
  value       = local.entra_client_id
}
