"""Request bodies as byte streams, over any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.ports import ByteStream
from tusfleet.uploads.streams import parted

EXTENSION = "tusfleet.body"
"""Where our own protocol class leaves the body it reads without copies."""


def request_body(scope: Any, receive: Callable[[], Awaitable[Any]], idle_timeout: float) -> ByteStream:
    """The body of a request: the server's own stream when it has one, otherwise one over `receive`.

    Called in the task that answers the request; when that task ends, so does whatever the stream has started.

    Parameters:
        scope: of an HTTP request (ASGI).
        receive: gives its messages.
        idle_timeout: longest pause in seconds.
    """
    native = scope.get("extensions", {}).get(EXTENSION)
    if native is not None:
        native.idle_timeout = idle_timeout
        stream: ByteStream = native
        return stream
    body = AsgiBody(receive, idle_timeout)
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(lambda _: body.close())
    return body


class AsgiBody:
    """A body over plain ASGI messages; for servers that are not ours.

    A message that is waited for in vain is waited for by the next `read`: to cancel `receive` may lose bytes.
    """

    def __init__(self, receive: Callable[[], Awaitable[Any]], idle_timeout: float) -> None:
        self._receive = receive
        self._idle_timeout = idle_timeout
        self._chunks: list[bytes] = []
        self._size = 0
        self._ending: BodyEnd | None = None
        self._pending: asyncio.Task[None] | None = None
        self.end: BodyEnd | None = None

    async def read(self, want: int, wait: float) -> list[bytes]:
        if await self.coming() and wait > 0:
            await self._gather(want, wait)
        chunks, self._chunks = parted(self._chunks, want)
        self._size -= sum(map(len, chunks))
        if not chunks:
            self.end = self._ending
        return chunks

    async def coming(self) -> int:
        if not await self._gather(1, self._idle_timeout):
            self._finish(BodyEnd.STALLED)
        return self._size

    def interrupt(self) -> None:
        self._finish(BodyEnd.INTERRUPTED)

    def close(self) -> None:
        """Wait for no more messages; what has not been read is lost."""
        self._finish(BodyEnd.INTERRUPTED)

    def _finish(self, end: BodyEnd) -> None:
        if self._ending is None:
            self._ending = end
        if self._pending is not None:
            self._pending.cancel()

    async def _gather(self, want: int, seconds: float) -> bool:
        """Take messages until `want` bytes or the end are there; tell whether that happened in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._size < want and self._ending is None:
            if self._pending is None:
                self._pending = loop.create_task(self._take())
            # No name may hold the message while the client is silent: it holds the bytes.
            await asyncio.wait((self._pending,), timeout=max(0.0, deadline - loop.time()))
            if not self._pending.done():
                return False
            task, self._pending = self._pending, None
            if not task.cancelled():
                task.result()
        return True

    async def _take(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._ending = self._ending or BodyEnd.CUT
            return
        if chunk := message.get("body", b""):
            self._chunks.append(chunk)
            self._size += len(chunk)
        if not message.get("more_body", False):
            self._ending = self._ending or BodyEnd.COMPLETE
