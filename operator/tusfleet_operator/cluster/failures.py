"""What the API server, or the way to it, may answer instead of doing what was asked."""

from __future__ import annotations

TIMEOUT = "Timeout"
NO_CREDENTIALS = "NoCredentials"

_FLEETING = frozenset({0, 500, 502, 503, 504})

_UNFITTING = "failed to create typed patch object"
"""How the API server tells, with status 500, that what was applied has fields or types that its kind does not have."""

_LONGEST_MESSAGE = 2048
"""Characters: an answer may repeat whole values."""


class ApiFailure(Exception):
    """A call that did not succeed.

    Parameters:
        status: of HTTP; 0 when there was no answer.
        reason: one word for programs, such as AlreadyExists.
        message: a sentence for people.
        retry_after: seconds to wait before the next attempt, when the server says so.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later without anybody's help."""
        return self.status == 0 or self.status >= 500 or self.status in {401, 408, 409, 410, 429}

    @property
    def fleeting(self) -> bool:
        """Whether it may succeed at once; not when it took long to fail, or when the server asks for time."""
        return self.reason not in {TIMEOUT, NO_CREDENTIALS} and self.status in _FLEETING and self.retry_after is None


class NotFound(ApiFailure):
    """There is no such object, or no such kind."""


class Conflict(ApiFailure):
    """Somebody else changed the object, or owns a field of it."""


class Forbidden(ApiFailure):
    """We may not."""


class Invalid(ApiFailure):
    """The object would not be one."""


def failure(status: int, reason: str, message: str, retry_after: float | None = None) -> ApiFailure:
    """The failure of a status."""
    if status == 500 and message.startswith(_UNFITTING):
        # It does not pass by itself, and force does not help either.
        status, reason = 400, "BadRequest"
    message = message[:_LONGEST_MESSAGE]
    kind = {404: NotFound, 409: Conflict, 403: Forbidden, 422: Invalid}.get(status, ApiFailure)
    return kind(status, reason, message, retry_after)


def unanswered(error: BaseException) -> ApiFailure:
    """The failure of a call that was not answered."""
    if isinstance(error, TimeoutError):
        return ApiFailure(0, TIMEOUT, "The API server does not answer in time")
    return ApiFailure(0, "NoAnswer", f"The API server does not answer: {str(error) or error.__class__.__name__}")
