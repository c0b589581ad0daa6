"""Bytes are read back from both S3 servers, however slow the reader and whatever happens to the object."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from zlib import crc32

import pytest

from tests.integration.datastores.s3_means import MIB, finished, new_upload, opened, placement_of, with_credentials
from tests.kits.datastore import some_bytes
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket, S3Server
from tusfleet.datastores.s3.client import CALL_CONNECTIONS
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.reading import read
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.errors import DataLost, NotFound
from tusfleet.uploads.models import Placement, State, Upload
from tusfleet.uploads.ports import Content

pytestmark = pytest.mark.anyio

SOON = 20.0
"""Seconds in which a thing that must happen has happened, on a busy machine too."""


@pytest.fixture
async def means(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Means]:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket) as found:
        yield found


def reading(means: Means, upload: Upload):  # type: ignore[no-untyped-def]
    return read(means.workshop.client, means.workshop.naming, upload)


async def some(content: Content, start: int, stop: int) -> bytes:
    return b"".join([chunk async for chunk in content.chunks(start, stop)])


async def all_of(means: Means, upload: Upload) -> bytes:
    async with reading(means, upload) as content:
        assert content.fileno() is None
        return await some(content, 0, content.size)


def unfinished(offset: int, placement: Placement) -> Upload:
    return replace(new_upload(100 * MIB), offset=offset, placement=placement)


async def test_ranges_are_the_bytes_that_were_asked_for(means: Means) -> None:
    content = some_bytes(3 * MIB + 17)
    upload = await finished(means, content)
    size = len(content)
    for start, stop in ((0, size), (0, 1), (0, 0), (1, 2), (MIB - 1, 2 * MIB + 1), (size - 1, size), (size, size)):
        async with reading(means, upload) as found:
            assert found.size == size
            assert await some(found, start, stop) == content[start:stop]
            assert await some(found, stop, size) == content[stop:]


async def test_bytes_that_are_told_of_at_the_opening_cost_one_request(
    bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(bucket.server, monkeypatch)
    content = some_bytes(3 * MIB + 17)
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        upload = await finished(means, content)
        size = len(content)
        for start, stop in ((0, size), (0, 1), (1, 2), (MIB - 1, 2 * MIB + 1), (size - 1, size)):
            s3_proxy.clear()
            async with read(means.workshop.client, means.workshop.naming, upload, (start, stop)) as found:
                assert found.size == size
                assert await some(found, start, stop) == content[start:stop]
                assert s3_proxy.counts() == {"GetObject": 1}
                # What nobody told of can be had all the same.
                assert await some(found, 0, size) == content


async def test_an_empty_object_is_read(means: Means) -> None:
    assert await all_of(means, await finished(means, b"")) == b""


async def test_an_object_that_others_have_replaced_is_lost_rather_than_other_bytes(
    means: Means, bucket: Bucket
) -> None:
    upload = await finished(means, b"our bytes")
    bucket.put(placement_of(upload).key or "", b"others...")
    with pytest.raises(DataLost, match="replaced"):
        await all_of(means, upload)


async def test_an_object_that_is_gone_is_lost(means: Means, bucket: Bucket) -> None:
    upload = await finished(means, b"our bytes")
    await means.workshop.client.delete(bucket.name, [placement_of(upload).key or ""])
    with pytest.raises(DataLost, match="gone"):
        await all_of(means, upload)
    with pytest.raises(DataLost):
        await all_of(means, replace(upload, offset=4))


async def test_a_deletion_disturbs_nobody_who_reads(means: Means, bucket: Bucket) -> None:
    content = some_bytes(600_000)
    upload = await finished(means, content)
    async with reading(means, upload) as found:
        await means.workshop.client.delete(bucket.name, [placement_of(upload).key or ""])
        assert await some(found, 0, len(content)) == content


async def test_tails_are_read_from_the_record_and_from_their_objects(means: Means, bucket: Bucket) -> None:
    assert await all_of(means, new_upload(9)) == b""
    inline = {"tail": {"size": 4, "data": base64.b64encode(b"tail").decode()}}
    assert await all_of(means, unfinished(4, inline)) == b"tail"
    tail = await means.workshop.put_tail(bucket.name, ".tails/a/1.1-x", Body.of(b"tail object"), crc32(b"tail object"))
    upload = unfinished(11, {"bucket": bucket.name, "tail": {"size": tail.size, "key": tail.key}})
    assert await all_of(means, upload) == b"tail object"
    with pytest.raises(DataLost):
        await all_of(means, replace(upload, offset=12))
    await means.workshop.client.delete(bucket.name, [".tails/a/1.1-x"])
    with pytest.raises(DataLost):
        await all_of(means, upload)


async def test_parts_that_are_not_completed_are_said_to_be_unreadable(means: Means, bucket: Bucket) -> None:
    placement = placement_of(new_upload(1))
    placement = replace(placement, bucket=bucket.name, key="k", multipart="m", parts=("1.9.-61.",), count=1, stored=9)
    for state in (State.OPEN, State.FINISHING):
        with pytest.raises(NotFound, match="only once it is finished"):
            await all_of(means, replace(unfinished(9, placement.json()), state=state))


async def test_slow_readers_keep_nobody_waiting_and_lose_nothing(means: Means, bucket: Bucket) -> None:
    """F6: more downloads stand still than there are connections for calls."""
    content = some_bytes(12 * MIB)
    upload = await finished(means, content)
    async with AsyncExitStack() as stack, asyncio.timeout(SOON * 3):
        slow = []
        for _ in range(CALL_CONNECTIONS + 10):
            found = await stack.enter_async_context(reading(means, upload))
            chunks = await stack.enter_async_context(aclosing(found.chunks(0, found.size)))
            slow.append((chunks, await anext(chunks)))
        async with asyncio.timeout(SOON):
            assert await means.workshop.look(bucket.name, placement_of(upload).key or "") is not None
            await finished(means, b"an upload beside them")
        for chunks, first in slow[:3]:
            assert first + b"".join([chunk async for chunk in chunks]) == content


async def test_a_reader_that_leaves_early_leaves_no_connection(means: Means) -> None:
    upload = await finished(means, some_bytes(8 * MIB))
    async with reading(means, upload) as found:
        begun = [found.chunks(0, found.size), found.chunks(5, found.size)]
        for chunks in begun:
            assert len(await anext(chunks)) > 0
        assert len(found._open) == 2
    assert found._open == set()


async def test_a_download_goes_on_after_its_connection_broke(
    s3_alone: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F6: S3 may lose patience with a slow client; the client does not notice."""
    with_credentials(s3_alone, monkeypatch)
    content = some_bytes(24 * MIB)
    bucket = s3_alone.bucket()
    async with opened(bucket) as means:
        upload = await finished(means, content)
        async with reading(means, upload) as found:
            chunks = found.chunks(0, found.size)
            received = [await anext(chunks)]
            s3_alone.program.kill()
            s3_alone.program.start()
            received += [chunk async for chunk in chunks]
        assert b"".join(received) == content

        async with reading(means, upload) as found:
            chunks = found.chunks(0, found.size)
            await anext(chunks)
            s3_alone.program.kill()
            s3_alone.program.start()
            bucket.put(placement_of(upload).key or "", content[::-1])
            with pytest.raises(DataLost):
                _ = [chunk async for chunk in chunks]


async def test_a_range_costs_two_requests_and_the_whole_one(
    bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        upload = await finished(means, some_bytes(MIB))
        for start, requests in ((0, 1), (5, 2)):
            s3_proxy.clear()
            async with reading(means, upload) as found:
                await some(found, start, found.size)
            assert s3_proxy.counts() == {"GetObject": requests}
