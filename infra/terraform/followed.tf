# What the bridge may do with the alerts of the subscriptions whose list it follows: a role with these actions alone.
# Whoever applies this must be allowed to grant roles there; else leave followed_subscriptions empty, and an owner of
# the subscription deploys ../followed.bicep.
#
# https://learn.microsoft.com/azure/role-based-access-control/permissions/monitor#microsoftalertsmanagement

locals {
  follows       = var.recover_missed_alerts || var.sync_alert_state
  followed_keys = local.follows ? toset(var.followed_subscriptions) : toset([])
}

resource "azapi_resource" "alerts_role" {
  for_each  = local.followed_keys
  type      = "Microsoft.Authorization/roleDefinitions@2022-04-01"
  parent_id = "/subscriptions/${each.key}"
  name      = uuidv5("url", "itsm-bridge/${each.key}/${local.group}/alerts")

  body = {
    properties = {
      # No two roles of a directory have the same name.
      roleName         = "itsm-bridge ${var.environment_name}, alerts of ${each.key}"
      description      = "Reads alerts and their history for itsm-bridge, and changes their state where that is switched on."
      type             = "CustomRole"
      assignableScopes = ["/subscriptions/${each.key}"]
      permissions = [
        {
          actions = concat(
            ["Microsoft.AlertsManagement/alerts/read", "Microsoft.AlertsManagement/alerts/history/read"],
            var.sync_alert_state ? ["Microsoft.AlertsManagement/alerts/changestate/action"] : []
          )
        }
      ]
    }
  }
}

resource "azapi_resource" "alerts_access" {
  for_each  = local.followed_keys
  type      = "Microsoft.Authorization/roleAssignments@2022-04-01"
  parent_id = "/subscriptions/${each.key}"
  name      = uuidv5("url", "itsm-bridge/${each.key}/${local.group}/alerts/assigned")

  body = {
    properties = {
      principalId      = azurerm_user_assigned_identity.identity.principal_id
      principalType    = "ServicePrincipal"
      roleDefinitionId = azapi_resource.alerts_role[each.key].id
    }
  }
}
