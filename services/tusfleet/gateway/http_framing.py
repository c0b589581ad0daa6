"""What a request head may look like: everything two servers in a row could read differently is refused (RFC 9112)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

Fields = list[tuple[bytes, bytes]]

TITLES = {
    400: ("bad_request", "The request is malformed"),
    408: ("header_timeout", "The head of the request did not come in time"),
    414: ("uri_too_long", "The URL is too long"),
    431: ("headers_too_large", "The head of the request is too large"),
    500: ("internal", "The server failed"),
    503: ("too_many_connections", "The server has as many connections as it may"),
}
"""Code and title of what this layer answers by itself, by status."""

BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Octets that no field value may have (RFC 9110 section 5.5)."""

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What a field name or a method may be (RFC 9110 section 5.6.2)."""

_LENGTH = re.compile(rb"[0-9]{1,19}")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]+)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """What a client may make the server wait for and hold.

    Parameters:
        header_timeout: seconds from the first byte of a request (or the connection) to the end of its head.
        header_bytes: most bytes of a head, request line included; trailers are bounded likewise.
        header_count: most header lines; trailers are bounded likewise.
        url_bytes: longest URL.
        max_connections: most connections at a time, None without a limit.
        idle_timeout: seconds in which a client must take something of an answer, or send something of a body that
            the application reads by plain ASGI messages; uploads have their own.
        lane_bytes: from how many bytes on a body, or the rest of one, may take the lane (`http_lane`); None never.
    """

    header_timeout: float = 10.0
    header_bytes: int = 128 * 1024
    header_count: int = 100
    url_bytes: int = 8 * 1024
    max_connections: int | None = None
    idle_timeout: float = 30.0
    lane_bytes: int | None = 256 * 1024


class Refused(Exception):
    """A request that never reaches the application.

    Parameters:
        status: one of `TITLES`.
        detail: one sentence for a person.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Target(NamedTuple):
    """The target of a request: its path as sent (`*` for the server as a whole) and the query behind it."""

    path: bytes
    query: bytes


def checked_name(name: bytes) -> bytes:
    """The name of a field in lower case.

    Raises:
        Refused: 400, it is no token.
    """
    if TOKEN.fullmatch(name) is None:
        bad_field()
    return name.lower()


def bad_field() -> NoReturn:
    """Refuse a field that HTTP does not allow.

    Raises:
        Refused: 400.
    """
    _bad("A header has a name or value that HTTP does not allow")


def body_length(headers: Fields, version: str) -> int | None:
    """The length of the body, None when it is chunked (RFC 9112 section 6).

    Parameters:
        headers: names in lower case.
        version: "1.0" or "1.1".

    Raises:
        Refused: 400, when another server could find another end of the body, or another host.
    """
    lengths: list[bytes] = []
    codings: list[bytes] = []
    hosts: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
    if version not in ("1.0", "1.1"):
        _bad("This server speaks HTTP/1.1 and 1.0")
    if lengths and codings:
        _bad("Content-Length and Transfer-Encoding cannot go together")
    if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0].strip(b" \t")) is None):
        _bad("Content-Length must stand once, as plain digits")
    if len(codings) > 1 or (codings and (codings[0].strip(b" \t").lower() != b"chunked" or version != "1.1")):
        _bad("Transfer-Encoding may only be chunked, in HTTP/1.1")
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        _bad("An HTTP/1.1 request has exactly one Host header")
    if hosts and _HOST.fullmatch(hosts[0].strip(b" \t")) is None:
        _bad("The Host header is not a host")
    if codings:
        return None
    return int(lengths[0]) if lengths else 0


def request_target(method: str, url: bytes, headers: Fields) -> Target:
    """Read the target of a request (RFC 9112 section 3.2).

    In the absolute form, which a client of a proxy may use, the host of the URL replaces the Host header.

    Raises:
        Refused: 400, it is none of a path, an http or https URL, or `*` with OPTIONS.
    """
    if not url.isascii() or b"#" in url or method == "CONNECT":
        _bad("The URL of the request is malformed")
    if (absolute := _ABSOLUTE.fullmatch(url)) is not None:
        host, url = absolute[1], absolute[2]
        if _HOST.fullmatch(host) is None:
            _bad("The host in the URL of the request is not a host")
        headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
        if not url:
            url = b"*" if method == "OPTIONS" else b"/"
        elif not url.startswith(b"/"):
            url = b"/" + url
    if not url.startswith(b"/") and not (url == b"*" and method == "OPTIONS"):
        _bad("The URL of the request is malformed")
    path, _, query = url.partition(b"?")
    return Target(path, query)


def problem(status: int, detail: str) -> tuple[Fields, bytes]:
    """Fields and body of an answer of this layer: problem details (RFC 9457), as tus clients expect them."""
    code, title = TITLES[status]
    body = json.dumps(
        {"type": f"urn:tusfleet:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    ).encode()
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"tus-resumable", b"1.0.0"),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return fields, body


def _bad(detail: str) -> NoReturn:
    raise Refused(400, detail)
