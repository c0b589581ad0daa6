"""Gateways on a Redis of the tests, and a way to it on which answers get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from tusfleet.infostores.redis import RedisInfoStore
from tusfleet.lockers.redis import RedisLocker
from tusfleet.observability.metrics import Metrics
from tusfleet.redis_shards.access import RedisAccess
from tusfleet.redis_shards.shards import Shards, open_shards

TTL = 1.0
"""Seconds of a lease in the tests."""

RENEW_EVERY = 0.3

SOON = 10.0
"""Seconds in which a thing that must happen has happened."""

_numbers = count()


@dataclass(frozen=True)
class Gateway:
    """The info store and the locker of one gateway."""

    shards: Shards
    info: RedisInfoStore
    locker: RedisLocker
    metrics: Metrics

    def count(self, name: str, **labels: str) -> float:
        """The value of one of its metrics."""
        return self.metrics.registry.get_sample_value(f"tusfleet_{name}", labels) or 0.0


@asynccontextmanager
async def gateway_at(
    url: str, *, ttl: float = TTL, renew_every: float = RENEW_EVERY, **options: Any
) -> AsyncIterator[Gateway]:
    """One more gateway of the store at `url`; other options are those of `RedisAccess`."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        shards = await open_shards(RedisAccess(url, **options), f"gateway-{next(_numbers)}", metrics=metrics)
        stack.push_async_callback(shards.close)
        opened = RedisLocker.open(shards, ttl=ttl, renew_every=renew_every, metrics=metrics)
        locker = await stack.enter_async_context(opened)
        await asyncio.wait_for(locker.listening(), SOON)
        yield Gateway(shards, RedisInfoStore(shards), locker, metrics)


async def until(condition: Callable[[], Awaitable[object]], seconds: float = SOON) -> None:
    """Wait until `condition` is true; an AssertionError when it is not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await condition():
        assert loop.time() < deadline, f"this did not come true within {seconds:g} s"
        await asyncio.sleep(0.02)


class LossyWay:
    """A TCP proxy in front of one Redis that can swallow answers.

    `lose` is the number of answers to lose: each is read from Redis, and the connection is cut instead.
    """

    def __init__(self, port: int) -> None:
        self.lose = 0
        self.lost = 0
        self.url = ""
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[LossyWay]:
        """A way to the Redis at `port` of this machine."""
        way = cls(port)
        server = await asyncio.start_server(way._accept, "127.0.0.1", 0)
        way.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield way
        finally:
            server.close()
            for task in list(way._tasks):
                task.cancel()
            await asyncio.gather(*way._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(_copy(reader, requests))
        with suppress(ConnectionError, asyncio.CancelledError):
            while data := await answers.read(65536):
                if self.lose:
                    self.lose -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        there.cancel()
        await asyncio.gather(there, return_exceptions=True)
        requests.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
