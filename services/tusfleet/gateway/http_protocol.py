"""The HTTP/1.1 protocol class for uvicorn: what resumable uploads need and ASGI servers do not do.

It extends uvicorn's httptools protocol: bodies are kept as whole chunks and given out before a disconnect is told,
request trailers stay out of the headers, interim responses can be sent, heads are bounded in time, size and count,
and requests that two parsers could read differently are refused. What it relies on inside uvicorn is pinned by
`tests/unit/gateway/test_uvicorn_contract.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.events import TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tusfleet.gateway.body import EXTENSION
from tusfleet.uploads.models import BodyEnd

HIGH_WATER = 1024 * 1024
"""Bytes queued before the socket is paused: one write of the data store, so that it never waits for the parser."""

LINGER_SECONDS = 2.0
"""Time for which a client that is refused early may go on sending, so that it reads the answer before a reset."""

LINGER_BYTES = 64 * 1024 * 1024
"""Bytes such a client may send in that time."""

DRAIN_BYTES = 256 * 1024
"""A rest of a refused body up to this is read and thrown away, and the connection stays usable."""

TITLES = {
    400: ("bad_request", "The request is malformed"),
    408: ("header_timeout", "The head of the request did not come in time"),
    414: ("uri_too_long", "The URL is too long"),
    431: ("headers_too_large", "The head of the request is too large"),
    503: ("too_many_connections", "The server has as many connections as it may"),
}
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """What a client may make the server wait for and hold.

    Parameters:
        header_timeout: seconds from the first byte of a request (or the connection) to the end of its head.
        header_bytes: most bytes of a head, request line included.
        header_count: most header lines; trailers are bounded likewise.
        url_bytes: longest URL.
        max_connections: most connections at a time, None without a limit.
    """

    header_timeout: float = 10.0
    header_bytes: int = 128 * 1024
    header_count: int = 100
    url_bytes: int = 8 * 1024
    max_connections: int | None = None


class _Refused(Exception):
    """Ends parsing from inside a callback of the parser."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Trailers:
    """Request trailers, valid once the body is complete."""

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []

    def read(self) -> list[tuple[bytes, bytes]]:
        """The fields in order, names in lower case."""
        return list(self._fields)

    def add(self, name: bytes, value: bytes) -> None:
        """Take one field."""
        self._fields.append((name, value))


