"""A node that has ended, however it ended, leaves nothing on the machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster.testbed.machine import left_over, machine
from tests.cluster.testbed.pods import web
from tests.servers import eventually
from tests.testbed import node
from tests.testbed.images import image
from tests.testbed.takedown import last_command

# It has a node of its own, hence comes before those that share one.
pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[3]

CLEAN_SECONDS = 60.0
"""Longest wait for the take-down by somebody else; it needs 4 s."""

KILLED_OWNER = """
import sys, time
from pathlib import Path
from tests.cluster.testbed.test_takedown import run_pods
from tests.testbed.node import cluster

with cluster(Path(sys.argv[1])) as found:
    run_pods(found)
    print("running", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(node_folder: Path) -> Path:
    """A folder of this test, with images made before anything is compared."""
    image("pause")
    image("client")
    return Path(tempfile.mkdtemp(dir=node_folder, prefix=""))


def run_pods(cluster: node.Cluster) -> None:
    """Have two pods run."""
    cluster.load(image("client"))
    with cluster.network.entered():
        home = cluster.plane.namespace()
        cluster.plane.api.apply(web("web", 2), home)
        cluster.plane.kubectl("rollout", "status", "deployment/web", "-n", home, "--timeout=90s")


def test_node_with_running_pods_ends_without_a_trace(folder: Path) -> None:
    before = machine()
    with node.cluster(folder) as cluster:
        run_pods(cluster)
        # Or the comparison would see nothing at all.
        assert {"mounts", "namespaces", "cgroups", "processes"} <= left_over(before).keys()
    assert left_over(before) == {}


def test_node_whose_owner_is_killed_ends_too(folder: Path) -> None:
    before = machine()
    owner = subprocess.Popen(
        [sys.executable, "-c", KILLED_OWNER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"running\n"
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        eventually(lambda: left_over(before) == {} and not folder.exists(), CLEAN_SECONDS, pause=0.2)
    finally:
        owner.kill()
        owner.communicate()


def test_a_node_that_others_took_down_is_no_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        done = subprocess.run(last_command(folder), cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
