"""The rendered containers and the real binary: it takes their settings, and they work together."""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys

import helm
import policy

SHORT_DRAIN = {
    "drain": {"preStopSleepSeconds": 1, "roomsSeconds": 5, "spreadSeconds": 1, "graceSeconds": 1},
    "terminationGracePeriodSeconds": 15,
}
# Whatever a Secret or the API would fill in.
FILLED = {"GAVEL_REDIS__URL": "redis://redis:6379", "POD_NAME": "demo-0", "POD_IP": "10.0.0.7", "POD_ORDINAL": "0"}


def settings(objects):
    """What `gavel config check` has against the environment of each plane."""
    found = []
    maps = {o["metadata"]["name"]: o["data"] for o in policy.of_kind(objects, "ConfigMap")}
    for where, c in policy.containers(objects):
        if c["name"] not in policy.PLANES:
            continue
        env = {}
        for source in (f["configMapRef"] for f in c.get("envFrom", []) if "configMapRef" in f):
            env |= maps[source["name"]]
        for e in c["env"]:
            value = e.get("value", FILLED.get(e["name"], "filled-in"))
            if e["name"] == "GAVEL_REDIS__URL" and any(o["name"] == "GAVEL_REDIS__CA_FILE" for o in c["env"]):
                value = value.replace("redis://", "rediss://")
            env[e["name"]] = re.sub(r"\$\((\w+)\)", lambda m: env[m.group(1)], value)
        done = subprocess.run([os.environ["GAVEL_BIN"], "config", "check", c["name"]], env=env, capture_output=True, text=True)
        found += [f"{where}: {done.stdout}{done.stderr}"] if done.returncode else []
    return found


def checks():
    """Yields what is to be reported of whole clusters, by name."""
    unknown, _ = helm.render({"controlPlane": {"config": {"grpc": {"hasten": 1}}}})
    yield "finds a setting that Gavel does not know", [] if "grpc.hasten" in str(settings(unknown)) else ["it does not"]
    plain, error = helm.render({"dataPlane": SHORT_DRAIN})
    yield "the defaults run, helm test passes, and everything stops in time", [error] if error else run(plain)
    tls = {"mode": "certManager", "public": {"mode": "cluster"}}
    secured, error = helm.render({"dataPlane": SHORT_DRAIN, "tls": tls})
    yield "the same with certificates on both sides", [error] if error else run(secured)
    wrong = copy.deepcopy(secured)
    nodes = next(o for o in policy.of_kind(wrong, "Certificate") if "uris" in o["spec"])
    nodes["spec"]["uris"] = ["gavel:node:somebody-else"]
    yield "finds that a certificate names other nodes", [] if run(wrong) else ["it does not"]


def run(objects):
    """Problems of a cluster of these objects, on a network and with mounts of its own."""
    alone = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "--net"]
    script = pathlib.Path(__file__).parent / "pods.py"
    done = subprocess.run([*alone, sys.executable, "-B", script], input=json.dumps(objects), capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout) if done.returncode == 0 else [done.stderr]
