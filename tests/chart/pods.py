"""Runs rendered pods as processes of this machine: what a kubelet would give them is what they get.

Reads objects as JSON from standard input, starts all pods of Deployments and StatefulSets, asks their probes, runs the
pod of `helm test`, stops everything by SIGTERM, and prints what went wrong as a JSON list. It wants a network and mounts of
its own (check.py starts it by unshare), in which each pod has an address of the loopback network, and DNS is /etc/hosts.
Not looked at: images, limits of resources, security contexts, network policies.
"""

import base64
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

import authority

DOMAIN = "cluster.local"
# A debug build on a machine that is busy.
READY_SECONDS = 60
TEST_SECONDS = 90


class Cluster:
    """Every pod of some objects."""

    def __init__(self, objects, scratch):
        self.objects, self.scratch, self.problems = objects, pathlib.Path(scratch), []
        self.secrets = {o["metadata"]["name"]: plain(o) for o in self.of_kind("Secret")}
        self.secrets |= authority.secrets(self.of_kind("Certificate"), scratch)
        self.pods = [Pod(self, o, i) for o in self.of_kind("StatefulSet", "Deployment") for i in range(o["spec"]["replicas"])]
        for number, pod in enumerate(self.pods):
            pod.address = f"127.77.0.{number + 1}"

    def of_kind(self, *kinds):
        return [o for o in self.objects if o["kind"] in kinds]

    def hosts(self):
        """What DNS would know of Services and their pods."""
        lines = ["127.0.0.1 localhost"]
        for service in self.of_kind("Service"):
            name, space = service["metadata"]["name"], service["metadata"]["namespace"]
            forms = [name, f"{name}.{space}", f"{name}.{space}.svc", f"{name}.{space}.svc.{DOMAIN}"]
            for pod in (p for p in self.pods if service["spec"]["selector"].items() <= p.labels.items()):
                own = [f"{pod.name}.{form}" for form in forms] if pod.service == name else []
                lines.append(" ".join([pod.address, *forms, *own]))
        return "\n".join(lines) + "\n"

    def run(self):
        for pod in self.pods:
            pod.start()
        for pod in self.pods:
            self.problems += pod.wait_ready()
        if not self.problems:
            for o in self.of_kind("Pod"):
                self.test(Pod(self, {"metadata": o["metadata"], "spec": {"template": o}}, 0))
        for pod in self.pods:
            pod.stop()
        for pod in self.pods:
            self.problems += pod.wait_gone()

    def test(self, pod):
        """Its containers one after the other, as init containers come before the others."""
        pod.address = "127.77.1.1"
        for c in pod.spec.get("initContainers", []) + pod.spec["containers"]:
            done = subprocess.run(**pod.process(c), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TEST_SECONDS)
            if done.returncode:
                self.problems.append(f"helm test fails at {c['name']} with {done.returncode}:\n{done.stdout}")
                return


