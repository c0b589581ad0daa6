"""Everything that a TusServer is made of, one pure function for each child, in the order in which it is applied."""

from __future__ import annotations

from tusfleet_operator.builders import (
    autoscaler,
    disruption_budget,
    gateway,
    http_route,
    ingress,
    janitor,
    metrics_service,
    network_policy,
    prometheus_rule,
    redis,
    service,
    service_account,
    service_monitor,
    settings,
)
from tusfleet_operator.builders._common import Manifest as Manifest
from tusfleet_operator.builders._common import Observed as Observed
from tusfleet_operator.resource.server import TusServer

BUILDERS = (
    # What pods need, before them.
    service_account,
    settings,
    network_policy,
    redis,
    service,
    metrics_service,
    gateway,
    janitor,
    # What concerns pods, and what leads to them.
    disruption_budget,
    autoscaler,
    http_route,
    ingress,
    service_monitor,
    prometheus_rule,
)


def build(server: TusServer, observed: Observed) -> list[Manifest]:
    """All children, in the order in which they are applied."""
    return [manifest for builder in BUILDERS for manifest in builder.build(server, observed)]
