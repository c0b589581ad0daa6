"""The queue: each key once, never in two hands, tried again with growing pauses."""

from __future__ import annotations

import asyncio
import random

from tests import virtual_time
from tusfleet_operator.engine.queue import FIRST_PAUSE, LONGEST_PAUSE, Key, WorkQueue

A, B = ("apps", "a"), ("apps", "b")


def queue() -> WorkQueue:
    return WorkQueue(random.Random(1))


async def take(of: WorkQueue) -> Key | None:
    """The next key, if there is one without waiting."""
    try:
        async with asyncio.timeout(0.001):
            return await of.take()
    except TimeoutError:
        return None


def test_what_is_added_twice_is_looked_at_once() -> None:
    async def scenario() -> list[Key | None]:
        of = queue()
        for key in (A, B, A, A):
            of.add(key)
        assert len(of) == 2
        return [await take(of), await take(of), await take(of)]

    assert virtual_time.run(scenario()) == [A, B, None]


def test_a_key_is_never_in_two_hands_and_nothing_is_forgotten_meanwhile() -> None:
    async def scenario() -> None:
        of = queue()
        of.add(A)
        assert await take(of) == A
        of.add(A)
        of.add(A)
        assert await take(of) is None
        of.give_back(A)
        assert await take(of) == A
        of.give_back(A)
        assert await take(of) is None

    virtual_time.run(scenario())


def test_many_workers_share_many_keys_without_meeting() -> None:
    async def scenario() -> None:
        of, busy, done = queue(), set[Key](), list[Key]()

        async def worker() -> None:
            while True:
                key = await of.take()
                assert key not in busy
                busy.add(key)
                await asyncio.sleep(0.01)
                busy.discard(key)
                done.append(key)
                of.give_back(key)

        workers = [asyncio.ensure_future(worker()) for _ in range(5)]
        keys = [("apps", str(number)) for number in range(100)]
        for _ in range(10):
            for key in keys:
                of.add(key)
            await asyncio.sleep(0.015)
        await asyncio.sleep(5)
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert set(done) == set(keys)
        assert len(of) == 0

    virtual_time.run(scenario())


def test_the_sooner_of_two_times_counts() -> None:
    async def scenario() -> list[float]:
        of, found = queue(), []
        of.add_after(A, 10)
        of.add_after(A, 2)
        of.add_after(A, 5)
        for _ in range(2):
            async with asyncio.timeout(100):
                await of.take()
            found.append(virtual_time.now())
            of.give_back(A)
            of.add_after(A, 7)
        return found

    assert virtual_time.run(scenario()) == [2, 9]


def test_a_reason_to_look_now_takes_the_place_of_a_later_time() -> None:
    async def scenario() -> None:
        of = queue()
        of.add_after(A, 10)
        of.add(A)
        assert await take(of) == A
        of.give_back(A)
        await asyncio.sleep(60)
        assert await take(of) is None

    virtual_time.run(scenario())


def test_pauses_grow_to_their_bound_and_shrink_again_with_success() -> None:
    async def scenario() -> list[float]:
        of = queue()
        pauses = [of.retry(A) for _ in range(15)]
        of.succeeded(A)
        return [*pauses, of.retry(A)]

    *pauses, first = virtual_time.run(scenario())
    assert all(low / 2 <= pause <= low for pause, low in zip(pauses, bounds(15), strict=True))
    assert first <= FIRST_PAUSE
    assert len(set(pauses)) == len(pauses)


def bounds(count: int) -> list[float]:
    return [min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) for number in range(count)]


def test_a_server_that_asks_for_time_gets_it_and_not_from_all_at_once() -> None:
    async def scenario() -> list[float]:
        of = queue()
        return [of.retry(("apps", str(number)), at_least=30) for number in range(20)]

    pauses = virtual_time.run(scenario())
    assert min(pauses) >= 30
    assert max(pauses) - min(pauses) > 5


def test_an_hour_without_the_api_server_is_some_dozens_of_attempts() -> None:
    async def scenario() -> int:
        of, attempts = queue(), 0
        of.add(A)
        while virtual_time.now() < 3600:
            key = await of.take()
            attempts += 1
            of.retry(key)
            of.give_back(key)
        return attempts

    assert 30 <= virtual_time.run(scenario()) <= 80


def test_it_tells_how_long_the_first_one_has_waited() -> None:
    async def scenario() -> None:
        of = queue()
        assert of.oldest == 0
        of.add(A)
        await asyncio.sleep(5)
        of.add(B)
        assert of.oldest == 5
        await of.take()
        assert of.oldest == 0

    virtual_time.run(scenario())


def test_who_does_not_lead_any_more_forgets_everything() -> None:
    async def scenario() -> None:
        of = queue()
        of.add(A)
        of.add_after(B, 1)
        of.clear()
        await asyncio.sleep(10)
        assert (await take(of), len(of)) == (None, 0)

    virtual_time.run(scenario())
