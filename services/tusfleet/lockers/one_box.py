"""Leases among the processes of one box, without a service and without a commit.

Within a process the table in memory decides (`in_process`), and between processes a lock of the kernel (`_ranges`): two
system calls for a lease that nobody else wants. The lock of a process that dies is free at that moment, however it
died, and there is nothing to clean up, renew or repair. A database of leases would cost a write transaction for each
and a rule for telling the dead from the slow; a table in the process that starts the others, two wake-ups for each.

Who waits tells the others by message, the holder answers by message when it lets go, and whatever gets lost on the way
is made good by asking again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tusfleet.lockers._ranges import RangeLocks
from tusfleet.lockers.in_process import InProcessLease, InProcessLocker
from tusfleet.uploads.errors import Draining, Locked
from tusfleet.uploads.models import Upload
from tusfleet.uploads.ports import Standing

POLL_SECONDS = 0.05
"""How often a waiter looks for itself and asks again: a dead holder tells nobody, and messages may be dropped."""

COURTESY_SECONDS = 0.003
"""Head start of a waiter in another process over those in that of the holder, who hear of the end at once."""

WANTED = b"W"
"""Somebody waits for an id."""

FREED = b"F"
"""An id has been let go."""

NOT_HERE = b"N"
"""An id is not held by who was asked."""


class Post(Protocol):
    """Carries short messages between the processes; it may drop some, and never waits."""

    def send(self, to: int, message: bytes) -> None:
        """Send a message to one of the others."""
        ...

    def spread(self, message: bytes) -> None:
        """Send a message to all of the others."""
        ...

    def on(self, kind: bytes, handler: Callable[[int, bytes], None]) -> None:
        """Have `handler` called with the sender and the rest of every message that begins with `kind`, one byte."""
        ...


class OneBoxLease:
    """A lease of `OneBoxLocker`; it is never lost while the process lives."""

    __slots__ = ("_local", "_locker", "doubt", "fence", "id", "lost", "over", "upload", "watchers")

    def __init__(self, locker: OneBoxLocker, local: InProcessLease, fence: int) -> None:
        self.id = local.id
        self.fence = fence
        self.doubt: int | None = None
        self.lost = False
        self.upload: Upload | None = None
        self.over = False
        # Other processes that wait for the end; made when one does.
        self.watchers: set[int] | None = None
        self._local = local
        self._locker = locker

    def on_request(self, callback: Callable[[], None]) -> None:
        self._local.on_request(callback)

    async def release(self) -> None:
        self.end()

    def ended(self) -> None:
        self.end()

    def end(self) -> None:
        """Release, without waiting for anything."""
        if not self.over:
            self.over = True
            self._locker.released(self, heir=bool(self._local.waiting))
            self._local.end()

    def request(self, watcher: int) -> None:
        """Tell the holder that `watcher`, another process, waits for its end."""
        if self.watchers is None:
            self.watchers = set()
        self.watchers.add(watcher)
        self._local.request()


class OneBoxLocker:
    """Leases of one process among others on the same folder.

    Parameters:
        ranges: the locks that all of the processes share.
        next_fence: gives a number above all that it gave before, in any of the processes.
        post: how the processes tell each other.
    """

    def __init__(self, ranges: RangeLocks, next_fence: Callable[[], int], post: Post) -> None:
        self._ranges = ranges
        self._next_fence = next_fence
        self._post = post
        # Who has a lease of it has the right to ask the other processes.
        self._local = InProcessLocker()
        self._held: dict[str, OneBoxLease] = {}
        self._waiting: dict[str, set[asyncio.Future[bool]]] = {}
        self._courteous: set[str] = set()
        post.on(WANTED, self._wanted)
        post.on(FREED, lambda _, id: self._wake(id, freed=True))
        post.on(NOT_HERE, lambda _, id: self._wake(id, freed=False))

    @classmethod
    def open(cls, folder: Path, next_fence: Callable[[], int], post: Post) -> OneBoxLocker:
        """A locker for the processes that share `folder`, on a local disk; made when it is not there.

        Raises:
            Unavailable: it cannot be used.
        """
        return cls(RangeLocks(folder), next_fence, post)

    def close(self) -> None:
        """Give up every lease. Safe to repeat."""
        self._ranges.close()

    @property
    def held(self) -> int:
        """How many leases of this process are in force."""
        return len(self._held)

    async def acquire(self, id: str, wait: float) -> OneBoxLease:
        deadline = asyncio.get_running_loop().time() + wait
        local = await self._local.acquire(id, wait)
        try:
            if id in self._courteous:
                await asyncio.sleep(COURTESY_SECONDS)
            if not self._ranges.take(id):
                await self._contend(id, wait, deadline, lambda _: self._ranges.take(id))
        except BaseException:
            local.end()
            raise
        return self._grant(local)

    async def try_acquire(self, id: str) -> OneBoxLease | None:
        local = await self._local.try_acquire(id)
        if local is None:
            return None
        taken = False
        try:
            taken = self._ranges.take(id)
        finally:
            if not taken:
                local.end()
        return self._grant(local) if taken else None

    async def standing(self, id: str) -> Standing:
        local = await self._local.standing(id)
        return local if local.held else Standing(self._ranges.elsewhere(id))

    async def settle(self, id: str, wait: float) -> None:
        if (await self._local.standing(id)).held:
            await self._local.settle(id, wait)
        elif self._ranges.elsewhere(id):
            deadline = asyncio.get_running_loop().time() + wait
            await self._contend(id, wait, deadline, lambda freed: freed or not self._ranges.elsewhere(id))

    def drain(self) -> None:
        self._local.drain()
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(Draining())

    def released(self, lease: OneBoxLease, *, heir: bool) -> None:
        """Let the other processes have the upload of a lease that is over; `heir`: somebody waits here, too."""
        del self._held[lease.id]
        self._ranges.give(lease.id)
        for watcher in lease.watchers or ():
            self._post.send(watcher, FREED + lease.id.encode())
        if heir and lease.watchers:
            self._courteous.add(lease.id)
            asyncio.get_running_loop().call_later(COURTESY_SECONDS, self._courteous.discard, lease.id)

    def _grant(self, local: InProcessLease) -> OneBoxLease:
        lease = OneBoxLease(self, local, self._next_fence())
        self._held[lease.id] = lease
        return lease

    async def _contend(self, id: str, wait: float, deadline: float, settled: Callable[[bool], bool]) -> None:
        """Ask the holder, in another process, until `settled`, which is told whether the holder has just let go."""
        loop = asyncio.get_running_loop()
        ask = True
        while True:
            if ask:
                self._post.spread(WANTED + id.encode())
            ask, freed = True, False
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, loop.time() + POLL_SECONDS)):
                    # One that never had it has nothing to be asked again; who has it now was not asked, perhaps.
                    ask = freed = await self._message(id)
            if settled(freed):
                return
            if loop.time() >= deadline:
                raise Locked(f"Another request has been using this upload for more than {wait:g} s; try again")

    async def _message(self, id: str) -> bool:
        """Wait for a message about an id; gives whether its holder has let go."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(id, set())
        waiting.add(future)
        try:
            return await future
        finally:
            waiting.discard(future)
            if not waiting:
                self._waiting.pop(id, None)

    def _wake(self, id: bytes, *, freed: bool) -> None:
        for future in self._waiting.get(id.decode(), ()):
            if not future.done():
                future.set_result(freed)

    def _wanted(self, sender: int, id: bytes) -> None:
        lease = self._held.get(id.decode())
        if lease is None:
            self._post.send(sender, NOT_HERE + id)
        else:
            lease.request(sender)
