"""`make cluster` leaves a cluster that is used as it says, and `make cluster-down` leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.testbed.machine import left_over, machine
from tests.testbed.cluster_playground import FOLDER, IMAGES
from tests.testbed.images import image

# It has a node of its own, hence comes before those that share one.
pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[3]


def playground(what: str) -> str:
    """What the command behind the target prints."""
    command = [sys.executable, "-m", "tests.testbed.cluster_playground", what]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.usefixtures("node_folder")
def test_cluster_stands_until_it_is_taken_down() -> None:
    if FOLDER.exists():
        pytest.skip(f"somebody has a cluster standing in {FOLDER}")
    for name in IMAGES:
        image(name)
    before = machine()
    try:
        usage = playground("up")
        commands = [line for line in usage.splitlines() if line.startswith("  ")]
        entering, *others = (line.strip() for line in commands[:4])
        done = subprocess.run(
            entering.split(), input="\n".join(others), cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "node-1" in done.stdout
        assert all(f"localhost/{name}:1" in usage for name in IMAGES)
        # The second time it only says how to use the one that stands.
        assert playground("up") == usage
    finally:
        assert "No cluster stands" in playground("down")
    assert left_over(before) == {}
    assert not FOLDER.exists()
