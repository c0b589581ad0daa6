"""The PodDisruptionBudget of the gateways."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders import gateway
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The PodDisruptionBudget; nothing for a single gateway, whose node could never be drained then."""
    spec = server.spec
    fewest = spec.autoscaling.min_replicas if spec.autoscaling is not None else gateway.replicas(spec)
    if fewest is None or fewest <= 1:
        return []
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(server, gateway.name(server), names.GATEWAY),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": names.selector(server.name, names.GATEWAY)},
                # Those that are not ready serve nobody: while Redis is away, nodes can still be drained.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    ]
