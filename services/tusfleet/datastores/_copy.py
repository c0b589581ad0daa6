"""Bytes from file to file inside the store, by the cheapest way the file system knows."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys

from tusfleet.datastores._disk import in_thread

SLICE_BYTES = 32 * 1024 * 1024
"""Bytes copied at a time: a copy that is cancelled goes on for at most some 50 ms."""

_BUFFER_BYTES = 1024 * 1024

_FICLONERANGE = 0x4020940D
"""_IOW(0x94, 13, struct file_clone_range) of linux/fs.h."""

_CLONE_UNIT = 4096
"""Clones begin at borders of blocks; this is the block of every file system that clones, or a refusal."""

_NOT_HERE = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS, errno.EBADF, errno.EPERM, errno.ETXTBSY}
)


async def copy(source: int, target: int, size: int, position: int = 0) -> bool:
    """Copy the first `size` bytes of `source` to `position` of `target`, in threads; False when there are fewer."""
    if os.fstat(source).st_size == size and await in_thread(clone, source, target, size, position):
        return True
    done = 0
    while done < size:
        copied = await in_thread(copy_slice, source, target, done, position + done, min(SLICE_BYTES, size - done))
        if not copied:
            return False
        done += copied
    return True


def clone(source: int, target: int, size: int, position: int) -> bool:
    """Let `target` share the first `size` bytes of `source` at `position`; False when that cannot be done here.

    The bytes must be the whole of `source`: only its end may lie inside a block.
    """
    if sys.platform != "linux" or not size or position % _CLONE_UNIT:
        return False
    try:
        fcntl.ioctl(target, _FICLONERANGE, struct.pack("=qQQQ", source, 0, size, position))
    except OSError as error:
        if error.errno in _NOT_HERE:
            return False
        raise
    return True


def copy_slice(source: int, target: int, start: int, position: int, size: int) -> int:
    """Copy at most `size` bytes, in the kernel where it can; gives how many, 0 when `source` has ended.

    Parameters:
        source, target: open files.
        start: position in `source`.
        position: position in `target`.
    """
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, size, start, position)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
    return _through_memory(source, target, start, position, size)


def _through_memory(source: int, target: int, start: int, position: int, size: int) -> int:
    data = os.pread(source, min(size, _BUFFER_BYTES), start)
    copied = 0
    while copied < len(data):
        copied += os.pwrite(target, memoryview(data)[copied:], position + copied)
    return copied
