"""The operator as a process: which of two works, what it lacks, which kinds it finds, what it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts import rbac
from tests.cluster.operator.conftest import define
from tests.cluster.operator.operators import OperatorProcess, an_operator, permit, permit_everywhere
from tests.cluster.operator.pods import COST_SECONDS, a_pod, answering, deletion_cost
from tests.cluster.operator.sites import Site
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import Object
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.cluster.kinds import ACCESS_REVIEW, CHILDREN, DEPLOYMENT, TUSSERVER

SERVICE_ACCOUNT = next(kind for kind in CHILDREN if kind.kind == "ServiceAccount")

TAKE_OVER_SECONDS = 25.0
"""The time of the Lease, and some for looking."""


def two(plane: ControlPlane, site: Site, folder: Path) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    access = permit(plane, site.home)
    flags = ("--watch-namespace", site.home)
    with (
        an_operator(access, site.home, folder, *flags) as first,
        an_operator(access, site.home, folder, *flags, "--identity", "operator-1", wait=False) as second,
    ):
        site.eventually(lambda: second.metric("tusfleet_operator_synced") == 1)
        yield first, second


@pytest.fixture
def pair(plane: ControlPlane, site: Site, tmp_path: Path) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    """Two operators: the first one leads, the second one stands by."""
    yield from two(plane, site, tmp_path)


def works(site: Site, name: str, seconds: float) -> None:
    site.make(name=name)
    site.eventually(lambda: site.get(DEPLOYMENT, f"{name}-gateway"), seconds)


@pytest.mark.parametrize(("how", "seconds"), [("stop", 5.0), ("kill", TAKE_OVER_SECONDS), ("pause", TAKE_OVER_SECONDS)])
def test_the_second_operator_takes_over(
    site: Site, pair: tuple[OperatorProcess, OperatorProcess], how: str, seconds: float
) -> None:
    first, second = pair
    works(site, "before", 30)
    assert (first.metric("tusfleet_operator_leader"), second.metric("tusfleet_operator_leader")) == (1, 0)
    getattr(first, how)()
    site.eventually(second.leads, seconds)
    works(site, "after", 30)
    if how == "pause":
        # It wakes up, and does nothing before it has seen that it does not lead any more.
        first.resume()
        site.eventually(lambda: first.metric("tusfleet_operator_leader") == 0, TAKE_OVER_SECONDS)
        assert second.leads()
        works(site, "later", 30)


@pytest.mark.parametrize(
    ("resource", "verb", "told"),
    [
        ("secrets", "get", "it may not get secrets in the namespace"),
        ("deployments", "patch", "it may not patch deployments (apps) in the namespace"),
        ("tusservers/status", "patch", "it may not patch tusservers/status (tusfleet.dev) in the namespace"),
        ("leases", "create", "it may not create leases (coordination.k8s.io) in the namespace"),
    ],
)
def test_a_right_that_is_missing_is_told_in_one_sentence(
    plane: ControlPlane, site: Site, tmp_path: Path, resource: str, verb: str, told: str
) -> None:
    access = permit(plane, site.home, without=[(resource, verb)])
    flags = ("--watch-namespace", site.home)
    with an_operator(access, site.home, tmp_path, *flags, wait=False) as process:

        def answer() -> str:
            page = process.page("/readyz")
            return "" if page is None else page.text

        site.eventually(lambda: told in answer())
        page = process.page("/readyz")
        assert page is not None
        assert page.status_code == 503
        site.eventually(lambda: f"The operator lacks a right: {told}" in process.log())


def test_what_may_not_be_made_is_told(plane: ControlPlane, site: Site, tmp_path: Path) -> None:
    """Applying what is not there is a patch, and needs the right to create besides."""
    access = permit(plane, site.home, without=[("services", "create")])
    with an_operator(access, site.home, tmp_path, "--watch-namespace", site.home):
        site.make()
        assert "cannot create resource" in site.until("Degraded", "Refused")


def test_every_right_is_used_and_no_other_is_needed(plane: ControlPlane, site: Site, tmp_path: Path) -> None:
    """What the API server noted of an operator that makes and removes everything."""
    access = permit(plane, site.home)
    with an_operator(access, site.home, tmp_path, "--watch-namespace", site.home) as process:
        site.make("production", "production")
        ingress = {"ingress": {"hosts": ["up.example.org"]}}
        site.make({**SMALLEST, "exposure": ingress, "redis": {"dev": {}}}, "ingress")
        for name in ("production", "ingress"):
            for component in ("gateway", "janitor"):
                site.deployment(f"{name}-{component}")
        process.idle()
        site.set_ready("production-gateway", ready=0)
        process.idle()
        with answering(4, {"/metrics": (200, "tusfleet_connections_open 1.0\n")}):
            a_pod(site, 4, "production-gateway")
            site.eventually(lambda: deletion_cost(site, 4) == "1", COST_SECONDS)
        off = {"networkPolicy": None, "exposure": None, "monitoring": None, "autoscaling": None, "replicas": 1}
        site.change({"spec": {**off, "template": {"serviceAccount": {"name": "default"}}}}, "production")
        site.change({"spec": {"exposure": None, "redis": {"dev": None, "url": "redis://redis:6379/0"}}}, "ingress")
        site.eventually(lambda: site.get(SERVICE_ACCOUNT, "production") is None)
        site.eventually(lambda: site.get(DEPLOYMENT, "ingress-redis") is None)
        for component in ("gateway", "janitor"):
            site.set_ready(f"ingress-{component}")
        site.eventually(lambda: len([child for child in site.children("ingress") if child["kind"] == "ConfigMap"]) == 1)
        process.idle()
    noted = plane.audit(access.user)
    assert [event["requestURI"] for event in noted if event.get("responseStatus", {}).get("code") == 403] == []
    used = {use for event in noted for use in _uses(event)}
    given = yaml.safe_load(rbac.FILE.read_text(encoding="utf-8"))
    granted = {
        (group, resource, verb)
        for rule in (*given["rules"], *given["ownNamespaceRules"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used - granted == set()
    assert granted - used == set()


def _uses(event: Object) -> Iterator[tuple[str, str, str]]:
    """Group, resource and verb of what was asked; asking what one may do is everybody's right."""
    what = event.get("objectRef", {})
    group = what.get("apiGroup", "")
    if "resource" not in what or group == ACCESS_REVIEW.group:
        return
    resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
    yield group, resource, event["verb"]
    if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
        # Applying what is not there is noted as a patch, and needs the right to create besides.
        yield group, resource, "create"


