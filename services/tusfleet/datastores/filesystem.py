"""Files below one folder: the data store of a server on one box, or of several that share the folder.

Unfinished bytes are in `partial/<shard>/`, see `_places`, finished files in `files/<key>`, with the key made by a
template. What the record of an upload says is the truth: a longer file is cut before anything is written, a shorter one
is lost.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from tusfleet.datastores import _takeover as takeover
from tusfleet.datastores._append import Appending, Observer, Pace, Rules
from tusfleet.datastores._copy import copy
from tusfleet.datastores._disk import in_thread, remove, reported, sync_data, sync_folder
from tusfleet.datastores._places import FENCE, Places, lost, named_fence, own_fence, unfinished_at
from tusfleet.datastores._placing import Placer
from tusfleet.datastores.keys import KeyTemplate
from tusfleet.uploads.errors import DataLost, Unavailable, UploadError
from tusfleet.uploads.models import Checkpoint, Placement, Upload
from tusfleet.uploads.ports import ByteStream, is_tentative, may_exceed

READ_BYTES = 256 * 1024
"""Bytes read at a time for a download that cannot use sendfile."""

PROBE = ".probe-"
"""Begins the name of the small file that tells whether bytes can be written; no id begins so."""

PROBE_SECONDS = 60.0
"""Age from which such a file was left by a process that died: another worker's is there for milliseconds."""


class FileContent:
    """The bytes of an open file; without a file, of an upload that has no byte yet."""

    def __init__(self, fd: int | None, upload: Upload) -> None:
        self._fd = fd
        self._upload = upload
        self.size = upload.offset

    def fileno(self) -> int | None:
        return self._fd

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        stop = min(stop, self.size)
        while self._fd is not None and start < stop:
            with reported():
                chunk = await in_thread(os.pread, self._fd, min(READ_BYTES, stop - start), start)
            if not chunk:
                raise lost(self._upload)
            start += len(chunk)
            yield chunk


