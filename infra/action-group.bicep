// The secure webhook: Azure Monitor asks Entra ID for a token for our application and sends it with each alert.
// Whoever deploys this must be an owner of that application, or the answer is AadWebhookResourceNotOwnedByCaller.
param tags object
@description('One action group for each name; they all call the same address.')
param names array
param functionAppName string
@description('Which of the host\'s function keys the address holds.')
param functionKeyName string
@description('Object id of the application, not of its service principal.')
param objectId string
param identifierUri string
param tenantId string

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

// The key ends up in the action group's address, readable by whoever may read the action group: it is the second of
// two locks, and docs/security.md says what it is good for.
var functionKey = listKeys('${app.id}/host/default', '2024-11-01').functionKeys[functionKeyName]

resource bridge 'Microsoft.Insights/actionGroups@2023-01-01' = [
  for name in names: {
    name: name
    location: 'global'
    tags: tags
    properties: {
      groupShortName: 'itsm-bridge'
      enabled: true
      webhookReceivers: [
        {
          name: 'itsm-bridge'
          serviceUri: 'https://${app.properties.defaultHostName}/api/alerts?code=${functionKey}'
          useCommonAlertSchema: true
          useAadAuth: true
          objectId: objectId
          identifierUri: identifierUri
          tenantId: tenantId
        }
      ]
    }
  }
]

output ids array = [for (name, index) in names: bridge[index].id]
