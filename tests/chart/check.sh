#!/bin/sh
# Checks the Helm chart: lint, rendering, schemas of Kubernetes, our own rules, refusals, NOTES, bundled Valkey.
# Needs what tests/tools.sh installs; prints `N passed, N failed` and fails if anything did.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
if [ ! -x "$target/tools/helm" ] || [ ! -x "$target/venv/bin/python" ]; then
    echo 'chart: run tests/tools.sh first' >&2
    exit 1
fi
HELM=$target/tools/helm exec "$target/venv/bin/python" -B "$root/tests/chart/check.py" "$@"
