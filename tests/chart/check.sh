#!/bin/sh
# Checks the Helm chart: lint, rendering, schemas, golden files, our own rules, refusals, alerts, NOTES, bundled Valkey,
# the rendered pods as processes of this machine, and the image that goes without Docker.
#   check.sh            everything; GAVEL_BIN names the binary, by default target/debug/gavel
#   check.sh --write    renews golden/ and the values table of helm/README.md first
# Needs what tests/tools.sh installs; prints `N passed, N failed` and fails if anything did.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
if [ ! -x "$target/tools/helm4" ] || [ ! -x "$target/venv/bin/python" ]; then
    echo 'chart: run tests/tools.sh first' >&2
    exit 1
fi
GAVEL_BIN=${GAVEL_BIN:-$target/debug/gavel}
if [ ! -x "$GAVEL_BIN" ]; then
    echo 'chart: run cargo build first' >&2
    exit 1
fi
TOOLS=$target/tools
export GAVEL_BIN TOOLS
exec "$target/venv/bin/python" -B "$root/tests/chart/check.py" "$@"
