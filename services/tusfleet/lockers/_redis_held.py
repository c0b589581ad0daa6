"""The leases that one gateway holds in Redis, and what keeps them in force."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tusfleet.lockers._redis_lease import RedisLease
from tusfleet.observability.metrics import Metrics
from tusfleet.redis_shards.scripts import RENEW
from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.errors import StoreFull, Unavailable

LOOKS = 10
"""Looks at the own leases in the time between two renewals: one that has run out is told of as soon."""

LOST, IN_FORCE, WANTED = range(3)
"""What Redis answers to a renewal."""


class Held:
    """All leases of one gateway.

    Parameters:
        shards: the store, and the name of the gateway.
        ttl: seconds after which a lease that is not renewed is free.
        renew_every: seconds between renewals.
        metrics: where leases that were lost or asked for are counted.
        give_back: gives a lease back, by its id, its token and its fence.
        spawn: runs something beside.
    """

    def __init__(
        self,
        shards: Shards,
        ttl: float,
        renew_every: float,
        metrics: Metrics | None,
        give_back: Callable[[str, str, int | None], Awaitable[None]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._shards = shards
        self._ttl = ttl
        self._renew_every = renew_every
        self._metrics = metrics
        self._give_back = give_back
        self._spawn = spawn
        self.by_token: dict[str, RedisLease] = {}
        self._by_id: dict[str, RedisLease] = {}

    def __len__(self) -> int:
        return len(self.by_token)

    def add(self, lease: RedisLease) -> None:
        """Keep a lease in force from now on."""
        self.by_token[lease.token] = self._by_id[lease.id] = lease

    def drop(self, lease: RedisLease) -> None:
        """Renew a lease no more; whoever asks for its upload still asks its holder."""
        self.by_token.pop(lease.token, None)

    def forget(self, lease: RedisLease) -> None:
        """Take note that a lease is over."""
        self.drop(lease)
        if self._by_id.get(lease.id) is lease:
            del self._by_id[lease.id]

    def request(self, lease: RedisLease | None) -> None:
        """Ask the holder of a lease, if it is one of ours, to let go."""
        if lease is not None and lease.request() and self._metrics is not None:
            self._metrics.preemptions.inc()

    def request_id(self, id: str) -> None:
        """Ask our holder of an upload, if there is one, to let go."""
        self.request(self._by_id.get(id))

    def request_all(self) -> None:
        """Ask all of our holders to let go, since this gateway ends."""
        for lease in list(self.by_token.values()):
            lease.request()

    async def keep(self) -> None:
        """Renew leases until cancelled, and tell of those that have run out."""
        loop = asyncio.get_running_loop()
        renewing: asyncio.Task[None] | None = None
        next_renewal = loop.time() + self._renew_every
        while True:
            await asyncio.sleep(self._renew_every / LOOKS)
            now = loop.time()
            for lease in [lease for lease in self.by_token.values() if lease.good_until <= now]:
                self._lose(lease)
            if now >= next_renewal and (renewing is None or renewing.done()):
                next_renewal = now + self._renew_every
                renewing = self._spawn(self.renew_all())

    async def renew_all(self) -> None:
        """Renew all leases. They are given to Redis in one turn of the event loop, and so go as one pipeline."""
        await asyncio.gather(*(self._renew(lease) for lease in list(self.by_token.values())))

    async def _renew(self, lease: RedisLease) -> None:
        good_until = asyncio.get_running_loop().time() + self._ttl
        start = self._shards.layout.start(self._shards.layout.shard(lease.id))
        keys = [f"{start}u:{lease.id}", f"{start}lease:{lease.id}"]
        arguments: list[str | int] = [lease.token, self._shards.gateway, lease.fence, int(self._ttl * 1000)]
        try:
            state = await self._shards.run(RENEW, keys, arguments, patience=self._renew_every)
        except (Unavailable, StoreFull):
            return  # tried again with the next renewal, until the lease has run out
        if lease.over:
            # Released meanwhile, and perhaps made anew by the renewal that came after that.
            await self._give_back(lease.id, lease.token, lease.fence)
        elif state == LOST:
            self._lose(lease)
        else:
            lease.good_until = good_until
            if state == WANTED:
                self.request(lease)

    def _lose(self, lease: RedisLease) -> None:
        self.drop(lease)
        if lease.lost or lease.over:
            return
        if self._metrics is not None:
            self._metrics.leases_lost.inc()
        lease.lose()
