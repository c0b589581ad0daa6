"""The Deployment of the janitors."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders import pods
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer

GRACE = 30
"""Seconds in which a janitor ends the step that it is at and gives its lease back."""

USUAL_RESOURCES: Manifest = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def name(server: TusServer) -> str:
    """The name of the Deployment."""
    return f"{server.name}-janitor"


def build(server: TusServer, observed: Observed) -> list[Manifest]:
    """The Deployment; one, also for no janitors at all."""
    given = server.spec.janitor
    container = pods.container(
        server,
        observed,
        names.JANITOR,
        {
            "ports": [pods.metrics_port()],
            "resources": pods.resources(given.resources, USUAL_RESOURCES),
            "startupProbe": pods.health("/healthz", periodSeconds=1, timeoutSeconds=2, failureThreshold=60),
            "livenessProbe": pods.health("/healthz", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
            "readinessProbe": pods.health("/readyz", periodSeconds=10, timeoutSeconds=6, failureThreshold=2),
        },
    )
    pod = {**pods.pod(server, container), "terminationGracePeriodSeconds": GRACE}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(server, name(server), names.JANITOR),
            "spec": {
                "replicas": given.replicas,
                # Nobody waits for a janitor: the old one may be gone before the new one has come.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": names.selector(server.name, names.JANITOR)},
                "template": pods.template(server, observed, names.JANITOR, pod),
            },
        }
    ]
