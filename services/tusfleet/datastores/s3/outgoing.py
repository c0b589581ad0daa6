"""What becomes of the bytes of one append: parts, a tail, or the whole object; and the placement that tells of them.

Bytes are copied once, into slabs. A buffer that is full becomes a part and goes on its way while the next one fills. At
the end what is left becomes a part when it is large enough for one, a tail otherwise, and when it is all there is, the
whole object. Bytes are taken from the stream only when there is room for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tusfleet.datastores.s3.copies import Copies
from tusfleet.datastores.s3.flight import Flight
from tusfleet.datastores.s3.loading import Loading
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.numbers import Numbers
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail
from tusfleet.datastores.s3.strays import Strays
from tusfleet.datastores.s3.transfer import Body
from tusfleet.datastores.s3.where import Where, verify
from tusfleet.uploads.errors import TooLarge, UploadError
from tusfleet.uploads.models import Checkpoint, Upload
from tusfleet.uploads.ports import ByteStream

BATCH_BYTES = 1024 * 1024
"""Bytes taken of the stream at a time; there is room for as many as had arrived, be it still in the system."""


class Outgoing:
    """The bytes of one append, from its buffer on.

    Parameters:
        means: of the store.
        upload: the record, with the fence of its lease.
        nonce: makes the names of this append's tails its own.
        tentative: whether no checkpoint counts before the last one, which comes once the stream has ended.
        ring: is called when there may be something to do.

    `arrived` is about how many bytes the stream has, once that is known; `ended` is set once no more will come.
    """

    __slots__ = (
        "_copies", "_flight", "_means", "_news", "_nonce", "_numbers", "_start", "_strays", "_tails", "_tentative",
        "_told", "_upload", "_where", "_workshop", "_written", "arrived", "ended", "failure", "loading",
    )  # fmt: skip

    def __init__(self, means: Means, upload: Upload, nonce: str, ring: Callable[[], None], *, tentative: bool) -> None:
        placement = S3Placement.of(upload.placement)
        verify(means, upload, placement)
        self._workshop = workshop = means.workshop.of(placement)
        placement = replace(placement, algorithm=workshop.algorithm)
        self._means = means
        self._upload = upload = replace(upload, placement={})  # a silent client would hold the bytes in it
        self._nonce = nonce
        self._tentative = tentative
        self._start = placement if tentative else S3Placement()
        # What the last checkpoint told, and whether the placement tells of something that none has.
        self._told = placement
        self._news = False
        self.loading = Loading(means, workshop, placement.tail, ring)
        self._flight = Flight(workshop, upload, placement, ring)
        self._numbers = Numbers(
            placement, upload.fence, upload.follows, means.sizes.most, 2 * means.options.concurrency
        )
        self._where = Where(means, upload.length, self.loading, self._flight, self._numbers, placement)
        self._strays = Strays(workshop.client, self._flight.bucket, placement.strays)
        self._tails = 0
        self._written = False
        self.arrived = 0
        self.ended = False
        self.failure: UploadError | None = None
        self._copies = Copies(means.pool, placement.tail)
        means.pool.come()

    @property
    def placement(self) -> S3Placement:
        """What is stored, whether or not a checkpoint has told of it."""
        return self._where.placement

    @placement.setter
    def placement(self, placement: S3Placement) -> None:
        self._where.placement = placement

    @property
    def still(self) -> bool:
        """Whether nothing is under way, and nothing is held or waited for."""
        return not self._flight and self.loading.idle and not self.arrived

    @property
    def under_way(self) -> bool:
        """Whether something is."""
        return bool(self._flight)

    @property
    def busy(self) -> bool:
        """Whether the buffer has to stay as it is for now: its bytes are being stored as a tail."""
        return self._flight.with_tail

    @property
    def done(self) -> bool:
        """Whether everything is stored, and nothing more will come."""
        return self.ended and not self._flight and not self.loading.unsafe

    async def close(self) -> None:
        """Let go of everything; nothing is under way any more when it returns."""
        try:
            await self._flight.close()
        finally:
            self.loading.leave_line()
            self.loading.clear()
            self._copies.clear()
            self._means.pool.gone()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What goes on beside, to be ended with the append."""
        return self._strays.tasks

    def check(self) -> None:
        """Raise what has gone wrong, once everything that was stored before has been told."""
        if self.failure is not None:
            raise self.failure

    async def give_up(self) -> None:
        """After a failure: leave nothing behind that no record will speak of."""
        await self._flight.close()
        if not self._written:
            await self._flight.forget()

    # What has been stored

    def progress(self) -> Checkpoint | None:
        """Take note of what has ended, in order; a checkpoint when there is something to tell."""
        while self.failure is None:
            try:
                landed = self._flight.landed()
            except UploadError as error:
                self.failure = error
                break
            if landed is None:
                break
            leg, result = landed
            if isinstance(result, Part):
                self._part_stored(result, leg.value)
            else:
                self._tail_stored(result)
        if not self._news or (self._tentative and not self.done):
            return None
        return self._checkpoint()

    def _part_stored(self, part: Part, value: int) -> None:
        flight, kind = self._flight, self._workshop.kind
        placement = replace(self.placement, bucket=flight.bucket, key=flight.key, multipart=flight.multipart)
        self.placement = placement.with_part(part, kind.combine(placement.checksum, value, part.size))
        self._news = True

    def _tail_stored(self, tail: Tail) -> None:
        self.placement = replace(self.placement, bucket=self._flight.bucket).with_tail(tail)
        loading = self.loading
        if loading.parked is None and not self.ended and not loading.holder.pressed:
            loading.safe()  # the next bytes go behind it
        else:
            loading.park(tail, keep=self.ended)
        self._news = True

    def _checkpoint(self) -> Checkpoint:
        placement = self._strays.without_freed(self.placement)
        if placement.multipart is not None:
            placement = self._numbers.write(placement, quiet=self.done)
            self._written = True
        self.placement = self._told = placement
        self._news = False
        return Checkpoint(placement.size, placement.json())

    def committed(self) -> None:
        """Take note that the checkpoint given last has been dealt with."""
        self._numbers.committed(self._told)
        tail = self._told.tail
        if tail is None or tail.data is None:
            self._copies.clear()

    # Bytes in

    async def fill(self, stream: ByteStream) -> None:
        """Move what has arrived into the buffer, and send it on part by part, as far as there is room."""
        loading, where = self.loading, self._where
        while self.arrived and not self._flight.with_tail and self.failure is None:
            if loading.parked is not None:
                if not await loading.take_back(self._flight.bucket, loading.parked, where.wanted(self.arrived)):
                    return
            elif where.full:
                if not self._seal():
                    return
            elif loading.room(1 if loading.buffer.room else where.wanted(self.arrived)):
                self.ended = not await loading.take(stream, min(loading.buffer.room, where.wanted(BATCH_BYTES)))
                self.arrived = 0
            else:
                return
        # It need not wait for the next bytes to know that it is not the last.
        more = not self.ended and where.expected
        if where.full and more and not self._flight.with_tail and self.failure is None:
            self._seal()

    # Bytes out

    def _seal(self) -> bool:
        """Send the buffer as a part; False when that has to wait for others, or for a number."""
        if self._flight.parts >= self._means.options.concurrency or not self._numbers.free:
            return False
        if self._means.options.equal_parts and self.placement.part_size is None:
            self.placement = replace(self.placement, part_size=self._where.part_bytes)
        try:
            number = self._numbers.take()
        except TooLarge as error:
            self.failure = error
            return False
        self._flight.send_part(number, self.loading.detach(), self.placement)
        return True

    def note(self, *, wanted: bool) -> Checkpoint | None:
        """Reserve part numbers when there is none for the part that is to be sent now: a checkpoint without bytes.

        Parameters:
            wanted: whether the buffer has to go, full or not.
        """
        if self._numbers.free or (self._flight and not self._tentative) or self._flight.with_tail:
            return None
        if not self._where.full and not (wanted and self.loading.unsafe and self._where.is_part(ended=self.ended)):
            return None
        placement = self._numbers.write(self._start if self._tentative else self.placement, quiet=False)
        self._start = self._told = placement
        if not self._tentative:
            self.placement = placement
        return Checkpoint(placement.size, placement.json())

    async def conclude(self) -> Checkpoint | None:
        """Put away what is left at the end of the stream; a checkpoint when that was done at once."""
        await self._strays.settle()
        if not self.loading.unsafe:
            return None
        if self._where.position == self._upload.length and not self._where.in_parts:
            return await self._make_whole()
        return self.store_rest()

    async def _make_whole(self) -> Checkpoint:
        load = self.loading.detach()
        try:
            placement = self._strays.without_freed(self.placement)
            self.placement = await self._workshop.put_whole(self._upload, placement, load.body, load.value)
        finally:
            load.release()
        # With strays there is something left to do, which only a commit allows: then `finish` is asked for once more.
        return Checkpoint(self.placement.size, self.placement.json(), whole=not self.placement.strays)

    def store_rest(self) -> Checkpoint | None:
        """Store the buffer so that it need not be held: in the record, as a part, or as a tail."""
        loading = self.loading
        loading.leave_line()
        if not loading.unsafe:
            self.let_go(keep=False)
        elif (self.ended or not self._tentative) and self.may_inline():
            # With parts before it on their way it comes after them.
            return None if self._flight else self.inline()
        elif self._where.is_part(ended=self.ended):
            self._seal()
        else:
            self._flight.send_tail(self._tail_key(), loading.buffer.body(), loading.buffer.value)
        return None

    def may_inline(self) -> bool:
        """Whether the buffer may go into the record: it is small, and memory has room for copies of it."""
        size = self.loading.buffer.size
        return size <= self._means.options.tail_inline_max and (self.ended or self._copies.admit(size))

    def inline(self, *, hold: bool = False) -> Checkpoint:
        """Put the buffer into the record, which it `may`; `hold` it too when more is expected soon."""
        loading, kind = self.loading, self._workshop.kind
        tail = Tail(loading.buffer.size, kind.encode(loading.buffer.value), loading.buffer.body().joined())
        self.placement = self.placement.with_tail(tail)
        if hold:
            loading.safe()
        else:
            loading.park(tail)
        return self._checkpoint()

    def let_go(self, *, keep: bool = True) -> None:
        """Hold no bytes that are in a tail: they come back when more do."""
        tail = self.placement.tail
        if tail is not None and not self.loading.unsafe and self.loading.buffer.size:
            self.loading.park(tail, keep=keep)

    def unburden(self, data: bytes) -> None:
        """Move a tail from the record, which this request holds in memory, into an object."""
        self._flight.send_tail(self._tail_key(), Body.of(data), self._workshop.kind.update(data, 0))

    def _tail_key(self) -> str:
        self._tails += 1
        return self._workshop.naming.tail(self._upload, self._nonce, self._tails)
