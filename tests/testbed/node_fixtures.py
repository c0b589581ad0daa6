"""Fixtures that give a cluster with a node that runs pods (L3); where none can be had, they skip, with the reason.

    cluster         the cluster, shared by the tests of this process; the test runs in its network namespace
    cluster_home    a namespace of this test alone in it, gone with its pods when the test ends

A test that takes one of them has the marker `node`: such tests run in one process, since a machine has one node at a
time. How the cluster is used is at the top of `node.py`, and how images come into it at the top of `images.py`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually
from tests.testbed import node
from tests.testbed.fixtures import BUILT_FOR, need
from tests.testbed.node import Cluster

# Nothing is built for tests that are skipped.
BUILT_FOR["node_folder"] = node.PROGRAMS if node.why_not() is None else ()

GONE_SECONDS = 60.0
"""Longest wait for a namespace to be gone; pods that do not take SIGTERM have 30 s of grace."""


@pytest.fixture(scope="session")
def node_folder() -> Iterator[Path]:
    """A folder for nodes, with all of their programs there; for tests that have a node of their own."""
    if reason := node.why_not():
        pytest.skip(reason)
    need(*node.PROGRAMS)
    # The folders of pytest have long names, and the path of a socket may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="tusfleet-node-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_cluster(node_folder: Path) -> Iterator[Cluster]:
    """A cluster of this process; tests take `cluster`."""
    with node.cluster(node_folder / "shared") as found:
        yield found


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, from within its network."""
    with shared_cluster.network.entered():
        yield shared_cluster


@pytest.fixture
def cluster_home(cluster: Cluster) -> Iterator[str]:
    """A namespace of this test alone, in which Pod Security is `restricted`."""
    api = cluster.plane.api
    name = cluster.plane.namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    yield name
    api.delete("v1", "Namespace", name)
    eventually(lambda: api.get("v1", "Namespace", name) is None, GONE_SECONDS)
