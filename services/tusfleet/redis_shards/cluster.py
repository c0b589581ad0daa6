"""The masters of a Redis Cluster, each with a lane of its own, and the map that tells which of them has a slot.

The client of redis-py would send a command again by itself when its answer was lost, and cannot wait for the replicas
of the server that has the key: here both is decided for each command by whoever gives it.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, ResponseError

from tusfleet.redis_shards.access import RedisAccess, Target
from tusfleet.redis_shards.failures import FAILURES, Failure
from tusfleet.redis_shards.lanes import Durability, Lane
from tusfleet.redis_shards.pools import Pooled, pool

Address = tuple[str, int]


class Cluster:
    """The servers of a Redis Cluster.

    Parameters:
        access: how they are reached.
        target: the servers to ask first.
    """

    def __init__(self, access: RedisAccess, target: Target) -> None:
        self._access = access
        self._target = target
        # From the first to the last slot of each range, and who has them.
        self._ranges: list[tuple[int, int, Address]] = []
        self._lanes: dict[Address, Lane] = {}
        self._looking: asyncio.Task[None] | None = None

    async def lane(self, key: str) -> Lane:
        address = self._owner(key)
        if address is None:
            await self._look()
            address = self._owner(key)
        if address is None:
            raise ClusterDownError("no server has this slot", "CLUSTERDOWN")
        return self._lane(address)

    async def learn(self, error: Failure) -> Lane | None:
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            return self._lane((error.host, error.port))
        # Other answers say nothing about who has the slot.
        if not isinstance(error, ResponseError) or isinstance(error, MovedError | ClusterDownError | ReadOnlyError):
            await self._look()
        return None

    async def listener(self) -> AbstractConnection:
        # Messages reach every server, so any will do.
        failure: Exception = ClusterDownError("no server is known", "CLUSTERDOWN")
        for address in self._known():
            try:
                return await self._server(address).connect()
            except FAILURES as error:
                failure = error
        raise failure

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            await lane.close()

    def _owner(self, key: str) -> Address | None:
        slot = key_slot(key.encode())
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return address
        return None

    def _server(self, address: Address) -> Pooled:
        return Pooled(pool(self._access, self._target, *address), self._access.connect_timeout)

    def _lane(self, address: Address) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:
            durability = Durability(self._access.wait_replicas, self._access.wait_timeout)
            lane = self._lanes[address] = Lane(self._server(address), self._access.timeout, durability)
        return lane

    def _known(self) -> list[Address]:
        known = list({*self._target.hosts, *(address for _, _, address in self._ranges)})
        # Not always the same one first: it may be cut off from the others and tell what was true once.
        random.shuffle(known)
        return known

    async def _look(self) -> None:
        """Ask the servers who has which slots; whoever wants that meanwhile shares the answer."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._ask_everybody())
        await asyncio.shield(self._looking)

    async def _ask_everybody(self) -> None:
        for address in self._known():
            try:
                ranges = await self._ask(address)
            except FAILURES:
                continue
            if ranges:
                self._ranges = ranges
                break
        owners = {address for _, _, address in self._ranges}
        for address in [address for address in self._lanes if address not in owners]:
            await self._lanes.pop(address).close()

    async def _ask(self, address: Address) -> list[tuple[int, int, Address]]:
        server = self._server(address)
        connection = await server.connect()
        try:
            async with asyncio.timeout(self._access.connect_timeout):
                await connection.send_command("CLUSTER", "SLOTS")
                answer: list[Any] = await connection.read_response()
        finally:
            await server.drop(connection)
        # A server that does not know its own address, or is the only one, leaves it out.
        return [
            (int(first), int(last), (master[0] or address[0], int(master[1]))) for first, last, master, *_ in answer
        ]
