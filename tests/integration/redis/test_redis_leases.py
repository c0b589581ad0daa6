"""Leases of several gateways: taking over, asking, fencing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.redis.gateways import RENEW_EVERY, SOON, TTL, Gateway, gateway_at, until
from tests.kits.infostore import event, record
from tests.testbed.redis_node import RedisNode
from tests.testbed.redis_topologies import RedisTopology
from tusfleet.lockers._redis_lease import RedisLease
from tusfleet.uploads.errors import FenceLost, Locked
from tusfleet.uploads.models import State

PROMPT = 1.0
"""Seconds in which a holder that lives lets go (promise 4)."""

SLACK = 2.0
"""Seconds that a busy machine may take on top of a time that is waited for."""


@pytest.fixture
async def pair(redis_topology: RedisTopology) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two gateways of one store."""
    async with gateway_at(redis_topology.url) as one, gateway_at(redis_topology.url) as other:
        yield one, other


def stop_renewing(gateway: Gateway) -> None:
    """Leave the leases of a gateway to themselves, as if it had died."""
    gateway.locker._held.by_token.clear()


async def seconds_of(lease: asyncio.Future[RedisLease]) -> tuple[RedisLease, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    return await lease, loop.time() - began


@pytest.mark.anyio
async def test_a_holder_that_lives_lets_go_at_once(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    await one.info.insert(record("a"))
    held = await one.locker.acquire("a", SOON)
    assert held.upload is not None

    async def stop() -> None:
        assert held.upload is not None
        upload = await one.info.commit(held.upload, held.fence, {"offset": 4}, ends=held)
        assert upload.offset == 4

    stopping: list[asyncio.Task[None]] = []
    held.on_request(lambda: stopping.append(asyncio.create_task(stop())))
    heir, seconds = await seconds_of(asyncio.ensure_future(other.locker.acquire("a", SOON)))
    assert seconds < PROMPT
    assert heir.upload is not None
    assert heir.upload.offset == 4
    assert other.count("lease_wait_seconds_count") == 1
    assert one.count("lease_preemptions_total") == 1
    await heir.release()
    await asyncio.gather(*stopping)


@pytest.mark.anyio
async def test_a_holder_that_died_costs_its_ttl(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    held = await one.locker.acquire("a", SOON)
    stop_renewing(one)
    heir, seconds = await seconds_of(asyncio.ensure_future(other.locker.acquire("a", SOON)))
    assert TTL / 2 < seconds < TTL + SLACK
    assert heir.fence > held.fence
    await heir.release()


@pytest.mark.anyio
async def test_a_holder_whose_lease_was_taken_is_refused_and_told(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    await one.info.insert(record("a"))
    held = await one.locker.acquire("a", SOON)
    assert held.upload is not None
    leases = dict(one.locker._held.by_token)
    stop_renewing(one)
    heir = await other.locker.acquire("a", SOON)
    assert heir.upload is not None
    told = asyncio.Event()
    held.on_request(told.set)
    one.locker._held.by_token.update(leases)  # the gateway wakes up
    with pytest.raises(FenceLost):
        await one.info.commit(held.upload, held.fence, {"offset": 5}, [event("e", held.upload)])
    await asyncio.wait_for(told.wait(), SOON)
    assert held.lost
    assert one.count("leases_lost_total") == 1
    assert await one.info.outbox() == []
    await held.release()
    assert (await one.locker.standing("a")).held
    moved = await other.info.commit(heir.upload, heir.fence, {"offset": 7})
    await heir.release()
    assert await one.info.read("a") == moved


@pytest.mark.anyio
async def test_a_lease_that_ran_out_stays_in_doubt(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    await one.info.insert(record("a"))
    first = await one.locker.acquire("a", SOON)
    assert first.upload is not None
    upload = await one.info.commit(first.upload, first.fence, {"offset": 4})
    stop_renewing(one)
    second = await other.locker.acquire("a", SOON)
    assert second.doubt == first.fence
    assert second.upload is not None
    assert second.upload.doubt == first.fence
    await first.release()  # too late to tell
    await second.release()
    third = await one.locker.acquire("a", SOON)
    assert third.doubt == first.fence
    assert third.upload is not None
    await one.info.commit(third.upload, third.fence, {"offset": 8}, ends=third)
    fourth = await other.locker.acquire("a", SOON)
    assert fourth.doubt == first.fence, "the third was given back with its commit"
    stop_renewing(other)
    fifth = await one.locker.acquire("a", SOON)
    assert fifth.doubt == fourth.fence
    assert fifth.upload is not None
    ended = await one.info.commit(fifth.upload, fifth.fence, {"state": State.TERMINATED})
    await one.info.delete(ended)
    assert await other.info.read("a") is None, "what is noted about leases does not keep a record"
    assert upload.offset == 4


@pytest.mark.anyio
async def test_a_lease_that_ran_out_is_given_back_if_nobody_took_the_upload(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    await one.info.insert(record("a"))
    first = await one.locker.acquire("a", SOON)
    stop_renewing(one)
    await until(lambda: _free(other))
    await first.release()
    assert (await other.locker.acquire("a", SOON)).doubt == 0


async def _free(gateway: Gateway) -> bool:
    return not (await gateway.locker.standing("a")).held


@pytest.mark.anyio
async def test_a_first_lease_is_in_doubt_once_it_has_committed(pair: tuple[Gateway, Gateway]) -> None:
    """It was there before the record."""
    one, other = pair
    upload = record("a")
    first = await one.locker.acquire("a", SOON)
    assert (first.doubt, first.upload) == (0, None)
    await one.info.insert(upload)
    await one.info.commit(upload, first.fence, {"offset": 4})
    stop_renewing(one)
    assert (await other.locker.acquire("a", SOON)).doubt == first.fence


@pytest.mark.anyio
async def test_a_commit_passes_when_the_lease_ran_out_and_nobody_took_it(pair: tuple[Gateway, Gateway]) -> None:
    one, _ = pair
    await one.info.insert(record("a"))
    held = await one.locker.acquire("a", SOON)
    assert held.upload is not None
    stop_renewing(one)

    async def free() -> bool:
        return not (await one.locker.standing("a")).held

    await until(free)
    assert (await one.info.commit(held.upload, held.fence, {"offset": 5})).offset == 5


@pytest.mark.anyio
async def test_a_lease_that_ran_out_while_nobody_took_it_goes_on_with_the_next_renewal(
    pair: tuple[Gateway, Gateway],
) -> None:
    one, other = pair
    await one.info.insert(record("a"))
    held = await one.locker.acquire("a", SOON)
    shard = one.shards.layout.shard("a")
    assert await one.shards.command("DEL", one.shards.layout.key(shard, "lease:a")) == 1

    async def taken() -> bool:
        return (await other.locker.standing("a")).held

    await until(taken)
    assert not held.lost
    await held.release()
    assert not (await other.locker.standing("a")).held


@pytest.mark.anyio
async def test_leases_of_a_gateway_without_redis_end_where_others_may_take_them(redis_alone: RedisNode) -> None:
    async with gateway_at(redis_alone.url, patience=0.5, timeout=0.2, connect_timeout=0.2) as gateway:
        held = await gateway.locker.acquire("a", SOON)
        told = asyncio.Event()
        held.on_request(told.set)
        loop = asyncio.get_running_loop()
        began = loop.time()
        redis_alone.pause()
        try:
            await asyncio.wait_for(told.wait(), SOON)
            # No later than anybody else can have it: the TTL counts from the last renewal that was answered.
            assert loop.time() - began < TTL + RENEW_EVERY
            assert held.lost
        finally:
            redis_alone.resume()


@pytest.mark.anyio
async def test_without_messages_waiting_takes_little_longer(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    held = await one.locker.acquire("a", SOON)
    releasing: list[asyncio.Task[None]] = []
    held.on_request(lambda: releasing.append(asyncio.create_task(held.release())))
    one.locker._receive = other.locker._receive = lambda word, about: None  # type: ignore[method-assign]
    one.locker._messages._receive = other.locker._messages._receive = lambda word, about: None
    heir, seconds = await seconds_of(asyncio.ensure_future(other.locker.acquire("a", SOON)))
    # The holder learns of it with its next renewal, the waiter with its next look.
    assert seconds < RENEW_EVERY + 0.25 + SLACK
    await heir.release()
    await asyncio.gather(*releasing)


@pytest.mark.anyio
async def test_first_bytes_come_under_the_lease_that_was_there_before_the_record(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    held = await one.locker.acquire("a", SOON)
    assert held.upload is None
    upload = record("a")
    await one.info.insert(upload, [event("e", upload)])
    current = await one.info.read("a")
    assert current == replace(upload, fence=held.fence)
    moved = await one.info.commit(upload, held.fence, {"offset": 5}, ends=held)
    assert not (await other.locker.standing("a")).held
    heir = await other.locker.acquire("a", SOON)
    assert heir.fence > held.fence
    with pytest.raises(FenceLost):
        await one.info.commit(moved, held.fence, {"offset": 6})
    await heir.release()


@pytest.mark.anyio
async def test_whoever_lost_the_id_before_its_record_was_there_cannot_write_it(pair: tuple[Gateway, Gateway]) -> None:
    one, other = pair
    held = await one.locker.acquire("a", SOON)
    stop_renewing(one)
    heir = await other.locker.acquire("a", SOON)
    upload = record("a")
    await one.info.insert(upload)  # late, and nobody else made it
    with pytest.raises(FenceLost):
        await one.info.commit(upload, held.fence, {"offset": 5})
    assert (await other.info.commit(upload, heir.fence, {"offset": 6})).offset == 6
    await heir.release()


@pytest.mark.anyio
async def test_waiters_that_give_up_leave_nothing_in_redis(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as one, gateway_at(redis_server.url) as other:
        held = await one.locker.acquire("a", SOON)
        waiters = [asyncio.create_task(other.locker.acquire("a", SOON)) for _ in range(10)]
        with pytest.raises(Locked):
            await other.locker.acquire("a", 0.1)
        for turns, waiter in enumerate(waiters):
            await asyncio.sleep(0.001 * turns)
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        await held.release()

        async def nothing() -> bool:
            return not redis_server.ask("KEYS", "*lease*")

        await until(nothing)
        assert one.locker.held == other.locker.held == 0
        assert not other.locker._wakes
        assert not other.locker._turns._waiting


@pytest.mark.anyio
async def test_fences_grow_when_redis_has_lost_its_data(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        await gateway.info.insert(record("a"))
        first = await gateway.locker.acquire("a", SOON)
        await first.release()
        redis_server.flush()
        second = await gateway.locker.acquire("a", SOON)
        assert second.fence > first.fence
        await second.release()


@pytest.mark.anyio
async def test_fences_grow_when_the_clock_of_redis_went_back(redis_server: RedisNode) -> None:
    async with gateway_at(redis_server.url) as gateway:
        ahead = 2**52  # a fence of a time far in the future
        await gateway.info.insert(record("a", fence=ahead))
        first = await gateway.locker.acquire("a", SOON)
        assert first.fence == ahead + 1
        assert first.upload is not None
        await gateway.info.delete(first.upload)
        await first.release()
        # The id has no record any more, and its fences grow all the same.
        second = await gateway.locker.acquire("a", SOON)
        assert second.fence > first.fence
        await second.release()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "commit", "release", "die", "insert", "delete"]),
        st.integers(0, 2),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fences_only_grow_and_one_lease_is_in_force(shared_redis: RedisNode, steps: list[tuple[str, int]]) -> None:
    """Whatever three gateways do, die and delete: offsets move under the newest lease only."""
    shared_redis.flush()
    asyncio.run(asyncio.wait_for(_walk(shared_redis, steps), 60))


async def _walk(node: RedisNode, steps: list[tuple[str, int]]) -> None:
    fences: list[int] = []
    holders: list[RedisLease | None] = [None, None, None]
    in_force: int | None = None
    async with AsyncExitStack() as stack:
        # Renewed rarely: what is in force is known for certain.
        gateways = [await stack.enter_async_context(gateway_at(node.url, ttl=60, renew_every=20)) for _ in holders]
        info = gateways[0].info
        for step, number in steps:
            gateway, held = gateways[number], holders[number]
            if step == "take":
                lease = await gateway.locker.try_acquire("a")
                assert (lease is None) == (in_force is not None)
                if lease is not None:
                    fences.append(lease.fence)
                    holders[number], in_force = lease, number
            elif step == "die" and in_force is not None:
                shard = gateway.shards.layout.shard("a")
                await gateway.shards.command("DEL", gateway.shards.layout.key(shard, "lease:a"))
                in_force = None
            elif step == "release" and held is not None:
                await held.release()
                in_force = None if in_force == number else in_force
            elif step == "insert" and await info.read("a") is None:
                await info.insert(record("a", length=1000))
            elif step == "delete" and (upload := await info.read("a")) is not None:
                await info.delete(upload)
            elif step == "commit" and held is not None and (upload := await info.read("a")) is not None:
                newest = held.fence == max(fences)
                try:
                    moved = await gateway.info.commit(upload, held.fence, {"offset": upload.offset + 1})
                except FenceLost:
                    assert not newest
                else:
                    # Of a record made after it, an older lease may speak until a newer one has taken it.
                    assert newest or in_force is None
                    assert moved.fence >= held.fence
    assert fences == sorted(set(fences))
