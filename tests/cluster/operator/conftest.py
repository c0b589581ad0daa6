"""An API server that knows TusServers, a namespace, and an operator in it behind a proxy that makes faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts import crd
from tests.cluster.operator.operators import OperatorProcess, an_operator, permit, permit_everywhere
from tests.cluster.operator.sites import SECONDS, Site
from tests.servers import eventually
from tests.testbed.api_faults import ApiProxy
from tests.testbed.controlplane import ControlPlane
from tests.testbed.fixtures import Folders
from tusfleet_operator.cluster.kinds import TUSSERVER


def define(plane: ControlPlane) -> None:
    """Have TusServers."""
    plane.api.apply(yaml.safe_load(crd.FILE.read_text(encoding="utf-8")))
    eventually(lambda: plane.api.knows(TUSSERVER.api_version, TUSSERVER.kind), SECONDS)


@pytest.fixture(scope="session")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """L1 with TusServers, the Gateway API and the Prometheus operator's kinds."""
    define(control_plane)
    control_plane.install("gateway-api", "prometheus-operator")
    return control_plane


@pytest.fixture
def site(plane: ControlPlane, home: str) -> Site:
    """A namespace of this test alone."""
    return Site(plane.api, home)


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, tmp_path_factory: Folders) -> Iterator[OperatorProcess]:
    """An operator for all namespaces, shared by the tests of a module.

    It has to be gone before those of other modules that have an operator of their own: it would do their work.
    """
    home = plane.namespace("ops")
    with an_operator(permit_everywhere(plane, home), home, tmp_path_factory.mktemp("operator")) as process:
        yield process


@pytest.fixture
def own_operator(plane: ControlPlane, site: Site, api_proxy: ApiProxy, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator for the namespace of this test alone, behind the proxy of this test."""
    access = api_proxy.access(permit(plane, site.home))
    with an_operator(access, site.home, tmp_path, "--watch-namespace", site.home) as process:
        yield process
