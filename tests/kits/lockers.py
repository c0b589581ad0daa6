"""The contract of the `Locker` port between several lockers of one set of leases, in one process or in several.

Subclass `LockersKit` in a test module and give the class fixtures `here` and `there`.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.kits.locker import NEVER, SOON
from tusfleet.uploads.errors import Draining, Locked
from tusfleet.uploads.ports import Locker


@pytest.mark.anyio
class LockersKit:
    """What one locker owes to the leases of another one."""

    async def test_fences_grow_whoever_gives_them(self, here: Locker, there: Locker) -> None:
        fences = []
        for locker in (here, there, there, here, there, here, here):
            lease = await locker.acquire("a", SOON)
            fences.append(lease.fence)
            await lease.release()
        assert fences == sorted(set(fences))

    async def test_leases_of_different_uploads_are_independent(self, here: Locker, there: Locker) -> None:
        first, second = await here.acquire("a", SOON), await there.acquire("b", SOON)
        await first.release()
        await second.release()

    async def test_a_waiter_elsewhere_asks_the_holder_and_gets_the_lease(self, here: Locker, there: Locker) -> None:
        holder = await here.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        waiter = asyncio.create_task(there.acquire("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        assert not waiter.done()
        await holder.release()
        heir = await waiter
        assert heir.fence > holder.fence
        await heir.release()

    async def test_a_request_made_before_the_callback_is_not_lost(self, here: Locker, there: Locker) -> None:
        holder = await here.acquire("a", SOON)
        with pytest.raises(Locked):
            await there.acquire("a", NEVER)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        await asyncio.wait_for(asked.wait(), SOON)
        await holder.release()

    async def test_a_holder_elsewhere_that_keeps_it_costs_the_waiter_its_time_only(
        self, here: Locker, there: Locker
    ) -> None:
        holder = await here.acquire("a", SOON)
        with pytest.raises(Locked):
            await there.acquire("a", NEVER)
        assert (await there.standing("a")).held
        await holder.release()
        again = await there.acquire("a", SOON)
        await again.release()

    async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(self, here: Locker, there: Locker) -> None:
        holder = await here.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        waiter = asyncio.create_task(there.acquire("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await holder.release()
        for locker in (here, there):
            again = await locker.acquire("a", SOON)
            await again.release()

    async def test_many_on_both_sides_get_it_one_after_the_other(self, here: Locker, there: Locker) -> None:
        inside = 0

        async def use(locker: Locker) -> int:
            nonlocal inside
            lease = await locker.acquire("a", 4 * SOON)
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            await lease.release()
            return lease.fence

        fences = await asyncio.gather(*(use(locker) for _ in range(10) for locker in (here, there)))
        assert len(set(fences)) == len(fences)

    async def test_release_may_be_repeated_and_does_not_touch_the_heir(self, here: Locker, there: Locker) -> None:
        first = await here.acquire("a", SOON)
        await first.release()
        second = await there.acquire("a", SOON)
        await first.release()
        assert await here.try_acquire("a") is None
        await second.release()

    async def test_those_who_only_look_and_try_disturb_nobody(self, here: Locker, there: Locker) -> None:
        assert not (await there.standing("a")).held
        holder = await here.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        assert (await there.standing("a")).held
        assert await there.try_acquire("a") is None
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asked.wait(), NEVER)
        await holder.release()
        assert not (await there.standing("a")).held
        lease = await there.try_acquire("a")
        assert lease is not None
        assert (await here.standing("a")).held
        await lease.release()

    async def test_settle_asks_a_holder_elsewhere_and_takes_nothing(self, here: Locker, there: Locker) -> None:
        await asyncio.wait_for(there.settle("a", SOON), SOON)
        holder = await here.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        settling = asyncio.create_task(there.settle("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        assert not settling.done()
        await holder.release()
        await settling
        again = await here.acquire("a", SOON)
        await again.release()

    async def test_settle_gives_up_after_its_time(self, here: Locker, there: Locker) -> None:
        holder = await here.acquire("a", SOON)
        with pytest.raises(Locked):
            await there.settle("a", NEVER)
        await holder.release()

    async def test_a_drain_ends_what_waits_here_and_leaves_the_others_alone(self, here: Locker, there: Locker) -> None:
        holder = await here.acquire("a", SOON)
        asked = asyncio.Event()
        holder.on_request(asked.set)
        own = await there.acquire("b", SOON)
        own_asked = asyncio.Event()
        own.on_request(own_asked.set)
        waiting = asyncio.create_task(there.acquire("a", SOON))
        await asyncio.wait_for(asked.wait(), SOON)
        there.drain()
        with pytest.raises(Draining):
            await waiting
        await asyncio.wait_for(own_asked.wait(), SOON)
        await own.release()
        await holder.release()
        lease = await here.acquire("b", SOON)
        await lease.release()
