"""Rules on what objects say of each other: whatever is named must exist. See policy.py."""

from policy import WORKLOADS, component, of_kind, pods, rule, title

# Selectors that find a workload's pods must never change, so they hold nothing else.
STABLE = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
POD_NAME = "statefulset.kubernetes.io/pod-name"
CERTIFICATE_KEYS = {"tls.crt", "tls.key", "ca.crt"}


def selector(o):
    found = o["spec"].get("selector") or o["spec"].get("podSelector")
    found = dict(found.get("matchLabels", found))
    if o["kind"] == "Service":
        found.pop(POD_NAME, None)
    return found


def selecting(objects):
    return of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor", *WORKLOADS)


def selected(objects, labels):
    """Pods, with their titles, that have these labels."""
    return [(where, pod) for where, has, pod in pods(objects) if labels.items() <= has.items()]


def ports(pod):
    return {p["name"]: p["containerPort"] for c in pod["containers"] for p in c.get("ports", [])}


@rule("selects by what may change")
def unstable(objects, _):
    yield from (title(o) for o in selecting(objects) if selector(o).keys() != STABLE)


@rule("selects no pod")
def idle(objects, _):
    yield from (title(o) for o in selecting(objects) if not selected(objects, selector(o)))


@rule("names what is not there")
def missing(objects, foreign):
    there = {title(o): o for o in objects}
    for where, kind, name, key in references(objects):
        target = there.get(f"{kind} {name}")
        if kind == "Secret" and ((name, key) in foreign or certified(objects, name, key)):
            continue
        if target is None or (key and key not in {**target.get("data", {}), **target.get("stringData", {})}):
            yield f"{where}, {kind} {name} {key or ''}".rstrip()


def certified(objects, name, key):
    """Whether cert-manager makes the Secret."""
    secrets = {o["spec"]["secretName"] for o in of_kind(objects, "Certificate")}
    return name in secrets and key in CERTIFICATE_KEYS


def references(objects):
    """Everything named, as (where, kind, name, key)."""
    for where, _, pod in pods(objects):
        if pod["serviceAccountName"] != "default":
            yield where, "ServiceAccount", pod["serviceAccountName"], None
        for c in pod.get("initContainers", []) + pod["containers"]:
            sources = [f[k] | {"kind": k} for f in c.get("envFrom", []) for k in f]
            yield from ((where, "ConfigMap" if f["kind"] == "configMapRef" else "Secret", f["name"], None)
                        for f in sources if not f.get("optional"))
            refs = [e["valueFrom"].get("secretKeyRef") for e in c.get("env", []) if "valueFrom" in e]
            yield from ((where, "Secret", r["name"], r["key"]) for r in refs if r)
        for volume in (v["secret"] for v in pod.get("volumes", []) if "secret" in v):
            yield from ((where, "Secret", volume["secretName"], i["key"]) for i in volume["items"])
    for o in of_kind(objects, "StatefulSet"):
        yield title(o), "Service", o["spec"]["serviceName"], None
    for o in of_kind(objects, "TriggerAuthentication"):
        yield from ((title(o), "Secret", r["name"], r["key"]) for r in o["spec"]["secretTargetRef"])
    for o in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        yield title(o), o["spec"]["scaleTargetRef"]["kind"], o["spec"]["scaleTargetRef"]["name"], None
    issuers = of_kind(objects, "Issuer")
    for o in of_kind(objects, "Certificate"):
        ref = o["spec"]["issuerRef"]
        if ref["kind"] == "Issuer" and issuers:
            yield title(o), "Issuer", ref["name"], None


@rule("leads to a port that no pod has")
def no_ports(objects, _):
    for o in of_kind(objects, "Service"):
        for _, pod in selected(objects, selector(o)):
            yield from (title(o) for p in o["spec"]["ports"] if p["targetPort"] not in ports(pod))
    for o in of_kind(objects, "PodMonitor"):
        for _, pod in selected(objects, selector(o)):
            yield from (title(o) for e in o["spec"]["podMetricsEndpoints"] if e["port"] not in ports(pod))


@rule("leads to a Service or a port of it that is not there")
def no_backends(objects, _):
    services = {s["metadata"]["name"]: s["spec"]["ports"] for s in of_kind(objects, "Service")}

    def has(name, key, value):
        return any(p[key] == value for p in services.get(name, ()))

    for o in of_kind(objects, "Ingress"):
        backends = [p["backend"]["service"] for r in o["spec"]["rules"] for p in r["http"]["paths"]]
        yield from (title(o) for b in backends if not has(b["name"], "name", b["port"]["name"]))
    for o in of_kind(objects, "HTTPRoute", "GRPCRoute"):
        backends = [b for r in o["spec"]["rules"] for b in r["backendRefs"]]
        yield from (title(o) for b in backends if not has(b["name"], "port", b["port"]))


@rule("finds no Service, or one with every node twice")
def monitors(objects, _):
    for o in of_kind(objects, "ServiceMonitor"):
        wanted = o["spec"]["selector"]
        absent = [e["key"] for e in wanted.get("matchExpressions", []) if e["operator"] == "DoesNotExist"]
        found = [s for s in of_kind(objects, "Service")
                 if wanted["matchLabels"].items() <= s["metadata"]["labels"].items()
                 and not any(k in s["metadata"]["labels"] for k in absent)]
        scraped = [s for s in found if any(p["name"] == e["port"] for p in s["spec"]["ports"] for e in o["spec"]["endpoints"])]
        if len(scraped) != 1:
            yield title(o)


@rule("lets in by a port that no pod has")
def policy_ports(objects, _):
    for o in of_kind(objects, "NetworkPolicy"):
        for _, pod in selected(objects, selector(o)):
            named = [p["port"] for i in o["spec"]["ingress"] for p in i["ports"]]
            yield from (f"{title(o)}, {p}" for p in named if p not in ports(pod))


@rule("has a port that no policy speaks of")
def unguarded(objects, _):
    policies = of_kind(objects, "NetworkPolicy")
    for where, labels, pod in pods(objects) if policies else ():
        covering = [p for p in policies if selector(p).items() <= labels.items()]
        named = {port["port"] for p in covering for i in p["spec"]["ingress"] for port in i["ports"]}
        # Who scrapes is for the values to say; until then nobody may.
        silent = {"http", "ui"} if covering and component_of(labels) in ("control-plane", "jaeger") else set()
        yield from (f"{where}, {name}" for name in ports(pod) if name not in named | silent)


def component_of(labels):
    return component({"metadata": {"labels": labels}})
