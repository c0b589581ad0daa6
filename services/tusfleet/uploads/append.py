"""Bytes into an upload: guard, store, commit checkpoint by checkpoint, finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace

from tusfleet.uploads.checksums import Hasher
from tusfleet.uploads.concatenate import part_finished
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import (
    BodyCut,
    BodyStalled,
    DataLost,
    Draining,
    FinalNotWritable,
    Interrupted,
    InvalidHeader,
    LengthExceeded,
    OffsetMismatch,
    StoreFull,
    TooLarge,
    UploadError,
)
from tusfleet.uploads.finish import fail, finish, finished
from tusfleet.uploads.intents import Append, Body, Checksum
from tusfleet.uploads.models import BodyEnd, Change, Checkpoint, Principal, State, Upload
from tusfleet.uploads.ports import ByteStream, Lease
from tusfleet.uploads.streams import HashedStream, LimitedStream

RESERVE_STEP = 64 * 1024 * 1024
"""Bytes set aside beyond those that are there, for an upload of unknown length in a store of bounded size."""

TrailerChecksum = Callable[[], Checksum | None]
"""Gives the checksum that came after the bytes; None when none did."""


async def append(
    context: Context, intent: Append, stream: ByteStream, principal: Principal, trailer: TrailerChecksum
) -> Upload:
    """Add the bytes of a request to an upload.

    Every byte that arrived before the body ended, however it ended, is kept; with a checksum, all or none.

    Raises:
        NotFound, Gone, FinalNotWritable, OffsetMismatch, InvalidHeader, LengthExceeded, TooLarge: nothing was changed.
        ChecksumMismatch: nothing was kept.
        BodyCut, BodyStalled, Interrupted, Draining: the body ended early; what arrived is kept.
        StoreFull, Unavailable, Locked, FenceLost: try again at the offset that HEAD tells.
    """
    # Not `leased`: a silent client would hold that generator and its frames for as long.
    lease = await context.taken(intent.id, principal)
    try:
        upload = context.visible(await context.current(lease), principal)
        if upload.state is State.FINISHING and not upload.is_final:
            upload = await finish(context, upload, lease)
        writing = Writing(context, upload, lease, guard(context, upload, intent))
        del upload  # with the first commit there is a newer one
        upload = await write(writing, intent.body, stream, trailer)
    finally:
        await lease.release()
    if upload.is_partial and upload.state is State.FINISHED:
        await part_finished(context, upload)
    return upload


def guard(context: Context, upload: Upload, intent: Append) -> int | None:
    """Check a request against the record before anything is read; give the length the upload has then."""
    if upload.is_final:
        raise FinalNotWritable
    if intent.offset != upload.offset:
        raise OffsetMismatch(
            f"The upload stands at {upload.offset}, the request at {intent.offset}", offset=upload.offset
        )
    length = upload.length
    maximum = context.largest(declared=length is not None or (intent.length is not None and not upload.offset))
    if intent.length is not None:
        if length is not None:
            raise InvalidHeader("The length of this upload is known already; leave Upload-Length out")
        length = intent.length
        if length < upload.offset:
            raise InvalidHeader(f"Upload-Length is {length}, but {upload.offset} bytes are there already")
        if maximum is not None and length > maximum:
            raise TooLarge(f"Upload-Length is {length}; the limit is {maximum}")
    size = intent.body.length or 0
    if length is not None and upload.offset + size > length:
        raise LengthExceeded(f"{size} bytes at {upload.offset} go beyond the length of {length}")
    if length is None and maximum is not None and upload.offset + size > maximum:
        raise TooLarge(f"{size} bytes at {upload.offset} go beyond the limit of {maximum}")
    return length


async def write(writing: Writing, body: Body, stream: ByteStream, trailer: TrailerChecksum) -> Upload:
    """Store a guarded body and commit it; finish the upload when its last byte is there."""
    writing.lease.on_request(stream.interrupt)
    hashed: HashedStream | None = None
    if body.verified:
        hasher = Hasher(body.checksum.algorithm if body.checksum else None)
        stream = hashed = HashedStream(stream, hasher, lambda: body.checksum or trailer())
    limited = writing.limited(stream, body)
    try:
        if hashed is None:
            await writing.store(limited)
        else:
            await writing.store_verified(limited, hashed)
    except DataLost:
        await writing.fail()
        raise
    except UploadError:
        with suppress(UploadError):  # what went wrong is told; a reservation goes back with the next request then
            await writing.settle()
        raise
    if isinstance(limited, LimitedStream) and limited.full is not None:
        await writing.settle()
        raise limited.full
    if limited.end is not BodyEnd.COMPLETE and body.length != 0:
        await writing.settle()
        raise early(writing.context, limited.end)
    upload = await writing.settle(declare=True)
    return await finish(writing.context, upload, writing.lease)


def early(context: Context, end: BodyEnd | None) -> UploadError:
    """The error that tells why a body ended before its end, counted by reason."""
    if end is BodyEnd.STALLED:
        context.metrics.interrupted.labels("stalled").inc()
        return BodyStalled("No bytes arrived for too long; go on at the offset that HEAD tells")
    if end is BodyEnd.CUT:
        context.metrics.interrupted.labels("cut").inc()
        return BodyCut()
    if context.draining:
        context.metrics.interrupted.labels("drain").inc()
        return Draining("The server is shutting down; go on at the offset that HEAD tells")
    context.metrics.interrupted.labels("taken over").inc()
    return Interrupted("Another request took over the upload; go on at the offset that HEAD tells")


class Writing:
    """One guarded body on its way into one upload: the record as it stands, and the commits that move it."""

    __slots__ = ("_most", "_start", "_turn", "context", "lease", "length", "upload")

    def __init__(self, context: Context, upload: Upload, lease: Lease, length: int | None) -> None:
        self.context = context
        self.upload = upload
        self.lease = lease
        self.length = length
        self._start = upload.offset
        # The largest offset that the upload may come to.
        self._most = context.largest(declared=False) if length is None else length
        self._turn = asyncio.Lock()

    def limited(self, stream: ByteStream, body: Body) -> ByteStream:
        waits = self.context.policy.bounded and self.upload.length is None
        if body.length is not None and not waits:
            return stream  # `guard` has checked its length; should more come all the same, no commit counts it
        limit = None if self._most is None else self._most - self._start
        return LimitedStream(stream, limit, self._excess, self._reserve if waits else None)

    def _excess(self) -> UploadError:
        if self.length is not None:
            return LengthExceeded("More bytes than the length of the upload")
        return TooLarge(f"The upload would be larger than {self._most} bytes")

    async def _reserve(self, size: int) -> int:
        """Set room aside for `size` bytes of this body; give for how many there is room then."""
        async with self._turn:
            needed = self._start + size if self.length is None else self.length
            if self.upload.reserved < needed:
                try:
                    await self._set_aside(needed + (RESERVE_STEP if self.length is None else 0))
                except StoreFull:
                    await self._set_aside(needed)
            return self.upload.reserved - self._start

    async def _set_aside(self, size: int) -> None:
        self.upload = await self.context.commit(self.upload, self.lease, {"reserved": size})

    async def store(self, stream: ByteStream) -> None:
        # Closed before the lease is given back: no write may be under way then.
        async with aclosing(self._checkpoints(stream)) as checkpoints:
            async for checkpoint in checkpoints:
                await self._commit(checkpoint)

    async def store_verified(self, stream: ByteStream, hashed: HashedStream) -> None:
        last = None
        async with aclosing(self._checkpoints(stream)) as checkpoints:
            async for checkpoint in checkpoints:
                if checkpoint.offset == self.upload.offset:
                    # It brings no bytes: the store notes what it is about to do, and counts on the note.
                    await self._commit(checkpoint)
                else:
                    last = checkpoint
        if stream.end is not BodyEnd.COMPLETE:
            return
        await hashed.verify()
        if last is not None:
            await self._commit(last)

    def _checkpoints(self, stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
        if self.upload.state is State.FINISHED:
            return _nothing(stream)
        upload = self.upload if self.length == self.upload.length else replace(self.upload, length=self.length)
        return self.context.data.append(upload, stream)

    async def fail(self) -> None:
        async with self._turn:
            self.upload = await fail(self.context, self.upload, self.lease)

    async def _commit(self, checkpoint: Checkpoint) -> None:
        if self._most is not None and checkpoint.offset > self._most:
            raise self._excess()
        async with self._turn:
            before = self.upload
            change: Change = {
                "offset": checkpoint.offset,
                "placement": checkpoint.placement,
                "expires_at": self.context.expiry(before.expires_at),
            }
            if self.length is not None:
                change["reserved"] = self.length
                # A length that this request declares counts once all of it was accepted: a client that is cut
                # declares it again with the rest, which would be refused if it were known by then.
                if checkpoint.offset == self.length:
                    change["length"] = self.length
                    change["state"] = State.FINISHING
            elif not self.context.policy.bounded:
                change["reserved"] = checkpoint.offset
            with self.context.metrics.commit_seconds.time():
                if checkpoint.whole:
                    self.upload = await finished(self.context, before, self.lease, change)
                else:
                    self.upload = await self.context.commit(before, self.lease, change)
            self.context.metrics.bytes_received.inc(checkpoint.offset - before.offset)

    async def settle(self, *, declare: bool = False) -> Upload:
        """Commit what the checkpoints did not: a length declared without bytes, a reservation to give back."""
        change: Change = {}
        if declare and self.upload.length != self.length:
            change["length"] = self.length
            change["reserved"] = self.length or 0
            if self.upload.offset == self.length:
                change["state"] = State.FINISHING
        elif self.upload.length is None and self.upload.reserved > self.upload.offset:
            change["reserved"] = self.upload.offset
        if change:
            async with self._turn:
                self.upload = await self.context.commit(self.upload, self.lease, change)
        return self.upload


async def _nothing(stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
    """Store nothing in a whole object, which has nowhere to add bytes; reading fails when there are any."""
    await stream.read(1, 0)
    none: tuple[Checkpoint, ...] = ()
    for checkpoint in none:
        yield checkpoint
