"""Reads HTTP/1.1 messages off a stream as they are, byte for byte, for a proxy that changes none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE_BYTES = 256 * 1024
"""Bodies move in pieces of at most this size."""

HEAD_BYTES = 64 * 1024
"""Longest head of a message."""

_HEAD_END = b"\r\n\r\n"
_BODILESS = {204, 304}
_LAST_CHUNK = 0


class Broken(Exception):
    """The other side ended in the middle of a message, or what it sent is no HTTP."""


@dataclass
class Head:
    """The first lines of a message: `raw` as they came, the header fields by their name in lower case."""

    raw: bytes
    words: list[str]
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.words[1])

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.fields.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int | None:
        """Bytes of the body, where they are declared."""
        return int(self.fields["content-length"]) if "content-length" in self.fields else None

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.fields.get("connection", "").lower() == "close"


async def read_head(stream: asyncio.StreamReader) -> Head | None:
    """The next head; None when the stream ends where one could begin. Raises Broken."""
    try:
        raw = await stream.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise Broken("the stream ended in a head") from ended
        return None
    except (asyncio.LimitOverrunError, OSError) as failure:
        raise Broken(str(failure)) from failure
    first, *lines = raw.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return Head(raw, first.split(" ", 2), fields)


def request_body(stream: asyncio.StreamReader, head: Head) -> AsyncIterator[bytes]:
    """The body of a request as it is on the wire, chunk sizes and all. Raises Broken."""
    return _chunks(stream) if head.chunked else _counted(stream, head.length or 0)


def ends_with_connection(head: Head, method: str) -> bool:
    """Whether the connection ends with this response to `method`, or has to for its body to end."""
    endless = head.length is None and not head.chunked
    return head.closes or (endless and not _is_bodiless(head, method))


def response_body(stream: asyncio.StreamReader, head: Head, method: str) -> AsyncIterator[bytes]:
    """The body of a response to `method` as it is on the wire. Raises Broken."""
    if _is_bodiless(head, method):
        return _counted(stream, 0)
    if head.chunked:
        return _chunks(stream)
    return _until_end(stream) if head.length is None else _counted(stream, head.length)


def _is_bodiless(head: Head, method: str) -> bool:
    return method == "HEAD" or head.status in _BODILESS or head.status < 200


async def _counted(stream: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        piece = await _some(stream, min(left, PIECE_BYTES))
        left -= len(piece)
        yield piece


async def _chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await _line(stream)
        yield line
        size = int(line.partition(b";")[0], 16)
        if size == _LAST_CHUNK:
            break
        async for piece in _counted(stream, size):
            yield piece
        yield await _line(stream)
    # Trailer fields, then an empty line.
    while True:
        line = await _line(stream)
        yield line
        if line == b"\r\n":
            return


async def _until_end(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await stream.read(PIECE_BYTES):
        yield piece


async def _some(stream: asyncio.StreamReader, most: int) -> bytes:
    try:
        piece = await stream.read(most)
    except OSError as failure:
        raise Broken(str(failure)) from failure
    if not piece:
        raise Broken("the stream ended in a body")
    return piece


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as failure:
        raise Broken(str(failure)) from failure
