#!/bin/sh
# Runs the 301 plain Autobahn cases (all but compression, 12.* and 13.*) against the echo example.
#
#   tests/autobahn.sh [path of the echo binary]
#
# Without a path the example is built. Fails unless every case passes, and passes strictly.
set -eu
echo_server="${1:+$(realpath "$1")}"
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"

if [ -z "$echo_server" ]; then
    cargo build --quiet -p gavel-data-plane --example echo
    echo_server="$target/debug/examples/echo"
fi

venv="$target/autobahn"
if ! "$venv/bin/python" -c 'import kosoku' 2>/dev/null; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check kosoku==0.1.0
fi

exec "$venv/bin/python" tests/autobahn.py "$echo_server"
