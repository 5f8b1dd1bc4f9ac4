// The function app and what it stands on. No key and no connection string: the app is known by its identity.
param location string
@description('Makes names unique: 13 lower-case letters and digits.')
param token string
param tags object
param vaultName string
@description('App settings of the program, by name.')
param settings object
@description('Secrets by name. An empty one is not written: what is in the vault stays.')
@secure()
param secrets object
param alwaysReadyInstances int
param alwaysReadyWakeUpInstances int
param maximumInstanceCount int
param siteUpdateStrategy string
param storageRedundancy string
param logRetentionDays int
param restrictToAzureMonitor bool

// Threads that answer calls and wake-ups in each Python worker, and the calls that an instance is given at once.
// The defaults, a handful of threads and one call at a time, would start an instance for each alert of a storm.
var threads = 16
var storageName = 'st${token}'
var packages = 'packages'
var secretNames = ['servicenow-client-secret', 'servicenow-api-key', 'servicenow-password']

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roles = {
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fae8'
  storageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${token}'
  location: location
  tags: tags
}

// ---- logs

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'log-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: logRetentionDays
    features: { disableLocalAuth: true }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
  }
}

resource telemetryAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, identity.id, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// ---- storage: the table and the queues of the program, the host's own blobs, the deployed package

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: storageRedundancy }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource container 'containers' = {
      name: packages
    }
  }
}

// Blob Data Owner is what the Functions host asks for: it keeps locks and keys in blobs of its own.
// https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
resource storageAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [roles.storageBlobDataOwner, roles.storageQueueDataContributor, roles.storageTableDataContributor]: {
    name: guid(storage.id, identity.id, role)
    scope: storage
    properties: {
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

// ---- secrets of ServiceNow

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 7
  }
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = [
  for name in secretNames: if (!empty(secrets[name])) {
    parent: vault
    name: name
    properties: { value: secrets[name] }
  }
]

resource vaultAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identity.id, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}

// Who read or changed a secret, and when.
resource vaultAudit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspace.id
    logs: [{ categoryGroup: 'audit', enabled: true }]
  }
}

// ---- the app

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'bridge' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageName}.blob.${environment().suffixes.storage}/${packages}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
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
          value: 'Authorization=AAD;ClientId=${identity.properties.clientId}'
        }
        // Addresses, because those are right in every cloud. In the public one the host is given the account's name
        // too: with addresses alone it was seen not to start (azure-functions-host, issues 11782 and 11787).
        { name: 'AzureWebJobsStorage__blobServiceUri', value: 'https://${storageName}.blob.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__queueServiceUri', value: 'https://${storageName}.queue.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__tableServiceUri', value: 'https://${storageName}.table.${environment().suffixes.storage}' }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'AzureWebJobsStorage__clientId', value: identity.properties.clientId }
        { name: 'PYTHON_THREADPOOL_THREAD_COUNT', value: string(threads) }
      ], environment().name == 'AzureCloud' ? [{ name: 'AzureWebJobsStorage__accountName', value: storageName }] : [])
    }
  }
  dependsOn: [storage::blobs::container, storageAccess, vaultAccess, telemetryAccess]

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

// What the host itself says, also when it cannot reach Application Insights.
resource appLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'host'
  scope: app
  properties: {
    workspaceId: workspace.id
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output functionAppName string = app.name
output hostName string = app.properties.defaultHostName
output storageAccountName string = storage.name
output workspaceId string = workspace.id
output componentId string = component.id
