"""Locks on single bytes of files, one byte an id: the kernel keeps them, and frees those of a process that dies.

No byte is ever written. The locks belong to the open files of one `RangeLocks` ("open file description locks"), so
whatever else the process opens and closes leaves them alone. Where the system has none (macOS), they belong to the
process instead.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from tusfleet.uploads.errors import Unavailable

SHARDS = 64
"""Files. To set a lock the kernel looks at every other one of the same file, about 50 ns each: with 20,000 leases in
force that is a millisecond in one file, and 16 us in 64."""

_SET: int = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
_GET: int = getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK)

_START_BITS = 62
"""A position fits into the signed 64 bits of off_t, with its end."""

_BUSY = frozenset({errno.EAGAIN, errno.EACCES})

_BSD = sys.platform != "linux"


class RangeLocks:
    """Exclusive locks by id, among all that were opened on one folder.

    Two ids meet at the same byte once in 2^68; then they exclude each other between processes, and that is all.

    Parameters:
        folder: on a local disk; made when it is not there.

    Raises:
        Unavailable: the files cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._files: list[int] = []
        self._taken: dict[tuple[int, int], int] = {}
        try:
            folder.mkdir(exist_ok=True)
            for shard in range(SHARDS):
                self._files.append(os.open(folder / f"{shard:02x}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            self.close()
            raise Unavailable(f"The locks in {folder} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Free every lock. Safe to repeat."""
        files, self._files = self._files, []
        for file in files:
            os.close(file)

    def take(self, id: str) -> bool:
        """Take the lock of an id; False when somebody else has it. Whoever has it here already gets it again.

        Raises:
            Unavailable: the kernel has no room for it.
        """
        place = _place(id)
        if not self._set(place, fcntl.F_WRLCK):
            return False
        self._taken[place] = self._taken.get(place, 0) + 1
        return True

    def give(self, id: str) -> None:
        """Give back one `take`."""
        place = _place(id)
        left = self._taken[place] - 1
        if left:
            self._taken[place] = left
        else:
            del self._taken[place]
            self._set(place, fcntl.F_UNLCK)

    def elsewhere(self, id: str) -> bool:
        """Tell whether somebody else has the lock of an id."""
        shard, start = _place(id)
        found = fcntl.fcntl(self._files[shard], _GET, _packed(fcntl.F_WRLCK, start))
        return _kind(found) != fcntl.F_UNLCK

    def _set(self, place: tuple[int, int], kind: int) -> bool:
        shard, start = place
        try:
            fcntl.fcntl(self._files[shard], _SET, _packed(kind, start))
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise Unavailable(f"The upload cannot be locked: {error.strerror}") from error
        return True


def _place(id: str) -> tuple[int, int]:
    """The file and the byte of an id."""
    digest = int.from_bytes(blake2b(id.encode(), digest_size=16).digest(), "little")
    return digest % SHARDS, digest // SHARDS % (1 << _START_BITS)


def _packed(kind: int, start: int) -> bytes:
    """`struct flock` of fcntl(2), for one byte."""
    if _BSD:
        return struct.pack("qqihh", start, 1, 0, kind, os.SEEK_SET)
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, 1, 0)


def _kind(packed: bytes) -> int:
    values: Sequence[int] = struct.unpack("qqihh" if _BSD else "hhqqi4x", packed)
    return values[3] if _BSD else values[0]
