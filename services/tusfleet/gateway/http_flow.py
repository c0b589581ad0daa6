"""What one connection waits for: a deadline that moves cheaply, and reading and writing that are held back."""

from __future__ import annotations

import asyncio
import fcntl
import math
import struct
import termios
from asyncio.events import TimerHandle
from collections.abc import Callable

BODY = 1
"""Reading is held because enough of a body is queued, or its reader wants no more of it."""

PIPELINE = 2
"""Reading is held because another request waits already."""

LANE = 4
"""Reading is held because a thread reads."""

RESOLUTION = 0.002
"""Seconds by which the clock of an event loop may be behind its timers."""

Waiter = asyncio.Future[None]


class Timer:
    """One deadline of a connection.

    It moves with every request, mostly further away: then only a number changes, and the timer of the loop is armed
    anew when it fires too early. A request costs no timer handle.
    """

    __slots__ = ("_armed", "_due", "_expired", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: TimerHandle | None = None
        self._armed = math.inf
        self._due = math.inf
        self._expired: Callable[[], None] | None = None

    def set(self, seconds: float, expired: Callable[[], None]) -> None:
        """Have `expired` called in `seconds`, instead of whatever was set before."""
        self._due = self._loop.time() + seconds
        self._expired = expired
        if self._armed > self._due:
            self._arm()

    def clear(self, expired: Callable[[], None] | None = None) -> None:
        """Set nothing; given `expired`, only if it is what was set."""
        if expired is None or self._expired == expired:
            self._expired = None

    def close(self) -> None:
        """Set nothing, and leave nothing behind in the loop."""
        self._expired = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed = math.inf

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed = self._due
        self._handle = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._armed = math.inf
        expired = self._expired
        if expired is None:
            return
        if self._due - self._loop.time() > RESOLUTION:
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
