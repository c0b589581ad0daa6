"""The contract of the `Locker` port as tests.

Subclass `LockerKit` in a test module and give the class a fixture `locker`.
"""

from __future__ import annotations

import asyncio

import pytest

from tusfleet.uploads.errors import Draining, Locked
from tusfleet.uploads.ports import Locker

SOON = 5.0
"""Seconds in which a thing that must happen has happened."""

NEVER = 0.05
"""Seconds for which a thing that must not happen is watched."""


@pytest.mark.anyio
class LockerKit:
    """Every sentence of the port's contract."""

    async def test_fences_grow_with_every_lease(self, locker: Locker) -> None:
        fences = []
        for _ in range(3):
            lease = await locker.acquire("a", SOON)
            fences.append(lease.fence)
            await lease.release()
        assert fences == sorted(set(fences))

    async def test_a_lease_that_was_given_back_leaves_no_doubt(self, locker: Locker) -> None:
        doubts = []
        for _ in range(3):
            lease = await locker.acquire("a", SOON)
            doubts.append(lease.doubt)
            await lease.release()
        assert doubts in ([None] * 3, [0] * 3)

    async def test_leases_of_different_uploads_are_independent(self, locker: Locker) -> None:
        first, second = await locker.acquire("a", SOON), await locker.acquire("b", SOON)
        await first.release()
        await second.release()

    async def test_a_waiter_asks_the_holder_and_gets_the_lease_when_it_lets_go(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        waiter = asyncio.create_task(locker.acquire("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        assert not waiter.done()
        await holder.release()
        heir = await waiter
        assert heir.fence > holder.fence
        await heir.release()

    async def test_a_request_made_before_the_callback_is_not_lost(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        with pytest.raises(Locked):
            await locker.acquire("a", NEVER)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        await asyncio.wait_for(asked.wait(), SOON)
        await holder.release()

    async def test_a_holder_that_does_not_let_go_costs_the_waiter_its_time_only(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        with pytest.raises(Locked):
            await locker.acquire("a", NEVER)
        await holder.release()
        again = await locker.acquire("a", SOON)
        await again.release()

    async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        waiter = asyncio.create_task(locker.acquire("a", SOON))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await holder.release()
        again = await locker.acquire("a", SOON)
        await again.release()

    async def test_a_waiter_cancelled_in_the_moment_of_the_grant_leaves_nothing_behind(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        waiter = asyncio.create_task(locker.acquire("a", SOON))
        await asyncio.sleep(0)
        await holder.release()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        again = await locker.acquire("a", SOON)
        await again.release()

    async def test_several_waiters_get_it_one_after_the_other(self, locker: Locker) -> None:
        inside = 0

        async def use() -> int:
            nonlocal inside
            lease = await locker.acquire("a", SOON)
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            await lease.release()
            return lease.fence

        fences = await asyncio.gather(*(use() for _ in range(20)))
        assert len(set(fences)) == len(fences)

    async def test_release_may_be_repeated_and_does_not_touch_the_heir(self, locker: Locker) -> None:
        first = await locker.acquire("a", SOON)
        await first.release()
        second = await locker.acquire("a", SOON)
        await first.release()
        assert await locker.try_acquire("a") is None
        await second.release()

    async def test_try_acquire_disturbs_nobody(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        assert await locker.try_acquire("a") is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asked.wait(), NEVER)
        await holder.release()
        lease = await locker.try_acquire("a")
        assert lease is not None
        await lease.release()

    async def test_settle_returns_at_once_when_nobody_holds_it(self, locker: Locker) -> None:
        await asyncio.wait_for(locker.settle("a", SOON), SOON)

    async def test_settle_asks_the_holder_and_takes_nothing(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        settling = asyncio.create_task(locker.settle("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        assert not settling.done()
        await holder.release()
        await settling
        again = await locker.acquire("a", NEVER)
        await again.release()

    async def test_settle_gives_up_after_its_time(self, locker: Locker) -> None:
        holder = await locker.acquire("a", SOON)
        with pytest.raises(Locked):
            await locker.settle("a", NEVER)
        await holder.release()

    async def test_drain_asks_every_holder_and_gives_no_more_leases(self, locker: Locker) -> None:
        holders = [await locker.acquire(id, SOON) for id in ("a", "b")]
        asked = [asyncio.Event() for _ in holders]
        for holder, event in zip(holders, asked, strict=True):
            holder.on_request(event.set)
        waiting = asyncio.create_task(locker.acquire("a", SOON))
        await asyncio.sleep(0)
        locker.drain()
        for event in asked:
            await asyncio.wait_for(event.wait(), SOON)
        with pytest.raises(Draining):
            await waiting
        with pytest.raises(Draining):
            await locker.acquire("c", SOON)
        assert await locker.try_acquire("d") is None
        for holder in holders:
            await holder.release()
