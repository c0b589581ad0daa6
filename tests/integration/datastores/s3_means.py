"""What the tests of the S3 store's parts work with: an open connection to a bucket, and uploads that have an object."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.testbed.s3 import Bucket, S3Server
from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.models import Concat, ConcatKind, Metadata, State, Upload

MIB = 1024 * 1024
CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def with_credentials(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients of this test take the keys of the server from the environment."""
    for name, value in server.credentials.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def opened(bucket: Bucket, **options: Any) -> AsyncIterator[Means]:
    """What an S3 store of this bucket works with."""
    given = {"bucket": bucket.name, "endpoint": bucket.endpoint, "region": bucket.server.region, **options}
    async with S3Client(S3Options(**given)) as client:
        yield Means.of(client)


def new_upload(length: int, kind: ConcatKind | None = None, **metadata: str) -> Upload:
    """A record as a creation leaves it."""
    return Upload(
        id=uuid.uuid4().hex,
        protocol="tus",
        created_at=CREATED,
        length=length,
        metadata=Metadata.of(metadata),
        concat=None if kind is None else Concat(kind, kind.value),
    )


async def finished(means: Means, content: bytes, kind: ConcatKind | None = None, **metadata: str) -> Upload:
    """A finished upload of `content`, whose object was made with one call."""
    upload = new_upload(len(content), kind, **metadata)
    value = means.workshop.kind.update(content, 0)
    placement = await means.workshop.put_whole(upload, placement_of(upload), Body.of(content), value)
    return replace(upload, placement=placement.json(), offset=len(content), state=State.FINISHED)


def placement_of(upload: Upload) -> S3Placement:
    """What its record tells about its bytes."""
    return S3Placement.of(upload.placement)
