"""What the operator asks of pods themselves: why they are not ready, and which of them have the least to do.

Pods that only exist as objects have addresses of the loopback network, where servers of the tests answer for them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.sites import Site
from tests.testbed.kube_api import Object
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.cluster.pods import PORT
from tusfleet_operator.names import DELETION_COST

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux answers on every address of 127.0.0.0/8 without being set up for it"
)

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


def a_pod(site: Site, number: int) -> None:
    labels = site.deployment()["spec"]["selector"]["matchLabels"]
    spec = {"containers": [{"name": "gateway", "image": "gateway:1"}]}
    manifest: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}", "labels": labels}}
    site.api.create({**manifest, "spec": spec}, site.home)
    site.api.set_status("v1", "Pod", f"pod-{number}", {"phase": "Running", "podIP": address(number)}, site.home)


@pytest.mark.parametrize(
    ("reason", "condition"),
    [
        ("Redis at redis:6379 does not answer in time", "RedisReachable"),
        ("The bucket uploads does not exist; create it, or name another in s3.bucket", "StorageReachable"),
    ],
)
def test_why_gateways_are_not_ready_is_told_in_their_words(
    site: Site, operator: OperatorProcess, reason: str, condition: str
) -> None:
    site.make()
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    told = {"status": "not ready", "reason": reason}
    with answering(1, {"/readyz": (503, json.dumps(told))}):
        a_pod(site, 1)
        site.set_ready(ready=0)
        site.until(condition, "Unreachable")
        assert site.condition(condition) == ("False", "Unreachable", reason)
        assert site.condition("Ready") == ("False", "GatewaysNotReady", reason)
        # And it is well again without anybody's help.
        site.set_ready()
        site.until(condition, "GatewaysReady")


def test_the_gateway_with_the_least_to_do_goes_first(site: Site, operator: OperatorProcess) -> None:
    site.make({**SMALLEST, "autoscaling": {"minReplicas": 2, "maxReplicas": 4}})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    busy, idle = (f"# HELP x\ntusfleet_connections_open {count}\n" for count in ("1300.0", "0.0"))
    with answering(2, {"/metrics": (200, busy)}), answering(3, {"/metrics": (200, idle)}):
        a_pod(site, 2)
        a_pod(site, 3)

        def costs() -> list[str | None]:
            pods = [site.api.get("v1", "Pod", f"pod-{number}", site.home) or {} for number in (2, 3)]
            return [pod["metadata"].get("annotations", {}).get(DELETION_COST) for pod in pods]

        site.eventually(lambda: costs() == ["1024", "0"], COST_SECONDS)
