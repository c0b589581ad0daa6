"""One request body on its way into one upload: what is read when, and what time, memory and the end ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from tusfleet.datastores.s3.copies import SMALL_INLINE
from tusfleet.datastores.s3.flight import ended
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.outgoing import BATCH_BYTES, Outgoing
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.models import Checkpoint, Upload
from tusfleet.uploads.ports import ByteStream, is_tentative

PATIENCE = 5
"""Intervals after which bytes that are too many for the record deserve a request to S3 of their own: at a pause of a
second on a bad line none is made, and a client that is silent for longer holds no memory."""

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
        self._tentative = is_tentative(stream)
        self._interval = means.options.checkpoint_interval
        self._out = Outgoing(means, upload, nonce, self._bell.set, tentative=self._tentative)
        self._reading: asyncio.Task[int] | None = None
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
            await out.fill(self._stream)
            out.check()
            if not out.busy:
                checkpoint = await self._put_away()
        if checkpoint is None:
            out.check()
        return checkpoint

    async def _put_away(self) -> Checkpoint | None:
        """Do what the end, the memory or the time asks for; a checkpoint when that was done at once."""
        out = self._out
        pressed = out.loading.holder.pressed
        note = out.note(wanted=out.ended or pressed)
        if note is not None:
            return note
        if out.ended:
            return await out.conclude()
        if pressed:
            return out.store_rest()
        return self._in_time()

    def _in_time(self) -> Checkpoint | None:
        out, loading, now = self._out, self._out.loading, self._loop.time()
        silent = now >= self._arrived + self._interval
        if loading.since is None:
            if silent and not out.under_way:
                out.let_go()
                if now >= self._arrived + PATIENCE * self._interval and self._burden is not None:
                    out.unburden(self._burden)
            return None
        if self._tentative or out.under_way or now < loading.since + self._interval:
            return None
        size, told = loading.buffer.size, loading.told
        if (silent or size <= FREQUENT_INLINE or size >= told + told // 4) and out.may_inline():
            return out.inline(hold=not silent)
        if now >= loading.since + PATIENCE * self._interval and (silent or size >= 2 * told):
            return out.store_rest()
        return None

    @property
    def _burden(self) -> bytes | None:
        """Bytes of a tail in the record, if they are more than a silent connection may cost."""
        parked = self._out.loading.parked
        if parked is None or parked.size <= SMALL_INLINE or self._tentative:
            return None
        return parked.data

    async def _something(self) -> None:
        """Wait for bytes, for something that is under way, or until it is time to put bytes away."""
        out = self._out
        if out.ended or out.arrived:
            await self._bell.wait()
            return
        if out.still and self._burden is None:
            await self._withdraw()
            if self._reading is None:
                # Nothing else to wait for: what a silent client holds is this one frame.
                await self._take(await self._stream.coming())
                return
        reading = self._reading
        if reading is None:
            reading = self._reading = self._loop.create_task(self._stream.coming())
            reading.add_done_callback(lambda _: self._bell.set())
        if not reading.done():  # it may have rung while a checkpoint was committed
            await self._rung()
        if reading.done():
            self._reading = None
            await self._take(reading.result())

    async def _rung(self) -> None:
        """Wait for the bell, or until it is time to put bytes away."""
        due = self._due()
        timer = None if due is None else self._loop.call_at(due, self._bell.set)
        try:
            await self._bell.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _withdraw(self) -> None:
        """End a wait in a task of its own, which a silent client would hold."""
        reading = self._reading
        if reading is None or reading.done():
            return
        reading.cancel()
        await asyncio.wait((reading,))
        if reading.cancelled():
            self._reading = None

    async def _take(self, arrived: int) -> None:
        """Take note of what the stream has; nothing is the end."""
        self._arrived = self._loop.time()
        if arrived:
            self._out.arrived = min(arrived, BATCH_BYTES)
            self._out.loading.holder.active()
        else:
            await self._stream.read(1, 0)
            self._out.ended = True

    def _due(self) -> float | None:
        """When there may be something to put away, if nothing comes until then."""
        now, since = self._loop.time(), self._out.loading.since
        starts = [self._arrived] if since is None else [self._arrived, since]
        times = [start + count * self._interval for start in starts for count in (1, PATIENCE)]
        return min((time for time in times if time > now), default=None)
