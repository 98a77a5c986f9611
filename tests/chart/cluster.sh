#!/bin/sh
# Installs every file of values on a real API server: etcd, kube-apiserver and kube-controller-manager, built from the Go
# modules that cluster/go.mod names. There are no kubelets: pods are made and admitted, and do not run.
# The build takes about a quarter of an hour of two cores once, and Go 1.26; the rest two minutes.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
TOOLS=$target/tools
export TOOLS
if [ ! -x "$TOOLS/helm4" ] || [ ! -x "$target/venv/bin/python" ]; then
    echo 'cluster: run tests/tools.sh first' >&2
    exit 1
fi
mkdir -p "$TOOLS/cluster"
cd "$root/tests/chart/cluster"
# Helm asks the server which version it is, and that is told to it by the linker.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
while read -r name package; do
    if [ ! -x "$TOOLS/cluster/$name" ]; then
        echo "cluster: building $name"
        CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
            -o "$TOOLS/cluster/$name" "$package"
    fi
done << 'LIST'
etcd go.etcd.io/etcd/server/v3
kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager
LIST
exec "$target/venv/bin/python" -B "$root/tests/chart/cluster.py"
