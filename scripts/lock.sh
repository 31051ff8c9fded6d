#!/bin/sh
# Make the lock files again from pyproject.toml: versions that are locked already stay, unless they no longer fit.
# Needs uv.  With --upgrade everything moves to the newest that fits.
set -eu
cd "$(dirname "$0")/.."

lock() {
    name=$1
    shift
    uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
        --quiet --output-file "requirements/$name.lock" $UPGRADE "$@"
}

UPGRADE=${1:-}
lock api --extra api --extra s3 --extra tracing
lock worker --extra worker --extra s3 --extra tracing
lock server --extra api --extra worker --extra embedded --extra s3 --extra tracing    # all in one image
lock dev --extra api --extra worker --extra embedded --extra train --extra eval --extra s3 --extra tracing --group dev
