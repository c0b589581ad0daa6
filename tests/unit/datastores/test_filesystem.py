from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.kits.datastore import (
    DataStoreKit,
    append,
    content_of,
    finish,
    finished,
    new_upload,
)
from tests.unit.datastores.stores import files_in, new_store, partial_of
from tusfleet.datastores import _append
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.errors import DataLost, Unavailable
from tusfleet.uploads.models import Metadata

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestFilesystemDataStore(DataStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool) -> FilesystemDataStore:
        return await new_store(tmp_path / "data", durable=durable, key_template="{yyyy}/{filename}")


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "relaxed"])
class TestFilesystemDataStoreAtOnce(DataStoreKit):
    @pytest.fixture
    async def store(self, tmp_path: Path, durable: bool) -> FilesystemDataStore:
        return await new_store(tmp_path / "data", durable=durable, key_template="{yyyy}/{filename}", at_once=True)


async def test_nothing_unfinished_is_seen_among_the_files(store: FilesystemDataStore, root: Path) -> None:
    upload = await append(store, new_upload(5, name="a.txt"), b"bytes")
    assert files_in(root / "files") == []
    assert partial_of(root, upload).parent.parent == root / "partial"
    await finish(store, upload)
    assert files_in(root / "files") == ["a.txt"]
    assert files_in(root / "partial") == []


async def test_f9_a_longer_file_is_cut_before_the_first_write(store: FilesystemDataStore, root: Path) -> None:
    record = await append(store, new_upload(8, name="a.txt"), b"1234")
    with partial_of(root, record).open("ab") as file:
        file.write(b"written, and the process died before the commit")
    upload = await append(store, record, b"5")
    assert partial_of(root, upload).read_bytes() == b"12345"
    upload = await append(store, upload, b"678")
    with partial_of(root, record).open("ab") as file:
        file.write(b"too long")
    await finish(store, upload)
    assert (root / "files" / "a.txt").read_bytes() == b"12345678"


