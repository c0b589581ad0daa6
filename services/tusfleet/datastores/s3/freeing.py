"""Everything of one upload out of the bucket, finished or not."""

from __future__ import annotations

from tusfleet.datastores.s3.failures import NOT_THERE, S3Failure
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.models import Upload


async def free(workshop: Workshop, upload: Upload) -> None:
    """Free everything stored for `upload`; see `DataStore.abort`. At most two requests for one that is not finished.

    Raises:
        StoreFull, Unavailable: not everything; it is safe to repeat.
    """
    placement = S3Placement.of(upload.placement)
    bucket = workshop.naming.bucket(placement)
    keys = set(placement.without_tail().strays)
    if placement.whole is not None and placement.key is not None:
        keys.add(placement.key)
    elif placement.multipart is not None and placement.key is not None:
        await _abort(workshop, bucket, placement.key, placement.multipart)
        if upload.complete and await _is_ours(workshop, upload, bucket, placement.key):
            keys.add(placement.key)  # completed, by somebody who died before the record knew
    elif upload.length is not None and workshop.naming.unique(placement):
        key = next(workshop.naming.candidates(upload, placement))
        if await _is_ours(workshop, upload, bucket, key):
            keys.add(key)  # made with one call, likewise
    if keys:
        await workshop.client.delete(bucket, keys)


async def _abort(workshop: Workshop, bucket: str, key: str, multipart: str) -> None:
    """Abort a multipart upload; one that is not there is aborted already, or completed."""
    try:
        await workshop.client.call(
            "abort_multipart_upload", expected=NOT_THERE, Bucket=bucket, Key=key, UploadId=multipart
        )
    except S3Failure:
        return


async def _is_ours(workshop: Workshop, upload: Upload, bucket: str, key: str) -> bool:
    found = await workshop.look(bucket, key)
    return found is not None and found.made_for(upload)
