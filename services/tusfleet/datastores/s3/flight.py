"""What one append has under way: parts, at most so many at once, and tails, in the order of their bytes.

They end in any order and are taken note of in this one, so that an offset is never more than a contiguous prefix.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tusfleet.datastores.s3.buffer import Load
from tusfleet.datastores.s3.failures import NOT_THERE, S3Failure
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.errors import DataLost, UploadError
from tusfleet.uploads.models import Upload


@dataclass(frozen=True, slots=True)
class Leg:
    """One part or tail under way.

    Parameters:
        size: bytes.
        value: their CRC.
        task: gives the part or the tail.
        tail: whether it is a tail.
    """

    size: int
    value: int
    task: asyncio.Task[Part | Tail]
    tail: bool = False


class Flight:
    """Everything of one append that is on its way to S3.

    Parameters:
        workshop: makes objects.
        upload: of whom.
        placement: of the record, as it stood at the beginning.
        ring: is called when something has ended.
    """

    __slots__ = ("_legs", "_opening", "_ring", "_upload", "_workshop", "bucket", "key", "multipart", "opened", "parts")

    def __init__(self, workshop: Workshop, upload: Upload, placement: S3Placement, ring: Callable[[], None]) -> None:
        self._workshop = workshop
        self._upload = upload
        self._ring = ring
        self._legs: deque[Leg] = deque()
        self._opening: asyncio.Task[None] | None = None
        self.bucket = workshop.naming.bucket(placement)
        self.key = placement.key
        self.multipart = placement.multipart
        self.opened = False
        self.parts = 0

    def __len__(self) -> int:
        return len(self._legs)

    @property
    def size(self) -> int:
        """Bytes of the parts under way."""
        return sum(leg.size for leg in self._legs if not leg.tail)

    @property
    def with_tail(self) -> bool:
        """Whether the last leg is a tail: nothing may be begun before it has ended, nor its bytes be touched."""
        return bool(self._legs) and self._legs[-1].tail

    def send_part(self, number: int, load: Load, placement: S3Placement) -> None:
        """Begin to send a part; with the first of an upload its multipart upload begins too."""
        if self.multipart is None and self._opening is None:
            self._opening = asyncio.create_task(self._open(placement))
        self.parts += 1
        self._begin(load.size, load.value, self._send_part(number, load))

    def send_tail(self, key: str, body: Body, value: int) -> None:
        """Begin to store a tail."""
        self._begin(body.size, value, self._workshop.put_tail(self.bucket, key, body, value), tail=True)

    def _begin(self, size: int, value: int, sending: Coroutine[None, None, Part | Tail], *, tail: bool = False) -> None:
        task: asyncio.Task[Part | Tail] = asyncio.create_task(sending)
        task.add_done_callback(lambda _: self._ring())
        self._legs.append(Leg(size, value, task, tail))

    def landed(self) -> tuple[Leg, Part | Tail] | None:
        """The first leg, if it has ended, and what came of it.

        Raises:
            UploadError: it failed; what follows it is of no use.
        """
        if not self._legs or not self._legs[0].task.done():
            return None
        leg = self._legs.popleft()
        result = leg.task.result()
        if isinstance(result, Part):
            self.parts -= 1
        return leg, result

    async def close(self) -> None:
        """End what is under way; nothing of it is any more when this returns."""
        tasks: list[asyncio.Task[Any]] = [leg.task for leg in self._legs]
        if self._opening is not None:
            tasks.append(self._opening)
        await ended(tasks)
        self._legs.clear()

    async def forget(self) -> None:
        """Abort a multipart upload that this append began and no commit will speak of, as far as that is possible."""
        if self.opened and self.multipart is not None:
            with suppress(UploadError, S3Failure):
                await self._workshop.client.call(
                    "abort_multipart_upload",
                    expected=NOT_THERE,
                    Bucket=self.bucket,
                    Key=self.key,
                    UploadId=self.multipart,
                )

    async def _open(self, placement: S3Placement) -> None:
        workshop, upload = self._workshop, self._upload
        self.key = await self._free_key(replace(placement, bucket=self.bucket))
        parameters = workshop.naming.description(upload)
        if workshop.sent:
            parameters |= {"ChecksumAlgorithm": workshop.kind.algorithm, "ChecksumType": "FULL_OBJECT"}
        answer = await workshop.client.call("create_multipart_upload", Bucket=self.bucket, Key=self.key, **parameters)
        self.multipart = str(answer["UploadId"])
        self.opened = True

    async def _free_key(self, placement: S3Placement) -> str:
        """A key that nobody uses: one with the id, or one under which nothing stands now."""
        candidates = self._workshop.naming.candidates(self._upload, placement)
        key = next(candidates)
        if not self._workshop.naming.unique(placement):
            while await self._workshop.look(self.bucket, key) is not None:
                key = next(candidates)
        return key

    async def _send_part(self, number: int, load: Load) -> Part:
        try:
            if self._opening is not None:
                # Several wait for it: one that is cancelled must not cancel it for the others.
                await asyncio.wait((self._opening,))
                self._opening.result()
            return await self._workshop.put_part(
                self.bucket, self.key, self.multipart, number, load, expected=NOT_THERE
            )
        except S3Failure as failure:
            if failure.code == "NoSuchUpload":
                raise DataLost("The multipart upload that has the upload's bytes was aborted by others") from failure
            raise failure.in_our_words() from failure
        finally:
            load.release()


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, however often the wait itself is cancelled."""
    cancelled: asyncio.CancelledError | None = None
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            cancelled = error
    _retrieved(tasks)
    if cancelled is not None:
        raise cancelled


def _retrieved(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Take note of errors that nobody will ask for."""
    for task in tasks:
        if not task.cancelled():
            task.exception()