async def test_the_name_of_a_file_that_a_dead_writer_made_is_durable_before_its_first_offset(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await new_store(root, durable=True)
    upload = new_upload(8)
    # It died before its first checkpoint, so the record knows of nothing.
    await append(store, upload, b"dead")
    synced: list[str] = []
    monkeypatch.setattr(_append, "sync_folder", synced.append)
    alive = await append(store, upload, b"four")
    assert synced == [str(partial_of(root, upload).parent)]
    await append(store, alive, b"more")
    assert len(synced) == 1, "once is enough"


async def test_taken_names_get_a_number(store: FilesystemDataStore, root: Path) -> None:
    (root / "files" / "a (1).txt").write_bytes(b"of somebody else")
    uploads = [await finished(store, b"%d" % number, name="a.txt") for number in range(20)]
    assert uploads[0].placement["key"] == "a.txt"
    assert uploads[1].placement["key"] == "a (2).txt"
    assert uploads[-1].placement["key"] == f"a ({uploads[-1].id}).txt"
    assert (root / "files" / "a (1).txt").read_bytes() == b"of somebody else"
    assert [await content_of(store, upload) for upload in uploads] == [b"%d" % number for number in range(20)]


async def test_a_file_where_a_folder_ought_to_be_does_not_stop_a_finish(root: Path) -> None:
    store = await new_store(root, key_template="{metadata.folder}/{filename}")
    (root / "files" / "a").write_bytes(b"no folder")
    upload = replace(new_upload(0), metadata=Metadata.of({"folder": "a", "filename": "b.txt"}))
    assert (await finish(store, upload)).placement["key"] == upload.id


async def test_abort_removes_the_folders_that_only_it_used(root: Path) -> None:
    store = await new_store(root, durable=True, key_template="{yyyy}/{mm}/{metadata.project}/{filename}")
    one, two = [await finished(store, b"x", name=name) for name in ("1.txt", "2.txt")]
    await store.abort(one)
    assert files_in(root / "files") == ["2026/03/upload/2.txt"]
    await store.abort(two)
    assert list((root / "files").iterdir()) == []


async def test_a_link_among_the_files_is_not_followed(store: FilesystemDataStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    upload = await finished(store, b"public", name="a.txt")
    (root / "files" / "a.txt").unlink()
    (root / "files" / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(Unavailable):
        await content_of(store, upload)
    other = await finished(store, b"second", name="a.txt")
    assert other.placement["key"] == "a (1).txt"
    assert (tmp_path / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd", "a/../../b", ""])
async def test_a_record_that_names_a_file_elsewhere_is_refused(store: FilesystemDataStore, key: str) -> None:
    upload = replace(new_upload(1), offset=1, placement={"key": key})
    with pytest.raises(DataLost):
        await content_of(store, upload)
    with pytest.raises(DataLost):
        await store.abort(upload)


async def test_an_upload_placed_before_its_commit_can_be_read(store: FilesystemDataStore) -> None:
    upload = await append(store, new_upload(5, name="a.txt"), b"bytes")
    await store.finish(upload)
    assert await content_of(store, upload) == b"bytes"


async def test_a_sidecar_tells_what_is_known(root: Path) -> None:
    store = await new_store(root, durable=True, sidecar=True)
    metadata = Metadata.of({"filename": "ü.txt", "empty": None, "raw": b"\xff\x00"})
    upload = replace(new_upload(5), metadata=metadata, tenant="acme")
    done = await finish(store, await append(store, upload, b"bytes"))
    assert files_in(root) == ["files/ü.txt", "files/ü.txt.json"]
    assert json.loads((root / "files" / "ü.txt.json").read_text()) == {
        "id": upload.id,
        "length": 5,
        "created_at": "2026-03-04T05:06:07+00:00",
        "tenant": "acme",
        "metadata": {"filename": "ü.txt", "empty": "", "raw": {"base64": "/wA="}},
    }
    await store.abort(done)
    assert files_in(root) == []


async def test_sidecars_and_files_of_users_do_not_meet(root: Path) -> None:
    store = await new_store(root, sidecar=True)
    first = await finished(store, b"user's own", name="a.json")
    second = await finished(store, b"x", name="a")
    third = await finished(store, b"user's second", name="a (1).json")
    keys = [upload.placement["key"] for upload in (first, second, third)]
    assert keys == ["a.json", "a (1)", "a (1) (1).json"]
    assert [await content_of(store, upload) for upload in (first, third)] == [b"user's own", b"user's second"]
    for upload in (second, third, first):
        await store.abort(upload)
    assert files_in(root) == []


async def test_a_sidecar_does_not_take_its_name_from_a_name_that_is_too_long(root: Path) -> None:
    store = await new_store(root, sidecar=True)
    await finished(store, b"x", name="x" * 300 + ".txt")
    assert len(files_in(root / "files")) == 2


async def test_leftovers_are_told_by_the_time_of_their_last_write(root: Path) -> None:
    now = 2_000_000_000.0
    store = FilesystemDataStore(root, now=lambda: now)
    await store.prepare()
    old, new = [await append(store, new_upload(9), b"bytes") for _ in range(2)]
    os.utime(partial_of(root, old), (now - 61, now - 61))
    os.utime(partial_of(root, new), (now - 59, now - 59))
    shard = partial_of(root, old).parent
    dead = await append(store, replace(new_upload(9), id="died-in-its-finish"), b"bytes")
    partial_of(root, dead).unlink()
    draft = root / "partial" / sha256(dead.id.encode()).hexdigest()[:2] / f"{dead.id}.json"
    draft.write_bytes(b"{")
    os.utime(draft, (now - 61, now - 61))
    (shard / "not an id").write_bytes(b"")
    os.utime(shard / "not an id", (now - 61, now - 61))
    (root / "partial" / "stray").write_bytes(b"")
    elsewhere = (
        shard / "elsewhere" if sha256(b"elsewhere").hexdigest()[:2] != shard.name else draft.parent / "elsewhere"
    )
    elsewhere.write_bytes(b"not in the folder that its name would give it")
    os.utime(elsewhere, (now - 61, now - 61))
    found = {upload.id: upload async for upload in store.leftovers(60)}
    assert set(found) == {old.id, "died-in-its-finish"}
    assert found[old.id].created_at.timestamp() == now - 61
    assert (found[old.id].offset, found["died-in-its-finish"].offset) == (5, 1)
