"""From parts and a tail to the object: every step may be repeated, by anybody, and comes to the same end.

The record is `finishing`, so its parts and its tail are frozen: whoever sends the tail as the last part sends the same
bytes under the same number, and whoever completes lists the same parts. A completion whose answer was lost has either
happened or not. Where S3 then knows the multipart upload no longer, or says that the name is taken, the object decides:
with our id, size and checksum it is ours. One with our id and other bytes is of a request that was never committed, and
never will be, or the record would not be `finishing` with these parts: it alone may be replaced, and only as the very
object that was looked at (`If-Match`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tusfleet.datastores.s3.failures import NOT_THERE, TAKEN, S3Failure
from tusfleet.datastores.s3.loading import loaded
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.objects import Found, Workshop
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail, Whole
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.errors import DataLost, Unavailable, UploadError
from tusfleet.uploads.models import Upload

NOT_THESE = "InvalidPart"
"""How S3 says that a part of the list is not there, or is another one."""

_DOUBTFUL = NOT_THERE | {TAKEN, NOT_THESE}


async def finish(means: Means, upload: Upload) -> S3Placement:
    """Make the complete upload appear as one object; see `DataStore.finish`.

    Raises:
        DataLost: its bytes are not all there.
        StoreFull, Unavailable: try again later.
    """
    placement = S3Placement.of(upload.placement)
    if placement.size != upload.offset:
        raise DataLost("The record of the upload tells of other bytes than were stored")
    if placement.whole is not None:
        return await without_strays(means.workshop, placement)
    if placement.multipart is None:
        return await _of_tail(means, upload, placement)
    return await without_strays(means.workshop, await _of_parts(means, upload, placement))


async def without_strays(workshop: Workshop, placement: S3Placement) -> S3Placement:
    """Delete what a record with the whole object does not need; what cannot be deleted now is the janitor's."""
    if not placement.strays:
        return placement
    with suppress(UploadError):
        await workshop.client.delete(workshop.naming.bucket(placement), placement.strays)
        return replace(placement, strays=())
    return placement


async def _of_tail(means: Means, upload: Upload, placement: S3Placement) -> S3Placement:
    """The object of an upload that never had a part: its bytes are in the record, in one object, or there are none."""
    workshop = means.workshop.of(placement)
    if placement.tail is None:
        return await workshop.put_whole(upload, placement, Body.of(b""), 0)
    # Its tail stays until a record knows of the object: without that the bytes would be in no place that anybody knows.
    load = await loaded(means, workshop, workshop.naming.bucket(placement), placement.tail)
    try:
        return await workshop.put_whole(upload, placement, load.body, load.value)
    finally:
        load.release()


async def _of_parts(means: Means, upload: Upload, placement: S3Placement) -> S3Placement:
    workshop, tail = means.workshop.of(placement), placement.tail
    value = placement.checksum
    if tail is not None:
        value = workshop.kind.combine(value, workshop.kind.decode(tail.checksum), tail.size)
    joining = _Joining(means, workshop, upload, placement, workshop.kind.encode(value))
    try:
        etag = await joining.complete({"IfNoneMatch": "*"} if means.options.conditional else {})
    except S3Failure as failure:
        found = await workshop.look(joining.bucket, joining.key)
        if found is not None and joining.made(found):
            etag = found.etag
        elif failure.code == TAKEN:
            etag = await joining.replace(found)
        else:
            raise DataLost("The multipart upload that has the upload's bytes is gone from the bucket") from failure
    return placement.without_tail().as_whole(joining.key, Whole(upload.offset, etag, joining.checksum))


class _Joining:
    """The parts of one upload, and its tail as the last one, on their way to one object of this checksum."""

    def __init__(self, means: Means, workshop: Workshop, upload: Upload, placement: S3Placement, checksum: str) -> None:
        assert placement.key is not None
        self._means = means
        self._workshop = workshop
        self._upload = upload
        self._placement = placement
        self._parts: list[Part] | None = None
        self.checksum = checksum
        self.bucket = workshop.naming.bucket(placement)
        self.key = placement.key

    async def complete(self, condition: Mapping[str, str]) -> str:
        """Complete the multipart upload and give the ETag of the object.

        Raises:
            S3Failure: with a code of `_DOUBTFUL`.
            StoreFull, Unavailable: try again later.
        """
        if self._parts is None:
            parts = await asyncio.to_thread(lambda: list(self._placement.all_parts()))
            if self._placement.tail is not None:
                parts.append(await self._last_part(self._placement.tail))
            self._parts = parts
        parameters: dict[str, Any] = {**condition}
        if all(part.checksum for part in self._parts):
            parameters |= {self._workshop.kind.parameter: self.checksum, "ChecksumType": "FULL_OBJECT"}
        answer = await self._workshop.client.call(
            "complete_multipart_upload",
            expected=_DOUBTFUL,
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self._placement.multipart,
            MultipartUpload={"Parts": [_listed(self._workshop, part) for part in self._parts]},
            **parameters,
        )
        return str(answer.get("ETag", "")).strip('"')

    async def _last_part(self, tail: Tail) -> Part:
        workshop, placement = self._workshop, self._placement
        try:
            load = await loaded(self._means, workshop, self.bucket, tail)
        except DataLost as error:
            # Somebody who finished this upload before may have deleted it: then there is an object.
            raise S3Failure("GetObject", self.bucket, "NoSuchKey", 404, error.detail) from error
        number = placement.next + placement.ahead
        try:
            return await workshop.put_part(self.bucket, self.key, placement.multipart, number, load, expected=NOT_THERE)
        finally:
            load.release()

    def made(self, found: Found) -> bool:
        """Whether an object is the one that an earlier attempt has made.

        Where no checksum is known, the number of parts at the end of its ETag has to do.
        """
        if not found.made_for(self._upload) or found.size != self._upload.offset:
            return False
        count = self._placement.count + (self._placement.tail is not None)
        return found.checksum == self.checksum if found.checksum else found.etag.endswith(f"-{count}")

    async def replace(self, found: Found | None) -> str:
        """Complete in the place of an object that a writer who died had made of other bytes of this upload.

        Raises:
            Unavailable: the name belongs to others, or changes at this moment.
        """
        if found is not None and not found.made_for(self._upload):
            raise Unavailable(
                f"The name {self.key} was taken by another object meanwhile; it finishes once that name is free"
            )
        try:
            return await self.complete({"IfNoneMatch": "*"} if found is None else {"IfMatch": f'"{found.etag}"'})
        except S3Failure as failure:
            raise Unavailable(f"The object {self.key} changes while it is put together; try again later") from failure


def _listed(workshop: Workshop, part: Part) -> dict[str, Any]:
    listed: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.checksum:
        listed[workshop.kind.parameter] = part.checksum
    return listed
