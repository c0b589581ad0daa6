"""Work that one of many does: it moves on when its lease is lost, and only then."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tusfleet.gateway.leading import leading
from tusfleet.lockers.in_process import InProcessLocker
from tusfleet.uploads.errors import Unavailable
from tusfleet.uploads.ports import Lease

pytestmark = pytest.mark.anyio


async def test_work_that_is_done_ends_it_and_gives_the_lease_back() -> None:
    locker = InProcessLocker()
    done: list[int] = []

    async def work() -> None:
        done.append(locker.held)

    await leading(locker, "work", work)
    assert done == [1]
    assert locker.held == 0


async def test_work_is_cut_short_when_its_lease_is_asked_for_and_begins_again() -> None:
    locker = InProcessLocker()
    begun: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        begun.put_nowait(1)
        await asyncio.Event().wait()

    leader = asyncio.create_task(leading(locker, "work", work))
    await begun.get()
    usurper = await locker.acquire("/work", 5)
    assert begun.empty()
    await usurper.release()
    await asyncio.wait_for(begun.get(), 5)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert locker.held == 0


async def test_a_failure_of_the_work_is_told_and_gives_the_lease_back() -> None:
    locker = InProcessLocker()

    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await leading(locker, "work", work)
    assert locker.held == 0


async def test_leases_that_are_out_of_reach_are_told_of_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locker = InProcessLocker()
    try_acquire, tries = locker.try_acquire, 0

    async def hindered(id: str) -> Lease | None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise Unavailable("Redis cannot be reached")
        return await try_acquire(id)

    async def work() -> None:
        assert locker.held == 1

    monkeypatch.setattr("tusfleet.gateway.leading.RETRY_SECONDS", 0.001)
    monkeypatch.setattr(locker, "try_acquire", hindered)
    with caplog.at_level(logging.WARNING, "tusfleet"):
        await leading(locker, "work", work)
    assert [record.getMessage() for record in caplog.records] == [
        "Nobody can be chosen for the work of the work: Redis cannot be reached"
    ]
