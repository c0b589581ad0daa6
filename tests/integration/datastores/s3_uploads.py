"""Uploads through an S3 data store as the use case drives them: leases that follow each other, commits, a finish."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from tests.integration.datastores.s3_means import new_upload
from tests.kits.streams import FakeStream
from tests.testbed.s3 import S3Server
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.store import S3DataStore
from tusfleet.uploads.models import BodyEnd, Checkpoint, State, Upload

CHUNK = 64 * 1024
"""Bytes come in pieces as a socket gives them."""


@asynccontextmanager
async def store_at(server: S3Server, endpoint: str, bucket: str, **options: Any) -> AsyncIterator[S3DataStore]:
    """A store whose requests go to `endpoint`."""
    given = {"bucket": bucket, "endpoint": endpoint, "region": server.region, **options}
    async with S3DataStore.open(S3Options(**given)) as store:
        yield store


class Life:
    """The record of one upload, and what the use case does to it.

    Parameters:
        length: of the upload.
        apart: whether leases are kept apart from records, so that nobody knows which follows which.
    """

    def __init__(self, length: int | None, *, apart: bool = False, **metadata: str) -> None:
        self.record: Upload = replace(new_upload(0, None, **metadata), length=length)
        self.apart = apart
        self.commits = 0

    def lease(self) -> Upload:
        """Begin a lease; the record under it."""
        if not self.apart:
            self.record = replace(self.record, follows=self.record.fence, fence=self.record.fence + 1)
        return self.record

    def commit(self, checkpoint: Checkpoint) -> None:
        """What the use case does with a checkpoint."""
        self.commits += 1
        assert checkpoint.offset >= self.record.offset
        state = State.OPEN
        if checkpoint.offset == self.record.length:
            state = State.FINISHED if checkpoint.whole else State.FINISHING
        self.record = replace(self.record, offset=checkpoint.offset, placement=checkpoint.placement, state=state)

    async def patch(self, store: S3DataStore, *content: bytes, end: BodyEnd = BodyEnd.COMPLETE) -> None:
        """One request under one lease, with a finish when all bytes are there."""
        pieces = [piece[start : start + CHUNK] for piece in content for start in range(0, len(piece), CHUNK)]
        await self.stream(store, FakeStream(*pieces, end=end))

    async def stream(self, store: S3DataStore, stream: FakeStream) -> None:
        """The same with a body that comes as it likes."""
        self.lease()
        async with aclosing(store.append(self.record, stream)) as checkpoints:
            async for checkpoint in checkpoints:
                self.commit(checkpoint)
        await self.finish(store)

    async def finish(self, store: S3DataStore) -> None:
        """Finish the upload if all bytes are there."""
        if self.record.state is State.FINISHED or not self.record.complete:
            return
        placement = await store.finish(self.record)
        self.record = replace(self.record, placement=placement, state=State.FINISHED)
        self.commits += 1

    @property
    def key(self) -> str:
        """Key of the object."""
        return str(self.record.placement["key"])
