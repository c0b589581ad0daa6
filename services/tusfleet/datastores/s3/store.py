"""The S3 data store: what the port asks for, each by the module that has the rules of it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from tusfleet.datastores.s3 import choosing, finishing, freeing, leftovers, presigned, reading
from tusfleet.datastores.s3.appending import Appending
from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.copying import Copying
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.datastores.s3.probing import Probing
from tusfleet.datastores.s3.watching import MetricsWatch
from tusfleet.observability.metrics import Metrics
from tusfleet.uploads.errors import DataLost
from tusfleet.uploads.models import Checkpoint, Placement, Upload
from tusfleet.uploads.ports import ByteStream, Content

NONCE_BYTES = 4
"""Random bytes in the names of one append's tails; the fence in them is what tells leases apart."""


class S3DataStore:
    """A data store in one bucket; made by `open`.

    Parameters:
        means: what everything works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._copying = Copying(means)
        self._probing = Probing(means.workshop)

    @classmethod
    @asynccontextmanager
    async def open(cls, options: S3Options, metrics: Metrics | None = None) -> AsyncIterator[S3DataStore]:
        """A store with a connection; no request is made before the first one is needed.

        Raises:
            ValueError: the checksum needs a package that is not installed.
            Unavailable: there are no credentials.
        """
        watch = None if metrics is None else MetricsWatch(metrics)
        async with S3Client(options, watch) as client:
            means = Means.of(client)
            pool = means.pool
            if metrics is not None:
                metrics.buffer_bytes.set_function(lambda: (pool.used - pool.kept) * pool.slab_bytes)
                metrics.buffer_waits.set_function(lambda: pool.waiting)
            yield cls(means)

    async def append(self, upload: Upload, stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
        """See `DataStore.append`."""
        if S3Placement.of(upload.placement).whole is not None:
            await _nothing_more(stream)
            return
        appending = Appending(self._means, upload, stream, secrets.token_hex(NONCE_BYTES))
        # A silent client would hold the record, and the bytes that its placement may have.
        del upload
        try:
            async with aclosing(appending.checkpoints()) as checkpoints:
                async for checkpoint in checkpoints:
                    yield checkpoint
                    del checkpoint
        finally:
            await appending.close()

    async def finish(self, upload: Upload) -> Placement:
        """See `DataStore.finish`."""
        return (await finishing.finish(self._means, upload)).json()

    async def concatenate(self, upload: Upload, parts: Sequence[Upload]) -> Placement:
        """See `DataStore.concatenate`."""
        return (await self._copying.concatenate(upload, parts)).json()

    async def abort(self, upload: Upload) -> None:
        """See `DataStore.abort`."""
        workshop = self._means.workshop
        if leftovers.is_leftover(upload):
            await leftovers.free(workshop, upload)
        else:
            await freeing.free(workshop, upload)

    def read(self, upload: Upload, span: tuple[int, int] | None = None) -> AbstractAsyncContextManager[Content]:
        """See `DataStore.read`."""
        return reading.read(self._means.workshop.client, self._means.workshop.naming, upload, span)

    def leftovers(self, age: float) -> AsyncIterator[Upload]:
        """See `DataStore.leftovers`."""
        return leftovers.leftovers(self._means.workshop, age)

    def references(self, record: Upload, found: Upload) -> bool:
        """See `DataStore.references`."""
        return record.state.alive and leftovers.references(record, found)

    def check_choice(self, placement: Placement) -> None:
        """See `Placeable.check_choice`."""
        choosing.check_choice(placement, self._means.options)

    def capacity(self, *, declared: bool) -> int:
        """See `Limited.capacity`."""
        return self._means.sizes.capacity(0 if declared else None)

    async def probe(self) -> None:
        """See `DataStore.probe`."""
        await self._probing.probe()

    async def presigned(self, upload: Upload, *, seconds: int, content_type: str, disposition: str) -> str:
        """See `Redirecting.presigned`."""
        workshop = self._means.workshop
        return await presigned.presigned(
            workshop.client,
            workshop.naming,
            upload,
            seconds=seconds,
            content_type=content_type,
            disposition=disposition,
        )


async def _nothing_more(stream: ByteStream) -> None:
    """An upload that has its object takes no more bytes."""
    if await stream.read(1, 0):
        raise DataLost("The object of the upload is there already, and takes no more bytes")
