// Sends the alerts of a subscription to the bridge, without touching its alert rules: an alert processing rule.
// Deployed into a resource group of that subscription, once for each subscription, by itself:
//
//     az deployment group create --resource-group GROUP --template-file infra/forward.bicep --parameters ...
//
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-processing-rules
@description('Name of the alert processing rule.')
param name string = 'alerts-to-itsm-bridge'

@description('Tags of the rule.')
param tags object = {}

@description('Ids of the action groups; they may be in another subscription of the same tenant.')
param actionGroupIds array

@description('Ids of the subscription, resource groups or resources whose alerts are sent. All must be in the subscription of this rule.')
param scopes array = [subscription().id]

@description('Severities that are sent. Azure gives all alerts of the activity log Sev4, also those of Service Health.')
param severities array = ['Sev0', 'Sev1', 'Sev2', 'Sev3', 'Sev4']

@description('Monitoring services whose alerts are not sent, because nobody can work on them; docs/deploy.md says which.')
param exceptServices array = ['ActivityLog Autoscale', 'ActivityLog Policy', 'ActivityLog Recommendation']

@description('Whether the rule is in force.')
param enabled bool = true

resource rule 'Microsoft.AlertsManagement/actionRules@2021-08-08' = {
  name: name
  location: 'Global'
  tags: tags
  properties: {
    description: 'Adds the action group of itsm-bridge to alerts, so that each becomes a ServiceNow incident.'
    enabled: enabled
    scopes: scopes
    conditions: [
      { field: 'Severity', operator: 'Equals', values: severities }
      { field: 'MonitorService', operator: 'NotEquals', values: exceptServices }
    ]
    actions: [{ actionType: 'AddActionGroups', actionGroupIds: actionGroupIds }]
  }
}

@description('The alert processing rule.')
output RULE_ID string = rule.id
