"""What slow clients of a gateway on S3 cost: a bounded memory, and nobody else's progress (F5)."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.measure import connections
from bench.memory import MIB, STALLED_BYTES, Memory, stalled_beside_a_fast_one
from tests.failure.client import Wire, head, offset_of
from tests.failure.client import create as created
from tests.servers import Server, serving
from tests.testbed.gateways import Gateway, on_s3
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import Bucket, S3Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc, which only Linux has")

LEAST_SHARE = 0.25
"""Of its lone speed, which a fast client keeps beside stalled ones; 0.8 and more on a quiet machine, which a test
cannot count on: `make bench` tells."""

BESIDE_BUFFERS = 400 * 32 * 1024 + 8 * MIB
"""Bytes that 400 stalled uploads may take besides: 32 KiB each, and what is opened and loaded once for the first."""

SECONDS = 120.0
"""Longest silence of a gateway, however busy the machine is."""

SLOW_CLIENTS = 10
"""As many as there may be parts of one upload, connections for bytes, part buffers in `tight`; and one more comes."""

ANSWER_SECONDS = 15.0
"""In which a small request is answered on a machine that is busy with other tests."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for thousands of connections in this process and in the gateway that it starts."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192
    if most != resource.RLIM_INFINITY and most < wanted:
        pytest.skip(f"this test needs {wanted} open files and the hard limit is {most}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, wanted), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@pytest.fixture
def bucket(s3_alone: S3Server) -> Bucket:
    """Of a server of this test alone: gigabytes of stalled uploads go with it."""
    return s3_alone.bucket()


@contextmanager
def gateway(folder: Path, redis: RedisNode, bucket: Bucket, *flags: str) -> Iterator[Server]:
    """A gateway without the tracer of the coverage run, which would be measured too."""
    backend = on_s3(RedisTopology("standalone", redis.url, [redis]), bucket)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            patch.delenv(name, raising=False)
        with serving(
            folder, *backend.flags, "--body-idle-timeout", "10m", *flags, environment=backend.environment, kind=Gateway
        ) as server:
            yield server


def stall(server: Server, stack: ExitStack, body: bytes, length: int) -> str:
    """A client that sends `body` and then nothing; gives the path of its upload."""
    path = created(server, length)
    wire = stack.enter_context(Wire(server, timeout=SECONDS))
    wire.patch(path, 0, length)
    wire.send(body)
    return path


def promise(server: Server, count: int, memory: int) -> Memory:
    """What holds with any number of stalled uploads; gives what was seen."""
    with stalled_beside_a_fast_one(server.process.pid, server.port, server.path, count, memory) as (seen, paths):
        standing = connections(server.port).standing
        assert standing >= count, f"only {standing} of {count} connections still stand"
        for path in (paths[0], paths[-1]):
            # Nothing that arrived is lost, wherever it had to be put.
            assert offset_of(head(server, path)) == STALLED_BYTES
    print(seen.table())
    assert seen.slabs <= memory
    assert seen.share >= LEAST_SHARE
    return seen


@pytest.mark.long
def test_stalled_uploads_leave_memory_to_others(
    many_files: None, tmp_path: Path, redis_alone: RedisNode, bucket: Bucket
) -> None:
    """A fifth of the target, which takes seconds, with so little memory for them that all of it comes to be used."""
    with gateway(tmp_path / "gateway", redis_alone, bucket, "--buffer-memory", str(64 * MIB)) as server:
        seen = promise(server, 400, 64 * MIB)
    assert seen.peak <= seen.idle + 64 * MIB + BESIDE_BUFFERS


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_thousand_stalled_uploads_leave_memory_to_others(
    many_files: None, tmp_path: Path, redis_alone: RedisNode, bucket: Bucket
) -> None:
    """The target in full: 6 GB in stalled uploads at the settings that a gateway has by itself."""
    with gateway(tmp_path / "gateway", redis_alone, bucket) as server:
        seen = promise(server, 2000, 256 * MIB)
    assert seen.peak <= seen.target


def test_F05_slow_clients_block_nobody(tmp_path: Path, redis_alone: RedisNode, bucket: Bucket) -> None:
    tight = (
        *("--s3-connections", str(SLOW_CLIENTS), "--s3-concurrency", str(SLOW_CLIENTS)),
        *("--buffer-memory", str(SLOW_CLIENTS * MIB), "--s3-part-size", str(5 * MIB)),
    )
    with gateway(tmp_path / "gateway", redis_alone, bucket, *tight) as server, ExitStack() as stack:
        # In the middle of their first part, at its end, and in their second one.
        sizes = [MIB, 5 * MIB, 6 * MIB + 1]
        slow = [stall(server, stack, bytes(sizes[number % len(sizes)]), 20 * MIB) for number in range(SLOW_CLIENTS + 1)]
        data = bytes(range(256)) * (40 * MIB // 256)
        began = time.monotonic()
        path = created(server, 1, body=b"x")
        assert time.monotonic() - began < ANSWER_SECONDS
        path = created(server, len(data))
        with Wire(server, timeout=SECONDS) as wire:
            wire.patch(path, 0, len(data))
            wire.send(data)
            assert wire.read("PATCH").status == 204
        assert bucket.read(path.rpartition("/")[2]) == data
        for number, path in enumerate(slow):
            began = time.monotonic()
            assert offset_of(head(server, path)) == sizes[number % len(sizes)]
            assert time.monotonic() - began < ANSWER_SECONDS
