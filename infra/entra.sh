#!/bin/sh
# Runs the Entra set-up as whoever is signed in to azd, and stores its results in the azd environment.
# ENTRA_SETUP=skip leaves it out, where somebody else has run it and the environment has its results.
set -eu
cd "$(dirname "$0")/.."
[ "${ENTRA_SETUP:-}" != skip ] || exit 0

venv=.azure/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
# Without the library of the Functions host, which wants the app's own Python.
grep -v '^azure-functions-runtime==' requirements.txt >"$venv/requirements.txt"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$venv/requirements.txt"
exec "$venv/bin/python" -m itsm_bridge.entra.setup --azd --name "itsm-bridge-$AZURE_ENV_NAME" \
    --cloud "${ENTRA_CLOUD:-public}"
