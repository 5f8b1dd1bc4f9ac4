// Everything that the bridge needs in Azure, in one resource group of its own.
//
//   main.bicep          the parameters, and the app settings that follow from them
//   bridge.bicep        the function app, its identity, storage account, vault and logs
//   watch.bicep         who is told when the bridge itself is in trouble
//   action-group.bicep  the secure webhook that Azure Monitor calls
//
// docs/deploy.md says how it is deployed, with azd and by hand.
targetScope = 'subscription'

@description('Name of this installation, for example prod. It becomes part of the resource group\'s name.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region. It must offer Flex Consumption: az functionapp list-flexconsumption-locations.')
param location string

@description('Address of the ServiceNow instance, https://NAME.service-now.com.')
param servicenowInstanceUrl string

@description('How the app signs in to ServiceNow. It decides which of the following five parameters are used.')
@allowed(['oauth-client-credentials', 'oauth-password', 'api-key', 'basic'])
param servicenowSignIn string = 'oauth-client-credentials'

@description('OAuth client id; for both oauth sign-ins.')
param servicenowClientId string = ''

@description('OAuth client secret; for both oauth sign-ins. Empty: what is in the vault stays.')
@secure()
param servicenowClientSecret string = ''

@description('API key; for the sign-in api-key. Empty: what is in the vault stays.')
@secure()
param servicenowApiKey string = ''

@description('Name of the ServiceNow account; for oauth-password and basic.')
param servicenowUsername string = ''

@description('Password of that account. Empty: what is in the vault stays.')
@secure()
param servicenowPassword string = ''

@description('Who is told by e-mail when an alert is parked or the bridge is not healthy. Never through the bridge itself.')
param operatorEmail string

@description('Client id of the Entra application; "python -m itsm_bridge setup" prints it.')
param entraClientId string

@description('Object id of that application: of the application, not of its service principal.')
param entraObjectId string

@description('Application ID URI of that application.')
param entraIdentifierUri string

@description('Tenant of that application.')
param entraTenantId string = tenant().tenantId

@description('Host that publishes the tenant\'s signing keys.')
param entraAuthority string = environment().authentication.loginEndpoint

@description('Application that calls secure webhooks: Azure Monitor\'s "AzNS AAD Webhook". It differs between clouds.')
param entraAllowedCallers string = '461e8683-5575-4561-ac7f-899cc907d62a'

@description('App role that the caller must have been granted. Empty: none.')
param entraRequiredRole string = 'ActionGroupsSecureWebhook'

@description('Ids of the subscriptions that alerts may come from, separated by commas; the word tenant among them admits alerts that name none. Empty: all in the tenant.')
param allowedSubscriptions string = ''

@description('Requests in flight to ServiceNow per instance of the app. ServiceNow gives API users four semaphores a node.')
@minValue(1)
@maxValue(64)
param servicenowMaxConcurrency int = 4

@description('Close code that incidents are resolved with; empty takes the most fitting of the instance.')
param servicenowCloseCode string = ''

@description('Whether a work note says that no configuration item was found.')
param servicenowNoteMissingItem bool = true

@description('Path of a rules file inside the deployed app. Empty: the built-in rules.')
param rulesFile string = ''

@description('Hours for which a temporary failure is retried before the alert is parked.')
@minValue(1)
param retryHorizonHours int = 72

@description('Days for which the rows of alerts that are over are kept.')
@minValue(1)
param retentionDays int = 90

@description('Instances that are always running. With none, a call after a quiet time may take longer than Azure Monitor waits.')
@minValue(0)
param alwaysReadyInstances int = 1

@description('Instances at most, of each group of functions: webhooks and wake-ups. One node of ServiceNow bears the default.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 5

@description('Instances that are always running for wake-ups. With none, a wake-up after a quiet time waits for an instance to start.')
@minValue(0)
param alwaysReadyWakeUpInstances int = 0

@description('How a new version replaces the old one. Recreate ends what is in progress; RollingUpdate, in preview, lets it end.')
@allowed(['Recreate', 'RollingUpdate'])
param siteUpdateStrategy string = 'Recreate'

@description('Redundancy of the storage account that holds alerts until ServiceNow knows them.')
@allowed(['Standard_ZRS', 'Standard_GZRS', 'Standard_LRS'])
param storageRedundancy string = 'Standard_ZRS'

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Where GET /api/health is probed from. Other clouds have other ids.')
param probeLocations array = environment().name == 'AzureUSGovernment'
  ? ['usgov-va-azr', 'usgov-phx-azr', 'usgov-tx-azr']
  : ['emea-nl-ams-azr', 'us-va-ash-azr', 'apac-sg-sin-azr']

@description('Refuse every network but Azure Monitor\'s own: its action groups and its availability probes.')
param restrictToAzureMonitor bool = false

@description('Create the action group. Its address holds the function key, which exists once the code has been deployed.')
param createActionGroup bool = false

@description('Name of the function key in the address of the action group. To rotate, make a key of another name first.')
param functionKeyName string = 'default'

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var vaultName = 'kv-${token}'

// Key Vault references: the platform reads the secrets with the app's identity, and nobody else needs to.
var clientSecret = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=servicenow-client-secret)'
var apiKey = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=servicenow-api-key)'
var password = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=servicenow-password)'

