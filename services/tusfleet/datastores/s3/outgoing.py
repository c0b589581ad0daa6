"""What becomes of the bytes of one append: parts, a tail, or the whole object; and the placement that tells of them.

Bytes are copied once, into slabs. A buffer that is full becomes a part and goes on its way while the next one fills. At
the end what is left becomes a part when it is large enough for one, a tail otherwise, and when it is all there is, the
whole object. Bytes that are in a tail already go into the next part again, so the buffer begins with them: read from
the record, from memory or from the tail's object once more bytes have come, and not before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from tusfleet.datastores.s3.buffer import Buffer
from tusfleet.datastores.s3.flight import Flight
from tusfleet.datastores.s3.numbers import Numbers
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail
from tusfleet.datastores.s3.sizes import Sizes
from tusfleet.datastores.s3.slabs import Slab, SlabPool
from tusfleet.datastores.s3.strays import Strays
from tusfleet.datastores.s3.tails import TailCache
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.errors import DataLost, TooLarge, UploadError
from tusfleet.uploads.models import Checkpoint, Upload


@dataclass(frozen=True, slots=True)
class Means:
    """What every append of one store works with."""

    options: S3Options
    workshop: Workshop
    sizes: Sizes
    pool: SlabPool
    cache: TailCache


class Outgoing:
    """The bytes of one append, from its buffer on.

    Parameters:
        means: of the store.
        upload: the record, with the fence of its lease.
        nonce: makes the names of this append's tails its own.
        tentative: whether no checkpoint counts before the last one, which comes once the stream has ended.
        ring: is called when there may be something to do.

    `pending` are bytes that were read and are not in the buffer yet; `ended` is set once no more will be.
    """

    __slots__ = (
        "_clock", "_durable", "_flight", "_line", "_means", "_news", "_nonce", "_numbers", "_ring", "_start", "_strays",
        "_tails", "_tentative", "_told", "_upload", "_workshop", "_written", "buffer", "ended", "failure", "holder",
        "parked", "pending", "placement", "since",
    )  # fmt: skip

    def __init__(self, means: Means, upload: Upload, nonce: str, ring: Callable[[], None], *, tentative: bool) -> None:
        placement = S3Placement.of(upload.placement)
        _verify(means, upload, placement)
        self._workshop = workshop = means.workshop.of(placement)
        self.placement = placement = replace(placement, algorithm=workshop.algorithm)
        self._means = means
        self._upload = replace(upload, placement={})  # a silent client would hold the bytes in it
        self._nonce = nonce
        self._ring = ring
        self._tentative = tentative
        self._start = placement if tentative else S3Placement()
        # What the last checkpoint told, and whether the placement tells of something that none has.
        self._told = placement
        self._news = False
        self._clock = asyncio.get_running_loop().time
        self.holder = means.pool.holder(ring)
        self.buffer = Buffer(self.holder, workshop.kind, means.pool.slab_bytes)
        self._flight = Flight(workshop, upload, placement, ring)
        self._numbers = Numbers(
            placement, upload.fence, upload.follows, means.sizes.most, 2 * means.options.concurrency
        )
        self._strays = Strays(workshop.client, self._flight.bucket, placement.strays)
        self._line: asyncio.Future[list[Slab]] | None = None
        self.pending: deque[memoryview] = deque()
        # The tail, while its bytes are not in the buffer; and how many of those in the buffer are durable in it.
        self.parked = placement.tail
        self._durable = 0
        # When the first byte came that is in the buffer and in no tail (seconds of the loop).
        self.since: float | None = None
        self._tails = 0
        self._written = False
        self.ended = False
        self.failure: UploadError | None = None

    @property
    def unsafe(self) -> int:
        """Bytes in the buffer that are nowhere else."""
        return self.buffer.size - self._durable

    @property
    def told_tail(self) -> int:
        """Bytes in the buffer that are in a tail too."""
        return self._durable

    @property
    def still(self) -> bool:
        """Whether nothing is under way, and nothing is held or waited for."""
        return not self._flight and self.buffer.empty and not self.pending and self._line is None

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
        return self.ended and not self._flight and not self.pending and not self.unsafe

    async def close(self) -> None:
        """Let go of everything; nothing is under way any more when it returns."""
        try:
            await self._flight.close()
        finally:
            self._leave_line()
            self.buffer.clear()

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
        if self.ended and tail.key is not None and self.buffer.size == tail.size:
            self._means.cache.keep(tail.key, self.buffer.body().joined())
        self._park(tail)
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

    # Bytes in

    async def fill(self) -> None:
        """Move what is pending into the buffer, and send it on part by part, as far as there is room."""
        while self.pending and not self._flight.with_tail and self.failure is None:
            if self.parked is not None:
                if not await self._take_back(self.parked):
                    return
            elif self.buffer.size >= self._full and not self._whole_only:
                if not self._seal():
                    return
            elif not self._copy():
                return
        if (
            self.buffer.size >= self._full
            and self._more_to_come
            and not self._flight.with_tail
            and self.failure is None
        ):
            self._seal()  # it need not wait for the next bytes to know that it is not the last

    def _copy(self) -> bool:
        """Fill what room there is, of more slabs if need be; False when there is none."""
        if not self.buffer.room:
            slabs = self._slabs(self._wanted)
            if slabs is None:
                return False
            self.buffer.grow(slabs)
        room = self.buffer.room if self._whole_only else min(self.buffer.room, self._full - self.buffer.size)
        chunk = self.pending[0]
        done = self.buffer.write(chunk[:room])
        if done == len(chunk):
            self.pending.popleft()
        else:
            self.pending[0] = chunk[done:]
        if self.since is None:
            self.since = self._clock()
        return True

    async def _take_back(self, tail: Tail) -> bool:
        """Put the bytes of the tail at the beginning of the buffer; False when there is no room yet."""
        # With room for what comes after it: somebody else may need the memory the next moment, and whoever has to put a
        # tail away that is no longer than before has got nowhere.
        slabs = self._slabs(self._wanted)
        if slabs is None:
            return False
        self.buffer.grow(slabs)
        data = None if tail.key is None else self._means.cache.take(tail.key)
        if data is None:
            data = await self._workshop.read_tail(self._flight.bucket, tail)
        self.buffer.write(data)
        self._durable = tail.size
        self.parked = None
        return True

    @property
    def _wanted(self) -> int:
        """Slabs that the pending bytes need, as far as they go into one part; with those of a tail that comes first."""
        size = 0 if self.parked is None else self.parked.size
        waiting = sum(map(len, self.pending))
        if not self._whole_only:
            waiting = max(1, min(waiting, self._full - self.buffer.size - size))
        return self.buffer.slabs_for(size + waiting)

    def _slabs(self, count: int) -> list[Slab] | None:
        """Slabs for the buffer; None while they are waited for."""
        if self._line is None:
            slabs = self.holder.take(count)
            if slabs is not None:
                return slabs
            self._line = self.holder.wait(count)
            self._line.add_done_callback(lambda _: self._ring())
        if not self._line.done():
            return None
        slabs, self._line = self._line.result(), None
        return slabs

    def _leave_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self.holder.abandon(line)

    # Bytes out

    @property
    def _stored(self) -> int:
        """Bytes in parts, those under way too."""
        return self.placement.stored + self._flight.size

    @property
    def _position(self) -> int:
        """Bytes below the end of the buffer."""
        return self._stored + (self.buffer.size if self.parked is None else self.parked.size)

    @property
    def _full(self) -> int:
        return self._means.sizes.full_part(
            self._upload.length, self._stored, self._numbers.next, self.placement.part_size
        )

    @property
    def _in_parts(self) -> bool:
        return self._flight.multipart is not None or self._flight.parts > 0

    @property
    def _whole_only(self) -> bool:
        """Whether all bytes of the upload will fit into one buffer, so that it never needs parts."""
        length = self._upload.length
        return length is not None and length <= self._means.options.part_size and not self._in_parts

    @property
    def _more_to_come(self) -> bool:
        return not self.ended and self._upload.length is not None and self._position < self._upload.length

    @property
    def _is_part(self) -> bool:
        """Whether the buffer, if it has to go now, is a part rather than a tail."""
        if self._whole_only:
            return False
        if self._position == self._upload.length and self.ended and self._in_parts:
            return True
        sizes, number = self._means.sizes, self._numbers.next
        return self.buffer.size >= sizes.least_part(self._upload.length, self._stored, number, self.placement.part_size)

    def _seal(self) -> bool:
        """Send the buffer as a part; False when that has to wait for others, or for a number."""
        if self._flight.parts >= self._means.options.concurrency or not self._numbers.free:
            return False
        if self._means.options.equal_parts and self.placement.part_size is None:
            self.placement = replace(self.placement, part_size=self._full)
        try:
            number = self._numbers.take()
        except TooLarge as error:
            self.failure = error
            return False
        self._flight.send_part(number, self.buffer.detach(), self.placement)
        self._durable = 0
        self.since = None
        return True

    def note(self, *, wanted: bool) -> Checkpoint | None:
        """Reserve part numbers when there is none for the part that is to be sent now: a checkpoint without bytes.

        Parameters:
            wanted: whether the buffer has to go, full or not.
        """
        if self._numbers.free or (self._flight and not self._tentative) or self._flight.with_tail:
            return None
        full = self.buffer.size >= self._full and not self._whole_only
        if not full and not (wanted and self.unsafe and self._is_part):
            return None
        placement = self._numbers.write(self._start if self._tentative else self.placement, quiet=False)
        self._start = self._told = placement
        if not self._tentative:
            self.placement = placement
        return Checkpoint(placement.size, placement.json())

    async def conclude(self) -> Checkpoint | None:
        """Put away what is left at the end of the stream; a checkpoint when that was done at once."""
        await self._strays.settle()
        if not self.unsafe:
            return None
        if self._position == self._upload.length and not self._in_parts:
            return await self._make_whole()
        return self.store_rest()

    async def _make_whole(self) -> Checkpoint:
        load = self.buffer.detach()
        try:
            placement = self._strays.without_freed(self.placement)
            self.placement = await self._workshop.put_whole(self._upload, placement, load.body, load.value)
        finally:
            load.release()
        self._durable = 0
        self.since = None
        # With strays there is something left to do, which only a commit allows: then `finish` is asked for once more.
        return Checkpoint(self.placement.size, self.placement.json(), whole=not self.placement.strays)

    def store_rest(self) -> Checkpoint | None:
        """Store the buffer so that it need not be held: in the record, as a part, or as a tail."""
        self._leave_line()
        if not self.unsafe:
            self.let_go()
        elif self.buffer.size <= self._means.options.tail_inline_max and (self.ended or not self._tentative):
            # With parts before it on their way it comes after them.
            return None if self._flight else self.inline()
        elif self._is_part:
            self._seal()
        else:
            self._flight.send_tail(self._tail_key(), self.buffer.body(), self.buffer.value)
        return None

    def inline(self, *, hold: bool = False) -> Checkpoint:
        """Put the buffer into the record; `hold` it too when more is expected soon."""
        kind = self._workshop.kind
        tail = Tail(self.buffer.size, kind.encode(self.buffer.value), self.buffer.body().joined())
        self.placement = self.placement.with_tail(tail)
        if hold:
            self._durable = self.buffer.size
            self.since = None
        else:
            self._park(tail)
        return self._checkpoint()

    def let_go(self) -> None:
        """Hold no bytes that are in a tail: they are read again when more come."""
        tail = self.placement.tail
        if tail is None or self.unsafe or not self.buffer.size:
            return
        if tail.key is not None:
            self._means.cache.keep(tail.key, self.buffer.body().joined())
        self._park(tail)

    def unburden(self, data: bytes) -> None:
        """Move a tail from the record, which this request holds in memory, into an object."""
        self._flight.send_tail(self._tail_key(), Body.of(data), self._workshop.kind.update(data, 0))

    def _park(self, tail: Tail) -> None:
        self.buffer.clear()
        self._durable = 0
        self.since = None
        self.parked = tail
        self._ring()  # what is pending may have waited for the room

    def _tail_key(self) -> str:
        self._tails += 1
        return self._workshop.naming.tail(self._upload, self._nonce, self._tails)


def _verify(means: Means, upload: Upload, placement: S3Placement) -> None:
    """Check that the placement has the bytes that the record counts, and that there is room for the others."""
    if placement.size != upload.offset or placement.whole is not None:
        raise DataLost("The record of the upload tells of other bytes than were stored")
    capacity = means.sizes.capacity(upload.length)
    if upload.length is not None and upload.length > capacity:
        raise TooLarge(
            f"An upload of {upload.length} bytes needs larger parts than memory allows, which is good for {capacity}; "
            "a larger buffer_memory lifts that"
        )
