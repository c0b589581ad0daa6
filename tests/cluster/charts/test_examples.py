"""Every example is taken by a real API server, strictly, and refers only to what it says it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.charts import CHARTS
from tests.cluster.operator.conftest import define
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import ApiError
from tusfleet_operator.references import references
from tusfleet_operator.resource import TusServer

FOLDER = CHARTS.parent / "examples" / "kubernetes"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))

ELSEWHERE = {("redis-sentinel", "redis-tls")}
"""Secrets that an example says somebody else makes."""


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_api_server_takes_it_strictly(control_plane: ControlPlane, home: str, path: Path) -> None:
    define(control_plane)
    control_plane.install("gateway-api", "prometheus-operator")
    for found in objects(path):
        # A dry run makes no namespace for what follows it.
        if found["kind"] == "Namespace" and control_plane.api.get("v1", "Namespace", found["metadata"]["name"]) is None:
            control_plane.api.create(found)
    has_own = any(found["kind"] == "Namespace" for found in objects(path))
    where = [] if has_own else ["--namespace", home]
    said = control_plane.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", str(path), *where)
    assert said.count("(server dry run)") == len(objects(path))
    assert "tusserver.tusfleet.dev/uploads" in said


def test_a_mistake_in_one_would_be_found(control_plane: ControlPlane, home: str) -> None:
    define(control_plane)
    (server,) = (found for found in objects(FOLDER / "smallest.yaml") if found["kind"] == "TusServer")
    server["spec"]["replica"] = 3
    with pytest.raises(ApiError, match=r"spec\.replica"):
        control_plane.api.create(server, home)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_has_the_secrets_that_it_refers_to(path: Path) -> None:
    found = objects(path)
    keys = {
        (secret["metadata"].get("namespace"), secret["metadata"]["name"], key)
        for secret in found
        if secret["kind"] == "Secret"
        for key in secret["stringData"]
    }
    servers = [one for one in found if one["kind"] == "TusServer"]
    assert servers
    for one in servers:
        namespace = one["metadata"].get("namespace")
        read = {"uid": "1", "generation": 1, "namespace": "apps", **one["metadata"]}
        for reference in references(TusServer.read({**one, "metadata": read}).spec):
            if (path.stem, reference.name) not in ELSEWHERE:
                assert (namespace, reference.name, reference.key) in keys
