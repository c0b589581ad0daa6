"""Work of which a server or a fleet needs one only, however many processes could do it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.ports import Lease, Locker

logger = logging.getLogger(LOGGER)

RETRY_SECONDS = 0.5
"""Pause before somebody else looks whether the one who does the work has died."""

LONGEST_RETRY_SECONDS = 5.0
"""The same while the leases cannot be reached; it doubles up to this."""


async def leading(locker: Locker, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` whenever nobody else does it, under a lease that ends with this process.

    When the lease is lost, the work is cut short: somebody else may be at it by then. It does no harm meanwhile, since
    every change it makes to an upload needs the lease of that.

    Parameters:
        locker: shared by all who might do the work.
        name: of the work; its lease is one that no upload can have, since an id has no slash.
    """
    while True:
        lease = await _chosen(locker, name)
        logger.info("This process does the work of the %s from now on", name)
        if await _under(lease, work):
            return
        logger.info("This process does the work of the %s no more", name)


async def _chosen(locker: Locker, name: str) -> Lease:
    """Wait for the lease; however long it cannot be had, that is told once."""
    pause, told = RETRY_SECONDS, False
    while True:
        try:
            lease = await locker.try_acquire(f"/{name}")
        except UploadError as error:
            if not told:
                extra = {"reason": error.code}
                logger.warning("Nobody can be chosen for the work of the %s: %s", name, error.detail, extra=extra)
            told = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY_SECONDS)
            continue
        if lease is not None:
            return lease
        pause, told = RETRY_SECONDS, False
        await asyncio.sleep(pause)


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
