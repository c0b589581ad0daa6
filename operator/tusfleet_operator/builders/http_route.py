"""The HTTPRoute of the Gateway API."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata, without_nothing
from tusfleet_operator.builders.address import base_path
from tusfleet_operator.resource.server import TusServer

API_GROUP = "gateway.networking.k8s.io"


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The HTTPRoute; nothing without `exposure.httpRoute`."""
    if server.spec.exposure is None or (given := server.spec.exposure.http_route) is None:
        return []
    parents = [
        {"group": API_GROUP, "kind": "Gateway", **parent.model_dump(by_alias=True, exclude_none=True)}
        for parent in given.parent_refs
    ]
    backend = {"group": "", "kind": "Service", "name": server.name, "port": server.spec.service.port, "weight": 1}
    rule = without_nothing(
        {
            "matches": [{"path": {"type": "PathPrefix", "value": base_path(server.spec)}}],
            "backendRefs": [backend],
            "timeouts": {"request": given.request_timeout} if given.request_timeout else None,
        }
    )
    return [
        {
            "apiVersion": f"{API_GROUP}/v1",
            "kind": "HTTPRoute",
            "metadata": metadata(server, server.name, names.GATEWAY, given.labels, given.annotations),
            "spec": without_nothing({"parentRefs": parents, "hostnames": list(given.hostnames), "rules": [rule]}),
        }
    ]
