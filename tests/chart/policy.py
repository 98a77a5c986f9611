"""Rules that everything rendered must keep. Each is a sentence that says what is wrong, and what finds it.

`problems(objects)` is empty for good objects. planted.py has a violation of each rule, which must be found.
"""

import base64
import json
import re

RULES = {}
WORKLOADS = ("Deployment", "StatefulSet")
# Containers whose environment is Gavel's settings, and those that run for as long as the pod.
PLANES = ("control-plane", "data-plane")
SERVERS = (*PLANES, "valkey", "jaeger")
SECRET_NAME = re.compile(r"TOKENS?$|SECRET$|PASSWORD|AUTH$|REDIS__URL|HEADERS")
GAVEL_ENV = re.compile(r"^GAVEL_([A-Z]+__[A-Z][A-Z_]*|LOG_FORMAT)$")
# What the planes read besides, and what only other variables refer to.
FOREIGN_ENV = re.compile(r"^(POD_NAME|POD_IP|POD_ORDINAL|RUST_LOG|OTEL_[A-Z_]+)$")
# Secrets that values of ci/ and values-ha.yaml say exist.
FOREIGN = {
    "external-redis-values": {("auction-house", "token"), ("auction-house", "jwt"), ("shared-redis", "url"), ("shared-redis", "ca.pem")},
    "everything-values": {("house-operators", "tokens"), ("collector", "headers")},
    "autoscaling-values": {("browsers", "tls.crt"), ("browsers", "tls.key")},
    "tls-existing-values": {("own-clients", "bundle.pem")}
    | {(s, k) for s in ("own-control-plane", "own-nodes") for k in ("tls.crt", "tls.key", "ca.crt")},
    "keda-values": {("two-users", "tokens")},
    "values-ha": {("gavel-redis", "redis-url")},
}


def rule(sentence):
    """Registers what yields the titles of offenders, each with what else there is to say."""

    def register(find):
        RULES[sentence] = find
        return find

    return register


def problems(objects, foreign=()):
    """All offences of one rendering. `foreign` are Secrets and keys that exist without it."""
    own = [o for o in objects if component(o) != "extra"]
    return [f"{where}: {sentence}" for sentence, find in RULES.items() for where in find(own, foreign)]


def foreign(path):
    return FOREIGN.get(path.stem, set())


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def title(o):
    return f"{o['kind']} {o['metadata']['name']}"


def component(o):
    return o["metadata"].get("labels", {}).get("app.kubernetes.io/component")


def pods(objects):
    """Each pod with its title, labels and spec."""
    for o in objects:
        if o["kind"] in WORKLOADS:
            template = o["spec"]["template"]
            yield title(o), template["metadata"]["labels"], template["spec"]
        elif o["kind"] == "Pod":
            yield title(o), o["metadata"]["labels"], o["spec"]


def containers(objects):
    for where, _, pod in pods(objects):
        for c in pod.get("initContainers", []) + pod["containers"]:
            yield f"{where}, {c['name']}", c


def servers(objects):
    return ((where, c) for where, c in containers(objects) if c["name"] in SERVERS)


# === Objects ===


@rule("its name is longer than its kind bears")
def long_names(objects, _):
    # An ordinal and the revision hash of a StatefulSet (11 characters) must fit in a label.
    longest = {"StatefulSet": 52, "ConfigMap": 253}
    yield from (title(o) for o in objects if len(o["metadata"]["name"]) > longest.get(o["kind"], 63))


@rule("is rendered twice")
def twins(objects, _):
    titles = [title(o) for o in objects]
    yield from {t for t in titles if titles.count(t) > 1}


@rule("has no namespace")
def homeless(objects, _):
    yield from (title(o) for o in objects if "namespace" not in o["metadata"])


@rule("lacks a label that all have")
def unlabelled(objects, _):
    wanted = {"app.kubernetes.io/" + k for k in ("name", "instance", "component", "version", "part-of", "managed-by")}
    wanted.add("helm.sh/chart")
    yield from (title(o) for o in objects if not wanted <= o["metadata"].get("labels", {}).keys())


@rule("contains the value of a Secret")
def leaks(objects, _):
    values = set()
    for secret in of_kind(objects, "Secret"):
        values |= {base64.b64decode(v).decode() for v in secret.get("data", {}).values()}
        values |= set(secret.get("stringData", {}).values())
    yield from (title(o) for o in objects if o["kind"] != "Secret" and any(v in json.dumps(o) for v in values))


@rule("holds a setting that is a secret")
def public_secrets(objects, _):
    yield from (title(o) for o in of_kind(objects, "ConfigMap") if any(SECRET_NAME.search(k) for k in o.get("data", {})))


@rule("may lose all of its pods to evictions")
def unprotected(objects, _):
    budgets = [b["spec"]["selector"]["matchLabels"] for b in of_kind(objects, "PodDisruptionBudget")]
    for o in of_kind(objects, *WORKLOADS):
        labels = o["spec"]["template"]["metadata"]["labels"]
        if o["spec"].get("replicas", 2) > 1 and not any(b.items() <= labels.items() for b in budgets):
            yield title(o)


