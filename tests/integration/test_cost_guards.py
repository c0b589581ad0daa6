"""What uploads may cost the server, as counts and ratios that do not depend on the machine's speed."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.calls import calls_of_an_upload
from bench.guards import cost_of_upload, create, memory_of_stalled_uploads, recv_into_loop, send
from tests.servers import Server, serving

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="costs are read from /proc, which only Linux has"),
]

MIB = 2**20
GIB = 2**30

STALLED = 2_000
STALLED_BYTES = 64 * 1024
MOST_BYTES_EACH = 15 * 1024
OPEN_FILES = 3 * STALLED
"""Both ends of every connection, each in a process of its own, with room."""

MOST_FAULTS_PER_GIB = 5_000
"""A server that lets malloc map and return memory for every chunk needs 346,717."""

MOST_TIMES_THE_LOOP = 4.0
"""The loop checks nothing, keeps no records and writes one file again and again. Seen: 0.8 to 1; 6 where other work
starves the sender, so that its bytes come in small pieces by the event loop."""

ROUNDS = 6


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server without the tracer of the coverage run, which would be measured too."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    # Connections must stand until the last of them is there, on a busy machine too.
    # Syncs cost as much as the disk is busy with the files of other tests.
    with serving(tmp_path, "--durability", "relaxed", "--body-idle-timeout", "10m") as server:
        warm_up(server.port, server.path)
        yield server


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for thousands of connections in this process and in the server that it starts."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < OPEN_FILES:
        pytest.skip(f"this test needs {OPEN_FILES} open files and the hard limit is {most}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, OPEN_FILES), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def warm_up(port: int, path: str) -> None:
    """What is loaded or allocated once, by the first upload, is no cost of the next one."""
    for _ in range(3):
        assert send(port, create(port, path, 4 * MIB), 4 * MIB) == 4 * MIB


def test_stalled_connections_take_little_memory_and_a_fast_upload_passes_them(many_files: None, server: Server) -> None:
    with memory_of_stalled_uploads(server.process.pid, server.port, server.path, STALLED, STALLED_BYTES) as each:
        print(f"{each / 1024:.1f} KiB of memory per stalled connection")
        assert each < MOST_BYTES_EACH
        assert send(server.port, create(server.port, server.path, 64 * MIB), 64 * MIB) == 64 * MIB


@pytest.mark.parametrize(
    ("with_upload", "most"), [(False, 1200), (True, 900)], ids=["POST and PATCH", "in one request"]
)
def test_a_small_upload_takes_few_calls(with_upload: bool, most: int) -> None:
    """Python-level calls, which are what a small request costs; it was 1,538 and 1,145 once."""
    found = calls_of_an_upload(with_upload=with_upload)
    assert 300 < sum(found.values()) < most


def test_upload_takes_few_page_faults(server: Server) -> None:
    spent = cost_of_upload(server.process.pid, server.port, server.path, 512 * MIB)
    print(f"{spent.minor_faults * 2} minor page faults per GiB")
    assert spent.minor_faults * GIB / (512 * MIB) < MOST_FAULTS_PER_GIB


def test_upload_costs_a_small_multiple_of_a_bare_loop(server: Server, tmp_path: Path) -> None:
    with recv_into_loop(tmp_path) as (pid, port):
        # In turns, and the cheapest of each: what else the machine does can only add to a cost.
        bare = ours = math.inf
        for _ in range(ROUNDS):
            bare = min(bare, cost_of_upload(pid, port, "/files", 128 * MIB).cpu_seconds)
            ours = min(ours, cost_of_upload(server.process.pid, server.port, server.path, 128 * MIB).cpu_seconds)
    print(f"{ours / bare:.2f} times the CPU of the bare loop")
    assert ours < MOST_TIMES_THE_LOOP * bare
