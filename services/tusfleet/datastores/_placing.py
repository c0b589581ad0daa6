"""How a finished file gets its place: whole, under a name that nobody else has, also after a crash.

A file is placed by a hard link from `partial/` to `files/`, which never overwrites, and by removing the name in
`partial/`. Whoever repeats this after a crash must know the own file again, though the record tells no key yet:
by the inode number that the last checkpoint put into the record, or, for uploads without one (empty and concatenated
ones), by a mark in the fraction of a second of the file's modification time.

A holder that goes on after its lease (`Upload.doubt`) does no harm here: what it may still place is a file that holds
all bytes of the upload, from a name that goes away with the first finish; its own copy, where it has made one, gives
way to the one that it finds in the place; and what it removes late has to have the mark of its own upload.
"""

from __future__ import annotations

import errno
import filecmp
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from tusfleet.datastores import _marks as marks
from tusfleet.datastores import _sidecars as sidecars
from tusfleet.datastores._disk import remove, sync_folder
from tusfleet.datastores._places import SIDECAR, Places
from tusfleet.datastores.keys import KeyTemplate
from tusfleet.uploads.models import Placement, Upload

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
        at_once: whether a file may have been placed before its bytes were committed, and never were.
    """

    places: Places
    template: KeyTemplate
    sidecar: bool
    at_once: bool

    def place(self, upload: Upload) -> Placement:
        """Give the file of a complete upload its place, unless it has it already.

        Raises:
            DataLost: the bytes are not all there.
        """
        if "key" in upload.placement:
            os.close(self.places.open_bytes(self.places.source(upload), upload))
            return upload.placement
        partial = self.places.unfinished(upload)
        key = self.find(upload)
        if key is None:
            self._prepare(upload, partial)
            key = self._link(upload, partial)
        for path in (partial,) if upload.doubt is None and not self.sidecar else self.places.all_of(upload):
            remove(path)
        if self.places.durable:
            # Both names change in the order given here on every journalling file system, so one sync of each is enough.
            sync_folder(os.path.dirname(self.places.file(key)))
            sync_folder(os.path.dirname(partial))
        return {"key": key, "sidecar": True} if self.sidecar else {"key": key}

    def find(self, upload: Upload) -> str | None:
        """The key under which an earlier attempt has placed the file of an upload; None when there was none."""
        try:
            partial = os.lstat(self.places.unfinished(upload))
        except FileNotFoundError:
            partial = None
        return None if partial is not None and partial.st_nlink < 2 else self._placed(upload, partial)

    def _placed(self, upload: Upload, partial: os.stat_result | None) -> str | None:
        """The key of the file of an upload: that of the unfinished one if it is there, else by what it is like."""
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
        key = upload.placement.get("key")
        if isinstance(key, str):
            self._remove_placed(upload, key, beside=bool(upload.placement.get("sidecar")))
        elif (whole := _whole(upload)) is not None:
            self._remove_unrecorded(whole, self.find(whole))
        else:
            self.forget(upload)
        for path in self.places.all_of(upload):
            remove(path)
        for path in self.places.graves_of(upload):
            if _is_file_of(path, upload) or _is_sidecar_of(path, upload):
                remove(path)

    def forget(self, upload: Upload) -> None:
        """Take away what an attempt has placed that was not committed, so that the record tells of no byte."""
        if self.at_once and upload.length is not None and not upload.offset:
            whole = replace(upload, offset=upload.length)
            self._remove_unrecorded(whole, self._placed(whole, None))

    def _remove_placed(self, upload: Upload, key: str, *, beside: bool) -> None:
        path = self.places.file(key)
        self._take_away(path, upload, _is_file_of)
        if beside:
            self._take_away(path + SIDECAR, upload, _is_sidecar_of)
        self._prune(os.path.dirname(path))

    def _take_away(self, path: str, upload: Upload, is_own: Callable[[str, Upload], bool]) -> None:
        """Remove a file of an upload.

        The name may be another's by now, who took it after somebody else had removed the file, while this holder was
        late. So where that can be, it is looked at; and once more under a name that nobody else uses, for time may have
        passed in between: then it goes back.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            if upload.doubt is None:
                os.unlink(path)
            elif is_own(path, upload):
                grave = self.places.grave(path, upload)
                os.rename(path, grave)
                if not is_own(grave, upload):
                    _link_or_rename(grave, path, upload.id)
                remove(grave)

    def _prune(self, folder: str) -> None:
        """Take away a folder of finished files and those around it, as far as they are empty."""
        while folder != self.places.files:
            try:
                os.rmdir(folder)
            except OSError:
                return  # it is in use, or gone already
            folder = os.path.dirname(folder)

    def _remove_unrecorded(self, upload: Upload, placed: str | None) -> None:
        """Take away what an attempt to finish that crashed has left under the names it tries, the file itself too."""
        content = sidecars.render(upload)
        for key in self._candidates(upload):
            path = self.places.file(key)
            beside = sidecars.holds(path + SIDECAR, content)
            if beside or key == placed or sidecars.holds(path, _claim(upload.id)):
                self._remove_placed(upload, key, beside=beside)

    def _candidates(self, upload: Upload) -> Iterator[str]:
        return self.template.candidates(upload, len(SIDECAR) if self.sidecar else 0)

    def _prepare(self, upload: Upload, partial: str) -> None:
        """See that the unfinished file has exactly the bytes of the upload, and mark it."""
        fd = self.places.open_bytes(partial, upload, os.O_RDWR) if upload.offset else self.places.make(partial)
        try:
            found = os.fstat(fd)
            if found.st_size > upload.offset:
                os.ftruncate(fd, upload.offset)
            moment = marks.marked(found, upload)
            os.utime(fd, ns=(moment, moment))
            if self.places.durable and found.st_size != upload.offset:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _link(self, upload: Upload, partial: str) -> str:
        content = sidecars.render(upload) if self.sidecar else None
        for key in self._candidates(upload):
            target = self.places.file(key)
            made = False
            try:
                # First the sidecar: whoever sees the file finds it, and a name is taken when its sidecar's is.
                if content is not None:
                    made = self._put_sidecar(self.places.draft(upload), target + SIDECAR, content, upload.id)
                self._put(partial, target, upload.id)
            except FileNotFoundError:
                # Another holder has placed it, perhaps here and with this sidecar, or it has ended.
                if made and not (os.path.lexists(target) and _is_file_of(target, upload)):
                    self._take_away(target + SIDECAR, upload, _is_sidecar_of)
                self._prune(os.path.dirname(target))
                raise
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                if _is_there(partial, target, upload):
                    return key
                if self.at_once and _has_mark(target, upload):
                    # Of an attempt that nobody was told of: what has come now counts.
                    os.replace(partial, target)
                    return key
                if content is not None and sidecars.holds(target + SIDECAR, content):
                    os.unlink(target + SIDECAR)
                continue
            return key
        raise FileExistsError(errno.EEXIST, "every name for the file is taken")

    def _put_sidecar(self, draft: str, target: str, content: bytes, id: str) -> bool:
        """Let the sidecar appear; tells whether it was not there yet."""
        if sidecars.holds(target, content):
            return False
        sidecars.draft(draft, content, durable=self.places.durable)
        try:
            self._put(draft, target, id)
        except FileExistsError:
            if not sidecars.holds(target, content):
                raise
            return False  # another holder has put it there just now
        return True

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
    return found.st_ino == upload.placement.get("ino") or marks.has(found, upload)


def _is_there(partial: str, target: str, upload: Upload) -> bool:
    """Whether another holder has placed the upload meanwhile: this file, or its own copy of the same bytes."""
    try:
        found = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        if os.path.samestat(os.lstat(partial), found):
            return True
        return marks.has(found, upload) and stat.S_ISREG(found.st_mode) and filecmp.cmp(partial, target, shallow=False)
    except FileNotFoundError:
        return marks.has(found, upload) and found.st_size == upload.offset


def _has_mark(path: str, upload: Upload) -> bool:
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and marks.has(found, upload)


def _is_file_of(path: str, upload: Upload) -> bool:
    """Whether a finished file is that of the upload, or the claim to its name."""
    return marks.may_have(os.lstat(path), upload) or sidecars.holds(path, _claim(upload.id))


def _is_sidecar_of(path: str, upload: Upload) -> bool:
    return sidecars.holds(path, sidecars.render(upload))


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
    os.lstat(source)  # one that is gone claims nothing
    claim = _claim(id)
    try:
        with open(target, "xb") as file:
            file.write(claim)
    except FileExistsError:
        if not sidecars.holds(target, claim):
            raise
    os.replace(source, target)
