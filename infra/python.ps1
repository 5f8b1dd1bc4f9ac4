# What python.sh does, for Windows.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $true
Set-Location (Join-Path $PSScriptRoot '..')

# Whether a command runs Python 3.11 or newer.
function Test-Python([string[]] $command) {
    $PSNativeCommandUseErrorActionPreference = $false
    try {
        $rest = @($command | Select-Object -Skip 1) + @('-c', 'import sys, venv; sys.exit(sys.version_info < (3, 11))')
        & $command[0] @rest 2>$null | Out-Null
        return $LASTEXITCODE -eq 0
    }
    catch { return $false }
}

$python = '.azure/venv/Scripts/python.exe'
if (-not (Test-Python @($python))) {
    $candidates = if ($env:PYTHON) { , @($env:PYTHON) } else { @('py', '-3.13'), @('py', '-3.12'), @('py', '-3.11'), @('python3'), @('python') }
    $found = $candidates | Where-Object { Test-Python $_ } | Select-Object -First 1
    if (-not $found) { throw 'No Python from 3.11 on was found; PYTHON names another one.' }
    $found = @($found)
    if (Test-Path .azure/venv) { Remove-Item -Recurse -Force .azure/venv }
    $rest = @($found | Select-Object -Skip 1) + @('-m', 'venv', '.azure/venv')
    & $found[0] @rest
}
# Without the library of the Functions host, which wants the app's own Python.
$text = (Get-Content requirements.txt -Raw) -replace "(?m)^azure-functions-runtime==(.*\\\r?\n)*.*\r?\n", ''
Set-Content .azure/venv/requirements.txt $text
& $python -m pip install --quiet --disable-pip-version-check -r .azure/venv/requirements.txt
& $python @args
exit $LASTEXITCODE
