"""The bytes of finished partial uploads as those of their final upload, mostly without moving them.

Nothing is recorded before the use case commits what is given here, so every attempt begins anew: its multipart upload
is its own, and aborted when the attempt fails. One of a predecessor that died half-way is referenced by no record, and
left to the janitor. A predecessor that got as far as the object has left that: it is found by the id and the checksum.

Part copies return the checksums that S3 has computed of them. MinIO computes none, and refuses a copy into a multipart
upload that wants one; versitygw takes that of the whole source for that of a range. There the parts have no checksums,
and the object is completed without. What is copied is all the same what was uploaded, for every copy depends on the
ETag of its source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any

from tusfleet.datastores.s3.buffer import Buffer, Load
from tusfleet.datastores.s3.checksums import Checksum
from tusfleet.datastores.s3.failures import NOT_THERE, S3Failure
from tusfleet.datastores.s3.joining import Piece, Span, pieces
from tusfleet.datastores.s3.loading import reserve
from tusfleet.datastores.s3.means import Means
from tusfleet.datastores.s3.objects import Workshop
from tusfleet.datastores.s3.placement import Part, S3Placement, Whole
from tusfleet.datastores.s3.reading import MISSING, Source, Stored, lost, source_of
from tusfleet.datastores.s3.sizes import LARGEST_OBJECT
from tusfleet.uploads.errors import DataLost, TooLarge, Unavailable, UploadError
from tusfleet.uploads.models import Upload

ABORT_SECONDS = 5.0
"""How long an attempt that failed tries to take its multipart upload away; what it leaves is the janitor's."""


PARTS_A_TURN = 100
"""Parts written down in one turn of the loop: their list is copied with each, 80 KB when there are 10,000."""


NO_CHECKSUMS = "InvalidArgument"
"""How a service says that its copies have no checksums."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What the parts go into; `checked` when every part has a checksum."""

    bucket: str
    key: str
    multipart: str
    checked: bool


class _UncheckedError(Exception):
    """The service has no checksums for copies."""


