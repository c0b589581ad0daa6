"""Bytes that are read by a record that was read before: they may have been put elsewhere since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.contexts import context_in
from tests.kits.datastore import append, new_upload
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.inspect import reading
from tusfleet.uploads.models import Upload

pytestmark = pytest.mark.anyio


async def _read(context: Context, upload: Upload) -> bytes:
    async with reading(context, upload) as content:
        return b"".join([chunk async for chunk in content.chunks(0, content.size)])


async def test_bytes_that_were_taken_over_meanwhile_are_found(tmp_path: Path) -> None:
    async with context_in(tmp_path) as context:
        upload = new_upload(8)
        await context.info.insert(upload)
        seen = await append(context.data, replace(upload, fence=1, doubt=0), b"four")
        seen = await context.info.commit(upload, 1, {"offset": seen.offset, "placement": seen.placement})
        assert await _read(context, seen) == b"four"
        moved = await append(context.data, replace(seen, fence=2, doubt=1), b"more")
        await context.info.commit(seen, 2, {"offset": moved.offset, "placement": moved.placement})
        assert moved.placement != seen.placement
        assert await _read(context, seen) == b"four"


async def test_bytes_that_are_nowhere_are_lost(tmp_path: Path) -> None:
    async with context_in(tmp_path) as context:
        upload = replace(new_upload(8), offset=4)
        with pytest.raises(DataLost):
            await _read(context, upload)
        await context.info.insert(upload)
        with pytest.raises(DataLost):
            await _read(context, upload)
