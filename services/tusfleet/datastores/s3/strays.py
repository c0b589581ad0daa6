"""Objects that the record says nobody needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import UploadError

BATCH = 8
"""So many strays are worth a request; before the end of an upload fewer wait for more."""


class Strays:
    """Deletes the strays of a record beside an append, when there are enough of them.

    The record has been committed with them as strays, so nothing references them. Those that this append makes are
    deleted by a later call, which sees from its record that they were committed too.

    Parameters:
        client: the connection.
        bucket: where they are.
        keys: the strays of the record, as it stood when the append began.
    """

    __slots__ = ("_keys", "_task")

    def __init__(self, client: S3Client, bucket: str, keys: Sequence[str]) -> None:
        self._keys = frozenset(keys)
        self._task: asyncio.Task[None] | None = None
        if len(self._keys) >= BATCH:
            self._task = asyncio.create_task(client.delete(bucket, self._keys))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What is under way, to be ended with the append."""
        return [] if self._task is None else [self._task]

    async def settle(self) -> None:
        """Wait until they are deleted; those that cannot be now stay strays."""
        if self._task is not None:
            with suppress(UploadError):
                await asyncio.shield(self._task)

    def without_freed(self, placement: S3Placement) -> S3Placement:
        """The placement without those that are deleted by now."""
        task = self._task
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return placement
        return replace(placement, strays=tuple(key for key in placement.strays if key not in self._keys))
