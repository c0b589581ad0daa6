"""How a finished file gets its place: whole, under a name that nobody else has, also after a crash.

A file is placed by a hard link from `partial/` to `files/`, which never overwrites, and by removing the name in
`partial/`. Whoever repeats this after a crash must know the own file again, though the record tells no key yet:
by the inode number that the last checkpoint put into the record, or, for uploads without one (empty and concatenated
ones), by a mark in the fraction of a second of the file's modification time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from tusfleet.datastores import _sidecars as sidecars
from tusfleet.datastores._disk import sync_folder
from tusfleet.datastores._places import SIDECAR, Places
from tusfleet.datastores.keys import KeyTemplate
from tusfleet.uploads.models import Placement, Upload

_SECOND = 10**9

_MARK_UNIT = 100
"""Nanoseconds: what the coarsest file systems with fractions of a second keep (NTFS, SMB)."""

_PLACE_TRIES = 8
"""How often a folder is made again that the removal of its last file took away in the same moment."""

_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class Placer:
    """Puts finished files in their places and takes them away again. Everything here blocks.

    Parameters:
        places: the folders.
        template: names finished files.
        sidecar: whether they get a sidecar.
    """

    places: Places
    template: KeyTemplate
    sidecar: bool

    def place(self, upload: Upload) -> Placement:
        """Give the file of a complete upload its place, unless it has it already.

        Raises:
            DataLost: the bytes are not all there.
        """
        if "key" in upload.placement:
            os.close(self.places.open_bytes(self.places.source(upload), upload))
            return upload.placement
        partial = self.places.partial(upload.id)
        key = self.find(upload)
        if key is None:
            self._prepare(upload, partial)
            key = self._link(upload, partial)
        for path in (partial, partial + SIDECAR) if self.sidecar else (partial,):
            with suppress(FileNotFoundError):
                os.unlink(path)
        if self.places.durable:
            # Both names change in the order given here on every journalling file system, so one sync of each is enough.
            sync_folder(os.path.dirname(self.places.file(key)))
            sync_folder(os.path.dirname(partial))
        return {"key": key, "sidecar": True} if self.sidecar else {"key": key}

    def find(self, upload: Upload) -> str | None:
        """The key under which an earlier attempt has placed the file of an upload; None when there was none."""
        try:
            partial = os.lstat(self.places.partial(upload.id))
        except FileNotFoundError:
            partial = None
        if partial is not None and partial.st_nlink < 2:
            return None
        for key in self._candidates(upload):
            try:
                found = os.lstat(self.places.file(key))
            except (FileNotFoundError, NotADirectoryError):
                continue
            if _is_own(found, upload, partial):
                return key
        return None

    def remove(self, upload: Upload) -> None:
        """Take away everything of an upload, and folders that became empty."""
        partial = self.places.partial(upload.id)
        key = upload.placement.get("key")
        if isinstance(key, str):
            self._unlink_placed(key, beside=bool(upload.placement.get("sidecar")))
        elif (whole := _whole(upload)) is not None:
            self._remove_unrecorded(whole)
        for path in (partial, partial + SIDECAR):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def _unlink_placed(self, key: str, *, beside: bool) -> None:
        path = self.places.file(key)
        for name in (path, path + SIDECAR) if beside else (path,):
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(name)
        folder = os.path.dirname(path)
        while folder != self.places.files:
            try:
                os.rmdir(folder)
            except OSError:
                return  # it is in use, or gone already
            folder = os.path.dirname(folder)

    def _remove_unrecorded(self, upload: Upload) -> None:
        """Take away what an attempt to finish that crashed has left under the names it tries."""
        placed = self.find(upload)
        content = sidecars.render(upload)
        for key in self._candidates(upload):
            path = self.places.file(key)
            beside = sidecars.holds(path + SIDECAR, content)
            if beside or key == placed or sidecars.holds(path, _claim(upload.id)):
                self._unlink_placed(key, beside=beside)

    def _candidates(self, upload: Upload) -> Iterator[str]:
        return self.template.candidates(upload, len(SIDECAR) if self.sidecar else 0)

    def _prepare(self, upload: Upload, partial: str) -> None:
        """See that the unfinished file has exactly the bytes of the upload, and mark it."""
        if upload.offset:
            fd = self.places.open_bytes(partial, upload, os.O_RDWR)
        else:
            fd = self.places.make_partial(upload.id)
        try:
            found = os.fstat(fd)
            if found.st_size > upload.offset:
                os.ftruncate(fd, upload.offset)
            moment = found.st_mtime_ns // _SECOND * _SECOND + _mark(upload)
            os.utime(fd, ns=(moment, moment))
            if self.places.durable and found.st_size != upload.offset:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _link(self, upload: Upload, partial: str) -> str:
        content = sidecars.render(upload) if self.sidecar else None
        for key in self._candidates(upload):
            target = self.places.file(key)
            try:
                # First the sidecar: whoever sees the file finds it, and a name is taken when its sidecar's is.
                if content is not None:
                    self._put_sidecar(partial + SIDECAR, target + SIDECAR, content, upload.id)
                self._put(partial, target, upload.id)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                if content is not None and sidecars.holds(target + SIDECAR, content):
                    os.unlink(target + SIDECAR)
                continue
            return key
        raise FileExistsError(errno.EEXIST, "every name for the file is taken")

    def _put_sidecar(self, draft: str, target: str, content: bytes, id: str) -> None:
        if not sidecars.holds(target, content):
            sidecars.draft(draft, content, durable=self.places.durable)
            self._put(draft, target, id)

    def _put(self, source: str, target: str, id: str) -> None:
        """Let `source` appear as `target`, which must not exist, making the folders that it needs."""
        for _ in range(_PLACE_TRIES):
            try:
                _link_or_rename(source, target, id)
            except FileNotFoundError:
                self._make_folders(os.path.dirname(target))
            else:
                return
        raise FileNotFoundError(errno.ENOENT, "the folder of the file cannot be kept in place")

    def _make_folders(self, folder: str) -> None:
        made = []
        missing = folder
        while missing != self.places.files and not os.path.isdir(missing):
            made.append(missing)
            missing = os.path.dirname(missing)
        for path in reversed(made):
            with suppress(FileExistsError):
                os.mkdir(path)
            if self.places.durable:
                sync_folder(os.path.dirname(path))


def _whole(upload: Upload) -> Upload | None:
    """The upload as `finish` saw it; None when its finish cannot have begun."""
    if upload.is_final and upload.length is not None:
        # The offset of a final upload moves only in the commit after its finish.
        return replace(upload, offset=upload.length)
    return upload if upload.complete else None


def _is_own(found: os.stat_result, upload: Upload, partial: os.stat_result | None) -> bool:
    if partial is not None:
        return os.path.samestat(found, partial)
    if not stat.S_ISREG(found.st_mode) or found.st_size != upload.offset:
        return False
    return found.st_ino == upload.placement.get("ino") or found.st_mtime_ns % _SECOND == _mark(upload)


def _mark(upload: Upload) -> int:
    """A fraction of a second, in nanoseconds, that tells the files of different uploads of one name apart.

    An id may be used again once its record is forgotten, by a hook that chooses ids: so its time of creation counts.
    """
    whose = f"{upload.id} {upload.created_at.isoformat()}"
    digest = int.from_bytes(hashlib.sha256(whose.encode()).digest()[-8:], "big")
    return digest % (_SECOND // _MARK_UNIT) * _MARK_UNIT


def _claim(id: str) -> bytes:
    return f"taken by the upload {id}\n".encode()


def _link_or_rename(source: str, target: str, id: str) -> None:
    """Let `source` appear as `target` unless that exists.

    Without hard links the name is claimed by a small file, which the rename replaces; the claim is known again.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    claim = _claim(id)
    try:
        with open(target, "xb") as file:
            file.write(claim)
    except FileExistsError:
        if not sidecars.holds(target, claim):
            raise
    os.replace(source, target)
