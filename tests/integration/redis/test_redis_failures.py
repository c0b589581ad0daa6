"""What goes wrong with Redis and the way to it: nothing is acknowledged that is not there, all recovers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.integration.redis.gateways import SOON, LossyWay, gateway_at, until
from tests.kits.infostore import event, record
from tests.testbed import redis
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.uploads.errors import FenceLost, StoreFull, Unavailable
from tusfleet.uploads.models import Metadata, Query, State, Upload

PATIENCE = 1.0
SLACK = 1.0
QUICK = {"patience": PATIENCE, "timeout": 0.4, "connect_timeout": 0.4}
"""A gateway that gives up soon."""

FAILOVER_SECONDS = 60.0
"""Longest that a failover may take on a busy machine; seen are 2 to 5 s."""


@pytest.mark.anyio
async def test_scripts_that_redis_forgot_are_given_to_it_again(redis_topology: RedisTopology) -> None:
    async with gateway_at(redis_topology.url) as gateway:
        upload = record("a", length=100)
        await gateway.info.insert(upload)
        for node in redis_topology.masters():
            node.ask("SCRIPT", "FLUSH")
        lease = await gateway.locker.acquire("a", SOON)
        upload = await gateway.info.commit(upload, lease.fence, {"offset": 5}, ends=lease)
        assert await gateway.info.read("a") == upload


@pytest.mark.anyio
async def test_what_was_acknowledged_is_there_after_redis_was_killed(redis_alone: RedisNode) -> None:
    async with gateway_at(redis_alone.url, ttl=20) as gateway:
        upload = record("a", length=100)
        await gateway.info.insert(upload, [event("e", upload)])
        lease = await gateway.locker.acquire("a", SOON)
        assert lease.upload is not None
        upload = await gateway.info.commit(lease.upload, lease.fence, {"offset": 5})
        redis_alone.kill()
        with pytest.raises(Unavailable):
            await gateway.info.read("a")
        redis_alone.start()
        assert await gateway.info.read("a") == upload
        assert [told.id for told in await gateway.info.outbox()] == ["e"]
        assert (await gateway.locker.standing("a")).held
        upload = await gateway.info.commit(upload, lease.fence, {"offset": 6}, ends=lease)
        assert lease.over
        await asyncio.wait_for(gateway.locker.listening(), SOON)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["frozen", "dead"])
async def test_every_call_ends_in_time_without_redis_and_works_again_with_it(redis_alone: RedisNode, how: str) -> None:
    async with gateway_at(redis_alone.url, **QUICK) as gateway:
        upload = record("a")
        await gateway.info.insert(upload)
        (redis_alone.pause if how == "frozen" else redis_alone.kill)()
        began = time.monotonic()
        calls = [
            gateway.info.read("a"),
            gateway.info.insert(record("b")),
            gateway.info.commit(upload, 1, {"offset": 1}),
            gateway.info.delete(record("c")),
            gateway.info.scan(Query()),
            gateway.info.finals_of("a"),
            gateway.info.outbox(),
            gateway.info.confirm(["e"]),
            gateway.info.usage(),
            gateway.info.probe(),
            gateway.locker.acquire("d", SOON),
            gateway.locker.try_acquire("e"),
            gateway.locker.standing("a"),
            gateway.locker.settle("a", SOON),
        ]
        outcomes = await asyncio.gather(*calls, *(gateway.info.read("a") for _ in range(500)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert time.monotonic() - began < PATIENCE + SLACK
        (redis_alone.resume if how == "frozen" else redis_alone.start)()
        assert (await gateway.info.read("a")) is not None
        lease = await gateway.locker.acquire("a", SOON)
        await lease.release()


@pytest.mark.anyio
async def test_a_redis_that_is_away_is_not_met_by_a_storm(redis_alone: RedisNode) -> None:
    async with gateway_at(redis_alone.url, **QUICK) as gateway:
        await gateway.info.read("a")
        redis_alone.kill()
        reading = asyncio.gather(*(gateway.info.read("a") for _ in range(1000)), return_exceptions=True)
        outcomes = await reading
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        redis_alone.start()
        await gateway.info.read("a")
        # All of them together went over as many connections as a few would have.
        assert redis_alone.ask("INFO", "stats")["total_connections_received"] < 12


@pytest.mark.anyio
async def test_a_change_whose_answer_was_lost_is_made_once(redis_server: RedisNode) -> None:
    async with LossyWay.to(redis_server.port) as way, gateway_at(way.url, ttl=30, renew_every=10) as gateway:
        upload = record("a", length=100)
        await gateway.info.read("a")
        way.lose = 1
        await gateway.info.insert(upload, [event("created", upload)])
        way.lose = 1
        lease = await gateway.locker.acquire("a", SOON)
        assert lease.upload is not None
        placement = {"parts": [["1", 5]]}
        way.lose = 1
        upload = await gateway.info.commit(
            lease.upload, lease.fence, {"offset": 5, "placement": placement}, [event("moved", upload)]
        )
        way.lose = 1
        upload = await gateway.info.commit(
            upload,
            lease.fence,
            {"offset": 9, "placement": {"parts": [["1", 5], ["2", 4]]}, "state": State.FINISHING},
            [event("finished", upload)],
            ends=lease,
        )
        assert way.lost == 4
        assert lease.over
        assert not (await gateway.locker.standing("a")).held
        assert await gateway.info.read("a") == upload
        assert [told.id for told in await gateway.info.outbox()] == ["created", "moved", "finished"]
        assert (await gateway.info.usage()).uploads == 1
        way.lose = 1
        await gateway.info.delete(upload)
        assert await gateway.info.read("a") is None
        assert (await gateway.info.usage()).uploads == 0


@pytest.mark.anyio
async def test_whoever_is_cancelled_has_its_commit_behind_it(redis_server: RedisNode) -> None:
    """Otherwise a commit could move the offset after the lease has gone to somebody else."""
    async with LossyWay.to(redis_server.port) as way, gateway_at(way.url) as gateway:
        upload = record("a", length=1000)
        await gateway.info.insert(upload)
        for turns in range(6):
            way.lose = turns % 2
            task = asyncio.create_task(gateway.info.commit(upload, 1, {"offset": upload.offset + 1}))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, SOON)
            current = await gateway.info.read("a")
            assert current is not None
            # Cancelled before it began, it does not begin.
            assert current.offset == upload.offset + (1 if turns else 0)
            upload = current


@pytest.mark.anyio
async def test_uploads_go_on_after_a_failover(topology_alone: RedisTopology) -> None:
    """No sentence about bytes that were acknowledged is taken back by the servers that are left."""
    if topology_alone.kind == "standalone":
        pytest.skip("one server alone has nobody to follow it; test_what_was_acknowledged_is_there covers it")
    # All of them: Redis does not promise that the one that was waited for is the one that follows.
    replicas = 2 if topology_alone.kind == "sentinel" else 1
    async with gateway_at(topology_alone.url, ttl=4, wait_replicas=replicas) as gateway:
        uploads = {f"u{n}": record(f"u{n}", length=10_000) for n in range(30)}
        await asyncio.gather(*(gateway.info.insert(upload) for upload in uploads.values()))
        failing = asyncio.create_task(asyncio.to_thread(_fail_over, topology_alone))
        deadline = time.monotonic() + FAILOVER_SECONDS
        whole = 0
        while whole < 3:
            assert time.monotonic() < deadline
            outcomes = await asyncio.gather(*(_step(gateway.info, upload) for upload in uploads.values()))
            uploads |= {upload.id: upload for upload in outcomes if upload is not None}
            whole += failing.done() and None not in outcomes
        await failing
        for upload in uploads.values():
            assert await gateway.info.read(upload.id) == upload
        await asyncio.wait_for(gateway.locker.listening(), SOON)
        lease = await gateway.locker.acquire("u0", SOON)
        await lease.release()


def _fail_over(topology: RedisTopology) -> None:
    # What was killed comes back as a replica: without one, no change is acknowledged.
    topology.fail_over().start()
    topology.wait_until_it_stands()


async def _step(info: RedisInfoStore, upload: Upload) -> Upload | None:
    """Some bytes more; None when Redis could not take them."""
    try:
        try:
            return await info.commit(upload, 1, {"offset": upload.offset + 1})
        except FenceLost:
            # One that was not acknowledged has landed all the same.
            current = await info.read(upload.id)
            assert current is not None
            assert current.offset >= upload.offset
            return await info.commit(current, 1, {"offset": current.offset + 1})
    except Unavailable:
        return None


@pytest.mark.anyio
async def test_a_full_redis_refuses_what_is_new_and_lets_go_of_what_is_old(tmp_path: Path) -> None:
    with redis.standalone(tmp_path / "redis") as node:
        async with gateway_at(node.url) as gateway:
            old = record("old", length=100)
            await gateway.info.insert(old)
            large = Metadata.of({"filename": "x" * 30_000})
            await asyncio.gather(*(gateway.info.insert(record(f"u{n}", metadata=large)) for n in range(60)))
            used = int(node.ask("INFO", "memory")["used_memory"])
            node.ask("CONFIG", "SET", "maxmemory", used - 400_000)
            with pytest.raises(StoreFull, match="Redis is full"):
                await gateway.info.insert(record("new"))
            with pytest.raises(StoreFull, match="Redis is full"):
                await gateway.info.commit(old, 1, {"offset": 5})
            assert await gateway.info.read("old") == old
            # Expiry must be possible: it is the way out.
            lease = await gateway.locker.acquire("u0", SOON)
            assert lease.upload is not None
            expired = await gateway.info.commit(lease.upload, lease.fence, {"state": State.EXPIRED, "expires_at": None})
            tidied = await gateway.info.commit(expired, lease.fence, {"placement": {}})
            await gateway.info.delete(tidied)
            await lease.release()
            async with gateway_at(node.url):
                pass  # another gateway starts
            for n in range(1, 40):
                upload = await gateway.info.read(f"u{n}")
                assert upload is not None
                await gateway.info.delete(upload)
            await gateway.info.commit(old, 1, {"offset": 5})


@pytest.mark.anyio
async def test_a_read_only_replica_is_told_of_and_left_for_the_master(tmp_path: Path) -> None:
    with redis.standalone(tmp_path / "master") as master, redis.standalone(tmp_path / "replica") as node:
        async with gateway_at(node.url, **QUICK) as gateway:
            await gateway.info.insert(record("a"))
            node.ask("REPLICAOF", "127.0.0.1", master.port)
            with pytest.raises(Unavailable, match="read-only replica"):
                await gateway.info.insert(record("b"))
            with pytest.raises(Unavailable, match="read-only replica"):
                await gateway.info.probe()
            node.ask("REPLICAOF", "NO", "ONE")
            await gateway.info.insert(record("b"))


@pytest.mark.anyio
async def test_a_change_that_too_few_replicas_have_is_not_acknowledged(tmp_path: Path) -> None:
    options = {**QUICK, "wait_replicas": 1, "wait_timeout": 0.1}
    with redis.standalone(tmp_path / "one") as node, redis.standalone(tmp_path / "two") as replica:
        async with gateway_at(node.url, patience=PATIENCE) as plain:
            await plain.info.insert(record("a"))
        replica.ask("REPLICAOF", "127.0.0.1", node.port)
        await until(lambda: asyncio.to_thread(lambda: node.replicas_online() == 1))
        async with gateway_at(node.url, **options) as gateway:
            upload = await gateway.info.commit(record("a"), 1, {"offset": 1})
            replica.pause()
            try:
                with pytest.raises(Unavailable, match="0 of 1 replicas"):
                    await gateway.info.commit(upload, 1, {"offset": 2})
                assert (await gateway.info.read("a")) is not None  # looking needs no replica
            finally:
                replica.resume()
            current = await gateway.info.read("a")
            assert current is not None
            await gateway.info.commit(current, 1, {"offset": 3})
