# The application that Azure Monitor gets tokens for: what `python -m itsm_bridge setup` sets up, for those who keep
# their directory in Terraform. With create_entra_application = false somebody else has run the set-up, and its results
# are variables.

data "azuread_client_config" "current" {
  count = var.create_entra_application ? 1 : 0
}

resource "azuread_application" "bridge" {
  count            = var.create_entra_application ? 1 : 0
  display_name     = "itsm-bridge-${var.environment_name}"
  sign_in_audience = "AzureADMyOrg"
  # Azure Monitor lets only owners create, change or test the action.
  owners = distinct(concat([data.azuread_client_config.current[0].object_id], var.entra_owners))

  api {
    requested_access_token_version = 2
  }

  app_role {
    # Any id will do that is never another one.
    id                   = uuidv5("dns", "actiongroupssecurewebhook.itsm-bridge")
    allowed_member_types = ["Application"]
    description          = "May send alerts: Azure Monitor, through the secure webhook of an action group."
    display_name         = "ActionGroupsSecureWebhook"
    enabled              = true
    value                = "ActionGroupsSecureWebhook"
  }

  optional_claims {
    access_token {
      name = "idtyp"
    }
  }

  lifecycle {
    # It holds the client id, which is known afterwards alone: the next resource sets it.
    ignore_changes = [identifier_uris]
  }
}

resource "azuread_application_identifier_uri" "bridge" {
  count          = var.create_entra_application ? 1 : 0
  application_id = azuread_application.bridge[0].id
  identifier_uri = "api://${azuread_application.bridge[0].client_id}"
}

# It gives tokens only to those that were assigned a role.
resource "azuread_service_principal" "bridge" {
  count                        = var.create_entra_application ? 1 : 0
  client_id                    = azuread_application.bridge[0].client_id
  owners                       = azuread_application.bridge[0].owners
  app_role_assignment_required = true
}

# One in each tenant, and other webhooks may use it. As a resource, even with use_existing, `terraform destroy` would try
# to delete it; where a tenant has none yet, docs/terraform.md has the command that makes it.
data "azuread_service_principal" "azure_monitor" {
  count     = var.create_entra_application ? 1 : 0
  client_id = var.entra_allowed_callers
}

# This takes the consent of a Cloud Application Administrator.
resource "azuread_app_role_assignment" "azure_monitor" {
  count               = var.create_entra_application ? 1 : 0
  app_role_id         = azuread_application.bridge[0].app_role_ids["ActionGroupsSecureWebhook"]
  principal_object_id = data.azuread_service_principal.azure_monitor[0].object_id
  resource_object_id  = azuread_service_principal.bridge[0].object_id
}

locals {
  entra_client_id      = var.create_entra_application ? azuread_application.bridge[0].client_id : var.entra_client_id
  entra_object_id      = var.create_entra_application ? azuread_application.bridge[0].object_id : var.entra_object_id
  entra_identifier_uri = var.create_entra_application ? azuread_application_identifier_uri.bridge[0].identifier_uri : var.entra_identifier_uri
}
