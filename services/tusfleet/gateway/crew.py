"""What the workers of one server know of each other: made before they are started, and kept by who starts them."""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import tempfile
from collections.abc import Callable

from tusfleet.gateway.mesh import Mesh, pairs
from tusfleet.observability.metrics import SERVER_WIDE, Metrics
from tusfleet.observability.shares import SharedRegistry, Shares

SHARE = b"M"
"""Asks for the metrics of a worker."""

SHARED = b"m"
"""They are there."""

ASKS, ASK_SECONDS = 10, 0.1
"""How often the others are asked for their metrics, since messages may be dropped, and how long each time (seconds). Of
those that do not answer, the ones they left last count."""

MOST_WORKERS = 64
"""More processes than a box has cores gain nothing, and each asks all of the others."""

_EPOCH = struct.Struct("<Q")


class Board:
    """A few bytes that all processes of a server see: the epoch of its fences, and which workers are up.

    Each byte has one writer, but for the epoch, which the first worker writes before there are others.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, _EPOCH.size + count)

    @property
    def epoch(self) -> int:
        """The epoch, 0 as long as there is none."""
        found: int = _EPOCH.unpack_from(self._memory)[0]
        return found

    @epoch.setter
    def epoch(self, value: int) -> None:
        _EPOCH.pack_into(self._memory, 0, value)

    def up(self, number: int) -> bool:
        """Whether a worker takes requests."""
        return self._memory[_EPOCH.size + number] == 1

    def mark(self, number: int, *, up: bool) -> None:
        """Note whether a worker takes requests."""
        self._memory[_EPOCH.size + number] = int(up)


class Counter:
    """Numbers that no two processes get twice, in the order in which they ask.

    It is the position of an open file that all of them share. The kernel moves it and tells where it is now in one
    step, whoever dies meanwhile; what Python can do to shared memory takes several.
    """

    def __init__(self) -> None:
        # A real file: the position of one in memory alone (memfd) is not guarded.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as long as the process lives

    def next(self) -> int:
        """The next number, from 1."""
        return os.lseek(self._file.fileno(), 1, os.SEEK_CUR)


class Shared:
    """All that is made before the workers are.

    Parameters:
        count: of workers, 1 to `MOST_WORKERS`.
    """

    def __init__(self, count: int) -> None:
        self.board = Board(count)
        self.fences = Counter()
        self.shares = Shares(count)
        self.pairs = pairs(count)


class Crew:
    """One worker, and the others as it sees them.

    Parameters:
        number: of this worker, from 0.
        shared: what it has in common with the others.
        ready: is told once it takes requests.
    """

    def __init__(self, number: int, shared: Shared, ready: Callable[[], None]) -> None:
        self.number = number
        self.count = shared.board.count
        self.post = Mesh(number, shared.pairs)
        self._shared = shared
        self._ready = ready
        self._registry: SharedRegistry | None = None
        self._missing: set[int] = set()
        self._complete: asyncio.Future[None] | None = None
        self._asking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.post.on(SHARE, self._asked)
        self.post.on(SHARED, self._told)

    @property
    def epoch(self) -> int:
        """The epoch of this start of the server, 0 as long as there is none."""
        return self._shared.board.epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._shared.board.epoch = value

    def next_fence(self, first: int) -> int:
        """The next fence, at least `first`, of this start of the server."""
        return first - 1 + self._shared.fences.next()

    def open(self, metrics: Metrics) -> None:
        """Begin to hear the others, on the running event loop."""
        self._registry = SharedRegistry(self.number, self._shared.shares, metrics.registry, SERVER_WIDE)
        self.post.open()

    def close(self) -> None:
        """Hear no more. Safe to repeat."""
        self.post.close()

    def ready(self) -> None:
        """Tell that this worker takes requests."""
        self._ready()

    def trouble(self) -> str | None:
        """Why the server is not ready as a whole; None when every worker is up."""
        up = sum(self._shared.board.up(number) for number in range(self.count))
        return None if up == self.count else f"{up} of {self.count} workers are up"

    async def page(self) -> bytes:
        """The metrics of all workers together, in the text format of Prometheus."""
        assert self._registry is not None, "opened first"
        async with self._asking:
            await self._gather()
        return await asyncio.to_thread(self._registry.page)

    async def _gather(self) -> None:
        """Have the others leave their metrics."""
        self._missing = {other for other in self.post.others if self._shared.board.up(other)}
        self._complete = complete = asyncio.get_running_loop().create_future()
        for _ in range(ASKS):
            if not self._missing:
                return
            for other in self._missing:
                self.post.send(other, SHARE)
            await asyncio.wait((complete,), timeout=ASK_SECONDS)

    def _told(self, sender: int, _: bytes) -> None:
        self._missing.discard(sender)
        if not self._missing and self._complete is not None and not self._complete.done():
            self._complete.set_result(None)

    def _asked(self, sender: int, _: bytes) -> None:
        task = asyncio.create_task(self._share(sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _share(self, asker: int) -> None:
        if self._registry is None:
            return
        await asyncio.to_thread(self._registry.share)
        self.post.send(asker, SHARED)
