"""API servers of our own: charts bring the definition of TusServers, and leave it behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testbed.controlplane import ControlPlane
from tests.testbed.controlplane import control_plane as run_control_plane
from tests.testbed.fixtures import Folders, need
from tests.testbed.kube_fixtures import L2


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: Folders) -> Iterator[ControlPlane]:
    """L2 with the kinds of the Gateway API and of the Prometheus operator, and without TusServers at first."""
    need(*L2)
    with run_control_plane(tmp_path_factory.mktemp("charts"), controllers=True) as plane:
        plane.install("gateway-api", "prometheus-operator")
        yield plane
