"""A plain round-robin proxy in front of several servers: the next connection goes to the next one that accepts.

`python -m tests.testbed.round_robin PORT BACKEND_PORT...` runs it until it is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_PIECE_BYTES = 256 * 1024
_STOP_SECONDS = 10.0


class RoundRobin:
    """The proxy on an event loop; it passes bytes on as they are.

    Parameters:
        backends: ports on 127.0.0.1.
    """

    def __init__(self, backends: Sequence[int]) -> None:
        self.backends = list(backends)
        self._turns = itertools.count()
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, port: int) -> asyncio.Server:
        """Listen on a port of 127.0.0.1; 0 takes a free one."""
        return await asyncio.start_server(self._connection, "127.0.0.1", port)

    async def close(self) -> None:
        """Cut every connection."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        backend = await self._next()
        if backend is None:
            writer.transport.abort()
            return
        onward, back = backend
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, back))
                group.create_task(_pass_on(onward, writer))
        except* OSError:
            pass  # one side was cut; the other is now
        finally:
            writer.transport.abort()
            back.transport.abort()

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self.backends:
            port = self.backends[next(self._turns) % len(self.backends)]
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@contextmanager
def round_robin(backends: Sequence[int], port: int = 0) -> Iterator[int]:
    """A proxy in a thread of its own; gives its port."""
    loop = asyncio.new_event_loop()
    proxy = RoundRobin(backends)
    thread = threading.Thread(target=loop.run_forever, name="round-robin")
    thread.start()

    async def end(server: asyncio.Server) -> None:
        server.close()
        await proxy.close()

    try:
        server = asyncio.run_coroutine_threadsafe(proxy.serve(port), loop).result(_STOP_SECONDS)
        yield server.sockets[0].getsockname()[1]
        asyncio.run_coroutine_threadsafe(end(server), loop).result(_STOP_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_SECONDS)
        loop.close()


async def _forever(port: int, backends: Sequence[int]) -> None:
    async with await RoundRobin(backends).serve(port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_forever(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
