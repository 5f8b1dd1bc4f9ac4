# How does the bridge do? A workbook over its log: Monitor > Workbooks, or the workspace's own list.
#
# What it shows is in ../workbook.json, which workbook.bicep reads too.

resource "azapi_resource" "workbook" {
  count     = var.create_workbook ? 1 : 0
  type      = "Microsoft.Insights/workbooks@2023-06-01"
  parent_id = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/resourceGroups/${local.group}"
  # A name must be a GUID; the same workspace and group give the same one, so that it is made once.
  name     = uuidv5("url", "itsm-bridge/${local.group}/${local.workspace_id}")
  location = var.location
  tags     = local.tags

  body = {
    kind = "shared"
    properties = {
      displayName    = "itsm-bridge"
      description    = "Time to incident, outcomes, failures by reason, parked and waiting alerts, storms."
      category       = "workbook"
      sourceId       = local.workspace_id
      version        = "Notebook/1.0"
      serializedData = replace(file("${path.module}/../workbook.json"), "WORKSPACE_ID", local.workspace_id)
    }
  }
}
