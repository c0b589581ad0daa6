"""Tails that were written a moment ago, kept for the next request of their upload."""

from __future__ import annotations

from collections import OrderedDict


class TailCache:
    """The newest tails of this process, by key; each is immutable, so there is nothing to go stale.

    Parameters:
        limit: most bytes of all together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._tails: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, key: str, data: bytes) -> None:
        """Keep a tail, forgetting the oldest ones."""
        if len(data) > self._limit:
            return
        self.take(key)
        self._tails[key] = data
        self._size += len(data)
        while self._size > self._limit:
            _, oldest = self._tails.popitem(last=False)
            self._size -= len(oldest)

    def take(self, key: str) -> bytes | None:
        """The bytes of a tail, which is not kept any longer: it is about to be replaced."""
        data = self._tails.pop(key, None)
        if data is not None:
            self._size -= len(data)
        return data
