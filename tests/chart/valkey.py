"""The bundled Valkey: a real server takes the rendered file, keeps what it is told, and comes back from a backup as
docs/operations.md says. Redis stands in for Valkey, whose protocol and settings it shares."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import time

import helm
import policy

START_SECONDS = 10


class Server:
    """A server with a directory of its own, until the block ends."""

    def __init__(self, directory, password, *args):
        self.directory, self.password, self.args = directory, password, args
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]

    def __enter__(self):
        command = ["redis-server", *self.args, "--dir", self.directory, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("PONG", lambda: self.ask("ping"))
        return self

    def __exit__(self, *_):
        """What was answered is on the disk, so nobody need ask it to stop."""
        self.process.kill()
        self.process.wait()

    def ask(self, *words, password=None):
        password = self.password if password is None else password
        env = {"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": password} if password else {})}
        command = ["redis-cli", "-e", "-p", str(self.port), *words]
        return subprocess.run(command, env=env, capture_output=True, timeout=30)


def until(text, ask):
    """Asks again until the answer holds the text, and returns the last answer."""
    deadline = time.monotonic() + START_SECONDS
    while text.encode() not in (answer := ask()).stdout and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer.stdout.decode()


def checks(scratch):
    """Yields what is to be reported, by name."""
    if shutil.which("redis-server") is None:
        yield "bundled Valkey starts", ["redis-server is missing: run tests/tools.sh"]
        return
    secrets = policy.of_kind(helm.render({})[0], "Secret")
    secret = next(s["stringData"] for s in secrets if "valkey.conf" in s.get("stringData", {}))
    scratch = pathlib.Path(scratch) / "valkey"
    backup = scratch / "gavel.rdb"
    bundled = []
    for directory in (scratch / "first", scratch / "second"):
        directory.mkdir(parents=True)
        conf = directory / "valkey.conf"
        conf.write_text(secret["valkey.conf"].replace("dir /data", f"dir {directory}"))
        bundled.append(Server(directory, secret["password"], conf))
    with bundled[0] as server:
        yield "bundled Valkey starts", [] if b"PONG" in server.ask("ping").stdout else ["it does not"]
        yield "bundled Valkey syncs every append", [] if b"always" in server.ask("config", "get", "appendfsync").stdout else ["it does not"]
        yield "bundled Valkey asks for the password", [] if server.ask("ping", password="").returncode else ["it does not"]
        server.ask("set", "bid", "100")
        backup.write_bytes(server.ask("--rdb", "-").stdout)
    with contextlib.ExitStack() as stack:
        snapshot = stack.enter_context(Server(scratch, "", "--dbfilename", backup.name, "--protected-mode", "no"))
        with bundled[1] as server:
            server.ask("replicaof", "127.0.0.1", str(snapshot.port))
            link = until("master_link_status:up", lambda: server.ask("info", "replication"))
            server.ask("replicaof", "no", "one")
            until("aof_rewrite_in_progress:0", lambda: server.ask("info", "persistence"))
    yield "a backup can be followed", [] if "master_link_status:up" in link else [link]
    with bundled[1] as server:
        kept = server.ask("get", "bid").stdout.decode()
    yield "what was restored outlives the server", [] if kept == "100\n" else [kept or "nothing"]
