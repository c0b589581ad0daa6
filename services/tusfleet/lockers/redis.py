"""Leases in Redis, for many gateways.

A lease is a key that runs out. Its holder renews it; whoever wants the upload asks the holder through a message, and is
woken by another one when it is free. Every message may be lost: who waits looks every `poll` seconds, and a holder that
renews learns that somebody waits. All time that decides anything is that of the servers, or spans of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tusfleet.lockers._redis_held import Held
from tusfleet.lockers._redis_lease import RedisLease
from tusfleet.lockers._redis_turns import Turns
from tusfleet.lockers._redis_wakes import Wakes
from tusfleet.observability.metrics import Metrics
from tusfleet.redis_shards.messages import Messages
from tusfleet.redis_shards.records import upload_of
from tusfleet.redis_shards.scripts import ACQUIRE, ASK, READ, RELEASE
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.errors import Draining, Locked, StoreFull, Unavailable
from tusfleet.uploads.ports import Standing

TTL = 8.0
"""Seconds after which the lease of a gateway that died is free."""

RENEW_EVERY = 2.5
"""Seconds between renewals: two may fail before a lease is lost."""

POLL = 0.25
"""Seconds after which who waits looks for itself: a message may be lost."""

EXPIRED_MARGIN = 0.005
"""Seconds beyond the end of a dead holder's lease at which it is tried: the server counts in milliseconds."""


