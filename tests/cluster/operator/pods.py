"""Pods that only exist as objects: their addresses are of the loopback network, where servers answer for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.cluster.operator.sites import Site
from tests.testbed.kube_api import Object
from tusfleet_operator.cluster.pods import PORT
from tusfleet_operator.names import DELETION_COST

COST_SECONDS = 60.0
"""Deletion costs are looked at every half minute."""


def address(number: int) -> str:
    """An address that no other test process has."""
    return f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.{number}"


@contextmanager
def answering(number: int, pages: dict[str, tuple[int, str]]) -> Iterator[None]:
    """A server on the port for health and metrics of one address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = pages.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((address(number), PORT), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)


def a_pod(site: Site, number: int, deployment: str = "uploads-gateway") -> None:
    """A pod of a Deployment."""
    labels = site.deployment(deployment)["spec"]["selector"]["matchLabels"]
    spec = {"containers": [{"name": "gateway", "image": "gateway:1"}]}
    manifest: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}", "labels": labels}}
    site.api.create({**manifest, "spec": spec}, site.home)
    site.api.set_status("v1", "Pod", f"pod-{number}", {"phase": "Running", "podIP": address(number)}, site.home)


def deletion_cost(site: Site, number: int) -> str | None:
    """What was written of a pod."""
    pod = site.api.get("v1", "Pod", f"pod-{number}", site.home) or {}
    found: str | None = pod["metadata"].get("annotations", {}).get(DELETION_COST)
    return found
