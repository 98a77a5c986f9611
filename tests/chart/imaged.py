"""The image that image.py writes: it is what it says, what the Dockerfile says, and runs alone."""

import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

import helm
import image


def checks(scratch):
    """Yields what is to be reported, by name."""
    binary = os.environ["GAVEL_BIN"]
    whole = image.archive(binary, "gavel:test")
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    yield "the image's digests are true", digests(files)
    yield "the image is gavel:test for every tool", names(files)
    old = json.loads(files["manifest.json"])[0]
    config = json.loads(files[old["Config"]])["config"]
    yield "the image is what the Dockerfile says", dockerfile(config)
    root = pathlib.Path(scratch) / "image"
    with tarfile.open(fileobj=io.BytesIO(files[old["Layers"][0]])) as layer:
        layer.extractall(root)
        shells = [m.name for m in layer if m.mode & 0o111 and m.isfile() and not re.search(r"gavel$|\.so", m.name)]
    yield "nothing else in the image runs", shells
    yield "the image runs without any other file", alone(root, "--version", 0, "gavel ")
    # A name is resolved by libraries that a loader may not find.
    (root / "etc" / "hosts").write_text("127.0.0.1 control\n")
    yield "the image resolves names", alone(root, "nodes --endpoint http://control:9 list", 69, "refused")


def digests(files):
    blobs = {name.rsplit("/", 1)[1]: content for name, content in files.items() if name.startswith("blobs/")}
    wrong = [name for name, content in blobs.items() if image.digest(content) != name]
    index = json.loads(files["index.json"])["manifests"][0]
    manifest = json.loads(blobs[index["digest"].split(":")[1]])
    parts = [index, manifest["config"], *manifest["layers"]]
    wrong += [p["digest"] for p in parts if len(blobs.get(p["digest"].split(":")[1], b"")) != p["size"]]
    config = json.loads(blobs[manifest["config"]["digest"].split(":")[1]])
    if config["rootfs"]["diff_ids"] != [p["digest"] for p in manifest["layers"]]:
        wrong.append("the layer is not the one of the config")
    return wrong


def names(files):
    index = json.loads(files["index.json"])["manifests"][0]["annotations"]
    said = (json.loads(files["manifest.json"])[0]["RepoTags"], index["io.containerd.image.name"])
    return [] if said == (["gavel:test"], "docker.io/library/gavel:test") else [str(said)]


def dockerfile(config):
    """Differences of the last stage's settings."""
    text = (helm.ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    wanted = {word: re.search(rf"^{word} (.+)$", text, re.M).group(1) for word in ("USER", "EXPOSE", "ENTRYPOINT", "CMD")}
    has = {"USER": config["User"], "EXPOSE": " ".join(p.split("/")[0] for p in config["ExposedPorts"]),
           "ENTRYPOINT": json.dumps(config["Entrypoint"]), "CMD": json.dumps(config["Cmd"])}
    return [f"{word}: {has[word]} instead of {wanted[word]}" for word in wanted if has[word] != wanted[word]]


def alone(root, words, status, said):
    """What is wrong with a run that sees nothing but the image; as its user, where we may become that."""
    enter = ["chroot", "--userspec=65532:65532"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
    done = subprocess.run([*enter, root, image.ENTRYPOINT, *words.split()], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
    good = done.returncode == status and said in done.stdout + done.stderr
    return [] if good else [f"{done.returncode}: {done.stdout}{done.stderr}"]
