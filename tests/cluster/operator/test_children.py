"""One TusServer becomes everything that its builders make of it, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.operator.operators import IMAGE, OperatorProcess
from tests.cluster.operator.sites import Site, named
from tests.testbed.kube_api import Object
from tests.unit.operator.builders.cases import SMALLEST, SPECS
from tusfleet_operator.builders import Observed, build
from tusfleet_operator.builders.gateway import replicas
from tusfleet_operator.cluster.kinds import DEPLOYMENT
from tusfleet_operator.names import SECRETS


def test_every_case_becomes_what_its_builders_make(site: Site, operator: OperatorProcess) -> None:
    for case in SPECS:
        server = site.make(case, case)
        wanted = {named(child): child for child in build(server, Observed(IMAGE))}
        found = {named(child): child for child in site.has_children(len(wanted), case)}
        assert set(found) == set(wanted), case
        for name, child in wanted.items():
            child.get("spec", {}).get("template", {}).get("metadata", {}).pop("annotations", None)
            assert differences(child, found[name], name) == []
        assert site.deployment(f"{case}-gateway")["spec"]["replicas"] == (replicas(server.spec) or 3)
    assert site.deployment("smallest-gateway")["spec"]["template"]["metadata"]["annotations"][SECRETS]


def differences(wanted: Any, found: Any, path: str) -> list[str]:
    """Where an object is not as it was wanted; what the API server and others added does not count."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return [path]
        return [place for key, value in wanted.items() for place in differences(value, found.get(key), f"{path}.{key}")]
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) < len(wanted):
            return [path]
        return [
            place
            for number, (one, other) in enumerate(zip(wanted, found, strict=False))
            for place in differences(one, other, f"{path}[{number}]")
        ]
    # Quantities are written anew: 1024Mi is 1Gi.
    written_anew = ".resources." in path or path.endswith((".sizeLimit", ".averageValue"))
    return [] if str(wanted) == str(found) or written_anew else [path]


def test_ready_is_told_with_where_uploads_are_created(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.until("Ready", "GatewaysNotReady")
    site.set_ready()
    assert site.until("Ready", "GatewaysReady") == "Gateways take uploads"
    status = site.server()["status"]
    assert status["url"] == f"http://uploads.{site.home}.svc/files"
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert [site.condition(kind)[0] for kind in ("StorageReachable", "RedisReachable", "Degraded")] == [
        "True",
        "True",
        "False",
    ]


OFF: list[tuple[str, dict[str, Any], str]] = [
    ("networkPolicy", {"networkPolicy": {}}, "NetworkPolicy"),
    ("exposure", {"exposure": {"httpRoute": {"parentRefs": [{"name": "public"}]}}}, "HTTPRoute"),
    ("exposure", {"exposure": {"ingress": {"hosts": ["up.example.org"]}}}, "Ingress"),
    ("monitoring", {"monitoring": {"serviceMonitor": {}}}, "ServiceMonitor"),
    ("monitoring", {"monitoring": {"prometheusRule": {}}}, "PrometheusRule"),
    ("autoscaling", {"autoscaling": {"maxReplicas": 4}}, "HorizontalPodAutoscaler"),
]


@pytest.mark.parametrize(("field", "feature", "kind"), OFF, ids=[kind for *_, kind in OFF])
def test_a_feature_that_is_turned_off_goes_and_nothing_else_does(
    site: Site, operator: OperatorProcess, field: str, feature: dict[str, Any], kind: str
) -> None:
    site.make({**SMALLEST, **feature})
    usual = {"Deployment", "Service", "ServiceAccount", "ConfigMap", "PodDisruptionBudget"}
    site.eventually(lambda: kinds(site.children()) == usual | {kind})
    operator.idle()
    uids = {named(child): child["metadata"]["uid"] for child in site.children() if child["kind"] in usual}
    site.change({"spec": {field: None}})
    site.eventually(lambda: kinds(site.children()) == usual)
    assert uids == {named(child): child["metadata"]["uid"] for child in site.children()}


def test_the_redis_of_dev_goes_when_another_one_is_named(site: Site, operator: OperatorProcess) -> None:
    site.make({**SMALLEST, "redis": {"dev": {}}})
    site.eventually(lambda: site.get(DEPLOYMENT, "uploads-redis"))
    site.change({"spec": {"redis": {"dev": None, "url": "redis://other:6379/0"}}})
    site.eventually(lambda: site.get(DEPLOYMENT, "uploads-redis") is None)
    assert site.get(DEPLOYMENT, "uploads-gateway") is not None


def kinds(children: list[Object]) -> set[str]:
    return {child["kind"] for child in children}


def test_settings_of_before_stay_until_no_pod_needs_them(site: Site, operator: OperatorProcess) -> None:
    site.make()
    (before,) = settings(site)
    for name in ("uploads-gateway", "uploads-janitor"):
        site.deployment(name)
        site.set_ready(name)
    site.change({"spec": {"gateway": {"maxSize": "1Gi"}}})
    site.eventually(lambda: len(settings(site)) == 2)
    operator.idle()
    assert before in settings(site)
    for name in ("uploads-gateway", "uploads-janitor"):
        site.set_ready(name)
    site.eventually(lambda: len(settings(site)) == 1)
    assert before not in settings(site)


def settings(site: Site) -> list[str]:
    site.eventually(lambda: site.api.objects("v1", "ConfigMap", site.home, "tusfleet.dev/tusserver=uploads"))
    found = site.api.objects("v1", "ConfigMap", site.home, "tusfleet.dev/tusserver=uploads")
    return [child["metadata"]["name"] for child in found]
