"""Alerts and dashboards: promtool takes the rules, each alert fires when it should and not otherwise, and whatever is asked
for is a metric that docs/metrics.md knows, with labels and values that it has."""

import json
import pathlib
import re
import subprocess

import yaml

import helm

RULES = sorted((helm.CHART / "files" / "rules").glob("*.yaml"))
DASHBOARDS = sorted((helm.CHART / "files" / "dashboards").glob("*.json"))
CASES = pathlib.Path(__file__).parent / "alerts.yaml"
# What Prometheus Operator adds to every series, and Prometheus to histograms.
ADDED_LABELS = {"namespace", "pod", "container", "job", "instance"}


def checks(scratch):
    """Yields what is to be reported, by name."""
    cases = yaml.safe_load(CASES.read_text())
    yield "promtool takes the rules", promtool("check", "rules", *RULES)
    test = pathlib.Path(scratch) / "alerts-test.yaml"
    test.write_text(json.dumps(as_tests(cases)))
    yield "alerts fire when they should", promtool("test", "rules", test)
    tried = {c["alert"] for c in cases if c["fires"]} & {c["alert"] for c in cases if c["quiet"]}
    yield "every alert is tried", sorted(set(alerts()) ^ tried)
    pages = {r["annotations"]["runbook"] for r in rules() if "alert" in r}
    yield "every alert has its place in a document", [p for p in sorted(pages) if not has_heading(p)]
    known = metrics()
    planted = unknown(['gavel_nothing + gavel_bids_total{outcome="won"} + gavel_sockets{room="1"}'], known)
    yield "finds what nobody counts", [] if len(planted) == 3 else ["it does not", *planted]
    for name, expression in expressions():
        yield f"{name} asks for what there is", unknown(expression, known)


def promtool(*args):
    done = subprocess.run([helm.TOOLS / "promtool", *map(str, args)], capture_output=True, text=True, timeout=120)
    return [done.stdout + done.stderr] if done.returncode else []


def rules():
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts():
    return [r["alert"] for r in rules() if "alert" in r]


def as_tests(cases):
    tests = []
    for case in cases:
        for kind in ("fires", "quiet"):
            if case[kind]:
                tests.append(as_test(case, case[kind], kind == "fires"))
    return {"rule_files": [str(p) for p in RULES], "evaluation_interval": "15s", "tests": tests}


def as_test(case, series, fires):
    series = [s.replace("{n}", 'namespace="auctions",pod="node-0"') for s in series]
    # promtool compares labels and annotations whole, so it is asked for the alert's own series instead.
    expression = f'count(ALERTS{{alertname="{case["alert"]}",alertstate="firing",namespace="auctions"}}) > bool 0'
    sample = {"labels": "{}", "value": 1}
    return {
        "interval": "15s",
        "input_series": [dict(zip(("series", "values"), split(s))) for s in series],
        "promql_expr_test": [{"expr": expression, "eval_time": case["after"], "exp_samples": [sample] if fires else []}],
    }


def split(series):
    name, _, values = series.partition("} ")
    series = name + "}"
    # A label that the case gives wins over the common one.
    labels = {}
    for key, value in re.findall(r'(\w+)="([^"]*)"', series):
        labels.setdefault(key, value)
    inner = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return series.split("{")[0] + "{" + inner + "}", values


def has_heading(page):
    path, _, anchor = page.partition("#")
    headings = re.findall(r"^#+ (.+)$", (helm.ROOT / path).read_text(), re.M) if (helm.ROOT / path).exists() else []
    return anchor in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}


def expressions():
    for path in RULES:
        yield path.name, [r["expr"] for g in yaml.safe_load(path.read_text())["groups"] for r in g["rules"]]
    for path in DASHBOARDS:
        panels = json.loads(path.read_text())["panels"]
        yield path.name, [t["expr"] for p in panels for t in p.get("targets", [])]


def metrics():
    """Metrics of docs/metrics.md: by name, the labels with their values, or None where they are free."""
    text = (helm.ROOT / "docs" / "metrics.md").read_text()
    known = {}
    for row in re.findall(r"^\| `(gavel_\w+)` \| (\w+) \|(.*)$", text, re.M):
        name, kind, rest = row
        labels = {}
        for label, values in re.findall(r"`(\w+)`: ((?:`?[\w.+]+`?(?:, )?)+)", rest):
            labels[label] = set(re.findall(r"[\w.+]+", values))
        parts = [name + s for s in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
        for part in parts:
            own = {k: v for k, v in labels.items() if k != "le" or part.endswith("_bucket")}
            known[part] = own
            if not name.startswith("gavel_control_"):
                known[part.replace("gavel_", "gavel_cluster_", 1)] = own
    return known


def unknown(expression_list, known):
    """What these ask for and nobody has."""
    found = []
    recorded = {r["record"] for r in rules() if "record" in r}
    for expression in expression_list:
        names = re.findall(r"\bgavel[\w:]+", re.sub(r'"[^"]*"', '""', expression))
        found += [f"{n}: no such metric" for n in names if n not in known and n not in recorded]
        for name, matchers in re.findall(r"\b(gavel_\w+)\{([^}]*)\}", expression):
            for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
                if label in ADDED_LABELS or name not in known:
                    continue
                values = value.split("|") if "~" in operator else [value]
                allowed = known[name].get(label, set())
                found += [f"{name}: no {label}={v}" for v in values if v not in allowed]
    return found
