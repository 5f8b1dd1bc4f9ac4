# What healthy.sh does, for Windows.
$ErrorActionPreference = 'Stop'
if ($env:HEALTH_CHECK -eq 'skip') { exit 0 }
if ($env:RESTRICT_TO_AZURE_MONITOR -eq 'true') {
    Write-Warning 'This machine may not ask (RESTRICT_TO_AZURE_MONITOR): look at the availability test in Application Insights.'
    exit 0
}
$good = 0
foreach ($attempt in 1..30) {
    try {
        $answer = Invoke-WebRequest -Uri $env:HEALTH_URI -TimeoutSec 30 -UseBasicParsing
        $good = if ($answer.StatusCode -eq 200) { $good + 1 } else { 0 }
    }
    catch {
        $good = 0
        Write-Warning "Attempt ${attempt}: $($_.Exception.Message)"
    }
    if ($good -ge 3) {
        Write-Output 'The app is healthy.'
        exit 0
    }
    Start-Sleep -Seconds 10
}
Write-Error "$env:HEALTH_URI does not answer 200: docs/deploy.md says what each part that is down may mean."
