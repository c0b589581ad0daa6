"""Asking Sentinels for the master, once for all who want to know it at the same time."""

from __future__ import annotations

import asyncio

from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from tusfleet.redis_shards.access import (
    Credentials,
    RedisAccess,
    Target,
    connection_options,
    sentinel_options,
)


class Sentinels(Sentinel):
    """The Sentinels of one service.

    redis-py moves the one that answered to the front of its list; two that ask at the same time put one there twice,
    and another one is lost.
    """

    def __init__(self, access: RedisAccess, target: Target) -> None:
        options = sentinel_options(access, target)
        super().__init__(target.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        self._credentials: Credentials | None = options.get("credential_provider")
        self._asking: asyncio.Task[tuple[str, int]] | None = None

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The address of the master."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(service_name))
            self._asking.add_done_callback(_heard)
        return await asyncio.shield(self._asking)

    async def _ask(self, service_name: str) -> tuple[str, int]:
        if self._credentials is not None:
            # Tells what is wrong with a file. Within a connection, the client would go on with it half made.
            self._credentials.get_credentials()
        found: tuple[str, int] = await super().discover_master(service_name)
        return found

    async def close(self) -> None:
        """End what is under way, and the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        for client in self.sentinels:
            await client.aclose()


def _heard(asking: asyncio.Task[tuple[str, int]]) -> None:
    """Those who asked may all have given up by the time it fails."""
    if not asking.cancelled():
        asking.exception()


def sentinel_pool(access: RedisAccess, target: Target, sentinels: Sentinels) -> SentinelConnectionPool:
    """What makes connections to the master that the Sentinels name when it is connected to."""
    kind = SentinelManagedSSLConnection if target.tls else SentinelManagedConnection
    options = connection_options(access, target) | {"connection_class": kind, "db": target.database}
    return SentinelConnectionPool(target.service, sentinels, **options)  # type: ignore[no-untyped-call]
