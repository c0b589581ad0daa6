"""Answers on the wire: heads without a body, and problem details."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tusfleet.uploads.errors import LengthExceeded, Unauthorised, UploadError

Send = Callable[[dict[str, Any]], Awaitable[None]]
Fields = Iterable[tuple[bytes, bytes]]

RETRY_AFTER_SECONDS = b"1"
"""A retry is welcome soon: what stands in the way is another request that lets go, or a restart."""

CLOSING = frozenset({408, 413, 423, 503, 507})
"""Statuses after which the rest of the body is not read: the connection ends."""


TELL = "tusfleet.tell"
"""In a message that sends a part of a file: somebody whom our own protocol class tells of bytes while they are sent."""


async def send_head(send: Send, status: int, headers: Fields) -> None:
    """Answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})


async def send_problem(send: Send, error: UploadError, headers: Fields, *, method: str) -> None:
    """Answer with problem details (RFC 9457); HEAD gets their head alone."""
    body = b"" if method == "HEAD" else problem(error)
    fields = [*headers, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    if body:
        fields.append((b"content-type", b"application/problem+json"))
    if error.retryable and error.status in CLOSING:
        fields.append((b"retry-after", RETRY_AFTER_SECONDS))
    if error.status in CLOSING or isinstance(error, LengthExceeded):
        fields.append((b"connection", b"close"))
    if isinstance(error, Unauthorised):
        fields.append((b"www-authenticate", b'Bearer realm="tusfleet"'))
    await send({"type": "http.response.start", "status": error.status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def problem(error: UploadError) -> bytes:
    """Problem details as JSON: type, title, status, detail, our code and, where it helps, the offset."""
    members: dict[str, object] = {
        "type": f"urn:tusfleet:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.public,
        "code": error.code,
    }
    if error.offset is not None:
        members["offset"] = error.offset
    return json.dumps(members).encode()