def test_kinds_that_are_installed_later_are_found_and_those_that_go_are_told(
    control_plane_alone: ControlPlane, tmp_path: Path
) -> None:
    define(control_plane_alone)
    home = control_plane_alone.namespace()
    site = Site(control_plane_alone.api, home)
    access = permit_everywhere(control_plane_alone, home)
    with an_operator(access, home, tmp_path) as process:
        site.make("production")
        message = site.until("Degraded", "ApiMissing")
        assert "The cluster does not know HTTPRoute (gateway.networking.k8s.io/v1): install its definition" in message
        assert "ServiceMonitor" in message
        assert site.condition("RouteAccepted")[:2] == ("False", "ApiMissing")
        # Everything else is there.
        assert site.deployment()["spec"]["replicas"] == 3
        control_plane_alone.install("gateway-api", "prometheus-operator")
        site.until("Degraded", "AsWanted")
        kinds = {child["kind"] for child in site.children()}
        assert {"HTTPRoute", "ServiceMonitor", "PrometheusRule"} <= kinds
        # They are watched too.
        site.api.delete("gateway.networking.k8s.io/v1", "HTTPRoute", "uploads", home)
        site.eventually(lambda: site.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", "uploads", home))
        control_plane_alone.uninstall("gateway-api")
        site.until("Degraded", "ApiMissing")
        assert process.running


def test_an_operator_waits_for_the_definition_of_tusservers(control_plane_alone: ControlPlane, tmp_path: Path) -> None:
    home = control_plane_alone.namespace()
    site = Site(control_plane_alone.api, home)
    with an_operator(permit_everywhere(control_plane_alone, home), home, tmp_path, wait=False) as process:
        site.eventually(lambda: "cannot be listed" in process.log())
        define(control_plane_alone)
        site.make()
        site.deployment()


def test_it_looks_after_its_own_namespaces_alone(
    plane: ControlPlane, site: Site, own_operator: OperatorProcess
) -> None:
    elsewhere = Site(plane.api, plane.namespace())
    elsewhere.make()
    site.make()
    site.deployment()
    own_operator.idle()
    assert elsewhere.get(DEPLOYMENT, "uploads-gateway") is None


def test_it_shows_what_it_does(site: Site, own_operator: OperatorProcess) -> None:
    site.make()
    site.deployment()
    site.set_ready()
    site.until("Ready", "GatewaysReady")
    own_operator.idle()
    about = {"namespace": site.home, "tusserver": "uploads"}
    assert own_operator.metric("tusfleet_operator_tusserver_condition", **about, type="Ready") == 1
    assert own_operator.metric("tusfleet_operator_tusserver_condition", **about, type="Degraded") == 0
    assert own_operator.metric("tusfleet_operator_build_info") == 1
    assert own_operator.metric("tusfleet_operator_reconciliation_seconds_count") > 0
    assert own_operator.metric("tusfleet_operator_api_calls_total", verb="PATCH") > 7
    assert own_operator.metric("tusfleet_operator_watch_age_seconds") < 10
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", site.home)
    page = own_operator.page("/metrics")
    assert page is not None
    site.eventually(lambda: site.home not in (own_operator.page("/metrics") or page).text)


def test_a_spec_of_a_newer_definition_is_told_and_leaves_no_traceback(
    control_plane_alone: ControlPlane, tmp_path: Path
) -> None:
    """An API server whose CRD is another than the operator's: it lets through what we cannot understand."""
    define(control_plane_alone)
    home = control_plane_alone.namespace()
    site = Site(control_plane_alone.api, home)
    name = "tusservers.tusfleet.dev"
    crd = control_plane_alone.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    assert crd is not None
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    schema = {"type": "object", "properties": {"spec": loose, "status": status}}
    change = [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]
    control_plane_alone.api.patch("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, change)
    mistakes = [
        {},
        {"storage": {"s3": {"bucket": ["a", "list"]}}, "redis": {"url": "redis://redis:6379/0"}},
        {**json.loads(json.dumps(SMALLEST)), "gateway": {"maxSize": "12 apples"}},
        {**json.loads(json.dumps(SMALLEST)), "drainTimeout": "soon"},
    ]
    with an_operator(permit_everywhere(control_plane_alone, home), home, tmp_path) as process:
        for number, spec in enumerate(mistakes):
            body = {"apiVersion": TUSSERVER.api_version, "kind": TUSSERVER.kind, "metadata": {"name": f"bad-{number}"}}
            control_plane_alone.api.http.post(
                control_plane_alone.api.path(TUSSERVER.api_version, TUSSERVER.kind, home), json={**body, "spec": spec}
            ).raise_for_status()
            site.until("Degraded", "InvalidSpec", f"bad-{number}")
        site.make(name="good")
        site.deployment("good-gateway")
        assert process.metric("tusfleet_operator_reconciliations_total", outcome="failed") == 0
