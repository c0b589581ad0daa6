"""A way to a Redis on which everything is counted: what goes there, what comes back, and how often somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields

_PIECE_BYTES = 2**20
"""Larger than any request here, so that one of them is not taken for two."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over the wire.

    Parameters:
        round_trips: requests, or pipelines of them, that an answer came to; some may have been under way together.
        sent: bytes to Redis.
        received: bytes from it.
    """

    round_trips: int = 0
    sent: int = 0
    received: int = 0

    def __sub__(self, earlier: Traffic) -> Traffic:
        return Traffic(*(getattr(self, one.name) - getattr(earlier, one.name) for one in fields(Traffic)))


class Tap:
    """A TCP proxy in front of one Redis on this machine; made by `to`."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._round_trips = self._sent = self._received = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Tap]:
        """A way to the Redis at `port` of 127.0.0.1."""
        tap = cls(port)
        server = await asyncio.start_server(tap._accept, "127.0.0.1", 0)
        tap.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield tap
        finally:
            server.close()
            for task in list(tap._tasks):
                task.cancel()
            await asyncio.gather(*tap._tasks, return_exceptions=True)

    @property
    def traffic(self) -> Traffic:
        """All of it so far."""
        return Traffic(self._round_trips, self._sent, self._received)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            # The end of the tap ends it; asyncio would tell of that as of a fault.
            with suppress(asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
        awaited = False

        async def there() -> None:
            nonlocal awaited
            with suppress(ConnectionError):
                while data := await reader.read(_PIECE_BYTES):
                    self._sent += len(data)
                    awaited = True
                    requests.write(data)
                    await requests.drain()
            requests.close()

        asking = asyncio.create_task(there())
        try:
            with suppress(ConnectionError):
                while data := await answers.read(_PIECE_BYTES):
                    self._received += len(data)
                    self._round_trips += awaited
                    awaited = False
                    writer.write(data)
                    await writer.drain()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            requests.close()
