// Everything that the bridge needs in Azure, in a resource group that exists.
//
//   logs.bicep          where is logged what the app does?
//   stores.bicep        identity, storage account, vault, and who may do what with them
//   network.bicep       which network does the app send from?
//   endpoints.bicep     how does the app reach storage and vault without the internet?
//   followed.bicep      what may the app do with the alerts of other subscriptions?
//   app.bicep           the function app
//   watch.bicep         who is told when the bridge itself is in trouble?
//   workbook.bicep      how does the bridge do?
//   action-group.bicep  the secure webhook that Azure Monitor calls
//
// main.bicep makes the group and calls this; who has rights in one group alone deploys this by itself:
//
//     az deployment group create --resource-group GROUP --template-file infra/installation.bicep --parameters ...
//
// infra/terraform sets the same things; tests/infra/test_parity.py proves it.

@description('Name of this installation, for example prod. It becomes part of names.')
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

@description('App role that the caller must have been granted. The word none switches the check off.')
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

@description('Send traces and metrics to Application Insights too. The log is there in any case, and the workbook needs nothing else.')
param telemetryToApplicationInsights bool = false

@description('Make a workbook over the log of the bridge. It costs nothing.')
param createWorkbook bool = true

@description('More tenants whose Azure Monitor may call, separated by commas; each has an application of its own.')
param additionalTenantIds string = ''

@description('Client ids and application ID URIs of those applications, separated by commas.')
param additionalAudiences string = ''

@description('Have App Service check tokens too, before the program does. For one tenant; docs/security.md says what to try first.')
param platformAuthentication bool = false

@description('Path of a rules file inside the deployed app. Empty: the built-in rules.')
param rulesFile string = ''

@description('Hours for which a temporary failure is retried before the alert is parked.')
@minValue(1)
param retryHorizonHours int = 72

@description('Days for which the rows of alerts that are over are kept.')
@minValue(1)
param retentionDays int = 90

@description('Resource ids of the action groups that call the bridge, separated by commas. Empty: those of actionGroupNames in this resource group.')
param azureActionGroupIds string = ''

@description('Look in Azure\'s own list for alerts that never reached the bridge. It needs a role on the subscriptions: followedSubscriptions.')
param recoverMissedAlerts bool = false

@description('Pass on to the alerts in Azure what people do to their incidents. It needs a role on the subscriptions: followedSubscriptions.')
param syncAlertState bool = false

@description('Ids of the subscriptions whose alerts are followed, separated by commas: the app is granted a role of its own there, by whoever deploys. Empty: an owner grants it with followed.bicep.')
param followedSubscriptions string = ''

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

@description('Names of the resources: {type} is put in for st, kv, func, ..., {token} for 13 letters and digits, {env} for environmentName. Storage accounts lose their hyphens. Empty: {type}-{token}.')
param namePattern string = ''

@description('Names of the action groups that call the bridge, separated by commas.')
param actionGroupNames string = 'ag-itsm-bridge'

@description('Name of the action group that tells operators.')
param operatorActionGroupName string = 'ag-itsm-bridge-operators'

@description('Stands before the names of the alert rules that watch the bridge, where two installations share a resource group.')
param alertRulePrefix string = ''

@description('Tags of all resources: NAME=VALUE, separated by commas.')
param tagList string = ''

@description('Id of a Log Analytics workspace that exists. Empty: one is made.')
param workspaceId string = ''

@description('Ids of action groups that are told besides operatorEmail, separated by commas.')
param operatorActionGroupIds string = ''

@description('Object id of the person, group or service principal that uses the command line. It gets the roles for the table and the queues. Empty: nobody.')
param operatorPrincipalId string = ''

@description('What operatorPrincipalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Whether that one may write the secrets of ServiceNow too.')
param operatorMayWriteSecrets bool = false

@description('Put storage and vault behind private endpoints, and let the app send through a virtual network. The webhook stays public.')
param privateNetwork bool = false

@description('Send from one address that never changes, through a NAT gateway; for the allow-list of the ServiceNow instance.')
param fixedOutgoingAddress bool = false

@description('Address range of the virtual network that is made, /24 or larger.')
param networkPrefix string = '10.91.0.0/24'

@description('Id of a subnet that exists, delegated to Microsoft.App/environments. Empty: a virtual network is made where one is needed.')
param appSubnetId string = ''

@description('Id of a subnet that exists, for the private endpoints. Needed with appSubnetId where privateNetwork is set.')
param endpointSubnetId string = ''

@description('Make the private DNS zones. With a subnet that exists, a policy or somebody else has to register the endpoints.')
param createDnsZones bool = true

@description('Public addresses from which storage and vault may be reached all the same, separated by commas: those of operators.')
param operatorAddresses string = ''

@description('Days for which logs are kept, in the workspace that is made.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Where GET /api/health is probed from: ids of three places or more, separated by commas. Empty: three of this cloud; for China name them.')
param probeLocations string = ''

