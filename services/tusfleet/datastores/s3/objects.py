"""Objects that appear in one step: whole uploads of one buffer, and tails.

Nothing is ever overwritten. An object is made with `If-None-Match: *`; when its name is taken, what is there decides:

- It carries the id of our upload and has our bytes: a predecessor made it and died before its commit. It is ours.
- It carries the id of our upload and has other bytes: a predecessor's too, of a request that was not committed. A
  holder that lost its lease without knowing cannot tell whether the present one has committed that object, so nobody
  deletes or replaces it here; we take the next name, and note that one among the strays, which are freed once a commit
  has shown that the record does not need them.
- Anything else belongs to others: the next name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from tusfleet.datastores.s3.buffer import Buffer, Load
from tusfleet.datastores.s3.checksums import NAMES, Checksum
from tusfleet.datastores.s3.checksums import checksum as checksum_of
from tusfleet.datastores.s3.client import S3Client
from tusfleet.datastores.s3.failures import NOT_THERE, TAKEN, S3Failure
from tusfleet.datastores.s3.naming import CONTENT, CREATED, MARKER, Naming
from tusfleet.datastores.s3.placement import Part, S3Placement, Tail, Whole
from tusfleet.datastores.s3.transfer import Body
from tusfleet.uploads.errors import DataLost, Unavailable
from tusfleet.uploads.models import Upload

_KEPT = "-kept"

RACES = 3
"""How often a name may be found taken and then free again before the next one is tried."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known about an object without reading it; `checksum` is that of all bytes, "" when unknown."""

    size: int
    etag: str
    marker: str
    created: str
    checksum: str

    def made_for(self, upload: Upload) -> bool:
        """Whether it is of this upload, rather than of others or of an earlier one of the same id."""
        return self.marker == upload.id and self.created == upload.created_at.isoformat()


