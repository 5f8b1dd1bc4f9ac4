#!/bin/sh
# Installs what the project needs into its own folder: .venv (Python) and local/node_modules (Azurite).
#
#     local/setup.sh requirements.txt        for the demo
#     local/setup.sh requirements-dev.txt    for the tests and checks too
#
# Quick when nothing changed. PYTHON=... chooses another interpreter.
set -eu
cd "$(dirname "$0")/.."
requirements=$1

say() { printf '%s\n' "$*" >&2; }

give_up() {
    say "$@"
    [ -z "${npm_job:-}" ] || wait "$npm_job" || true
    exit 1
}

# Whether $1 runs, is 3.11 or newer, and can make a virtual environment. A shim of pyenv exists and may not run.
fits() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Production runs on 3.13, so that is preferred.
find_python() {
    [ -z "${PYTHON:-}" ] || {
        fits "$PYTHON" || give_up "PYTHON=$PYTHON does not run, is older than 3.11, or lacks the venv module."
        echo "$PYTHON"
        return
    }
    for version in 3.13 3.12 3.11; do
        for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
            if fits "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
    if fits python3; then
        echo python3
        return
    fi
    give_up "No Python from 3.11 on with the venv module was found (on Debian and Ubuntu: apt install python3-venv)."
}

command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    give_up "Node.js is missing: Azurite, the local Azure Storage, needs node and npm, version 20 or newer."

if [ -n "${PYTHON:-}" ] && [ -x .venv/bin/python ] &&
    [ "$("$PYTHON" --version)" != "$(.venv/bin/python --version)" ]; then
    give_up ".venv was made with $(.venv/bin/python --version), and PYTHON is $("$PYTHON" --version): run \`make clean\` first."
fi

stamp() { cat local/setup.sh requirements*.txt local/package-lock.json | cksum; }
wanted="$requirements $(stamp)"
have=$(cat .venv/installed 2>/dev/null || true)
case "$have" in
"$wanted" | "requirements-dev.txt ${wanted#* }") exit 0 ;;
esac

if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    say "Making .venv with $("$python" --version) ..."
    "$python" -m venv .venv || give_up "The virtual environment could not be made in .venv."
fi
if [ ! -e local/node_modules/.installed ] || ! cksum local/package-lock.json | cmp -s - local/node_modules/.installed; then
    say "Installing Azurite (npm, about half a minute) ..."
    {
        npm ci --prefix local --no-audit --no-fund --loglevel=error >local/.npm.log 2>&1 &&
            cksum local/package-lock.json >local/node_modules/.installed
    } &
    npm_job=$!
fi

say "Installing Python packages of $requirements ..."
# The runtime library is installed by itself, below: locally it is wanted on older Pythons too.
for file in requirements*.txt; do sed '/^azure-functions-runtime==/,/[^\\]$/d' "$file" >".venv/$file"; done
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r ".venv/$requirements" >.venv/pip.log 2>&1 ||
    give_up "$(tail -5 .venv/pip.log)" "pip failed; all it said is in .venv/pip.log."
# The runtime library asks for Python 3.13 and runs on 3.11 and 3.12 as well: locally it is wanted on all of them.
runtime=$(sed -n 's/^\(azure-functions-runtime==[^;]*\).*/\1/p' requirements.in)
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python "$runtime" \
    >>.venv/pip.log 2>&1 || give_up "pip failed; all it said is in .venv/pip.log."

if [ -n "${npm_job:-}" ]; then
    wait "$npm_job" || give_up "$(tail -5 local/.npm.log)" "npm failed; all it said is in local/.npm.log."
fi
echo "$wanted" >.venv/installed
say "Installed."
