"""The chart on a real API server; see cluster.sh."""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time

import yaml

import authority
import helm
import policy

START_SECONDS = 60
PODS_SECONDS = 60
# Who is admitted into namespaces that hold pods to the restricted standard.
ENFORCED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
BAD_POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"},
           "spec": {"containers": [{"name": "bad", "image": "bad:1", "securityContext": {"privileged": True}}]}}
passed, failed = 0, 0


def report(name, problems):
    global passed, failed
    if problems:
        failed += 1
        print(f"cluster: FAIL {name}", *problems, sep="\n    ", flush=True)
    else:
        passed += 1


class Cluster:
    """The processes of a control plane of Kubernetes, on loopback, with what they need in a directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.config = self.directory / "kubeconfig"

    def start(self, stack):
        etcd, peers, api, manager = free_ports(4)
        keys = self.directory / "accounts"
        keys.mkdir()
        authority.openssl(keys, "genrsa", "-out", "key", "2048")
        token = secrets.token_hex(16)
        (self.directory / "tokens").write_text(f"{token},admin,1,system:masters\n")
        self.spawn(stack, "etcd", "--data-dir", self.directory / "etcd", "--listen-client-urls", f"http://127.0.0.1:{etcd}",
                   "--advertise-client-urls", f"http://127.0.0.1:{etcd}", "--listen-peer-urls", f"http://127.0.0.1:{peers}",
                   "--unsafe-no-fsync")
        self.spawn(stack, "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}", "--secure-port", api,
                   "--bind-address", "127.0.0.1", "--cert-dir", self.directory / "api", "--token-auth-file", self.directory / "tokens",
                   "--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16", "--allow-privileged",
                   "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", keys / "key",
                   "--service-account-signing-key-file", keys / "key", "--endpoint-reconciler-type", "none")
        cluster = {"server": f"https://127.0.0.1:{api}", "insecure-skip-tls-verify": True}
        self.config.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "users": [{"name": "it", "user": {"token": token}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        wait("the API server", START_SECONDS, lambda: self.kubectl("get", "--raw", "/readyz").stdout == "ok")
        self.spawn(stack, "kube-controller-manager", "--kubeconfig", self.config, "--secure-port", manager,
                   "--bind-address", "127.0.0.1", "--service-account-private-key-file", keys / "key", "--leader-elect=false",
                   "--cert-dir", self.directory / "manager")

    def spawn(self, stack, name, *args):
        log = stack.enter_context(open(self.directory / f"{name}.log", "w"))
        process = subprocess.Popen([helm.TOOLS / "cluster" / name, *map(str, args)], stdout=log, stderr=log)
        stack.callback(process.wait)
        # They hold nothing that anybody wants, and the API server takes a minute to stop by itself.
        stack.callback(process.kill)

    def kubectl(self, *args, stdin=None):
        return self.call(helm.TOOLS / "kubectl", *args, stdin=stdin)

    def call(self, *command, stdin=None):
        env = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "KUBECONFIG": str(self.config)}
        return subprocess.run([*map(str, command)], input=stdin, env=env, capture_output=True, text=True, timeout=120)

    def get(self, kind, namespace):
        done = self.kubectl("-n", namespace, "get", kind, "-o", "json")
        return json.loads(done.stdout)["items"] if done.returncode == 0 else []


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait(what, seconds, good):
    deadline = time.monotonic() + seconds
    while not good():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(0.1)


def prepare(cluster):
    """What others would have installed, and a look whether the standard for pods is held."""
    done = cluster.kubectl("apply", "--server-side", *[w for p in sorted((helm.TOOLS / "crds").glob("*.yaml")) for w in ("-f", p)])
    report("the API server takes the CRDs", [done.stderr] if done.returncode else [])
    done = cluster.kubectl("wait", "--for", "condition=Established", "crd", "--all", "--timeout=60s")
    report("the CRDs are served", [done.stderr] if done.returncode else [])
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(namespace("strict")))
    bad = cluster.kubectl("-n", "strict", "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(BAD_POD))
    report("a privileged pod is refused", [] if "violates PodSecurity" in bad.stderr else [bad.stdout + bad.stderr])


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": ENFORCED}}


def check(cluster, path, binary):
    """Installs one file of values, upgrades it, and takes it away again."""
    space = f"{path.stem}-{binary}"
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(namespace(space)))
    tool = (helm.TOOLS / binary, "-n", space)
    done = cluster.call(*tool, "install", "demo", helm.CHART, "-f", path)
    said = done.stdout + done.stderr
    report(f"{binary} installs {path.stem}", [said] if done.returncode or "would violate PodSecurity" in said else [])
    if done.returncode:
        return
    wanted = sum(o["spec"].get("replicas", 1) for kind in ("deployments", "statefulsets") for o in cluster.get(kind, space))
    made = lambda: len(cluster.get("pods", space))  # noqa: E731
    try:
        wait("its pods", PODS_SECONDS, lambda: made() >= wanted > 0)
        missing = []
    except TimeoutError as e:
        events = [o["message"] for o in cluster.get("events", space) if o["type"] == "Warning"]
        missing = [f"{e}: {made()} of {wanted}", *events]
    report(f"pods of {path.stem} are admitted as restricted, by {binary}", missing)
    hooks = cluster.call(*tool, "get", "hooks", "demo").stdout
    if hooks.strip():
        done = cluster.kubectl("-n", space, "apply", "--dry-run=server", "-f", "-", stdin=hooks)
        report(f"the pod of helm test is admitted, {path.stem} by {binary}", [done.stderr] if done.returncode else [])
    check_upgrade(cluster, path, tool, space)
    done = cluster.call(*tool, "uninstall", "demo")
    report(f"{binary} uninstalls {path.stem}", [done.stderr] if done.returncode else [])


def check_upgrade(cluster, path, tool, space):
    """A canary changes the StatefulSet alone: Secrets that were drawn are read back."""
    before = drawn(cluster, space)
    done = cluster.call(*tool, "upgrade", "demo", helm.CHART, "--reset-then-reuse-values", "--set", "dataPlane.updatePartition=1")
    report(f"{tool[0].name} upgrades {path.stem}", [done.stdout + done.stderr] if done.returncode else [])
    report(f"Secrets of {path.stem} stay", [] if drawn(cluster, space) == before else ["they changed"])
    sets = [o for o in cluster.get("statefulsets", space) if o["metadata"]["name"].endswith("-data-plane")]
    partitions = [o["spec"]["updateStrategy"]["rollingUpdate"]["partition"] for o in sets]
    report(f"a canary of {path.stem} reaches the StatefulSet", [] if partitions == [1] else [str(partitions)])


def drawn(cluster, space):
    own = [o for o in cluster.get("secrets", space) if policy.component(o)]
    return {o["metadata"]["name"]: o["data"] for o in own}


def main():
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        cluster = Cluster(directory)
        try:
            cluster.start(stack)
            prepare(cluster)
            for path in helm.values_files():
                for binary in helm.HELMS:
                    check(cluster, path, binary)
        except (TimeoutError, subprocess.TimeoutExpired) as e:
            logs = {p.name: p.read_text()[-1500:] for p in cluster.directory.glob("*.log")}
            report("the cluster works", [str(e), yaml.safe_dump(logs)])
    print(f"cluster: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
