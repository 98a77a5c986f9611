"""Runs real helm, and reads what it renders."""

import json
import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
TOOLS = pathlib.Path(os.environ["TOOLS"])
HELMS = ("helm3", "helm4")
NAMESPACE = "auctions"


class StrictLoader(yaml.SafeLoader):
    """YAML in which a key may come only once: server-side apply refuses what a lenient parser merges."""

    def construct_mapping(self, node, deep=False):
        # A merge key (<<) gives way to keys that are there, and is no second one.
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {k for k in keys if keys.count(k) > 1}
        if twice:
            raise yaml.YAMLError(f"keys come twice: {sorted(twice)} at {node.start_mark}")
        return super().construct_mapping(node, deep)


def run(*args, binary="helm4", stdin=None):
    """Runs helm with nothing from the caller's own configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["SCRATCH"], "KUBECONFIG": "/dev/null"}
    command = [TOOLS / binary, *map(str, args)]
    return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, timeout=60)


def render(values, *args, binary="helm4"):
    """Objects of one rendering, and what helm said if it failed. `values` is a file or a dict."""
    source, stdin = (values, None) if isinstance(values, pathlib.Path) else ("-", json.dumps(values))
    done = run("template", "demo", CHART, "--namespace", NAMESPACE, "-f", source, *args, binary=binary, stdin=stdin)
    if done.returncode:
        return [], done.stderr
    try:
        return [o for o in yaml.load_all(done.stdout, StrictLoader) if o], ""
    except yaml.YAMLError as e:
        return [], str(e)


def values_files():
    """Every file of values that comes with the chart, besides the defaults."""
    return sorted((CHART / "ci").glob("*-values.yaml")) + sorted(CHART.glob("values-*.yaml"))
