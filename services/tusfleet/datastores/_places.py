"""Where the files of a store are: unfinished bytes in `partial/<shard>/<id>`, finished files in `files/<key>`."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass

from tusfleet.datastores._disk import sync_folder
from tusfleet.datastores.keys import safe_key
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.models import Upload

SIDECAR = ".json"
"""Added to the key of a file to name its sidecar, and to an id to name the draft of one."""


def lost(upload: Upload) -> DataLost:
    """The error that tells of missing bytes."""
    return DataLost(f"Bytes below {upload.offset} of this upload are missing from the store; start a new one")


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

    def partial(self, id: str) -> str:
        """The file of the unfinished bytes of an upload."""
        shard = hashlib.sha256(id.encode()).hexdigest()[:2]
        return f"{self.root}/partial/{shard}/{id}"

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
        return self.file(key) if isinstance(key, str) else self.partial(upload.id)

    def make_folders(self) -> None:
        """Make every folder that is not there yet."""
        os.makedirs(self.files, exist_ok=True)
        for shard in range(256):
            os.makedirs(f"{self.partials}/{shard:02x}", exist_ok=True)
        if self.durable:
            sync_folder(self.partials)
            sync_folder(self.root)

    def make_partial(self, id: str) -> int:
        """Open the unfinished file of an upload for writing, making it if need be."""
        path = self.partial(id)
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
