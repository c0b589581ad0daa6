"""Lets uploads expire, drives on what stands half-way, and removes what nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta

from tusfleet.observability.logs import LOGGER
from tusfleet.uploads.concatenate import drive
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.finish import finish
from tusfleet.uploads.models import Query, State, Upload
from tusfleet.uploads.ports import Lease
from tusfleet.uploads.terminate import expire, forget, free

logger = logging.getLogger(LOGGER)

LEFTOVER_SECONDS = 60.0
"""Bytes without a record are removed at this age: a creation has both within milliseconds."""

LEFTOVER_PAUSE = 3600.0
"""Seconds between two looks for bytes without a record: each looks at every unfinished file, and few find anything."""

PAGE = 100
"""Records taken at a time."""

_GONE = frozenset({State.EXPIRED, State.FAILED})
_TERMINATED = frozenset({State.TERMINATED})


class Sweeper:
    """One pass after the other over what the stores hold; each step is one that may be repeated or cut short.

    Parameters:
        context: what the use cases work with.
        interval: pause between two passes in seconds.
        tombstone_ttl: how long expired and failed uploads are remembered.
    """

    def __init__(self, context: Context, interval: float, tombstone_ttl: timedelta) -> None:
        self._context = context
        self._interval = interval
        self._tombstone_ttl = tombstone_ttl
        self._mended = False
        self._look_for_leftovers_at = float("-inf")

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> None:
        """Make one pass. What fails is logged and left to the next one."""
        # What has all of its bytes is finished rather than expired, however long the server was away.
        for step in (self._mend, self._drive_on, self._expire, self._bury, self._clear_leftovers):
            try:
                await step()
            except UploadError as error:
                logger.warning("The sweeper could not finish: %s", error.detail, extra={"reason": error.code})

    async def _mend(self) -> None:
        """Free, once after a start, what tombstones still hold: others may have its place from then on."""
        if self._mended:
            return
        async for upload in self._every(Query(states=_GONE | _TERMINATED)):
            if upload.placement:
                async with self._unless_used(upload.id) as lease:
                    with _left_for_later(upload):
                        if lease is not None and (current := await self._unchanged(upload, lease)):
                            await free(self._context, current, lease)
        self._mended = True

    async def _expire(self) -> None:
        alive = frozenset({State.OPEN, State.FINISHING, State.FINISHED})
        async for upload in self._every(Query(states=alive, expires_before=self._context.clock())):
            with _left_for_later(upload):
                if await expire(self._context, upload):
                    logger.info("An upload expired", extra={"upload_id": upload.id})

    async def _drive_on(self) -> None:
        """Finish what has all of its bytes, and merge final uploads whose parts are there."""
        async for upload in self._every(Query(states=frozenset({State.FINISHING}), finals=False)):
            async with self._unless_used(upload.id) as lease:
                with _left_for_later(upload):
                    if lease is not None and (current := await self._context.current(lease)):
                        await finish(self._context, current, lease)
        async for upload in self._every(Query(states=frozenset({State.OPEN, State.FINISHING}), finals=True)):
            with _left_for_later(upload):
                await drive(self._context, upload)

    async def _bury(self) -> None:
        """Forget tombstones, after making sure that their bytes are gone: who made them may have died before that."""
        now = self._context.clock()
        for states, before in ((_TERMINATED, now), (_GONE, now - self._tombstone_ttl)):
            async for upload in self._every(Query(states=states, ended_before=before)):
                async with self._unless_used(upload.id) as lease:
                    with _left_for_later(upload):
                        if lease is not None and (current := await self._unchanged(upload, lease)):
                            await forget(self._context, current)

    async def _clear_leftovers(self) -> None:
        """Remove bytes that no record speaks of any more."""
        now = asyncio.get_running_loop().time()
        if now < self._look_for_leftovers_at:
            return
        batch = []
        async for found in self._context.data.leftovers(LEFTOVER_SECONDS):
            batch.append(found)
            if len(batch) == PAGE:
                await self._clear(batch)
                batch = []
        await self._clear(batch)
        self._look_for_leftovers_at = now + LEFTOVER_PAUSE

    async def _clear(self, batch: list[Upload]) -> None:
        # Nearly all have a record: that is found out for many at once.
        records = await self._context.info.read_many([found.id for found in batch])
        for found, record in zip(batch, records, strict=True):
            if record is not None and self._context.data.references(record, found):
                continue
            # Under the lease: an id may be used again, and its new bytes must not be taken for the old ones.
            async with self._unless_used(found.id) as lease:
                with _left_for_later(found):
                    if lease is None:
                        continue
                    record = await self._context.current(lease)
                    if record is None or not self._context.data.references(record, found):
                        await self._context.data.abort(found)

    async def _unchanged(self, upload: Upload, lease: Lease) -> Upload | None:
        """The record under the lease if it is still as the scan gave it: its place may be another's by now."""
        current = await self._context.current(lease)
        if current is None or replace(current, fence=upload.fence) != upload:
            return None
        return current

    @asynccontextmanager
    async def _unless_used(self, id: str) -> AsyncIterator[Lease | None]:
        """Hold the lease of an upload; None when somebody else does, who is not disturbed."""
        lease = await self._context.locker.try_acquire(id)
        try:
            yield lease
        finally:
            if lease is not None:
                await lease.release()

    async def _every(self, query: Query) -> AsyncIterator[Upload]:
        cursor = None
        while True:
            page = await self._context.info.scan(query, PAGE, cursor)
            for upload in page.uploads:
                yield upload
            cursor = page.cursor
            if cursor is None:
                return


@contextmanager
def _left_for_later(upload: Upload) -> Iterator[None]:
    """Leave what cannot be done now for one upload to the next pass: it holds up none of the others."""
    try:
        yield
    except UploadError as error:
        extra = {"upload_id": upload.id, "reason": error.code}
        logger.warning("The sweeper cannot go on with an upload now: %s", error.detail, extra=extra)
