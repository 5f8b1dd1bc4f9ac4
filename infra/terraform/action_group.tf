# The secure webhook: Azure Monitor asks Entra ID for a token for our application and sends it with each alert.
# Whoever applies this must be an owner of that application, or the answer is AadWebhookResourceNotOwnedByCaller.
# Its address holds the function key, which exists once the code has been deployed: create_action_group comes after.

data "azapi_resource_action" "keys" {
  count                            = var.create_action_group ? 1 : 0
  type                             = "Microsoft.Web/sites/host@2024-11-01"
  resource_id                      = "${azapi_resource.app.id}/host/default"
  action                           = "listkeys"
  method                           = "POST"
  sensitive_response_export_values = ["functionKeys"]
}

# The key ends up in the action group's address, readable by whoever may read the action group: it is the second of two
# locks, and docs/security.md says what it is good for.
resource "azurerm_monitor_action_group" "bridge" {
  for_each            = var.create_action_group ? toset(var.action_group_names) : toset([])
  name                = each.key
  resource_group_name = local.group
  tags                = local.tags
  short_name          = "itsm-bridge"
  enabled             = true

  webhook_receiver {
    name                    = "itsm-bridge"
    service_uri             = "https://${local.host_name}/api/alerts?code=${data.azapi_resource_action.keys[0].sensitive_output.functionKeys[var.function_key_name]}"
    use_common_alert_schema = true

    aad_auth {
      object_id      = local.entra_object_id
      identifier_uri = local.entra_identifier_uri
      tenant_id      = local.entra_tenant_id
    }
  }
}
