"""What objects are called, and what is written on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from tusfleet.datastores.keys import KeyTemplate
from tusfleet.datastores.s3.options import S3Options
from tusfleet.datastores.s3.placement import S3Placement
from tusfleet.uploads.models import Upload

MARKER = "tusfleet-id"
"""Metadata of every object that tells whose it is: the id of its upload."""

CREATED = "tusfleet-created"
"""Metadata that tells when that was created (ISO 8601): a hook may give an id again whose record was forgotten."""

CONTENT = "tusfleet-checksum"
"""Metadata that tells the checksum of all bytes, where it was known when the object was begun."""

METADATA_BYTES = 1800
"""Most bytes of a client's metadata on an object: S3 takes 2 KiB, ours included. The record keeps all of it."""

METADATA_ENTRIES = 64
"""Most entries of them: the HTTP client of Python, and so boto3, refuses an answer with more than 100 headers."""

_PREFIX = len("x-amz-meta-")
"""Bytes before each name on the wire; MinIO counts them as well."""

NUMBERED = 100
"""Most numbers tried for a name that is taken; then the name says the id."""

_OWN = "tusfleet-"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TYPE_KEYS = ("filetype", "contentType", "content_type", "type", "mimetype")
_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}( *; *[A-Za-z0-9_-]{1,32}=[\w.+-]{1,64})*", re.A
)
_UNCHANGED = "!#$&'()*+,-./:;=?@[]^_`{|}~"


class Naming:
    """Names for the objects of one store."""

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._template = KeyTemplate.parse(options.key_template)
        self._unique = "{id}" in options.key_template

    def bucket(self, placement: S3Placement) -> str:
        """Where the objects of an upload are."""
        return placement.bucket or self._options.bucket

    def unique(self, placement: S3Placement) -> bool:
        """Whether only this upload's objects can have its name, because that says the id."""
        return self._unique and placement.key is None

    def candidates(self, upload: Upload, placement: S3Placement) -> Iterator[str]:
        """Keys for the object of `upload`, best first: `name.ext`, `name-1.ext` ... and in the end one with its id."""
        key = placement.key
        if key is None and upload.is_partial:
            # What it becomes a part of is the product: only that gets the name that the template gives.
            key = f"{self._options.partials_prefix}{upload.id}"
        if key is None:
            prefix = self._options.key_prefix
            reserve = len(prefix.encode()) + len(f"-{upload.id}")
            key = prefix + next(self._template.candidates(upload, min(reserve, 200)))
        yield key
        for number in range(1, NUMBERED):
            yield _numbered(key, str(number))
        yield _numbered(key, upload.id)

    def tail(self, upload: Upload, nonce: str, number: int) -> str:
        """Key of a tail object: `<prefix>.tails/<id>/<fence>.<n>-<nonce>`, which no other writer uses.

        The fence alone would do where leases are counted; the nonce makes it so everywhere.
        """
        return f"{self._options.tails_prefix}{upload.id}/{upload.fence}.{number}-{nonce}"

    def description(self, upload: Upload, checksum: str | None = None) -> dict[str, Any]:
        """Parameters of the call that makes an object: type, metadata, encryption, class, tags, ACL.

        Parameters:
            checksum: of all bytes, as `name:value`, where it is known.
        """
        parameters = self.protection()
        parameters["ContentType"] = _content_type(upload)
        parameters["Metadata"] = _metadata(upload, checksum)
        options = self._options
        if options.storage_class:
            parameters["StorageClass"] = options.storage_class
        if options.tags:
            parameters["Tagging"] = urlencode(options.tags)
        if options.acl:
            parameters["ACL"] = options.acl
        return parameters

    def protection(self) -> dict[str, Any]:
        """Parameters that every object needs, tails too: its encryption."""
        parameters: dict[str, Any] = {}
        if self._options.sse:
            parameters["ServerSideEncryption"] = self._options.sse
        if self._options.sse_kms_key:
            parameters["SSEKMSKeyId"] = self._options.sse_kms_key
        return parameters


def _numbered(key: str, number: str) -> str:
    """`a/b.tar.gz` with a number: `a/b.tar-1.gz`."""
    folder, slash, name = key.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem or "/" in extension:
        return f"{key}-{number}"
    return f"{folder}{slash}{stem}-{number}{dot}{extension}"


def _content_type(upload: Upload) -> str:
    given = next((text for key in _TYPE_KEYS if (text := upload.metadata.text(key))), "")
    return given if _TYPE.fullmatch(given) else "application/octet-stream"


def _metadata(upload: Upload, checksum: str | None) -> dict[str, str]:
    """Ours, and as much of the client's as fits: lower-case names, values percent-encoded, so pure ASCII."""
    metadata = {MARKER: upload.id, CREATED: upload.created_at.isoformat()}
    if checksum:
        metadata[CONTENT] = checksum
    left, entries = METADATA_BYTES, 0
    for key in upload.metadata.values:
        name = key.lower()
        if _NAME.fullmatch(name) is None or name.startswith(_OWN) or name in metadata:
            continue
        value = quote(upload.metadata.text(key) or "", safe=_UNCHANGED)
        size = _PREFIX + len(name) + len(value)
        if value and size <= left and entries < METADATA_ENTRIES:
            metadata[name] = value
            left -= size
            entries += 1
    return metadata
