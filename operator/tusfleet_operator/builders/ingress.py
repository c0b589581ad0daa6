"""The Ingress."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata, without_nothing
from tusfleet_operator.builders.address import base_path
from tusfleet_operator.resource.server import TusServer


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The Ingress; nothing without `exposure.ingress`."""
    if server.spec.exposure is None or (given := server.spec.exposure.ingress) is None:
        return []
    path = {
        "path": base_path(server.spec),
        "pathType": "Prefix",
        "backend": {"service": {"name": server.name, "port": {"name": "uploads"}}},
    }
    tls = [{"hosts": list(given.hosts), "secretName": given.tls_secret_name}] if given.tls_secret_name else []
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata(server, server.name, names.GATEWAY, given.labels, given.annotations),
            "spec": without_nothing(
                {
                    "ingressClassName": given.class_name,
                    "tls": tls,
                    "rules": [{"host": host, "http": {"paths": [path]}} for host in given.hosts],
                }
            ),
        }
    ]
