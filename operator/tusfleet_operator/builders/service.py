"""The Service of the uploads."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata, without_nothing
from tusfleet_operator.resource.server import TusServer


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The Service, named as the TusServer; one."""
    given = server.spec.service
    port: Manifest = {"name": "uploads", "port": given.port, "targetPort": "uploads", "protocol": "TCP"}
    if given.node_port is not None:
        port["nodePort"] = given.node_port
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(server, server.name, names.GATEWAY, given.labels, given.annotations),
            "spec": without_nothing(
                {
                    "type": given.type,
                    "selector": names.selector(server.name, names.GATEWAY),
                    "ports": [port],
                    "loadBalancerClass": given.load_balancer_class,
                    "loadBalancerSourceRanges": given.load_balancer_source_ranges,
                    "externalTrafficPolicy": given.external_traffic_policy,
                }
            ),
        }
    ]
