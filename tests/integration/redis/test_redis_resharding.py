"""Slots of a Cluster that move to another server while gateways work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.redis.gateways import SOON, gateway_at
from tests.kits.infostore import event, record
from tests.testbed import redis
from tests.testbed.fixtures import need_redis
from tests.testbed.redis_node import RedisNode
from tusfleet.uploads.errors import Unavailable

MIGRATE_MS = 5000


def _owner_and_other(nodes: list[RedisNode], slot: int) -> tuple[RedisNode, RedisNode]:
    ranges = nodes[0].ask("CLUSTER", "SLOTS")
    ports = {int(master[1]) for first, last, master, *_ in ranges if int(first) <= slot <= int(last)}
    owner = next(node for node in nodes if node.port in ports)
    return owner, next(node for node in nodes if node is not owner)


@pytest.mark.anyio
async def test_a_shard_that_moves_is_whole_at_every_moment(tmp_path: Path) -> None:
    """While its keys are on two servers nothing is changed in it; afterwards all of it goes on, without a restart."""
    need_redis()
    with redis.cluster(tmp_path / "cluster") as cluster:
        async with gateway_at(cluster.url, ttl=30, renew_every=10, shards=1, patience=1.0) as gateway:
            upload = record("a", length=100)
            await gateway.info.insert(upload, [event("created", upload)])
            lease = await gateway.locker.acquire("a", SOON)
            key = gateway.shards.layout.key(0, "u:a")
            slot = int(cluster.nodes[0].ask("CLUSTER", "KEYSLOT", key))
            owner, other = _owner_and_other(cluster.nodes, slot)
            names = [node.ask("CLUSTER", "MYID") for node in (owner, other)]
            other.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            owner.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            keys = owner.ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
            half = [key for key in keys if key.endswith(("u:a", "usage"))]
            owner.ask("MIGRATE", "127.0.0.1", other.port, "", 0, MIGRATE_MS, "KEYS", *half)
            with pytest.raises(Unavailable, match="moving these keys"):
                await gateway.info.commit(upload, lease.fence, {"offset": 5}, [event("half", upload)])
            rest = [key for key in keys if key not in half]
            owner.ask("MIGRATE", "127.0.0.1", other.port, "", 0, MIGRATE_MS, "KEYS", *rest)
            for node in (other, owner):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
            upload = await gateway.info.commit(upload, lease.fence, {"offset": 7}, [event("moved", upload)], ends=lease)
            assert await gateway.info.read("a") == upload
            assert [told.id for told in await gateway.info.outbox()] == ["created", "moved"]
            assert (await gateway.info.usage()).uploads == 1
            assert owner.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == 0
            await asyncio.wait_for(gateway.locker.listening(), SOON)
