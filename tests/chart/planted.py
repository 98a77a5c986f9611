"""A violation of each rule of policy.py and references.py, planted in a good rendering: a rule that finds nothing is none."""

import base64
import copy

import helm
import policy

PLANTED = {}


def plant(sentence, values="everything-values"):
    """Registers what spoils the objects of these values."""

    def register(spoil):
        PLANTED[sentence] = (values, spoil)
        return spoil

    return register


def checks():
    """Yields what is to be reported of each rule."""
    good = {}
    yield "every rule has its violation", sorted(policy.RULES.keys() ^ PLANTED.keys())
    for sentence, (values, spoil) in PLANTED.items():
        if values not in good:
            good[values] = helm.render(helm.CHART / "ci" / f"{values}.yaml")[0]
        objects = copy.deepcopy(good[values])
        spoil(objects)
        found = policy.problems(objects, policy.FOREIGN.get(values, set()))
        yield f"finds what {sentence}", [] if any(f.endswith(sentence) for f in found) else ["it does not", *found]


def one(objects, kind, ending=""):
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(ending))


def pod(objects, ending="data-plane"):
    return one(objects, "StatefulSet", ending)["spec"]["template"]["spec"]


def container(objects, ending="data-plane"):
    return pod(objects, ending)["containers"][0]


def variable(objects, name):
    return next(e for e in container(objects)["env"] if e["name"] == name)


# === Objects ===


@plant("its name is longer than its kind bears")
def _(objects):
    one(objects, "StatefulSet")["metadata"]["name"] = "a" * 53


@plant("is rendered twice")
def _(objects):
    objects.append(one(objects, "Ingress"))


@plant("has no namespace")
def _(objects):
    del one(objects, "NetworkPolicy")["metadata"]["namespace"]


@plant("lacks a label that all have")
def _(objects):
    del one(objects, "ServiceAccount")["metadata"]["labels"]["helm.sh/chart"]


@plant("contains the value of a Secret")
def _(objects):
    value = base64.b64decode(one(objects, "Secret", "auth")["data"]["admin-token"]).decode()
    one(objects, "ConfigMap", "data-plane")["data"]["GAVEL_NODE__ZONE"] = value


@plant("holds a setting that is a secret")
def _(objects):
    one(objects, "ConfigMap", "data-plane")["data"]["GAVEL_AUTH__SECRET"] = "hunter2"


@plant("may lose all of its pods to evictions")
def _(objects):
    objects.remove(one(objects, "PodDisruptionBudget", "data-plane"))


# === Pods ===


@plant("may run as root")
def _(objects):
    del pod(objects)["securityContext"]["runAsNonRoot"]


@plant("runs as root or as whoever the image says")
def _(objects):
    pod(objects)["securityContext"]["runAsUser"] = 0


@plant("has no seccomp profile")
def _(objects):
    pod(objects)["securityContext"]["seccompProfile"]["type"] = "Unconfined"


@plant("mounts the token of its account", "keda-values")
def _(objects):
    del one(objects, "Pod")["spec"]["automountServiceAccountToken"]


@plant("is told of Services by variables, which Gavel would take for settings")
def _(objects):
    del pod(objects)["enableServiceLinks"]


@plant("uses the host's namespaces")
def _(objects):
    pod(objects)["hostNetwork"] = True


@plant("mounts the host's files")
def _(objects):
    pod(objects)["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


# === Containers ===


@plant("allows privilege escalation")
def _(objects):
    container(objects)["securityContext"]["allowPrivilegeEscalation"] = True


@plant("is privileged")
def _(objects):
    container(objects)["securityContext"]["privileged"] = True


@plant("can write its root file system")
def _(objects):
    del pod(objects)["initContainers"][0]["securityContext"]["readOnlyRootFilesystem"]


@plant("keeps capabilities")
def _(objects):
    container(objects)["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


@plant("has no requests")
def _(objects):
    del container(objects, "valkey")["resources"]["requests"]["cpu"]


@plant("has no memory limit")
def _(objects):
    del container(objects)["resources"]["limits"]


@plant("has an image without a version")
def _(objects):
    container(objects, "valkey")["image"] = "registry.example:5000/valkey:latest"


@plant("lacks a probe")
def _(objects):
    del container(objects)["readinessProbe"]


@plant("has a variable twice")
def _(objects):
    container(objects)["env"].append({"name": "RUST_LOG", "value": "debug"})


@plant("is a secret in plain sight")
def _(objects):
    container(objects)["args"] += ["--token", "hunter2"]


@plant("is no setting of Gavel")
def _(objects):
    container(objects)["env"].append({"name": "GAVEL_PORT", "value": "1"})


@plant("refers to a variable that comes later or never")
def _(objects):
    env = container(objects)["env"]
    env.append(env.pop(0))


# === What nodes need ===


@plant("does not drain")
def _(objects):
    del container(objects)["lifecycle"]


@plant("is killed while it drains")
def _(objects):
    variable(objects, "GAVEL_SHUTDOWN__SPREAD_MS")["value"] = "60000"


@plant("keeps nothing for a start without a control plane")
def _(objects):
    variable(objects, "GAVEL_NODE__STATE_DIR")["value"] = "/tmp"


# === References ===


@plant("selects by what may change")
def _(objects):
    one(objects, "StatefulSet")["spec"]["selector"]["matchLabels"]["helm.sh/chart"] = "gavel-0.1.0"


@plant("selects no pod")
def _(objects):
    one(objects, "PodMonitor")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "nobody"


@plant("names what is not there")
def _(objects):
    secrets = [v["secret"] for v in pod(objects)["volumes"] if "secret" in v]
    secrets[0]["items"][0]["key"] = "no-such-key"


@plant("leads to a port that no pod has")
def _(objects):
    one(objects, "Service", "data-plane")["spec"]["ports"][0]["targetPort"] = "https"


@plant("leads to a Service or a port of it that is not there", "gateway-values")
def _(objects):
    one(objects, "GRPCRoute")["spec"]["rules"][0]["backendRefs"][0]["port"] = 7002


@plant("finds no Service, or one with every node twice", "tls-values")
def _(objects):
    del one(objects, "ServiceMonitor", "data-plane")["spec"]["selector"]["matchExpressions"]
    single = copy.deepcopy(one(objects, "Service", "data-plane"))
    single["metadata"]["labels"]["gavel.dev/node"] = "0"
    objects.append(single)


@plant("lets in by a port that no pod has")
def _(objects):
    one(objects, "NetworkPolicy", "data-plane")["spec"]["ingress"][0]["ports"][0]["port"] = "https"


@plant("has a port that no policy speaks of")
def _(objects):
    objects.remove(one(objects, "NetworkPolicy", "valkey"))
