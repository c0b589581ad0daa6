"""Partial uploads become one object on both S3 servers, mostly copied by them, with the bytes of all in order."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest

from tests.integration.datastores.s3_means import MIB, finished, new_upload, opened, placement_of, with_credentials
from tests.kits import datastore as kit
from tests.kits.datastore import some_bytes
from tests.testbed.faults import S3Proxy
from tests.testbed.s3 import Bucket
from tests.testbed.s3_faults import LoseReply, Refuse
from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.copying import Copying
from tusfleet.datastores.s3.leftovers import free, leftovers
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.errors import DataLost, Unavailable
from tusfleet.uploads.models import ConcatKind, Upload

pytestmark = pytest.mark.anyio

LEFT_SECONDS = 20.0
"""In which what was under way has arrived."""

AT_ONCE = -60.0
"""Seconds: younger than anything, by whichever clock."""


@pytest.fixture
async def means(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Means]:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket) as found:
        yield found


async def partials(means: Means, *contents: bytes) -> list[Upload]:
    return [await finished(means, content, ConcatKind.PARTIAL) for content in contents]


def final(*contents: bytes, **metadata: str) -> Upload:
    return new_upload(sum(map(len, contents)), ConcatKind.FINAL, **metadata)


def completed(bucket: Bucket, placement: S3Placement) -> str:
    """Completes the multipart upload as the end of an upload does; gives the key."""
    listed = [
        {"PartNumber": part.number, "ETag": part.etag} | ({"ChecksumCRC32": part.checksum} if part.checksum else {})
        for part in placement.all_parts()
    ]
    bucket.server.client.complete_multipart_upload(
        Bucket=bucket.name, Key=placement.key, UploadId=placement.multipart, MultipartUpload={"Parts": listed}
    )
    return placement.key or ""


def sizes_of(placement: S3Placement) -> list[int]:
    return [part.size for part in placement.all_parts()]


async def joined(means: Means, bucket: Bucket, contents: Sequence[bytes], **metadata: str) -> S3Placement:
    """The placement of a final upload of these contents, whose object is there and has been compared."""
    upload = final(*contents, **metadata)
    placement = await Copying(means).concatenate(upload, await partials(means, *contents))
    assert placement.size == upload.length
    whole = b"".join(contents)
    if placement.whole is None:
        assert placement.checksum == crc32(whole)
    done = await kit.finish(S3DataStore(means), replace(upload, placement=placement.json(), offset=len(whole)))
    key = placement_of(done).key or ""
    assert bucket.sha256(key) == hashlib.sha256(whole).hexdigest()
    assert S3Placement.of(placement.json()) == placement
    return placement


async def test_large_partials_are_copied_and_small_ones_merged_with_their_neighbours(
    means: Means, bucket: Bucket
) -> None:
    cases: list[tuple[list[int], list[int]]] = [
        ([6 * MIB, 7 * MIB], [6 * MIB, 7 * MIB]),
        ([9 * MIB, 0, 100], [9 * MIB, 100]),
        ([100, 12 * MIB], [5 * MIB, 7 * MIB + 100]),
        ([MIB, MIB, 7 * MIB, 6 * MIB], [9 * MIB, 6 * MIB]),
        ([6 * MIB, MIB, 2 * MIB, MIB], [6 * MIB, 4 * MIB]),
    ]
    for lengths, expected in cases:
        contents = [some_bytes(length, seed=length + number) for number, length in enumerate(lengths)]
        placement = await joined(means, bucket, contents)
        assert sizes_of(placement) == expected


async def test_few_bytes_become_one_object_with_the_metadata_of_the_final_upload(means: Means, bucket: Bucket) -> None:
    for contents in ([b"one", b"", b"two"], [b""], [some_bytes(3 * MIB), some_bytes(4 * MIB)]):
        placement = await joined(means, bucket, contents, filename="whole.txt", filetype="text/plain")
        assert placement.whole is not None
        head = bucket.head(placement.key or "")
        assert head["ContentType"] == "text/plain"
        assert head["Metadata"]["filename"] == "whole.txt"


async def test_the_object_of_parts_has_the_metadata_of_the_final_upload(means: Means, bucket: Bucket) -> None:
    placement = await joined(
        means, bucket, [bytes(6 * MIB), bytes(3 * MIB)], filename="whole.png", filetype="image/png"
    )
    head = bucket.head(placement.key or "")
    assert head["ContentType"] == "image/png"
    assert head["Metadata"]["filename"] == "whole.png"


async def test_parts_of_one_size_and_few_parts(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    contents = [some_bytes(length, seed=length) for length in (9 * MIB, 100, 8 * MIB, 9 * MIB)]
    async with opened(bucket, equal_parts=True) as means:
        placement = await joined(means, bucket, contents)
        assert sizes_of(placement) == [8 * MIB, 8 * MIB, 8 * MIB, 2 * MIB + 100]
    async with opened(bucket, max_parts=32) as means:
        placement = await joined(means, bucket, [bytes(5 * MIB)] * 34)
        assert sizes_of(placement) == [6 * MIB] * 28 + [2 * MIB]


async def test_other_checksums_and_none(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket, checksum="none") as means:
        placement = await joined(means, bucket, [some_bytes(6 * MIB), some_bytes(5 * MIB)])
        assert [part.checksum for part in placement.all_parts()] == ["", ""]


async def test_a_partial_that_is_gone_or_replaced_is_lost_and_nothing_is_left(means: Means, bucket: Bucket) -> None:
    for gone in (b"", b"gone", some_bytes(6 * MIB)):
        contents = [some_bytes(6 * MIB, seed=2), gone, some_bytes(5 * MIB, seed=3)]
        uploads = await partials(means, *contents)
        for replaced in (True, False):
            key = placement_of(uploads[1]).key or ""
            if not replaced:
                await means.workshop.client.delete(bucket.name, [key])
            elif not gone:
                continue
            else:
                bucket.put(key, gone[::-1])
            with pytest.raises(DataLost):
                await Copying(means).concatenate(final(*contents), uploads)
            assert bucket.multipart_uploads() == []
            assert means.pool.used == 0
    with pytest.raises(DataLost):
        await Copying(means).concatenate(final(b"x"), [new_upload(1, ConcatKind.PARTIAL)])


async def test_partials_that_were_sent_in_parts_are_joined_by_the_store(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(bucket.server, monkeypatch)
    contents = [some_bytes(length, seed=length) for length in (18 * MIB + 1, 3, 11 * MIB)]
    whole = b"".join(contents)
    async with opened(bucket, key_template="{filename}") as means:
        store = S3DataStore(means)
        uploads = [await kit.finished(store, content, kind=ConcatKind.PARTIAL, name="part") for content in contents]
        assert all((placement_of(upload).key or "").startswith(".partials/") for upload in uploads)
        record = done = final(*contents, filename="whole")
        for _ in range(2):
            placement = await store.concatenate(record, uploads)
            done = await kit.finish(store, replace(record, placement=placement, offset=len(whole)))
            assert placement_of(done).key == "whole"
            assert bucket.sha256("whole") == hashlib.sha256(whole).hexdigest()
        assert await kit.content_of(store, done, MIB, MIB + 9) == whole[MIB : MIB + 9]
        assert bucket.multipart_uploads() == []
        with pytest.raises(DataLost):
            await store.concatenate(final(*contents), [*uploads[:2], replace(uploads[2], placement={})])


async def test_nothing_is_under_way_any_more_when_a_failed_attempt_is_taken_away(
    means: Means, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 finishes a copy whose request was given up; its part would be left where an abort has taken all away."""
    call, under_way, aborts = S3Client.call, 0, [0]

    async def counted(client: S3Client, operation: str, **parameters: Any) -> dict[str, Any]:
        nonlocal under_way
        if operation == "abort_multipart_upload":
            aborts.append(under_way)
        if operation != "upload_part_copy":
            return await call(client, operation, **parameters)
        under_way += 1
        try:
            await asyncio.sleep(0.1 * parameters["PartNumber"])
            return await call(client, operation, **parameters)
        except asyncio.CancelledError:
            under_way += 1  # for good: the service is not told
            raise
        finally:
            under_way -= 1

    contents = [some_bytes(6 * MIB, seed=number) for number in range(4)]
    uploads = await partials(means, *contents)
    await means.workshop.client.delete(bucket.name, [placement_of(uploads[0]).key or ""])
    monkeypatch.setattr(S3Client, "call", counted)
    with pytest.raises(DataLost):
        await Copying(means).concatenate(final(*contents), uploads)
    assert len(aborts) > 1
    assert set(aborts) == {0}
    assert bucket.multipart_uploads() == []


