"""Which operation of S3 a request is, by its method, path, query and header fields (path-style addresses)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from tests.testbed.http_messages import Head

OF_BUCKET = {
    "GET": (
        ("uploads", "ListMultipartUploads"),
        ("list-type", "ListObjectsV2"),
        ("location", "GetBucketLocation"),
        ("lifecycle", "GetBucketLifecycleConfiguration"),
        ("versioning", "GetBucketVersioning"),
        ("", "ListObjects"),
    ),
    "HEAD": (("", "HeadBucket"),),
    "POST": (("delete", "DeleteObjects"),),
    "PUT": (("", "CreateBucket"),),
    "DELETE": (("", "DeleteBucket"),),
}
"""By method: the first whose word is in the query, where an empty word always is."""

OF_OBJECT = {
    "GET": (
        ("uploadId", "ListParts"),
        ("tagging", "GetObjectTagging"),
        ("attributes", "GetObjectAttributes"),
        ("", "GetObject"),
    ),
    "HEAD": (("", "HeadObject"),),
    "POST": (("uploads", "CreateMultipartUpload"), ("uploadId", "CompleteMultipartUpload")),
    "PUT": (("partNumber", "UploadPart"), ("tagging", "PutObjectTagging"), ("", "PutObject")),
    "DELETE": (("uploadId", "AbortMultipartUpload"), ("tagging", "DeleteObjectTagging"), ("", "DeleteObject")),
}
"""The same for objects."""

COPIES = {"UploadPart": "UploadPartCopy", "PutObject": "CopyObject"}
"""What they are when the bytes come from another object."""


@dataclass
class S3Request:
    """A request that came by, and what became of it.

    `size` is what the body holds (for an aws-chunked body, without its framing), `forwarded` what of the body went on
    to the server, in bytes of the wire. `status` is what the client was told, None as long as it was told nothing.
    `fault` is the kind of what happened to it. Times are of the monotonic clock.
    """

    operation: str
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    fields: dict[str, str]
    size: int
    forwarded: int = 0
    status: int | None = None
    fault: str | None = None
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def part(self) -> int | None:
        """The number of the part."""
        return int(self.query["partNumber"]) if "partNumber" in self.query else None


def request_of(head: Head) -> S3Request:
    """What the head of a request asks for."""
    method, target, *_ = head.words
    path, _, query = target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    words = dict(parse_qsl(query, keep_blank_values=True))
    size = int(head.fields.get("x-amz-decoded-content-length", head.length or 0))
    operation = _operation(method, bucket, key, words, "x-amz-copy-source" in head.fields)
    return S3Request(operation, method, unquote(bucket), unquote(key), words, head.fields, size)


def _operation(method: str, bucket: str, key: str, query: dict[str, str], copies: bool) -> str:
    if not bucket:
        return "ListBuckets"
    for word, name in (OF_OBJECT if key else OF_BUCKET).get(method, ()):
        if not word or word in query:
            return COPIES.get(name, name) if copies else name
    return f"unknown {method}"
