"""What the record of an upload tells about its bytes in S3: a typed view of the opaque placement.

In the record it is small and cheap to commit, with 10,000 parts too: `parts` is a list of short texts (38 bytes a part)
that only ever grows at its end, so an info store may keep it to itself and be sent what was added, and everything that
an append needs stands beside it. Only the end of an upload reads those texts.

Fields of the JSON value; those that say nothing are left out:

    bucket, key      where the object is, or will be. A hook may set them before any byte has come.
    multipart        id of the multipart upload; absent until the first full part.
    parts            `number.size.etag.checksum` for each part in order. The number is left out when it is one more
                     than that before, the size when it is the same; an ETag of 32 hex digits is written in base64.
    count, stored    parts, and bytes in them.  last: number and size of the last part.
    checksum         CRC of all bytes in parts, from which that of the whole object follows.
    algorithm        what all checksums here are: an upload stays with that with which it began, whatever is set later.
    part_size        the size of every part, where all must have one.
    next, ahead, fence   which numbers are whose, see `numbers`.
    tail             bytes after the parts: {size, checksum, data (base64)} or {size, checksum, key}.
    strays           keys of objects that nothing needs any more, to be deleted with the next call.
    whole            the object is there: {size, etag, checksum}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from tusfleet.uploads.growing import PARTS, Growing
from tusfleet.uploads.models import JSON, Placement

ETAG_DIGITS = 32
"""Hex digits of an ETag that is an MD5, as nearly all are."""

NOTHING_KEPT = Growing()


@dataclass(frozen=True, slots=True)
class Part:
    """A part that S3 has.

    Parameters:
        number: 1 to 10,000.
        size: bytes.
        etag: without quotes.
        checksum: as S3 takes it, "" without.
    """

    number: int
    size: int
    etag: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Tail:
    """Acknowledged bytes after the last part, in the record itself (`data`) or in an object (`key`)."""

    size: int
    checksum: str = ""
    data: bytes | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """The object that has all bytes; `checksum` is that of all of them, "" when unknown."""

    size: int
    etag: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class S3Placement:
    """Where the bytes of one upload are; see the module for the meaning of each field.

    Of the `parts`, those that the info store keeps to itself may be missing: `kept` tells of them.
    """

    bucket: str | None = None
    key: str | None = None
    multipart: str | None = None
    parts: tuple[str, ...] = ()
    count: int = 0
    stored: int = 0
    last_number: int = 0
    last_size: int = 0
    checksum: int = 0
    algorithm: str | None = None
    part_size: int | None = None
    next: int = 1
    ahead: int = 0
    fence: int = 0
    tail: Tail | None = None
    strays: tuple[str, ...] = ()
    whole: Whole | None = None
    kept: Growing = NOTHING_KEPT

    @classmethod
    def of(cls, placement: Placement) -> S3Placement:
        """Read the placement of a record; fields that others put there are left alone."""
        values = cast("dict[str, Any]", placement)
        number, size = values.get("last", (0, 0))
        listed = Growing.of(placement)
        return cls(
            bucket=values.get("bucket"),
            key=values.get("key"),
            multipart=values.get("multipart"),
            parts=cast("tuple[str, ...]", tuple(listed.more)),
            count=values.get("count", 0),
            stored=values.get("stored", 0),
            last_number=number,
            last_size=size,
            checksum=values.get("checksum", 0),
            algorithm=values.get("algorithm"),
            part_size=values.get("part_size"),
            next=values.get("next", 1),
            ahead=values.get("ahead", 0),
            fence=values.get("fence", 0),
            tail=_read_tail(values.get("tail")),
            strays=tuple(values.get("strays", ())),
            whole=Whole(**values["whole"]) if "whole" in values else None,
            kept=replace(listed, more=()),
        )

    def json(self) -> Placement:
        """The value for the record."""
        values: dict[str, JSON] = {"bucket": self.bucket, "key": self.key, "multipart": self.multipart}
        if self.multipart is not None:
            values |= {"next": self.next, "ahead": self.ahead, "fence": self.fence}
        if self.count:
            values |= {
                PARTS: replace(self.kept, more=self.parts).json(),
                "count": self.count,
                "stored": self.stored,
                "last": [self.last_number, self.last_size],
                "checksum": self.checksum,
            }
        values["algorithm"] = self.algorithm
        values["part_size"] = self.part_size
        values["tail"] = None if self.tail is None else _written_tail(self.tail)
        values["strays"] = list(self.strays) or None
        if self.whole is not None:
            values["whole"] = {"size": self.whole.size, "etag": self.whole.etag, "checksum": self.whole.checksum}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def size(self) -> int:
        """Bytes that it holds; equal to the offset of its record, or bytes are lost."""
        if self.whole is not None:
            return self.whole.size
        return self.stored + (0 if self.tail is None else self.tail.size)

    def with_part(self, part: Part, checksum: int) -> S3Placement:
        """With one part more, which begins where the others end and so has the bytes of the tail too.

        Parameters:
            checksum: CRC of all bytes in parts, this one included.
        """
        number = "" if part.number == self.last_number + 1 else part.number
        size = "" if part.size == self.last_size else part.size
        return replace(
            self.without_tail(),
            parts=(*self.parts, f"{number}.{size}.{_packed(part.etag)}.{part.checksum}"),
            count=self.count + 1,
            stored=self.stored + part.size,
            last_number=part.number,
            last_size=part.size,
            checksum=checksum,
        )

    def with_tail(self, tail: Tail) -> S3Placement:
        """With another tail, which has the bytes of the one before too."""
        return replace(self.without_tail(), tail=tail)

    def without_tail(self) -> S3Placement:
        """Without its tail, whose object nothing needs any more once this is committed."""
        if self.tail is None:
            return self
        strays = self.strays if self.tail.key is None else (*self.strays, self.tail.key)
        return replace(self, tail=None, strays=strays)

    def as_whole(self, key: str, whole: Whole) -> S3Placement:
        """With all bytes in one object; what was known about parts is of no use any more."""
        strays = self.without_tail().strays
        return S3Placement(bucket=self.bucket, key=key, algorithm=self.algorithm, strays=strays, whole=whole)

    def all_parts(self) -> Iterator[Part]:
        """Every part in order.

        Raises:
            ValueError: some of them are kept elsewhere.
        """
        if self.kept:
            raise ValueError("The record came without its parts")
        number = size = 0
        for entry in self.parts:
            given, length, etag, checksum = entry.split(".")
            number = int(given) if given else number + 1
            size = int(length) if length else size
            yield Part(number, size, _unpacked(etag), checksum)


def _read_tail(value: dict[str, Any] | None) -> Tail | None:
    if value is None:
        return None
    data = value.get("data")
    return Tail(
        value["size"], value.get("checksum", ""), None if data is None else base64.b64decode(data), value.get("key")
    )


def _written_tail(tail: Tail) -> dict[str, JSON]:
    values: dict[str, JSON] = {"size": tail.size}
    if tail.checksum:
        values["checksum"] = tail.checksum
    if tail.data is not None:
        values["data"] = base64.b64encode(tail.data).decode()
    if tail.key is not None:
        values["key"] = tail.key
    return values


def _packed(etag: str) -> str:
    """An ETag for the text of parts: 22 characters for an MD5; any other in hex after a `-`, which is in no base64."""
    if len(etag) == ETAG_DIGITS:
        try:
            digest = bytes.fromhex(etag)
        except ValueError:
            digest = b""
        if digest.hex() == etag:
            return base64.b64encode(digest).decode().rstrip("=")
    return f"-{etag.encode().hex()}"


def _unpacked(text: str) -> str:
    if text.startswith("-"):
        return bytes.fromhex(text[1:]).decode()
    try:
        return base64.b64decode(f"{text}==").hex()
    except binascii.Error as error:
        raise ValueError(f"{text!r} is no ETag") from error
