"""tus 1.0.0 with all of its extensions: headers in, intents out; outcomes in, headers out."""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, urljoin, urlsplit

from tusfleet.protocols.base import Capabilities, Head, Headers, Reply, first, http_date, integer, single
from tusfleet.uploads.errors import (
    BadRequest,
    InvalidConcatenation,
    InvalidHeader,
    MethodNotAllowed,
    OffsetMismatch,
    UnsupportedChecksum,
    UnsupportedMediaType,
    UnsupportedVersion,
    UploadError,
)
from tusfleet.uploads.intents import (
    CHECKSUM_SIZES,
    Append,
    Body,
    Checksum,
    Create,
    Discover,
    Inspect,
    Intent,
    Terminate,
)
from tusfleet.uploads.models import Concat, ConcatKind, Metadata, State, Upload, valid_id

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
OVERRIDABLE = frozenset({"HEAD", "PATCH", "DELETE", "POST", "OPTIONS"})
"""Methods that X-HTTP-Method-Override may name: those of the protocol."""

COLLECTION_METHODS = ("OPTIONS", "POST")
RESOURCE_METHODS = ("OPTIONS", "HEAD", "GET", "PATCH", "DELETE")

RESUMABLE = (b"tus-resumable", VERSION.encode())
"""The field that every answer carries, whatever it says (tus 1.0.0, Tus-Resumable)."""

_NO_STORE = (b"cache-control", b"no-store")
_EMPTY = (b"content-length", b"0")


def overridden(method: str, headers: Headers) -> str:
    """The method a request means: X-HTTP-Method-Override wins over the real one (tus 1.0.0, core protocol).

    Raises:
        InvalidHeader: it names a method that is none of the protocol's.
    """
    value = single(headers, b"x-http-method-override")
    if value is None:
        return method
    if (meant := value.strip().upper()) not in OVERRIDABLE:
        raise InvalidHeader(f"X-Http-Method-Override may be one of {', '.join(sorted(OVERRIDABLE))}")
    return meant


class Tus:
    """The protocol, as `UploadProtocol` describes it."""

    name = "tus"

    def claims(self, headers: Headers) -> bool:
        return first(headers, b"tus-resumable") is not None

    def always(self) -> list[tuple[bytes, bytes]]:
        return [RESUMABLE]

    def parse(self, head: Head) -> Intent:
        if head.method == "OPTIONS":
            return Discover()
        allowed = COLLECTION_METHODS if head.resource is None else RESOURCE_METHODS
        if head.method not in allowed:
            raise MethodNotAllowed(f"{head.method} is not allowed here; allowed are {', '.join(allowed)}")
        if single(head.headers, b"tus-resumable") != VERSION:
            raise UnsupportedVersion(f"Send Tus-Resumable: {VERSION}, the version this server speaks")
        if head.resource is None:
            return _create(head)
        if head.method == "PATCH":
            return _append(head, head.resource)
        return Inspect(head.resource) if head.method == "HEAD" else Terminate(head.resource)

    def discovered(self, capabilities: Capabilities) -> Reply:
        extensions = ["creation", "creation-with-upload", "creation-defer-length", "termination", "checksum"]
        if capabilities.trailers:
            extensions.append("checksum-trailer")
        if capabilities.expiration:
            extensions.append("expiration")
        extensions += ["concatenation", "concatenation-unfinished"]
        headers = [
            (b"tus-version", VERSION.encode()),
            (b"tus-extension", ",".join(extensions).encode()),
            (b"tus-checksum-algorithm", ",".join(CHECKSUM_SIZES).encode()),
            _EMPTY,
        ]
        if capabilities.max_size is not None:
            headers.append((b"tus-max-size", b"%d" % capabilities.max_size))
        # 200 rather than 204: clients and probes written for the reference server expect it.
        return Reply(200, headers)

    def created(self, upload: Upload, location: str, *, with_body: bool) -> Reply:
        headers = [(b"location", location.encode("ascii")), _EMPTY]
        if with_body:
            headers.append((b"upload-offset", b"%d" % upload.offset))
        return Reply(201, headers + _expiry(upload))

    def appended(self, upload: Upload) -> Reply:
        return Reply(204, [(b"upload-offset", b"%d" % upload.offset), *_expiry(upload)])

    def inspected(self, upload: Upload) -> Reply:
        headers = [_NO_STORE]
        merging = upload.is_final and upload.state is not State.FINISHED
        if not merging:
            headers.append((b"upload-offset", b"%d" % upload.offset))
        if upload.length is not None:
            headers.append((b"upload-length", b"%d" % upload.length))
        elif not upload.is_final:
            headers.append((b"upload-defer-length", b"1"))
        if upload.metadata.raw:
            headers.append((b"upload-metadata", upload.metadata.raw.encode("ascii")))
        if upload.concat is not None:
            headers.append((b"upload-concat", upload.concat.raw.encode("ascii")))
        return Reply(200, headers + _expiry(upload))

    def terminated(self) -> Reply:
        return Reply(204, [])

    def refused(self, error: UploadError) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = []
        if isinstance(error, UnsupportedVersion):
            headers.append((b"tus-version", VERSION.encode()))
        if isinstance(error, OffsetMismatch) and error.offset is not None:
            headers.append((b"upload-offset", b"%d" % error.offset))
        return headers


