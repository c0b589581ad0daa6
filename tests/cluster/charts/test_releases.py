"""Releases on a real API server: installed, upgraded, rolled back and uninstalled, by Helm 3 and by Helm 4."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.charts import PLAIN
from scripts.rbac import rules
from tests.cluster.charts.helms import CHARTS, HELMS, MOST
from tests.cluster.operator.operators import an_operator
from tests.cluster.operator.sites import Site
from tests.servers import eventually
from tests.testbed.controlplane import ControlPlane
from tests.testbed.fixtures import need
from tests.testbed.kube_tools import run_tool
from tusfleet_operator.builders import Observed, build

CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "tusservers.tusfleet.dev")

EVERYTHING: dict[str, Any] = yaml.safe_load((PLAIN / "ci" / "everything.yaml").read_text(encoding="utf-8"))
SMALLEST: dict[str, Any] = yaml.safe_load((PLAIN / "ci" / "smallest.yaml").read_text(encoding="utf-8"))

SECONDS = 60.0


class Releases:
    """Helm on one API server, in one namespace."""

    def __init__(self, plane: ControlPlane, tool: str, home: str) -> None:
        self.plane, self.tool, self.home = plane, tool, home

    def __call__(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run Helm; what it printed."""
        given = ["--values", "-"] if values is not None else []
        command = [*arguments, *given, "--namespace", self.home]
        return run_tool(self.plane.admin, self.tool, *command, stdin=json.dumps(values or {})).stdout


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest, fresh: ControlPlane) -> Iterator[Releases]:
    need(request.param)
    # Pod Security refuses what is not restricted, in a namespace that says so.
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    home = fresh.namespace("charts", labels)
    yield Releases(fresh, request.param, home)
    for name in run_tool(fresh.admin, request.param, "list", "-q", "-n", home).stdout.split():
        run_tool(fresh.admin, request.param, "uninstall", name, "-n", home)
    fresh.api.delete(*CRD)
    eventually(lambda: fresh.api.get(*CRD) is None, SECONDS)
    fresh.api.delete("v1", "Namespace", home)


def test_the_operator_comes_goes_and_leaves_its_definition(helm: Releases, fresh: ControlPlane, tmp_path: Path) -> None:
    chart = str(CHARTS["tusfleet-operator"])
    said = helm("install", "tusfleet", chart, values={**MOST, "image": {}, "priorityClassName": ""})
    name = _deployment(fresh, helm.home)
    assert f"kubectl -n {helm.home} rollout status deployment/{name}" in said
    # Pods are made: Pod Security takes them, and the service account is there.
    eventually(lambda: len(fresh.api.objects("v1", "Pod", helm.home)) == 2, SECONDS)

    # The rights of the chart are enough for an operator.
    eventually(lambda: fresh.api.knows("tusfleet.dev/v1alpha1", "TusServer"), SECONDS)
    site = Site(fresh.api, helm.home)
    with an_operator(fresh.service_account(helm.home, name), helm.home, tmp_path) as operator:
        eventually(lambda: (page := operator.page("/readyz")) is not None and page.status_code == 200, SECONDS)
        server = site.make("smallest")
        made = len(site.has_children(len(build(server, Observed(default_image="any")))))

    # An upgrade touches nothing that the operator made.
    before = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in site.children() if _still(one)}
    helm("upgrade", "tusfleet", chart, values={"replicas": 1, "crds": {"enabled": True}})
    assert site.deployment(name)["spec"]["replicas"] == 1
    helm("rollback", "tusfleet", "1")
    assert site.deployment(name)["spec"]["replicas"] == 2
    after = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in site.children() if _still(one)}
    assert before == after

    helm("uninstall", "tusfleet")
    assert fresh.api.get("apps/v1", "Deployment", name, helm.home) is None
    assert fresh.api.get(*CRD) is not None
    assert site.server()["spec"]["storage"]["s3"]["bucket"] == server.spec.storage.s3.bucket
    assert len(site.children()) == made

    # It can come back, to a definition that is there already.
    helm("install", "tusfleet", chart, values={})


def test_an_operator_for_some_namespaces_has_no_right_elsewhere(helm: Releases, fresh: ControlPlane) -> None:
    watched = fresh.namespace("watched")
    values = {"watchNamespaces": [watched], "crds": {"enabled": False}}
    helm("install", "tusfleet", str(CHARTS["tusfleet-operator"]), values=values)
    role = fresh.api.get("rbac.authorization.k8s.io/v1", "Role", _deployment(fresh, helm.home), watched)
    assert role is not None
    assert role["rules"] == rules(own_namespace=False)
    user = f"system:serviceaccount:{helm.home}:{_deployment(fresh, helm.home)}"
    may = ("auth", "can-i", "list", "secrets", "--as", user, "--namespace")
    assert run_tool(fresh.admin, "kubectl", *may, watched, check=False).stdout.strip() == "yes"
    assert run_tool(fresh.admin, "kubectl", *may, helm.home, check=False).stdout.strip() == "no"
    fresh.api.delete("v1", "Namespace", watched)


def test_the_plain_chart_comes_changes_and_goes(helm: Releases, fresh: ControlPlane) -> None:
    chart = str(CHARTS["tusfleet"])
    said = helm("install", "uploads", chart, values=SMALLEST)
    assert f"http://uploads.{helm.home}.svc/files" in said
    # Two gateways and a janitor, in a namespace that takes only restricted pods.
    eventually(lambda: len(fresh.api.objects("v1", "Pod", helm.home)) == 3, SECONDS)
    before = _gateway(fresh, helm.home)["spec"]["template"]

    said = helm("upgrade", "uploads", chart, values=EVERYTHING)
    assert "https://uploads.example.org/files" in said
    for api, kind in (
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
        ("monitoring.coreos.com/v1", "PrometheusRule"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
    ):
        assert fresh.api.objects(api, kind, helm.home), kind

    helm("rollback", "uploads", "1")
    assert _gateway(fresh, helm.home)["spec"]["template"] == before
    assert fresh.api.objects("autoscaling/v2", "HorizontalPodAutoscaler", helm.home) == []

    helm("uninstall", "uploads")
    for api, kind in (("apps/v1", "Deployment"), ("v1", "Service"), ("policy/v1", "PodDisruptionBudget")):
        assert fresh.api.objects(api, kind, helm.home) == []


def _deployment(plane: ControlPlane, home: str) -> str:
    (found,) = plane.api.objects("apps/v1", "Deployment", home, "app.kubernetes.io/name=tusfleet-operator")
    name: str = found["metadata"]["name"]
    return name


def _gateway(plane: ControlPlane, home: str) -> dict[str, Any]:
    found = plane.api.get("apps/v1", "Deployment", "uploads-gateway", home)
    assert found is not None
    return found


def _still(child: dict[str, Any]) -> bool:
    """Whether nobody but the operator writes to it: controllers tell the status of the others."""
    return child["kind"] in {"ConfigMap", "Service", "ServiceAccount"}