@description('Seconds between two probes from the same place. Each probe costs: docs/deploy.md has the arithmetic.')
@allowed([300, 600, 900])
param probeFrequency int = 900

@description('Refuse every network but Azure Monitor\'s own: its action groups and its availability probes.')
param restrictToAzureMonitor bool = false

@description('Create the action group. Its address holds the function key, which exists once the code has been deployed.')
param createActionGroup bool = false

@description('Name of the function key in the address of the action group. To rotate, make a key of another name first.')
param functionKeyName string = 'default'

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tagPairs = filter(split(tagList, ','), each => contains(each, '='))
var tags = union(
  toObject(tagPairs, each => trim(split(each, '=')[0]), each => trim(substring(each, indexOf(each, '=') + 1))),
  { 'azd-env-name': environmentName }
)
var pattern = replace(replace(empty(namePattern) ? '{type}-{token}' : namePattern, '{token}', token), '{env}', environmentName)
var storageName = take(toLower(replace(replace(pattern, '{type}', 'st'), '-', '')), 24)
var vaultName = take(replace(pattern, '{type}', 'kv'), 24)
var hasNetwork = privateNetwork || fixedOutgoingAddress || !empty(appSubnetId)
var probePlaces = !empty(probeLocations)
  ? split(probeLocations, ',')
  : environment().name == 'AzureUSGovernment'
      ? ['usgov-va-azr', 'usgov-phx-azr', 'usgov-tx-azr']
      : ['emea-nl-ams-azr', 'us-va-ash-azr', 'apac-sg-sin-azr']
var audiences = filter(
  union([entraClientId, entraIdentifierUri], split(additionalAudiences, ',')),
  each => !empty(each)
)

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

var ownActionGroupIds = map(
  filter(split(actionGroupNames, ','), each => !empty(trim(each))),
  each => resourceId('Microsoft.Insights/actionGroups', trim(each))
)

var followed = recoverMissedAlerts || syncAlertState
  ? filter(map(split(followedSubscriptions, ','), each => trim(each)), each => !empty(each))
  : []

var settings = {
  ENTRA_TENANT_ID: join(filter([entraTenantId, additionalTenantIds], each => !empty(each)), ',')
  // Version 2 tokens name the client id; version 1 tokens the URI.
  ENTRA_AUDIENCE: join(audiences, ',')
  ENTRA_ALLOWED_CALLERS: entraAllowedCallers
  ENTRA_REQUIRED_ROLE: entraRequiredRole == 'none' ? '' : entraRequiredRole
  ENTRA_AUTHORITY: entraAuthority
  ALLOWED_SUBSCRIPTIONS: allowedSubscriptions
  SERVICENOW_INSTANCE_URL: servicenowInstanceUrl
  SERVICENOW_MAX_CONCURRENCY: string(servicenowMaxConcurrency)
  SERVICENOW_CLOSE_CODE: servicenowCloseCode
  SERVICENOW_NOTE_MISSING_ITEM: string(servicenowNoteMissingItem)
  TELEMETRY_TO_APPLICATION_INSIGHTS: string(telemetryToApplicationInsights)
  ITSM_RULES_FILE: rulesFile
  RETRY_HORIZON_HOURS: string(retryHorizonHours)
  RETENTION_DAYS: string(retentionDays)
  AZURE_ACTION_GROUP_IDS: empty(azureActionGroupIds) ? join(ownActionGroupIds, ',') : azureActionGroupIds
  RECOVER_MISSED_ALERTS: string(recoverMissedAlerts)
  SYNC_ALERT_STATE: string(syncAlertState)
  AZURE_RESOURCE_MANAGER: environment().resourceManager
}

module logs 'logs.bicep' = {
  name: 'logs'
  params: {
    location: location
    tags: tags
    workspaceName: replace(pattern, '{type}', 'log')
    componentName: replace(pattern, '{type}', 'appi')
    existingWorkspaceId: workspaceId
    logRetentionDays: logRetentionDays
  }
}

module stores 'stores.bicep' = {
  name: 'stores'
  params: {
    location: location
    tags: tags
    identityName: replace(pattern, '{type}', 'id')
    storageName: storageName
    vaultName: vaultName
    componentName: logs.outputs.componentName
    workspaceId: logs.outputs.workspaceId
    secrets: {
      'servicenow-client-secret': servicenowClientSecret
      'servicenow-api-key': servicenowApiKey
      'servicenow-password': servicenowPassword
    }
    storageRedundancy: storageRedundancy
    isPrivate: privateNetwork
    operatorAddresses: filter(split(operatorAddresses, ','), each => !empty(each))
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    operatorMayWriteSecrets: operatorMayWriteSecrets
  }
}

