"""The memory of all uploads of a process: equal slabs, taken for bytes that have arrived and given back when sent.

There is one pool per process and no other memory for bytes, so that a process needs what its settings say, however many
clients it has. Whoever finds none left waits in line: the first in line gets what is given back until it has all that
it asked for, so everybody's turn comes. As long as what is on its way does not suffice for those who wait, the holders
that have been still for longest are asked to put their bytes away: slow clients never hold memory against fast ones.
What is kept only because there was room, tails that may be wanted again, goes before anybody waits.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from itertools import islice

SLAB_BYTES = 256 * 1024
"""Bytes of a slab: what a request of tus clients brings at least, and large enough that a part is a few dozens."""


Slab = mmap.mmap
"""Memory of its own, which goes back to the system when nobody needs it; a `bytearray` of this size may stay in the
heap."""

KEPT = 64
"""Free slabs that are kept beyond as many as are in use: 16 MiB, so that bulk finds them and silence costs little."""

ABREAST = 8
"""Bytes are put away for so many of those who wait at once: enough to keep S3 busy, and few enough that who has just
got its memory is not the next to be asked for it."""


BESIDE = 8
"""Copies of bytes outside of slabs may take this part of the memory."""

CLIENT_BYTES = 32 * 1024
"""What every client that is being served takes for itself, with its connection: 31 KiB of resident memory were measured
(`python -m bench.memory`). It takes room from slabs too."""


class Holder:
    """One upload's claim on the pool.

    Parameters:
        asked: is called when its bytes ought to be put away; it wakes whoever does that.
    """

    __slots__ = ("_asked", "_pool", "buffered", "pressed")

    def __init__(self, pool: SlabPool, asked: Callable[[], None]) -> None:
        self._pool = pool
        self._asked = asked
        self.buffered = 0
        self.pressed = False

    def take(self, count: int = 1) -> list[Slab] | None:
        """Take `count` slabs at once; None when there are none, or others wait."""
        return self._pool.take(self, count)

    def wait(self, count: int = 1) -> asyncio.Future[list[Slab]]:
        """Get in line for `count` slabs; whoever gives up waiting calls `abandon` with the future."""
        return self._pool.wait(self, count)

    def abandon(self, waiting: asyncio.Future[list[Slab]]) -> None:
        """Leave the line; what had been set aside goes to the next one."""
        self._pool.abandon(self, waiting)

    def adopt(self, count: int) -> None:
        """Take note that `count` slabs which were `sent` are in the buffer of this holder now."""
        self._pool.adopt(self, count)

    def sent(self, count: int) -> None:
        """Take note that `count` slabs are on their way: they come back by themselves and need no asking for."""
        self._pool.sent(self, count)

    def give(self, slabs: Iterable[Slab], *, buffered: bool) -> None:
        """Give slabs back: from the buffer, or after they were `sent`."""
        self._pool.give(self, list(slabs), buffered=buffered)

    def active(self) -> None:
        """Take note that bytes have come: others are stiller now."""
        self._pool.active(self)

    def press(self) -> None:
        """Ask the holder to put its bytes away."""
        self.pressed = True
        self._asked()


class _Waiter:
    __slots__ = ("count", "future", "holder", "slabs")

    def __init__(self, holder: Holder, count: int) -> None:
        self.holder = holder
        self.count = count
        self.slabs: list[Slab] = []
        self.future: asyncio.Future[list[Slab]] = asyncio.get_running_loop().create_future()


class SlabPool:
    """All slabs of one process.

    Parameters:
        memory: most bytes that they have together.
    """

    def __init__(self, memory: int, slab_bytes: int = SLAB_BYTES) -> None:
        self.slab_bytes = slab_bytes
        self.limit = max(1, memory // slab_bytes)
        self.used = 0
        self.beside = 0
        """Bytes of copies outside of slabs; they take room from them."""
        self._clients = 0
        self._buffered = 0
        self._free: list[Slab] = []
        self._line: deque[_Waiter] = deque()
        # Holders with bytes in their buffers, the stillest first.
        self._holders: OrderedDict[Holder, None] = OrderedDict()
        self._forget: Callable[[], list[Slab]] = list
        self.kept = 0
        """Slabs of those in use that `keep` has got."""

    def keep(self, forget: Callable[[], list[Slab]]) -> None:
        """Have `forget` asked for the slabs of something that is kept only while there is room; none when there is
        nothing left. Whoever keeps it counts `kept`.
        """
        self._forget = forget

    def holder(self, asked: Callable[[], None]) -> Holder:
        """A new claim, which holds nothing yet."""
        return Holder(self, asked)

    def come(self) -> None:
        """Count one client more, until it is `gone`."""
        self._clients += 1
        self._trim()

    def gone(self) -> None:
        """Count one client less."""
        self._clients -= 1
        self._serve()

    @property
    def most(self) -> int:
        """Slabs that there may be now: fewer with many clients and copies, but three quarters at least."""
        outside = self.beside + self._clients * CLIENT_BYTES
        return self.limit - min(outside // self.slab_bytes, self.limit // 4)

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def admit(self, size: int) -> bool:
        """Whether there is room for `size` bytes more outside of slabs; they count until `leave` then."""
        if self._line or self.beside + size > self.limit * self.slab_bytes // BESIDE:
            return False
        self.beside += size
        if not self._room(0):
            self.beside -= size
            return False
        return True

    def charge(self, size: int) -> None:
        """Count `size` bytes that are outside of slabs already."""
        self.beside += size

    def leave(self, size: int) -> None:
        """Count `size` bytes less outside of slabs."""
        self.beside -= size
        self._serve()

    def take(self, holder: Holder, count: int) -> list[Slab] | None:
        """See `Holder.take`."""
        if self._line or not self._room(count):
            return None
        return self._hand_out(holder, [self._slab() for _ in range(count)])

    def wait(self, holder: Holder, count: int) -> asyncio.Future[list[Slab]]:
        """See `Holder.wait`."""
        waiter = _Waiter(holder, count)
        self._line.append(waiter)
        self._serve()
        return waiter.future

    def abandon(self, holder: Holder, waiting: asyncio.Future[list[Slab]]) -> None:
        """See `Holder.abandon`."""
        if waiting.done() and not waiting.cancelled():
            self.give(holder, waiting.result(), buffered=True)
            return
        for waiter in self._line:
            if waiter.future is waiting:
                self._line.remove(waiter)
                self._back(waiter.slabs)
                break
        self._serve()

    def give(self, holder: Holder, slabs: list[Slab], *, buffered: bool) -> None:
        """See `Holder.give`."""
        self._back(slabs)
        if buffered:
            self.sent(holder, len(slabs))
        self._serve()

    def active(self, holder: Holder) -> None:
        """See `Holder.active`."""
        if holder in self._holders:
            self._holders.move_to_end(holder)

    def adopt(self, holder: Holder, count: int) -> None:
        """See `Holder.adopt`."""
        holder.buffered += count
        self._buffered += count
        self._holders[holder] = None
        self._holders.move_to_end(holder)

    def sent(self, holder: Holder, count: int) -> None:
        """See `Holder.sent`; a holder that has nothing left to put away is not asked any more."""
        holder.buffered -= count
        self._buffered -= count
        if not holder.buffered:
            self._holders.pop(holder, None)
            holder.pressed = False

    def _slab(self) -> Slab:
        self.used += 1
        return self._free.pop() if self._free else mmap.mmap(-1, self.slab_bytes)

    def _back(self, slabs: list[Slab]) -> None:
        self.used -= len(slabs)
        self._free.extend(slabs)
        self._trim()

    def _trim(self) -> None:
        # Some view may be left in a connection that is being closed: the last one to let go gives the memory back.
        del self._free[max(0, min(self.used + KEPT, self.most - self.used)) :]

    def _room(self, count: int) -> bool:
        """Whether there are so many slabs, once what is kept for nobody is forgotten."""
        while self.used + count > self.most:
            forgotten = self._forget()
            if not forgotten:
                return False
            self._back(forgotten)
        return True

    def _hand_out(self, holder: Holder, slabs: list[Slab]) -> list[Slab]:
        self.adopt(holder, len(slabs))
        return slabs

    def _serve(self) -> None:
        """Give the first in line what there is; when that is not enough, ask somebody to put bytes away."""
        while self._line:
            first = self._line[0]
            if first.future.cancelled():
                self._line.popleft()
                self._back(first.slabs)
                continue
            while len(first.slabs) < first.count and self._room(1):
                first.slabs.append(self._slab())
            if len(first.slabs) < first.count:
                break
            self._line.popleft()
            first.future.set_result(self._hand_out(first.holder, first.slabs))
        if self._line:
            self._press()

    def _press(self) -> None:
        """Have the stillest holders put away what the first in line need beyond what comes back by itself."""
        first = list(islice(self._line, ABREAST))
        on_their_way = self.used - self._buffered - sum(len(waiter.slabs) for waiter in first)
        missing = sum(waiter.count - len(waiter.slabs) for waiter in first) + self.used - self.most - on_their_way
        for holder in self._holders:
            if missing <= 0:
                return
            missing -= holder.buffered
            if not holder.pressed:
                holder.press()
