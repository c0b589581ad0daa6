from __future__ import annotations

import asyncio
import errno
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.datastore import (
    SOON,
    advanced,
    append,
    content_of,
    finish,
    finished,
    iterate,
    new_final,
    new_upload,
    some_bytes,
)
from tests.kits.streams import FakeStream
from tests.unit.datastores.stores import MIB, descriptors, files_in, kept, new_store, partial_of, small_disk
from tusfleet.datastores import _append
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.errors import StoreFull, Unavailable
from tusfleet.uploads.models import ConcatKind, Upload

pytestmark = pytest.mark.anyio


async def test_a_full_disk_keeps_what_fitted_and_recovers_by_itself(tmp_path: Path) -> None:
    content = some_bytes(6 * MIB)
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        store = await new_store(disk / "data", durable=True, sidecar=True)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(4 * MIB))
        upload = await kept(store, new_upload(len(content), name="a.bin"), content, error=StoreFull)
        assert 0 < upload.offset < len(content)
        assert await content_of(store, upload) == content[: upload.offset]
        with pytest.raises(Unavailable):
            await store.probe()
        again = await kept(store, upload, content[upload.offset :], error=StoreFull)
        assert again.offset >= upload.offset
        ballast.unlink()
        await store.probe()
        upload = await append(store, again, content[again.offset :])
        done = await finish(store, upload)
        assert await content_of(store, done) == content
        part = await finished(store, bytes(MIB // 2), kind=ConcatKind.PARTIAL)
        with pytest.raises(StoreFull):
            await store.concatenate(final := new_final(4 * MIB), [part] * 8)
        assert partial_of(disk / "data", final).stat().st_size == 0, "a merge that does not fit takes no room"
        await store.abort(done)
        await store.concatenate(new_final(4 * MIB), [part] * 8)


async def test_a_file_beyond_the_limit_of_the_process_is_a_full_store(store: FilesystemDataStore) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, before[1]))
    try:
        upload = await kept(store, new_upload(9 * MIB), *[bytes(MIB)] * 9, error=StoreFull)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert upload.offset == 3 * MIB
    upload = await append(store, upload, bytes(6 * MIB))
    assert upload.complete


async def test_a_store_that_is_not_there_is_unavailable_and_nothing_is_called_lost(root: Path) -> None:
    store = await new_store(root, durable=True)
    upload = await append(store, new_upload(8), b"four")
    complete = await append(store, new_upload(4), b"four")
    done = await finished(store, b"done")
    away = root.with_name("unmounted")
    os.rename(root, away)
    for record in (upload, new_upload(4)):
        await kept(store, record, b"more", error=Unavailable)
    for record in (complete, new_upload(0)):
        with pytest.raises(Unavailable):
            await store.finish(record)
    for record in (upload, done):
        with pytest.raises(Unavailable):
            await content_of(store, record)
    with pytest.raises(Unavailable):
        await store.probe()
    with pytest.raises(Unavailable):
        _ = [upload async for upload in store.leftovers(0)]
    os.rename(away, root)
    upload = await append(store, upload, b"more")
    assert await content_of(store, upload) == b"fourmore"
    await finish(store, complete)


