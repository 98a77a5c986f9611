"""Checks the chart; see check.sh. With --write it also renews what is made from it."""

import json
import os
import pathlib
import re
import sys
import tempfile

import yaml

import alerts
import apiserver
import commands
import golden
import helm
import imaged
import planted
import policy
import processes
import references  # noqa: F401 - registers its rules
import schemas
import table
import valkey
from helm import CHART, render

KUBE_VERSIONS = ("1.30", "1.34", "1.37")
CASES = yaml.safe_load((pathlib.Path(__file__).parent / "refused.yaml").read_text())
passed, failed = 0, 0


def report(name, problems):
    """Counts one check; it is good without problems."""
    global passed, failed
    if problems:
        failed += 1
        print(f"chart: FAIL {name}")
        for text in problems:
            print(f"    {text}")
    else:
        passed += 1


def check_file(path, write):
    """One file of values: both helms make the same of it, for every Kubernetes, and it is good."""
    name = path.stem
    renderings = []
    for binary in helm.HELMS:
        done = helm.run("lint", CHART, "--strict", "-f", path, binary=binary)
        report(f"lint {name} with {binary}", [done.stdout + done.stderr] if done.returncode else [])
        for version in KUBE_VERSIONS:
            objects, error = render(path, "--kube-version", version, binary=binary)
            report(f"render {name} with {binary} for {version}", [error] if error else [])
            renderings.append(objects)
    objects = renderings[0]
    report(f"golden {name}", golden.problems(name, objects, write))
    differ = any(golden.settled(other) != golden.settled(objects) for other in renderings)
    report(f"{name} is the same by every helm and for every Kubernetes", ["it is not"] if differ else [])
    for version in KUBE_VERSIONS:
        report(f"schemas {name} {version}", schemas.problems(objects, version))
    report(f"rules {name}", policy.problems(objects, policy.foreign(path)))
    report(f"gavel takes the settings of {name}", processes.settings(objects))


def check_refusals():
    for case, binary in ((c, b) for c in CASES for b in helm.HELMS):
        _, error = render(case["values"], binary=binary)
        # Helm 3 says dataPlane.replicaCount, and helm 4 '/dataPlane/replicaCount'.
        said = error + re.sub(r"'/(\S+)'", lambda m: m.group(1).replace("/", "."), error)
        wrong = [] if case["says"] in said else [f"wanted: {case['says']}", f"got: {error.strip() or 'no refusal'}"]
        report(f"refused by {binary}: {case['why']}", wrong)
    done = helm.run("template", "demo", CHART, "--kube-version", "1.29")
    report("refused: Kubernetes 1.29", [] if "incompatible" in done.stderr else [done.stderr])


def check_settings():
    """Numbers in `config` keep their form, and a canary or a drain reaches the objects."""
    objects, error = render({"dataPlane": {"config": {"http": {"header_timeout_ms": 12000000, "ratio": 0.5, "on": True}}}})
    maps = policy.of_kind(objects, "ConfigMap")
    wanted = {"GAVEL_HTTP__HEADER_TIMEOUT_MS": "12000000", "GAVEL_HTTP__RATIO": "0.5", "GAVEL_HTTP__ON": "true"}
    good = len(maps) == 1 and maps[0]["data"] == wanted
    report("config becomes environment variables", [] if good else [error or str(maps)])
    hosts = "redis.example:6379,other.example"
    for url in ("redis://:hunter2@redis.example:6379/3", "rediss://:hunter2@redis.example:6379", f"redis+sentinel://:hunter2@{hosts}/main", f"redis+cluster://:hunter2@{hosts}"):
        objects, error = render({"redis": {"mode": "external", "external": {"url": url}}})
        report(f"an external URL is kept in a Secret: {url.split(':')[0]}", [error] if error else policy.problems(objects))
    kinds = [policy.title(o) for o in objects if "valkey" in policy.title(o)]
    report("external Redis renders no Valkey", kinds)


def check_routes():
    """What operators call is routed, and nothing that is for nodes."""
    objects, _ = render(CHART / "ci" / "gateway-values.yaml")
    matches = policy.of_kind(objects, "GRPCRoute")[0]["spec"]["rules"][0]["matches"]
    routed = {m["method"]["service"] for m in matches}
    protos = (helm.ROOT / "proto" / "gavel" / "admin" / "v1").glob("*.proto")
    served = {f"gavel.admin.v1.{s}" for p in protos for s in re.findall(r"^service (\w+)", p.read_text(), re.M)}
    report("operators' services are routed", sorted(routed ^ served))


def check_cluster():
    """Against an API that knows the Secrets: they are read back, and NOTES come out."""
    old = {"admin-token": "kept-admin", "jwt-secret": "kept-jwt"}
    server, url = apiserver.start({"demo-gavel-auth": old, "demo-gavel-valkey": {"password": "kept-password"}})
    try:
        objects, error = render({}, "--dry-run=server", "--kube-apiserver", url, binary="helm3")
        secrets = {o["metadata"]["name"]: o for o in policy.of_kind(objects, "Secret")}
        text = json.dumps(secrets)
        kept = ["a2VwdC1hZG1pbg==", "a2VwdC1qd3Q=", "requirepass kept-password"]
        report("secrets are made once", [error or f"lost: {k}" for k in kept if k not in text])
        check_notes(url)
    finally:
        server.shutdown()
    first, second = (policy.of_kind(render({})[0], "Secret") for _ in range(2))
    report("new secrets are random", [] if first and first != second else ["two renderings made the same secrets"])


def check_notes(url):
    values = CHART / "ci" / "everything-values.yaml"
    done = helm.run("install", "demo", CHART, "-n", "auctions", "-f", values, "--dry-run=client",
                "--disable-openapi-validation", "--kube-apiserver", url, binary="helm3")
    notes = done.stdout.partition("NOTES:")[2]
    objects, _ = render(values)
    known = {o["metadata"]["name"] for o in objects}
    words = {w.split("/")[-1] for w in notes.split() if "an-auction-house" in w}
    wrong = [f"NOTES name {w}, which does not exist" for w in words - known]
    if len(words) < 3 or "wss://bid.example.com/ws" not in notes:
        wrong.append(done.stderr + notes)
    report("NOTES name what exists", wrong)


def check_readme(write):
    readme, text = CHART / "README.md", (CHART / "values.yaml").read_text()
    report("every value has a sentence", table.undocumented(text))
    fresh = table.replaced(readme.read_text(), text)
    if write:
        readme.write_text(fresh)
    same = fresh == readme.read_text()
    report("README lists the values", [] if same else ["run tests/chart/check.sh --write"])


def main():
    write = "--write" in sys.argv
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SCRATCH"] = scratch
        for path in helm.values_files():
            check_file(path, write)
        report("every golden file has its values", golden.strangers(p.stem for p in helm.values_files()))
        for name, problems in (*planted.checks(), *alerts.checks(scratch), *commands.checks(), *imaged.checks(scratch), *valkey.checks(scratch), *processes.checks()):
            report(name, problems)
        check_refusals()
        check_settings()
        check_routes()
        check_cluster()
        check_readme(write)
    print(f"chart: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
