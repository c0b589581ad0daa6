"""A real Prometheus scrapes gateways, janitors and operator, takes their rules, and answers what dashboards ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.cluster.story import scraping
from tests.cluster.story.conftest import NAMESPACE
from tests.cluster.story.scraping import MONITORING, Prometheus
from tests.cluster.story.site import Site
from tests.servers import eventually
from tests.testbed.kube_api import Object

SEEN_SECONDS = 60.0

FILE_BYTES = 20 * 10**6


@pytest.fixture
def prometheus(site: Site) -> Iterator[Prometheus]:
    """One that scrapes a TusServer and the operator, beside Redis and MinIO."""
    site.make(monitoring={"serviceMonitor": {}, "prometheusRule": {}})
    yield scraping.start(site.cluster, site.stores)
    api = site.cluster.plane.api
    api.delete("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", f"{site.stores}-{scraping.NAME}")


def test_prometheus_sees_uploads_and_the_operator(site: Site, prometheus: Prometheus) -> None:
    ours = f'namespace="{site.home}",service="uploads-metrics"'
    up = f'sum by (app_kubernetes_io_component) (up{{job="tusfleet",{ours}}})'
    eventually(lambda: components(prometheus.query(up)) == {"gateway": "2", "janitor": "1"}, SEEN_SECONDS)
    eventually(lambda: prometheus.number('min(up{job="tusfleet-operator"})') == 1, SEEN_SECONDS)
    site.upload(site.file("film", FILE_BYTES))
    finished = f'sum(tusfleet_uploads_total{{{ours},event="finished"}})'
    eventually(lambda: prometheus.number(finished) == 1, SEEN_SECONDS)
    assert prometheus.number(f"sum(tusfleet_bytes_received_total{{{ours}}})") == FILE_BYTES
    ready = f'max(tusfleet_operator_tusserver_condition{{namespace="{site.home}",tusserver="uploads",type="Ready"}})'
    eventually(lambda: prometheus.number(ready) == 1, SEEN_SECONDS)

    wanted = {
        rule["alert"]
        for found in site.cluster.plane.api.objects(MONITORING, "PrometheusRule")
        for group in found["spec"]["groups"]
        for rule in group["rules"]
    }
    eventually(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, SEEN_SECONDS)
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == wanted
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []

    queries = dashboards(site)
    assert len(queries) > 30

    def silent() -> set[str]:
        return {panel for panel, query in queries if not prometheus.query(query)} - NOTHING_HAPPENED

    # A rate needs two samples.
    with suppress(AssertionError):
        eventually(lambda: not silent(), SEEN_SECONDS)
    assert silent() == set()


NOTHING_HAPPENED = {"Ended early", "Janitor", "Requests to S3 that failed", "Repairs"}
"""Panels that show nothing while all is well."""


def components(series: list[Object]) -> dict[str, str]:
    """The values of series by the components that they are of."""
    return {one["metric"]["app_kubernetes_io_component"]: one["value"][1] for one in series}


def dashboards(site: Site) -> list[tuple[str, str]]:
    """What the dashboards in the cluster ask, with everything chosen: titles of panels, and queries."""
    found = site.cluster.plane.api.get("v1", "ConfigMap", "tusfleet-operator-dashboard", NAMESPACE)
    assert found is not None
    return [
        (panel["title"], re.sub(r"\$\w+", ".*", target["expr"]))
        for text in found["data"].values()
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    ]
