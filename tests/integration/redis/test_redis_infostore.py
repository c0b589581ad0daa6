"""The info store in Redis keeps the contract of the port: one server, Sentinel and Cluster."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from tests.kits.infostore import CAPACITY, InfoStoreKit, record
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.lockers.redis import RedisLocker
from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.shards import Shards, open_shards
from tusfleet.uploads.models import State

SOON = 10.0
"""Seconds in which a thing that must happen has happened."""


@asynccontextmanager
async def opened(url: str, count: int | None = None) -> AsyncIterator[Shards]:
    """A store of its own in a Redis that others use too."""
    name = uuid.uuid4().hex[:8]
    shards = await open_shards(RedisAccess(url=url, prefix=f"tf-{name}", shards=count), f"gateway-{name}")
    try:
        yield shards
    finally:
        await shards.close()


class TestRedisInfoStore(InfoStoreKit):
    @pytest.fixture
    async def store(self, redis_topology: RedisTopology) -> AsyncIterator[RedisInfoStore]:
        async with opened(redis_topology.url) as shards:
            yield RedisInfoStore(shards)

    @pytest.fixture
    async def small(self, redis_topology: RedisTopology) -> AsyncIterator[RedisInfoStore]:
        # On a Cluster a capacity goes with one shard only.
        clustered = redis_topology.kind == "cluster"
        async with opened(redis_topology.url, 1 if clustered else None) as shards:
            yield RedisInfoStore(shards, CAPACITY)


def steps(node: RedisNode) -> int:
    """Scripts that a Redis has run."""
    stats = node.ask("INFO", "commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "eval"))


@pytest.mark.anyio
async def test_a_life_of_an_upload_takes_few_round_trips(redis_server: RedisNode) -> None:
    """Creation 1, HEAD 1, an append of one part 3 at most: acquire, commit, and a commit that gives the lease back."""
    async with opened(redis_server.url) as shards, RedisLocker.open(shards) as locker:
        store = RedisInfoStore(shards)
        await _life(redis_server, store, locker, "first")  # with it the scripts are there
        created, looked, appended = await _life(redis_server, store, locker, "second")
        print(f"creation {created}, HEAD {looked}, append of one part {appended}")
        assert (created, looked, appended) == (1, 1, 3)
        assert not (await locker.standing("second")).held


async def _life(node: RedisNode, store: RedisInfoStore, locker: RedisLocker, id: str) -> tuple[int, int, int]:
    """The steps of a creation, a HEAD and an append."""
    counts = [steps(node)]
    await store.insert(record(id, length=10))
    counts.append(steps(node))
    assert (await locker.standing(id)).upload is not None
    counts.append(steps(node))
    lease = await locker.acquire(id, SOON)
    assert lease.upload is not None
    upload = await store.commit(lease.upload, lease.fence, {"offset": 10, "state": State.FINISHING})
    await store.commit(upload, lease.fence, {"state": State.FINISHED}, ends=lease)
    await lease.release()
    counts.append(steps(node))
    created, looked, appended = (after - before for before, after in pairwise(counts))
    return created, looked, appended
