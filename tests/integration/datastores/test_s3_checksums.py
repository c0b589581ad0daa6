"""Every kind of checksum that may be set is one that S3 itself computes of the bytes, alone and one after the other."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.datastores.s3_means import MIB, new_upload, placement_of, with_credentials
from tests.integration.datastores.s3_uploads import Life, store_at
from tests.kits import datastore as kit
from tests.kits.datastore import some_bytes
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.checksums import NAMES, checksum
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.models import ConcatKind, Upload

SIZES = (3, 12 * MIB + 5, 5 * MIB)
"""A partial upload of one call, one of several parts, and one that is a part."""

CHANGES = [("crc32", "crc32c"), ("crc32c", "crc64nvme"), ("crc64nvme", "none"), ("none", "crc32c")]
"""Settings, before and after a restart."""


@pytest.fixture(autouse=True)
def credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with_credentials(bucket.server, monkeypatch)


def kept(upload: Upload, content: bytes, name: str) -> None:
    """See that a record has the checksum of its bytes, and says of which kind."""
    whole, kind = placement_of(upload).whole, checksum("crc32" if name == "none" else name)
    assert kind is not None
    assert whole is not None
    assert whole.checksum == kind.encode(kind.update(content, 0))
    assert (placement_of(upload).algorithm or "").removesuffix("-kept") == kind.name


@pytest.mark.anyio
@pytest.mark.parametrize("name", NAMES)
async def test_s3_has_the_checksum_that_was_computed_here(bucket: Bucket, name: str) -> None:
    kind = checksum(name)
    assert kind is not None
    content = some_bytes(17 * MIB + 7)
    async with store_at(bucket.server, bucket.endpoint, bucket.name, checksum=name) as store:
        life = Life(len(content))
        await life.patch(store, content[: 9 * MIB])
        await life.patch(store, content[9 * MIB :])
    kept(life.record, content, name)
    assert bucket.head(life.key)[kind.parameter] == kind.encode(kind.update(content, 0))


@pytest.mark.anyio
@pytest.mark.parametrize(("then", "now"), CHANGES)
async def test_partial_uploads_under_another_setting_are_joined(bucket: Bucket, then: str, now: str) -> None:
    contents = [some_bytes(size, seed=size) for size in SIZES]
    async with store_at(bucket.server, bucket.endpoint, bucket.name, checksum=then) as store:
        parts = [await kit.finished(store, content, kind=ConcatKind.PARTIAL) for content in contents]
    async with store_at(bucket.server, bucket.endpoint, bucket.name, checksum=now) as store:
        # Whoever died in between is followed by somebody who does the same again.
        for _ in range(2):
            await joined(store, bucket, parts, contents, then)
        small = some_bytes(2 * MIB, seed=9)
        mixed = [*parts, await kit.finished(store, small, kind=ConcatKind.PARTIAL)]
        await joined(store, bucket, mixed, [*contents, small], then)
        await joined(store, bucket, mixed[::-1], [small, *contents[::-1]], now)


async def joined(store: S3DataStore, bucket: Bucket, parts: list[Upload], contents: list[bytes], name: str) -> None:
    """Have partial uploads joined, and compare."""
    whole = b"".join(contents)
    record = new_upload(len(whole), ConcatKind.FINAL)
    placement = await store.concatenate(record, parts)
    done = await kit.finish(store, replace(record, placement=placement, offset=len(whole)))
    assert bucket.sha256(str(done.placement["key"])) == hashlib.sha256(whole).hexdigest()
    kept(done, whole, name)


def test_a_package_that_is_missing_is_told_of_in_one_sentence(bucket: Bucket, tmp_path: Path) -> None:
    without = "import sys; sys.modules['awscrt'] = None; from tusfleet.cli.main import main; main()"
    place = ("--s3-bucket", bucket.name, "--s3-endpoint", bucket.endpoint, "--s3-region", bucket.server.region)
    for name in ("crc32c", "crc64nvme"):
        done = subprocess.run(
            [
                *(sys.executable, "-c", without, "serve", "--port", "0", "--data-dir", str(tmp_path)),
                *("--datastore", "s3", *place, "--s3-checksum", name),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        expected = f"s3_checksum: {name} needs the package awscrt; install tusfleet[s3-crt], or use crc32"
        assert [line for line in done.stderr.splitlines() if line] == [f"Error: {expected}"]
        assert done.returncode != 0
