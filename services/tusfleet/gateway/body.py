"""Request bodies as byte streams, over any ASGI server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.ports import ByteStream

EXTENSION = "tusfleet.body"
"""Where our own protocol class leaves the body it reads without copies."""


def request_body(scope: Any, receive: Callable[[], Awaitable[Any]], idle_timeout: float) -> ByteStream:
    """The body of a request: the server's own stream when it has one, otherwise one over `receive`.

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
    return AsgiBody(receive, idle_timeout)


class AsgiBody:
    """A body over plain ASGI messages; for servers that are not ours."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], idle_timeout: float) -> None:
        self._receive = receive
        self._idle_timeout = idle_timeout
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ending: BodyEnd | None = None
        self._pending: asyncio.Task[Any] | None = None
        self.end: BodyEnd | None = None

    async def read(self, want: int, wait: float) -> list[bytes]:
        if not self._size and self._ending is None and not await self._more(self._idle_timeout):
            self._finish(BodyEnd.STALLED)
        deadline = asyncio.get_running_loop().time() + wait
        while self._ending is None and self._size < want:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0 or not await self._more(left):
                break
        chunks = list(self._chunks)
        self._chunks.clear()
        self._size = 0
        if not chunks:
            self.end = self._ending
        return chunks

    def interrupt(self) -> None:
        self._finish(BodyEnd.INTERRUPTED)

    def _finish(self, end: BodyEnd) -> None:
        if self._ending is None:
            self._ending = end
        if self._pending is not None:
            self._pending.cancel()

    async def _more(self, timeout: float) -> bool:
        """Take messages until one brings bytes or the end; tell whether that happened in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        before = self._size
        while self._ending is None and self._size == before:
            if self._pending is None:
                self._pending = loop.create_task(_receive(self._receive))
            done, _ = await asyncio.wait([self._pending], timeout=max(0, deadline - loop.time()))
            if not done:
                return False
            task, self._pending = self._pending, None
            if not task.cancelled():
                self._take(task.result())
        return True

    def _take(self, message: Any) -> None:
        if message["type"] == "http.disconnect":
            self._ending = self._ending or BodyEnd.CUT
            return
        if chunk := message.get("body", b""):
            self._chunks.append(chunk)
            self._size += len(chunk)
        if not message.get("more_body", False):
            self._ending = self._ending or BodyEnd.COMPLETE


async def _receive(receive: Callable[[], Awaitable[Any]]) -> Any:
    return await receive()
