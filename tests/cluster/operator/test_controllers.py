"""With the cluster's own controllers: rollouts, garbage collection, autoscalers. Pods are made ready by the tests."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cluster.operator.conftest import define
from tests.cluster.operator.operators import OperatorProcess, an_operator, permit, permit_everywhere
from tests.cluster.operator.sites import Site, named
from tests.cluster.operator.test_changes import numbers_of_gateways
from tests.cluster.operator.test_plugin import tus
from tests.testbed.controlplane import ControlPlane
from tests.testbed.fixtures import Folders
from tests.testbed.kube_api import ApiError, KubeApi, Object
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.cluster.kinds import AUTOSCALER, TUSSERVER

SECONDS = 60.0
"""Rollouts wait five seconds for each gateway to stay ready."""

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def controlled(controllers: ControlPlane) -> ControlPlane:
    """L2 with TusServers."""
    define(controllers)
    controllers.install("gateway-api", "prometheus-operator")
    return controllers


@pytest.fixture
def site(controlled: ControlPlane) -> Iterator[Site]:
    """A namespace of this test alone that takes only pods that are restricted."""
    home = controlled.namespace(labels=RESTRICTED)
    with a_kubelet(controlled, home):
        yield Site(controlled.api, home)
    controlled.api.delete("v1", "Namespace", home)


@pytest.fixture(scope="session")
def standing(controlled: ControlPlane, tmp_path_factory: Folders) -> Iterator[OperatorProcess]:
    """An operator for all namespaces of L2."""
    home = controlled.namespace("ops")
    with an_operator(permit_everywhere(controlled, home), home, tmp_path_factory.mktemp("operator")) as process:
        yield process


@contextmanager
def a_kubelet(plane: ControlPlane, home: str) -> Iterator[None]:
    """Says that every pod is ready, as the kubelet of a node would."""
    end = threading.Event()
    api = KubeApi(plane.admin)

    def work() -> None:
        while not end.wait(0.2):
            for pod in api.objects("v1", "Pod", home):
                if not _is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
                    _make_ready(api, pod, home)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(10)
        api.close()


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def _make_ready(api: KubeApi, pod: Object, home: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
    try:
        api.set_status("v1", "Pod", pod["metadata"]["name"], {"phase": "Running", "conditions": [ready]}, home)
    except ApiError as error:
        if error.code != 404:
            raise


def until(site: Site, holds: Callable[[], object]) -> None:
    site.eventually(holds, SECONDS)


def is_settled(site: Site) -> bool:
    return (site.condition("Ready")[0], site.condition("Progressing")[0]) == ("True", "False")


def test_gateways_become_ready_in_a_namespace_that_takes_only_restricted_pods(
    site: Site, standing: OperatorProcess
) -> None:
    site.make()
    until(site, lambda: is_settled(site))
    status = site.server()["status"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    pods = site.api.objects("v1", "Pod", site.home, status["selector"])
    assert len(pods) == 2
    until(site, lambda: budget(site)["status"]["currentHealthy"] == 2)
    assert budget(site)["status"]["disruptionsAllowed"] == 1


def budget(site: Site) -> Object:
    (found,) = site.api.objects("policy/v1", "PodDisruptionBudget", site.home)
    return found


@pytest.mark.parametrize("component", ["gateway", "janitor", "redis"])
def test_all_of_our_pods_are_restricted(site: Site, standing: OperatorProcess, component: str) -> None:
    site.make({**SMALLEST, "redis": {"dev": {}}})
    labels = f"app.kubernetes.io/component={component}"
    until(site, lambda: site.api.objects("v1", "Pod", site.home, labels))


def test_a_change_of_settings_is_one_rollout_and_what_was_before_is_cleaned_up(
    site: Site, standing: OperatorProcess
) -> None:
    site.make()
    until(site, lambda: is_settled(site))
    before = {one["metadata"]["name"] for one in replica_sets(site)}
    site.change({"spec": {"gateway": {"maxSize": "1Gi"}}})
    until(site, lambda: len(replica_sets(site)) == 2 and is_settled(site))
    until(site, lambda: len(configs(site)) == 1)
    assert before < {one["metadata"]["name"] for one in replica_sets(site)}
    standing.idle()
    assert len(replica_sets(site)) == 2


def test_new_data_in_a_secret_is_one_rollout(site: Site, standing: OperatorProcess) -> None:
    site.make()
    until(site, lambda: is_settled(site))
    site.api.patch("v1", "Secret", "minio", {"metadata": {"labels": {"new": "label"}}}, site.home)
    standing.idle()
    assert len(replica_sets(site)) == 1
    site.api.patch("v1", "Secret", "minio", {"stringData": {"AWS_SECRET_ACCESS_KEY": "rotated"}}, site.home)
    until(site, lambda: len(replica_sets(site)) == 2 and is_settled(site))
    standing.idle()
    assert len(replica_sets(site)) == 2


def test_a_restart_by_kubectl_survives(controlled: ControlPlane, site: Site, standing: OperatorProcess) -> None:
    site.make()
    until(site, lambda: is_settled(site))
    controlled.kubectl("rollout", "restart", "deployment/uploads-gateway", "-n", site.home)
    until(site, lambda: len(replica_sets(site)) == 2 and is_settled(site))
    standing.idle()
    annotations = site.deployment()["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


def replica_sets(site: Site) -> list[Object]:
    return site.api.objects("apps/v1", "ReplicaSet", site.home, "app.kubernetes.io/component=gateway")


def configs(site: Site) -> list[Object]:
    return site.api.objects("v1", "ConfigMap", site.home, "tusfleet.dev/tusserver=uploads")


def test_the_autoscaler_of_the_cluster_takes_over_without_a_dip(
    controlled: ControlPlane, site: Site, standing: OperatorProcess
) -> None:
    site.make({**SMALLEST, "replicas": 5})
    until(site, lambda: site.server().get("status", {}).get("readyReplicas") == 5)
    with numbers_of_gateways(controlled, site) as seen:
        site.change({"spec": {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 10}}})
        until(site, lambda: autoscaler(site).get("status", {}).get("currentReplicas") == 5)
        # Without metrics it keeps to its bounds.
        site.change({"spec": {"autoscaling": {"minReplicas": 7}}})
        until(site, lambda: site.deployment()["spec"]["replicas"] == 7)
        site.change({"spec": {"autoscaling": {"minReplicas": 2}}})
        standing.idle()
        site.change({"spec": {"replicas": 6, "autoscaling": None}})
        until(site, lambda: seen[-1] == 6)
        standing.idle()
    assert min(seen) >= 5
    assert site.get(AUTOSCALER, "uploads-gateway") is None


def autoscaler(site: Site) -> Object:
    return site.get(AUTOSCALER, "uploads-gateway") or {}


def test_an_autoscaler_of_ones_own_may_scale_the_resource(site: Site, standing: OperatorProcess) -> None:
    site.make({**SMALLEST, "replicas": 2})
    until(site, lambda: is_settled(site))
    target = {"apiVersion": TUSSERVER.api_version, "kind": TUSSERVER.kind, "name": "uploads"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    metrics = [{"type": "Resource", "resource": cpu}]
    site.api.create(
        {
            "apiVersion": AUTOSCALER.api_version,
            "kind": AUTOSCALER.kind,
            "metadata": {"name": "theirs"},
            "spec": {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 8, "metrics": metrics},
        },
        site.home,
    )
    until(site, lambda: site.deployment()["spec"]["replicas"] == 4)


def test_deleting_works_while_no_operator_runs(controlled: ControlPlane, tmp_path: Path) -> None:
    home = controlled.namespace(labels=RESTRICTED)
    site = Site(controlled.api, home)
    with (
        a_kubelet(controlled, home),
        an_operator(permit(controlled, home), home, tmp_path, "--watch-namespace", home) as process,
    ):
        site.make("production")
        site.eventually(lambda: len(site.children()) >= 13)
        process.idle()
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", home)
    assert site.api.get(TUSSERVER.api_version, TUSSERVER.kind, "uploads", home) is None
    until(site, lambda: site.children() == [])
    until(site, lambda: site.api.objects("v1", "Pod", home) == [])
    controlled.api.delete("v1", "Namespace", home)


def test_what_is_to_outlive_its_tusserver_does(site: Site, standing: OperatorProcess) -> None:
    site.make("orphan")
    until(site, lambda: is_settled(site))
    before = {named(child): child["metadata"]["uid"] for child in site.children()}
    pods = {pod["metadata"]["name"] for pod in site.api.objects("v1", "Pod", site.home)}
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", site.home)
    standing.idle()
    made = site.make("orphan")
    until(site, lambda: is_settled(site))
    assert made.uid
    assert before == {named(child): child["metadata"]["uid"] for child in site.children()}
    assert pods == {pod["metadata"]["name"] for pod in site.api.objects("v1", "Pod", site.home)}


def test_a_child_that_was_given_another_owner_is_made_anew(site: Site, standing: OperatorProcess) -> None:
    """The owner does not exist: the cluster collects the child."""
    site.make()
    until(site, lambda: is_settled(site))
    service = site.api.get("v1", "Service", "uploads", site.home)
    assert service is not None
    other = {**service["metadata"]["ownerReferences"][0], "uid": "00000000-0000-4000-8000-000000000000"}
    site.api.patch("v1", "Service", "uploads", {"metadata": {"ownerReferences": [other]}}, site.home)

    def again() -> bool:
        found = site.api.get("v1", "Service", "uploads", site.home)
        return found is not None and found["metadata"]["uid"] != service["metadata"]["uid"]

    until(site, again)
    until(site, lambda: site.condition("Degraded")[1] == "AsWanted")


def test_a_name_that_is_used_again_at_once_gets_children_of_its_own(site: Site, standing: OperatorProcess) -> None:
    site.make()
    until(site, lambda: is_settled(site))
    before = {child["metadata"]["uid"] for child in site.children()}
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", site.home)
    made = site.make()
    until(site, lambda: is_settled(site))
    until(site, lambda: {child["metadata"]["ownerReferences"][0]["uid"] for child in site.children()} == {made.uid})
    assert not before & {child["metadata"]["uid"] for child in site.children()}


def test_kubectl_tus_shows_the_pods_of_a_tusserver(
    controlled: ControlPlane, site: Site, standing: OperatorProcess, tmp_path: Path
) -> None:
    site.make({**SMALLEST, "redis": {"dev": {}}})
    until(site, lambda: is_settled(site))
    pods = {pod["metadata"]["name"] for pod in site.api.objects("v1", "Pod", site.home)}
    assert len(pods) == 4
    shown = tus(controlled, site, tmp_path, "status", "uploads")
    assert shown.returncode == 0, shown.stderr
    assert [name for name in pods if name not in shown.stdout] == []
    assert tus(controlled, site, tmp_path, "report", "uploads").returncode == 0
    with zipfile.ZipFile(tmp_path / "uploads-report.zip") as file:
        told = {name: json.loads(file.read(name)) for name in ("pods.json", "replicasets.json", "children.json")}
    assert {pod["metadata"]["name"] for pod in told["pods.json"]["items"]} == pods
    assert len(told["replicasets.json"]["items"]) == 3
    assert len(told["children.json"]["items"]) == len(site.children())


def test_kubectl_waits_for_it(controlled: ControlPlane, site: Site, standing: OperatorProcess) -> None:
    site.make()
    told = controlled.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "tusserver/uploads", "-n", site.home)
    assert "condition met" in told
