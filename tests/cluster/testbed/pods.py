"""Manifests of small things that run on a node under Pod Security `restricted`."""

from __future__ import annotations

from typing import Any

from tests.testbed.kube_api import Object

PORT = 8000


def deployment(name: str, replicas: int, *command: str, image: str = "localhost/client:1", **container: Any) -> Object:
    """Pods of one container that runs `command` (or what its image says); `container` are more of its fields."""
    labels = {"app": name}
    spec = {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        **({"command": list(command)} if command else {}),
        **container,
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [spec],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def web(name: str, replicas: int) -> Object:
    """Pods that answer every request for `/name` with their own name."""
    script = "hostname > /data/name && exec python3 -m http.server --directory /data 8000"
    probe = {"httpGet": {"path": "/name", "port": PORT}, "periodSeconds": 1}
    return deployment(name, replicas, "sh", "-c", script, readinessProbe=probe)


def service(name: str, port: int = PORT) -> Object:
    """What leads to the pods of the Deployment `name`."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def autoscaler(name: str, most: int) -> Object:
    """Keeps the pods of the Deployment `name` at half of the CPU that they ask for."""
    target = {"type": "Utilization", "averageUtilization": 50}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }
