// How does the bridge do? A workbook over its log: Monitor > Workbooks, or the workspace's own list.
//
// What it shows is in workbook.json, which infra/terraform reads too; tests/infra run each of its queries over what the
// program writes.
param location string
param tags object
@description('The workspace that the app logs to.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // A name must be a GUID; the same workspace and group give the same one, so that it is made once.
  name: guid(resourceGroup().id, workspaceId, 'itsm-bridge')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'itsm-bridge'
    description: 'Time to incident, outcomes, failures by reason, parked and waiting alerts, storms.'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: replace(loadTextContent('workbook.json'), 'WORKSPACE_ID', workspaceId)
  }
}
