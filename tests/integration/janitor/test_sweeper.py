"""The sweeper over real stores, with a clock that the tests move."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from tests.contexts import Clock, context_in
from tests.kits.streams import FakeStream
from tusfleet.janitor.sweeper import LEFTOVER_SECONDS, Sweeper
from tusfleet.uploads.append import append
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.create import create
from tusfleet.uploads.errors import BodyCut, Gone, NotFound
from tusfleet.uploads.inspect import inspect
from tusfleet.uploads.intents import Append, Body, Create, Inspect, Terminate
from tusfleet.uploads.models import BodyEnd, Concat, ConcatKind, Principal, State, Upload
from tusfleet.uploads.terminate import terminate

pytestmark = pytest.mark.anyio

ANYBODY = Principal(admin=True)
HOUR = 3600.0
TTL = timedelta(days=7)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def context(tmp_path: Path, clock: Clock) -> AsyncIterator[Context]:
    policy = Policy(expire_after=timedelta(hours=1))
    async with context_in(tmp_path, policy, clock=clock) as context:
        yield context


async def sweep(context: Context) -> None:
    await Sweeper(context, interval=HOUR, tombstone_ttl=TTL).sweep()


async def created(context: Context, length: int, data: bytes = b"", concat: Concat | None = None) -> Upload:
    intent = Create(length, concat=concat, body=Body(len(data)) if data else None)
    return await create(context, intent, FakeStream(data), ANYBODY, lambda: None, "tus")


def files(folder: Path) -> list[str]:
    """Every file of an upload, finished or not."""
    places = (folder / "partial", folder / "files")
    return sorted(str(path.relative_to(folder)) for place in places for path in place.rglob("*") if path.is_file())


async def test_an_unfinished_upload_expires_and_its_bytes_and_then_its_record_go(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    upload = await created(context, 10, b"12345")
    assert files(tmp_path)
    clock.forward(HOUR + 1)
    await sweep(context)
    assert files(tmp_path) == []
    with pytest.raises(Gone):
        await inspect(context, Inspect(upload.id), ANYBODY)
    clock.forward(TTL.total_seconds() + 1)
    await sweep(context)
    with pytest.raises(NotFound):
        await inspect(context, Inspect(upload.id), ANYBODY)
    assert await context.info.read(upload.id) is None


async def test_a_finished_upload_stays(context: Context, clock: Clock, tmp_path: Path) -> None:
    upload = await created(context, 5, b"12345")
    clock.forward(1000 * HOUR)
    await sweep(context)
    assert (await inspect(context, Inspect(upload.id), ANYBODY)).state is State.FINISHED
    assert files(tmp_path) == [f"files/{upload.id}"]


async def test_bytes_put_the_expiry_off_when_it_is_sliding(context: Context, clock: Clock) -> None:
    upload = await created(context, 10, b"12345")
    clock.forward(HOUR - 1)
    await append(context, Append(upload.id, 5, Body(1)), FakeStream(b"6"), ANYBODY, lambda: None)
    clock.forward(HOUR - 1)
    await sweep(context)
    assert (await inspect(context, Inspect(upload.id), ANYBODY)).offset == 6


async def test_an_upload_that_is_being_written_does_not_expire(context: Context, clock: Clock, tmp_path: Path) -> None:
    upload = await created(context, 10, b"12345")
    clock.forward(HOUR + 1)
    async with context.leased(upload.id):
        await sweep(context)
        assert files(tmp_path)
    await sweep(context)
    assert files(tmp_path) == []


async def test_a_tombstone_whose_maker_died_before_freeing_the_bytes_is_cleaned_up(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    upload = await created(context, 5, b"12345")
    await context.info.commit(upload, upload.fence, {"state": State.TERMINATED, "ended_at": clock.now, "reserved": 0})
    assert files(tmp_path)
    clock.forward(1)
    await sweep(context)
    assert files(tmp_path) == []
    assert await context.info.read(upload.id) is None


async def test_a_terminated_upload_leaves_nothing(context: Context, clock: Clock, tmp_path: Path) -> None:
    upload = await created(context, 10, b"12345")
    await terminate(context, Terminate(upload.id), ANYBODY)
    clock.forward(1)
    await sweep(context)
    assert files(tmp_path) == []
    assert await context.info.read(upload.id) is None


async def test_bytes_without_a_record_are_removed_once_they_are_old(context: Context, tmp_path: Path) -> None:
    stray = replace(await created(context, 10, b"1"), id="stray", offset=0)
    checkpoints = [item async for item in context.data.append(stray, FakeStream(b"123"))]
    assert checkpoints
    before = files(tmp_path)
    await sweep(context)
    assert files(tmp_path) == before
    (path,) = [path for path in (tmp_path / "partial").rglob("stray*") if path.is_file()]
    old = time.time() - LEFTOVER_SECONDS - 60
    os.utime(path, (old, old))
    await sweep(context)
    assert files(tmp_path) == [name for name in before if "stray" not in name]


async def test_bytes_of_an_open_upload_are_no_leftovers_however_old(context: Context, tmp_path: Path) -> None:
    await created(context, 10, b"12345")
    (path,) = [path for path in (tmp_path / "partial").rglob("*") if path.is_file()]
    os.utime(path, (1, 1))
    await sweep(context)
    assert path.exists()


async def test_files_that_are_not_ours_are_left_alone(context: Context, clock: Clock, tmp_path: Path) -> None:
    ours = await created(context, 10, b"12345")
    foreign = tmp_path / "files" / "somebody-elses.txt"
    foreign.write_text("mine")
    clock.forward(1000 * HOUR)
    await sweep(context)
    assert foreign.read_text() == "mine"
    assert not any(ours.id in name for name in files(tmp_path))


async def test_an_upload_that_stood_between_its_two_last_commits_is_finished(
    context: Context, clock: Clock, tmp_path: Path
) -> None:
    upload = await created(context, 10, b"12345")
    checkpoints = [item async for item in context.data.append(upload, FakeStream(b"67890"))]
    last = checkpoints[-1]
    await context.info.commit(
        upload, upload.fence, {"offset": 10, "placement": last.placement, "state": State.FINISHING}
    )
    await sweep(context)
    record = await context.info.read(upload.id)
    assert record is not None
    assert record.state is State.FINISHED
    assert (tmp_path / "files" / upload.id).read_bytes() == b"1234567890"


async def test_what_has_all_of_its_bytes_is_finished_rather_than_expired(context: Context, clock: Clock) -> None:
    upload = await created(context, 5)
    async for checkpoint in context.data.append(upload, FakeStream(b"12345")):
        await context.info.commit(
            upload, upload.fence, {"offset": 5, "placement": checkpoint.placement, "state": State.FINISHING}
        )
    clock.forward(24 * HOUR)
    await sweep(context)
    assert (await inspect(context, Inspect(upload.id), ANYBODY)).state is State.FINISHED


async def test_what_cannot_be_removed_holds_up_nothing_else(context: Context, clock: Clock, tmp_path: Path) -> None:
    stuck, other = await created(context, 10), await created(context, 10)
    (tmp_path / "partial" / sha256(stuck.id.encode()).hexdigest()[:2] / stuck.id).mkdir()
    clock.forward(HOUR + 1)
    await sweep(context)
    record = await context.info.read(other.id)
    assert record is not None
    assert record.state is State.EXPIRED
    clock.forward(TTL.total_seconds() + 1)
    await sweep(context)
    assert [await context.info.read(other.id), (await context.info.read(stuck.id)) is None] == [None, False]


async def test_a_final_upload_whose_parts_are_there_is_merged(context: Context, tmp_path: Path) -> None:
    part = await created(context, 5, b"12345", Concat(ConcatKind.PARTIAL, "partial"))
    final = replace(
        await created(context, 1), id="final", length=5, concat=Concat(ConcatKind.FINAL, "final;x", (part.id,))
    )
    await context.info.insert(final)
    await sweep(context)
    assert (tmp_path / "files" / "final").read_bytes() == b"12345"


async def test_a_final_upload_one_of_whose_parts_is_gone_fails(context: Context, clock: Clock) -> None:
    parts = [await created(context, 5, data, Concat(ConcatKind.PARTIAL, "partial")) for data in (b"12345", b"6")]
    concat = Concat(ConcatKind.FINAL, "final;x y", tuple(part.id for part in parts))
    final = await created(context, 0, concat=concat)
    await terminate(context, Terminate(parts[1].id), ANYBODY)
    clock.forward(1)
    await sweep(context)
    with pytest.raises(Gone):
        await inspect(context, Inspect(final.id), ANYBODY)


async def test_a_cut_upload_keeps_its_bytes_until_it_expires(context: Context, clock: Clock, tmp_path: Path) -> None:
    upload = await created(context, 10)
    stream = FakeStream(b"123", end=BodyEnd.CUT)
    with pytest.raises(BodyCut):
        await append(context, Append(upload.id, 0, Body(10)), stream, ANYBODY, lambda: None)
    assert (await inspect(context, Inspect(upload.id), ANYBODY)).offset == 3
    clock.forward(HOUR + 1)
    await sweep(context)
    assert files(tmp_path) == []