class NativeBody:
    """The body of one request, straight from the parser: a `ByteStream` without copies."""

    __slots__ = ("_cycle", "_interrupted", "_timer", "_waiter", "_want", "end", "idle_timeout")

    def __init__(self, cycle: UploadCycle) -> None:
        self._cycle = cycle
        self._waiter: asyncio.Future[None] | None = None
        self._timer: TimerHandle | None = None
        self._want = 0
        self._interrupted: BodyEnd | None = None
        self.end: BodyEnd | None = None
        self.idle_timeout = 30.0

    async def read(self, want: int, wait: float) -> list[bytes]:
        cycle = self._cycle
        cycle.continue_once()
        if self._short_of(1):
            await self._wait(1, self.idle_timeout)
            if self._short_of(1):
                self._interrupted = BodyEnd.STALLED
        if wait > 0 and self._short_of(want):
            await self._wait(want, wait)
        chunks = list(cycle.chunks)
        cycle.chunks.clear()
        cycle.queued = 0
        if chunks:
            if self._interrupted is None:
                cycle.flow.resume_reading()
        else:
            self.end = self._why()
        return chunks

    def interrupt(self) -> None:
        if self._interrupted is None and self._open():
            self._interrupted = BodyEnd.INTERRUPTED
            self._cycle.flow.pause_reading()
            self.notify()

    def notify(self) -> None:
        """Wake the reader if what it waits for is there."""
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (self._cycle.queued >= self._want or not self._open()):
            waiter.set_result(None)

    def _short_of(self, want: int) -> bool:
        return self._cycle.queued < want and self._open()

    def _open(self) -> bool:
        return self._cycle.more_body and not self._cycle.disconnected and self._interrupted is None

    def _why(self) -> BodyEnd:
        if self._interrupted is not None:
            return self._interrupted
        return BodyEnd.CUT if self._cycle.more_body else BodyEnd.COMPLETE

    async def _wait(self, want: int, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self._want = want
        self._waiter = waiter = loop.create_future()
        self._cycle.flow.resume_reading()
        timer = loop.call_later(timeout, _resolve, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Informational:
    """Sends interim (1xx) responses of one request."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: UploadCycle) -> None:
        self._cycle = cycle

    async def __call__(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send one, unless the final response has begun or the client speaks HTTP/1.0 (RFC 9110 section 15.2).

        Raises:
            ValueError: not a 1xx status, or a field that HTTP does not allow.
        """
        if not 100 <= status < 200 or status == 101:
            raise ValueError("an interim response has a status from 100 to 199, and not 101")
        lines = [b"HTTP/1.1 %d %s\r\n" % (status, b"Upload Resumption Supported" if status == 104 else b"Interim")]
        for name, value in headers:
            if _TOKEN.fullmatch(name) is None or _BAD_VALUE.search(value):
                raise ValueError("a field of an interim response has a name or value that HTTP does not allow")
            lines.append(b"%s: %s\r\n" % (name, value))
        cycle = self._cycle
        if not cycle.response_started and not cycle.disconnected and cycle.scope["http_version"] != "1.0":
            cycle.transport.write(b"".join([*lines, b"\r\n"]))


class UploadCycle(RequestResponseCycle):
    """One request and its response: a queue of chunks instead of one growing buffer."""

    chunks: deque[bytes]
    queued: int
    arrived: int
    length: int | None
    native: NativeBody | None
    refuse_rest: Callable[[], None]
    told_end: bool

    def prepare(self, trailers: Trailers, length: int | None, refuse_rest: Callable[[], None]) -> None:
        """Set up what our own protocol adds to the scope.

        Parameters:
            trailers: fills while the body arrives.
            length: of the body in bytes, None when it is chunked.
            refuse_rest: ends the connection without losing the answer that has just been written.
        """
        self.chunks = deque()
        self.queued = 0
        self.length = length
        self.arrived = 0
        self.told_end = False
        self.refuse_rest = refuse_rest
        self.native = NativeBody(self)
        extensions: Any = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = self.native
        extensions["http.request.trailers"] = trailers
        extensions["http.response.informational"] = {"send": Informational(self)}

    def continue_once(self) -> None:
        """Tell a client that waits for it to send the body, when somebody is about to read."""
        if self.waiting_for_100_continue and not self.transport.is_closing() and not self.response_started:
            self.waiting_for_100_continue = False
            if self.scope["http_version"] != "1.0":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def feed(self, chunk: bytes) -> None:
        """Queue one chunk of the body."""
        self.arrived += len(chunk)
        if self.response_complete:
            return
        self.chunks.append(chunk)
        self.queued += len(chunk)
        if self.queued > HIGH_WATER:
            self.flow.pause_reading()
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits for the body."""
        self.message_event.set()
        if self.native is not None:
            self.native.notify()

    async def run_asgi(self, app: Any) -> None:
        try:
            await super().run_asgi(app)
        finally:
            # The scope knows the body and the body the cycle: a circle that only the collector would find.
            self.native = None
            self.scope.get("extensions", {}).clear()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start" and self._rest_is_long():
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not last or not self.more_body or self.waiting_for_100_continue:
            await super().send(message)
            return
        # The client is still sending: closing now would reset the connection before it has read the answer.
        closing = not self.keep_alive
        self.keep_alive = True
        await super().send(message)
        self.chunks.clear()
        self.queued = 0
        if closing and self.response_complete:
            self.refuse_rest()

    def _rest_is_long(self) -> bool:
        if not self.more_body:
            return False
        return self.length is None or self.length - self.arrived > DRAIN_BYTES

    async def receive(self) -> Any:
        self.continue_once()
        while not self.queued and self.more_body and not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.response_complete or (self.disconnected and not self.queued and self.more_body):
            return {"type": "http.disconnect"}
        if not self.queued and not self.more_body and self.told_end:
            await self._gone()
            return {"type": "http.disconnect"}
        body = b"".join(self.chunks)
        self.chunks.clear()
        self.queued = 0
        more = self.more_body
        self.told_end = not more
        return {"type": "http.request", "body": body, "more_body": more}

    async def _gone(self) -> None:
        while not self.disconnected and not self.response_complete:
            await self.message_event.wait()
            self.message_event.clear()


class TusfleetHttpProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with what resumable uploads need."""

    cycle: Any  # None before the first request, then an UploadCycle
    limits = ProtocolLimits()
    connections_gauge: Callable[[int], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: TimerHandle | None = None
        self._head_bytes = 0
        self._field_bytes = 0
        self._discarded = 0
        self._in_head = True
        self._begun = False
        self._broken = False
        self._trailers = Trailers()
        self._trailer_count = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if self.connections_gauge is not None:
            type(self).connections_gauge(1)  # type: ignore[misc]
        if self.limits.max_connections is not None and len(self.connections) > self.limits.max_connections:
            self.refuse(503, "Try again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._unset_keepalive_if_required()
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        super().connection_lost(exc)
        if isinstance(self.cycle, UploadCycle):
            self.cycle.notify()
        if self.connections_gauge is not None:
            type(self).connections_gauge(-1)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        if self._broken:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.close()
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, _Refused):
                raise
            self.refuse(reason.status, reason.detail)
        except httptools.HttpParserUpgrade:
            # An offer to switch protocols may be ignored (RFC 9110 section 7.8), but the parser stops behind it.
            if self.cycle.length:
                self.refuse(400, "This server does not switch protocols; leave the Upgrade header out")
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(400, "This is not a well-formed HTTP/1.1 request")
        else:
            if self._begun and self._head_bytes > self.limits.header_bytes:
                self.refuse(431, f"The head of a request may have {self.limits.header_bytes} bytes")
            elif self._begun and self._head_timer is None:
                self._await_head()

    def refuse(self, status: int, detail: str) -> None:
        """Answer what cannot be understood, and end the connection; a body under way counts as cut."""
        self._broken = True
        self._head_arrived()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            # Somebody is answering already: another answer would be taken for the next one's.
            cycle.disconnected = True
            cycle.notify() if isinstance(cycle, UploadCycle) else cycle.message_event.set()
            self.transport.close()
            return
        code, title = TITLES[status]
        body = json.dumps(
            {"type": f"urn:tusfleet:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
        ).encode()
        self.transport.write(
            b"".join(
                [
                    STATUS_LINE[status],
                    b"content-type: application/problem+json\r\ntus-resumable: 1.0.0\r\nconnection: close\r\n",
                    b"content-length: %d\r\n\r\n" % len(body),
                    body,
                ]
            )
        )
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._begun = True
        self._head_bytes = 0
        self._field_bytes = 0
        self._trailers = Trailers()
        self._trailer_count = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            raise _Refused(414, f"A URL may have {self.limits.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if _TOKEN.fullmatch(name) is None or _BAD_VALUE.search(value):
            raise _Refused(400, "A header has a name or value that HTTP does not allow")
        if self._in_head:
            super().on_header(name, value)
            self._field_bytes += len(name) + len(value) + 4
            if len(self.headers) > self.limits.header_count:
                raise _Refused(431, f"A request may have {self.limits.header_count} header lines")
            if self._field_bytes > self.limits.header_bytes:
                raise _Refused(431, f"The head of a request may have {self.limits.header_bytes} bytes")
            return
        self._trailer_count += len(name) + len(value)
        if self._trailer_count > self.limits.header_bytes or len(self._trailers.read()) >= self.limits.header_count:
            raise _Refused(431, "The trailers of the request are too large")
        self._trailers.add(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._begun = False
        self._head_arrived()
        version = self.parser.get_http_version()
        length = _framing(self.headers, version)
        self._complete_scope(version)
        previous = self.cycle
        cycle = UploadCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cycle.prepare(self._trailers, length, self._linger)
        self.cycle = cycle
        if previous is None or previous.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _complete_scope(self, version: str) -> None:
        scope: Any = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        try:
            url = httptools.parse_url(self.url)
            raw_path = url.path or b"/"
            path = raw_path.decode("ascii")
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            raise _Refused(400, "The URL of the request is malformed") from None
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        self.cycle.feed(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        cycle = self.cycle
        cycle.more_body = False
        cycle.notify()

    def _linger(self) -> None:
        """End the connection after an early answer: no more is written, what still comes is thrown away for a while."""
        self._broken = True
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._head_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.header_timeout, self._head_late)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # the next request may take its time while this one is answered
        elif not self.transport.is_closing():
            self.refuse(408, f"The head of a request has to come within {self.limits.header_timeout:g} s")


def _framing(headers: list[tuple[bytes, bytes]], version: str) -> int | None:
    """The length of the body, None when it is chunked.

    Refuses a head that two servers in a row could frame differently (RFC 9112 section 6).
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    hosts = sum(1 for name, _ in headers if name == b"host")
    if lengths and codings:
        raise _Refused(400, "Content-Length and Transfer-Encoding cannot go together")
    if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0].strip()) is None):
        raise _Refused(400, "Content-Length must stand once, as plain digits")
    if len(codings) > 1 or (codings and (codings[0].strip().lower() != b"chunked" or version != "1.1")):
        raise _Refused(400, "Transfer-Encoding may only be chunked, in HTTP/1.1")
    if version == "1.1" and hosts != 1:
        raise _Refused(400, "An HTTP/1.1 request has exactly one Host header")
    if codings:
        return None
    return int(lengths[0]) if lengths else 0


def configured_protocol(
    limits: ProtocolLimits, connections_gauge: Callable[[int], None] | None = None
) -> type[TusfleetHttpProtocol]:
    """The protocol class with limits of its own, and somebody who is told of every connection (+1, -1)."""
    gauge = None if connections_gauge is None else staticmethod(connections_gauge)
    return type("TusfleetHttpProtocol", (TusfleetHttpProtocol,), {"limits": limits, "connections_gauge": gauge})