@dataclass(frozen=True, slots=True)
class Workshop:
    """What everything that makes objects needs.

    Parameters:
        client: the connection.
        naming: names and descriptions.
        kind: the CRC that is computed of all bytes.
        sent: whether it is sent along too, for S3 to check.
    """

    client: S3Client
    naming: Naming
    kind: Checksum
    sent: bool

    @classmethod
    def of_options(cls, client: S3Client, naming: Naming) -> Workshop:
        """The workshop that the options of a client ask for.

        Without a checksum of theirs a CRC is computed all the same: it tells whose bytes an object has.

        Raises:
            ValueError: the checksum needs a package that is not installed.
        """
        name = client.options.checksum
        kind = checksum_of(NAMES[0] if name == "none" else name)
        assert kind is not None
        return cls(client, naming, kind, name != "none")

    @property
    def algorithm(self) -> str:
        """Names the checksums in a placement."""
        return self.kind.name if self.sent else f"{self.kind.name}{_KEPT}"

    def of(self, placement: S3Placement) -> Workshop:
        """The workshop for an upload that may have begun with other checksums.

        Raises:
            Unavailable: they need a package that is not installed any more.
        """
        name = placement.algorithm
        if name is None or name == self.algorithm:
            return self
        try:
            kind = checksum_of(name.removesuffix(_KEPT))
        except ValueError as error:
            raise Unavailable(f"The upload has checksums that cannot be computed now: {error}") from error
        assert kind is not None
        return replace(self, kind=kind, sent=not name.endswith(_KEPT))

    def checked(self, checksum: str) -> dict[str, Any]:
        """Parameters of a call that sends bytes of this checksum."""
        return {self.kind.parameter: checksum} if self.sent else {}

    async def look(self, bucket: str, key: str) -> Found | None:
        """What stands under a key; None when nothing does.

        Raises:
            StoreFull, Unavailable: nobody knows.
        """
        try:
            head = await self.client.call(
                "head_object", expected=NOT_THERE, Bucket=bucket, Key=key, ChecksumMode="ENABLED"
            )
        except S3Failure:
            return None
        metadata = {name.lower(): value for name, value in head.get("Metadata", {}).items()}
        name, _, kept = metadata.get(CONTENT, "").partition(":")
        checksum = kept if name == self.kind.name else ""
        if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and self.kind.parameter in head:
            checksum = str(head[self.kind.parameter])
        return Found(
            int(head.get("ContentLength", 0)),
            str(head.get("ETag", "")).strip('"'),
            metadata.get(MARKER, ""),
            metadata.get(CREATED, ""),
            checksum,
        )

    async def put_whole(self, upload: Upload, placement: S3Placement, body: Body, value: int) -> S3Placement:
        """Make the object of an upload whose bytes are all here, and give the placement then.

        Parameters:
            value: the CRC of the bytes.

        Raises:
            StoreFull, Unavailable: it is not there, or nobody knows; it may be tried again.
        """
        checksum = self.kind.encode(value)
        bucket = self.naming.bucket(placement)
        placement = replace(placement, bucket=bucket, algorithm=self.algorithm)
        for key in self.naming.candidates(upload, placement):
            for _ in range(RACES):
                etag = await self._create(upload, bucket, key, body, checksum)
                if etag is not None:
                    return placement.as_whole(key, Whole(body.size, etag, checksum))
                found = await self.look(bucket, key)
                if found is not None:
                    break
            else:
                continue
            if not found.made_for(upload):
                continue
            if found.size == body.size and found.checksum == checksum:
                return placement.as_whole(key, Whole(found.size, found.etag, checksum))
            placement = replace(placement, strays=(*placement.strays, key))
        raise Unavailable("Every name for the object is taken; use a key template with {id}")

    async def _create(self, upload: Upload, bucket: str, key: str, body: Body, checksum: str) -> str | None:
        """Make an object and give its ETag; None when the name is taken."""
        condition = {}
        if self.client.options.conditional:
            condition["IfNoneMatch"] = "*"
        elif await self.look(bucket, key) is not None:
            return None
        description = self.naming.description(upload, f"{self.kind.name}:{checksum}")
        try:
            stored = await self.client.put(
                "put_object",
                body,
                expected={TAKEN},
                Bucket=bucket,
                Key=key,
                **condition,
                **description,
                **self.checked(checksum),
            )
        except S3Failure:
            return None
        return stored.etag

    async def put_part(
        self,
        bucket: str,
        key: str | None,
        multipart: str | None,
        number: int,
        load: Load,
        *,
        expected: Collection[str] = (),
    ) -> Part:
        """Store a load, which stays the caller's, as a part.

        Raises:
            S3Failure: with a code of `expected`.
            StoreFull, Unavailable: it is not there, or nobody knows.
        """
        checksum = self.kind.encode(load.value)
        stored = await self.client.put(
            "upload_part",
            load.body,
            expected=expected,
            Bucket=bucket,
            Key=key,
            UploadId=multipart,
            PartNumber=number,
            **self.checked(checksum),
        )
        return Part(number, load.size, stored.etag, checksum if self.sent else "")

    async def put_tail(self, bucket: str, key: str, body: Body, value: int) -> Tail:
        """Store a tail under a key that nobody else uses.

        Raises:
            StoreFull, Unavailable: it is not there, or nobody knows.
        """
        checksum = self.kind.encode(value)
        await self.client.put(
            "put_object",
            body,
            Bucket=bucket,
            Key=key,
            ContentType="application/octet-stream",
            **self.naming.protection(),
            **self.checked(checksum),
        )
        return Tail(body.size, checksum, key=key)

    async def read_tail(self, bucket: str, tail: Tail, buffer: Buffer) -> None:
        """Read the bytes of a tail, checked, into an empty buffer that has room for them.

        Raises:
            DataLost: they are not there, or are others.
            StoreFull, Unavailable: nobody knows.
        """
        if tail.data is not None:
            buffer.write(tail.data)
            return
        assert tail.key is not None
        try:
            await self.client.fetch(bucket, tail.key, buffer, expected=NOT_THERE)
        except S3Failure as failure:
            raise DataLost("Acknowledged bytes of the upload are not in the bucket any more") from failure
        if buffer.size != tail.size or (tail.checksum and self.kind.encode(buffer.value) != tail.checksum):
            raise DataLost("Acknowledged bytes of the upload have changed in the bucket")
