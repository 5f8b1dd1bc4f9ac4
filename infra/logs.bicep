// Where is logged what the app does? Application Insights in a Log Analytics workspace, made here or there already.
param location string
param tags object
param workspaceName string
param componentName string
@description('Id of a workspace that exists. Empty: one is made.')
param existingWorkspaceId string
param logRetentionDays int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = if (empty(existingWorkspaceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: logRetentionDays
    features: { disableLocalAuth: true }
  }
}

var usedWorkspaceId = empty(existingWorkspaceId) ? workspace.id : existingWorkspaceId

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: usedWorkspaceId
    DisableLocalAuth: true
  }
}

output workspaceId string = usedWorkspaceId
output componentId string = component.id
output componentName string = component.name
