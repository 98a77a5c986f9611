"""Rules every rendered object must keep. `problems(objects)` returns sentences; an empty list is good."""

import base64
import json
import re

WORKLOADS = ("Deployment", "StatefulSet")
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|AUTH$|REDIS__URL")
# What data-plane and control-plane read from the environment besides sections and keys.
FOREIGN_ENV = {"POD_NAME", "POD_IP", "OTEL_EXPORTER_OTLP_ENDPOINT", "REDISCLI_AUTH", "RUST_LOG"}
GAVEL_ENV = re.compile(r"^GAVEL_[A-Z]+__[A-Z][A-Z_]*$")


def problems(objects, foreign_secrets=()):
    """All problems of one rendering. `foreign_secrets` are Secrets the values say exist already."""
    found = []
    for check in (names, labels, selectors, references, secret_values):
        found += check(objects, foreign_secrets)
    for workload in of_kind(objects, *WORKLOADS):
        for check in (pod_rules, container_rules, env_rules, drain_rules, state_rules):
            found += [f"{title(workload)}: {text}" for text in check(workload["spec"]["template"]["spec"])]
    return found


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def title(o):
    return f"{o['kind']} {o['metadata']['name']}"


def names(objects, _):
    found, seen = [], set()
    for o in objects:
        name = o["metadata"]["name"]
        # An ordinal and the revision hash of a StatefulSet (11 characters) must fit in a label.
        longest = 52 if o["kind"] == "StatefulSet" else 63
        if len(name) > longest:
            found.append(f"{title(o)}: the name is longer than {longest}")
        if title(o) in seen:
            found.append(f"{title(o)}: rendered twice")
        seen.add(title(o))
        if "namespace" not in o["metadata"]:
            found.append(f"{title(o)}: no namespace")
    return found


def labels(objects, _):
    wanted = ["app.kubernetes.io/" + k for k in ("name", "instance", "component", "version", "part-of", "managed-by")]
    wanted.append("helm.sh/chart")
    return [f"{title(o)}: no label {k}" for o in objects for k in wanted if k not in o["metadata"].get("labels", {})]


def selectors(objects, _):
    """Selectors are immutable, so they hold only stable labels, and each must find a pod."""
    found = []
    pods = [w["spec"]["template"]["metadata"]["labels"] for w in of_kind(objects, *WORKLOADS)]
    for o in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", *WORKLOADS):
        spec = o["spec"]
        selector = spec.get("selector") or spec.get("podSelector")
        selector = selector.get("matchLabels", selector)
        if sorted(k.split("/")[1] for k in selector) != ["component", "instance", "name"]:
            found.append(f"{title(o)}: selects by {sorted(selector)}")
        if not any(selector.items() <= pod.items() for pod in pods):
            found.append(f"{title(o)}: selects no pod")
    return found


