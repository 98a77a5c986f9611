"""Commands that documents tell to type: Gavel knows their words, and helm takes their values."""

import os
import re
import shlex
import subprocess

import helm

DOCUMENTS = ("docs/operations.md", "helm/README.md")
# What `gavel` ends with where it was called wrongly.
USAGE = 64


def checks():
    """Yields what is to be reported, by name."""
    planted = problems("gavel rooms mvoe a") + problems("helm upgrade a ./helm --set dataPlane.partition=2")
    yield "finds commands that nobody knows", [] if len(planted) == 2 else ["it does not", *planted]
    for document in DOCUMENTS:
        lines = commands((helm.ROOT / document).read_text())
        found = [p for line in lines for p in problems(line)]
        yield f"commands of {document} are known", found if lines else ["there are none"]


def commands(text):
    """Lines of shell blocks, indented ones of lists as well."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def problems(line):
    words = shlex.split(line, comments=True)
    if words[0] == "gavel":
        # Nobody listens there: a command that is understood fails to connect.
        env = {"GAVEL_ENDPOINT": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
        try:
            done = subprocess.run([os.environ["GAVEL_BIN"], *words[1:]], env=env, capture_output=True, text=True, timeout=3)
        except subprocess.TimeoutExpired:
            return []
        return [f"{line}: {done.stderr}"] if done.returncode == USAGE else []
    if words[0] == "helm" and words[1] in ("install", "upgrade"):
        pairs = [("--set", words[i + 1]) for i, w in enumerate(words) if w == "--set"]
        pairs += [("-f", helm.ROOT / words[i + 1]) for i, w in enumerate(words) if w == "-f"]
        _, error = helm.render({}, *[w for pair in pairs for w in pair])
        return [f"{line}: {error}"] if error else []
    return []
