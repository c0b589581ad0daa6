"""What dead writers left is found and freed on both S3 servers, and nothing of anybody else's is touched (F14)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.integration.datastores.s3_means import finished, new_upload, opened, placement_of, with_credentials
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.leftovers import free, is_leftover, leftovers, references
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.placement import S3Placement, Tail, Whole
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.models import ConcatKind, Upload

pytestmark = pytest.mark.anyio

AT_ONCE = -60.0
"""Seconds: younger than anything, by whichever clock."""


@pytest.fixture
async def means(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Means]:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket) as found:
        yield found


def new_id() -> str:
    return uuid.uuid4().hex


def begun(bucket: Bucket, key: str) -> str:
    """A multipart upload that nobody goes on with."""
    return str(bucket.server.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"])


async def found_in(means: Means, age: float = AT_ONCE) -> list[Upload]:
    return [found async for found in leftovers(means.workshop, age)]


async def put_tail(means: Means, id: str, name: str = "7.1-abc") -> str:
    key = f"{means.options.tails_prefix}{id}/{name}"
    await means.workshop.put_tail(means.options.bucket, key, Body.of(b""), 0)
    return key


async def test_each_kind_is_found_and_freed_alone(means: Means, bucket: Bucket) -> None:
    ids = [new_id() for _ in range(3)]
    multiparts = sorted((ids[0], begun(bucket, ids[0])) for _ in range(2))
    tails = [await put_tail(means, ids[1]), await put_tail(means, ids[1], "7.2-abc")]
    partial = await finished(means, b"part", ConcatKind.PARTIAL)
    whole = replace(await finished(means, b"whole"), id=ids[0])
    found = await found_in(means)
    assert sorted(one.id for one in found) == sorted([ids[0], ids[0], ids[1], ids[1], partial.id])
    assert all(is_leftover(one) for one in found)
    for one in found:
        if one.id == ids[0] and placement_of(one).multipart == multiparts[0][1]:
            for _ in range(2):
                await free(means.workshop, one)
    assert bucket.multipart_uploads() == multiparts[1:]
    for one in found:
        if one.id != partial.id:
            await free(means.workshop, one)
    assert bucket.multipart_uploads() == []
    assert bucket.keys(".tails/") == []
    assert set(bucket.keys()) == {placement_of(partial).key, placement_of(whole).key}
    assert tails[0] != tails[1]


async def test_what_is_young_is_left_alone(means: Means, bucket: Bucket) -> None:
    begun(bucket, new_id())
    await put_tail(means, new_id())
    await finished(means, b"part", ConcatKind.PARTIAL)
    assert await found_in(means, 3600) == []
    assert len(await found_in(means)) == 3


async def test_nothing_of_anybody_else_is_found(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """F14: others use the same bucket."""
    with_credentials(bucket.server, monkeypatch)
    theirs = ["backup", "ours/backup", f"other/{new_id()}", f"ours/deep/{new_id()}", f"ours/{new_id().upper()}"]
    for key in theirs:
        begun(bucket, key)
    objects = [
        "backup.tar",
        "ours/.tails/notes.txt",
        "ours/.partials/a/b",
        f"ours/{new_id()}",
        f".tails/{new_id()}/7.1-x",
    ]
    for key in objects:
        bucket.put(key, b"theirs")
    async with opened(bucket, key_prefix="ours/") as means:
        assert await found_in(means) == []
    async with opened(bucket, key_prefix="ours/", key_template="{filename}") as means:
        begun(bucket, f"ours/{new_id()}")
        assert await found_in(means) == []


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{id}", "{0}"),
        ("{yyyy}/{mm}/{dd}/{id}", "2026/03/04/{0}"),
        ("{tenant}/{id}/{filename}", "acme/{0}/a name.txt"),
        ("a.b/{id}-{id}", "a.b/{0}-{0}"),
    ],
)
async def test_our_multipart_uploads_are_known_by_their_keys(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, template: str, key: str
) -> None:
    with_credentials(bucket.server, monkeypatch)
    id = new_id()
    multipart = begun(bucket, key.format(id))
    begun(bucket, "axb/" + key.format(id).removeprefix("a.b/"))
    async with opened(bucket, key_template=template) as means:
        (found,) = await found_in(means)
        assert (found.id, placement_of(found).multipart) == (id, multipart)


async def test_a_prefix_is_searched_where_the_server_can(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)
    id = new_id()
    begun(bucket, f"ours/{id}")
    begun(bucket, f"ours/.partials/{id}")
    async with opened(bucket, key_prefix="ours/") as means:
        expected = [] if bucket.server.name == "minio" else [id, id]
        assert [found.id for found in await found_in(means)] == expected


async def test_more_than_one_page_is_looked_through(means: Means, bucket: Bucket) -> None:
    for number in range(1005):
        bucket.put(f".tails/{new_id()}/1.{number}-x", b"")
    assert len(await found_in(means)) == 1005


def test_records_reference_what_they_name() -> None:
    record = new_upload(9)

    def referenced(needed: S3Placement, left: S3Placement) -> bool:
        return references(replace(record, placement=needed.json()), replace(record, placement=left.json()))

    multipart = S3Placement(bucket="b", key="k", multipart="m")
    assert referenced(multipart, multipart)
    assert not referenced(replace(multipart, multipart="other"), multipart)
    assert not referenced(S3Placement(bucket="b", key="k", whole=Whole(1, "e")), multipart)
    assert not referenced(S3Placement(), multipart)
    tail = S3Placement(strays=(".tails/a/1.1-x",))
    assert referenced(replace(multipart, tail=Tail(1, key=".tails/a/1.1-x")), tail)
    assert not referenced(replace(multipart, tail=Tail(1, key=".tails/a/1.2-x")), tail)
    assert not referenced(replace(multipart, strays=(".tails/a/1.1-x",)), tail)
    assert not referenced(replace(multipart, tail=Tail(1, data=b"x")), tail)
    partial = S3Placement(strays=(".partials/a",))
    assert referenced(S3Placement(key=".partials/a", whole=Whole(1, "e")), partial)
    assert not referenced(S3Placement(key=".partials/a"), partial)
