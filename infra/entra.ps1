# What entra.sh does, for Windows.
$ErrorActionPreference = 'Stop'
if ($args.Count -eq 0 -and $env:ENTRA_SETUP -eq 'skip') { exit 0 }
$options = if ($args.Count -gt 0) { $args } else { @('--azd') }
& (Join-Path $PSScriptRoot 'python.ps1') -m itsm_bridge.entra.setup @options
exit $LASTEXITCODE
