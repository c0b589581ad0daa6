"""The ServiceMonitor of the Prometheus operator."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer

API_GROUP = "monitoring.coreos.com"


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The ServiceMonitor; nothing without `monitoring.serviceMonitor`."""
    if (given := server.spec.monitoring.service_monitor) is None:
        return []
    endpoint = {
        "port": "metrics",
        "path": "/metrics",
        "interval": given.interval,
        "scrapeTimeout": given.scrape_timeout,
    }
    return [
        {
            "apiVersion": f"{API_GROUP}/v1",
            "kind": "ServiceMonitor",
            "metadata": metadata(server, server.name, names.METRICS, given.labels),
            "spec": {
                "selector": {"matchLabels": names.selector(server.name, names.METRICS)},
                "namespaceSelector": {"matchNames": [server.namespace]},
                "endpoints": [endpoint],
                # Series have job="tusfleet", and tell gateways from janitors.
                "jobLabel": names.NAME,
                "podTargetLabels": [names.COMPONENT],
            },
        }
    ]
