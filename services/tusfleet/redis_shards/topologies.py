"""One server, the master that Sentinels name, or the masters of a Cluster: which of them a key is on."""

from __future__ import annotations

from typing import Protocol

from redis.asyncio.connection import AbstractConnection

from tusfleet.redis_shards.access import RedisAccess, Target, Topology
from tusfleet.redis_shards.cluster import Cluster
from tusfleet.redis_shards.failures import Failure
from tusfleet.redis_shards.lanes import Durability, Lane
from tusfleet.redis_shards.pools import Pooled, pool
from tusfleet.redis_shards.sentinels import Sentinels, sentinel_pool


class Servers(Protocol):
    """The servers of one store."""

    async def lane(self, key: str) -> Lane:
        """The way to the server that has `key`.

        Raises:
            FAILURES: it is not known, and nobody tells.
        """
        ...

    async def learn(self, error: Failure) -> Lane | None:
        """Draw the conclusions from a failure; give the lane that is to be used once instead, if there is one."""
        ...

    async def listener(self) -> AbstractConnection:
        """A connection of its own to a server that passes on messages.

        Raises:
            FAILURES: there is none to be had.
        """
        ...

    async def close(self) -> None:
        """End all connections."""
        ...


def servers_of(access: RedisAccess, target: Target) -> Servers:
    """The servers that a URL names; nothing is connected yet."""
    if target.topology is Topology.CLUSTER:
        return Cluster(access, target)
    if target.topology is Topology.SENTINEL:
        # Asking the Sentinels, of which some may not answer, comes in front of the connection itself.
        sentinels = Sentinels(access, target)
        pooled = Pooled(sentinel_pool(access, target, sentinels), access.connect_timeout * (1 + len(target.hosts)))
        return _Single(access, pooled, sentinels)
    host, port = target.hosts[0] if target.hosts else ("", 0)
    return _Single(access, Pooled(pool(access, target, host, port), access.connect_timeout))


class _Single:
    """One server at a time."""

    def __init__(self, access: RedisAccess, server: Pooled, sentinels: Sentinels | None = None) -> None:
        self._server = server
        self._sentinels = sentinels
        self._lane = Lane(server, access.timeout, Durability(access.wait_replicas, access.wait_timeout))

    async def lane(self, key: str) -> Lane:  # noqa: ARG002 - there is one
        return self._lane

    async def learn(self, error: Failure) -> Lane | None:  # noqa: ARG002 - the next connection finds the server anew
        return None

    async def listener(self) -> AbstractConnection:
        return await self._server.connect()

    async def close(self) -> None:
        await self._lane.close()
        if self._sentinels is not None:
            await self._sentinels.close()
