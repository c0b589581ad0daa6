"""An upload out of the reach of a holder that may still be at work though its lease is over.

What such a holder writes lands beyond the bytes that count, so these can be copied while it does so; after that its
file is nobody's. The copy costs nothing on file systems that share blocks (XFS, btrfs, NFS 4.2 and CephFS on such).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from tusfleet.datastores._copy import copy
from tusfleet.datastores._disk import in_thread, sync_data, sync_folder
from tusfleet.datastores._places import Places, lost, named_fence, own_fence, unfinished_at
from tusfleet.uploads.models import Upload


def needed(upload: Upload) -> bool:
    """Whether the bytes of an upload are in a file that somebody else may still write into."""
    return upload.offset > 0 and own_fence(upload) != named_fence(upload)


async def take_over(places: Places, upload: Upload) -> Upload:
    """Copy the bytes below the offset into a file of this lease, durably; gives the record that tells of it.

    Once that is committed, the former file is to be removed.

    Raises:
        DataLost: they are not all there.
        OSError: the copy is not there.
    """
    fence = own_fence(upload)
    path = places.partial(upload.id, fence)
    source = places.open_bytes(places.unfinished(upload), upload)
    try:
        target = places.make(path)
        try:
            ino = os.fstat(target).st_ino
            await _fill(places, upload, source, target, path)
        except BaseException:
            # What was copied is of no use until all of it is, and others need its room.
            with suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)
    return replace(upload, placement=unfinished_at(ino, fence))


async def _fill(places: Places, upload: Upload, source: int, target: int, path: str) -> None:
    if not await copy(source, target, upload.offset):
        raise lost(upload)
    if places.durable:
        await in_thread(sync_data, target)
        await in_thread(sync_folder, os.path.dirname(path))
