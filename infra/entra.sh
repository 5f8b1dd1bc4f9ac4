#!/bin/sh
# Runs the Entra set-up, by itself with the options of `python -m itsm_bridge setup`, or as a hook of azd with none.
#
#     sh infra/entra.sh --check        what is missing in the directory; --help lists the rest
#     sh infra/entra.sh                from azd: as whoever is signed in to azd, results into the azd environment
#
# ENTRA_SETUP=skip leaves the hook out, where somebody else has run it and the environment has its results.
set -eu
[ "$#" -gt 0 ] || [ "${ENTRA_SETUP:-}" != skip ] || exit 0
[ "$#" -gt 0 ] || set -- --azd
exec sh "$(dirname "$0")/python.sh" -m itsm_bridge.entra.setup "$@"
