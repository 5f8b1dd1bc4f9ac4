#!/bin/sh
# Runs Python with the libraries of this project, for people who deploy and operate it and develop nothing.
#
#     sh infra/python.sh -m itsm_bridge status
#
# It needs Python 3.11 or newer and nothing else: the libraries go into .azure/venv, unless .venv has them already.
# PYTHON=... chooses another interpreter.
set -eu
cd "$(dirname "$0")/.."

# Whether $1 runs, is 3.11 or newer, and can make a virtual environment.
fits() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_libraries() { "$1" -c 'import azure.identity, requests' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
        [ "$candidate" != "${PYTHON:-}" ] || break
    done
    echo "${PYTHON:-Python} does not run, is older than 3.11, or lacks the venv module (Debian: python3-venv)." >&2
    return 1
}

python=.venv/bin/python
if [ -n "${PYTHON:-}" ] || ! fits "$python" || ! has_libraries "$python"; then
    found=$(find_python)
    venv=.azure/venv
    python=$venv/bin/python
    fits "$python" || { rm -rf "$venv" && "$found" -m venv "$venv"; }
    # Without the library of the Functions host, which wants the app's own Python.
    sed '/^azure-functions-runtime==/,/[^\\]$/d' requirements.txt >"$venv/requirements.txt"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$venv/requirements.txt"
fi
exec "$python" "$@"