var signInSettings = {
  'oauth-client-credentials': {
    SERVICENOW_CLIENT_ID: servicenowClientId
    SERVICENOW_CLIENT_SECRET: clientSecret
  }
  'oauth-password': {
    SERVICENOW_CLIENT_ID: servicenowClientId
    SERVICENOW_CLIENT_SECRET: clientSecret
    SERVICENOW_USERNAME: servicenowUsername
    SERVICENOW_PASSWORD: password
  }
  'api-key': {
    SERVICENOW_API_KEY: apiKey
  }
  basic: {
    SERVICENOW_USERNAME: servicenowUsername
    SERVICENOW_PASSWORD: password
  }
}

var settings = {
  ENTRA_TENANT_ID: entraTenantId
  // Version 2 tokens name the client id; version 1 tokens the URI.
  ENTRA_AUDIENCE: '${entraClientId},${entraIdentifierUri}'
  ENTRA_ALLOWED_CALLERS: entraAllowedCallers
  ENTRA_REQUIRED_ROLE: entraRequiredRole
  ENTRA_AUTHORITY: entraAuthority
  ALLOWED_SUBSCRIPTIONS: allowedSubscriptions
  SERVICENOW_INSTANCE_URL: servicenowInstanceUrl
  SERVICENOW_MAX_CONCURRENCY: string(servicenowMaxConcurrency)
  SERVICENOW_CLOSE_CODE: servicenowCloseCode
  SERVICENOW_NOTE_MISSING_ITEM: string(servicenowNoteMissingItem)
  ITSM_RULES_FILE: rulesFile
  RETRY_HORIZON_HOURS: string(retryHorizonHours)
  RETENTION_DAYS: string(retentionDays)
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-itsm-bridge-${environmentName}'
  location: location
  tags: tags
}

module bridge 'bridge.bicep' = {
  name: 'bridge'
  scope: group
  params: {
    location: location
    token: token
    tags: tags
    vaultName: vaultName
    settings: union(settings, signInSettings[servicenowSignIn])
    secrets: {
      'servicenow-client-secret': servicenowClientSecret
      'servicenow-api-key': servicenowApiKey
      'servicenow-password': servicenowPassword
    }
    alwaysReadyInstances: alwaysReadyInstances
    alwaysReadyWakeUpInstances: alwaysReadyWakeUpInstances
    maximumInstanceCount: maximumInstanceCount
    siteUpdateStrategy: siteUpdateStrategy
    storageRedundancy: storageRedundancy
    logRetentionDays: logRetentionDays
    restrictToAzureMonitor: restrictToAzureMonitor
  }
}

module watch 'watch.bicep' = {
  name: 'watch'
  scope: group
  params: {
    location: location
    tags: tags
    operatorEmail: operatorEmail
    workspaceId: bridge.outputs.workspaceId
    componentId: bridge.outputs.componentId
    healthUri: 'https://${bridge.outputs.hostName}/api/health'
    probeLocations: probeLocations
  }
}

module actionGroup 'action-group.bicep' = if (createActionGroup) {
  name: 'action-group'
  scope: group
  params: {
    tags: tags
    functionAppName: bridge.outputs.functionAppName
    functionKeyName: functionKeyName
    objectId: entraObjectId
    identifierUri: entraIdentifierUri
    tenantId: entraTenantId
  }
}

@description('Add this action group to alert rules. Empty until it exists.')
output ACTION_GROUP_ID string = createActionGroup ? actionGroup!.outputs.id : ''

@description('The function app: az functionapp ... --name')
output FUNCTION_APP_NAME string = bridge.outputs.functionAppName

@description('Tells whether the app can do its work.')
output HEALTH_URI string = 'https://${bridge.outputs.hostName}/api/health'

@description('The vault that holds the ServiceNow secrets: az keyvault secret set --vault-name')
output KEY_VAULT_NAME string = vaultName

@description('The storage account of the table and the queues, for the command line: AzureWebJobsStorage__accountName.')
output STORAGE_ACCOUNT_NAME string = bridge.outputs.storageAccountName

@description('The resource group of all this.')
output RESOURCE_GROUP string = group.name
