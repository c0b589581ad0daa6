"""The Service by which Prometheus finds gateways and janitors, each pod by itself."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders import pods
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer


def name(server: TusServer) -> str:
    """The name of the Service."""
    return f"{server.name}-metrics"


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The Service; one."""
    selector = names.selector(server.name, names.METRICS)
    del selector[names.COMPONENT]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(server, name(server), names.METRICS),
            "spec": {
                "clusterIP": "None",
                # What is not ready is what one wants to see.
                "publishNotReadyAddresses": True,
                "selector": selector,
                "ports": [{"name": "metrics", "port": pods.METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"}],
            },
        }
    ]
