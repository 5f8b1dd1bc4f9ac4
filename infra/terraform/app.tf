# The function app. No key and no connection string: the app is known by its identity.
#
# Through azapi, because azurerm's resource of Flex Consumption lacks the identity that reads the vault
# (keyVaultReferenceIdentity), the address restrictions' default and the site update strategy.

locals {
  # Threads that answer calls and wake-ups in each Python worker, and the calls that an instance is given at once.
  # The defaults, a handful of threads and one call at a time, would start an instance for each alert of a storm.
  threads = 16

  host_settings = merge(
    {
      APPLICATIONINSIGHTS_CONNECTION_STRING     = azurerm_application_insights.component.connection_string
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "Authorization=AAD;ClientId=${azurerm_user_assigned_identity.identity.client_id}"
      # Addresses, because those are right in every cloud. In the public one the host is given the account's name too:
      # with addresses alone it was seen not to start (azure-functions-host, issues 11782 and 11787).
      AzureWebJobsStorage__blobServiceUri  = "https://${local.storage_name}.blob.${local.cloud.storage}"
      AzureWebJobsStorage__queueServiceUri = "https://${local.storage_name}.queue.${local.cloud.storage}"
      AzureWebJobsStorage__tableServiceUri = "https://${local.storage_name}.table.${local.cloud.storage}"
      AzureWebJobsStorage__credential      = "managedidentity"
      AzureWebJobsStorage__clientId        = azurerm_user_assigned_identity.identity.client_id
      AZURE_CLIENT_ID                      = azurerm_user_assigned_identity.identity.client_id
      PYTHON_THREADPOOL_THREAD_COUNT       = tostring(local.threads)
    },
    var.cloud == "public" ? { AzureWebJobsStorage__accountName = local.storage_name } : {}
  )
  app_settings = merge(local.settings, local.sign_in_settings[var.servicenow_sign_in], local.host_settings)
}

resource "azurerm_service_plan" "plan" {
  name                = replace(local.pattern, "{type}", "plan")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
  os_type             = "Linux"
  sku_name            = "FC1"
}

resource "azapi_resource" "app" {
  type      = "Microsoft.Web/sites@2024-11-01"
  parent_id = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/resourceGroups/${local.group}"
  name      = replace(local.pattern, "{type}", "func")
  location  = var.location
  tags      = merge(local.tags, { "azd-service-name" = "bridge" })

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.identity.id]
  }

  body = {
    kind = "functionapp,linux"
    properties = {
      serverFarmId              = azurerm_service_plan.plan.id
      httpsOnly                 = true
      keyVaultReferenceIdentity = azurerm_user_assigned_identity.identity.id
      virtualNetworkSubnetId    = local.has_network ? local.app_subnet_id : null
      # Action groups call from the internet and use no private endpoint: the webhook stays public.
      publicNetworkAccess = "Enabled"
      functionAppConfig = {
        runtime = { name = "python", version = "3.13" }
        deployment = {
          storage = {
            type  = "blobContainer"
            value = "https://${local.storage_name}.blob.${local.cloud.storage}/${azurerm_storage_container.packages.name}"
            authentication = {
              type                           = "UserAssignedIdentity"
              userAssignedIdentityResourceId = azurerm_user_assigned_identity.identity.id
            }
          }
        }
        scaleAndConcurrency = {
          # One core. The 512 MB size has a quarter of it, and a start must be over before Azure Monitor stops waiting.
          instanceMemoryMB     = 2048
          maximumInstanceCount = var.maximum_instance_count
          alwaysReady = concat(
            var.always_ready_instances > 0 ? [{ name = "http", instanceCount = var.always_ready_instances }] : [],
            var.always_ready_wake_up_instances > 0 ? [{ name = "function:reconcile_alert", instanceCount = var.always_ready_wake_up_instances }] : []
          )
          triggers = { http = { perInstanceConcurrency = local.threads } }
        }
        # Said only when it is asked for: it is in preview, and not every region knows it.
        # https://learn.microsoft.com/azure/azure-functions/flex-consumption-site-updates
        siteUpdateStrategy = var.site_update_strategy == "RollingUpdate" ? { type = var.site_update_strategy } : null
      }
      siteConfig = {
        minTlsVersion                       = "1.2"
        ftpsState                           = "Disabled"
        ipSecurityRestrictionsDefaultAction = var.restrict_to_azure_monitor ? "Deny" : "Allow"
        ipSecurityRestrictions = var.restrict_to_azure_monitor ? [
          { name = "action groups", priority = 100, action = "Allow", tag = "ServiceTag", ipAddress = "ActionGroup" },
          { name = "health probes", priority = 110, action = "Allow", tag = "ServiceTag", ipAddress = "ApplicationInsightsAvailability" }
        ] : []
        appSettings = [for name in sort(keys(local.app_settings)) : { name = name, value = local.app_settings[name] }]
      }
    }
  }

  # siteUpdateStrategy is not in the schema that azapi brings along.
  schema_validation_enabled = false
  ignore_null_property      = true
  response_export_values    = ["properties.defaultHostName"]

  # The app must not start before it may read, write and reach its stores.
  depends_on = [
    azurerm_role_assignment.storage_access,
    azurerm_role_assignment.vault_access,
    azurerm_role_assignment.telemetry_access,
    azurerm_private_endpoint.endpoint,
    azurerm_private_dns_zone_virtual_network_link.link,
    azurerm_subnet_nat_gateway_association.app,
  ]
}

# Nobody deploys with a password.
resource "azapi_update_resource" "no_password" {
  for_each  = toset(["scm", "ftp"])
  type      = "Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01"
  parent_id = azapi_resource.app.id
  name      = each.key
  body      = { properties = { allow = false } }
}

# A second wall in front of the same token: the platform refuses what is not for this application, from this tenant, by
# an allowed caller, before it starts any of our code. The program checks all of that again, and the role.
# https://learn.microsoft.com/azure/app-service/configure-authentication-provider-aad
resource "azapi_update_resource" "authentication" {
  count     = var.platform_authentication ? 1 : 0
  type      = "Microsoft.Web/sites/config@2024-11-01"
  parent_id = azapi_resource.app.id
  name      = "authsettingsV2"

  body = {
    properties = {
      platform = { enabled = true }
      globalValidation = {
        requireAuthentication       = true
        unauthenticatedClientAction = "Return401"
        excludedPaths               = ["/api/health"]
      }
      httpSettings = { requireHttps = true }
      identityProviders = {
        azureActiveDirectory = {
          enabled = true
          registration = {
            openIdIssuer = "${trimsuffix(local.entra_authority, "/")}/${local.entra_tenant_id}/v2.0"
            clientId     = local.entra_client_id
          }
          validation = {
            allowedAudiences           = local.audiences
            defaultAuthorizationPolicy = { allowedApplications = split(",", var.entra_allowed_callers) }
          }
        }
      }
      login = { tokenStore = { enabled = false } }
    }
  }
}

# What the host itself says, also when it cannot reach Application Insights.
resource "azurerm_monitor_diagnostic_setting" "app_logs" {
  name                       = "host"
  target_resource_id         = azapi_resource.app.id
  log_analytics_workspace_id = local.workspace_id

  enabled_log {
    category = "FunctionAppLogs"
  }

  enabled_metric {
    category = "AllMetrics"
  }
}
