"""A cluster with the operator from its chart, Redis and MinIO, and a TusServer that takes uploads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.story import stores
from tests.cluster.story.site import ROOT, Site
from tests.servers import eventually
from tests.testbed.kube_tools import run_tool
from tests.testbed.node import Cluster
from tests.testbed.our_images import IMAGES, our_image

INSTALL_SECONDS = 300.0

GONE_SECONDS = 120.0
"""Longest wait for a namespace to be gone; its pods have 30 s."""


@pytest.fixture(scope="session")
def operated(shared_cluster: Cluster) -> Cluster:
    """The cluster with the operator in it, installed as a person would."""
    with shared_cluster.network.entered():
        shared_cluster.plane.install("prometheus-operator")
        shared_cluster.load(*map(our_image, IMAGES))
        run_tool(
            shared_cluster.plane.admin, "helm4", "install", "tusfleet-operator", str(ROOT / "charts/tusfleet-operator"),
            "--namespace", NAMESPACE, "--create-namespace",
            "--set", "image.repository=localhost/tusfleet-operator,image.tag=dev,image.pullPolicy=Never",
            "--set", "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true",
            "--set", "monitoring.dashboard.enabled=true",
            "--set", "gatewayImage.repository=localhost/tusfleet,gatewayImage.tag=dev",
            "--wait", "--timeout", "240s", seconds=INSTALL_SECONDS,
        )  # fmt: skip
    return shared_cluster


NAMESPACE = "tusfleet-system"


@pytest.fixture
def stores_home(cluster: Cluster) -> Iterator[str]:
    """A namespace for the stores of a test; `site` deletes it, before its own, so that both go at the same time."""
    home = cluster.plane.namespace("stores")
    yield home
    eventually(lambda: cluster.plane.api.get("v1", "Namespace", home) is None, GONE_SECONDS)


@pytest.fixture
def site(operated: Cluster, cluster: Cluster, stores_home: str, cluster_home: str, tmp_path: Path) -> Iterator[Site]:
    """A restricted namespace with a TusServer that is ready; its stores are in a namespace of theirs."""
    api = cluster.plane.api
    try:
        bucket = stores.make(cluster, stores_home)
        found = Site(cluster, cluster_home, stores_home, bucket, tmp_path)
        found.make()
        yield found
    finally:
        api.delete("tusfleet.dev/v1alpha1", "TusServer", "uploads", cluster_home)
        api.delete("v1", "Namespace", stores_home)
