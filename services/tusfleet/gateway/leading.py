"""Work of which a server needs one only, however many workers it has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tusfleet.uploads.ports import Locker

RETRY_SECONDS = 0.5
"""Pause before somebody else looks whether the one who does the work has died."""


async def leading(locker: Locker, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` once nobody else does it, under a lease that ends with this process.

    Parameters:
        locker: shared by all who might do the work.
        name: of the work; its lease is one that no upload can have, since an id has no slash.
    """
    while (lease := await locker.try_acquire(f"/{name}")) is None:
        await asyncio.sleep(RETRY_SECONDS)
    try:
        await work()
    finally:
        await lease.release()
