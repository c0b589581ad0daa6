"""Work on many things, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def each(
    found: AsyncIterator[T], work: Callable[[T], Awaitable[bool]], *, at_once: int, most: float = float("inf")
) -> bool:
    """Do `work` to what `found` gives, to `at_once` at a time; tell whether `found` has come to its end.

    Nothing is taken from `found` before it is worked on, so that another call can go on where this one stopped.

    Parameters:
        work: tells whether to go on; when it says no, what has been begun is brought to its end.
        most: so many at most are taken.

    Raises:
        Exception: the first one of `found` or `work`; what else had been begun was cut short.
    """
    turn = asyncio.Lock()
    taken, going, ended = 0, True, False

    async def worker() -> None:
        nonlocal taken, going, ended
        while True:
            async with turn:
                if not going or ended or taken >= most:
                    return
                try:
                    one = await anext(found)
                except StopAsyncIteration:
                    ended = True
                    return
                taken += 1
            going = await work(one) and going

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except ExceptionGroup as failures:
        # What began it; the others were cut short.
        raise failures.exceptions[0] from None
    return ended
