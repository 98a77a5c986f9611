"""Faults put into the source on purpose: each must make the simulation fail.

What a store can do wrong is planted in the simulation's own store, see src/plant.rs. These are
the faults of rules, rooms and the control plane; each is a copy of the tree with one change.

    mutants.py CARGO_COMMAND...    the command that builds gavel-sim, without a package
"""

import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
COPY = os.path.join(TARGET, "mutants")
# Within so many seeds it has to be found.
SEEDS = 100

STEP = "crates/rules/src/auction/step.rs"
SETTLE = "data-plane/src/room/owner/settle.rs"

ANSWER = "if let Some(bid) = self.answer_for(&bid.bidder, &bid.bid_id) {"

# What is wrong, where, what stands there, what is put in its place.
MUTANTS = [
    (
        "a retry is a new bid",
        STEP,
        ANSWER,
        "if let Some(bid) = self.answer_for(&bid.bidder, &bid.bid_id).filter(|_| false) {",
    ),
    (
        "a retry is refused as too low",
        STEP,
        ANSWER,
        "let fine = self.standing().refusal(&bid, now).is_none();\n"
        "        if let Some(bid) = self.answer_for(&bid.bidder, &bid.bid_id).filter(|_| fine) {",
    ),
    (
        "what may be stored is taken for stored",
        SETTLE,
        "                self.retry_batch();\n            }\n            Err(error) => self.on_trouble(&error),",
        "                self.retry_batch();\n            }\n            Err(StoreError::Unknown) => self.stored(&events),\n"
        "            Err(error) => self.on_trouble(&error),",
    ),
]


def main(build):
    copy_tree()
    failed = 0
    for name, path, old, new in MUTANTS:
        verdict = judge(build, path, old, new)
        failed += verdict is not None
        print(f"mutant: {name}: {verdict or 'found'}", flush=True)
    print(f"mutants: {len(MUTANTS) - failed} passed, {failed} failed")
    return failed > 0


def copy_tree():
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    shutil.rmtree(COPY, ignore_errors=True)
    for name in filter(None, names.decode().split("\0")):
        source, copy = os.path.join(ROOT, name), os.path.join(COPY, name)
        if os.path.isfile(source):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy2(source, copy)


def judge(build, path, old, new):
    """None if the simulation finds the fault, else what is the matter."""
    path = os.path.join(COPY, path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        return f"its place in {path} has changed"
    write(path, text.replace(old, new))
    try:
        built = subprocess.run(build, cwd=COPY, capture_output=True, text=True)
        if built.returncode != 0:
            return "it does not build:\n" + built.stderr[-2000:]
        command = [binary(build), "--seeds", str(SEEDS), "--enough", "1"]
        ran = subprocess.run(command, capture_output=True, text=True)
        return "not found" if ran.returncode == 0 else None
    finally:
        write(path, text)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def binary(build):
    folder = build[build.index("--target-dir") + 1]
    return os.path.join(folder, "debug", "gavel-sim")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
