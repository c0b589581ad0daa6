"""Leases for a server that is one process: a table in memory, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count

from tusfleet.uploads.errors import Draining, Locked
from tusfleet.uploads.models import Upload
from tusfleet.uploads.ports import Standing


class InProcessLease:
    """A lease of `InProcessLocker`; it is never lost while the process lives."""

    __slots__ = ("_callback", "_locker", "_requested", "_settled", "doubt", "fence", "id", "lost", "upload", "waiting")

    def __init__(self, locker: InProcessLocker, id: str, fence: int) -> None:
        self.id = id
        self.fence = fence
        self.doubt: int | None = None
        self.lost = False
        self.upload: Upload | None = None
        # Made when somebody waits: nearly nobody does, and an empty deque takes 600 bytes.
        self.waiting: deque[asyncio.Future[InProcessLease]] | None = None
        self._locker = locker
        self._requested = False
        self._callback: Callable[[], None] | None = None
        self._settled: list[asyncio.Future[None]] = []

    def on_request(self, callback: Callable[[], None]) -> None:
        if self._requested:
            callback()
        else:
            self._callback = callback

    def request(self) -> None:
        """Tell the holder, once, that it is to let go."""
        if not self._requested:
            self._requested = True
            callback, self._callback = self._callback, None
            if callback is not None:
                callback()

    def settled(self) -> asyncio.Future[None]:
        """A future that is done when this lease has been released."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled.append(future)
        return future

    async def release(self) -> None:
        self.end()

    def ended(self) -> None:
        self.end()

    def end(self) -> None:
        """Release, without waiting for anything."""
        self._locker.released(self)
        settled, self._settled = self._settled, []
        for future in settled:
            if not future.done():
                future.set_result(None)


class InProcessLocker:
    """Leases of one process.

    Parameters:
        first_fence: the first fence given; it must be above every fence that an earlier process gave.
    """

    def __init__(self, first_fence: int = 1) -> None:
        self._fences = count(first_fence)
        self._held: dict[str, InProcessLease] = {}
        self._draining = False

    @property
    def held(self) -> int:
        """How many leases are in force."""
        return len(self._held)

    async def acquire(self, id: str, wait: float) -> InProcessLease:
        if self._draining:
            raise Draining
        holder = self._held.get(id)
        if holder is None:
            return self._grant(id)
        future: asyncio.Future[InProcessLease] = asyncio.get_running_loop().create_future()
        if holder.waiting is None:
            holder.waiting = deque()
        holder.waiting.append(future)
        holder.request()
        try:
            async with asyncio.timeout(wait):
                return await future
        except TimeoutError:
            self._give_up(holder, future)
            raise Locked(_in_use(wait)) from None
        except asyncio.CancelledError:
            self._give_up(holder, future)
            raise

    def _give_up(self, holder: InProcessLease, future: asyncio.Future[InProcessLease]) -> None:
        if future.done() and not future.cancelled() and future.exception() is None:
            # The lease came in the same turn of the loop as the end of the waiting; nobody would release it.
            future.result().end()
        elif holder.waiting is not None and future in holder.waiting:
            holder.waiting.remove(future)

    async def try_acquire(self, id: str) -> InProcessLease | None:
        return None if self._draining or id in self._held else self._grant(id)

    async def standing(self, id: str) -> Standing:
        return Standing(id in self._held)

    async def settle(self, id: str, wait: float) -> None:
        holder = self._held.get(id)
        if holder is None:
            return
        released = holder.settled()
        holder.request()
        try:
            async with asyncio.timeout(wait):
                await released
        except TimeoutError:
            raise Locked(_in_use(wait)) from None

    def drain(self) -> None:
        self._draining = True
        for lease in list(self._held.values()):
            for future in lease.waiting or ():
                if not future.done():
                    future.set_exception(Draining())
            lease.request()

    def released(self, lease: InProcessLease) -> None:
        """Pass the upload of a released lease on to the next in line."""
        if self._held.get(lease.id) is not lease:
            return
        del self._held[lease.id]
        while lease.waiting:
            future = lease.waiting.popleft()
            if future.done():
                continue
            heir = self._grant(lease.id)
            heir.waiting = lease.waiting
            future.set_result(heir)
            if heir.waiting:
                heir.request()
            return

    def _grant(self, id: str) -> InProcessLease:
        lease = InProcessLease(self, id, next(self._fences))
        self._held[id] = lease
        return lease


def _in_use(wait: float) -> str:
    return f"Another request has been using this upload for more than {wait:g} s; try again"
