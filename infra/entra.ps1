# What entra.sh does, for Windows.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $true
Set-Location (Join-Path $PSScriptRoot '..')
if ($env:ENTRA_SETUP -eq 'skip') { exit 0 }

$python = '.azure/venv/Scripts/python.exe'
if (-not (Test-Path $python)) { python -m venv .azure/venv }
# Without the library of the Functions host, which wants the app's own Python.
Get-Content requirements.txt | Where-Object { $_ -notmatch '^azure-functions-runtime==' } |
    Set-Content .azure/venv/requirements.txt
& $python -m pip install --quiet --disable-pip-version-check -r .azure/venv/requirements.txt
$cloud = if ($env:ENTRA_CLOUD) { $env:ENTRA_CLOUD } else { 'public' }
& $python -m itsm_bridge.entra.setup --azd --name "itsm-bridge-$env:AZURE_ENV_NAME" --cloud $cloud
