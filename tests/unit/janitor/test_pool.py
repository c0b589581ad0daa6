"""Many things, a few at a time, and from where another call stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tusfleet.janitor.pool import each

pytestmark = pytest.mark.anyio

AT_ONCE = 4


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


async def test_all_is_done_once_and_never_more_at_a_time_than_allowed() -> None:
    done: list[int] = []
    under_way, most = 0, 0

    async def work(number: int) -> bool:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done.append(number)
        return True

    assert await each(numbers(50), work, at_once=AT_ONCE)
    assert sorted(done) == list(range(50))
    assert most == AT_ONCE


async def test_another_call_goes_on_where_one_stopped() -> None:
    done: list[int] = []

    async def work(number: int) -> bool:
        done.append(number)
        return number != 25

    found = numbers(30)
    assert not await each(found, work, at_once=AT_ONCE, most=10)
    assert done == list(range(10))
    assert not await each(found, work, at_once=1)
    assert done == list(range(26))
    assert await each(found, work, at_once=AT_ONCE, most=10)
    assert done == list(range(30))


@pytest.mark.parametrize("where", ["work", "found"])
async def test_the_first_failure_is_told_as_it_is_and_cuts_the_others_short(where: str) -> None:
    cut: list[int] = []

    async def found() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number
        if where == "found":
            raise ValueError("broken")

    async def work(number: int) -> bool:
        if where == "work" and number == 2:
            raise ValueError("broken")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(number)
            raise
        return True

    with pytest.raises(ValueError, match="broken"):
        await each(found(), work, at_once=AT_ONCE)
    assert set(cut) == {0, 1} | ({2} if where == "found" else set())
