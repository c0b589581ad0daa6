"""Ends of uploads: what they take away, and what they must not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contexts import Clock, context_in
from tests.integration.uploads.steps import PARTIAL, create, delete
from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.models import Change, Metadata, Page, Query, State, Upload
from tusfleet.uploads.terminate import forget

pytestmark = pytest.mark.anyio

TTL = timedelta(days=7)
NAMED = Metadata.of({"filename": "report.pdf"})


async def sweep(context: Context) -> None:
    await Sweeper(context, interval=3600, tombstone_ttl=TTL).sweep()


async def the_next_file_of_the_name_stays(context: Context, clock: Clock, folder: Path, after: float) -> None:
    """See that a sweep `after` so many seconds spares the file that has the name of one that is gone."""
    await create(context, 6, b"second", metadata=NAMED)
    clock.forward(after)
    await sweep(context)
    assert (folder / "files" / "report.pdf").read_bytes() == b"second"


async def test_the_burial_of_a_terminated_upload_spares_the_next_file_of_its_name(tmp_path: Path) -> None:
    clock = Clock()
    async with context_in(tmp_path, clock=clock, key_template="{filename}") as context:
        first = await create(context, 5, b"first", metadata=NAMED)
        await delete(context, first.id)
        await the_next_file_of_the_name_stays(context, clock, tmp_path, after=1)


async def test_the_burial_of_an_expired_upload_spares_the_next_file_of_its_name(tmp_path: Path) -> None:
    clock = Clock()
    policy = Policy(expire_after=timedelta(hours=1))
    async with context_in(tmp_path, policy, clock=clock, key_template="{filename}") as context:
        await create(context, 5, b"first", metadata=NAMED, concat=PARTIAL)
        clock.forward(3601)
        await sweep(context)
        await the_next_file_of_the_name_stays(context, clock, tmp_path, after=TTL.total_seconds() + 1)


async def test_a_termination_that_is_cancelled_half_way_forgets_where_the_file_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers around an embedded server cancel requests whose client has gone."""
    clock = Clock()
    async with context_in(tmp_path, clock=clock, key_template="{filename}") as context:
        first = await create(context, 5, b"first", metadata=NAMED)
        abort = FilesystemDataStore.abort

        async def cancelled_meanwhile(store: FilesystemDataStore, upload: Upload) -> None:
            ending.cancel()
            await abort(store, upload)

        monkeypatch.setattr(FilesystemDataStore, "abort", cancelled_meanwhile)
        ending = asyncio.create_task(delete(context, first.id))
        await asyncio.wait([ending])
        assert ending.cancelled()
        monkeypatch.undo()
        await the_next_file_of_the_name_stays(context, clock, tmp_path, after=1)


async def test_what_an_expiry_that_a_death_cut_short_has_left_is_freed_at_the_next_start(tmp_path: Path) -> None:
    clock = Clock()
    policy = Policy(expire_after=timedelta(hours=1))
    async with context_in(tmp_path, policy, clock=clock, key_template="{filename}") as context:
        upload = await create(context, 5, b"first", metadata=NAMED, concat=PARTIAL)
        change: Change = {"state": State.EXPIRED, "ended_at": clock(), "expires_at": None, "reserved": 0}
        await context.info.commit(upload, upload.fence, change)
    async with context_in(tmp_path, policy, clock=clock, key_template="{filename}") as context:
        sweeper = Sweeper(context, interval=3600, tombstone_ttl=TTL)
        await sweeper.sweep()
        assert not (tmp_path / "files" / "report.pdf").exists()
        await create(context, 6, b"second", metadata=NAMED)
        clock.forward(TTL.total_seconds() + 1)
        await sweeper.sweep()
        assert await context.info.read(upload.id) is None
    assert (tmp_path / "files" / "report.pdf").read_bytes() == b"second"


@pytest.mark.parametrize("started", [True, False])
async def test_a_tombstone_that_is_gone_before_its_turn_spares_the_next_file_of_its_name(
    tmp_path: Path, started: bool
) -> None:
    clock = Clock()
    async with context_in(tmp_path, clock=clock, key_template="{filename}") as context:
        sweeper = Sweeper(context, interval=3600, tombstone_ttl=TTL)
        if started:
            await sweeper.sweep()
        first = await create(context, 5, b"first", metadata=NAMED)
        change: Change = {"state": State.TERMINATED, "ended_at": clock(), "reserved": 0}
        tombstone = await context.info.commit(first, first.fence, change)
        clock.forward(1)
        scan = context.info.scan

        async def scan_and_lose_it(query: Query, *args: Any) -> Page:
            page = await scan(query, *args)
            if tombstone in page.uploads:
                await forget(context, tombstone)
                await create(context, 6, b"second", metadata=NAMED)
            return page

        context.info.scan = scan_and_lose_it  # type: ignore[method-assign, assignment]
        await sweeper.sweep()
        assert await context.info.read(first.id) is None
    assert (tmp_path / "files" / "report.pdf").read_bytes() == b"second"
