"""Where the files of a store are: unfinished bytes in `partial/<shard>/<id>`, finished files in `files/<key>`.

Where a holder may outlive its lease (`Upload.doubt`), nothing can keep it from writing into a file that it has open, or
knows the name of. There the file of unfinished bytes is `partial/<shard>/<id>.<fence>`, and only the lease of that
fence makes it. The placement in the record names it. A lease goes on with it unless an earlier one, which may know the
file, is in doubt: then it makes a file of its own (`_takeover`). So a holder that is late meets files that nobody uses
any more. And since fences only grow, whatever it makes or removes later has a name that nobody else has, or will have.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from tusfleet.datastores._disk import sync_folder
from tusfleet.datastores.keys import safe_key
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.models import Placement, Upload, valid_id

SIDECAR = ".json"
"""Added to the key of a file to name its sidecar, and to an id to name the draft of one."""


GRAVE = ".gone"
"""Ends the name of a finished file on its way out."""

FENCE = "fence"
"""Key of a placement: the fence in the name of the unfinished file; without it there is none in the name."""


def named_fence(upload: Upload) -> int:
    """The fence in the name of the unfinished file that the record tells of, 0 for a name without one."""
    fence = upload.placement.get(FENCE)
    return fence if isinstance(fence, int) else 0


def own_fence(upload: Upload) -> int:
    """The fence in the name of the unfinished file into which the holder of an upload may write."""
    named = named_fence(upload)
    return named if upload.doubt is None or upload.doubt < named else upload.fence


def unfinished_at(ino: int, fence: int) -> Placement:
    """The placement of unfinished bytes in the file of this inode, with `fence` in its name."""
    return {"ino": ino, FENCE: fence} if fence else {"ino": ino}


def lost(upload: Upload) -> DataLost:
    """The error that tells of missing bytes."""
    return DataLost(f"Bytes below {upload.offset} of this upload are missing from the store; start a new one")


@lru_cache(maxsize=1024)
def _shard(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:2]


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of a store below `root`; `durable` tells whether the names in them are synced."""

    root: str
    durable: bool

    @property
    def partials(self) -> str:
        """The folder of unfinished bytes."""
        return f"{self.root}/partial"

    @property
    def files(self) -> str:
        """The folder of finished files."""
        return f"{self.root}/files"

    def partial(self, id: str, fence: int = 0) -> str:
        """A file of unfinished bytes of an upload."""
        shard = _shard(id)
        return f"{self.root}/partial/{shard}/{id}.{fence}" if fence else f"{self.root}/partial/{shard}/{id}"

    def unfinished(self, upload: Upload) -> str:
        """The file of the unfinished bytes of an upload; one that has none is the holder's to make."""
        return self.partial(upload.id, named_fence(upload) if upload.offset else own_fence(upload))

    def draft(self, upload: Upload) -> str:
        """Where the holder of an upload makes its sidecar."""
        return self.partial(upload.id, own_fence(replace(upload, placement={}))) + SIDECAR

    def grave(self, path: str, upload: Upload) -> str:
        """Where a finished file goes while its holder looks whose it is; only that holder knows the name."""
        kind = SIDECAR if path.endswith(SIDECAR) else ""
        return self.partial(upload.id, upload.fence) + kind + GRAVE

    def parse(self, path: str) -> tuple[str, int] | None:
        """The id and the fence in the name of an unfinished file, or of the draft of a sidecar; None for others."""
        id, dot, digits = os.path.basename(path).removesuffix(SIDECAR).partition(".")
        if not valid_id(id) or (dot and not (digits.isdecimal() and digits.isascii())):
            return None
        fence = int(digits or 0)
        return (id, fence) if path.removesuffix(SIDECAR) == self.partial(id, fence) else None

    def all_of(self, upload: Upload) -> Iterator[str]:
        """Whatever files of unfinished bytes the leases of an upload have made, up to the present one."""
        if upload.doubt is None:
            partial = self.partial(upload.id, named_fence(upload))
            yield from (partial, partial + SIDECAR)
        else:
            yield from self._beside(upload, "")

    def graves_of(self, upload: Upload) -> Iterator[str]:
        """Where the leases of an upload, up to the present one, have left finished files that were on their way out."""
        if upload.doubt is not None:
            yield from self._beside(upload, GRAVE)

    def _beside(self, upload: Upload, end: str) -> Iterator[str]:
        folder = os.path.dirname(self.partial(upload.id))
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                path = f"{folder}/{name}"
                if not (name.startswith(upload.id) and name.endswith(end)):
                    continue
                found = self.parse(path.removesuffix(end))
                if found is not None and found[0] == upload.id and found[1] <= upload.fence:
                    yield path

    def file(self, key: str) -> str:
        """The finished file of a key.

        Raises:
            DataLost: a key that leads out of the folder; no key of ours does.
        """
        if not safe_key(key):
            raise DataLost("The record of this upload names no file of the store")
        return f"{self.root}/files/{key}"

    def source(self, upload: Upload) -> str:
        """The file that holds the bytes of an upload, as its record knows it."""
        key = upload.placement.get("key")
        return self.file(key) if isinstance(key, str) else self.partial(upload.id, named_fence(upload))

    def make_folders(self) -> None:
        """Make every folder that is not there yet."""
        os.makedirs(self.files, exist_ok=True)
        for shard in range(256):
            os.makedirs(f"{self.partials}/{shard:02x}", exist_ok=True)
        if self.durable:
            sync_folder(self.partials)
            sync_folder(self.root)

    def make(self, path: str) -> int:
        """Open an unfinished file for writing, making it if need be."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            # Somebody has removed an empty folder.
            with suppress(FileExistsError):
                os.mkdir(os.path.dirname(path))
            if self.durable:
                sync_folder(self.partials)
        return os.open(path, flags, 0o666)

    def make_own(self, path: str) -> tuple[int, os.stat_result]:
        """The same for a file that is to be filled from its beginning: one that has been placed already stays as it is.

        It was placed under a name that the template of today does not give, or by an attempt that was not committed.
        """
        fd = self.make(path)
        found = os.fstat(fd)
        if found.st_nlink > 1:
            os.close(fd)
            os.unlink(path)
            fd = self.make(path)
            found = os.fstat(fd)
        return fd, found

    def open_bytes(self, path: str, upload: Upload, flags: int = os.O_RDONLY) -> int:
        """Open a file that holds the bytes of an upload.

        Raises:
            DataLost: it is not there, or has fewer bytes than the record says.
            OSError: the store itself is not there, such as a disk that is not mounted.
        """
        try:
            # A name in the store never stands for a file elsewhere.
            fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            os.stat(self.partials)
            os.stat(self.files)
            raise lost(upload) from None
        if os.fstat(fd).st_size < upload.offset:
            os.close(fd)
            raise lost(upload)
        return fd
