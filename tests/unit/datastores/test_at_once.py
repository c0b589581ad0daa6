"""An upload in one piece is in its place before its bytes are committed, and a death in between is made good."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.datastore import advanced, append, content_of, finish, iterate, new_upload
from tests.kits.streams import FakeStream
from tests.unit.datastores.stores import files_in, new_store, partial_of
from tusfleet.datastores import _placing, filesystem
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.models import Checkpoint, Metadata, Upload

pytestmark = pytest.mark.anyio

BYTES = b"all of them"


@pytest.fixture(params=[True, False], ids=["durable", "relaxed"])
async def store(root: Path, request: pytest.FixtureRequest) -> FilesystemDataStore:
    return await new_store(root, durable=request.param, at_once=True)


async def checkpoints_of(store: FilesystemDataStore, upload: Upload, stream: FakeStream) -> list[Checkpoint]:
    async with iterate(store, upload, stream) as found:
        return [checkpoint async for checkpoint in found]


class Told(FakeStream):
    """A stream that is more than bytes."""

    def __init__(self, *steps: bytes, **more: bool) -> None:
        super().__init__(*steps)
        self.__dict__.update(more)


async def test_it_is_whole_with_its_first_checkpoint(store: FilesystemDataStore, root: Path) -> None:
    upload = new_upload(len(BYTES), name="a.txt")
    (checkpoint,) = await checkpoints_of(store, upload, FakeStream(BYTES[:3], BYTES[3:]))
    assert checkpoint == Checkpoint(len(BYTES), {"key": "a.txt"}, whole=True)
    assert (root / "files" / "a.txt").read_bytes() == BYTES
    assert files_in(root / "partial") == []
    assert await content_of(store, advanced(upload, checkpoint)) == BYTES


@pytest.mark.parametrize(
    "stream",
    [
        lambda: FakeStream(BYTES[:3]),
        lambda: Told(BYTES, tentative=True),
        lambda: Told(BYTES, may_exceed=True),
    ],
    ids=["not all of it", "it may not count", "there may be more"],
)
async def test_it_is_not_placed_before_it_may_be(
    store: FilesystemDataStore, root: Path, stream: Callable[[], FakeStream]
) -> None:
    upload = new_upload(len(BYTES), name="a.txt")
    (checkpoint,) = await checkpoints_of(store, upload, stream())
    assert not checkpoint.whole
    assert files_in(root / "files") == []
    assert partial_of(root, upload).read_bytes() == BYTES[: checkpoint.offset]


async def test_the_rest_of_an_upload_is_committed_first(store: FilesystemDataStore, root: Path) -> None:
    upload = await append(store, new_upload(len(BYTES), name="a.txt"), BYTES[:3])
    (checkpoint,) = await checkpoints_of(store, upload, FakeStream(BYTES[3:]))
    assert not checkpoint.whole
    assert files_in(root / "files") == []


async def test_what_is_in_the_way_leaves_it_to_the_finish(
    root: Path, store: FilesystemDataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = new_upload(len(BYTES), name="a.txt")
    synced: list[str] = []
    for module in (filesystem, _placing):
        monkeypatch.setattr(module, "sync_folder", synced.append)
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", _full)
        (checkpoint,) = await checkpoints_of(store, upload, FakeStream(BYTES))
    assert not checkpoint.whole
    # The record may tell of these bytes now, so their name has to be durable.
    assert (str(partial_of(root, upload).parent) in synced) is store._durable
    placed = await finish(store, advanced(upload, checkpoint))
    assert await content_of(store, placed) == BYTES


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture(params=["before the name of the unfinished file was removed", "after it"])
async def died(store: FilesystemDataStore, root: Path, request: pytest.FixtureRequest) -> Upload:
    """An upload whose server died after it had placed the file, before it committed that."""
    upload = new_upload(len(BYTES), name="a.txt")
    await checkpoints_of(store, upload, FakeStream(BYTES))
    if request.param.startswith("before"):
        os.link(root / "files" / "a.txt", store._places.partial(upload.id))
    return upload


@pytest.mark.parametrize("again", [BYTES, b"all others?"[: len(BYTES)]], ids=["the same bytes", "other bytes"])
async def test_after_a_death_the_bytes_come_again(
    store: FilesystemDataStore, root: Path, died: Upload, again: bytes
) -> None:
    assert await content_of(store, died) == b"", "the record is the truth"
    with (root / "files" / "a.txt").open("rb") as reader:
        (checkpoint,) = await checkpoints_of(store, died, FakeStream(again))
        assert reader.read() == BYTES, "a file that others may see is never written into"
    assert checkpoint == Checkpoint(len(again), {"key": "a.txt"}, whole=True)
    assert files_in(root) == ["files/a.txt"]
    assert (root / "files" / "a.txt").read_bytes() == again


async def test_after_a_death_the_bytes_come_again_piece_by_piece(
    store: FilesystemDataStore, root: Path, died: Upload
) -> None:
    upload = await append(store, died, BYTES[:5])
    assert files_in(root / "files") == []
    upload = await append(store, upload, BYTES[5:])
    assert (await finish(store, upload)).placement == {"key": "a.txt"}
    assert files_in(root) == ["files/a.txt"]


async def test_after_a_death_an_end_leaves_nothing(store: FilesystemDataStore, root: Path, died: Upload) -> None:
    await store.abort(died)
    assert files_in(root) == []
    await store.abort(died)


async def test_after_a_death_a_part_leaves_nothing_either(store: FilesystemDataStore, root: Path, died: Upload) -> None:
    """Some bytes came again and were committed, and then the upload expires."""
    upload = await append(store, died, BYTES[:5])
    await store.abort(upload)
    assert files_in(root) == []


async def test_the_file_of_another_upload_stays(store: FilesystemDataStore, root: Path, died: Upload) -> None:
    other = replace(new_upload(len(BYTES)), metadata=Metadata.of({"filename": "a.txt"}))
    (checkpoint,) = await checkpoints_of(store, other, FakeStream(BYTES))
    assert checkpoint.placement == {"key": "a (1).txt"}
    await store.abort(other)
    assert files_in(root / "files") == ["a.txt"], "that of the upload that died"
