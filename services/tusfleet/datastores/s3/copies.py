"""Copies of a tail that goes into the record: in memory outside of slabs, for as long as the request lasts."""

from __future__ import annotations

from tusfleet.datastores.s3.placement import Tail
from tusfleet.datastores.s3.slabs import SlabPool

SMALL_INLINE = 8 * 1024
"""A silent connection may hold a tail of so many bytes, which its record has; a larger one is put into an object."""

COPIES = 3
"""What a byte of a tail in the record takes in memory: it is in the placement, and in base64 in the record."""


class Copies:
    """Those of one append, counted where memory is shared out.

    Parameters:
        pool: of the memory.
        tail: of the record.
    """

    __slots__ = ("_pool", "_size")

    def __init__(self, pool: SlabPool, tail: Tail | None) -> None:
        self._pool = pool
        self._size = 0 if tail is None or tail.data is None else COPIES * tail.size
        pool.charge(self._size)

    def admit(self, size: int) -> bool:
        """Whether there may be copies of a tail of `size` bytes."""
        more = COPIES * size - self._size
        if size <= SMALL_INLINE or more <= 0:
            return True
        if not self._pool.admit(more):
            return False
        self._size += more
        return True

    def clear(self) -> None:
        """Count none any more."""
        size, self._size = self._size, 0
        if size:
            self._pool.leave(size)
