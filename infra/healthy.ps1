# What healthy.sh does, for Windows.
$ErrorActionPreference = 'Stop'
foreach ($attempt in 1..20) {
    try {
        if ((Invoke-WebRequest -Uri $env:HEALTH_URI -TimeoutSec 30 -UseBasicParsing).StatusCode -eq 200) {
            Write-Output 'The app is healthy.'
            exit 0
        }
    }
    catch { Write-Warning "Attempt ${attempt}: $($_.Exception.Message)" }
    Start-Sleep -Seconds 15
}
Write-Error "$env:HEALTH_URI does not answer 200: docs/deploy.md says what each part that is down may mean."
exit 1
