#!/bin/sh
# After a deployment: waits until the app says that it can do its work, and fails if it does not within five minutes.
set -eu
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    answer=$(curl --silent --max-time 30 --write-out '\n%{http_code}' "$HEALTH_URI" || true)
    case "$answer" in
    *200)
        echo "The app is healthy."
        exit 0
        ;;
    esac
    echo "Attempt $attempt: $(printf '%s' "$answer" | tr '\n' ' ')" >&2
    sleep "${HEALTH_PAUSE:-15}"
done
echo "$HEALTH_URI does not answer 200: docs/deploy.md says what each part that is down may mean." >&2
exit 1
