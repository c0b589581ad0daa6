"""Work of which a server or a fleet needs one only, however many processes could do it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tusfleet.uploads.ports import Lease, Locker

RETRY_SECONDS = 0.5
"""Pause before somebody else looks whether the one who does the work has died."""


async def leading(locker: Locker, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` whenever nobody else does it, under a lease that ends with this process.

    When the lease is lost, the work is cut short: somebody else may be at it by then. It does no harm meanwhile, since
    every change it makes to an upload needs the lease of that.

    Parameters:
        locker: shared by all who might do the work.
        name: of the work; its lease is one that no upload can have, since an id has no slash.
    """
    while True:
        lease = await locker.try_acquire(f"/{name}")
        if lease is None:
            await asyncio.sleep(RETRY_SECONDS)
        elif await _under(lease, work):
            return


async def _under(lease: Lease, work: Callable[[], Awaitable[None]]) -> bool:
    """Do `work` until it is done or the lease is lost; tell whether it is done."""
    task = asyncio.ensure_future(work())

    def cut_short() -> None:
        task.cancel()

    lease.on_request(cut_short)
    try:
        await asyncio.wait((task,))
        if task.cancelled():
            return False
        task.result()
        return True
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await lease.release()