# === Pods ===


def pod_rule(sentence, good):
    RULES[sentence] = lambda objects, _: [where for where, _, pod in pods(objects) if not good(pod)]


pod_rule("may run as root", lambda pod: pod.get("securityContext", {}).get("runAsNonRoot") is True)
pod_rule("runs as root or as whoever the image says", lambda pod: pod.get("securityContext", {}).get("runAsUser", 0) > 0)
pod_rule("has no seccomp profile", lambda pod: pod.get("securityContext", {}).get("seccompProfile") == {"type": "RuntimeDefault"})
pod_rule("mounts the token of its account", lambda pod: pod.get("automountServiceAccountToken") is False)
pod_rule("is told of Services by variables, which Gavel would take for settings", lambda pod: pod.get("enableServiceLinks") is False)
pod_rule("uses the host's namespaces", lambda pod: not any(k in pod for k in ("hostNetwork", "hostPID", "hostIPC")))
pod_rule("mounts the host's files", lambda pod: not any("hostPath" in v for v in pod.get("volumes", [])))


# === Containers ===


def container_rule(sentence, good, of=containers):
    RULES[sentence] = lambda objects, _: [where for where, c in of(objects) if not good(c)]


def context(c):
    return c.get("securityContext", {})


def versioned(c):
    image = c["image"].rsplit("/", 1)[-1]
    return "@sha256:" in image or (":" in image and not image.endswith(":latest"))


container_rule("allows privilege escalation", lambda c: context(c).get("allowPrivilegeEscalation") is False)
container_rule("is privileged", lambda c: not context(c).get("privileged"))
container_rule("can write its root file system", lambda c: context(c).get("readOnlyRootFilesystem") is True)
container_rule("keeps capabilities", lambda c: context(c).get("capabilities") == {"drop": ["ALL"]})
container_rule("has no requests", lambda c: {"cpu", "memory"} <= c.get("resources", {}).get("requests", {}).keys())
container_rule("has no memory limit", lambda c: "memory" in c.get("resources", {}).get("limits", {}))
container_rule("has an image without a version", versioned)
container_rule("lacks a probe", lambda c: all(p in c for p in ("startupProbe", "livenessProbe", "readinessProbe")), servers)


@rule("has a variable twice")
def twice(objects, _):
    for where, c in containers(objects):
        names = [e["name"] for e in c.get("env", [])]
        yield from (f"{where}, {n}" for n in {n for n in names if names.count(n) > 1})


@rule("is a secret in plain sight")
def literals(objects, _):
    for where, c in containers(objects):
        yield from (f"{where}, {e['name']}" for e in c.get("env", []) if SECRET_NAME.search(e["name"]) and "value" in e)
        words = [w for w in c.get("args", []) + c.get("command", []) if w in ("--token", "--redis-url")]
        yield from (f"{where}, {w}" for w in words)


@rule("is no setting of Gavel")
def strangers(objects, _):
    for where, c in containers(objects):
        names = [e["name"] for e in c.get("env", [])] if c["name"] in PLANES else []
        yield from (f"{where}, {n}" for n in names if not (GAVEL_ENV.match(n) or FOREIGN_ENV.match(n)))


@rule("refers to a variable that comes later or never")
def unknown_variables(objects, _):
    for where, c in containers(objects):
        known = set()
        for e in c.get("env", []):
            yield from (f"{where}, {e['name']}" for n in re.findall(r"\$\((\w+)\)", e.get("value", "")) if n not in known)
            known.add(e["name"])


# === What nodes need ===


def nodes(objects):
    for where, _, pod in pods(objects):
        for c in (c for c in pod["containers"] if c["name"] == "data-plane"):
            yield where, pod, c, {e["name"]: e.get("value") for e in c["env"]}


@rule("does not drain")
def undrained(objects, _):
    for where, _, c, env in nodes(objects):
        asleep = c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if not (asleep and int(env.get("GAVEL_SHUTDOWN__GRACE_MS", 0))):
            yield where


@rule("is killed while it drains")
def killed(objects, _):
    for where, pod, c, env in nodes(objects):
        asleep = c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        parts = (int(env.get(f"GAVEL_SHUTDOWN__{part}_MS", 0)) for part in ("DRAIN", "SPREAD", "GRACE"))
        if asleep * 1000 + sum(parts) >= pod["terminationGracePeriodSeconds"] * 1000:
            yield where


@rule("keeps nothing for a start without a control plane")
def forgetful(objects, _):
    for where, pod, c, env in nodes(objects):
        volumes = {v["name"] for v in pod.get("volumes", []) if "emptyDir" in v}
        mounts = [m for m in c["volumeMounts"] if m["mountPath"] == env.get("GAVEL_NODE__STATE_DIR")]
        if not any(m["name"] in volumes and not m.get("readOnly") for m in mounts):
            yield where
