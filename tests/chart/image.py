"""Writes the image of the Dockerfile without Docker: image.py BINARY ARCHIVE [NAME:TAG].

The archive is what `docker save` writes, an OCI layout that `docker load`, `ctr images import`, `podman load` and
`kind load image-archive` take. In it are the binary with the libraries that it was linked against, taken from this
machine, and nothing else that runs. The same binary makes the same archive. Needs python and ldd.
"""

import hashlib
import io
import json
import pathlib
import platform
import re
import subprocess
import sys
import tarfile

ENTRYPOINT = "/usr/local/bin/gavel"
USER = "65532:65532"
PORTS = (8080, 8090, 7000, 7001)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# Authorities, for collectors of traces that are called by https.
AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


class Tar:
    """A tar archive in memory whose bytes depend on what is put in alone."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.archive = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.USTAR_FORMAT)
        self.directories = set()

    def add(self, name, content, mode=0o644):
        self.parents(name)
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        self.archive.addfile(entry, io.BytesIO(content))

    def directory(self, name, mode=0o755):
        self.parents(name)
        if name not in self.directories:
            self.directories.add(name)
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            self.archive.addfile(entry)

    def parents(self, name):
        for parent in reversed(pathlib.PurePosixPath(name).parents[:-1]):
            self.directory(str(parent))

    def done(self):
        self.archive.close()
        return self.bytes.getvalue()


def libraries(binary):
    """What the loader would load, the loader included, as absolute paths."""
    listed = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def layer(binary):
    tar = Tar()
    for name, text in FILES.items():
        tar.add(name, text.encode())
    if AUTHORITIES.exists():
        tar.add(str(AUTHORITIES)[1:], AUTHORITIES.read_bytes())
    for path in libraries(binary):
        tar.add(path[1:], pathlib.Path(path).read_bytes(), 0o755)
    tar.directory("tmp", 0o1777)
    tar.add(ENTRYPOINT[1:], pathlib.Path(binary).read_bytes(), 0o755)
    return tar.done()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def described(kind, content):
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest(content)}", "size": len(content)}


def archive(binary, name):
    """The bytes of the whole archive."""
    files = layer(binary)
    settings = {"User": USER, "Entrypoint": [ENTRYPOINT], "Cmd": ["--help"], "WorkingDir": "/", "Env": ["PATH=/usr/local/bin"],
                "ExposedPorts": {f"{port}/tcp": {} for port in PORTS}}
    config = json.dumps({"architecture": ARCHITECTURES[platform.machine()], "os": "linux", "config": settings,
                         "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(files)}"]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": described("config.v1+json", config), "layers": [described("layer.v1.tar", files)]}).encode()
    names = {"io.containerd.image.name": f"docker.io/library/{name}", "org.opencontainers.image.ref.name": name.split(":")[1]}
    index = {"schemaVersion": 2, "manifests": [described("manifest.v1+json", manifest) | {"annotations": names}]}
    tar = Tar()
    for blob in (files, config, manifest):
        tar.add(f"blobs/sha256/{digest(blob)}", blob)
    tar.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    tar.add("index.json", json.dumps(index).encode())
    # For what is older than OCI layouts.
    old = [{"Config": f"blobs/sha256/{digest(config)}", "RepoTags": [name], "Layers": [f"blobs/sha256/{digest(files)}"]}]
    tar.add("manifest.json", json.dumps(old).encode())
    return tar.done()


if __name__ == "__main__":
    pathlib.Path(sys.argv[2]).write_bytes(archive(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else "gavel:0.1.0"))