async def test_it_may_be_repeated_before_and_after_the_end(means: Means, bucket: Bucket) -> None:
    contents = [some_bytes(6 * MIB), some_bytes(5 * MIB, seed=2)]
    uploads, upload = await partials(means, *contents), final(*contents)
    first = await Copying(means).concatenate(upload, uploads)
    second = await Copying(means).concatenate(upload, uploads)
    assert first.multipart != second.multipart
    key = completed(bucket, second)
    third = await Copying(means).concatenate(upload, uploads)
    assert third.whole is not None
    assert (third.key, third.whole.etag) == (key, bucket.head(key)["ETag"].strip('"'))
    assert bucket.sha256(key) == hashlib.sha256(b"".join(contents)).hexdigest()


async def test_a_name_that_others_have_taken_is_left_to_them(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    bucket.put("whole.bin", b"of others")
    async with opened(bucket, key_template="{filename}") as means:
        for contents in ([b"a", b"b"], [bytes(6 * MIB), bytes(3 * MIB)]):
            placement = await joined(means, bucket, contents, filename="whole.bin")
            assert placement.key not in ("whole.bin", None)
    assert bucket.read("whole.bin") == b"of others"


async def test_a_cancelled_one_leaves_nothing(means: Means, bucket: Bucket) -> None:
    contents = [bytes(6 * MIB), bytes(100), bytes(8 * MIB)] * 3
    uploads = await partials(means, *contents)
    for seconds in (0.0, 0.01, 0.03, 0.1):
        joining = asyncio.create_task(Copying(means).concatenate(final(*contents), uploads))
        await asyncio.wait([joining], timeout=seconds)
        joining.cancel()
        await asyncio.wait([joining])
        assert means.pool.used == 0
    await joined(means, bucket, contents)


@pytest.mark.long
async def test_copies_that_fail_are_made_again_or_given_up(
    bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_credentials(bucket.server, monkeypatch)
    contents = [some_bytes(6 * MIB), some_bytes(100), some_bytes(7 * MIB)]
    async with opened(bucket, endpoint=s3_proxy.endpoint, retry_time=1.0) as means:
        uploads = await partials(means, *contents)
        faults: list[tuple[str, Any]] = [
            ("UploadPartCopy", Refuse(500, "InternalError")),
            ("UploadPartCopy", LoseReply()),
            ("UploadPart", LoseReply()),
            ("GetObject", LoseReply()),
        ]
        for operation, fault in faults:
            s3_proxy.rule(operation, fault)
            placement = await Copying(means).concatenate(final(*contents), uploads)
            key = completed(bucket, placement)
            assert bucket.sha256(key) == hashlib.sha256(b"".join(contents)).hexdigest()
        s3_proxy.rule("UploadPartCopy", Refuse(403, "AccessDenied"), times=None)
        with pytest.raises(Unavailable, match="do not allow"):
            await Copying(means).concatenate(final(*contents), uploads)
        assert s3_proxy.counts()["AbortMultipartUpload"] > 0
        await all_aborted(means, bucket)
        assert means.pool.used == 0


async def all_aborted(means: Means, bucket: Bucket) -> None:
    """Wait until no multipart upload is left, or none that a janitor does not abort.

    A part that was given up may arrive at S3 after the abort of its multipart upload, which then stands again.
    """
    async with asyncio.timeout(LEFT_SECONDS):
        while bucket.multipart_uploads():
            async for found in leftovers(means.workshop, AT_ONCE):
                if placement_of(found).multipart is not None:
                    await free(means.workshop, found)


async def test_it_costs_few_requests(bucket: Bucket, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    contents = [bytes(6 * MIB), bytes(8 * MIB), bytes(100)]
    async with opened(bucket, endpoint=s3_proxy.endpoint) as means:
        uploads = await partials(means, *contents)
        copying = Copying(means)
        await copying.concatenate(final(*contents), uploads)
        s3_proxy.clear()
        await copying.concatenate(final(*contents), uploads)
        assert s3_proxy.counts() == {"HeadObject": 1, "CreateMultipartUpload": 1, "UploadPartCopy": 3}
        uploads = await partials(means, b"a", b"b")
        s3_proxy.clear()
        await Copying(means).concatenate(final(b"a", b"b"), uploads)
        assert s3_proxy.counts() == {"GetObject": 2, "PutObject": 1}