class FilesystemDataStore:
    """The data store over files.

    Parameters:
        root: the folder; `prepare` makes it.
        durable: whether bytes and names are synced before they count as stored.
        checkpoint_interval: longest time in seconds from the arrival of bytes to their checkpoint; above 0.
        key_template: names finished files, see `KeyTemplate.parse`.
        sidecar: write `<key>.json` beside a finished file, with what is known about it.
        at_once: whether an upload that comes in one piece is placed before its bytes are committed, which saves a
            commit and syncs. Only where no holder ever goes on after its lease: an attempt that was not committed is
            made good by the next one.
        write_seconds: is told how long every write of a batch took.
        now: the wall clock in seconds, to tell the age of leftovers.

    Raises:
        ValueError: the template is wrong.
    """

    def __init__(
        self,
        root: os.PathLike[str] | str,
        *,
        durable: bool = True,
        checkpoint_interval: float = 1.0,
        key_template: str = "{id}",
        sidecar: bool = False,
        at_once: bool = False,
        write_seconds: Observer | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._places = Places(os.path.abspath(root), durable)
        try:
            template = KeyTemplate.parse(key_template)
        except ValueError as error:
            raise ValueError(f"key_template: {error}") from None
        self._placer = Placer(self._places, template, sidecar, at_once)
        self._rules = Rules(durable, checkpoint_interval, Pace(write_seconds))
        self._durable = durable
        self._sidecar = sidecar
        self._at_once = at_once
        self._now = now

    async def prepare(self) -> None:
        """Make the folders and see that they can be used; call it once, before anything else.

        Raises:
            Unavailable: they cannot; the message names the folder and the reason.
        """
        root = self._places.root
        try:
            await in_thread(self._prepare)
        except OSError as error:
            if error.errno == errno.EXDEV:
                reason = "its folders partial and files are not on one file system, so no file could appear whole"
            else:
                reason = str(error.strerror)
            raise Unavailable(f"The data folder {root} cannot be used: {reason}") from error

    async def append(self, upload: Upload, stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
        if takeover.needed(upload):
            former = self._places.unfinished(upload)
            with reported():
                upload = await takeover.take_over(self._places, upload)
            yield Checkpoint(upload.offset, upload.placement)
            with reported():
                await in_thread(remove, former)
        in_one_piece = self._at_once and not (upload.offset or is_tentative(stream) or may_exceed(stream))
        appending = Appending(self._places, self._rules, upload, stream, in_one_piece=in_one_piece)
        try:
            appending.verify()
            while True:
                chunks = await appending.arrived()
                if chunks:
                    await appending.store(chunks)
                elif chunks is not None:
                    break
                # A chunk held here while the client is silent would cost its memory for as long.
                chunks = None
                if appending.failure is not None:
                    break
                checkpoint = appending.progress()
                if checkpoint is not None:
                    yield await self._placed(upload, checkpoint) if in_one_piece else checkpoint
                    in_one_piece = False
            checkpoint = await appending.settle()
            if checkpoint is not None:
                yield await self._placed(upload, checkpoint) if in_one_piece else checkpoint
            if appending.failure is not None:
                raise appending.failure
        finally:
            await appending.close()

    async def _placed(self, upload: Upload, checkpoint: Checkpoint) -> Checkpoint:
        """The first checkpoint of an upload; if it is the last, too, with the file in its place already."""
        if checkpoint.offset != upload.length:
            with reported():
                await in_thread(self._placer.forget, upload)
            return checkpoint
        whole = replace(upload, offset=checkpoint.offset, placement=checkpoint.placement)
        try:
            return Checkpoint(checkpoint.offset, await self.finish(whole), whole=True)
        except UploadError:
            # What is in the way is told when the bytes are kept, and the upload is to be finished.
            if self._durable:
                with reported():
                    await in_thread(sync_folder, os.path.dirname(self._places.unfinished(whole)))
            return checkpoint

    async def finish(self, upload: Upload) -> Placement:
        with reported():
            if self._durable or self._sidecar or upload.doubt is not None:
                return await in_thread(self._placer.place, upload)
            # A link and an unlink without syncs take less time than a thread, and on one box there is nothing else.
            return self._placer.place(upload)

    async def concatenate(self, upload: Upload, parts: Sequence[Upload]) -> Placement:
        whole = replace(upload, offset=sum(part.offset for part in parts))
        with reported():
            ino = await in_thread(self._placed_ino, whole)
            return await self._merge(upload, parts) if ino is None else {"ino": ino}

    async def abort(self, upload: Upload) -> None:
        with reported():
            await in_thread(self._placer.remove, upload)

    @asynccontextmanager
    async def read(
        self,
        upload: Upload,
        span: tuple[int, int] | None = None,  # noqa: ARG002 - an open file has all of them
    ) -> AsyncIterator[FileContent]:
        with reported():
            fd = self._open_for_reading(upload)
        try:
            yield FileContent(fd, upload)
        finally:
            if fd is not None:
                os.close(fd)

    async def leftovers(self, age: float) -> AsyncIterator[Upload]:
        with reported():
            shards = await in_thread(os.listdir, self._places.partials)
        for shard in sorted(shards):
            with reported():
                found = await in_thread(self._old_files, shard, self._now() - age)
            for (id, fence), (modified, size) in found.items():
                at = datetime.fromtimestamp(modified, UTC)
                yield Upload(id, "", at, offset=size, placement={FENCE: fence} if fence else {})

    def references(self, record: Upload, found: Upload) -> bool:
        # What the holder of a lease has made and not told of yet, the lease protects.
        return record.state.alive and "key" not in record.placement and named_fence(record) == named_fence(found)

    async def probe(self) -> None:
        try:
            await in_thread(self._probe)
        except OSError as error:
            raise Unavailable(f"No bytes can be written to the data store: {error.strerror}") from error

    def _prepare(self) -> None:
        self._places.make_folders()
        for name in os.listdir(self._places.partials):
            if name.startswith(PROBE):
                self._clear_probe(os.path.join(self._places.partials, name))
        probe = self._write_probe()
        placed = f"{self._places.files}/{PROBE}"
        try:
            os.rename(probe, placed)
        except OSError:
            os.unlink(probe)
            raise
        with suppress(FileNotFoundError):  # another gateway that starts now
            os.unlink(placed)

    def _clear_probe(self, path: str) -> None:
        with suppress(FileNotFoundError):
            if os.lstat(path).st_mtime < self._now() - PROBE_SECONDS:
                os.unlink(path)

    def _probe(self) -> None:
        os.stat(self._places.files)  # without it no upload could finish
        os.unlink(self._write_probe())

    def _write_probe(self) -> str:
        """Write a small file, of a name that nobody else uses: in every container the server is process 1."""
        path = f"{self._places.partials}/{PROBE}{secrets.token_hex(8)}"
        try:
            with open(path, "wb") as file:
                file.write(b"tusfleet\n")
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise
        return path

    def _open_for_reading(self, upload: Upload) -> int | None:
        try:
            return self._places.open_bytes(self._places.source(upload), upload)
        except DataLost:
            # Placed already, but the commit that tells so has not come yet.
            key = None if "key" in upload.placement else self._placer.find(upload)
            if key is not None:
                return self._places.open_bytes(self._places.file(key), upload)
            if upload.offset or "key" in upload.placement:
                raise
            return None

    def _placed_ino(self, upload: Upload) -> int | None:
        """The inode of a final upload that an earlier attempt has placed; None when there was none."""
        key = self._placer.find(upload)
        return None if key is None else os.lstat(self._places.file(key)).st_ino

    async def _merge(self, upload: Upload, parts: Sequence[Upload]) -> Placement:
        fence = own_fence(upload)
        path = self._places.partial(upload.id, fence)
        target, found = self._places.make_own(path)
        try:
            await in_thread(os.ftruncate, target, 0)
            position = 0
            for part in parts:
                await self._add(part, target, position)
                position += part.offset
            if self._durable:
                await in_thread(sync_data, target)
                await in_thread(sync_folder, os.path.dirname(path))
            return unfinished_at(found.st_ino, fence)
        except OSError:
            # What fitted is of no use until all of it does, and others need its room.
            with suppress(OSError):
                await in_thread(os.ftruncate, target, 0)
            raise
        finally:
            os.close(target)

    async def _add(self, part: Upload, target: int, position: int) -> None:
        source = self._places.open_bytes(self._places.source(part), part)
        try:
            if not await copy(source, target, part.offset, position):
                raise lost(part)
        finally:
            os.close(source)

    def _old_files(self, shard: str, before: float) -> dict[tuple[str, int], tuple[float, int]]:
        """Ids and fences of the files of one shard not touched since `before`: when they were, and their sizes."""
        found: dict[tuple[str, int], tuple[float, int]] = {}
        try:
            with os.scandir(os.path.join(self._places.partials, shard)) as entries:
                for entry in entries:
                    name = self._places.parse(entry.path)
                    if name is None:
                        continue  # not ours: ours would be elsewhere
                    with suppress(FileNotFoundError):
                        file = entry.stat(follow_symlinks=False)
                        if file.st_mtime < before and (name not in found or entry.path == self._places.partial(*name)):
                            found[name] = file.st_mtime, file.st_size
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found
