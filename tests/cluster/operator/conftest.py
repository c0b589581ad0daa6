"""An API server that knows TusServers, a namespace, and an operator in it behind a proxy that makes faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
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
def site(plane: ControlPlane, home: str) -> Iterator[Site]:
    """A namespace of this test alone."""
    found = Site(plane.api, home)
    yield found
    # Operators for all namespaces would look after them, every few seconds, for as long as there are tests.
    for server in plane.api.objects(TUSSERVER.api_version, TUSSERVER.kind, home):
        plane.api.delete(TUSSERVER.api_version, TUSSERVER.kind, server["metadata"]["name"], home)


class SharedOperator:
    """An operator for all namespaces, which runs while tests ask for it, and never beside the operator of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._process: OperatorProcess | None = None

    def start(self, plane: ControlPlane) -> OperatorProcess:
        """The one that runs, or another."""
        if self._process is None:
            home = plane.namespace("ops")
            starting = an_operator(permit_everywhere(plane, home), home, self._folder)
            self._process = self._running.enter_context(starting)
        return self._process

    def stop(self) -> None:
        """It would do the work of other operators."""
        self._process = None
        self._running.close()


@pytest.fixture(scope="session")
def shared_operator(tmp_path_factory: Folders) -> Iterator[SharedOperator]:
    shared = SharedOperator(tmp_path_factory.mktemp("operator"))
    yield shared
    shared.stop()


@pytest.fixture(autouse=True)
def nobody_elses_operator(request: pytest.FixtureRequest, shared_operator: SharedOperator) -> None:
    """Tests that do not ask for the shared operator, in whatever order they come, have none but their own."""
    if "operator" not in request.fixturenames:
        shared_operator.stop()


@pytest.fixture
def operator(plane: ControlPlane, shared_operator: SharedOperator) -> OperatorProcess:
    """An operator for all namespaces, the same for many tests."""
    return shared_operator.start(plane)


@pytest.fixture
def own_operator(plane: ControlPlane, site: Site, api_proxy: ApiProxy, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator for the namespace of this test alone, behind the proxy of this test."""
    access = api_proxy.access(permit(plane, site.home))
    with an_operator(access, site.home, tmp_path, "--watch-namespace", site.home) as process:
        yield process
