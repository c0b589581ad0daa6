"""Appends to S3 when leases change, clients fall silent, memory is short, and S3 fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from tests.integration.datastores.s3_means import with_credentials
from tests.integration.datastores.s3_uploads import Life, store_at
from tests.kits.datastore import some_bytes
from tests.kits.streams import FakeStream
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket, S3Server
from tests.testbed.s3_faults import INTERNAL_ERROR, SLOW_DOWN, LoseReply, Refuse
from tusfleet.datastores.s3.appending import PATIENCE
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.datastores.s3.slabs import SlabPool
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.errors import ChecksumMismatch, DataLost, Unavailable
from tusfleet.uploads.models import BodyEnd, Checkpoint

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
INTERVAL = 0.1


@pytest.fixture
async def store(
    bucket: Bucket, s3_proxy: S3Proxy, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[S3DataStore]:
    with_credentials(s3_server, monkeypatch)
    async with store_at(
        s3_server, s3_proxy.endpoint, bucket.name, part_size=5 * MIB, checkpoint_interval=INTERVAL, retry_time=2.0
    ) as store:
        yield store


class TentativeStream(FakeStream):
    """A stream whose bytes count only once it has ended."""

    tentative = True


async def refused(store: S3DataStore, life: Life, stream: FakeStream) -> None:
    """An append whose first commit is refused: it ends there, with whatever it had under way."""
    async with aclosing(store.append(life.record, stream)) as checkpoints:
        await anext(checkpoints, None)


async def drained(store: S3DataStore, life: Life, stream: FakeStream) -> list[Checkpoint]:
    """What an append gives when nothing of it is committed."""
    async with aclosing(store.append(life.record, stream)) as checkpoints:
        return [checkpoint async for checkpoint in checkpoints]


@pytest.mark.parametrize("apart", [False, True], ids=["leases with records", "leases apart"])
async def test_a_writer_that_lost_its_lease_overwrites_nothing(store: S3DataStore, bucket: Bucket, apart: bool) -> None:
    content = some_bytes(30 * MIB)
    life = Life(len(content), apart=apart)
    await life.patch(store, content[: 6 * MIB])
    life.lease()
    stale = replace(life.record)
    await life.patch(store, content[6 * MIB : 12 * MIB])
    # The one before wakes up, and sends other bytes for the same place.
    late = Life(None)
    late.record = stale
    await refused(store, late, FakeStream(bytes(18 * MIB)))
    await life.patch(store, content[12 * MIB : 20 * MIB])
    await refused(store, late, FakeStream(bytes(18 * MIB)))
    await life.patch(store, content[20 * MIB :])
    assert bucket.read(life.key) == content


async def test_requests_of_any_size_come_to_the_same_object(store: S3DataStore, bucket: Bucket) -> None:
    content = some_bytes(23 * MIB + 12_345)
    dice = random.Random(5)
    life = Life(len(content))
    while life.record.offset < len(content):
        size = dice.choice([1, 1000, 200_000, 700_000, 5 * MIB, 6_000_001])
        await life.patch(store, content[life.record.offset : life.record.offset + size], end=dice.choice(list(BodyEnd)))
    assert bucket.read(life.key) == content
    assert bucket.keys() == [life.key]


async def test_a_length_that_comes_last_finishes_what_is_a_tail(store: S3DataStore, bucket: Bucket) -> None:
    for content in (b"short", some_bytes(MIB), some_bytes(7 * MIB)):
        life = Life(None)
        await life.patch(store, content)
        life.record = replace(life.record, length=len(content))
        await life.finish(store)
        assert bucket.read(life.key) == content


async def test_a_checksum_that_does_not_match_leaves_nothing(store: S3DataStore, bucket: Bucket) -> None:
    life = Life(100 * MIB)
    for size in (1000, 12 * MIB):
        with pytest.raises(ChecksumMismatch):
            await drained(store, life, TentativeStream(bytes(size), ChecksumMismatch()))
    assert bucket.keys() == []
    assert bucket.multipart_uploads() == []


async def test_a_tentative_stream_reserves_its_numbers_before_it_uses_them(store: S3DataStore, bucket: Bucket) -> None:
    content = some_bytes(70 * MIB)
    life = Life(len(content))
    await life.patch(store, content[: 6 * MIB])
    record = life.lease()
    steps = [content[start : start + MIB] for start in range(6 * MIB, len(content), MIB)]
    async with aclosing(store.append(record, TentativeStream(*steps))) as checkpoints:
        given = []
        async for checkpoint in checkpoints:
            given.append(checkpoint.offset)
            life.commit(checkpoint)
    assert set(given[:-1]) == {6 * MIB}
    assert given[-1] == len(content)
    await life.finish(store)
    assert bucket.read(life.key) == content


async def test_an_upload_stays_with_the_checksums_with_which_it_began(
    bucket: Bucket, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(s3_server, monkeypatch)
    content = some_bytes(13 * MIB)
    for settings in (["crc32", "none", "crc32"], ["none", "crc32", "none"]):
        life = Life(len(content))
        for number, setting in enumerate(settings):
            async with store_at(s3_server, bucket.endpoint, bucket.name, checksum=setting) as store:
                piece = slice(number * 5 * MIB, (number + 1) * 5 * MIB)
                await life.patch(store, content[piece])
        assert bucket.read(life.key) == content


async def test_a_silent_client_holds_no_memory(store: S3DataStore) -> None:
    pool = store._means.pool
    for size, tail in ((1000, "data"), (100_000, "key"), (3 * MIB, "key")):
        life, silence = Life(50 * MIB), asyncio.Event()
        stream = FakeStream(bytes(size), silence, b"more")
        stored = asyncio.create_task(_nothing_held(pool, life, size, tail, silence))
        async with asyncio.timeout(20), aclosing(store.append(life.record, stream)) as checkpoints:
            async for checkpoint in checkpoints:
                life.commit(checkpoint)
        await stored
        assert life.record.offset == size + 4


async def _nothing_held(pool: SlabPool, life: Life, size: int, tail: str, silence: asyncio.Event) -> None:
    """End the silence once all bytes are in a tail of that kind, and none in memory but what gives way at once."""
    while True:
        await asyncio.sleep(INTERVAL / 10)
        stored = S3Placement.of(life.record.placement).tail
        if life.record.offset == size and stored is not None and getattr(stored, tail) and pool.used == pool.kept:
            silence.set()
            return


async def test_many_slow_clients_share_little_memory(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    content = some_bytes(3 * MIB)
    async with store_at(
        bucket.server, bucket.endpoint, bucket.name, part_size=5 * MIB, buffer_memory=10 * MIB
    ) as store:
        silence = asyncio.Event()
        slow = [Life(50 * MIB) for _ in range(12)]

        async def stall(life: Life) -> None:
            stream = FakeStream(*(content[start : start + MIB] for start in range(0, len(content), MIB)), silence)
            async with aclosing(store.append(life.record, stream)) as checkpoints:
                async for checkpoint in checkpoints:
                    life.commit(checkpoint)
                    assert store._means.pool.used <= store._means.pool.limit

        stalled = [asyncio.create_task(stall(life)) for life in slow]
        fast = Life(20 * MIB)
        async with asyncio.timeout(60):
            await fast.patch(store, some_bytes(20 * MIB))
        assert bucket.read(fast.key) == some_bytes(20 * MIB)
        silence.set()
        await asyncio.gather(*stalled)
        assert [life.record.offset for life in slow] == [len(content)] * 12
        assert store._means.pool.used == store._means.pool.kept
        await slow[0].patch(store, content)
        assert slow[0].record.offset == 6 * MIB


async def test_bytes_that_come_while_a_slow_commit_goes_on_are_read(store: S3DataStore, bucket: Bucket) -> None:
    """Nothing else would wake the append: its client sends no more before these are acknowledged."""
    arrived, rest = asyncio.Event(), some_bytes(2000)
    life = Life(3000)
    life.lease()
    stream = FakeStream(bytes(1000), arrived, rest, asyncio.Event())
    async with asyncio.timeout(30), aclosing(store.append(life.record, stream)) as checkpoints:
        async for checkpoint in checkpoints:
            life.commit(checkpoint)
            if life.record.complete:
                break
            arrived.set()
            await asyncio.sleep((PATIENCE + 1) * INTERVAL)
    assert life.record.offset == 3000


@pytest.mark.parametrize("part", range(1, 6))
async def test_a_part_that_fails_leaves_a_prefix(
    store: S3DataStore, bucket: Bucket, s3_proxy: S3Proxy, part: int
) -> None:
    content = some_bytes(25 * MIB)
    life = Life(len(content))
    s3_proxy.rule("UploadPart", Refuse(403, "AccessDenied"), where=lambda request: request.part == part)
    with pytest.raises(Unavailable, match="do not allow UploadPart"):
        await life.patch(store, content)
    assert life.record.offset == (part - 1) * 5 * MIB
    await life.patch(store, content[life.record.offset :])
    assert bucket.read(life.key) == content


@pytest.mark.parametrize("fault", [INTERNAL_ERROR, SLOW_DOWN, LoseReply()], ids=["500", "SlowDown", "lost reply"])
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"])
async def test_what_fails_once_is_done_again(
    store: S3DataStore, bucket: Bucket, s3_proxy: S3Proxy, operation: str, fault: Refuse | LoseReply
) -> None:
    content = some_bytes(100_000 if operation == "PutObject" else 11 * MIB)
    life = Life(len(content))
    s3_proxy.rule(operation, fault)
    await life.patch(store, content)
    assert bucket.read(life.key) == content
    assert bucket.keys() == [life.key]


async def test_a_service_that_is_down_is_said_in_time(store: S3DataStore, s3_proxy: S3Proxy) -> None:
    s3_proxy.rule("PutObject", SLOW_DOWN, times=None)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="asks for fewer requests"):
            await Life(10).patch(store, b"0123456789")


async def test_a_multipart_upload_aborted_by_others_is_lost(store: S3DataStore, bucket: Bucket) -> None:
    for late in (False, True):
        life = Life(12 * MIB)
        await life.patch(store, bytes(6 * MIB))
        for key, multipart in bucket.multipart_uploads():
            bucket.abort(key, multipart)
        if late:
            await life.patch(store, bytes(3 * MIB))
        with pytest.raises(DataLost):
            await life.patch(store, bytes(12 * MIB - life.record.offset))


async def test_what_a_dead_writer_completed_is_taken_over(store: S3DataStore, bucket: Bucket) -> None:
    for size in (1000, 11 * MIB):
        content = some_bytes(size)
        life = Life(size)
        life.lease()
        *_, last = await drained(store, life, FakeStream(content))
        if size > MIB:
            life.commit(last)
            await store.finish(life.record)
        await life.patch(store, *([] if life.record.complete else [content]))
        assert bucket.read(life.key) == content
        assert bucket.keys(life.key) == [life.key]


async def test_what_a_dead_writer_made_of_other_bytes_is_not_taken(store: S3DataStore, bucket: Bucket) -> None:
    content = some_bytes(1000)
    life = Life(1000)
    await drained(store, life, FakeStream(bytes(1000)))
    await life.patch(store, content)
    assert life.key == f"{life.record.id}-1"
    assert bucket.keys() == [life.key]
    assert bucket.read(life.key) == content


async def test_what_a_dead_writer_made_of_other_bytes_gives_way_to_the_parts(
    store: S3DataStore, bucket: Bucket
) -> None:
    content = some_bytes(7 * MIB)
    life = Life(None)
    early = Life(5 * MIB)
    early.record = replace(life.record, length=5 * MIB)
    await drained(store, early, FakeStream(bytes(5 * MIB)))
    await life.patch(store, content)
    life.record = replace(life.record, length=len(content))
    await life.finish(store)
    assert bucket.read(life.key) == content
    assert bucket.keys() == [life.record.id]


async def test_the_object_of_another_is_never_touched(store: S3DataStore, bucket: Bucket) -> None:
    life = Life(4)
    bucket.put(life.record.id, b"a stranger's")
    await life.patch(store, b"mine")
    assert (life.key, bucket.read(life.key)) == (f"{life.record.id}-1", b"mine")
    await store.abort(life.record)
    assert bucket.read(life.record.id) == b"a stranger's"
