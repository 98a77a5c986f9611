"""A Kubernetes API just large enough for helm: discovery, and Secrets that `lookup` can find."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = {
    "v1": ("Secret", "ConfigMap", "Service", "ServiceAccount", "Pod"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("Ingress", "NetworkPolicy"),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "monitoring.coreos.com/v1": ("PodMonitor", "ServiceMonitor", "PrometheusRule"),
}


def plural(kind):
    name = kind.lower()
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith("s") else "s")


def discovery():
    """What the API offers, by path."""
    groups = []
    pages = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for version, kinds in KINDS.items():
        resources = [{"name": plural(k), "namespaced": True, "kind": k, "verbs": ["get", "list"]} for k in kinds]
        page = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
        if "/" in version:
            pages[f"/apis/{version}"] = page
            known = {"groupVersion": version, "version": version.split("/")[1]}
            groups.append({"name": version.split("/")[0], "versions": [known], "preferredVersion": known})
        else:
            pages[f"/api/{version}"] = page
    return pages


PAGES = discovery()


class Handler(BaseHTTPRequestHandler):
    """Answers from `server.secrets`, a map of name to values."""

    def do_GET(self):
        path = self.path.split("?")[0]
        name = path.rsplit("/", 1)[-1]
        if path in PAGES:
            self.answer(200, PAGES[path])
        elif "/secrets/" in path and name in self.server.secrets:
            data = {k: base64.b64encode(v.encode()).decode() for k, v in self.server.secrets[name].items()}
            self.answer(200, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "data": data})
        else:
            self.answer(404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})

    def answer(self, code, body):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Quiet."""


def start(secrets):
    """Serves on a free loopback port until `shutdown()`; returns the server and its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.secrets = secrets
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"
