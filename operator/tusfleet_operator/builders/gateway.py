"""The Deployment of the gateways."""

from __future__ import annotations

import math

from tusfleet_operator import names
from tusfleet_operator.builders import pods
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.fields import amount, seconds
from tusfleet_operator.resource.server import TusServer
from tusfleet_operator.resource.spec import DEFAULT_REPLICAS, Spec

PORT = 8080
"""Port of the uploads in pods."""

BUFFER_MEMORY = 256 * 2**20
"""Bytes of `bufferMemory` when it is not given."""

ASKED_OVERHEAD = 128 * 2**20
ALLOWED_OVERHEAD = 256 * 2**20
"""Bytes above `bufferMemory`: 2,000 stalled uploads were measured to take less than 100 MiB beside it."""


def name(server: TusServer) -> str:
    """The name of the Deployment."""
    return f"{server.name}-gateway"


def replicas(spec: Spec) -> int | None:
    """How many gateways there are to be; None when an autoscaler says it."""
    if spec.autoscaling is not None:
        return None
    return DEFAULT_REPLICAS if spec.replicas is None else spec.replicas


def build(server: TusServer, observed: Observed) -> list[Manifest]:
    """The Deployment; one. The number of its pods is not in it: see `names.REPLICAS_MANAGER`."""
    spec = server.spec
    container = pods.container(
        server,
        observed,
        names.GATEWAY,
        {
            "ports": [{"name": "uploads", "containerPort": PORT, "protocol": "TCP"}, pods.metrics_port()],
            "resources": pods.resources(spec.template.resources, _usual_resources(spec)),
            # Lives, whatever Redis and the storage do: a restart would help neither of them, and lose connections.
            "startupProbe": pods.health("/healthz", periodSeconds=1, timeoutSeconds=2, failureThreshold=60),
            "livenessProbe": pods.health("/healthz", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
            # A store has five seconds to answer, and then the answer of the gateway is on its way.
            "readinessProbe": pods.health("/readyz", periodSeconds=5, timeoutSeconds=6, failureThreshold=2),
        },
    )
    pod = {
        **pods.pod(server, container),
        "terminationGracePeriodSeconds": math.ceil(seconds(spec.drain_timeout)),
        "topologySpreadConstraints": _spread(server),
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(server, name(server), names.GATEWAY),
            "spec": {
                # One leaves when another one has come.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
                "minReadySeconds": 5,
                "revisionHistoryLimit": 3,
                "progressDeadlineSeconds": 600,
                "selector": {"matchLabels": names.selector(server.name, names.GATEWAY)},
                "template": pods.template(server, observed, names.GATEWAY, pod),
            },
        }
    ]


def _usual_resources(spec: Spec) -> Manifest:
    given = spec.gateway.setting("bufferMemory")
    buffers = BUFFER_MEMORY if given is None else amount(given)
    return {
        "requests": {"cpu": "250m", "memory": _mebibytes(buffers + ASKED_OVERHEAD)},
        "limits": {"memory": _mebibytes(buffers + ALLOWED_OVERHEAD)},
    }


def _mebibytes(size: int) -> str:
    return f"{math.ceil(size / 2**20)}Mi"


def _spread(server: TusServer) -> list[Manifest]:
    given = server.spec.template.topology_spread_constraints
    if given is None:
        wanted = [(key, 1, "ScheduleAnyway") for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")]
    else:
        wanted = [(found.topology_key, found.max_skew, found.when_unsatisfiable) for found in given]
    return [
        {
            "topologyKey": key,
            "maxSkew": skew,
            "whenUnsatisfiable": otherwise,
            "labelSelector": {"matchLabels": names.selector(server.name, names.GATEWAY)},
            # Only pods of the same version are counted: those that are about to leave would spoil the picture.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key, skew, otherwise in wanted
    ]
