"""`make cluster` leaves a cluster that is used as it says, and `make cluster-down` leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.testbed.machine import left_over, machine
from tests.testbed.cluster_playground import FOLDER, IMAGES
from tests.testbed.images import image
from tests.testbed.our_images import IMAGES as OURS
from tests.testbed.our_images import our_image

# It has a node of its own, hence comes before those that share one.
pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[3]

README_SECONDS = 600


def playground(what: str) -> str:
    """What the command behind the target prints."""
    command = [sys.executable, "-m", "tests.testbed.cluster_playground", what]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def in_there(usage: str, commands: str, seconds: float, cwd: Path = ROOT) -> str:
    """What a shell prints that was entered as `make cluster` said; an AssertionError when a command in it fails."""
    entering, *others = (line.strip() for line in usage.splitlines() if line.startswith("  "))
    lines = "\n".join(["set -euo pipefail", *others[:2], commands, "kill $(jobs -p) || true"])
    done = subprocess.run(
        entering.split(), input=lines, cwd=cwd, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def usage(node_folder: Path) -> Iterator[str]:
    """What `make cluster` says; the cluster stands until the tests end."""
    if FOLDER.exists():
        pytest.skip(f"somebody has a cluster standing in {FOLDER}")
    for name in IMAGES:
        image(name)
    for name in OURS:
        our_image(name)
    before = machine()
    try:
        yield playground("up")
    finally:
        assert "No cluster stands" in playground("down")
    assert left_over(before) == {}
    assert not FOLDER.exists()


def test_a_cluster_stands_and_is_used_as_it_says(usage: str) -> None:
    assert "node-1" in in_there(usage, "kubectl get nodes", 60)
    assert all(f"localhost/{name}:1" in usage for name in IMAGES)
    # The second time it only says how to use the one that stands.
    assert playground("up") == usage


@pytest.mark.timeout(README_SECONDS)
def test_the_readme_word_for_word(usage: str, tmp_path: Path) -> None:
    """From `helm install` to an upload and a scrape."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Kubernetes\n")[2].partition("\n## ")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.S)
    for name in ("charts", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "big.bin").write_bytes(os.urandom(20_000_000))
    said = in_there(usage, commands, README_SECONDS, tmp_path)
    (received,) = re.findall(r"^tusfleet_bytes_received_total (\S+)$", said, re.M)
    assert float(received) in {0.0, 20_000_000.0}, "of the two gateways, one has got all bytes"
    (url,) = re.findall(r"http://127\.0\.0\.1:8080/files/\S+", said)
    again = f"kubectl port-forward service/uploads 8080:80 &\ntusfleet download {url} --output back.bin"
    in_there(usage, again, 60, tmp_path)
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()
