"""Which pages of other origins may use the server (Fetch standard, CORS protocol)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tusfleet.protocols.base import Headers, first

EXPOSED = (
    "Location, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, Upload-Concat, Upload-Expires, "
    "Upload-Complete, Upload-Limit, Upload-Draft-Interop-Version, Tus-Resumable, Tus-Version, Tus-Extension, "
    "Tus-Max-Size, Tus-Checksum-Algorithm, Repr-Digest, Content-Digest, Retry-After, ETag, Content-Range, "
    "Accept-Ranges, Content-Disposition, X-Request-Id"
)
"""Response fields a page may read: all of tus, of the IETF draft, and of downloads."""

ALLOWED = (
    "Authorization, Content-Type, Content-Disposition, Content-Encoding, Upload-Offset, Upload-Length, "
    "Upload-Defer-Length, Upload-Metadata, Upload-Concat, Upload-Checksum, Upload-Complete, "
    "Upload-Draft-Interop-Version, Tus-Resumable, X-HTTP-Method-Override, X-Requested-With, X-Request-Id, "
    "Repr-Digest, Content-Digest, Want-Repr-Digest, Range, If-Range, If-None-Match"
)
"""Request fields a page may send without having asked for them by name."""

METHODS = "OPTIONS, HEAD, GET, POST, PATCH, DELETE"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_MAX_ASKED = 50
_EXPOSED = (b"access-control-expose-headers", EXPOSED.encode())


class Cors:
    """Answers pages of other origins.

    Parameters:
        origins: exact origins, `*` in a host as a wildcard, `re:` and a regular expression, or `*` for every origin.
        credentials: whether pages may send credentials.
        max_age: seconds for which a browser may keep the answer to a preflight.
    """

    def __init__(self, origins: Sequence[str], *, credentials: bool = False, max_age: int = 86400) -> None:
        self._any = "*" in origins
        self._patterns = [] if self._any else [_pattern(origin) for origin in origins]
        self._credentials = credentials
        self._max_age = b"%d" % max_age

    def headers(self, request: Headers) -> list[tuple[bytes, bytes]]:
        """The fields for an ordinary answer.

        A page that is not allowed gets none but `Vary`, which every answer has when origins are told apart: a cache
        must not give one page the answer for another.
        """
        if not self._open(request):
            return [(b"vary", b"Origin")] if self._patterns or (self._any and self._credentials) else []
        return [*self._origin(request), _EXPOSED]

    def preflight(self, method: str, request: Headers) -> list[tuple[bytes, bytes]]:
        """The fields for a preflight; none for any other request or an origin that is not allowed."""
        if method != "OPTIONS" or not self._open(request) or first(request, b"access-control-request-method") is None:
            return []
        asked = (first(request, b"access-control-request-headers") or b"").decode("latin-1")
        names = [name.strip() for name in asked.split(",")][:_MAX_ASKED]
        extra = [name for name in names if _NAME.fullmatch(name) and name.lower() not in ALLOWED.lower().split(", ")]
        return [
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", ", ".join([ALLOWED, *extra]).encode()),
            (b"access-control-max-age", self._max_age),
        ]

    def _open(self, request: Headers) -> bool:
        origin = first(request, b"origin")
        if origin is None:
            return False
        text = origin.decode("latin-1")
        return self._any or any(pattern.fullmatch(text) for pattern in self._patterns)

    def _origin(self, request: Headers) -> list[tuple[bytes, bytes]]:
        if self._any and not self._credentials:
            return [(b"access-control-allow-origin", b"*")]
        fields = [(b"access-control-allow-origin", first(request, b"origin") or b""), (b"vary", b"Origin")]
        if self._credentials:
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields


def _pattern(origin: str) -> re.Pattern[str]:
    if origin.startswith("re:"):
        return re.compile(origin[3:])
    return re.compile(re.escape(origin).replace(r"\*", r"[A-Za-z0-9.-]+"), re.IGNORECASE)
