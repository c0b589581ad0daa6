"""Tails that were written a moment ago, kept for the next bytes of their upload.

They stay in the very slabs in which they came, so they are never copied and the one budget of the process covers them;
and they are forgotten, the oldest first, before anybody has to wait for a slab.
"""

from __future__ import annotations

from collections import OrderedDict

from tusfleet.datastores.s3.buffer import Buffer, Load
from tusfleet.datastores.s3.slabs import Slab, SlabPool


class TailCache:
    """The newest tails of this process, by key; each is immutable, so there is nothing to go stale.

    Parameters:
        pool: of their slabs.
        limit: most bytes of the slabs of all together.
    """

    def __init__(self, pool: SlabPool, limit: int) -> None:
        self._pool = pool
        self._most = limit // pool.slab_bytes
        self._tails: OrderedDict[str, Load] = OrderedDict()
        pool.keep(self._forget)

    def keep(self, key: str, buffer: Buffer) -> None:
        """Keep the bytes of `buffer`, which has none then, forgetting the oldest tails."""
        load = buffer.detach()
        self._pool.kept += len(load.slabs)
        self._tails[key] = load
        while self._pool.kept > self._most:
            load = self._pop(next(iter(self._tails)))
            load.release()

    def restore(self, key: str, buffer: Buffer) -> bool:
        """Begin `buffer` with the tail, which is not kept any longer: it is about to be replaced.

        False when it is not there.
        """
        if key not in self._tails:
            return False
        buffer.adopt(self._pop(key))
        return True

    def _pop(self, key: str) -> Load:
        load = self._tails.pop(key)
        self._pool.kept -= len(load.slabs)
        return load

    def _forget(self) -> list[Slab]:
        return self._pop(next(iter(self._tails))).take_out() if self._tails else []