class Copying:
    """Joins partial uploads.

    Parameters:
        means: of the store.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        # Until the service says otherwise.
        self._checked = means.workshop.sent

    async def concatenate(self, upload: Upload, parts: Sequence[Upload]) -> S3Placement:
        """Store the bytes of finished `parts`, in order, as those of `upload`; see `DataStore.concatenate`.

        The placement given has the whole object, or all parts of a multipart upload, which `finish` completes; where
        the parts have no checksums it names none for the object either.

        Raises:
            DataLost: a part is not there any more.
            TooLarge: there are more bytes than an object can have.
            StoreFull, Unavailable: try again later.
        """
        bare = S3Placement.of(upload.placement)
        sources = [_source(self._means.workshop, part) for part in parts]
        means = _with_checksums_of(sources, self._means)
        workshop = means.workshop
        placement = S3Placement(bucket=workshop.naming.bucket(bare), key=bare.key, algorithm=workshop.algorithm)
        await _check_empty(means.workshop, sources)
        lengths = [source.size for source in sources]
        total = sum(lengths)
        if total <= means.options.part_size:
            return await _in_one(means, upload, placement, sources)
        if total > LARGEST_OBJECT:
            raise TooLarge("The parts have more bytes together than one object can have")
        planned = pieces(lengths, means.options, means.sizes)
        value = await _value(workshop, sources)
        key = await _free_key(means.workshop, upload, placement, total, value)
        if isinstance(key, S3Placement):
            return key
        placement = replace(placement, key=key)
        try:
            return await _in_parts(means, upload, placement, sources, planned, value, checked=self._checked)
        except _UncheckedError:
            self._checked = False
            return await _in_parts(means, upload, placement, sources, planned, value, checked=False)


def _source(workshop: Workshop, part: Upload) -> Source:
    placement = S3Placement.of(part.placement)
    source = source_of(workshop.naming, placement)
    if placement.whole is None or source is None:
        raise DataLost(f"The partial upload {part.id} has no object")
    return source


async def _check_empty(workshop: Workshop, sources: Sequence[Source]) -> None:
    """See that parts without bytes are there too: nothing else would ask for them."""
    for source in sources:
        if not source.size and await workshop.look(source.bucket, source.key) is None:
            raise lost(source.key)


def _with_checksums_of(sources: Sequence[Source], means: Means) -> Means:
    """What an upload works with whose checksum is to follow from those of the first source, whatever is set now."""
    if not sources:
        return means
    return replace(means, workshop=replace(means.workshop, kind=_kind(means.workshop, sources[0])))


def _kind(workshop: Workshop, source: Source) -> Checksum:
    return workshop.of(S3Placement(algorithm=source.algorithm)).kind


async def _value(workshop: Workshop, sources: Sequence[Source]) -> int:
    """The CRC of all bytes. It follows from those of the parts; one that has another kind of CRC is read."""
    kind, value = workshop.kind, 0
    for source in sources:
        known = _kind(workshop, source).name == kind.name
        own = kind.decode(source.checksum) if known else await _computed(workshop, source)
        value = kind.combine(value, own, source.size)
    return value


async def _computed(workshop: Workshop, source: Source) -> int:
    value = 0
    async with aclosing(Stored(workshop.client, source).chunks(0, source.size)) as chunks:
        async for chunk in chunks:
            value = workshop.kind.update(chunk, value)
    return value


async def _in_one(means: Means, upload: Upload, placement: S3Placement, sources: Sequence[Source]) -> S3Placement:
    """One object of few bytes: read, and sent with one call."""
    spans = tuple(Span(index, 0, source.size) for index, source in enumerate(sources) if source.size)
    load = await _read(means, sources, Piece(spans))
    try:
        return await means.workshop.put_whole(upload, placement, load.body, load.value)
    finally:
        load.release()


async def _free_key(
    workshop: Workshop, upload: Upload, placement: S3Placement, size: int, value: int
) -> str | S3Placement:
    """A key under which nothing stands; or the placement of the object that a predecessor has made."""
    checksum = workshop.kind.encode(value)
    for key in workshop.naming.candidates(upload, placement):
        found = await workshop.look(placement.bucket or "", key)
        if found is None:
            return key
        if found.made_for(upload) and found.size == size and found.checksum == checksum:
            return placement.as_whole(key, Whole(size, found.etag, checksum))
    raise Unavailable("Every name for the object is taken; use a key template with {id}")


async def _in_parts(
    means: Means,
    upload: Upload,
    placement: S3Placement,
    sources: Sequence[Source],
    planned: Sequence[Piece],
    value: int,
    *,
    checked: bool,
) -> S3Placement:
    workshop = means.workshop
    bucket, key = placement.bucket or "", placement.key or ""
    parameters = workshop.naming.description(upload, f"{workshop.kind.name}:{workshop.kind.encode(value)}")
    if checked:
        parameters |= {"ChecksumAlgorithm": workshop.kind.algorithm, "ChecksumType": "FULL_OBJECT"}
    answer = await workshop.client.call("create_multipart_upload", Bucket=bucket, Key=key, **parameters)
    target = _Target(bucket, key, str(answer["UploadId"]), checked)
    made: list[Part] = []
    try:
        made = await _made(means, target, sources, planned)
    finally:
        if not made:
            await _abort(workshop, target)
    placement = replace(
        placement, multipart=target.multipart, next=len(made) + 1, ahead=0, fence=upload.fence, tail=None
    )
    for part in made:
        placement = placement.with_part(part, value)
        if part.number % PARTS_A_TURN == 0:
            await asyncio.sleep(0)
    return placement


async def _made(means: Means, target: _Target, sources: Sequence[Source], planned: Sequence[Piece]) -> list[Part]:
    """Every part, several at once.

    After a failure no other is begun, and those under way are waited for: S3 goes on with a copy that nobody waits for,
    and may put its part where an abort has just taken all away.
    """
    numbered: Iterator[tuple[int, Piece]] = iter(enumerate(planned, start=1))
    made: list[Part] = []
    failures: list[UploadError | _UncheckedError] = []

    async def work() -> None:
        for number, piece in numbered:
            if failures:
                return
            make = _copied if piece.copied else _merged
            try:
                made.append(await make(means, target, sources, number, piece))
            except (UploadError, _UncheckedError) as failure:
                failures.append(failure)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(means.options.concurrency, len(planned))):
            group.create_task(work())
    if failures:
        # Nearly always they have one cause; whichever came first tells of it.
        raise failures[0]
    return sorted(made, key=lambda part: part.number)


async def _copied(means: Means, target: _Target, sources: Sequence[Source], number: int, piece: Piece) -> Part:
    workshop, (span,) = means.workshop, piece.spans
    source = sources[span.source]
    parameters: dict[str, Any] = (
        {} if span.size == source.size else {"CopySourceRange": f"bytes={span.start}-{span.stop - 1}"}
    )
    if source.etag:
        parameters["CopySourceIfMatch"] = f'"{source.etag}"'
    try:
        answer = await workshop.client.call(
            "upload_part_copy",
            expected=MISSING | {NO_CHECKSUMS} if target.checked else MISSING,
            Bucket=target.bucket,
            Key=target.key,
            UploadId=target.multipart,
            PartNumber=number,
            CopySource={"Bucket": source.bucket, "Key": source.key},
            **parameters,
        )
    except S3Failure as failure:
        if failure.code == NO_CHECKSUMS:
            raise _UncheckedError from failure
        raise lost(source.key) from failure
    result = answer["CopyPartResult"]
    checksum = str(result.get(workshop.kind.parameter, "")) if target.checked else ""
    if target.checked and (not checksum or (span.size != source.size and checksum == source.checksum)):
        raise _UncheckedError
    return Part(number, piece.size, str(result["ETag"]).strip('"'), checksum)


async def _merged(means: Means, target: _Target, sources: Sequence[Source], number: int, piece: Piece) -> Part:
    workshop = replace(means.workshop, sent=target.checked)
    load = await _read(means, sources, piece)
    try:
        return await workshop.put_part(target.bucket, target.key, target.multipart, number, load)
    finally:
        load.release()


async def _read(means: Means, sources: Sequence[Source], piece: Piece) -> Load:
    """The bytes of a piece, in slabs of the one pool: merging waits for memory as every client does."""
    buffer = Buffer(means.pool.holder(lambda: None), means.workshop.kind, means.pool.slab_bytes)
    await reserve(buffer, piece.size)
    try:
        for span in piece.spans:
            await _fill(means.workshop, buffer, sources[span.source], span)
        return buffer.detach()
    finally:
        buffer.clear()


async def _fill(workshop: Workshop, buffer: Buffer, source: Source, span: Span) -> None:
    stored = Stored(workshop.client, source)
    async with aclosing(stored.chunks(span.start, span.stop)) as chunks:
        async for chunk in chunks:
            buffer.write(chunk)


async def _abort(workshop: Workshop, target: _Target) -> None:
    with suppress(UploadError, S3Failure, TimeoutError):
        async with asyncio.timeout(ABORT_SECONDS):
            await workshop.client.call(
                "abort_multipart_upload",
                expected=NOT_THERE,
                Bucket=target.bucket,
                Key=target.key,
                UploadId=target.multipart,
            )
