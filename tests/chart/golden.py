"""What each file of values renders to, kept in golden/ so that a change of the chart shows what it changes."""

import base64
import difflib
import hashlib
import json
import pathlib

import yaml

GOLDEN = pathlib.Path(__file__).parent / "golden"


def settled(objects):
    """The same objects in one order, with words in the place of what each rendering draws anew."""
    drawn = {}
    for o in (o for o in objects if o["kind"] == "Secret"):
        password = o.get("stringData", {}).get("password")
        if password:
            drawn[password] = "DRAWN-PASSWORD"
        for key, value in o.get("data", {}).items():
            if "helm.sh/resource-policy" in o["metadata"].get("annotations", {}):
                drawn[value] = base64.b64encode(f"DRAWN-{key}".encode()).decode()
    text = json.dumps(sorted(objects, key=lambda o: (o["kind"], o["metadata"]["name"])))
    for value, word in drawn.items():
        text = text.replace(value, word)
    settled_objects = json.loads(text)
    for o in (o for o in settled_objects if o["kind"] == "ConfigMap"):
        # Dashboards are in the chart as they are; that they are the same ones is enough.
        o["data"] = {k: digest(v) if k.endswith(".json") else v for k, v in o["data"].items()}
    return settled_objects


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def text(objects):
    return yaml.safe_dump_all(settled(objects), sort_keys=True, width=1000)


def problems(name, objects, write):
    path = GOLDEN / f"{name}.yaml"
    fresh = text(objects)
    if write:
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(fresh)
    kept = path.read_text() if path.exists() else ""
    lines = difflib.unified_diff(kept.splitlines(), fresh.splitlines(), str(path.name), "rendered", lineterm="", n=2)
    found = list(lines)[:60]
    return found + ["if that is meant: tests/chart/check.sh --write"] if found else []


def strangers(names):
    return sorted({path.stem for path in GOLDEN.glob("*.yaml")} - set(names))
