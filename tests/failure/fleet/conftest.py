from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.fleet.stores import KINDS, Place, Stores, stores
from tests.testbed import fixtures, s3
from tests.testbed.faults import S3Proxy, s3_proxy
from tests.testbed.fixtures import need
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tests.testbed.toxiproxy import Toxiproxy, toxiproxy

# What these find is explained like the assertions of a test.
pytest.register_assert_rewrite(
    "tests.failure.fleet.deaths", "tests.failure.fleet.passages", "tests.failure.fleet.troubles"
)

for _name in ("place", "lone_place", "s3_stores", "bucket_place", "lone_bucket_place"):
    fixtures.BUILT_FOR[_name] = tuple(s3.SERVERS)
fixtures.BUILT_FOR["toxi"] = ("toxiproxy",)


@pytest.fixture(scope="session")
def s3_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """The S3 servers of this process."""
    with stores(tmp_path_factory.mktemp("stores")) as found:
        yield found


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    if request.param != "filesystem":
        need(request.param)
    return str(request.param)


@pytest.fixture
def shared_node(redis_server: RedisNode) -> RedisTopology:
    """The emptied Redis of this process."""
    return RedisTopology("standalone", redis_server.url, [redis_server])


@pytest.fixture
def place(kind: str, s3_stores: Stores, shared_node: RedisTopology, tmp_path: Path) -> Place:
    """An empty store of each kind, with an empty Redis, for a test that kills nothing but gateways."""
    return s3_stores.place(kind, shared_node, tmp_path)


@pytest.fixture
def lone_place(kind: str, s3_stores: Stores, redis_alone: RedisNode, tmp_path: Path) -> Place:
    """An empty store of each kind, with a Redis of this test alone, to be killed, frozen or configured."""
    return s3_stores.place(kind, RedisTopology("standalone", redis_alone.url, [redis_alone]), tmp_path)


@pytest.fixture(params=s3.SERVERS)
def s3_kind(request: pytest.FixtureRequest) -> str:
    """Each S3 server in turn."""
    need(request.param)
    return str(request.param)


@pytest.fixture
def line(s3_kind: str, s3_stores: Stores) -> Iterator[S3Proxy]:
    """What stands between the gateways and each S3 server in turn: records requests, makes faults happen."""
    with s3_proxy(s3_stores.server(s3_kind).port) as proxy:
        yield proxy


@pytest.fixture
def bucket_place(s3_kind: str, s3_stores: Stores, line: S3Proxy, shared_node: RedisTopology, tmp_path: Path) -> Place:
    """An empty bucket behind `line`, with an empty Redis."""
    return s3_stores.place(s3_kind, shared_node, tmp_path, line.endpoint)


@pytest.fixture
def lone_bucket_place(s3_kind: str, s3_stores: Stores, line: S3Proxy, redis_alone: RedisNode, tmp_path: Path) -> Place:
    """The same with a Redis of this test alone."""
    topology = RedisTopology("standalone", redis_alone.url, [redis_alone])
    return s3_stores.place(s3_kind, topology, tmp_path, line.endpoint)


@pytest.fixture
def toxi(tmp_path: Path) -> Iterator[Toxiproxy]:
    """Faults of TCP."""
    need("toxiproxy")
    with toxiproxy(tmp_path / "toxiproxy") as program:
        yield program
