// The function app. No key and no connection string: the app is known by its identity.
param location string
param tags object
param appName string
param planName string
@description('App settings of the program, by name.')
param settings object
param identityId string
param identityClientId string
param storageName string
param packagesUri string
param componentName string
param workspaceId string
@description('Subnet that the app sends from. Empty: no network of its own.')
param subnetId string
param alwaysReadyInstances int
param alwaysReadyWakeUpInstances int
param maximumInstanceCount int
param siteUpdateStrategy string
param restrictToAzureMonitor bool
@description('Have App Service check tokens too, before the program does.')
param platformAuthentication bool
param entraAuthority string
param entraTenantId string
param entraClientId string
param entraAudiences array
param entraAllowedCallers string

// Threads that answer calls and wake-ups in each Python worker, and the calls that an instance is given at once.
// The defaults, a handful of threads and one call at a time, would start an instance for each alert of a storm.
var threads = 16

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'bridge' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    // Action groups call from the internet and use no private endpoint: the webhook stays public.
    publicNetworkAccess: 'Enabled'
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packagesUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        // One core. The 512 MB size has a quarter of it, and a start must be over before Azure Monitor stops waiting.
        instanceMemoryMB: 2048
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: concat(
          alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : [],
          alwaysReadyWakeUpInstances > 0
            ? [{ name: 'function:reconcile_alert', instanceCount: alwaysReadyWakeUpInstances }]
            : []
        )
        triggers: { http: { perInstanceConcurrency: threads } }
      }
      // Said only when it is asked for: it is in preview, and not every region knows it.
      // https://learn.microsoft.com/azure/azure-functions/flex-consumption-site-updates
      siteUpdateStrategy: siteUpdateStrategy == 'RollingUpdate' ? { type: siteUpdateStrategy } : null
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
      ipSecurityRestrictionsDefaultAction: restrictToAzureMonitor ? 'Deny' : 'Allow'
      ipSecurityRestrictions: restrictToAzureMonitor
        ? [
            { name: 'action groups', priority: 100, action: 'Allow', tag: 'ServiceTag', ipAddress: 'ActionGroup' }
            {
              name: 'health probes'
              priority: 110
              action: 'Allow'
              tag: 'ServiceTag'
              ipAddress: 'ApplicationInsightsAvailability'
            }
          ]
        : []
      appSettings: concat(map(items(settings), setting => { name: setting.key, value: setting.value }), [
        { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: component.properties.ConnectionString }
        {
          name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
          value: 'Authorization=AAD;ClientId=${identityClientId}'
        }
        // Addresses, because those are right in every cloud. In the public one the host is given the account's name
        // too: with addresses alone it was seen not to start (azure-functions-host, issues 11782 and 11787).
        { name: 'AzureWebJobsStorage__blobServiceUri', value: 'https://${storageName}.blob.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__queueServiceUri', value: 'https://${storageName}.queue.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__tableServiceUri', value: 'https://${storageName}.table.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'AzureWebJobsStorage__clientId', value: identityClientId }
        { name: 'AZURE_CLIENT_ID', value: identityClientId }
        { name: 'PYTHON_THREADPOOL_THREAD_COUNT', value: string(threads) }
      ], environment().name == 'AzureCloud' ? [{ name: 'AzureWebJobsStorage__accountName', value: storageName }] : [])
    }
  }

  // Nobody deploys with a password.
  resource noScmPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource noFtpPassword 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }
}

// A second wall in front of the same token: the platform refuses what is not for this application, from this tenant,
// by an allowed caller, before it starts any of our code. The program checks all of that again, and the role.
// https://learn.microsoft.com/azure/app-service/configure-authentication-provider-aad
resource authentication 'Microsoft.Web/sites/config@2024-11-01' = if (platformAuthentication) {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'Return401'
      excludedPaths: ['/api/health']
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          openIdIssuer: uri(entraAuthority, '${entraTenantId}/v2.0')
          clientId: entraClientId
        }
        validation: {
          allowedAudiences: entraAudiences
          defaultAuthorizationPolicy: { allowedApplications: split(entraAllowedCallers, ',') }
        }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}

// What the host itself says, also when it cannot reach Application Insights.
resource appLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'host'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output functionAppName string = app.name
output hostName string = app.properties.defaultHostName
