"""Creations that are refused, hindered or raced: what is left of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contexts import context_in
from tests.integration.uploads.steps import append, create
from tests.kits.streams import FakeStream
from tusfleet.hooks.python import PythonHooks
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import AlreadyExists, Draining, HookFailed, StoreFull, Unavailable, UploadError
from tusfleet.uploads.models import EventType, Placement, State, Upload

pytestmark = pytest.mark.anyio


async def named(upload: Upload) -> Upload:
    return replace(upload, id="chosen")


def counted(context: Context, event: str) -> float:
    return context.metrics.registry.get_sample_value("tusfleet_uploads_total", {"event": event}) or 0.0


@pytest.mark.parametrize(("length", "data"), [(0, b""), (10, b"12345")])
async def test_a_server_that_shuts_down_makes_no_record_that_nobody_is_told_of(
    tmp_path: Path, length: int, data: bytes
) -> None:
    async with context_in(tmp_path) as context:
        context.locker.drain()
        with pytest.raises(Draining):
            await create(context, length, data)
        assert (await context.info.usage()).uploads == 0


async def test_a_refused_creation_does_not_count_as_created(tmp_path: Path) -> None:
    async with context_in(tmp_path, capacity=10) as context:
        with pytest.raises(StoreFull):
            await create(context, 11)
        assert counted(context, "created") == 0
        await create(context, 10)
        assert counted(context, "created") == 1


@contextmanager
def unfinishable(context: Context, trouble: type[UploadError]) -> Iterator[None]:
    """No upload can be finished for now."""
    finish = context.data.finish

    async def hindered(upload: Upload) -> Placement:
        raise trouble

    context.data.finish = hindered  # type: ignore[method-assign]
    try:
        yield
    finally:
        context.data.finish = finish  # type: ignore[method-assign]


@pytest.mark.parametrize("trouble", [StoreFull, Unavailable])
async def test_an_empty_upload_whose_file_cannot_be_made_is_not_created(
    tmp_path: Path, trouble: type[UploadError]
) -> None:
    async with context_in(tmp_path, record_events=True) as context:
        with unfinishable(context, trouble), pytest.raises(trouble):
            await create(context, 0)
        await Sweeper(context, 3600, timedelta(days=7)).sweep()
        assert (await context.info.usage()).uploads == 0
        assert counted(context, "finished") == 0


@pytest.mark.parametrize("trouble", [StoreFull, Unavailable])
async def test_an_upload_that_cannot_be_finished_in_its_creation_is_not_finished_later(
    tmp_path: Path, trouble: type[UploadError]
) -> None:
    """Its client is told no URL, and sends it again."""
    async with context_in(tmp_path, record_events=True) as context:
        with unfinishable(context, trouble), pytest.raises(trouble):
            await create(context, 5, b"12345")
        await Sweeper(context, 3600, timedelta(days=7)).sweep()
        assert (await context.info.usage()).uploads == 0
        assert counted(context, "finished") == 0
        assert not [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


async def test_a_hook_cannot_have_an_upload_begin_with_the_file_of_another(tmp_path: Path) -> None:
    async with context_in(tmp_path) as context:
        theirs = await create(context, 5, b"theirs"[:5])

        async def elsewhere(upload: Upload) -> Upload:
            return replace(upload, placement=theirs.placement)

        context.hooks = PythonHooks(elsewhere)
        for data in (b"", b"12345"):
            with pytest.raises(HookFailed, match="placement"):
                await create(context, 5, data)
        assert (await context.info.usage()).uploads == 1


async def test_a_taken_id_is_refused_without_disturbing_its_writer(tmp_path: Path) -> None:
    async with context_in(tmp_path) as context:
        context.hooks = PythonHooks(named)
        await create(context, 10, b"12345")
        writer = FakeStream(b"67890")
        async with context.leased("chosen") as lease:
            lease.on_request(writer.interrupt)
            for data in (b"", b"other"):
                with pytest.raises(AlreadyExists):
                    await create(context, len(data), data)
            assert await writer.read(5, 0) == [b"67890"]
        assert (await append(context, "chosen", 5, b"67890")).state is State.FINISHED


async def test_an_empty_upload_that_the_sweeper_meets_at_its_birth_is_finished_once(tmp_path: Path) -> None:
    async with context_in(tmp_path, record_events=True) as context:
        sweeper = Sweeper(context, 3600, timedelta(days=7))

        insert = context.info.insert

        async def insert_and_sweep(*args: object) -> None:
            await insert(*args)  # type: ignore[arg-type]
            await sweeper.sweep()

        context.info.insert = insert_and_sweep  # type: ignore[method-assign, assignment]
        await create(context, 0)
        finished = [event for event in await context.info.outbox() if event.type is EventType.FINISHED]
        assert len(finished) == 1
