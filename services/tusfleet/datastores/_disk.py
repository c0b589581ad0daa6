"""What every part of the file store needs of the operating system: writes, syncs, threads, and errors in our words."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar, TypeVarTuple

from tusfleet.uploads.errors import StoreFull, Unavailable, UploadError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_BUFFERS_PER_WRITE = 1024
"""IOV_MAX of Linux and macOS: more buffers in one call are refused."""

sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Make the bytes of a file durable; macOS has no fdatasync."""


def in_our_words(error: OSError) -> UploadError:
    """The error of the port that tells of an error of the operating system; paths stay out of it."""
    if error.errno in _FULL:
        return StoreFull("There is no space left in the data store; try again later at the offset that HEAD tells")
    return Unavailable(f"The data store cannot be used now ({error.strerror or 'unknown error'}); try again later")


@contextmanager
def reported() -> Iterator[None]:
    """Raise errors of the operating system as `StoreFull` or `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise in_our_words(error) from error


async def in_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Call `function` in a thread; on cancellation return only when the thread is done with it."""
    future = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await done(future)
        raise


async def done(future: asyncio.Future[T]) -> None:
    """Wait until `future` is done, whatever comes; its outcome is dropped.

    A cancellation takes effect only then: no thread may be at work on a file that is about to be closed.
    """
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if not future.cancelled():
        future.exception()
    if cancelled is not None:
        raise cancelled


def write_at(fd: int, chunks: Sequence[bytes], position: int) -> Iterator[int]:
    """Write `chunks` at `position`, giving the number of bytes after each call that wrote some.

    Raises:
        OSError: what was given before is written, nothing after it counts.
    """
    buffers: list[bytes | memoryview] = list(chunks)
    while buffers:
        written = os.pwritev(fd, buffers[:_BUFFERS_PER_WRITE], position)
        position += written
        yield written
        used = 0
        while used < len(buffers) and written >= len(buffers[used]):
            written -= len(buffers[used])
            used += 1
        del buffers[:used]
        if written:
            buffers[0] = memoryview(buffers[0])[written:]


def remove(path: str) -> None:
    """Take a file away, unless somebody has done so."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def sync_folder(path: str) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
