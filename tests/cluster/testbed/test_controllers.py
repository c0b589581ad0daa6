"""With controllers and a scheduler, objects have consequences."""

from __future__ import annotations

from tests.servers import eventually
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import Object

SECONDS = 30.0
"""Controllers act within a second; on a machine that builds beside the tests, later."""


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "one", "image": "localhost/none:1"}]},
            },
        },
    }


def test_deployment_makes_pods_that_wait_for_a_node(controllers: ControlPlane, controlled_home: str) -> None:
    controllers.api.apply(deployment("two", 2), controlled_home)
    pods = eventually(lambda: unschedulable(controllers, controlled_home, 2), SECONDS)
    assert {pod["metadata"]["labels"]["app"] for pod in pods} == {"two"}


def unschedulable(plane: ControlPlane, namespace: str, count: int) -> list[Object]:
    """The pods, when there are so many and the scheduler has looked at all of them."""
    pods = plane.api.objects("v1", "Pod", namespace)
    reasons = [condition.get("reason") for pod in pods for condition in pod["status"].get("conditions", [])]
    return pods if len(pods) == count and reasons.count("Unschedulable") == count else []


def test_what_has_lost_its_owner_is_collected(controllers: ControlPlane, controlled_home: str) -> None:
    api = controllers.api
    owner = api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}},
        controlled_home,
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "owned", "ownerReferences": [reference]}},
        controlled_home,
    )
    api.delete("v1", "ConfigMap", "owner", controlled_home)
    eventually(lambda: api.get("v1", "Secret", "owned", controlled_home) is None, SECONDS)


def test_namespace_ends(controllers: ControlPlane) -> None:
    name = controllers.namespace()
    controllers.api.delete("v1", "Namespace", name)
    eventually(lambda: controllers.api.get("v1", "Namespace", name) is None, SECONDS)
