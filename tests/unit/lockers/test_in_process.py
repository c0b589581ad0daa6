from __future__ import annotations

import asyncio

import pytest

from tests.kits.locker import SOON, LockerKit
from tusfleet.lockers.in_process import InProcessLocker


class TestInProcessLocker(LockerKit):
    @pytest.fixture
    def locker(self) -> InProcessLocker:
        return InProcessLocker()


@pytest.mark.anyio
async def test_fences_begin_where_they_are_told_to() -> None:
    lease = await InProcessLocker(first_fence=7 << 32).acquire("a", SOON)
    assert lease.fence == 7 << 32


@pytest.mark.anyio
async def test_nothing_is_kept_of_leases_that_are_over() -> None:
    locker = InProcessLocker()

    async def use() -> None:
        lease = await locker.acquire("a", SOON)
        await asyncio.sleep(0)
        await lease.release()

    await asyncio.gather(*(use() for _ in range(50)))
    assert locker.held == 0
