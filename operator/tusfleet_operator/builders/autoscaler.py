"""The HorizontalPodAutoscaler of the gateways."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders import gateway
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer

CONNECTIONS_METRIC = "tusfleet_connections_open"

LEAVING_SECONDS = 60
"""One gateway goes in so many seconds at most: each that goes interrupts its uploads, if only for a moment.

Kubernetes takes off what came in the same time, so with a stabilization window below it two may go together.
"""


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The HorizontalPodAutoscaler; nothing without `autoscaling`."""
    if (given := server.spec.autoscaling) is None:
        return []
    cpu = {"type": "Utilization", "averageUtilization": given.target_cpu_utilization}
    metrics: list[Manifest] = [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}]
    if given.target_connections is not None:
        target = {"type": "AverageValue", "averageValue": str(given.target_connections)}
        metrics.append({"type": "Pods", "pods": {"metric": {"name": CONNECTIONS_METRIC}, "target": target}})
    return [
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(server, gateway.name(server), names.GATEWAY),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": gateway.name(server)},
                "minReplicas": given.min_replicas,
                "maxReplicas": given.max_replicas,
                "metrics": metrics,
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": given.scale_down_stabilization_seconds,
                        "policies": [{"type": "Pods", "value": 1, "periodSeconds": LEAVING_SECONDS}],
                    }
                },
            },
        }
    ]