module network 'network.bicep' = if (hasNetwork) {
  name: 'network'
  params: {
    location: location
    tags: tags
    virtualNetworkName: replace(pattern, '{type}', 'vnet')
    natGatewayName: replace(pattern, '{type}', 'ng')
    publicAddressName: replace(pattern, '{type}', 'pip')
    securityGroupName: replace(pattern, '{type}', 'nsg')
    networkPrefix: networkPrefix
    existingAppSubnetId: appSubnetId
    existingEndpointSubnetId: endpointSubnetId
    fixedOutgoingAddress: fixedOutgoingAddress
  }
}

module endpoints 'endpoints.bicep' = if (privateNetwork) {
  name: 'endpoints'
  params: {
    location: location
    tags: tags
    endpointName: replace(pattern, '{type}', 'pep')
    storageId: stores.outputs.storageId
    vaultId: stores.outputs.vaultId
    subnetId: network!.outputs.endpointSubnetId
    virtualNetworkId: network!.outputs.virtualNetworkId
    // A network that was made elsewhere resolves names its own way.
    createDnsZones: createDnsZones && empty(appSubnetId)
  }
}

module alerts 'followed.bicep' = [
  for each in followed: {
    name: 'followed-${each}'
    scope: subscription(each)
    params: {
      principalId: stores.outputs.identityPrincipalId
      environmentName: environmentName
      mayChangeState: syncAlertState
    }
  }
]

module app 'app.bicep' = {
  name: 'app'
  params: {
    location: location
    tags: tags
    appName: replace(pattern, '{type}', 'func')
    planName: replace(pattern, '{type}', 'plan')
    settings: union(settings, signInSettings[servicenowSignIn])
    identityId: stores.outputs.identityId
    identityClientId: stores.outputs.identityClientId
    storageName: stores.outputs.storageName
    packagesUri: stores.outputs.packagesUri
    componentName: logs.outputs.componentName
    workspaceId: logs.outputs.workspaceId
    subnetId: hasNetwork ? network!.outputs.appSubnetId : ''
    alwaysReadyInstances: alwaysReadyInstances
    alwaysReadyWakeUpInstances: alwaysReadyWakeUpInstances
    maximumInstanceCount: maximumInstanceCount
    siteUpdateStrategy: siteUpdateStrategy
    restrictToAzureMonitor: restrictToAzureMonitor
    platformAuthentication: platformAuthentication
    entraAuthority: entraAuthority
    entraTenantId: entraTenantId
    entraClientId: entraClientId
    entraAudiences: audiences
    entraAllowedCallers: entraAllowedCallers
  }
  // The app must not start before it can reach its storage.
  dependsOn: [endpoints]
}

module watch 'watch.bicep' = {
  name: 'watch'
  params: {
    location: location
    tags: tags
    operatorEmail: operatorEmail
    operatorGroupName: operatorActionGroupName
    operatorActionGroupIds: filter(split(operatorActionGroupIds, ','), each => !empty(each))
    rulePrefix: alertRulePrefix
    workspaceId: logs.outputs.workspaceId
    componentId: logs.outputs.componentId
    healthUri: 'https://${app.outputs.hostName}/api/health'
    probeLocations: probePlaces
    probeFrequency: probeFrequency
  }
}

module workbook 'workbook.bicep' = if (createWorkbook) {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    workspaceId: logs.outputs.workspaceId
  }
}

module actionGroup 'action-group.bicep' = if (createActionGroup) {
  name: 'action-group'
  params: {
    tags: tags
    names: split(actionGroupNames, ',')
    functionAppName: app.outputs.functionAppName
    functionKeyName: functionKeyName
    objectId: entraObjectId
    identifierUri: entraIdentifierUri
    tenantId: entraTenantId
  }
}

@description('Add this action group to alert rules. Empty until it exists.')
output ACTION_GROUP_ID string = createActionGroup ? actionGroup!.outputs.ids[0] : ''

@description('All action groups that call the bridge, separated by commas.')
output ACTION_GROUP_IDS string = createActionGroup ? join(actionGroup!.outputs.ids, ',') : ''

@description('The function app: az functionapp ... --name')
output FUNCTION_APP_NAME string = app.outputs.functionAppName

@description('Tells whether the app can do its work.')
output HEALTH_URI string = 'https://${app.outputs.hostName}/api/health'

@description('The vault that holds the ServiceNow secrets: az keyvault secret set --vault-name')
output KEY_VAULT_NAME string = vaultName

@description('The storage account of the table and the queues, for the command line: AzureWebJobsStorage__accountName.')
output STORAGE_ACCOUNT_NAME string = stores.outputs.storageName

@description('The address that the app sends from, for the allow-list of the ServiceNow instance. Empty: many, which change.')
output OUTGOING_ADDRESS string = hasNetwork ? network!.outputs.outgoingAddress : ''

@description('Object id of the identity of the app, for who grants it roles elsewhere.')
output IDENTITY_PRINCIPAL_ID string = stores.outputs.identityPrincipalId

@description('The resource group of all this.')
output RESOURCE_GROUP string = resourceGroup().name

@description('The same, under the name by which azd looks for it when it deploys the code.')
output AZURE_RESOURCE_GROUP string = resourceGroup().name
