"""A request body that follows a script, for tests of whatever reads a `ByteStream`."""

from __future__ import annotations

import asyncio
from collections import deque

from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.streams import parted


class FakeStream:
    """A `ByteStream` whose bytes come as a script says.

    Parameters:
        steps: bytes arrive at once, a number is a pause in seconds, an event is silence until it is set; an
            exception is raised by `read` once everything before it has been read.
        end: how the body ends after the last step.
    """

    def __init__(self, *steps: bytes | float | asyncio.Event | Exception, end: BodyEnd = BodyEnd.COMPLETE) -> None:
        self._steps = deque(steps)
        self._ending = end
        self._queue: list[bytes] = []
        self._queued = 0
        self._next: float | None = None
        self._woken = asyncio.Event()
        self._interrupted = False
        self.end: BodyEnd | None = None
        self.reads = 0

    async def read(self, want: int, wait: float) -> list[bytes]:
        self.reads += 1
        await self.coming()
        await self._until(want, wait)
        if not self._queue and self._steps and isinstance(self._steps[0], Exception):
            raise self._steps[0]
        chunks, self._queue = parted(self._queue, want)
        self._queued -= sum(map(len, chunks))
        if not chunks:
            self.end = BodyEnd.INTERRUPTED if self._interrupted else self._ending
        return chunks

    async def coming(self) -> int:
        await self._until(1, None)
        return self._queued

    def interrupt(self) -> None:
        self._interrupted = True
        self._woken.set()

    async def _until(self, want: int, wait: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if wait is None else loop.time() + wait
        while self._queued < want and not self._over(loop.time()):
            step = self._steps[0]
            left = None if deadline is None else deadline - loop.time()
            if left is not None and left <= 0:
                return
            if isinstance(step, bytes):
                self._queue.append(step)
                self._queued += len(step)
                self._steps.popleft()
            elif isinstance(step, asyncio.Event):
                await self._sleep(left, step)
            else:
                assert self._next is not None
                pause = self._next - loop.time()
                await self._sleep(pause if left is None else min(pause, left), None)

    def _over(self, now: float) -> bool:
        """Take pauses that have passed out of the script; tell whether nothing more comes."""
        while self._steps and not self._interrupted:
            step = self._steps[0]
            if isinstance(step, asyncio.Event) and step.is_set():
                self._steps.popleft()
            elif isinstance(step, int | float):
                self._next = self._next if self._next is not None else now + step
                if self._next > now:
                    return False
                self._next = None
                self._steps.popleft()
            else:
                return isinstance(step, Exception)
        return True

    async def _sleep(self, seconds: float | None, event: asyncio.Event | None) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in (self._woken, event) if each is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
