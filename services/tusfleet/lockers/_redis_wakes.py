"""Those of one gateway who wait for an upload to be free, and how they are woken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Wake:
    """One who waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Say that it is worth a look."""
        self._event.set()

    def clear(self) -> None:
        """Take note that a look begins: whatever is said from now on is said after it."""
        self._event.clear()

    async def within(self, seconds: float) -> None:
        """Return when it is worth a look, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


class Wakes:
    """Everybody who waits, by upload."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Wake]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def waiting(self, id: str) -> Iterator[Wake]:
        """Wait for `id`."""
        wake = Wake()
        wakes = self._waiting.setdefault(id, set())
        wakes.add(wake)
        try:
            yield wake
        finally:
            wakes.discard(wake)
            if not wakes and self._waiting.get(id) is wakes:
                del self._waiting[id]

    def wake(self, id: str) -> None:
        """Say that `id` may be free."""
        for wake in self._waiting.get(id, ()):
            wake.set()

    def wake_all(self) -> None:
        """Have everybody look."""
        for id in self._waiting:
            self.wake(id)
