"""Room for uploads of unknown length in a store of bounded size: taken as needed, given back on every way out."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contexts import context_in
from tests.integration.uploads.steps import ANYBODY, append, create
from tests.kits.streams import FakeStream
from tusfleet.uploads import append as appending
from tusfleet.uploads.append import RESERVE_STEP
from tusfleet.uploads.context import Context, Policy
from tusfleet.uploads.errors import ChecksumMismatch, LengthExceeded, StoreFull
from tusfleet.uploads.intents import Append, Body, Checksum
from tusfleet.uploads.models import BodyEnd, State

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
CAPACITY = RESERVE_STEP + 20 * MIB


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[Context]:
    async with context_in(tmp_path, Policy(bounded=True), capacity=CAPACITY) as context:
        yield context


async def reserved(context: Context) -> int:
    return (await context.info.usage()).reserved


async def test_a_checksum_that_does_not_match_sets_nothing_aside(context: Context) -> None:
    upload = await create(context)
    wrong = Body(5, checksum=Checksum("sha1", hashlib.sha1(b"other").digest()))
    for _ in range(3):
        with pytest.raises(ChecksumMismatch):
            await appending.append(context, Append(upload.id, 0, wrong), FakeStream(b"12345"), ANYBODY, lambda: None)
    assert await reserved(context) == 0


async def test_bytes_beyond_the_length_set_nothing_aside(context: Context) -> None:
    upload = await create(context)
    with pytest.raises(LengthExceeded):
        await append(context, upload.id, 0, FakeStream(b"12345"), length=4)
    assert await reserved(context) == 0


async def test_a_small_upload_of_unknown_length_fits_where_a_step_does_not(context: Context) -> None:
    await create(context, CAPACITY - 10)
    upload = await create(context, None, b"12345")
    assert (upload.offset, await reserved(context)) == (5, CAPACITY - 5)
    with pytest.raises(StoreFull):
        await append(context, upload.id, 5, b"678901")
    assert await reserved(context) == CAPACITY - 5
    assert (await append(context, upload.id, 5, b"67890")).offset == 10


@pytest.mark.timeout(30)  # it was set aside byte by byte
async def test_a_length_declared_after_a_crash_is_set_aside_once(context: Context) -> None:
    upload = await create(context)
    # A writer that was killed had a step set aside.
    await context.info.commit(upload, upload.fence, {"reserved": RESERVE_STEP})
    length = RESERVE_STEP + 3 * MIB
    stream = FakeStream(*(b"x" * MIB for _ in range(length // MIB)))
    done = await append(context, upload.id, 0, stream, length=length)
    assert (done.state, done.reserved, await reserved(context)) == (State.FINISHED, length, length)


async def test_what_a_killed_writer_had_set_aside_is_used_by_the_next(context: Context) -> None:
    upload = await create(context)
    await context.info.commit(upload, upload.fence, {"reserved": RESERVE_STEP})
    assert (await append(context, upload.id, 0, b"12345")).reserved == 5


async def test_a_first_body_without_room_leaves_nothing_behind(context: Context, tmp_path: Path) -> None:
    await create(context, CAPACITY - 10)
    with pytest.raises(StoreFull):
        await create(context, None, b"x" * 11)
    assert await reserved(context) == CAPACITY - 10
    assert (await context.info.usage()).uploads == 1


async def test_a_cut_first_body_keeps_what_arrived_and_no_more(context: Context) -> None:
    with pytest.raises(Exception, match="cut"):
        await create(context, None, b"12345", end=BodyEnd.CUT)
    assert await reserved(context) == 5
