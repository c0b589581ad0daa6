"""What writers that died have left in the bucket, and how it is told from what belongs to others (F14).

Three kinds of things can be listed: multipart uploads, tail objects (`.tails/`), objects of partial uploads
(`.partials/`). A multipart upload has no metadata that a listing shows, so the key has to say that it is ours: it fits
the key template, which has `{id}`, with an id as this server makes them, 32 hexadecimal digits. A template without
`{id}` leaves abandoned multipart uploads to a lifecycle rule of the bucket; so does a MinIO that is shared by prefixes,
for it lists them by their whole keys or all together; and so do buckets that only the placement of an upload names.
Whole objects that no record knows cannot be listed cheaply: who goes on with their upload, or ends it, finds them.

The age is counted by the clock of S3, which gave the times.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tusfleet.datastores.s3.failures import NOT_THERE, S3Failure
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.models import Upload, valid_id

LEFTOVER = "leftover"
"""Protocol of an upload that stands for something left over: such a one is freed by `free`, and by nothing else."""

_ID = r"(?P<id>[0-9a-f]{32})"
_FIELDS: Mapping[str, str] = {"yyyy": r"\d{4,}", "mm": r"\d{2}", "dd": r"\d{2}"}
_TAIL = re.compile(r"(?P<id>[^/]+)/\d+\.\d+-[^/]+")
_PARTIAL = re.compile(r"(?P<id>[^/]+)")


async def leftovers(workshop: Workshop, age: float) -> AsyncIterator[Upload]:
    """Everything of ours that is older than `age` seconds and may be left over; see `DataStore.leftovers`.

    Each upload given has in its placement one thing alone, so that freeing it frees nothing else.

    Raises:
        StoreFull, Unavailable: try again later.
    """
    options = workshop.client.options
    async for found in _multiparts(workshop, age):
        yield found
    for prefix, pattern in ((options.tails_prefix, _TAIL), (options.partials_prefix, _PARTIAL)):
        async for found in _objects(workshop, prefix, pattern, age):
            yield found


def references(record: Upload, found: Upload) -> bool:
    """Tell whether `record` still needs what `found` stands for; its strays it does not need."""
    needed, left = S3Placement.of(record.placement), S3Placement.of(found.placement)
    if left.multipart is not None:
        return needed.multipart == left.multipart
    keys = {needed.key} if needed.whole is not None else set()
    if needed.tail is not None:
        keys.add(needed.tail.key)
    return not keys.isdisjoint(left.strays)


def is_leftover(upload: Upload) -> bool:
    """Tell whether this upload came from `leftovers`."""
    return upload.protocol == LEFTOVER


async def free(workshop: Workshop, found: Upload) -> None:
    """Free what `found` stands for, and nothing that its upload may have besides. Safe to repeat.

    Raises:
        StoreFull, Unavailable: try again later.
    """
    placement = S3Placement.of(found.placement)
    bucket = workshop.naming.bucket(placement)
    if placement.multipart is None:
        await workshop.client.delete(bucket, placement.strays)
        return
    try:
        await workshop.client.call(
            "abort_multipart_upload",
            expected=NOT_THERE,
            Bucket=bucket,
            Key=placement.key,
            UploadId=placement.multipart,
        )
    except S3Failure as failure:
        if failure.code == "NoSuchBucket":
            raise failure.in_our_words() from failure


async def _multiparts(workshop: Workshop, age: float) -> AsyncIterator[Upload]:
    options = workshop.client.options
    patterns = [pattern for pattern in (_ours(options), _below(options.partials_prefix)) if pattern is not None]
    # MinIO lists all of them only when no prefix is asked for at all.
    parameters: dict[str, Any] = {"Prefix": options.key_prefix} if options.key_prefix else {}
    async for page in _pages(workshop, "list_multipart_uploads", parameters):
        for item in page.get("Uploads", ()):
            key = str(item["Key"])
            match = next((match for pattern in patterns if (match := pattern.fullmatch(key))), None)
            if match is not None and _old(page, item["Initiated"], age):
                placement = S3Placement(bucket=options.bucket, key=key, multipart=str(item["UploadId"]))
                yield _found(match["id"], item["Initiated"], placement)


async def _objects(workshop: Workshop, prefix: str, pattern: re.Pattern[str], age: float) -> AsyncIterator[Upload]:
    bucket = workshop.client.options.bucket
    async for page in _pages(workshop, "list_objects_v2", {"Prefix": prefix}):
        for item in page.get("Contents", ()):
            key = str(item["Key"])
            match = pattern.fullmatch(key.removeprefix(prefix))
            if match is not None and valid_id(match["id"]) and _old(page, item["LastModified"], age):
                placement = S3Placement(bucket=bucket, strays=(key,))
                yield _found(match["id"], item["LastModified"], placement, item["Size"])


async def _pages(workshop: Workshop, operation: str, parameters: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    marks: dict[str, Any] = {}
    while True:
        page = await workshop.client.call(operation, Bucket=workshop.client.options.bucket, **parameters, **marks)
        yield page
        if operation == "list_objects_v2":
            following = {"ContinuationToken": page.get("NextContinuationToken")}
        else:
            following = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
        following = {name: mark for name, mark in following.items() if mark}
        # A service that does not move on would be asked for ever.
        if not page.get("IsTruncated") or not following or following == marks:
            return
        marks = following


def _found(id: str, since: datetime, placement: S3Placement, size: int = 0) -> Upload:
    return Upload(id, LEFTOVER, since.astimezone(UTC), offset=size, placement=placement.json())


def _old(page: Mapping[str, Any], since: datetime, age: float) -> bool:
    """Whether something is older than `age` seconds by the clock of S3; without a clock nothing is."""
    date = page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not date:
        return False
    now = parsedate_to_datetime(date)
    return now.astimezone(UTC) - since.astimezone(UTC) >= timedelta(seconds=age)


def _ours(options: S3Options) -> re.Pattern[str] | None:
    """What a key of the template looks like; None when it tells no id."""
    pieces = re.split(r"\{([^{}]*)\}", options.key_template)
    if "id" not in pieces[1::2]:
        return None
    text = re.escape(options.key_prefix)
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            text += re.escape(piece)
        elif piece == "id":
            text += _ID if "(?P<id>" not in text else "(?P=id)"
        else:
            text += _FIELDS.get(piece, "[^/]+")
    return re.compile(text)


def _below(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix) + _ID)
