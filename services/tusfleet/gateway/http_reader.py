"""Requests out of bytes: the parser, and the limits on what it is fed."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import httptools

from tusfleet.gateway.http_body import NativeBody, Trailers
from tusfleet.gateway.http_framing import (
    BAD_VALUE,
    Fields,
    ProtocolLimits,
    Refused,
    Target,
    bad_field,
    body_length,
    checked_name,
    request_target,
)

CHUNK_OVERHEAD = 16
"""Most bytes of chunk framing per byte of body, beyond what a head may have: chunk extensions are no place to hide."""

FIELD_OVERHEAD = len(b": \r\n")
"""Bytes of a header line beside its name and value."""

_USUAL = (
    b"Host User-Agent Accept Accept-Encoding Accept-Language Connection Content-Type Content-Length Origin Referer "
    b"Cookie Authorization Cache-Control Range Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Tus-Resumable "
    b"Upload-Offset Upload-Length Upload-Metadata Upload-Checksum Upload-Concat Upload-Defer-Length X-Requested-With "
    b"X-Request-Id X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto Forwarded"
)
NAMES = {name: name.lower() for spelled in _USUAL.split() for name in (spelled, spelled.lower())}
"""The names that come with every request: one object for all of them, half a kilobyte less per silent connection."""

NO_TRAILERS = Trailers()
"""Those of a body that is not chunked."""


class RequestHead(NamedTuple):
    """What the head of a request says.

    Parameters:
        method: as sent.
        version: of HTTP, "1.0" or "1.1".
        target: what is asked for.
        headers: names in lower case.
        length: of the body in bytes, None when it is chunked.
        trailers: fills while the body arrives.
        expects: whether the client waits for 100 (Continue).
        keep_alive: whether it keeps the connection.
    """

    method: str
    version: str
    target: Target
    headers: Fields
    length: int | None
    trailers: Trailers
    expects: bool
    keep_alive: bool


class Requests(Protocol):
    """Where requests go."""

    def accept(self, head: RequestHead) -> NativeBody:
        """Take a request, and give its body to fill."""

    def received(self) -> None:
        """The request taken last has arrived whole."""


class RequestReader:
    """Reads the requests of one connection.

    Parameters:
        requests: where they go.
        limits: on heads, trailers and chunks.
    """

    __slots__ = (
        "_expects",
        "_fed",
        "_headers",
        "_limits",
        "_parser",
        "_raw",
        "_requests",
        "_size",
        "_trailers",
        "_url",
        "begun",
        "body",
    )

    def __init__(self, requests: Requests, limits: ProtocolLimits) -> None:
        self._requests = requests
        self._limits = limits
        # There only while it is needed: the bytes of a body of known length go past it, uncopied.
        self._parser: httptools.HttpRequestParser | None = None
        self._raw = False
        self._url = b""
        self._headers: Fields = []
        self._size = 0
        self._trailers = NO_TRAILERS
        self._expects = False
        self._fed = 0
        self.begun = False
        """Whether a part of a head has come."""
        self.body: NativeBody | None = None
        """What is being filled."""

    def feed(self, data: bytes) -> bytes:
        """Read from `data`, and give what has not been read yet.

        Raises:
            Refused: it is no request, or more than the limits allow; nothing behind it can be read.
        """
        if self._raw and self.body is not None:
            return self._feed_body(self.body, data)
        return self._feed_parser(data)

    def passed(self) -> None:
        """The rest of a body has gone by the lane."""
        if self._raw and self.body is not None:
            self._raw = False
            self._received()

    def close(self) -> None:
        """Read no more."""
        self._parser = None
        self.body = None

    def _feed_body(self, body: NativeBody, data: bytes) -> bytes:
        left = body.left or 0
        if len(data) < left:
            body.feed(data)
            return b""
        self._raw = False
        body.feed(data[:left])
        self._received()
        return data[left:]

    def _feed_parser(self, data: bytes) -> bytes:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            # An offer to switch protocols is passed over (RFC 9110 section 7.8); the parser stops behind its head.
            self._parser = None
            self._body_follows()
            return data[offer.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError:
            raise Refused(400, "This is not a well-formed HTTP/1.1 request") from None
        self._look()
        return b""

    def _look(self) -> None:
        """See where the parser stands after everything that has arrived."""
        limit = self._limits.header_bytes
        body = self.body
        if body is None:
            # Empty lines before a request are no request yet, but they do not go on for ever.
            if self._fed > limit:
                self._head_too_large()
        elif body.length is not None:
            self._parser = None
            self._body_follows()
        elif self._fed - body.arrived > limit + CHUNK_OVERHEAD * body.arrived:
            raise Refused(400, "The chunks of the body are nearly all framing")

    def _body_follows(self) -> None:
        if self.body is not None and self.body.left:
            self._raw = True
        elif self.body is not None:
            self._received()

    def _received(self) -> None:
        body, self.body = self.body, None
        self._fed = 0
        if body is not None:
            body.complete()
            self._requests.received()

    def _head_too_large(self) -> None:
        raise Refused(431, f"The head of a request may have {self._limits.header_bytes} bytes")

    # What the parser finds.

    def on_message_begin(self) -> None:
        self.begun = True
        self._fed = 0
        self._url = b""
        self._headers = []
        self._size = 0
        self._trailers = NO_TRAILERS
        self._expects = False

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.url_bytes:
            raise Refused(414, f"A URL may have {self._limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = NAMES.get(name) or checked_name(name)
        if BAD_VALUE.search(value) is not None:
            bad_field()
        # The parser takes away white space before a value only; none of it belongs to the value (RFC 9110 section 5.5).
        value = value.rstrip(b" \t")
        if not self.begun:
            self._on_trailer(name, value)
            return
        self._headers.append((name, value))
        self._size += len(name) + len(value) + FIELD_OVERHEAD
        if self._size > self._limits.header_bytes:
            self._head_too_large()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        if len(self._headers) > self._limits.header_count:
            raise Refused(431, f"A request may have {self._limits.header_count} header lines")

    def _on_trailer(self, name: bytes, value: bytes) -> None:
        self._trailers.add(name, value)
        if self._trailers.size > self._limits.header_bytes or len(self._trailers) > self._limits.header_count:
            raise Refused(431, "The trailers of the request are too large")

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        headers, version = self._headers, parser.get_http_version()
        length = body_length(headers, version)
        method = parser.get_method().decode("ascii")
        target = request_target(method, self._url, headers)
        upgrade = parser.should_upgrade()
        if length is None:
            self._trailers = Trailers()
            if upgrade:
                raise Refused(400, "This server does not switch protocols; leave the Upgrade header out")
        keep_alive = version != "1.0" and (upgrade or parser.should_keep_alive())
        expects = self._expects and version != "1.0"
        self._headers, self._url = [], b""
        self.begun = False
        self._fed = 0
        head = RequestHead(method, version, target, headers, length, self._trailers, expects, keep_alive)
        self.body = self._requests.accept(head)

    def on_body(self, chunk: bytes) -> None:
        if self.body is not None:
            self.body.feed(chunk)

    def on_message_complete(self) -> None:
        if self._parser is not None and not self._parser.should_upgrade():
            self._received()
