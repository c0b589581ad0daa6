"""One request body on its way into one upload: what is read when, and what time, memory and the end ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from tusfleet.datastores.s3.flight import ended
from tusfleet.datastores.s3.outgoing import Means, Outgoing
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.models import Checkpoint, Upload
from tusfleet.uploads.ports import ByteStream, Pump, Tentative

BATCH_BYTES = 1024 * 1024
"""Bytes asked of the stream at a time."""

GATHER_SECONDS = 0.02
"""How long a batch may gather: a sender of 50 MB/s fills it, and a slow one holds no memory for longer."""

PATIENCE = 5
"""Intervals after which bytes that are too many for the record deserve a request to S3 of their own: at a pause of a
second on a bad line none is made, and a client that is silent for longer holds no memory."""

SMALL_INLINE = 8 * 1024
"""A silent connection may hold a tail of so many bytes, which its record has; a larger one is put into an object."""

FREQUENT_INLINE = 16 * 1024
"""Up to this size a tail in the record is written anew every interval, above only when it has grown by a quarter: what
is written stays in proportion to what arrives."""


class Appending:
    """The bytes of one `append`, as the stream gives them.

    Parameters:
        means: of the store.
        upload: the record, with the fence of its lease.
        stream: the bytes.
        nonce: makes the names of this append's tails its own.

    Raises:
        DataLost, TooLarge: see `DataStore.append`.
    """

    __slots__ = (
        "_arrived",
        "_bell",
        "_inline_max",
        "_interval",
        "_loop",
        "_out",
        "_reading",
        "_stream",
        "_tentative",
    )  # fmt: skip

    def __init__(self, means: Means, upload: Upload, stream: ByteStream, nonce: str) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._tentative = isinstance(stream, Tentative) and stream.tentative
        self._interval = means.options.checkpoint_interval
        self._inline_max = means.options.tail_inline_max
        self._out = Outgoing(means, upload, nonce, self._bell.set, tentative=self._tentative)
        self._reading: asyncio.Task[Sequence[bytes]] | None = None
        # When the last byte came (seconds of the loop).
        self._arrived = self._loop.time()

    async def checkpoints(self) -> AsyncGenerator[Checkpoint, None]:
        """Store everything, and tell of it in order. Whoever iterates closes the appending in the end."""
        out = self._out
        try:
            while True:
                self._bell.clear()
                checkpoint = await self._next()
                if checkpoint is not None:
                    yield checkpoint
                    # A silent client would hold what is in it.
                    checkpoint = None
                    out.committed()
                elif out.done:
                    return
                elif not self._bell.is_set():
                    await self._something()
        except UploadError:
            await out.give_up()
            raise

    async def close(self) -> None:
        """Let go of everything; nothing is under way any more when it returns."""
        try:
            tasks: list[asyncio.Task[Any]] = [*self._out.tasks]
            if self._reading is not None:
                tasks.append(self._reading)
            await ended(tasks)
        finally:
            await self._out.close()

    async def _next(self) -> Checkpoint | None:
        """Do whatever can be done without waiting for the client; a checkpoint, if there is one by then."""
        out = self._out
        checkpoint = out.progress()
        if checkpoint is None:
            out.check()
            await out.fill()
            out.check()
            if not out.busy:
                checkpoint = await self._put_away()
        if checkpoint is None:
            out.check()
        return checkpoint

    async def _put_away(self) -> Checkpoint | None:
        """Do what the end, the memory or the time asks for; a checkpoint when that was done at once."""
        out = self._out
        over = out.ended and not out.pending
        note = out.note(wanted=over or out.holder.pressed)
        if note is not None:
            return note
        if over:
            return await out.conclude()
        if out.holder.pressed:
            return out.store_rest()
        return self._in_time()

    def _in_time(self) -> Checkpoint | None:
        out, now = self._out, self._loop.time()
        silent = now >= self._arrived + self._interval
        if out.since is None:
            if silent and not out.under_way:
                out.let_go()
                if now >= self._arrived + PATIENCE * self._interval and self._burden is not None:
                    out.unburden(self._burden)
            return None
        if self._tentative or out.under_way or now < out.since + self._interval:
            return None
        size, told = out.buffer.size, out.told_tail
        if size <= self._inline_max:
            if silent or size <= FREQUENT_INLINE or size >= told + told // 4:
                return out.inline(hold=not silent)
        elif now >= out.since + PATIENCE * self._interval and (silent or size >= 2 * told):
            return out.store_rest()
        return None

    @property
    def _burden(self) -> bytes | None:
        """Bytes of a tail in the record, if they are more than a silent connection may cost."""
        parked = self._out.parked
        if parked is None or parked.size <= SMALL_INLINE or self._tentative:
            return None
        return parked.data

    async def _something(self) -> None:
        """Wait for bytes, for something that is under way, or until it is time to put bytes away."""
        out = self._out
        if out.ended or out.pending:
            await self._bell.wait()
            return
        if out.still and self._burden is None:
            await self._withdraw()
            if self._reading is None:
                # Nothing else to wait for: what a silent client holds is this one frame.
                self._take(await self._stream.read(BATCH_BYTES, GATHER_SECONDS))
                return
        reading = self._reading
        if reading is None:
            reading = self._reading = self._loop.create_task(_read(self._stream))
            reading.add_done_callback(lambda _: self._bell.set())
        due = self._due()
        timer = None if due is None else self._loop.call_at(due, self._bell.set)
        try:
            await self._bell.wait()
        finally:
            if timer is not None:
                timer.cancel()
        if reading.done():
            self._reading = None
            self._take(reading.result())

    async def _withdraw(self) -> None:
        """End a read that waits in a task of its own, where that loses nothing: a silent client would hold the task."""
        reading = self._reading
        if reading is None or reading.done() or not isinstance(self._stream, Pump):
            return
        reading.cancel()
        await asyncio.wait((reading,))
        if reading.cancelled():
            self._reading = None

    def _take(self, chunks: Sequence[bytes]) -> None:
        self._arrived = self._loop.time()
        if chunks:
            self._out.pending.extend(map(memoryview, chunks))
            self._out.holder.active()
        else:
            self._out.ended = True

    def _due(self) -> float | None:
        """When there may be something to put away, if nothing comes until then."""
        now, since = self._loop.time(), self._out.since
        starts = [self._arrived] if since is None else [self._arrived, since]
        times = [start + count * self._interval for start in starts for count in (1, PATIENCE)]
        return min((time for time in times if time > now), default=None)


async def _read(stream: ByteStream) -> Sequence[bytes]:
    return await stream.read(BATCH_BYTES, GATHER_SECONDS)
