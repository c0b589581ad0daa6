"""The node of the test bed runs pods as nodes do."""

from __future__ import annotations

import json
import socket

import httpx
import pytest

from tests.cluster.testbed.pods import autoscaler, deployment, service, web
from tests.servers import eventually
from tests.testbed import node_programs
from tests.testbed.commands import run_client
from tests.testbed.images import image
from tests.testbed.kube_api import Object
from tests.testbed.node import Cluster

READY = "--timeout=90s"

METRICS_SECONDS = 120.0
"""CPU figures are taken every 10 s, and two of them make the first."""


def address(cluster: Cluster, namespace: str, name: str) -> str:
    """Of a Service."""
    found = cluster.plane.api.get("v1", "Service", name, namespace)
    assert found is not None
    return str(found["spec"]["clusterIP"])


def answer(url: str) -> str | None:
    """What a new connection gets; None when there is no answer."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).raise_for_status().text.strip()
    except httpx.HTTPError:
        return None


def test_node_is_of_the_pinned_version(cluster: Cluster) -> None:
    node = cluster.plane.api.get("v1", "Node", "node-1")
    assert node is not None
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"


def test_restricted_pods_answer_through_their_service(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("client"))
    for manifest in (web("web", 3), service("web")):
        cluster.plane.api.apply(manifest, cluster_home)
    cluster.plane.kubectl("rollout", "status", "deployment/web", "-n", cluster_home, READY)
    pods = {pod["metadata"]["name"] for pod in cluster.plane.api.objects("v1", "Pod", cluster_home)}
    assert len(pods) == 3
    url = f"http://{address(cluster, cluster_home, 'web')}/name"
    eventually(lambda: answer(url), 20)
    answered = {answer(url) for _ in range(60)}
    assert answered == pods
    # From a pod, by its name.
    said = cluster.plane.kubectl(
        "exec", "deployment/web", "-n", cluster_home, "--",
        "curl", "--silent", "--fail", f"http://web.{cluster_home}.svc.cluster.local/name",
    )  # fmt: skip
    assert said.strip() in pods


def test_logs_are_shown(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("client"))
    cluster.plane.api.apply(deployment("says", 1, "sh", "-c", "echo something; sleep 600"), cluster_home)
    cluster.plane.kubectl("rollout", "status", "deployment/says", "-n", cluster_home, READY)
    eventually(lambda: "something" in cluster.plane.kubectl("logs", "deployment/says", "-n", cluster_home), 10)


def test_program_that_takes_too_much_memory_is_killed(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("client"))
    command = ("python3", "-c", "bytearray(512 << 20)")
    cluster.plane.api.apply(deployment("greedy", 1, *command), cluster_home)

    def killed() -> bool:
        pods = cluster.plane.api.objects("v1", "Pod", cluster_home)
        statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
        states = [status.get(when, {}) for status in statuses for when in ("state", "lastState")]
        return any(state.get("terminated", {}).get("reason") == "OOMKilled" for state in states)

    eventually(killed, 60)


def test_redis_of_the_images_answers(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("redis"))
    cluster.plane.api.apply(deployment("redis", 1, image="localhost/redis:1"), cluster_home)
    cluster.plane.kubectl("rollout", "status", "deployment/redis", "-n", cluster_home, READY)
    said = cluster.plane.kubectl("exec", "deployment/redis", "-n", cluster_home, "--", "redis-cli", "ping")
    assert said.strip() == "PONG"


def test_s3_of_the_images_is_ready(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("minio"), image("versitygw"))
    keys = {"minio": ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"), "versitygw": ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY")}
    paths = {"minio": "/minio/health/ready", "versitygw": "/healthz"}
    for name, variables in keys.items():
        env = [{"name": variable, "value": "testbed-secret"} for variable in variables]
        probe = {"httpGet": {"path": paths[name], "port": 9000}, "periodSeconds": 1}
        manifest = deployment(name, 1, image=f"localhost/{name}:1", env=env, readinessProbe=probe)
        cluster.plane.api.apply(manifest, cluster_home)
    for name in keys:
        cluster.plane.kubectl("rollout", "status", f"deployment/{name}", "-n", cluster_home, READY)


def test_prometheus_of_the_images_is_ready(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("prometheus"))
    probe = {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1}
    arguments = ["--config.file=/etc/prometheus/prometheus.yml"]
    limits = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    manifest = deployment(
        "prometheus", 1, image="localhost/prometheus:1", args=arguments, readinessProbe=probe, resources=limits
    )
    cluster.plane.api.apply(manifest, cluster_home)
    cluster.plane.kubectl("rollout", "status", "deployment/prometheus", "-n", cluster_home, READY)


def test_autoscaler_sees_cpu(cluster: Cluster, cluster_home: str) -> None:
    cluster.load(image("client"))
    for manifest in (deployment("busy", 1, "python3", "-c", "while True: pass"), autoscaler("busy", 2)):
        cluster.plane.api.apply(manifest, cluster_home)

    def scaled() -> Object | None:
        found = cluster.plane.api.get("autoscaling/v2", "HorizontalPodAutoscaler", "busy", cluster_home)
        assert found is not None
        return found if found["status"].get("desiredReplicas") == 2 else None

    status = eventually(scaled, METRICS_SECONDS, pause=1)["status"]
    assert status["currentMetrics"][0]["resource"]["current"]["averageUtilization"] > 50
    cluster.plane.kubectl("rollout", "status", "deployment/busy", "-n", cluster_home, READY)
    assert "busy-" in cluster.plane.kubectl("top", "pods", "-n", cluster_home)


def test_network_of_the_node_leads_nowhere_else(cluster: Cluster) -> None:
    devices = {one["ifname"] for one in json.loads(run_client("ip", "-json", "link", seconds=10))}
    assert {"lo", "node0"} <= devices
    assert not any(name.startswith(("eth", "en", "wl")) for name in devices)


def test_api_is_reached_from_this_machine_s_own_network_too(shared_cluster: Cluster) -> None:
    # Not by the test, which stays where it is: its address is somebody else's there.
    assert "node-1" in shared_cluster.plane.kubectl("get", "nodes")
    assert shared_cluster.plane.api.get("v1", "Node", "node-1")
    with pytest.raises(OSError, match=r"."), socket.create_connection(("127.0.0.1", node_programs.METRICS_PORT), 1):
        pass
