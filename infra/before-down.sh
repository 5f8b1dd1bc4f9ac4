#!/bin/sh
# Before `azd down`: refuses to delete a resource group that was there before this installation.
set -eu
[ "${CREATE_RESOURCE_GROUP:-true}" = false ] || exit 0
echo "azd down would delete the whole resource group ${RESOURCE_GROUP:-}, which others made (CREATE_RESOURCE_GROUP)." >&2
echo "docs/deploy.md says under Removing how to delete what belongs to this installation alone." >&2
exit 1
