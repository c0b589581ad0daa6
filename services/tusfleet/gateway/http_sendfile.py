"""Answers straight from a file: the kernel copies, and only clients that take bytes hold a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from tusfleet.gateway.http_flow import Flow

AVAILABLE = hasattr(os, "sendfile")
"""Whether this platform can do it."""

SLICE = 1024 * 1024
"""Bytes of one call: it may wait for the disk, and nothing can interrupt it meanwhile."""

TURN = 8 * SLICE
"""Bytes after which a fast client lets another one have its thread."""

THREADS = 8
"""Threads that may wait for the disk; a client that is not ready for more bytes holds none."""

_SENDERS = ThreadPoolExecutor(THREADS, thread_name_prefix="tusfleet-sendfile")

Turn = tuple[int, bool]
"""Bytes sent in one turn, and whether the socket took no more."""


class FileEnded(Exception):
    """The file ended before the bytes that were promised of it."""


async def send_file(flow: Flow, file: int, offset: int, count: int, tell: Callable[[int], object]) -> None:
    """Send `count` bytes of `file` from `offset` over the connection of `flow`, behind everything written before.

    `tell` is called with numbers of bytes that have been sent. Returns early when the client is gone. The descriptor
    may be closed as soon as this returns or is cancelled.

    Raises:
        FileEnded: the file is shorter.
        OSError: the file cannot be read, or the process has too many open files.
    """
    await flow.flush()
    if flow.lost or flow.transport.is_closing():
        return
    source = os.dup(file)
    try:
        target = os.dup(flow.transport.get_extra_info("socket").fileno())
    except OSError:
        os.close(source)
        raise
    job: Future[Turn] | None = None
    sent = 0
    try:
        while sent < count and not flow.lost:
            job = _SENDERS.submit(_pump, target, source, offset + sent, min(TURN, count - sent))
            done, blocked = await asyncio.wrap_future(job)
            sent += done
            tell(done)
            if blocked and not flow.lost:
                await flow.writable(target)
            elif not done and not blocked:
                raise FileEnded
    except ConnectionError:
        return  # the transport is about to learn it too
    finally:
        _when_done(job, source, target)


def _pump(target: int, source: int, offset: int, count: int) -> Turn:
    """Send until it is done, the file ends or the socket is full; tell how much, and whether it was full."""
    sent = 0
    while sent < count:
        try:
            done = os.sendfile(target, source, offset + sent, min(SLICE, count - sent))
        except BlockingIOError:
            return sent, True
        except ConnectionError:
            if not sent:
                raise
            return sent, False  # what was sent counts; the next turn meets the same
        if not done:
            return sent, False
        sent += done
    return sent, False


def _when_done(job: Future[Turn] | None, *descriptors: int) -> None:
    """Close descriptors, but not under a thread that still uses them: their numbers would mean other files."""
    if job is None or job.done():
        _close(descriptors)
    else:
        job.add_done_callback(partial(_close, descriptors))


def _close(descriptors: tuple[int, ...], _: object = None) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