def references(objects, foreign_secrets):
    """Whatever is named must exist: secrets and keys, config maps, accounts, ports, backends."""
    found = []
    by_title = {title(o): o for o in objects}
    for workload in of_kind(objects, *WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        wanted = [("ServiceAccount", pod["serviceAccountName"], None)]
        for container in pod["containers"]:
            wanted += [("ConfigMap", f["configMapRef"]["name"], None) for f in container.get("envFrom", [])]
            refs = [e["valueFrom"].get("secretKeyRef") for e in container["env"] if "valueFrom" in e]
            wanted += [("Secret", r["name"], r["key"]) for r in refs if r]
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                wanted += [("Secret", volume["secret"]["secretName"], i["key"]) for i in volume["secret"]["items"]]
        if workload["kind"] == "StatefulSet":
            wanted.append(("Service", workload["spec"]["serviceName"], None))
        for kind, name, key in wanted:
            target = by_title.get(f"{kind} {name}")
            if kind == "Secret" and (name, key) in foreign_secrets:
                continue
            if target is None:
                found.append(f"{title(workload)}: names {kind} {name}, which is not rendered")
            elif key and key not in {**target.get("data", {}), **target.get("stringData", {})}:
                found.append(f"{title(workload)}: {kind} {name} has no key {key}")
    found += port_references(objects)
    return found


def port_references(objects):
    found = []
    for service in of_kind(objects, "Service"):
        ports = set()
        for workload in of_kind(objects, *WORKLOADS):
            template = workload["spec"]["template"]
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items():
                ports |= {p["name"] for c in template["spec"]["containers"] for p in c["ports"]}
        found += [f"{title(service)}: no pod has port {p['targetPort']}"
                  for p in service["spec"]["ports"] if p["targetPort"] not in ports]
    services = {s["metadata"]["name"]: {p["name"] for p in s["spec"]["ports"]} for s in of_kind(objects, "Service")}
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if backend["port"]["name"] not in services.get(backend["name"], ()):
                    found.append(f"{title(ingress)}: backend {backend} does not exist")
    return found


def secret_values(objects, _):
    """What a Secret holds must occur in no other object."""
    found = []
    values = set()
    for secret in of_kind(objects, "Secret"):
        values |= {base64.b64decode(v).decode() for v in secret.get("data", {}).values()}
        values |= set(secret.get("stringData", {}).values())
    for o in objects:
        if o["kind"] != "Secret":
            text = json.dumps(o)
            found += [f"{title(o)}: contains the value of a Secret" for v in values if v in text]
    return found


def pod_rules(pod):
    context = pod.get("securityContext", {})
    rules = {
        "runAsNonRoot is not set": context.get("runAsNonRoot") is True,
        "runAsUser is root or missing": context.get("runAsUser", 0) > 0,
        "the seccomp profile is not RuntimeDefault": context.get("seccompProfile") == {"type": "RuntimeDefault"},
        "the account's token is mounted": pod.get("automountServiceAccountToken") is False,
        "service links are on": pod.get("enableServiceLinks") is False,
        "uses the host": not any(k in pod for k in ("hostNetwork", "hostPID", "hostIPC")),
        "mounts the host's files": not any("hostPath" in v for v in pod.get("volumes", [])),
    }
    return [text for text, good in rules.items() if not good]


def container_rules(pod):
    found = []
    for c in pod["containers"] + pod.get("initContainers", []):
        context, resources = c.get("securityContext", {}), c.get("resources", {})
        image = c["image"].rsplit("/", 1)[-1]
        rules = {
            "allows privilege escalation": context.get("allowPrivilegeEscalation") is False,
            "is privileged": not context.get("privileged"),
            "can write its root file system": context.get("readOnlyRootFilesystem") is True,
            "keeps capabilities": context.get("capabilities") == {"drop": ["ALL"]},
            "has no requests": {"cpu", "memory"} <= resources.get("requests", {}).keys(),
            "has no memory limit": "memory" in resources.get("limits", {}),
            "has an image without a version": "@sha256:" in image or (":" in image and not image.endswith(":latest")),
            "lacks a probe": all(p in c for p in ("startupProbe", "livenessProbe", "readinessProbe")),
        }
        found += [f"container {c['name']} {text}" for text, good in rules.items() if not good]
    return found


def env_rules(pod):
    found = []
    for c in pod["containers"]:
        seen = set()
        for e in c.get("env", []):
            name = e["name"]
            if name in seen:
                found.append(f"sets {name} twice")
            seen.add(name)
            if SECRET_NAME.search(name) and "value" in e and not name.endswith("_FILE"):
                found.append(f"{name} holds a literal")
            if name not in FOREIGN_ENV and not GAVEL_ENV.match(name):
                found.append(f"{name} is no setting of Gavel")
    return found


def drain_rules(pod):
    found = []
    for c in pod["containers"]:
        sleep = c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = next((int(e["value"]) for e in c["env"] if e["name"] == "GAVEL_SHUTDOWN__GRACE_MS"), 0)
        if c["name"] == "data-plane" and not (sleep and grace):
            found.append("the data plane does not drain")
        if sleep * 1000 + grace >= pod["terminationGracePeriodSeconds"] * 1000:
            found.append("the kubelet kills it while it drains")
    return found


def state_rules(pod):
    """What a node keeps must be on a volume that it can write and that outlives its container."""
    found = []
    volumes = {v["name"] for v in pod.get("volumes", []) if "emptyDir" in v}
    for c in (c for c in pod["containers"] if c["name"] == "data-plane"):
        directory = next((e["value"] for e in c["env"] if e["name"] == "GAVEL_NODE__STATE_DIR"), None)
        mounts = [m for m in c.get("volumeMounts", []) if m["mountPath"] == directory]
        if not any(m["name"] in volumes and not m.get("readOnly") for m in mounts):
            found.append("the data plane keeps nothing for a start without a control plane")
    return found
