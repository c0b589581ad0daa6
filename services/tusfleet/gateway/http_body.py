"""The body of one request, straight from the parser: whole chunks, no copies, nothing lost when the client vanishes."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable

from tusfleet.gateway.http_flow import BODY, LANE, Flow, Timer, Waiter, settle
from tusfleet.gateway.http_intake import INTAKE
from tusfleet.gateway.http_lane import LANES_OF_THIS_PROCESS, Run
from tusfleet.uploads.models import BodyEnd
from tusfleet.uploads.ports import Pumped
from tusfleet.uploads.streams import parted

LEAVE_SECONDS = 0.25
"""Longest time for which a body that has to end goes on: what a vanished client had sent is in the kernel by then, a
few MiB at most, and one that is alive and sends on must not keep others waiting."""

LOOK_SECONDS = 0.005
"""Pause between two looks whether the kernel still has bytes of a body that has to end."""

NOTHING = Pumped(0)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Trailers:
    """Request trailers, valid once the body is complete; they are never mixed with the headers."""

    __slots__ = ("_fields", "size")

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self.size = 0

    def __len__(self) -> int:
        return len(self._fields)

    def read(self) -> list[tuple[bytes, bytes]]:
        """The fields in order, names in lower case."""
        return list(self._fields)

    def add(self, name: bytes, value: bytes) -> None:
        """Take one field."""
        self._fields.append((name, value))
        self.size += len(name) + len(value) + len(": \r\n")


class NativeBody:
    """A `ByteStream` fed by the parser.

    Parameters:
        flow: of the connection.
        timer: of the connection; while a body is read nobody else needs it.
        length: in bytes, None when it is chunked.
        expects: whether the client waits for 100 (Continue) before it sends the body.
        idle_timeout: longest pause in seconds.
        lane: from how many bytes on what is left may take the lane; None where it cannot.
        passed: is called when the last bytes went by the lane.
    """

    __slots__ = (
        "_chunks",
        "_dropped",
        "_flow",
        "_full",
        "_interrupted",
        "_lane",
        "_passed",
        "_run",
        "_timer",
        "_waiters",
        "arrived",
        "cut",
        "end",
        "expects",
        "idle_timeout",
        "length",
        "more",
        "passed_by",
        "queued",
        "wanted",
    )

    def __init__(
        self,
        flow: Flow,
        timer: Timer,
        length: int | None,
        *,
        expects: bool,
        idle_timeout: float,
        lane: int | None,
        passed: Callable[[], None],
    ) -> None:
        self._flow = flow
        self._timer = timer
        self._chunks: list[bytes] | None = None
        self._waiters: list[tuple[float, Waiter]] | None = None
        self._interrupted: BodyEnd | None = None
        self._dropped = False
        self._full = False
        self._lane = lane
        self._passed = passed
        self._run: Run | None = None
        self.length = length
        self.expects = expects
        self.idle_timeout = idle_timeout
        self.arrived = 0
        self.passed_by = 0
        """Of the bytes that have arrived, those that took the lane."""
        self.queued = 0
        self.wanted = 0
        self.more = True
        self.cut = False
        self.end: BodyEnd | None = None

    async def read(self, want: int, wait: float) -> list[bytes]:
        await self.first()
        self._judge()
        if wait > 0 and self.queued < want and self.open:
            self._want(want)
            # These are milliseconds, for which the timer of the connection is too coarse.
            late = asyncio.get_running_loop().call_later(wait, self._timeout)
            try:
                if not self._full:
                    await self._wait(want, None)
            finally:
                late.cancel()
                self._want(0)
        chunks = self.take(want)
        if not chunks:
            self.end = self._why()
        return chunks

    async def coming(self) -> int:
        await self.first()
        self._judge()
        left = self.left
        if not self.queued or not left:
            return self.queued
        return self.queued + min(left, self._flow.unread())

    @property
    def worth(self) -> int:
        """From how many bytes at a time on it is worth pumping, as things stand."""
        return sys.maxsize if self._lane is None or not self._fits(self._lane) else self._lane

    async def pump(self, file: int, position: int, want: int, seconds: float) -> Pumped:
        left = self.left
        if self._lane is None or left is None or not self._fits(self._lane) or self._flow.transport.is_closing():
            return NOTHING
        descriptor = self._flow.transport.get_extra_info("socket").fileno()
        self._flow.hold(LANE)
        want = min(max(0, want - self.queued), left)
        try:
            self._run = run = Run(descriptor, file, position, self._chunks or [], want, seconds)
        except OSError:
            # This process has no descriptor left for a lane; the event loop needs none.
            self._flow.release(LANE)
            return NOTHING
        self.take()
        try:
            return await LANES_OF_THIS_PROCESS.run(run)
        finally:
            self._run = None
            self.arrived += run.received
            self.passed_by += run.received
            if self.left == 0:
                self._passed()
            self._flow.release(LANE)

    def _fits(self, lane: int) -> bool:
        """Whether what is left is long enough for the lane, and there is one."""
        left = self.left
        return left is not None and left >= lane and self.open and not self.expects and LANES_OF_THIS_PROCESS.free

    def first(self) -> Awaitable[None]:
        """Wait until there is a byte, or the end; at most the idle timeout.

        No coroutine of its own: a silent client would hold its frame.
        """
        if not self._short_of(1):
            return _nothing()
        self._ask()
        return self._wait(1, self.idle_timeout)

    async def gone(self) -> None:
        """Wait until the client is gone, or the request is answered."""
        while not (self.cut or self._dropped or self._flow.lost):
            await self._wait(math.inf, None)

    def take(self, most: float = math.inf) -> list[bytes]:
        """The chunks that are there, at most so many bytes, and go on reading."""
        chunks, self._chunks, size = self._chunks or [], None, self.queued
        if size > most:
            chunks, self._chunks, size = *parted(chunks, int(most)), int(most)
        self._count(-size)
        self._balance()
        return chunks

    def interrupt(self) -> None:
        self._leave(asyncio.get_running_loop().time() + LEAVE_SECONDS)

    def _leave(self, deadline: float) -> None:
        """End the body as soon as what the client has sent so far is read, but for `deadline`."""
        if not self.open:
            return
        loop = asyncio.get_running_loop()
        if self._flow.unread() and loop.time() < deadline:
            loop.call_later(LOOK_SECONDS, self._leave, deadline)
            return
        self._interrupted = BodyEnd.INTERRUPTED
        self._flow.hold(BODY)
        self._notify()
        self._leave_lane()

    @property
    def open(self) -> bool:
        """Whether more bytes may come for a reader."""
        return self.more and not self.cut and not self._dropped and self._interrupted is None

    @property
    def broken(self) -> bool:
        """Whether the rest cannot be waited for: the client is gone, silent, or sends what makes no sense."""
        return self.cut or self._interrupted is BodyEnd.STALLED

    @property
    def left(self) -> int | None:
        """Bytes that have not arrived yet; None when nobody can know."""
        if not self.more:
            return 0
        return None if self.length is None else self.length - self.arrived

    def feed(self, chunk: bytes) -> None:
        """Queue what the parser found."""
        size = len(chunk)
        self.arrived += size
        if self._dropped:
            return
        if self._chunks is None:
            self._chunks = [chunk]
        else:
            self._chunks.append(chunk)
        self._count(size)
        self._balance()
        self._notify()

    def _want(self, size: int) -> None:
        """Have a reader wait for so many bytes, for which it has memory; 0: for none any more."""
        INTAKE.wanted += self.queued if size else -self.queued
        self.wanted = size
        if size:
            self._balance()

    def _count(self, size: int) -> None:
        """Have `size` bytes more queued."""
        self.queued += size
        INTAKE.used += size
        if self.wanted:
            INTAKE.wanted += size

    def _balance(self) -> None:
        """Read on, or not, as the memory of all bodies allows."""
        full = self.queued >= INTAKE.allowance(self.queued, self.wanted)
        if full is self._full or self._interrupted is not None:
            return
        self._full = full
        if full:
            self._flow.hold(BODY)
        else:
            self._flow.release(BODY)

    def complete(self) -> None:
        """Every byte has arrived."""
        self.more = False
        self._notify()

    def cut_off(self) -> None:
        """No more will come: the client is gone, or what it sends makes no sense."""
        self.cut = True
        self._notify()
        self._leave_lane()

    def drop(self) -> None:
        """Throw away what is queued and what will come: the request has been answered. Safe to repeat."""
        if self._dropped:
            return
        self._dropped = True
        self._chunks = None
        self._count(-self.queued)
        self._flow.release(BODY)
        self._notify()

    def _leave_lane(self) -> None:
        if self._run is not None:
            self._run.stop()

    def _ask(self) -> None:
        """Tell a client that waits for it to send the body, now that somebody reads (RFC 9110 section 10.1.1)."""
        if self.expects:
            self.expects = False
            self._flow.transport.write(CONTINUE)

    def _short_of(self, want: int) -> bool:
        return self.queued < want and self.open

    def _judge(self) -> None:
        """Take the client for stalled if `first` has waited in vain."""
        if self._short_of(1):
            self._interrupted = BodyEnd.STALLED

    def _why(self) -> BodyEnd:
        if self._interrupted is not None:
            return self._interrupted
        return BodyEnd.CUT if self.more else BodyEnd.COMPLETE

    def _notify(self) -> None:
        """Wake the readers whose bytes are there, or that wait in vain."""
        if self._waiters is not None:
            over = self._full or not self.open  # no more comes before some is taken
            for want, waiter in self._waiters:
                if over or self.queued >= want:
                    settle(waiter)

    def _timeout(self) -> None:
        for _, waiter in self._waiters or ():
            settle(waiter)

    async def _wait(self, want: float, seconds: float | None) -> None:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        entry = (want, waiter)
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(entry)
        if seconds is not None:
            self._timer.set(seconds, self._timeout)
        try:
            await waiter
        finally:
            self._waiters.remove(entry)
            if seconds is not None:
                self._timer.clear(self._timeout)  # unless the connection has set something else meanwhile


async def _nothing() -> None:
    pass
