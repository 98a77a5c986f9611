"""The values table of helm/README.md, made from the `# --` comments of values.yaml."""

import json
import re

import yaml

START, END = "<!-- values: made by tests/chart/check.sh --write -->", "<!-- end of values -->"


def rows(text):
    """Yields (dotted key, sentence) for every commented key, and fails on a leaf without a sentence."""
    path, sentence = [], None
    for line in text.splitlines():
        comment = re.match(r" *# -- (.+)", line)
        key = re.match(r"( *)([A-Za-z]+):", line)
        if comment:
            sentence = comment.group(1)
        elif key:
            path = path[: len(key.group(1)) // 2] + [key.group(2)]
            if sentence:
                yield ".".join(path), sentence
            sentence = None


def table(text):
    values = yaml.safe_load(text)
    lines = [START, "| Key | Default | Meaning |", "|---|---|---|"]
    for key, sentence in rows(text):
        value = values
        for part in key.split("."):
            value = value[part]
        lines.append(f"| `{key}` | `{json.dumps(value)}` | {sentence} |")
    return "\n".join(lines + [END])


def undocumented(text):
    """Leaves of values.yaml that no commented key covers."""
    known = {key for key, _ in rows(text)}

    def leaves(value, path):
        if ".".join(path) in known:
            return
        if isinstance(value, dict) and value:
            for k, v in value.items():
                yield from leaves(v, path + [k])
        else:
            yield ".".join(path)

    return list(leaves(yaml.safe_load(text), []))


def replaced(readme, text):
    """`readme` with a fresh table between the two marks."""
    before, rest = readme.split(START)
    return before + table(text) + rest.split(END)[1]
