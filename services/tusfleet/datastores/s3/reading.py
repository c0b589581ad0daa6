"""Bytes back out of the bucket.

A download keeps a connection of its own for as long as its client takes, and no more bytes than one socket holds. It
has no time limit: while the client takes nothing, nothing is asked of S3. A connection that breaks meanwhile, because
S3 lost its patience, is replaced by one that goes on where the other stopped.

Finished objects are read on the condition that they are still those that we made: what others put in their place is
`DataLost` rather than other bytes.

Of an upload that is not finished S3 gives out what is no part of a multipart upload: its tail, in the record or in an
object, which is all of it until the first part is full. Parts cannot be read before they are completed; that is said.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tusfleet.datastores.s3.client import BROKEN, S3Client
from tusfleet.datastores.s3.failures import TAKEN, S3Failure
from tusfleet.datastores.s3.naming import Naming
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.errors import DataLost, NotFound, Unavailable
from tusfleet.uploads.models import Upload
from tusfleet.uploads.ports import Content

CHUNK_BYTES = 256 * 1024
"""Most bytes given at a time."""

REOPENED = 4
"""Times in a row that a connection may break without having brought a byte."""

MISSING = frozenset({"NoSuchKey", "NotFound", TAKEN})
"""The object is gone, or another one; a bucket that is missing is a mistake of the settings, and loses no upload."""


@dataclass(frozen=True, slots=True)
class Source:
    """An object with bytes of an upload.

    `etag` and `checksum` are those of exactly these bytes, "" when unknown; `algorithm` says of which kind that is, as
    a placement does.
    """

    bucket: str
    key: str
    size: int
    etag: str = ""
    checksum: str = ""
    algorithm: str | None = None

    async def open(self, client: S3Client, span: tuple[int, int] | None = None) -> Any:
        """The body of all bytes, or of those of `span`, which has at least one; whoever asks for it closes it.

        Raises:
            DataLost: the object is gone, or another one by now.
            StoreFull, Unavailable: nobody knows.
        """
        parameters = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
        if self.etag:
            parameters["IfMatch"] = f'"{self.etag}"'
        try:
            answer = await client.open(self.bucket, self.key, expected=MISSING, **parameters)
        except S3Failure as failure:
            raise lost(self.key) from failure
        length = self.size if span is None else span[1] - span[0]
        if answer.get("ContentLength") != length:
            answer["Body"].close()
            raise lost(self.key)
        return answer["Body"]


def lost(key: str) -> DataLost:
    """The error of an object that is not the one we made."""
    return DataLost(f"The object {key} with bytes of the upload is gone from the bucket, or was replaced by others")


@asynccontextmanager
async def read(
    client: S3Client, naming: Naming, upload: Upload, span: tuple[int, int] | None = None
) -> AsyncIterator[Content]:
    """Open the bytes below `upload.offset` for reading; see `DataStore.read`.

    The object is opened at once, so that what is wrong is told before the first byte, and a deletion disturbs nobody
    who reads it from its beginning.

    Raises:
        DataLost: they are not there.
        NotFound: they are in parts that S3 does not give out before the upload is finished.
        StoreFull, Unavailable: try again later.
    """
    placement = S3Placement.of(upload.placement)
    if placement.size != upload.offset:
        raise DataLost("The record of the upload tells of other bytes than were stored")
    if placement.whole is None and placement.count:
        raise NotFound("The storage gives out the parts of this upload only once it is finished")
    source = source_of(naming, placement)
    if source is None:
        yield Recorded(b"" if placement.tail is None else placement.tail.data or b"")
        return
    if span == (0, source.size):
        span = None
    stored = Stored(client, source, await source.open(client, span), span)
    try:
        yield stored
    finally:
        stored.close()


def source_of(naming: Naming, placement: S3Placement) -> Source | None:
    """The one object that has all bytes of an upload without parts; None when the record has them."""
    bucket = naming.bucket(placement)
    if placement.whole is not None:
        whole = placement.whole
        return Source(bucket, placement.key or "", whole.size, whole.etag, whole.checksum, placement.algorithm)
    if placement.tail is not None and placement.tail.key is not None:
        return Source(bucket, placement.tail.key, placement.tail.size)
    return None


class Recorded:
    """Bytes that the record itself has."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def fileno(self) -> None:
        """None: they are in no file."""

    async def chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`."""
        if start < stop:
            yield self._data[start:stop]


class Stored:
    """Bytes of an object.

    Parameters:
        client: the connection.
        source: the object.
        body: open and unread, if there is one,
        span: of these of its bytes; None: of all.
    """

    def __init__(self, client: S3Client, source: Source, body: Any = None, span: tuple[int, int] | None = None) -> None:
        self._client = client
        self._source = source
        self._unread = body
        self._span = (0, source.size) if span is None else span
        self._open = set() if body is None else {body}
        self.size = source.size

    def fileno(self) -> None:
        """None: they are in no file."""

    def close(self) -> None:
        """Let go of every connection."""
        for body in self._open:
            body.close()
        self._open.clear()

    async def chunks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `stop`.

        Raises:
            DataLost: the object is gone, or another one, and the connection broke.
            StoreFull, Unavailable: the connection broke, and there is no other.
        """
        position, fruitless = start, 0
        while position < stop:
            body = await self._body(position, stop)
            try:
                while position < stop and (piece := await _next(body, stop - position)):
                    fruitless = 0
                    position += len(piece)
                    yield piece
            finally:
                # A connection whose bytes were all read has gone back already; any other one ends here.
                body.close()
                self._open.discard(body)
            fruitless += 1
            if position < stop and fruitless > REOPENED:
                raise Unavailable("The S3 service breaks off every connection for these bytes")

    async def _body(self, start: int, stop: int) -> Any:
        unread, self._unread = self._unread, None
        if unread is not None:
            if start == self._span[0] and stop <= self._span[1]:
                return unread
            unread.close()
            self._open.discard(unread)
        body = await self._source.open(self._client, (start, stop))
        self._open.add(body)
        return body


async def _next(body: Any, want: int) -> bytes:
    """Some of the next `want` bytes; none when the connection broke."""
    try:
        return bytes(await body.read(min(CHUNK_BYTES, want)))
    except BROKEN:
        return b""
