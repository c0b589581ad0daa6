"""The whole story, as people meet it: install a chart, apply a TusServer, upload, ask the chart whether all is well."""

from __future__ import annotations

from typing import Any

import yaml

from tests.cluster.story.conftest import NAMESPACE
from tests.cluster.story.site import ROOT, Site, sha256
from tests.integration.clients.tus_js import TusJs
from tests.testbed.kube_tools import run_tool

MB = 1000 * 1000

TEST_SECONDS = 240.0


def test_from_nothing_to_an_object_in_the_bucket(site: Site) -> None:
    place = site.file("film", 200 * MB)
    key = site.upload(place)
    assert site.bucket.sha256(key) == sha256(place)


def test_the_usual_client_of_browsers(site: Site) -> None:
    place = site.file("film", 200 * MB)
    told = TusJs(site.url).run("upload", place)
    assert site.bucket.sha256(told["url"].rpartition("/")[2]) == sha256(place)


def helm_test(site: Site, release: str, namespace: str) -> str:
    """What the pods of `helm test` printed; an AssertionError when they fail."""
    words = ("test", release, "--namespace", namespace, "--logs", "--timeout", "180s")
    return run_tool(site.cluster.plane.admin, "helm4", *words, seconds=TEST_SECONDS).stdout


def test_the_charts_test_themselves(site: Site) -> None:
    """Both of them: the one of the operator with a TusServer of it, and the one without an operator."""
    admin, chart = site.cluster.plane.admin, str(ROOT / "charts" / "tusfleet-operator")
    url = f"http://uploads.{site.home}.svc/files/"
    upgrade = ("upgrade", "tusfleet-operator", chart, "-n", NAMESPACE, "--reuse-values", "--wait", "--timeout", "180s")
    run_tool(admin, "helm4", *upgrade, "--set", f"tests.uploadUrl={url}", seconds=TEST_SECONDS)
    said = helm_test(site, "tusfleet-operator", NAMESPACE)
    assert "They came back as they were" in said

    server = site.cluster.plane.api.get("tusfleet.dev/v1alpha1", "TusServer", "uploads", site.home)
    assert server is not None
    values: dict[str, Any] = {
        "storage": {"s3": {**server["spec"]["storage"]["s3"], "keyPrefix": "plain/"}},
        "redis": {**server["spec"]["redis"], "prefix": "plain"},
        "image": {"repository": "localhost/tusfleet", "tag": "dev", "pullPolicy": "Never"},
    }
    install = ("install", "plain", str(ROOT / "charts" / "tusfleet"), "-n", site.home, "-f", "-", "--wait")
    run_tool(admin, "helm4", *install, "--timeout", "180s", stdin=yaml.safe_dump(values), seconds=TEST_SECONDS)
    try:
        assert "They came back as they were" in helm_test(site, "plain", site.home)
    finally:
        run_tool(admin, "helm4", "uninstall", "plain", "-n", site.home, "--wait", seconds=TEST_SECONDS)
