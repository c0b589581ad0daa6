"""Every refusal and failure a client can meet: one class a line, with its code, status and whether to retry.

`code` is stable and machine-readable; `status` is the HTTP status; `retryable` tells whether the same request
may succeed later (then `Retry-After` is sent). The message of an instance tells a person what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class UploadError(Exception):
    """Base of all: an outcome that is reported to the client as problem details (RFC 9457).

    Parameters:
        detail: one sentence for a person.
        offset: the true offset of the upload, when telling it helps the client to go on.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The server failed"
    retryable: ClassVar[bool] = False
    lasting: bool = False
    """Whether it stays so until a person changes something: a name, a right, a clock."""

    def __init__(self, detail: str = "", *, offset: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.offset = offset

    @property
    def public(self) -> str:
        """What a client is told: the detail, unless that speaks of what lies behind the server."""
        return self.detail


class BadRequest(UploadError):
    """The request is malformed."""

    code = "bad_request"
    status = 400
    title = "The request is malformed"


class InvalidHeader(UploadError):
    """A header has a value that is not allowed."""

    code = "invalid_header"
    status = 400
    title = "A header has a value that is not allowed"


class InvalidConcatenation(UploadError):
    """The uploads cannot be concatenated."""

    code = "invalid_concatenation"
    status = 400
    title = "The uploads cannot be concatenated"


class UnsupportedChecksum(UploadError):
    """The checksum cannot be verified."""

    code = "unsupported_checksum"
    status = 400
    title = "The checksum cannot be verified"


class Unauthorised(UploadError):
    """Credentials are needed."""

    code = "unauthorised"
    status = 401
    title = "Credentials are needed"


class Forbidden(UploadError):
    """This is not allowed."""

    code = "forbidden"
    status = 403
    title = "This is not allowed"


class FinalNotWritable(UploadError):
    """A final upload takes no bytes."""

    code = "final_not_writable"
    status = 403
    title = "A final upload takes no bytes"


class NotFound(UploadError):
    """There is no such upload."""

    code = "not_found"
    status = 404
    title = "There is no such upload"


class MethodNotAllowed(UploadError):
    """The method is not allowed here."""

    code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"


class BodyCut(UploadError):
    """The connection was cut before the end of the body."""

    code = "body_cut"
    status = 400
    title = "The connection was cut before the end of the body"
    retryable = True


class BodyStalled(UploadError):
    """No bytes arrived for too long."""

    code = "body_stalled"
    status = 408
    title = "No bytes arrived for too long"
    retryable = True


class OffsetMismatch(UploadError):
    """The offset is not where the upload stands."""

    code = "offset_mismatch"
    status = 409
    title = "The offset is not where the upload stands"
    retryable = True


class AlreadyExists(UploadError):
    """An upload of this id exists already."""

    code = "already_exists"
    status = 409
    title = "An upload of this id exists already"


class Gone(UploadError):
    """The upload is gone."""

    code = "gone"
    status = 410
    title = "The upload is gone"


class DataLost(UploadError):
    """Bytes of the upload are missing from the store."""

    code = "data_lost"
    status = 410
    title = "Bytes of the upload are missing from the store"


class UnsupportedVersion(UploadError):
    """The protocol version is not supported."""

    code = "unsupported_version"
    status = 412
    title = "The protocol version is not supported"


class TooLarge(UploadError):
    """The upload would be too large."""

    code = "too_large"
    status = 413
    title = "The upload would be too large"


class LengthExceeded(UploadError):
    """More bytes than the upload's length."""

    code = "length_exceeded"
    status = 413
    title = "More bytes than the upload's length"


class UnsupportedMediaType(UploadError):
    """The content type is not the one for upload bytes."""

    code = "unsupported_media_type"
    status = 415
    title = "The content type is not the one for upload bytes"


class RangeNotSatisfiable(UploadError):
    """The range lies outside the file."""

    code = "range_not_satisfiable"
    status = 416
    title = "The range lies outside the file"


class Locked(UploadError):
    """Another request is using the upload."""

    code = "locked"
    status = 423
    title = "Another request is using the upload"
    retryable = True


class Interrupted(UploadError):
    """Another request took over the upload."""

    code = "interrupted"
    status = 423
    title = "Another request took over the upload"
    retryable = True


class ChecksumMismatch(UploadError):
    """The bytes do not match their checksum."""

    code = "checksum_mismatch"
    status = 460
    title = "The bytes do not match their checksum"
    retryable = True


class InternalError(UploadError):
    """The server failed."""

    code = "internal"
    status = 500
    title = "The server failed"
    retryable = True


class FenceLost(UploadError):
    """The lease was lost to another request."""

    code = "fence_lost"
    status = 503
    title = "The lease was lost to another request"
    retryable = True


class HookFailed(UploadError):
    """A hook of this server failed."""

    code = "hook_failed"
    status = 500
    title = "A hook of this server failed"
    retryable = True


class Unavailable(UploadError):
    """A part of the server cannot be reached; that may be `lasting`."""

    code = "unavailable"
    status = 503
    title = "A part of the server cannot be reached"
    retryable = True

    def __init__(self, detail: str = "", *, offset: int | None = None, lasting: bool = False) -> None:
        super().__init__(detail, offset=offset)
        self.lasting = lasting

    @property
    def public(self) -> str:
        """No address, path or name of a bucket: those are for the log and for who asks after readiness."""
        return "A store of the server cannot be used now; try again later"


class Draining(UploadError):
    """The server is shutting down."""

    code = "draining"
    status = 503
    title = "The server is shutting down"
    retryable = True


class StoreFull(UploadError):
    """There is no space for these bytes."""

    code = "store_full"
    status = 507
    title = "There is no space for these bytes"
    retryable = True

    @property
    def public(self) -> str:
        """Which store is full, and of what, is for the log and for who asks after readiness."""
        return "There is no space for these bytes now; try again later"