class RedisLocker:
    """Leases of one gateway; made by `open`.

    Parameters:
        shards: the store, and the name of the gateway.
        ttl, renew_every, poll: seconds; see the constants of these names.
        metrics: where waiting is counted.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        ttl: float = TTL,
        renew_every: float = RENEW_EVERY,
        poll: float = POLL,
        metrics: Metrics | None = None,
    ) -> None:
        self._shards = shards
        self._layout = shards.layout
        self._ttl = ttl
        self._poll = poll
        self._metrics = metrics
        self._held = Held(shards, ttl, renew_every, metrics, self._give_back, self._spawn)
        self._wakes = Wakes()
        self._turns = Turns()
        self._draining = False
        self._messages = Messages(shards, self._receive)
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, shards: Shards, **options: Any) -> AsyncIterator[RedisLocker]:
        """A locker with what runs beside it: renewals, and listening for messages."""
        locker = cls(shards, **options)
        beside = [asyncio.create_task(locker._held.keep()), asyncio.create_task(locker._messages.run())]
        try:
            yield locker
        finally:
            for task in beside:
                task.cancel()
            # What is being given back is given back first: it would be held until it runs out.
            await asyncio.gather(*beside, *locker._tasks, return_exceptions=True)

    @property
    def held(self) -> int:
        """How many leases of this gateway are in force."""
        return len(self._held)

    async def listening(self) -> None:
        """Return once messages of other gateways are received."""
        await self._messages.listening.wait()

    async def acquire(self, id: str, wait: float) -> RedisLease:
        if self._draining:
            raise Draining
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + wait
        # One request of this gateway at a time asks Redis; the others stand in line behind it.
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.take(id)
        except TimeoutError:
            raise Locked(_in_use(wait)) from None
        try:
            lease, waited = await self._wait_for(id, wait, deadline)
        finally:
            self._turns.give(id)
        if self._metrics is not None and (waited or loop.time() - began > self._poll):
            self._metrics.lease_wait_seconds.observe(loop.time() - began)
        return lease

    async def _wait_for(self, id: str, wait: float, deadline: float) -> tuple[RedisLease, bool]:
        """The lease, and whether it was held by somebody else."""
        loop = asyncio.get_running_loop()
        waited = False
        with self._wakes.waiting(id) as wake:
            while True:
                if self._draining:
                    raise Draining
                wake.clear()
                got = await self._attempt(id, asks=True)
                if isinstance(got, RedisLease):
                    return got, waited
                waited = True
                self._held.request_id(id)
                if loop.time() >= deadline:
                    raise Locked(_in_use(wait))
                await wake.within(min(self._poll, got + EXPIRED_MARGIN, deadline - loop.time()))

    async def try_acquire(self, id: str) -> RedisLease | None:
        if self._draining:
            return None
        got = await self._attempt(id, asks=False)
        return got if isinstance(got, RedisLease) else None

    async def standing(self, id: str) -> Standing:
        start = self._layout.start(self._layout.shard(id))
        keys = [f"{start}u:{id}", f"{start}parts:{id}", f"{start}lease:{id}"]
        record, held = await self._shards.run(READ, keys, [0])
        return Standing(bool(held), upload_of(id, *record) if record else None)

    async def settle(self, id: str, wait: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        seen = ""
        with self._wakes.waiting(id) as wake:
            while True:
                wake.clear()
                arguments = [self._layout.channels, self._shards.gateway, seen]
                seen, left = await self._shards.run(ASK, [self._lease_key(id)], arguments)
                if not seen:
                    return
                self._held.request_id(id)
                if loop.time() >= deadline:
                    raise Locked(_in_use(wait))
                await wake.within(min(self._poll, left / 1000 + EXPIRED_MARGIN, deadline - loop.time()))

    def drain(self) -> None:
        self._draining = True
        self._held.request_all()
        self._turns.end(Draining)
        self._wakes.wake_all()

    def forget(self, lease: RedisLease) -> None:
        """Take note that a lease is over."""
        self._held.forget(lease)
        self._wakes.wake(lease.id)

    async def give_back(self, lease: RedisLease) -> None:
        """Give a lease back; one that Redis does not take runs out by itself."""
        self._held.drop(lease)
        task = self._spawn(self._give_back(lease.id, lease.token, lease.fence))
        try:
            await asyncio.shield(task)
        finally:
            self.forget(lease)

    async def _give_back(self, id: str, token: str, fence: int | None) -> None:
        start = self._layout.start(self._layout.shard(id))
        arguments = [self._layout.channels, id, token, "" if fence is None else fence]
        try:
            await self._shards.run(RELEASE, [f"{start}lease:{id}", f"{start}u:{id}"], arguments)
        except (Unavailable, StoreFull):
            # What was committed is committed; the next one waits for the end of the lease.
            return

    async def _attempt(self, id: str, *, asks: bool) -> RedisLease | float:
        """The lease; or for how many seconds at most another one is in force."""
        task = self._spawn(self._ask_redis(id, asks=asks))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The lease may be granted all the same, and nobody would release it.
            self._beside(_return(task))
            raise

    async def _ask_redis(self, id: str, *, asks: bool) -> RedisLease | float:
        token = self._shards.token()
        start = self._layout.start(self._layout.shard(id))
        keys = [f"{start}u:{id}", f"{start}parts:{id}", f"{start}lease:{id}", f"{start}fence"]
        arguments: list[str | int] = [
            self._layout.channels,
            token,
            self._shards.gateway,
            int(self._ttl * 1000),
            int(asks),
        ]
        # Counted from before the request: the server keeps it for at least as long.
        good_until = asyncio.get_running_loop().time() + self._ttl
        try:
            word, value, *rest = await self._shards.run(ACQUIRE, keys, arguments)
        except Unavailable:
            # Its answer may be what got lost.
            self._beside(self._give_back(id, token, None))
            raise
        if word == "held":
            return max(int(value), 0) / 1000
        record, before, doubt = rest
        upload = replace(upload_of(id, *record), follows=int(before), doubt=int(doubt)) if record else None
        lease = RedisLease(self, id, token, int(value), int(doubt), upload, good_until)
        self._held.add(lease)
        if self._draining:
            await lease.release()
            raise Draining
        return lease

    def _receive(self, word: str, about: str) -> None:
        if word == "ask":
            self._held.request(self._held.by_token.get(about))
        elif word == "free":
            self._wakes.wake(about)

    def _lease_key(self, id: str) -> str:
        return self._layout.key(self._layout.shard(id), f"lease:{id}")

    def _beside(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something for which nobody waits."""
        _ = self._spawn(work)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _return(task: asyncio.Task[RedisLease | float]) -> None:
    """Give a lease back that comes after nobody wants it any more."""
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, RedisLease):
        await outcome.release()


def _in_use(wait: float) -> str:
    return f"Another request has been using this upload for more than {wait:g} s; try again"
