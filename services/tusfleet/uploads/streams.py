"""What stands between a request body and the data store: limits and digests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tusfleet.uploads.checksums import Hasher
from tusfleet.uploads.errors import BadRequest, StoreFull, UploadError
from tusfleet.uploads.intents import Checksum
from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.ports import ByteStream, is_tentative

HASH_INLINE_BYTES = 64 * 1024
"""Fewer bytes than this are hashed on the loop: it takes less time than handing them to a thread."""


class HashedStream:
    """A stream whose bytes are digested on their way; the read that gives its end checks them.

    Parameters:
        expected: the checksum that the client announced, asked for at the end; None when it never told.
    """

    def __init__(self, stream: ByteStream, hasher: Hasher, expected: Callable[[], Checksum | None]) -> None:
        self._stream = stream
        self._hasher = hasher
        self._expected = expected
        self._verified = False

    @property
    def end(self) -> BodyEnd | None:
        return self._stream.end

    @property
    def tentative(self) -> bool:
        """True: nothing counts before the digest was right."""
        return True

    async def read(self, want: int, wait: float) -> Sequence[bytes]:
        chunks = await self._stream.read(want, wait)
        if sum(map(len, chunks)) <= HASH_INLINE_BYTES:
            self._hasher.update(chunks)
        else:
            await asyncio.to_thread(self._hasher.update, chunks)
        if not chunks and self._stream.end is BodyEnd.COMPLETE:
            await self.verify()
        return chunks

    async def coming(self) -> int:
        return await self._stream.coming()

    async def verify(self) -> None:
        """Compare all bytes of a complete body with what the client announced.

        Raises:
            ChecksumMismatch: the bytes are others.
            BadRequest: the announced trailer did not come.
        """
        if self._verified:
            return
        expected = self._expected()
        if expected is None:
            raise BadRequest("A trailer Upload-Checksum was announced and did not come; nothing was kept")
        await asyncio.to_thread(self._hasher.check, expected)
        self._verified = True

    def interrupt(self) -> None:
        self._stream.interrupt()


class LimitedStream:
    """A stream that gives at most `limit` bytes.

    Parameters:
        limit: most bytes it gives, None without a limit.
        excess: the error when there are more; it is raised by `read`.
        allowance: asks for room for so many bytes from the beginning on, and gives for how many there is room then;
            None when room is no question.
    """

    may_exceed = True
    """See `ports.may_exceed`."""

    def __init__(
        self,
        stream: ByteStream,
        limit: int | None,
        excess: Callable[[], UploadError],
        allowance: Callable[[int], Awaitable[int]] | None = None,
    ) -> None:
        self._stream = stream
        self._left = limit
        self._excess = excess
        self._allowance = allowance
        self._given = 0
        self._room = 0
        self.full: StoreFull | None = None
        self._early: BodyEnd | None = None

    @property
    def end(self) -> BodyEnd | None:
        return self._early or self._stream.end

    @property
    def tentative(self) -> bool:
        """As that of the stream behind it."""
        return is_tentative(self._stream)

    async def read(self, want: int, wait: float) -> Sequence[bytes]:
        if self._early is not None:
            return ()
        chunks = await self._stream.read(want, wait)
        size = sum(map(len, chunks))
        if self._left is not None:
            if size > self._left:
                raise self._excess()
            self._left -= size
        return chunks if await self._has_room(size) else ()

    async def coming(self) -> int:
        return 0 if self._early is not None else await self._stream.coming()

    async def _has_room(self, size: int) -> bool:
        """Make room for `size` bytes; without it the stream ends here, and what came before is kept."""
        if self._allowance is None:
            return True
        try:
            if self._given + size > self._room:
                self._room = await self._allowance(self._given + size)
        except StoreFull as error:
            self.full = error
            self._early = BodyEnd.INTERRUPTED
            return False
        self._given += size
        return True

    def interrupt(self) -> None:
        self._stream.interrupt()


def parted(chunks: list[bytes], most: int) -> tuple[list[bytes], list[bytes]]:
    """The first `most` bytes, and the others."""
    left = most
    for number, chunk in enumerate(chunks):
        if len(chunk) > left:
            head = [*chunks[:number], chunk[:left]] if left else chunks[:number]
            return head, [chunk[left:] if left else chunk, *chunks[number + 1 :]]
        left -= len(chunk)
    return chunks, []
