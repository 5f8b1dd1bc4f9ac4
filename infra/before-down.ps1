# What before-down.sh does, for Windows.
if ($env:CREATE_RESOURCE_GROUP -ne 'false') { exit 0 }
Write-Error "azd down would delete the whole resource group $env:RESOURCE_GROUP, which others made (CREATE_RESOURCE_GROUP)." -ErrorAction Continue
Write-Error 'docs/deploy.md says under Removing how to delete what belongs to this installation alone.' -ErrorAction Continue
exit 1
