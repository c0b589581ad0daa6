"""The operator is upgraded, and taken back, under load: gateways do not notice."""

from __future__ import annotations

import json

import pytest

from tests.cluster.story.conftest import NAMESPACE
from tests.cluster.story.events import GATEWAY, SETTLED, TIMEOUT, pods, serving, settle, survive, uids
from tests.cluster.story.site import ROOT, Site
from tests.servers import eventually
from tests.testbed.kube_tools import run_tool

pytestmark = pytest.mark.long

RELEASE = "tusfleet-operator"
OPERATOR = {"app.kubernetes.io/name": RELEASE}

HELM_SECONDS = 240.0

NEW = "podAnnotations.came=later,resources.requests.cpu=60m,gatewayImage.tag=not-there"
"""Other pods of the operator; and another image of gateways by default, with which one that is replaced would fail."""

SEEN_SECONDS = 30.0


def helm(site: Site, *words: str) -> None:
    """Do it with the release of the operator, and wait for its pods."""
    wait = ("--namespace", NAMESPACE, "--wait", "--timeout", "180s")
    before = uids(pods(site, NAMESPACE, OPERATOR))
    run_tool(site.cluster.plane.admin, "helm4", *words, *wait, seconds=HELM_SECONDS)
    site.cluster.plane.kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, SETTLED)
    eventually(lambda: before.isdisjoint(uids(pods(site, NAMESPACE, OPERATOR))), SEEN_SECONDS)


def complaints(site: Site) -> list[str]:
    """Errors of the operators' own in their logs: that watches end, for one, and are made up for by lists."""
    found = pods(site, NAMESPACE, OPERATOR)
    logs = [site.cluster.plane.kubectl("logs", "-n", NAMESPACE, pod["metadata"]["name"]) for pod in found]
    lines = [json.loads(line) for log in logs for line in log.splitlines()]
    ours = [line for line in lines if line["logger"].startswith("tusfleet_operator")]
    return [line["message"] for line in ours if line["level"] in {"error", "critical"}]


def works(site: Site, gateways: int) -> None:
    """The operator has so many gateways, and those that were there before are the same."""
    before = serving(site)
    site.kubectl("scale", "tusserver", "uploads", f"--replicas={gateways}")
    eventually(lambda: len(serving(site)) == gateways, SEEN_SECONDS)
    after = serving(site)
    assert after > before or after < before
    assert complaints(site) == []


def upgrade_operator(site: Site) -> None:
    before = uids(pods(site, site.home, GATEWAY))
    # As docs/kubernetes.md says.
    helm(site, "upgrade", RELEASE, str(ROOT / "charts" / RELEASE), "--reset-then-reuse-values", "--set", NEW)
    try:
        assert uids(pods(site, site.home, GATEWAY)) == before
        works(site, 3)
    finally:
        helm(site, "rollback", RELEASE)
    assert uids(pods(site, site.home, GATEWAY)) > before
    works(site, 2)
    settle(site)


@pytest.mark.timeout(TIMEOUT)
def test_uploads_go_on_while_the_operator_is_upgraded(site: Site) -> None:
    survive(site, upgrade_operator)
