"""Concatenations under awkward circumstances: expiry, races, deaths between two steps, disks without room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contexts import Clock, context_in
from tests.integration.uploads.steps import PARTIAL, append, create, delete, final_of, head
from tusfleet.infostores.sqlite import SqliteInfoStore
from tusfleet.janitor.sweeper import Sweeper
from tusfleet.lockers.in_process import InProcessLocker
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.errors import InvalidConcatenation, StoreFull, UploadError
from tusfleet.uploads.models import Placement, State, Upload

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def context(tmp_path: Path, clock: Clock) -> AsyncIterator[Context]:
    async with context_in(tmp_path, Policy(expire_after=timedelta(hours=1)), clock=clock) as context:
        yield context


async def sweep(context: Context) -> None:
    await Sweeper(context, interval=HOUR, tombstone_ttl=timedelta(days=7)).sweep()


def files(folder: Path) -> list[Path]:
    return [path for place in ("partial", "files") for path in (folder / place).rglob("*") if path.is_file()]


async def state(context: Context, upload: Upload) -> State | None:
    record = await context.info.read(upload.id)
    return None if record is None else record.state


async def test_a_final_upload_lives_as_long_as_bytes_come_to_its_parts(context: Context, clock: Clock) -> None:
    first = await create(context, 5, b"12345", concat=PARTIAL)
    second = await create(context, 9, concat=PARTIAL)
    final = await create(context, concat=final_of(first, second))
    for offset in range(8):
        clock.forward(HOUR / 2)
        await append(context, second.id, offset, b"x")
        await sweep(context)
    await append(context, second.id, 8, b"x")
    assert (await head(context, final.id)).offset == 14


async def test_a_final_upload_to_whose_parts_no_bytes_come_expires_with_them(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    first = await create(context, 5, b"12345", concat=PARTIAL)
    second = await create(context, 9, concat=PARTIAL)
    final = await create(context, concat=final_of(first, second))
    clock.forward(HOUR + 1)
    await sweep(context)
    await sweep(context)
    assert [await state(context, each) for each in (first, second, final)] == [State.EXPIRED] * 3
    assert files(tmp_path) == []


async def test_parts_do_not_expire_while_they_are_merged(context: Context, clock: Clock) -> None:
    parts = [await create(context, 5, b"12345", concat=PARTIAL) for _ in range(2)]
    concatenate = context.data.concatenate

    async def slowly(upload: Upload, parts: Sequence[Upload]) -> Placement:
        clock.forward(HOUR + 1)
        await sweep(context)
        return await concatenate(upload, parts)

    context.data.concatenate = slowly  # type: ignore[method-assign]
    assert (await create(context, concat=final_of(*parts))).offset == 10


async def test_a_death_after_the_merge_leaves_no_parts_for_ever(tmp_path: Path, clock: Clock) -> None:
    policy = Policy(expire_after=None, partial_grace=timedelta(hours=1))
    async with context_in(tmp_path, policy, clock=clock) as context:
        part = await create(context, 5, b"12345", concat=PARTIAL)
        commit = context.info.commit

        async def dies_after_the_last_step(upload: Upload, *args: object) -> Upload:
            committed = await commit(upload, *args)  # type: ignore[arg-type]
            if committed.is_final and committed.state is State.FINISHED:
                raise KeyboardInterrupt
            return committed

        context.info.commit = dies_after_the_last_step  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            await create(context, concat=final_of(part))
    async with context_in(tmp_path, policy, clock=clock) as context:
        clock.forward(2 * HOUR)
        await sweep(context)
        assert await state(context, part) is State.EXPIRED


async def test_a_death_before_the_last_commit_of_a_merge_costs_nothing_however_long_it_lasts(
    tmp_path: Path, clock: Clock
) -> None:
    policy = Policy(expire_after=timedelta(hours=3))
    async with context_in(tmp_path, policy, clock=clock) as context:
        part = await create(context, 5, b"12345", concat=PARTIAL)
        commit = context.info.commit

        async def dies_before_the_last_step(upload: Upload, fence: int, change: object, *args: object) -> Upload:
            if upload.is_final and isinstance(change, dict) and change.get("state") is State.FINISHED:
                raise KeyboardInterrupt
            return await commit(upload, fence, change, *args)  # type: ignore[arg-type]

        context.info.commit = dies_before_the_last_step  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            await create(context, concat=final_of(part))
    async with context_in(tmp_path, policy, clock=clock) as context:
        (final,) = await context.info.finals_of(part.id)
        clock.forward(4 * HOUR)
        await sweep(context)
        record = await context.info.read(final)
        assert record is not None
        assert (record.state, record.offset) == (State.FINISHED, 5)


async def test_a_final_upload_whose_bytes_find_no_room_is_not_created(context: Context, tmp_path: Path) -> None:
    part = await create(context, 5, b"12345", concat=PARTIAL)
    concatenate = context.data.concatenate

    async def full(upload: Upload, parts: Sequence[Upload]) -> Placement:
        raise StoreFull

    context.data.concatenate = full  # type: ignore[method-assign]
    with pytest.raises(StoreFull):
        await create(context, concat=final_of(part))
    assert await context.info.finals_of(part.id) == []
    context.data.concatenate = concatenate  # type: ignore[method-assign]
    await sweep(context)
    final = await create(context, concat=final_of(part))
    assert (await context.info.usage()).uploads == 2
    assert (tmp_path / "files" / final.id).read_bytes() == b"12345"


async def test_the_last_part_merges_also_while_somebody_else_looks_at_its_final_upload(context: Context) -> None:
    """Seventeen parts: so many records are read in a thread, and the last part may be finished meanwhile."""
    parts = [await create(context, 1, b"x", concat=PARTIAL) for _ in range(16)]
    last = await create(context, 1, concat=PARTIAL)
    final = await create(context, concat=final_of(*parts, last))
    read_many = context.info.read_many
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(ids: Sequence[str]) -> list[Upload | None]:
        records = await read_many(ids)
        looked.set()
        await go_on.wait()
        return records

    context.info.read_many = slowly  # type: ignore[method-assign]
    looking = asyncio.create_task(head(context, final.id))
    await looked.wait()
    finishing = asyncio.create_task(append(context, last.id, 0, b"x"))
    assert isinstance(context.locker, InProcessLocker)
    while not finishing.done() and not context.locker._held[final.id].waiting:
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(looking, finishing)
    assert await state(context, final) is State.FINISHED


async def test_two_final_uploads_of_the_same_parts_at_once(context: Context, tmp_path: Path) -> None:
    first, second = [await create(context, 5, data, concat=PARTIAL) for data in (b"12345", b"67890")]
    finals = await asyncio.gather(
        create(context, concat=final_of(first, second)), create(context, concat=final_of(second, first, second))
    )
    contents = [(tmp_path / "files" / final.id).read_bytes() for final in finals]
    assert contents == [b"1234567890", b"678901234567890"]


async def test_a_part_deleted_before_the_merge_fails_the_final_upload_alone(context: Context) -> None:
    part, other = [await create(context, 5, b"12345", concat=PARTIAL) for _ in range(2)]
    final = await create(context, concat=final_of(part, await create(context, 1, concat=PARTIAL)))
    await delete(context, part.id)
    with pytest.raises(UploadError, match="gone"):
        await head(context, final.id)
    assert await state(context, other) is State.FINISHED


async def test_hundreds_of_parts_are_let_go_in_a_few_transactions(context: Context) -> None:
    parts = await asyncio.gather(*(create(context, 1, b"x", concat=PARTIAL) for _ in range(300)))
    assert isinstance(context.info, SqliteInfoStore)
    before = context.info.transactions
    context.policy = replace(context.policy, partial_grace=timedelta(minutes=1))
    await create(context, concat=final_of(*parts))
    assert context.info.transactions - before < 20
    records = await context.info.read_many([part.id for part in parts])
    soon = context.clock() + timedelta(minutes=1)
    assert all(record is not None and record.expires_at == soon for record in records)


async def test_tens_of_thousands_of_parts_are_not_read_at_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    read_many = context.info.read_many

    async def counted(ids: Sequence[str]) -> list[Upload | None]:
        read.append(len(ids))
        return await read_many(ids)

    monkeypatch.setattr(context.info, "read_many", counted)
    part = await create(context, 1, b"1", concat=PARTIAL)
    final = await create(context, concat=final_of(*[part] * 20_000))
    assert (await head(context, final.id)).offset == 20_000
    assert set(read) == {1}
    read.clear()
    unknown = [replace(part, id=f"{number:032x}") for number in range(20_000)]
    with pytest.raises(InvalidConcatenation):
        await create(context, concat=final_of(part, *unknown))
    assert sum(read) < 1000
