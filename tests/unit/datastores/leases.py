"""The file store as gateways use it that share a folder: what they do comes under leases, which may run out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from tusfleet.datastores.filesystem import FilesystemDataStore
from tusfleet.uploads.models import Checkpoint, Placement, Upload
from tusfleet.uploads.ports import ByteStream, Content


class LeasedStore:
    """A data store of which every step comes under the next lease, as if no lease were ever kept for two.

    Parameters:
        store: what it is about.
    """

    def __init__(self, store: FilesystemDataStore) -> None:
        self.store = store
        self._fence = 0
        self._doubt = 0

    def under(self, upload: Upload) -> Upload:
        """The record as the holder of the next lease reads it."""
        self._fence += 1
        return replace(upload, fence=self._fence, doubt=self._doubt)

    def run_out(self, leases: int = 1) -> None:
        """So many more leases have been taken, and the last one was not given back."""
        self._fence += leases - 1
        self._doubt = self._fence

    async def prepare(self) -> None:
        await self.store.prepare()

    def append(self, upload: Upload, stream: ByteStream) -> AsyncGenerator[Checkpoint, None]:
        return self.store.append(self.under(upload), stream)

    async def finish(self, upload: Upload) -> Placement:
        return await self.store.finish(self.under(upload))

    async def concatenate(self, upload: Upload, parts: Sequence[Upload]) -> Placement:
        return await self.store.concatenate(self.under(upload), parts)

    async def abort(self, upload: Upload) -> None:
        await self.store.abort(self.under(upload))

    def read(self, upload: Upload, span: tuple[int, int] | None = None) -> AbstractAsyncContextManager[Content]:
        return self.store.read(upload)

    def leftovers(self, age: float) -> AsyncIterator[Upload]:
        return self.store.leftovers(age)

    def references(self, record: Upload, found: Upload) -> bool:
        return self.store.references(record, found)

    async def probe(self) -> None:
        await self.store.probe()


async def sweep(store: LeasedStore | FilesystemDataStore, *records: Upload) -> None:
    """Remove what no record speaks of, as a janitor does under leases; these are the records there are."""
    known = {record.id: record for record in records}
    for found in [found async for found in store.leftovers(-1.0)]:
        record = known.get(found.id)
        if record is None or not store.references(record, found):
            # What it found is not a record, which a lease would tell more about.
            await (store.store if isinstance(store, LeasedStore) else store).abort(found)
