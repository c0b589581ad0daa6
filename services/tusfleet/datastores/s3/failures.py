"""What can go wrong with a call to S3, and what we say about it: one table, one clear sentence each."""

from __future__ import annotations

from collections.abc import Mapping

from tusfleet.uploads.errors import StoreFull, Unavailable, UploadError

NO_ANSWER = "NoAnswer"
"""Code of a call that was not answered at all: no connection, a broken one, or silence for too long."""

NOT_THERE = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound"})
"""What was asked for is gone. A bucket that is missing is a mistake of the settings, and loses no upload."""

TAKEN = "PreconditionFailed"
"""Code of a conditional call whose key is taken."""

NAMELESS: Mapping[int, str] = {
    301: "PermanentRedirect",
    400: "BadRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: TAKEN,
    416: "InvalidRange",
    500: "InternalError",
    501: "NotImplemented",
    502: "BadGateway",
    503: "SlowDown",
    504: "GatewayTimeout",
    507: "InsufficientStorage",
}
"""Codes of answers without a body, such as those to HEAD."""

CARRYING = frozenset({"PutObject", "UploadPart"})
"""Operations that carry bytes."""

SLOW_DOWN = frozenset(
    {
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "BandwidthLimitExceeded",
        "XMinioServerNotInitialized",
    }
)
"""The service has too much to do."""

DAMAGED = frozenset(
    {
        "BadDigest",
        "XAmzContentChecksumMismatch",
        "InvalidDigest",
        "XAmzContentSHA256Mismatch",
        "IncompleteBody",
    }
)
"""The bytes that arrived are not those that were sent: sent again, they may be."""

CROSSED = frozenset(
    {
        "RequestTimeout",
        "ConditionalRequestConflict",
        "OperationAborted",
    }
)
"""Too slow this time, or met another call for the same object."""

RENEWED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "TokenRefreshRequired",
    }
)
"""Credentials that have just run out; the next attempt takes new ones."""

FULL = frozenset(
    {
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "StorageFull",
    }
)
"""There is no space left."""

_SENTENCES: Mapping[str, str] = {
    "NoSuchBucket": "The bucket {bucket} does not exist; create it, or name another in s3.bucket",
    "AccessDenied": "The credentials do not allow {operation} in the bucket {bucket}; see the policy in docs/s3.md",
    "InvalidAccessKeyId": "The S3 service does not know the access key; check the AWS credentials",
    # As versitygw says the same.
    "XAdminUserNotFound": "The S3 service does not know the access key; check the AWS credentials",
    "SignatureDoesNotMatch": "The secret key is not the one of the access key; check the AWS credentials",
    "RequestTimeTooSkewed": "The clock of this machine and that of the S3 service differ too much; set the clock right",
    "PermanentRedirect": "The bucket {bucket} is in another region; set s3.region to it",
    "AuthorizationHeaderMalformed": "The bucket {bucket} is in another region; set s3.region to it",
    "NoCredentials": "There are no AWS credentials; give them by environment, file or role",
    NO_ANSWER: "The S3 service does not answer: {message}",
}


class S3Failure(Exception):
    """A call that did not succeed.

    Parameters:
        operation: as S3 names it, such as UploadPart.
        bucket: in which.
        code: of S3, or `NO_ANSWER`.
        status: of HTTP; 0 without an answer.
        message: what S3 said.
    """

    def __init__(self, operation: str, bucket: str, code: str, status: int, message: str) -> None:
        super().__init__(f"{operation}: {code} ({status}) {message}")
        self.operation = operation
        self.bucket = bucket
        self.code = code
        self.status = status
        self.message = message

    @property
    def throttled(self) -> bool:
        """Whether the service asks for fewer calls."""
        return self.code in SLOW_DOWN or self.status == 429

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed soon."""
        if self.code in FULL:
            return False
        return (
            self.throttled
            or (self.code in DAMAGED and self.operation in CARRYING)
            or self.code in CROSSED
            or self.code in RENEWED
            or self.code == NO_ANSWER
            or self.status in (500, 502, 503, 504)
        )

    def in_our_words(self) -> UploadError:
        """What it means for an upload: `StoreFull`, otherwise `Unavailable`, with one sentence for a person."""
        if self.code in FULL or self.status == 507:
            return StoreFull(f"The S3 service has no space left ({self.code})")
        if self.throttled:
            return Unavailable("The S3 service asks for fewer requests; try again later")
        sentence = _SENTENCES.get(self.code)
        if sentence is None:
            told = f"The S3 service refused {self.operation}: {self.code} {self.message}".rstrip()
        else:
            told = sentence.format(operation=self.operation, bucket=self.bucket, message=self.message)
        return Unavailable(told, lasting=not self.passing)
