"""The locker in Redis keeps the contract of the port: one server, Sentinel and Cluster, and several gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.integration.redis.test_redis_infostore import SOON, opened
from tests.kits.locker import LockerKit
from tests.kits.lockers import LockersKit
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.lockers.redis import RedisLocker
from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.shards import open_shards


class TestRedisLocker(LockerKit):
    @pytest.fixture
    async def locker(self, redis_topology: RedisTopology) -> AsyncIterator[RedisLocker]:
        async with opened(redis_topology.url) as shards, RedisLocker.open(shards) as locker:
            yield locker


@pytest.fixture
async def gateways(redis_server: RedisNode) -> AsyncIterator[list[RedisLocker]]:
    """The lockers of two gateways that share one store."""
    quick = {"ttl": 0.6, "renew_every": 0.2}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(opened(redis_server.url))
        other = await open_shards(RedisAccess(url=redis_server.url, prefix=one.access.prefix), "other-gateway")
        stack.push_async_callback(other.close)
        lockers = [await stack.enter_async_context(RedisLocker.open(shards, **quick)) for shards in (one, other)]
        for locker in lockers:
            await locker.listening()
        yield lockers


class TestTwoRedisLockers(LockersKit):
    @pytest.fixture
    def here(self, gateways: list[RedisLocker]) -> RedisLocker:
        return gateways[0]

    @pytest.fixture
    def there(self, gateways: list[RedisLocker]) -> RedisLocker:
        return gateways[1]


@pytest.mark.anyio
async def test_a_lease_is_renewed_for_as_long_as_it_is_held(gateways: list[RedisLocker]) -> None:
    first, second = gateways
    holder = await first.acquire("a", SOON)
    deadline = asyncio.get_running_loop().time() + 2.0
    while asyncio.get_running_loop().time() < deadline:
        assert await second.try_acquire("a") is None
        await asyncio.sleep(0.05)
    assert not holder.lost
    await holder.release()
