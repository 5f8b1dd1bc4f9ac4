// An action group in another tenant that calls a bridge which exists already. Deployed there, by itself:
//
//     az deployment group create --resource-group GROUP --template-file infra/second-tenant.bicep --parameters ...
//
// docs/networks-and-tenants.md says what comes before. It holds an application of its own tenant, because Azure
// Monitor gets tokens in the tenant of the action group alone.
@description('Name of the action group.')
param name string = 'ag-itsm-bridge'

@description('Tags of the action group.')
param tags object = {}

@description('Address of the bridge with its function key, https://HOST/api/alerts?code=KEY.')
@secure()
param serviceUri string

@description('Object id of the application in this tenant; "python -m itsm_bridge setup" prints it.')
param entraObjectId string

@description('Application ID URI of that application.')
param entraIdentifierUri string

@description('This tenant.')
param entraTenantId string = tenant().tenantId

resource bridge 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'itsm-bridge'
    enabled: true
    webhookReceivers: [
      {
        name: 'itsm-bridge'
        serviceUri: serviceUri
        useCommonAlertSchema: true
        useAadAuth: true
        objectId: entraObjectId
        identifierUri: entraIdentifierUri
        tenantId: entraTenantId
      }
    ]
  }
}

@description('Add this action group to alert rules.')
output ACTION_GROUP_ID string = bridge.id