async def test_a_write_that_fails_is_unavailable(store: FilesystemDataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await append(store, new_upload(8), b"four")
    with monkeypatch.context() as broken:
        broken.setattr(os, "pwritev", _fails)
        assert await kept(store, upload, b"more", error=Unavailable) == upload
    assert await content_of(store, await append(store, upload, b"more")) == b"fourmore"


async def test_a_sync_that_fails_moves_no_offset(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await new_store(root, durable=True)
    upload = await append(store, new_upload(8), b"four")
    with monkeypatch.context() as broken:
        broken.setattr(_append, "sync_data", _fails)
        assert await kept(store, upload, b"more", error=Unavailable) == upload
    assert await content_of(store, await append(store, upload, b"more")) == b"fourmore"


def _fails(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_folders_that_cannot_be_used_are_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match=r"The data folder .*file cannot be used: Not a directory"):
        await new_store(tmp_path / "file")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "files").write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot be used: File exists"):
        await new_store(tmp_path / "data")


async def test_folders_on_two_file_systems_are_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with small_disk(tmp_path / "data" / "files", MIB), pytest.raises(Unavailable, match="not on one file system"):
        await new_store(tmp_path / "data")


async def test_probes_that_died_are_swept_at_the_start(root: Path) -> None:
    await new_store(root)
    left, fresh = (root / "partial" / name for name in (".probe-1-2", ".probe-3-4"))
    left.write_bytes(b"")
    os.utime(left, (1, 1))
    fresh.write_bytes(b"of another worker")
    await new_store(root)
    assert files_in(root) == ["partial/.probe-3-4"]


async def test_a_folder_that_somebody_removed_is_made_again(root: Path) -> None:
    store = await new_store(root, durable=True)
    upload = new_upload(5)
    for shard in (root / "partial").iterdir():
        shard.rmdir()
    assert await content_of(store, await append(store, upload, b"bytes")) == b"bytes"


async def test_a_final_placed_under_another_template_is_not_emptied(root: Path) -> None:
    """The server died in its finish, and came back with another setting."""
    store = await new_store(root, key_template="old-{id}")
    part = await finished(store, b"part", kind=ConcatKind.PARTIAL)
    record = new_final(4)
    placement = await store.concatenate(record, [part])
    os.link(partial_of(root, record), root / "files" / f"old-{record.id}")
    store = await new_store(root, key_template="new-{id}")
    placement = await store.concatenate(record, [part])
    done = await finish(store, replace(record, placement=placement, offset=4))
    assert await content_of(store, done) == b"part"
    assert (root / "files" / f"old-{record.id}").read_bytes() == b"part"


def test_a_wrong_template_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"key_template: .* is not a field"):
        FilesystemDataStore(tmp_path, key_template="{name}")


@pytest.mark.parametrize("durable", [True, False])
async def test_silent_clients_hold_no_descriptor_and_nothing_leaks(root: Path, durable: bool) -> None:
    store = await new_store(root, durable=durable)
    before = descriptors()
    told = asyncio.Queue[Upload]()

    async def upload_and_fall_silent() -> None:
        upload = new_upload(10)
        async with iterate(store, upload, FakeStream(b"byte", asyncio.Event())) as checkpoints:
            async for checkpoint in checkpoints:
                told.put_nowait(advanced(upload, checkpoint))

    clients = [asyncio.create_task(upload_and_fall_silent()) for _ in range(50)]
    async with asyncio.timeout(SOON):
        records = [await told.get() for _ in clients]
    # A turn of the loop, in which the last of them begins to wait again.
    await asyncio.sleep(0)
    assert descriptors() <= before
    for client in clients:
        client.cancel()
    await asyncio.wait(clients)
    for record in records:
        assert await content_of(store, record) == b"byte"
        await append(store, record, b"more")
    assert descriptors() <= before


async def test_a_slow_disk_gets_its_writes_in_threads() -> None:
    pace = _append.Pace()
    assert pace.inline(_append.BATCH_BYTES)
    assert not pace.inline(64 * MIB)
    pace.observe(_append.SLOW_SECONDS * 2)
    assert not pace.inline(1)


async def test_writes_in_threads_arrive_unchanged(store: FilesystemDataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_append.Pace, "inline", lambda pace, size: False)
    content = some_bytes(3 * MIB)
    upload = await append(store, new_upload(len(content)), content[:MIB], 0.05, content[MIB:])
    assert await content_of(store, upload) == content


async def test_the_time_of_writes_is_observed(root: Path) -> None:
    class Times(list[float]):
        def observe(self, amount: float) -> None:
            self.append(amount)

    times = Times()
    store = FilesystemDataStore(root, write_seconds=times)
    await store.prepare()
    await append(store, new_upload(4), b"four")
    assert len(times) == 1
    assert 0 < times[0] < SOON
