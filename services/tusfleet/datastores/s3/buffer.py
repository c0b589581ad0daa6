"""Bytes of one upload on their way from its client to S3, in slabs, with their CRC."""

from __future__ import annotations

from collections.abc import Sequence

from tusfleet.datastores.s3.checksums import Checksum
from tusfleet.datastores.s3.slabs import Holder, Slab
from tusfleet.datastores.s3.transfer import Body


class Buffer:
    """Bytes that are not in a part yet.

    Parameters:
        holder: where slabs come from.
        kind: the CRC to compute.
    """

    __slots__ = ("_kind", "_slab_bytes", "_slabs", "holder", "size", "value")

    def __init__(self, holder: Holder, kind: Checksum, slab_bytes: int) -> None:
        self.holder = holder
        self._kind = kind
        self._slab_bytes = slab_bytes
        self._slabs: list[Slab] = []
        self.size = 0
        self.value = 0

    @property
    def empty(self) -> bool:
        """Whether it holds no slab."""
        return not self._slabs

    @property
    def room(self) -> int:
        """Bytes that fit into the slabs that it has."""
        return len(self._slabs) * self._slab_bytes - self.size

    def slabs_for(self, size: int) -> int:
        """How many more slabs `size` more bytes need."""
        return max(0, -(-(size - self.room) // self._slab_bytes))

    def grow(self, slabs: Sequence[Slab]) -> None:
        """Take slabs over from the holder."""
        self._slabs.extend(slabs)

    def write(self, data: bytes | memoryview) -> int:
        """Copy as much of `data` as there is room for; tell how much that was."""
        view, done = memoryview(data), 0
        while done < len(view) and self.room:
            index, start = divmod(self.size, self._slab_bytes)
            piece = view[done : done + self._slab_bytes - start]
            self._slabs[index][start : start + len(piece)] = piece
            self.value = self._kind.update(piece, self.value)
            self.size += len(piece)
            done += len(piece)
        return done

    def adopt(self, load: Load) -> None:
        """Begin with the bytes of a load, which are nowhere else then; only where there are none yet."""
        slabs, self.size, self.value = load.slabs, load.size, load.value
        self.holder.adopt(len(slabs))
        self._slabs[:0] = slabs
        load.slabs = []

    def rewind(self) -> None:
        """Forget all bytes, to be written anew."""
        self.size = self.value = 0

    def body(self) -> Body:
        """A view of all bytes, to be sent while nothing of them is given back."""
        used = range(-(-self.size // self._slab_bytes))
        return Body(
            [memoryview(self._slabs[index])[: self.size - index * self._slab_bytes] for index in used], self.size
        )

    def clear(self) -> None:
        """Give everything back."""
        slabs = self._take_out()
        if slabs:
            self.holder.give(slabs, buffered=True)

    def detach(self) -> Load:
        """Take all bytes out, to be sent: they come back to the holder by themselves."""
        load = Load(self.holder, self.body(), self.value, self._take_out())
        self.holder.sent(len(load.slabs))
        return load

    def _take_out(self) -> list[Slab]:
        slabs, self._slabs = self._slabs, []
        self.size = self.value = 0
        return slabs


class Load:
    """Bytes that are being sent, and their CRC."""

    __slots__ = ("_holder", "body", "size", "slabs", "value")

    def __init__(self, holder: Holder, body: Body, value: int, slabs: list[Slab]) -> None:
        self._holder = holder
        self.body = body
        self.size = body.size
        self.value = value
        self.slabs = slabs

    def release(self) -> None:
        """Give the slabs back. Safe to repeat."""
        slabs = self.take_out()
        if slabs:
            self._holder.give(slabs, buffered=False)

    def take_out(self) -> list[Slab]:
        """The slabs, of which the caller takes care."""
        slabs, self.slabs, self.body = self.slabs, [], Body([], 0)
        return slabs
