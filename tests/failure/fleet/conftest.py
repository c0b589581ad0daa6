from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failure.fleet.stores import KINDS, Place, Stores, stores
from tests.testbed import fixtures, s3
from tests.testbed.fixtures import need
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology

# What these find is explained like the assertions of a test.
pytest.register_assert_rewrite("tests.failure.fleet.passages", "tests.failure.fleet.deaths")

fixtures.BUILT_FOR["place"] = tuple(s3.SERVERS)


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
