"""Fixtures that give the servers of the test bed; what cannot be had on this machine skips its tests, with the reason.

Servers last as long as the test process (one per worker of xdist); what a test does in them is its own: a bucket, an
emptied Redis. A test that kills a server, freezes it or changes its settings takes one of its own (`s3_alone`,
`redis_alone`, `topology_alone`, or the context managers).
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.testbed import faults, redis, s3
from tests.testbed import toxiproxy as toxic
from tests.testbed.commands import Unavailable
from tests.testbed.faults import S3Proxy
from tests.testbed.processes import SHOWN_CHARACTERS, Program, running_programs
from tests.testbed.programs import built_program
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.s3 import Bucket, S3Server
from tests.testbed.toxiproxy import Toxiproxy

BUILT_FOR: dict[str, tuple[str, ...]] = {
    "s3_server": tuple(s3.SERVERS),
    "s3_alone": tuple(s3.SERVERS),
    "toxiproxy": ("toxiproxy",),
    "promtool": ("promtool",),
}
"""The programs that have to be built for a fixture; a first build takes longer than a test may."""

Folders = pytest.TempPathFactory

_log_starts = pytest.StashKey[dict[Program, int]]()


@pytest.fixture(scope="session", params=s3.SERVERS)
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: Folders) -> Iterator[S3Server]:
    """Each S3 server in turn, shared by the tests of this process: they change nothing but their own buckets."""
    need(request.param)
    with s3.SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(params=s3.SERVERS)
def s3_alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    """Each S3 server in turn, of this test alone, to be killed, frozen or restarted."""
    need(request.param)
    with s3.SERVERS[request.param](tmp_path / request.param) as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """A new bucket on the shared S3 server."""
    return s3_server.bucket()


@pytest.fixture
def s3_proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    """A proxy of this test alone in front of the shared S3 server: records requests, makes faults happen."""
    with faults.s3_proxy(s3_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: Folders) -> Iterator[Toxiproxy]:
    """Toxiproxy, in which each test makes proxies of its own."""
    need("toxiproxy")
    with toxic.toxiproxy(tmp_path_factory.mktemp("toxiproxy")) as program:
        yield program


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: Folders) -> Iterator[RedisNode]:
    """One Redis of this process; tests take `redis_server`."""
    need_redis()
    with redis.standalone(tmp_path_factory.mktemp("redis")) as node:
        yield node


@pytest.fixture
def redis_server(shared_redis: RedisNode) -> RedisNode:
    """A Redis without keys, shared by the tests of this process, which take turns."""
    shared_redis.flush()
    return shared_redis


@pytest.fixture
def redis_alone(tmp_path: Path) -> Iterator[RedisNode]:
    """A Redis with AOF, of this test alone, to be killed, frozen, restarted or configured."""
    need_redis()
    with redis.standalone(tmp_path / "redis", aof=True) as node:
        yield node


@pytest.fixture(scope="session", params=redis.TOPOLOGIES)
def shared_topology(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisTopology]:
    """Redis in each of its forms; tests take `redis_topology`."""
    need_redis()
    with redis.TOPOLOGIES[request.param](tmp_path_factory.mktemp(request.param)) as topology:
        yield topology


@pytest.fixture
def redis_topology(shared_topology: RedisTopology) -> RedisTopology:
    """Redis without keys in each of its forms in turn, shared by the tests of this process."""
    shared_topology.flush()
    return shared_topology


@pytest.fixture(params=redis.TOPOLOGIES_THAT_FAIL_OVER)
def topology_alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisTopology]:
    """Redis in each of its forms in turn, of this test alone, to be killed and failed over."""
    need_redis()
    with redis.TOPOLOGIES_THAT_FAIL_OVER[request.param](tmp_path / request.param) as topology:
        yield topology


@pytest.fixture(scope="session")
def promtool() -> Path:
    """What checks rules and queries of Prometheus."""
    need("promtool")
    return built_program("promtool")


def need_redis() -> None:
    """Skips the test where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on PATH (Debian: apt-get install redis-server)")


def need(*programs: str) -> None:
    """Have these programs of versions.toml built; skips the test when one cannot be had."""
    for name in programs:
        if reason := _why_not(name):
            pytest.skip(f"{name} cannot be had: {reason}")


@functools.cache
def _why_not(program: str) -> str | None:
    """Why the program cannot be had, found out once; None when it can."""
    try:
        built_program(program)
    except Unavailable as reason:
        return str(reason)
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the collected tests need before any of them begins: their time limit is no place for a compiler."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for fixture in sorted(asked & BUILT_FOR.keys()):
            for program in BUILT_FOR[fixture]:
                _why_not(program)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Notes where the log of each running server stands when a test begins."""
    item.stash[_log_starts] = {program: program.log_size() for program in running_programs()}
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows what the servers wrote during a test that failed."""
    report = yield
    if report.failed:
        starts = item.stash.get(_log_starts, {})
        for program in running_programs():
            if text := program.log(starts.get(program, 0)):
                report.sections.append((f"log of {program.name}", text[-SHOWN_CHARACTERS:]))
    return report