class Pod:
    """One pod, of which only the first container runs."""

    def __init__(self, cluster, owner, ordinal):
        template = owner["spec"]["template"]
        stateful = owner.get("kind") == "StatefulSet"
        self.cluster, self.spec, self.address = cluster, template["spec"], ""
        self.name = owner["metadata"]["name"] + (f"-{ordinal}" if stateful else f"-5d4c7b-{ordinal}")
        self.labels = template["metadata"]["labels"] | ({"statefulset.kubernetes.io/pod-name": self.name} if stateful else {})
        self.service = owner["spec"].get("serviceName")
        self.directory = cluster.scratch / self.name
        self.directory.mkdir()
        self.volumes = {v["name"]: self.volume(v) for v in self.spec.get("volumes", [])}
        for claim in owner["spec"].get("volumeClaimTemplates", []):
            self.volumes[claim["metadata"]["name"]] = self.volume({"name": claim["metadata"]["name"]})

    def volume(self, volume):
        path = self.directory / volume["name"]
        path.mkdir()
        for item in volume.get("secret", {}).get("items", []):
            (path / item["path"]).write_text(self.cluster.secrets[volume["secret"]["secretName"]][item["key"]])
        return path

    def mounted(self, text, container):
        """Paths beneath mounts are where the volumes are, and doors are open at this pod alone."""
        for mount in sorted(container.get("volumeMounts", []), key=lambda m: -len(m["mountPath"])):
            text = re.sub(rf"(?<![\w/]){re.escape(mount['mountPath'])}(?=/|\s|$)", str(self.volumes[mount["name"]]), text)
        return text.replace("0.0.0.0:", f"{self.address}:")

    def environment(self, container):
        found = {}
        for source in container.get("envFrom", []):
            maps = [o for o in self.cluster.of_kind("ConfigMap") if o["metadata"]["name"] == source["configMapRef"]["name"]]
            found |= maps[0]["data"]
        for e in container.get("env", []):
            found[e["name"]] = self.mounted(self.value(e, found), container)
        return found

    def value(self, e, known):
        if "value" in e:
            return expanded(e["value"], known)
        source = e["valueFrom"]
        if "secretKeyRef" in source:
            return self.cluster.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        fields = {"metadata.name": self.name, "metadata.uid": "00000000-0000-4000-8000-000000000000", "status.podIP": self.address}
        return fields[source["fieldRef"]["fieldPath"]]

    def process(self, container):
        """How to start a container, for subprocess."""
        env = self.environment(container)
        words = [self.mounted(expanded(w, env), container) for w in container.get("command", []) + container.get("args", [])]
        if "command" not in container:
            words = [os.environ["GAVEL_BIN"], *words]
        elif words[0] == "valkey-server":
            words[0] = "redis-server"
            config = pathlib.Path(words[1])
            config.write_text(self.mounted(config.read_text(), container))
        return {"args": words, "env": env | {"PATH": os.environ["PATH"]}}

    def start(self):
        self.log = open(self.directory / "log", "w+")
        self.running = subprocess.Popen(**self.process(self.container), stdout=self.log, stderr=subprocess.STDOUT)

    @property
    def container(self):
        return self.spec["containers"][0]

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        last = ""
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            while (last := self.asked(self.container[kind])) and time.monotonic() < deadline and self.running.poll() is None:
                time.sleep(0.05)
            if last:
                return [f"{self.name} fails its {kind} ({last}):\n{self.said()}"]
        return []

    def asked(self, probe):
        """What a probe has against it, if anything."""
        try:
            if "httpGet" in probe:
                return self.fetched(probe["httpGet"])
            if "tcpSocket" in probe:
                socket.create_connection((self.address, self.port(probe["tcpSocket"]["port"])), timeout=1).close()
                return ""
            words = probe["exec"]["command"]
            words = ["redis-cli", "-h", self.address, *words[1:]] if words[0] == "valkey-cli" else words
            done = subprocess.run(words, env=self.environment(self.container) | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=5)
            return done.stdout + done.stderr if done.returncode else ""
        except OSError as e:
            return str(e)

    def fetched(self, get):
        # Like a kubelet, it believes any certificate.
        context = ssl._create_unverified_context()
        url = f"{get.get('scheme', 'HTTP').lower()}://{self.address}:{self.port(get['port'])}{get['path']}"
        with urllib.request.urlopen(url, timeout=1, context=context if url.startswith("https") else None) as answer:
            return "" if answer.status == 200 else str(answer.status)

    def port(self, name):
        return next(p["containerPort"] for p in self.container["ports"] if p["name"] == name)

    def stop(self):
        self.stopped_at = time.monotonic()
        self.running.send_signal(signal.SIGTERM)

    def wait_gone(self):
        """The kubelet's patience began with the hook that sleeps."""
        hook = self.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        try:
            status = self.running.wait(self.stopped_at + self.spec["terminationGracePeriodSeconds"] - hook - time.monotonic())
        except subprocess.TimeoutExpired:
            self.running.kill()
            return [f"{self.name} would have been killed:\n{self.said()}"]
        return [f"{self.name} ended with {status}:\n{self.said()}"] if status else []

    def said(self):
        return (self.directory / "log").read_text()[-3000:]


def plain(secret):
    decoded = {k: base64.b64decode(v).decode() for k, v in secret.get("data", {}).items()}
    return decoded | secret.get("stringData", {})


def expanded(text, known):
    return re.sub(r"\$\((\w+)\)", lambda m: known.get(m.group(1), m.group(0)), text)


def loopback_up():
    """A new network has its loopback interface down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP


def main():
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(json.load(sys.stdin), scratch)
        hosts = pathlib.Path(scratch) / "hosts"
        hosts.write_text(cluster.hosts())
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        loopback_up()
        try:
            cluster.run()
        finally:
            for pod in cluster.pods:
                if hasattr(pod, "running") and pod.running.poll() is None:
                    pod.running.kill()
    print(json.dumps(cluster.problems))


if __name__ == "__main__":
    main()