def parse_checksum(value: str) -> Checksum:
    """Understand `ALGORITHM BASE64` (tus 1.0.0, Upload-Checksum).

    Raises:
        UnsupportedChecksum: another algorithm than those announced.
        InvalidHeader: not of that form, or the digest has another length than the algorithm's.
    """
    algorithm, space, encoded = value.partition(" ")
    if not space or not encoded:
        raise InvalidHeader("Upload-Checksum must be an algorithm, one space and the digest in base64")
    if algorithm not in CHECKSUM_SIZES:
        raise UnsupportedChecksum(f"Upload-Checksum may use {', '.join(CHECKSUM_SIZES)}")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except ValueError:  # also for characters outside ASCII, which a trailer may have
        raise InvalidHeader("The digest in Upload-Checksum is not base64") from None
    if len(digest) != CHECKSUM_SIZES[algorithm]:
        raise InvalidHeader(f"The digest in Upload-Checksum is not {CHECKSUM_SIZES[algorithm]} bytes long")
    return Checksum(algorithm, digest)


def _create(head: Head) -> Create:
    raw_length = single(head.headers, b"upload-length")
    deferred = single(head.headers, b"upload-defer-length")
    if deferred is not None and deferred != "1":
        raise InvalidHeader("Upload-Defer-Length may only be 1")
    length = None if raw_length is None else integer(raw_length, "Upload-Length")
    concat = _concat(head)
    metadata = _metadata(head)
    body = _body(head)
    if concat is not None and concat.kind is ConcatKind.FINAL:
        if length is not None or deferred is not None:
            raise InvalidConcatenation("A final upload has no length of its own; leave Upload-Length out")
        if body is not None:
            raise InvalidConcatenation("A final upload takes no bytes; leave the body out")
        return Create(None, metadata, concat)
    if length is not None and deferred is not None:
        raise BadRequest("Give either Upload-Length or Upload-Defer-Length, not both")
    if length is None and deferred is None:
        raise BadRequest("Give Upload-Length, or Upload-Defer-Length: 1 when the length is not known yet")
    return Create(length, metadata, concat, body)


def _append(head: Head, id: str) -> Append:
    body = _body(head) or Body(0, _acceptable(head), *_checksum(head))
    if not body.acceptable:
        raise UnsupportedMediaType(f"Send the bytes as Content-Type: {MEDIA_TYPE}")
    offset = single(head.headers, b"upload-offset")
    if offset is None:
        raise BadRequest("Upload-Offset is missing")
    length = single(head.headers, b"upload-length")
    return Append(
        id,
        integer(offset, "Upload-Offset"),
        body,
        None if length is None else integer(length, "Upload-Length"),
    )


def _body(head: Head) -> Body | None:
    length = single(head.headers, b"content-length")
    chunked = first(head.headers, b"transfer-encoding") is not None
    size = None if chunked else integer(length, "Content-Length") if length is not None else 0
    acceptable = _acceptable(head)
    checksum, in_trailer = _checksum(head)
    if size == 0 and checksum is None and not in_trailer:
        return Body(0) if acceptable else None
    return Body(size, acceptable, checksum, in_trailer)


def _acceptable(head: Head) -> bool:
    value = single(head.headers, b"content-type")
    return value is not None and value.partition(";")[0].strip().lower() == MEDIA_TYPE


def _checksum(head: Head) -> tuple[Checksum | None, bool]:
    value = single(head.headers, b"upload-checksum")
    announced = first(head.headers, b"trailer") is not None and _announced(head.headers)
    if announced and value is not None:
        raise BadRequest("Give Upload-Checksum as a header or as a trailer, not both")
    if announced and not head.trailers:
        raise UnsupportedChecksum("This server cannot read trailers; send Upload-Checksum as a header")
    return (None if value is None else parse_checksum(value)), announced


def _announced(headers: Headers) -> bool:
    """Whether a checksum comes as a trailer."""
    return any(
        name == b"trailer" and b"upload-checksum" in [item.strip().lower() for item in field.split(b",")]
        for name, field in headers
    )


def _metadata(head: Head) -> Metadata:
    raw = single(head.headers, b"upload-metadata")
    if not raw:  # tuspy sends the header without a value when there is no metadata
        return Metadata()
    try:
        return Metadata.parse(raw)
    except ValueError as error:
        raise InvalidHeader(f"Upload-Metadata cannot be used: {error}") from None


def _concat(head: Head) -> Concat | None:
    raw = single(head.headers, b"upload-concat")
    if raw is None:
        return None
    if raw == "partial":
        return Concat(ConcatKind.PARTIAL, raw)
    kind, _, urls = raw.partition(";")
    if kind != "final" or not urls.split():
        raise InvalidConcatenation("Upload-Concat must be partial, or final; and the URLs of partial uploads")
    return Concat(ConcatKind.FINAL, raw, tuple(_part(url, head) for url in urls.split()))


def _part(url: str, head: Head) -> str:
    """The id of a partial upload by its URL, absolute or relative, which must be one of this collection."""
    try:
        target = urlsplit(urljoin(head.collections[0] + "/", url))
    except ValueError:
        raise InvalidConcatenation(f"{url[:200]!r} is not a URL") from None
    folder, _, id = target.path.rpartition("/")
    ours = folder in head.collections and valid_id(id) and not target.query and not target.fragment
    if not ours or ".." in url or not _known_host(target, head):
        raise InvalidConcatenation(f"{url[:200]!r} is not the URL of an upload of this server")
    return id


def _known_host(target: SplitResult, head: Head) -> bool:
    if not target.netloc:
        return not target.scheme
    if target.scheme not in {"http", "https"}:
        return False
    return head.authorities is None or target.netloc.lower() in head.authorities


def _expiry(upload: Upload) -> list[tuple[bytes, bytes]]:
    # Of what is finished only partial uploads expire, and nothing else would tell their clients.
    if upload.expires_at is None:
        return []
    return [(b"upload-expires", http_date(upload.expires_at))]
