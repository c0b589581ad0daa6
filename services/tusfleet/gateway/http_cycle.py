"""One request and its answer: what an ASGI application is given, and how what it sends reaches the wire."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.server import ServerState

from tusfleet.gateway.body import EXTENSION
from tusfleet.gateway.http_answer import Answer, Framing, field_lines
from tusfleet.gateway.http_body import NativeBody, Trailers
from tusfleet.gateway.http_flow import Flow
from tusfleet.gateway.http_framing import Fields, problem
from tusfleet.gateway.http_sendfile import AVAILABLE, FileEnded, send_file
from tusfleet.gateway.replies import TELL

DRAIN_BYTES = 256 * 1024
"""A rest of a refused body up to this is read and thrown away, and the connection stays usable."""

UPLOAD_RESUMPTION_SUPPORTED = 104
"""The interim status of the IETF draft; Python does not know its phrase."""

ZEROCOPY = "http.response.zerocopysend"
"""The ASGI extension by which an application sends a part of a file."""

Message = dict[str, Any]

logger = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What a request needs to know of its connection."""

    flow: Flow
    server_state: ServerState

    def answered(self, cycle: UploadCycle) -> None:
        """The answer of `cycle` is written."""

    def count(self, body: NativeBody) -> None:
        """A body has ended, with or without an answer."""


class UploadCycle:
    """One request and its answer.

    Parameters:
        connection: on which it came.
        scope: of the request (ASGI); the extensions are added to it.
        body: of the request.
        trailers: fills while the body arrives.
        keep_alive: whether the client keeps the connection.
        plain: whether the connection is not encrypted, so that files may go past Python.
    """

    __slots__ = ("_connection", "_told_end", "_told_gone", "answer", "body", "complete", "lost", "scope")

    def __init__(
        self, connection: Connection, scope: Any, body: NativeBody, trailers: Trailers, *, keep_alive: bool, plain: bool
    ) -> None:
        self._connection = connection
        self._told_end = False
        self._told_gone = False
        self.scope: Any = scope
        self.body = body
        self.answer = Answer(scope["method"], http10=scope["http_version"] == "1.0", keep_alive=keep_alive)
        self.lost = False
        self.complete = False
        extensions: dict[str, object] = {
            EXTENSION: body,
            "http.request.trailers": trailers,
            "http.response.informational": {"send": self.inform},
        }
        if plain and AVAILABLE:
            extensions[ZEROCOPY] = {}
        scope["extensions"] = extensions

    async def run(self, app: Any) -> None:
        """Have `app` answer; the client gets an answer or the end of the connection, whatever happens in there."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._connection.flow.close()
            raise
        except Exception:
            logger.exception("Exception in ASGI application")
            await self._fail()
        else:
            if self._told_gone and not self.complete:
                self._connection.flow.close()  # nobody is there to be answered
            elif not self.complete and not self.lost:
                logger.error("ASGI callable returned without completing its response")
                await self._fail()
        finally:
            self.body.drop()
            self._connection.count(self.body)
            # The scope knows this object by its extensions: a circle that only the collector would find.
            self.scope = None

    async def _fail(self) -> None:
        if self.complete or self.lost:
            return
        if self.answer.sent:
            self._abort()
            return
        answer = self.answer
        self.answer = Answer(answer.method, http10=answer.http10, keep_alive=False)
        headers, body = problem(500, "Try again later; the log of the server says more")
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        """The next message of the request (ASGI)."""
        body = self.body
        if self._told_end:
            await body.gone()
        else:
            await body.first()
        chunks = body.take()
        if self._told_end or self.complete or (not chunks and body.more):
            self._told_gone = True
            return {"type": "http.disconnect"}  # answered, gone, or silent for too long
        self._told_end = not body.more
        return {"type": "http.request", "body": b"".join(chunks), "more_body": body.more}

    async def inform(self, status: int, headers: Fields) -> None:
        """Send an interim answer, unless the final one has begun or the client speaks HTTP/1.0 (RFC 9110 section 15.2).

        Raises:
            ValueError: not a 1xx status.
            RuntimeError: a field that HTTP does not allow.
        """
        if not 100 <= status < 200 or status == 101:
            raise ValueError("an interim response has a status from 100 to 199, and not 101")
        phrase = b"Upload Resumption Supported" if status == UPLOAD_RESUMPTION_SUPPORTED else b"Interim"
        lines = [b"HTTP/1.1 %d %s\r\n" % (status, phrase), *field_lines(headers), b"\r\n"]
        if not self.answer.started and not self.lost and not self.answer.http10:
            self._connection.flow.transport.write(b"".join(lines))

    async def send(self, message: Message) -> None:
        """Take the next message of the answer (ASGI).

        Raises:
            RuntimeError: it is not the turn of this message, or it does not keep to the Content-Length.
        """
        flow = self._connection.flow
        if flow.write_paused:
            await flow.drain()
        if self.lost:
            return
        kind = message["type"]
        if not self.answer.started and kind == "http.response.start":
            self._start(message)
        elif not self.answer.started or self.complete:
            raise RuntimeError(f"It is not the turn of {kind}")
        elif kind == "http.response.body":
            more = message.get("more_body", False)
            self._write(self.answer.piece(message.get("body", b""), more=more), more=more)
        elif kind == ZEROCOPY:
            await self._send_file(message)
        else:
            raise RuntimeError(f"This server does not know the message {kind}")

    def _start(self, message: Message) -> None:
        left = self.body.left
        if left is None or left > DRAIN_BYTES or (left and (self.body.expects or self.body.broken)):
            # So much is not thrown away, and a client that asked may send the body now or leave it out.
            self.answer.keep_alive = False
        self.body.expects = False
        self.answer.start(message["status"], self._connection.server_state.default_headers, message.get("headers", ()))

    async def _send_file(self, message: Message) -> None:
        file, count = message["file"], message["count"]
        descriptor = file if isinstance(file, int) else file.fileno()
        answer = self.answer
        if answer.framing is Framing.NONE:
            count = 0
        answer.count(count)
        output = answer.head(None)
        chunked = answer.framing is Framing.CHUNKED
        if chunked and count:
            output.append(b"%x\r\n" % count)
        self._write(output, more=True)
        tell = message.get(TELL, _nobody)
        if count and not await self._sent(descriptor, message.get("offset", 0), count, tell):
            return
        more = message.get("more_body", False)
        rest = [b"\r\n"] if chunked and count else []
        self._write([*rest, *answer.piece(b"", more=more)], more=more)

    async def _sent(self, descriptor: int, offset: int, count: int, tell: Callable[[int], object]) -> bool:
        flow = self._connection.flow
        try:
            await send_file(flow, descriptor, offset, count, tell)
        except FileEnded:
            # Whatever came now would be taken for bytes of the file.
            logger.warning("A file ended before the bytes that were promised of it")
            self._abort()
        if flow.transport.is_closing():
            self.lost = True  # its client has hung up, and the transport is about to tell so
        return not self.lost

    def _abort(self) -> None:
        self.lost = True
        self._connection.flow.transport.abort()

    def _write(self, output: list[bytes], *, more: bool) -> None:
        if output:
            self._connection.flow.transport.write(b"".join(output))
        if not more:
            self.complete = True
            self.body.drop()
            self._connection.answered(self)


def _nobody(size: int) -> None:
    """Nobody wants to know."""
