"""Some of the conformance rows on a server of two workers; `TUSFLEET_TEST_DEPLOYMENT=workers` runs all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SECONDS = 170
"""Less than what a test may take; each of these takes ten on a machine of its own."""


@pytest.mark.parametrize("rows", ["locking", "core", "concatenation", "termination"])
def test_conformance_over_two_workers(rows: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/conformance/test_{rows}.py"],
        cwd=ROOT,
        env={**environment, "TUSFLEET_TEST_DEPLOYMENT": "workers"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
