"""Where the bytes of an upload come from: a file on disk, or a window over a stream that cannot be read twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

from tusfleet.cli.failures import Failure
from tusfleet.cli.text import printable

BLOCK = 256 * 1024
"""Bytes read and sent at a time: one system call each, and nothing to speak of in memory."""


class Content(Protocol):
    """Bytes by their offset in the upload."""

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces of at most `BLOCK`."""
        ...


class Changed(Failure):
    """The file is not any more what it was when the upload began."""


class LocalFile:
    """A regular file; threads may read it at the same time.

    Raises:
        Failure: it is missing, unreadable or no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = printable(str(path))
        try:
            # Opening a pipe would wait for its other end.
            self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Failure(f"{self._name} cannot be read: {error.strerror}") from None
        status = os.fstat(self._handle)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise Failure(f"{self._name} is {what}; name a file, or - for standard input")
        self.size = status.st_size
        self.modified = status.st_mtime_ns

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def check(self) -> None:
        """Make sure that the file is what it was.

        Raises:
            Changed: its size or its time of modification is another.
        """
        status = os.fstat(self._handle)
        if status.st_size < self.size:
            raise Changed(f"{self._name} shrank from {self.size} to {status.st_size} bytes while it was being sent")
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
            raise Changed(f"{self._name} changed while it was being sent; run the command again to send it anew")

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Bytes from `start` up to `stop` of the file.

        Raises:
            Changed: the file is not what it was; what was read of it is not given out.
        """
        while start < stop:
            try:
                block = os.pread(self._handle, min(BLOCK, stop - start), start)
            except OSError as error:
                raise Failure(f"{self._name} cannot be read: {error.strerror}") from None
            # Before the block goes out: so a changed file never becomes a finished upload.
            self.check()
            if not block:
                raise Changed(f"{self._name} ended early, at {start} bytes")
            yield block
            start += len(block)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A run of a file that is an upload of its own; the whole file is one as well."""

    file: LocalFile
    first: int
    size: int

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        return self.file.read(self.first + start, self.first + stop)


@dataclass(frozen=True, slots=True)
class Window:
    """The bytes of a stream that the server has not acknowledged yet."""

    first: int
    held: bytes

    @property
    def stop(self) -> int:
        return self.first + len(self.held)

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        if start < self.first:
            raise Failure(f"The server went back to {start} bytes; those before {self.first} cannot be read again")
        view = memoryview(self.held)[start - self.first : stop - self.first]
        for index in range(0, len(view), BLOCK):
            yield bytes(view[index : index + BLOCK])


def windows(stream: BinaryIO, size: int) -> Iterator[tuple[Window, bool]]:
    """A stream in windows of `size` bytes, each with whether it is the last; an empty stream has one.

    A window that is full may turn out to have been the last only when the next one is empty.
    """
    first, last = 0, False
    while not last:
        held = _filled(stream, size)
        last = len(held) < size
        yield Window(first, held), last
        first += len(held)


def _filled(stream: BinaryIO, size: int) -> bytes:
    pieces, missing = [], size
    while missing:
        try:
            piece = stream.read(min(missing, BLOCK))
        except OSError as error:
            raise Failure(f"Standard input cannot be read: {error.strerror}") from None
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
