#!/bin/sh
# After a deployment: waits until the app says three times in a row that it can do its work, because an instance of the
# version before may answer once more. HEALTH_CHECK=skip leaves it out.
set -eu
[ "${HEALTH_CHECK:-}" != skip ] || exit 0
if [ "${RESTRICT_TO_AZURE_MONITOR:-}" = true ]; then
    echo "This machine may not ask (RESTRICT_TO_AZURE_MONITOR): look at the availability test in Application Insights." >&2
    exit 0
fi
good=0
attempt=0
while [ "$attempt" -lt 30 ]; do
    attempt=$((attempt + 1))
    answer=$(curl --silent --max-time 30 --write-out ' %{http_code}' "$HEALTH_URI" || true)
    case "$answer" in
    *" 200") good=$((good + 1)) ;;
    *)
        good=0
        echo "Attempt $attempt: $answer" >&2
        ;;
    esac
    if [ "$good" -ge 3 ]; then
        echo "The app is healthy."
        exit 0
    fi
    sleep "${HEALTH_PAUSE:-10}"
done
echo "$HEALTH_URI does not answer 200: docs/deploy.md says what each part that is down may mean." >&2
exit 1
