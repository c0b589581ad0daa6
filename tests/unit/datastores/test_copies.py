from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kits.datastore import (
    content_of,
    finish,
    finished,
    new_final,
    some_bytes,
)
from tests.unit.datastores.stores import MIB
from tusfleet.datastores import _copy
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.models import ConcatKind

pytestmark = pytest.mark.anyio


def test_a_clone_that_works_is_right_and_one_that_does_not_says_so(tmp_path: Path) -> None:
    content = some_bytes(3 * 4096 + 5)
    (tmp_path / "source").write_bytes(content)
    (tmp_path / "target").write_bytes(bytes(4096))
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("r+b") as target:
        assert not _copy.clone(source.fileno(), target.fileno(), len(content), 100)
        if not _copy.clone(source.fileno(), target.fileno(), len(content), 4096):
            assert _copy.copy_slice(source.fileno(), target.fileno(), 0, 4096, len(content)) == len(content)
    assert (tmp_path / "target").read_bytes() == bytes(4096) + content


async def test_concatenation_works_where_the_kernel_does_not_copy(
    store: FilesystemDataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refused, raising=False)
    content = some_bytes(2 * MIB + 1)
    part = await finished(store, content, kind=ConcatKind.PARTIAL)
    record = new_final(2 * len(content))
    placement = await store.concatenate(record, [part, part])
    done = await finish(store, replace(record, placement=placement, offset=record.length or 0))
    assert await content_of(store, done) == content * 2


async def test_a_part_that_became_shorter_is_lost(store: FilesystemDataStore, root: Path) -> None:
    part = await finished(store, b"content", kind=ConcatKind.PARTIAL)
    os.truncate(root / "files" / str(part.placement["key"]), 3)
    with pytest.raises(DataLost):
        await store.concatenate(new_final(7), [part])
    with pytest.raises(DataLost):
        await store.finish(part)


async def test_a_file_that_became_shorter_while_it_is_read_is_lost(store: FilesystemDataStore, root: Path) -> None:
    upload = await finished(store, b"content")
    async with store.read(upload) as content:
        os.truncate(root / "files" / str(upload.placement["key"]), 0)
        with pytest.raises(DataLost):
            _ = [chunk async for chunk in content.chunks(0, content.size)]
