"""From parts and a tail to the object: every step may be repeated, by anybody, and comes to the same end.

The record is `finishing`, so its parts and its tail are frozen: whoever sends the tail as the last part sends the same
bytes under the same number, and whoever completes lists the same parts. A completion whose answer was lost has either
happened or not. Where S3 then knows the multipart upload no longer, or says that the name is taken, the object decides:
with our id, size and checksum it is ours.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tusfleet.datastores.s3.failures import NOT_THERE, TAKEN, S3Failure
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.outgoing import Means
from tusfleet.datastores.s3.placement import Part, S3Placement, Whole
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
    workshop = means.workshop
    data = b""
    if placement.tail is not None:
        data = await workshop.read_tail(workshop.naming.bucket(placement), placement.tail)
    # Its tail stays until a record knows of the object: without that the bytes would be in no place that anybody knows.
    return await workshop.put_whole(upload, placement, Body.of(data), workshop.kind.update(data, 0))


async def _of_parts(means: Means, upload: Upload, placement: S3Placement) -> S3Placement:
    workshop = means.workshop
    bucket, key = workshop.naming.bucket(placement), placement.key
    assert key is not None
    value = placement.checksum
    if placement.tail is not None:
        value = workshop.kind.combine(value, workshop.kind.decode(placement.tail.checksum), placement.tail.size)
    checksum = workshop.kind.encode(value)
    parts = await asyncio.to_thread(lambda: list(placement.all_parts()))
    try:
        if placement.tail is not None:
            parts.append(await _last_part(workshop, bucket, key, placement))
        etag = await _complete(workshop, bucket, key, placement, parts, checksum)
    except S3Failure as failure:
        etag = await _made_before(workshop, bucket, key, upload, checksum, failure)
    return placement.without_tail().as_whole(key, Whole(upload.offset, etag, checksum))


async def _last_part(workshop: Workshop, bucket: str, key: str, placement: S3Placement) -> Part:
    """Send the tail as the last part."""
    tail = placement.tail
    assert tail is not None
    try:
        data = await workshop.read_tail(bucket, tail)
    except DataLost as error:
        # Somebody who finished this upload before may have deleted it: then there is an object.
        raise S3Failure("GetObject", bucket, "NoSuchKey", 404, error.detail) from error
    number = placement.next + placement.ahead
    stored = await workshop.client.put(
        "upload_part",
        Body.of(data),
        expected=NOT_THERE,
        Bucket=bucket,
        Key=key,
        UploadId=placement.multipart,
        PartNumber=number,
        **workshop.checked(tail.checksum),
    )
    return Part(number, tail.size, stored.etag, tail.checksum if workshop.sent else "")


async def _complete(
    workshop: Workshop, bucket: str, key: str, placement: S3Placement, parts: list[Part], checksum: str
) -> str:
    """Complete the multipart upload and give the ETag of the object."""
    parameters: dict[str, Any] = {"IfNoneMatch": "*"} if workshop.client.options.conditional else {}
    if all(part.checksum for part in parts):
        parameters |= {workshop.kind.parameter: checksum, "ChecksumType": "FULL_OBJECT"}
    answer = await workshop.client.call(
        "complete_multipart_upload",
        expected=_DOUBTFUL,
        Bucket=bucket,
        Key=key,
        UploadId=placement.multipart,
        MultipartUpload={"Parts": [_listed(workshop, part) for part in parts]},
        **parameters,
    )
    return str(answer.get("ETag", "")).strip('"')


def _listed(workshop: Workshop, part: Part) -> dict[str, Any]:
    listed: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.checksum:
        listed[workshop.kind.parameter] = part.checksum
    return listed


async def _made_before(
    workshop: Workshop, bucket: str, key: str, upload: Upload, checksum: str, failure: S3Failure
) -> str:
    """The ETag of the object that an earlier attempt has made.

    Raises:
        DataLost: there is none, and there will be none.
        Unavailable: others have taken the name.
    """
    found = await workshop.look(bucket, key)
    if found is not None and found.marker == upload.id and found.size == upload.offset:
        if found.checksum in ("", checksum):
            return found.etag
    elif failure.code == TAKEN:
        raise Unavailable(f"Others have made an object with the name {key} meanwhile; use a key template with {{id}}")
    raise DataLost("The multipart upload that has the upload's bytes is gone from the bucket") from failure
