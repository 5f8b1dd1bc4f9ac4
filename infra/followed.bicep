// What the bridge may do with the alerts of one subscription whose list it follows: a role with these actions alone.
//
// installation.bicep calls it for each of followedSubscriptions. Who deploys the bridge and may not grant roles there
// leaves followedSubscriptions empty, and an owner of the subscription deploys this by itself:
//
//     az deployment sub create --subscription SUBSCRIPTION --location REGION --template-file infra/followed.bicep --parameters ...
//
// https://learn.microsoft.com/azure/role-based-access-control/permissions/monitor#microsoftalertsmanagement
targetScope = 'subscription'

@description('Object id of the identity of the app: the output IDENTITY_PRINCIPAL_ID of the installation.')
param principalId string

@description('Name of the installation.')
param environmentName string

@description('Whether the app may change the state of alerts too: for SYNC_ALERT_STATE.')
param mayChangeState bool = false

resource alertsRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, principalId, 'alerts')
  properties: {
    // No two roles of a directory have the same name.
    roleName: 'itsm-bridge ${environmentName}, alerts of ${subscription().subscriptionId}'
    description: 'Reads alerts and their history for itsm-bridge, and changes their state where that is switched on.'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: concat(
          ['Microsoft.AlertsManagement/alerts/read', 'Microsoft.AlertsManagement/alerts/history/read'],
          mayChangeState ? ['Microsoft.AlertsManagement/alerts/changestate/action'] : []
        )
      }
    ]
  }
}

resource alertsAccess 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, alertsRole.id)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: alertsRole.id
  }
}
