"""Done when 3: `kill -9` at random moments. Nothing acknowledged is lost, nothing is invented, nothing is left behind.

A run of the moments of one failure can be tried again with its seed in TUSFLEET_TEST_SEED; what the clients send is the
same then, the moments are as random as the machine.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.failure.aftermath import complaints, settled
from tests.failure.client import get
from tests.failure.forked import forked
from tests.failure.uploaders import uploading

RUNS, KILLS = 16, 13
"""208 deaths, spread over the processes that run tests; each costs the start of a server."""

CLIENTS = 6

SWEEP = ("--sweep-interval", "100ms")


@pytest.fixture
def seed() -> int:
    """Printed with a failure."""
    seed = int(os.environ.get("TUSFLEET_TEST_SEED") or time.time_ns() % 10**9)
    print(f"TUSFLEET_TEST_SEED={seed}")
    return seed


@pytest.mark.parametrize("run", range(RUNS))
def test_kill_at_random_moments(tmp_path: Path, seed: int, run: int) -> None:
    survive(tmp_path, Random(f"{seed}-{run}"), KILLS, *SWEEP)


def test_kill_at_random_moments_with_relaxed_durability(tmp_path: Path, seed: int) -> None:
    survive(tmp_path, Random(seed), 8, *SWEEP, "--durability", "relaxed")


def test_kill_where_finished_files_have_folders_and_sidecars(tmp_path: Path, seed: int) -> None:
    flags = ("--key-template", "{yyyy}/{id}", "--sidecar")
    survive(tmp_path, Random(seed), 8, *SWEEP, *flags)


def survive(tmp_path: Path, numbers: Random, kills: int, *flags: str) -> None:
    """Kill a server under its clients again and again, and see that nothing came of it."""
    with forked(tmp_path, *flags) as server:
        with uploading(server, numbers.randrange(10**9), CLIENTS) as ledger:
            for _ in range(kills):
                if ledger.broken.wait(numbers.uniform(0.0, 0.4)):
                    print(*complaints(server), sep="\n")
                    break
                server.restart()
        assert ledger.cut >= kills, "the clients did not notice the deaths"
        assert ledger.verified >= CLIENTS
        for id, digest in ledger.kept.items():
            assert hashlib.sha256(get(server, f"{server.path}/{id}")).hexdigest() == digest
        settled(server)
