"""What is gathered for the next part of one append: its bytes in slabs, and the tail whose bytes come first.

Bytes that are in a tail already go into the next part again, so the buffer begins with them. While they are not in it
the tail is *parked*: they come back from the record, from the memory of recent tails or from the tail's object once
more bytes have come, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tusfleet.datastores.s3.buffer import Buffer, Load
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.placement import Tail
from tusfleet.datastores.s3.slabs import Slab
from tusfleet.uploads.ports import ByteStream

GATHER_SECONDS = 0.02
"""How long bytes may gather for which there is room: a sender of 50 MB/s fills 1 MiB."""


class Loading:
    """The buffer of one append.

    Parameters:
        means: of the store.
        workshop: that of the upload.
        tail: of the record.
        ring: is called when there may be something to do.

    `since` is when the first byte came that is in the buffer and in no tail (seconds of the loop); `told` is how many
    bytes of the buffer are in a tail too.
    """

    __slots__ = ("_line", "_means", "_ring", "_workshop", "buffer", "holder", "parked", "since", "told")

    def __init__(self, means: Means, workshop: Workshop, tail: Tail | None, ring: Callable[[], None]) -> None:
        self._means = means
        self._workshop = workshop
        self._ring = ring
        self._line: asyncio.Future[list[Slab]] | None = None
        self.holder = means.pool.holder(ring)
        self.buffer = Buffer(self.holder, workshop.kind, means.pool.slab_bytes)
        self.parked = tail
        self.told = 0
        self.since: float | None = None

    @property
    def size(self) -> int:
        """Bytes of the tail and after it."""
        return self.buffer.size if self.parked is None else self.parked.size

    @property
    def unsafe(self) -> int:
        """Bytes in the buffer that are nowhere else."""
        return self.buffer.size - self.told

    @property
    def idle(self) -> bool:
        """Whether it holds nothing, and waits for nothing."""
        return self.buffer.empty and self._line is None

    async def take(self, stream: ByteStream, most: int) -> int:
        """Copy at most so many bytes of the stream into the room there is; give how many, 0 at its end."""
        size = 0
        for chunk in await stream.read(most, GATHER_SECONDS):
            size += self.buffer.write(chunk)
        if size and self.since is None:
            self.since = asyncio.get_running_loop().time()
        return size

    def room(self, size: int) -> bool:
        """Whether there is room for `size` more bytes; if not, it is waited for from now on."""
        count = self.buffer.slabs_for(size)
        if self._line is None and count:
            slabs = self.holder.take(count)
            if slabs is not None:
                self.buffer.grow(slabs)
                return True
            self._line = self.holder.wait(count)
            self._line.add_done_callback(lambda _: self._ring())
        if self._line is not None:
            if not self._line.done():
                return False
            self.buffer.grow(self._line.result())
            self._line = None
        return True

    def leave_line(self) -> None:
        """Wait for no memory any more."""
        line, self._line = self._line, None
        if line is not None:
            self.holder.abandon(line)

    async def take_back(self, bucket: str, tail: Tail, more: int) -> bool:
        """Put the bytes of the tail at the beginning of the buffer; False when there is no room yet.

        With room for the `more` that come after it: somebody else may need the memory the next moment, and whoever has
        to put a tail away that is no longer than before has got nowhere.
        """
        if tail.key is None or self._line is not None or not self._means.cache.restore(tail.key, self.buffer):
            if not self.room(tail.size + more):
                return False
            await self._workshop.read_tail(bucket, tail, self.buffer)
        self.told = tail.size
        self.parked = None
        return True

    def park(self, tail: Tail, *, keep: bool = True) -> None:
        """Hold none of the bytes, which are all in the tail; they are kept for later while nobody needs their room."""
        if keep and tail.key is not None and self.buffer.size == tail.size:
            self._means.cache.keep(tail.key, self.buffer)
        self.clear()
        self.parked = tail
        self._ring()  # what has come may have waited for the room

    def safe(self) -> None:
        """Take note that all bytes are in a tail too."""
        self.told = self.buffer.size
        self.since = None

    def detach(self) -> Load:
        """Take all bytes out, to be sent."""
        load = self.buffer.detach()
        self.clear()
        return load

    def clear(self) -> None:
        """Give everything back."""
        self.buffer.clear()
        self.told = 0
        self.since = None


async def loaded(means: Means, workshop: Workshop, bucket: str, tail: Tail) -> Load:
    """The bytes of a tail in slabs, for whoever sends them and releases the load then.

    Raises:
        DataLost, StoreFull, Unavailable: see `Workshop.read_tail`.
    """
    holder = means.pool.holder(lambda: None)
    buffer = Buffer(holder, workshop.kind, means.pool.slab_bytes)
    try:
        if tail.key is None or not means.cache.restore(tail.key, buffer):
            await reserve(buffer, tail.size)
            await workshop.read_tail(bucket, tail, buffer)
        return buffer.detach()
    finally:
        buffer.clear()


async def reserve(buffer: Buffer, size: int) -> None:
    """Wait for room for `size` bytes."""
    count = buffer.slabs_for(size)
    if not count:
        return
    waiting = buffer.holder.wait(count)
    try:
        buffer.grow(await waiting)
    except asyncio.CancelledError:
        buffer.holder.abandon(waiting)
        raise
