"""What an object tells about its upload: as much of the client's metadata as both S3 servers take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from tests.integration.datastores.s3_means import finished, opened, placement_of, with_credentials
from tests.testbed.s3 import Bucket
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.naming import METADATA_BYTES, METADATA_ENTRIES
from tusfleet.uploads.models import ConcatKind

pytestmark = pytest.mark.anyio


@pytest.fixture
async def means(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Means]:
    with_credentials(bucket.server, monkeypatch)
    async with opened(bucket) as found:
        yield found


@pytest.mark.parametrize(
    ("entries", "value"),
    [(200, "x" * 100), (250, "x"), (3, "ü" * 300), (1, "x" * METADATA_BYTES)],
    ids=["many", "short", "encoded", "long"],
)
@pytest.mark.parametrize("kind", [None, ConcatKind.PARTIAL])
async def test_more_metadata_than_fits_is_cut_between_entries(
    means: Means, bucket: Bucket, entries: int, value: str, kind: ConcatKind | None
) -> None:
    given = {"filename": "a.bin"} | {f"key{number}": value for number in range(entries)}
    upload = await finished(means, b"123", kind, **given)
    head = bucket.head(placement_of(upload).key or "")
    kept = head["Metadata"]
    assert kept["filename"] == "a.bin"
    assert kept["tusfleet-id"] == upload.id
    sizes = {name: len("x-amz-meta-") + len(name) + len(text) for name, text in kept.items()}
    assert sum(sizes.values()) <= 2048
    dropped = [11 + len(name) + len(quote(text)) for name, text in given.items() if name not in kept]
    theirs = [size for name, size in sizes.items() if name in given]
    assert len(theirs) == METADATA_ENTRIES or all(sum(theirs) + size > METADATA_BYTES for size in dropped)
