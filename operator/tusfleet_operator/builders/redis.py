"""The Redis of `spec.redis.dev`: one pod, in memory only."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata, without_nothing
from tusfleet_operator.resource.fields import amount
from tusfleet_operator.resource.redis import DevRedis
from tusfleet_operator.resource.server import TusServer

PORT = 6379

USER = 999
"""The user of the official images, which name it only in a script that needs root."""

OVERHEAD = 64 * 2**20
"""Bytes of the process besides its data."""


def name(server: TusServer) -> str:
    """The name of its Deployment and of its Service."""
    return f"{server.name}-redis"


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """A Service and a Deployment; nothing without `dev`."""
    if (dev := server.spec.redis.dev) is None:
        return []
    selector = names.selector(server.name, names.REDIS)
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(server, name(server), names.REDIS),
        "spec": {
            "selector": selector,
            "ports": [{"name": "redis", "port": PORT, "targetPort": "redis", "protocol": "TCP"}],
        },
    }
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(server, name(server), names.REDIS),
        "spec": {
            "replicas": 1,
            # Two at once would be two stores, and uploads would be known to one of them. (Recreate says the same, and
            # cannot be applied where somebody has left parameters of another strategy.)
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": _pod(server, dev)},
        },
    }
    return [service, deployment]


def _pod(server: TusServer, dev: DevRedis) -> Manifest:
    template = server.spec.template
    memory = amount(dev.max_memory)
    container = {
        "name": "redis",
        "image": dev.image,
        "command": ["redis-server"],
        # Nothing on a disk, and nothing thrown away: a full one refuses what would grow. Without a password most builds
        # would let in nobody from another pod.
        "args": [
            *("--save", "", "--appendonly", "no", "--protected-mode", "no"),
            *("--maxmemory", str(memory), "--maxmemory-policy", "noeviction"),
        ],
        "ports": [{"name": "redis", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 2},
        "livenessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {
            "requests": {"cpu": "50m", "memory": str(memory + OVERHEAD)},
            "limits": {"memory": str(2 * memory + OVERHEAD)},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "workingDir": "/data",
    }
    return without_nothing(
        {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "imagePullSecrets": [{"name": secret} for secret in server.spec.image.pull_secrets],
            "nodeSelector": template.node_selector,
            "tolerations": [found.model_dump(by_alias=True, exclude_none=True) for found in template.tolerations],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [container],
        }
    )
