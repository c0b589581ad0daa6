"""What one connection waits for: a deadline that moves cheaply, and reading and writing that are held back."""

from __future__ import annotations

import asyncio
import fcntl
import math
import struct
import termios
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

BODY = 1
"""Reading is held because enough of a body is queued, or its reader wants no more of it."""

PIPELINE = 2
"""Reading is held because another request waits already."""

LANE = 4
"""Reading is held because a thread reads."""

RESOLUTION = 0.002
"""Seconds by which the clock of an event loop may be behind its timers."""

TICK = 0.1
"""Seconds by which a deadline of a connection may be late."""

Waiter = asyncio.Future[None]


class _Clock:
    """The deadlines of all connections of one event loop, `TICK` seconds of them at a time in one timer of the loop.

    A timer of the loop takes seven hundred bytes; thousands of silent clients would have as many.
    """

    __slots__ = ("_loop", "_ticks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)  # it is the key to this object
        self._ticks: dict[int, set[Timer]] = {}

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Whose clock it is."""
        loop = self._loop()
        assert loop is not None
        return loop

    def add(self, timer: Timer, due: float) -> int:
        """Have `timer` fire within `TICK` seconds after `due`; give the tick in which it does."""
        tick = math.ceil(due / TICK)
        waiting = self._ticks.get(tick)
        if waiting is None:
            waiting = self._ticks[tick] = set()
            self.loop.call_at(tick * TICK, self._fire, tick)
        waiting.add(timer)
        return tick

    def discard(self, timer: Timer, tick: int) -> None:
        """Forget what `add` was told."""
        waiting = self._ticks.get(tick)
        if waiting is not None:
            waiting.discard(timer)

    def _fire(self, tick: int) -> None:
        for timer in self._ticks.pop(tick):
            try:
                timer.fire()
            except Exception as error:  # noqa: BLE001 - those of the others have to come all the same
                self.loop.call_exception_handler({"message": "A deadline of a connection failed", "exception": error})


_CLOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Clock] = WeakKeyDictionary()


class Timer:
    """One deadline of a connection.

    It moves with every request, mostly further away: then only a number changes, and it is armed anew when it fires
    too early. A request costs no timer of the loop.
    """

    __slots__ = ("_clock", "_due", "_expired", "_tick")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        clock = _CLOCKS.get(loop)
        if clock is None:
            clock = _CLOCKS[loop] = _Clock(loop)
        self._clock = clock
        self._tick: int | None = None
        self._due = math.inf
        self._expired: Callable[[], None] | None = None

    def set(self, seconds: float, expired: Callable[[], None]) -> None:
        """Have `expired` called in `seconds`, or up to `TICK` later, instead of whatever was set before."""
        self._due = self._clock.loop.time() + seconds
        self._expired = expired
        if self._tick is None or self._tick * TICK > self._due + TICK:
            self._arm()

    def clear(self, expired: Callable[[], None] | None = None) -> None:
        """Set nothing; given `expired`, only if it is what was set."""
        if expired is None or self._expired == expired:
            self._expired = None

    def close(self) -> None:
        """Set nothing, and leave nothing behind in the loop."""
        self._expired = None
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        self._tick = self._clock.add(self, self._due)

    def _disarm(self) -> None:
        if self._tick is not None:
            self._clock.discard(self, self._tick)
            self._tick = None

    def fire(self) -> None:
        """Call what is set, if it is due."""
        self._tick = None
        expired = self._expired
        if expired is None:
            return
        if self._due - self._clock.loop.time() > RESOLUTION:
            self._arm()
            return
        self._expired = None
        expired()


class Flow:
    """Reading and writing of one connection.

    Parameters:
        loop: where it lives.
        transport: of the connection.
        idle_timeout: seconds in which the client must take something of what is written, or it is cut.
    """

    __slots__ = ("_held", "_idle", "_loop", "_timer", "_unsent", "_waiters", "lost", "transport", "write_paused")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, idle_timeout: float) -> None:
        self.transport = transport
        self.write_paused = False
        self.lost = False
        self._loop = loop
        self._idle = idle_timeout
        self._held = 0
        self._unsent = 0
        self._timer: Timer | None = None
        self._waiters: list[Waiter] | None = None

    def hold(self, reason: int) -> None:
        """Read no more, for `BODY`, `PIPELINE` or `LANE`."""
        if not self._held:
            self.transport.pause_reading()
        self._held |= reason

    def release(self, reason: int) -> None:
        """Read on, unless there is another reason not to."""
        if self._held & reason:
            self._held &= ~reason
            if not self._held and not self.lost:
                self.transport.resume_reading()

    def unread(self) -> int:
        """Bytes that have come and that nobody has read."""
        return 0 if self.lost or self.transport.is_closing() else self._kernel(termios.FIONREAD)

    def pause_writing(self) -> None:
        """The transport has enough to write: whoever writes waits, and the client has to take something."""
        self.write_paused = True
        self._watch()

    def resume_writing(self) -> None:
        """The transport takes more."""
        self.write_paused = False
        if self.transport.is_closing():
            self._watch()  # a rest is left, which nobody waits for but the end of the connection
        elif self._timer is not None:
            self._timer.clear()
        self.wake()

    async def drain(self) -> None:
        """Wait until the transport takes more, or the client is gone."""
        while self.write_paused and not self.lost:
            await self.woken()

    async def flush(self) -> None:
        """Wait until everything written has left for the kernel, or the client is gone."""
        if not self.lost and not self.transport.is_closing():
            self.transport.set_write_buffer_limits(0)
            try:
                await self.drain()
            finally:
                if not self.transport.is_closing():
                    self.transport.set_write_buffer_limits()

    async def woken(self, waiter: Waiter | None = None) -> None:
        """Wait for the next `wake`, or for somebody else who has `waiter`."""
        waiter = waiter or self._loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters = [other for other in self._waiters or () if other is not waiter] or None

    async def writable(self, descriptor: int) -> None:
        """Wait until `descriptor`, a duplicate of the connection's, takes bytes, or the client is gone."""
        waiter: Waiter = self._loop.create_future()
        self._loop.add_writer(descriptor, settle, waiter)
        self._watch()
        try:
            await self.woken(waiter)
        finally:
            self._loop.remove_writer(descriptor)
            if self._timer is not None:
                self._timer.clear()

    def wake(self) -> None:
        """Wake whoever waits to write."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            settle(waiter)

    def close(self) -> None:
        """End the connection once everything is written; a client that takes nothing does not keep it open."""
        if not self.lost:
            self.transport.close()
            if self.transport.get_write_buffer_size():
                self._watch()

    def closed(self) -> None:
        """The connection is gone."""
        self.lost = True
        if self._timer is not None:
            self._timer.close()
        self.wake()

    def _watch(self) -> None:
        self._unsent = self._queued()
        if self._timer is None:
            self._timer = Timer(self._loop)
        self._timer.set(self._idle, self._look)

    def _look(self) -> None:
        if self.lost:
            return
        if self._queued() < self._unsent:
            self._watch()
        else:
            self.transport.abort()

    def _queued(self) -> int:
        """Bytes on their way: ours, and those the kernel keeps until the client has taken them.

        A slow client empties megabytes of the kernel's before the socket becomes writable; that is progress too.
        """
        return self.transport.get_write_buffer_size() + self._kernel(termios.TIOCOUTQ)

    def _kernel(self, question: int) -> int:
        """How many bytes the kernel keeps for this connection, in the direction that `question` names."""
        connection = self.transport.get_extra_info("socket")
        try:
            answer = fcntl.ioctl(connection.fileno(), question, b"\0\0\0\0")
        except OSError:
            return 0
        return int(struct.unpack("i", answer)[0])


def settle(waiter: Waiter) -> None:
    """Resolve `waiter`, if it still waits."""
    if not waiter.done():
        waiter.set_result(None)
