"""One request body on its way into one file: positional writes, syncs beside them, checkpoints in time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Protocol

from tusfleet.datastores._disk import done, in_our_words, in_thread, reported, sync_data, sync_folder, write_at
from tusfleet.datastores._places import Places, own_fence, unfinished_at
from tusfleet.uploads.errors import StoreFull, UploadError
from tusfleet.uploads.models import Checkpoint, Upload
from tusfleet.uploads.ports import ByteStream, Pump, pump_of

BATCH_BYTES = 1024 * 1024
"""Bytes asked of the stream at a time: what it queues by itself, and the largest write that keeps others flowing."""

GATHER_SECONDS = 0.02
"""How long a batch may gather: a sender of 50 MB/s fills it, and a slow one holds no memory for longer."""

INLINE_BYTES = BATCH_BYTES + 256 * 1024
"""Up to this much may be written on the loop. Into the page cache 1 MiB takes 0.25 ms; to hand it to a thread costs
0.2 ms of CPU more, nearly as much as the write itself (measured: 0.24 against 0.44 CPU-s/GiB)."""

SLOW_SECONDS = 0.002
"""A write that takes longer waited for the disk, which nothing on the loop may do: it is five times what the page
cache takes for the largest."""

SLOW_FOR = 1.0
"""Seconds after a slow write in which all writes go to threads."""

SYNC_BYTES = 128 * 1024 * 1024
"""A sync begins after so many bytes, so that the last one, for which a client waits, has no second's worth to do.
Half of it gains nothing more for a fast disk, and a checkpoint is a commit."""

PUMP_SECONDS = 0.1
"""Longest time to pump while a sync runs: then it is looked at again."""

SYNC_AFTER = 0.75
"""Part of the checkpoint interval after which a sync begins; the rest is time for the sync and the commit."""


class Observer(Protocol):
    """Takes measurements; a histogram of the metrics is one."""

    def observe(self, amount: float) -> None:
        """Count one write that took `amount` seconds."""


class Pace:
    """How fast writes are at present: on the loop they run only while they do not wait for the disk."""

    def __init__(self, write_seconds: Observer | None = None) -> None:
        self._write_seconds = write_seconds
        self._slow_until = 0.0

    def observe(self, seconds: float) -> None:
        """Take note of the time of one write."""
        if seconds > SLOW_SECONDS:
            self._slow_until = perf_counter() + SLOW_FOR
        if self._write_seconds is not None:
            self._write_seconds.observe(seconds)

    def inline(self, size: int) -> bool:
        """Tell whether `size` bytes may be written on the loop."""
        return size <= INLINE_BYTES and perf_counter() >= self._slow_until


@dataclass(frozen=True, slots=True)
class Rules:
    """How bytes are written.

    Parameters:
        durable: whether bytes are synced before their checkpoint.
        interval: longest time in seconds from the arrival of a byte to its checkpoint.
        pace: shared by all writes to one disk.
    """

    durable: bool
    interval: float
    pace: Pace


class Appending:
    """The writes of one `append`.

    No write is under way while its owner holds a checkpoint; a sync may go on beside reads and writes. While nothing
    waits to become durable no descriptor is open, so that clients that are silent cost none.

    Parameters:
        in_one_piece: whether the file is placed next, if its first checkpoint is for all of its bytes: then its name
            need not become durable before.
    """

    __slots__ = (
        "_due", "_fd", "_fence", "_in_one_piece", "_ino", "_loop", "_new", "_path", "_places", "_position", "_pump",
        "_reading", "_rules", "_safe", "_stream", "_syncing", "_target", "_upload", "failure",
    )  # fmt: skip

    def __init__(self, places: Places, rules: Rules, upload: Upload, stream: ByteStream, *, in_one_piece: bool) -> None:
        self._places = places
        self._rules = rules
        self._upload = upload
        self._stream = stream
        self._pump = pump_of(stream)
        self._in_one_piece = in_one_piece
        self._fence = own_fence(upload)
        self._path = places.partial(upload.id, self._fence)
        self._loop = asyncio.get_running_loop()
        self._fd = -1
        self._new = False
        self._ino = 0
        # Bytes written, bytes the running sync is for, and bytes told of in a checkpoint.
        self._position = self._target = self._safe = upload.offset
        # When the next sync is to begin; None while everything written is covered by one.
        self._due: float | None = None
        self._reading: asyncio.Task[Sequence[bytes]] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self.failure: UploadError | None = None

    def verify(self) -> None:
        """Check that the bytes below the offset are there, before the first byte is read."""
        if self._upload.offset:
            with reported():
                os.close(self._places.open_bytes(self._path, self._upload))

    async def arrived(self) -> Sequence[bytes] | None:
        """The next bytes, nothing at the end; None when there is a sync to begin or to take note of instead."""
        idle = self._due is None and self._syncing is None
        if idle:
            self._let_go()
            await self._take_back()
            if self._reading is None:
                return await self._stream.read(self._batch(), GATHER_SECONDS)
        if self._reading is None:
            self._reading = self._loop.create_task(_read(self._stream, self._batch()))
        reading = self._reading
        if not idle:
            await self._something(reading)
            if not reading.done():
                return None
        # Idle, there is nothing else to wait for; what a silent client holds is this one frame.
        chunks = await reading
        self._reading = None
        return chunks

    def _batch(self) -> int:
        """Bytes to ask for: no more than tell whether the rest is to be pumped."""
        return BATCH_BYTES if self._pump is None else min(BATCH_BYTES, self._pump.worth)

    async def _take_back(self) -> None:
        """End a read that waits in a task of its own, where that loses nothing: a silent client would hold the task."""
        reading = self._reading
        if reading is None or reading.done() or self._pump is None:
            return
        reading.cancel()
        await asyncio.wait((reading,))
        if reading.cancelled():
            self._reading = None

    async def store(self, chunks: Sequence[bytes]) -> None:
        """Write what arrived. A full store does not raise: what fitted still gets its checkpoint."""
        try:
            if self._fd < 0:
                self._open()
            if self._rules.pace.inline(sum(map(len, chunks))):
                self._write(chunks)
            else:
                await in_thread(self._write, chunks)
        except OSError as error:
            failure = in_our_words(error)
            if not isinstance(failure, StoreFull):
                raise failure from error
            self.failure = failure
        self._written()
        if self._pump is not None and self.failure is None and sum(map(len, chunks)) >= self._pump.worth:
            await self._let_pump(self._pump)

    async def _let_pump(self, pump: Pump) -> None:
        """Have a stream that can do so move what comes next into the file, until its sender pauses or a sync is due."""
        while self.failure is None:
            size, seconds = self._run()
            if size <= 0 or seconds <= 0:
                return
            pumped = await pump.pump(self._fd, self._position, size, seconds)
            self._position += pumped.written
            if pumped.error is not None:
                self.failure = in_our_words(pumped.error)
            self._written()
            if pumped.written < size:
                return

    def _run(self) -> tuple[int, float]:
        """How many bytes may come, and for how many seconds, before a sync has to be begun or taken note of."""
        if self._syncing is not None:
            return (0, 0) if self._syncing.done() else (SYNC_BYTES, PUMP_SECONDS)
        seconds = PUMP_SECONDS if self._due is None else self._due - self._loop.time()
        return SYNC_BYTES - (self._position - self._target), seconds

    def _written(self) -> None:
        """See when the next sync has to begin, now that more is written."""
        if self._due is None and self._position > self._target:
            self._due = self._loop.time() + self._rules.interval * SYNC_AFTER
        if self._position == self._upload.length or self._position - self._target >= SYNC_BYTES:
            self._due = self._loop.time()

    def progress(self) -> Checkpoint | None:
        """Take note of a sync that has ended, begin one that is due; a checkpoint if there is a new one."""
        if self._syncing is not None and self._syncing.done():
            return self._synced()
        if self._syncing is None and self._due is not None and self._due <= self._loop.time():
            return self._sync()
        return None

    async def settle(self) -> Checkpoint | None:
        """A checkpoint for all bytes written, unless there has been one already."""
        before = self._safe
        if self._syncing is not None:
            await self._sync_done()
        if self._position > self._safe and self._sync() is None:
            await self._sync_done()
        return self._checkpoint() if self._safe > before else None

    async def close(self) -> None:
        """Let go of everything; nothing is under way any more when it returns."""
        try:
            if self._reading is not None:
                self._reading.cancel()
                await done(self._reading)
        finally:
            try:
                if self._syncing is not None:
                    await done(self._syncing)
            finally:
                self._let_go()

    def _open(self) -> None:
        """Open the file at the position reached: what is longer is cut, what is shorter is lost."""
        if self._position:
            standing = replace(self._upload, offset=self._position)
            self._fd = self._places.open_bytes(self._path, standing, os.O_RDWR)
            found = os.fstat(self._fd)
        else:
            # New also when a writer has made it that died: nobody knows whether its name had become durable.
            self._fd, found = self._places.make_own(self._path)
            self._new = True
        self._ino = found.st_ino
        if found.st_size > self._position:
            os.ftruncate(self._fd, self._position)

    def _write(self, chunks: Sequence[bytes]) -> None:
        started = perf_counter()
        for written in write_at(self._fd, chunks, self._position):
            self._position += written
        self._rules.pace.observe(perf_counter() - started)

    async def _something(self, reading: asyncio.Task[Sequence[bytes]]) -> None:
        """Wait for bytes, for the end of the running sync, or until one is to begin.

        `asyncio.wait` does the same for 60 us a turn, a fifth of the price of the write that follows.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        timer = None
        reading.add_done_callback(wake := partial(_resolve, waiter))
        if self._syncing is not None:
            self._syncing.add_done_callback(wake)
        elif self._due is not None:
            timer = self._loop.call_at(self._due, wake)
        try:
            await waiter
        finally:
            reading.remove_done_callback(wake)
            if self._syncing is not None:
                self._syncing.remove_done_callback(wake)
            if timer is not None:
                timer.cancel()

    def _sync(self) -> Checkpoint | None:
        """Begin a sync of everything written; where syncs are not asked for, that is a checkpoint already."""
        self._due = None
        self._target = self._position
        if not self._rules.durable:
            self._safe = self._target
            return self._checkpoint()
        placed_next = self._in_one_piece and self._position == self._upload.length and not self._safe
        folder = os.path.dirname(self._path) if self._new and not placed_next else None
        self._new = False
        self._syncing = self._loop.run_in_executor(None, _sync_file, self._fd, folder)
        return None

    async def _sync_done(self) -> None:
        assert self._syncing is not None
        await asyncio.wait((self._syncing,))
        self._synced()

    def _synced(self) -> Checkpoint:
        assert self._syncing is not None
        syncing, self._syncing = self._syncing, None
        # After a sync that failed nobody knows what is on the disk: the record stays where it was.
        with reported():
            syncing.result()
        self._safe = self._target
        return self._checkpoint()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self._safe, unfinished_at(self._ino, self._fence))

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _resolve(waiter: asyncio.Future[None], *_: object) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _read(stream: ByteStream, want: int) -> Sequence[bytes]:
    return await stream.read(want, GATHER_SECONDS)


def _sync_file(fd: int, folder: str | None) -> None:
    sync_data(fd)
    if folder is not None:
        sync_folder(folder)
