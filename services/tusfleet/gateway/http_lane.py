"""The lane for bulk: bytes from the socket into a file by a thread, past the event loop and its allocations.

A fast client with a long body of known length needs nothing of the loop. A thread moves the bytes, in the kernel where
that can do it, and gives the connection back as soon as the client pauses: slow clients never hold one.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter

from tusfleet.uploads.ports import Pumped

STEP_BYTES = 1024 * 1024
"""Bytes moved at a time, and so of a thread's buffer or pipe."""

SPLICES = hasattr(os, "splice")
"""Whether the kernel can move bytes from socket to file by itself. On ext4 that costs 0.60 CPU-s/GiB; copying through
the process 0.74, and by the event loop 1.15."""

LANES = 8
"""Threads at most: some wait for the disk while others keep the cores busy. More uploads than that take the loop."""

PAUSE_MILLISECONDS = 20
"""A client that sends nothing for so long gets its connection back, and its next bytes come by the loop."""


class Lanes:
    """The threads of one process; made when the first body needs one."""

    def __init__(self, most: int = LANES) -> None:
        self._most = most
        self._taken = 0
        self._threads: ThreadPoolExecutor | None = None

    @property
    def free(self) -> bool:
        """Whether there is a thread for another body."""
        return self._taken < self._most

    async def run(self, run: Run) -> Pumped:
        """Have a thread do `run`; when this is cancelled, it has ended before the cancellation goes on."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="tusfleet-lane")
        self._taken += 1
        job = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.shield(job)
        finally:
            run.stop()
            while not job.done():
                # A second cancellation must not leave a thread at work on descriptors that are about to be closed.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((job,))
            self._taken -= 1
            run.close()


class Run:
    """One run of one body through a thread.

    Parameters:
        connection: descriptor of the socket, which does not block.
        file: descriptor of the file.
        position: where the first byte goes.
        head: bytes that have come by the event loop, and are written first.
        want: bytes from the socket after which it ends.
        seconds: time after which it ends.
    """

    __slots__ = ("_file", "_head", "_position", "_seconds", "_socket", "_stopped", "_want", "received", "written")

    def __init__(
        self, connection: int, file: int, position: int, head: Sequence[bytes], want: int, seconds: float
    ) -> None:
        # A descriptor of its own: the number of a connection that is closed meanwhile would mean another one.
        self._socket = socket.socket(fileno=os.dup(connection))
        self._socket.setblocking(False)
        self._file = file
        self._position = position
        self._head = head
        self._want = want
        self._seconds = seconds
        self._stopped = False
        self.received = 0
        self.written = 0

    def stop(self) -> None:
        """End soon."""
        self._stopped = True

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def __call__(self) -> Pumped:
        """Move bytes until there are enough, or none for a moment, or the time is over."""
        deadline = perf_counter() + self._seconds
        way = _way()
        readable = select.poll()
        readable.register(self._socket, select.POLLIN)
        try:
            for chunk in self._head:
                for written in _write_all(self._file, self._position + self.written, memoryview(chunk)):
                    self.written += written
            while self.received < self._want and not self._stopped and perf_counter() < deadline:
                try:
                    size = way.receive(self._socket, min(STEP_BYTES, self._want - self.received))
                except BlockingIOError:
                    if not readable.poll(PAUSE_MILLISECONDS):
                        break
                    continue
                except OSError:
                    break  # the event loop is about to see the same
                if not size:
                    break
                self.received += size
                for written in way.write(self._file, self._position + self.written, size):
                    self.written += written
        except OSError as error:
            _leave(way)
            return Pumped(self.written, error)
        return Pumped(self.written)


class _Copy:
    """Through a buffer of the thread: on every system."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(STEP_BYTES))

    def receive(self, connection: socket.socket, most: int) -> int:
        return connection.recv_into(self._buffer[:most])

    def write(self, file: int, position: int, size: int) -> Iterator[int]:
        yield from _write_all(file, position, self._buffer[:size])

    def close(self) -> None:
        """Nothing of a failed write is left in a buffer that is filled anew."""


class _Splice:
    """Through a pipe of the thread, so that the bytes never enter the process: Linux."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        with suppress(OSError):
            # Unprivileged users may have only so much in pipes; a smaller one works too.
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, STEP_BYTES)

    def receive(self, connection: socket.socket, most: int) -> int:
        return os.splice(connection.fileno(), self._in, most, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)

    def write(self, file: int, position: int, size: int) -> Iterator[int]:
        while size:
            try:
                written = os.splice(self._out, file, size, offset_dst=position, flags=os.SPLICE_F_MOVE)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # This file system takes no pipes.
                yield from _write_all(file, position, memoryview(os.read(self._out, size)))
                return
            yield written
            position += written
            size -= written

    def close(self) -> None:
        """What is left of a failed write must not come before the bytes of the next body."""
        os.close(self._out)
        os.close(self._in)


def _write_all(file: int, position: int, data: memoryview) -> Iterator[int]:
    while data:
        written = os.pwrite(file, data, position)
        yield written
        position += written
        data = data[written:]


_threads = threading.local()


def _way() -> _Copy | _Splice:
    """How this thread moves bytes; it keeps its buffer or pipe."""
    way: _Copy | _Splice | None = getattr(_threads, "way", None)
    if way is None:
        way = _threads.way = _Splice() if SPLICES else _Copy()
    return way


def _leave(way: _Copy | _Splice) -> None:
    _threads.way = None
    way.close()


LANES_OF_THIS_PROCESS = Lanes()
