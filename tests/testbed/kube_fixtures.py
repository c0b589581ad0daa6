"""Fixtures that give a Kubernetes API; what cannot be had on this machine skips its tests, with the reason.

    control_plane         L1: API server and etcd, shared by the tests of this process
    home                  a namespace of this test alone on it
    control_plane_alone   L1 of this test alone, to be killed, or for definitions that others must not see
    controllers           L2: L1 with controller manager and scheduler, shared
    controlled_home       a namespace of this test alone on it, deleted at the end
    api_proxy             a proxy of this test alone in front of L1: faults, and what the operator asked for

L3, a node that runs pods, is in `node_fixtures.py`. How a control plane is used is at the top of `controlplane.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import api_faults
from tests.testbed.api_faults import ApiProxy
from tests.testbed.controlplane import ControlPlane
from tests.testbed.controlplane import control_plane as run_control_plane
from tests.testbed.fixtures import BUILT_FOR, Folders, need

L1 = ("etcd", "kube-apiserver", "kubectl")
L2 = (*L1, "kube-controller-manager", "kube-scheduler")

BUILT_FOR.update({"control_plane": L1, "control_plane_alone": L1, "controllers": L2})


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: Folders) -> Iterator[ControlPlane]:
    """L1, shared by the tests of this process: what is not in a namespace of their own, they leave as it was."""
    need(*L1)
    with run_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def home(control_plane: ControlPlane) -> str:
    """A namespace of this test alone on L1, where namespaces never end."""
    return control_plane.namespace()


@pytest.fixture
def control_plane_alone(tmp_path: Path) -> Iterator[ControlPlane]:
    """L1 of this test alone."""
    need(*L1)
    with run_control_plane(tmp_path / "control-plane") as plane:
        yield plane


@pytest.fixture(scope="session")
def controllers(tmp_path_factory: Folders) -> Iterator[ControlPlane]:
    """L2, shared by the tests of this process like L1."""
    need(*L2)
    with run_control_plane(tmp_path_factory.mktemp("controllers"), controllers=True) as plane:
        yield plane


@pytest.fixture
def controlled_home(controllers: ControlPlane) -> Iterator[str]:
    """A namespace of this test alone on L2."""
    name = controllers.namespace()
    yield name
    controllers.api.delete("v1", "Namespace", name)


@pytest.fixture
def api_proxy(control_plane: ControlPlane, tmp_path: Path) -> Iterator[ApiProxy]:
    """A proxy of this test alone in front of L1."""
    with api_faults.api_proxy(control_plane, tmp_path) as proxy:
        yield proxy
