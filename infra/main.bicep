// An installation in a resource group of its own, or in one that exists: makes the group and calls installation.bicep.
//
// The parameters are those of installation.bicep, which says what follows from them; tests/infra keep the two the same.
// docs/deploy.md says how it is deployed, with azd and by hand.
targetScope = 'subscription'

@description('Name of the resource group. Empty: rg-itsm-bridge-ENV.')
param resourceGroupName string = ''

@description('Make the resource group. With false it has to exist, and its tags are left alone.')
param createResourceGroup bool = true

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

var groupName = empty(resourceGroupName) ? 'rg-itsm-bridge-${environmentName}' : resourceGroupName

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = if (createResourceGroup) {
  name: groupName
  location: location
  tags: { 'azd-env-name': environmentName }
}

module installation 'installation.bicep' = {
  name: 'itsm-bridge-${environmentName}'
  scope: resourceGroup(groupName)
  params: {
    environmentName: environmentName
    location: location
    servicenowInstanceUrl: servicenowInstanceUrl
    servicenowSignIn: servicenowSignIn
    servicenowClientId: servicenowClientId
    servicenowClientSecret: servicenowClientSecret
    servicenowApiKey: servicenowApiKey
    servicenowUsername: servicenowUsername
    servicenowPassword: servicenowPassword
    operatorEmail: operatorEmail
    entraClientId: entraClientId
    entraObjectId: entraObjectId
    entraIdentifierUri: entraIdentifierUri
    entraTenantId: entraTenantId
    entraAuthority: entraAuthority
    entraAllowedCallers: entraAllowedCallers
    entraRequiredRole: entraRequiredRole
    allowedSubscriptions: allowedSubscriptions
    servicenowMaxConcurrency: servicenowMaxConcurrency
    servicenowCloseCode: servicenowCloseCode
    servicenowNoteMissingItem: servicenowNoteMissingItem
    telemetryToApplicationInsights: telemetryToApplicationInsights
    createWorkbook: createWorkbook
    additionalTenantIds: additionalTenantIds
    additionalAudiences: additionalAudiences
    platformAuthentication: platformAuthentication
    rulesFile: rulesFile
    retryHorizonHours: retryHorizonHours
    retentionDays: retentionDays
    azureActionGroupIds: azureActionGroupIds
    recoverMissedAlerts: recoverMissedAlerts
    syncAlertState: syncAlertState
    followedSubscriptions: followedSubscriptions
    alwaysReadyInstances: alwaysReadyInstances
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyWakeUpInstances: alwaysReadyWakeUpInstances
    siteUpdateStrategy: siteUpdateStrategy
    storageRedundancy: storageRedundancy
    namePattern: namePattern
    actionGroupNames: actionGroupNames
    operatorActionGroupName: operatorActionGroupName
    alertRulePrefix: alertRulePrefix
    tagList: tagList
    workspaceId: workspaceId
    operatorActionGroupIds: operatorActionGroupIds
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    operatorMayWriteSecrets: operatorMayWriteSecrets
    privateNetwork: privateNetwork
    fixedOutgoingAddress: fixedOutgoingAddress
    networkPrefix: networkPrefix
    appSubnetId: appSubnetId
    endpointSubnetId: endpointSubnetId
    createDnsZones: createDnsZones
    operatorAddresses: operatorAddresses
    logRetentionDays: logRetentionDays
    probeLocations: probeLocations
    probeFrequency: probeFrequency
    restrictToAzureMonitor: restrictToAzureMonitor
    createActionGroup: createActionGroup
    functionKeyName: functionKeyName
  }
  dependsOn: [group]
}

@description('Add this action group to alert rules. Empty until it exists.')
output ACTION_GROUP_ID string = installation.outputs.ACTION_GROUP_ID

@description('All action groups that call the bridge, separated by commas.')
output ACTION_GROUP_IDS string = installation.outputs.ACTION_GROUP_IDS

@description('The function app: az functionapp ... --name')
output FUNCTION_APP_NAME string = installation.outputs.FUNCTION_APP_NAME

@description('Tells whether the app can do its work.')
output HEALTH_URI string = installation.outputs.HEALTH_URI

@description('The vault that holds the ServiceNow secrets: az keyvault secret set --vault-name')
output KEY_VAULT_NAME string = installation.outputs.KEY_VAULT_NAME

@description('The storage account of the table and the queues, for the command line: AzureWebJobsStorage__accountName.')
output STORAGE_ACCOUNT_NAME string = installation.outputs.STORAGE_ACCOUNT_NAME

@description('The address that the app sends from, for the allow-list of the ServiceNow instance. Empty: many, which change.')
output OUTGOING_ADDRESS string = installation.outputs.OUTGOING_ADDRESS

@description('Object id of the identity of the app, for who grants it roles elsewhere.')
output IDENTITY_PRINCIPAL_ID string = installation.outputs.IDENTITY_PRINCIPAL_ID

@description('The resource group of all this.')
output RESOURCE_GROUP string = installation.outputs.RESOURCE_GROUP

@description('The same, under the name by which azd looks for it when it deploys the code.')
output AZURE_RESOURCE_GROUP string = installation.outputs.AZURE_RESOURCE_GROUP
