"""One connection of a client to the S3 proxy, and the one behind it to the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from xml.sax.saxutils import escape

from tests.testbed.http_messages import (
    PIECE_BYTES,
    Broken,
    Head,
    ends_with_connection,
    read_head,
    request_body,
    response_body,
)
from tests.testbed.s3_faults import Corrupt, CutBody, Delay, Hold, LoseReply, Refuse, Rule
from tests.testbed.s3_operations import S3Request, request_of

EARLY_ANSWER_SECONDS = 5.0
"""A server that has answered before the body's end may take the rest for so long."""

CLOSE_SECONDS = 5.0
"""So long a connection that is closed may take to get rid of its last bytes."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER switched on, with no time: closing the socket resets the connection."""

Note = Callable[[S3Request], list[Rule]]


class Cut(Exception):
    """The client's connection is to be reset."""


class Connection:
    """Takes one request after the other, and gives each its faults."""

    def __init__(
        self, upstream_port: int, note: Note, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._upstream_port = upstream_port
        self._note = note
        self._reader, self._writer = reader, writer
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def serve(self) -> None:
        """Until one side ends it."""
        try:
            while (head := await read_head(self._reader)) is not None:
                if not await self._exchange(head):
                    break
        except (Broken, Cut, OSError):
            # The client sees what it would have seen of a server that broke off.
            with contextlib.suppress(OSError):
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writer.transport.abort()
        finally:
            await self._close()

    async def _close(self) -> None:
        writers = [self._writer, *(self._server or ())[1:]]
        try:
            for writer in writers:
                writer.close()
            for writer in writers:
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
        finally:
            # Who does not take the last bytes in time, or at all because the proxy ends, does without.
            for writer in writers:
                writer.transport.abort()

    async def _exchange(self, head: Head) -> bool:
        """One request and its answer; gives whether the connection can take another."""
        request = request_of(head)
        exchange = _Exchange(head, request, self._note(request))
        try:
            await exchange.before()
            if refusal := exchange.refusal(after_success=False):
                return await self._refuse(exchange, refusal)
            return await self._forward(exchange)
        finally:
            request.ended = time.monotonic()

    async def _refuse(self, exchange: _Exchange, refusal: Refuse) -> bool:
        # Who asks first whether to send the body does not send it then; everybody else has it on the way.
        unsent = "expect" in exchange.head.fields
        if not unsent:
            async for _ in request_body(self._reader, exchange.head):
                pass
        self._writer.write(exchange.error(refusal, closes=unsent))
        await self._writer.drain()
        return not unsent

    async def _forward(self, exchange: _Exchange) -> bool:
        reader, writer = await self._upstream()
        sending = asyncio.create_task(self._send(exchange, writer))
        answering = asyncio.create_task(self._answer(exchange, reader))
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                whole = await sending
                return await answering and whole
            keeps = await answering
            whole = await asyncio.wait_for(sending, EARLY_ANSWER_SECONDS)
            return keeps and whole
        except TimeoutError:
            return False
        finally:
            sending.cancel()
            answering.cancel()
            await asyncio.gather(sending, answering, return_exceptions=True)

    async def _upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server and self._server[0].at_eof():
            self._server[1].close()
            self._server = None
        if self._server is None:
            self._server = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=PIECE_BYTES)
        return self._server

    async def _send(self, exchange: _Exchange, writer: asyncio.StreamWriter) -> bool:
        """Forward the request; gives False when the server would not take all of it."""
        writer.write(exchange.head.raw)
        async for piece in exchange.body(request_body(self._reader, exchange.head)):
            try:
                writer.write(piece)
                await writer.drain()
            except OSError:
                return False
            exchange.request.forwarded += len(piece)
        exchange.check_cut()
        return True

    async def _answer(self, exchange: _Exchange, reader: asyncio.StreamReader) -> bool:
        """Forward the answer, as far as the client may have it; gives whether the connections can take another."""
        while (head := await self._answer_head(reader)).status < 200:
            self._writer.write(head.raw)
            await self._writer.drain()
        body = response_body(reader, head, exchange.request.method)
        if exchange.keeps_answer_back():
            # Nothing of it may be on its way before the server is through with it.
            held = b"".join([piece async for piece in body])
            await exchange.after()
            if refusal := exchange.refusal(after_success=True):
                self._writer.write(exchange.error(refusal))
                await self._writer.drain()
                return True
            body = _one(held)
        exchange.request.status = head.status
        self._writer.write(head.raw)
        async for piece in body:
            self._writer.write(piece)
            await self._writer.drain()
        await self._writer.drain()
        return not (exchange.head.closes or ends_with_connection(head, exchange.request.method))

    async def _answer_head(self, reader: asyncio.StreamReader) -> Head:
        head = await read_head(reader)
        if head is None:
            raise Broken("the server ended before it answered")
        return head


class _Exchange:
    """A request with the faults that happen to it."""

    def __init__(self, head: Head, request: S3Request, rules: list[Rule]) -> None:
        self.head, self.request, self._rules = head, request, rules

    async def before(self) -> None:
        """What happens before anything is forwarded."""
        for rule in self._rules:
            match rule.fault:
                case Delay(seconds):
                    self._strike(rule)
                    await asyncio.sleep(seconds)
                case Hold("before"):
                    self._strike(rule)
                    await rule.released()

    async def body(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces as they go on. Raises Cut where the body is to be cut."""
        self.check_cut()
        start = 0
        async for piece in pieces:
            end = start + len(piece)
            for rule in self._rules:
                match rule.fault:
                    case Corrupt(position):
                        at = (self.head.length or self.request.size) // 2 if position is None else position
                        if start <= at < end:
                            self._strike(rule)
                            piece = piece[: at - start] + bytes([piece[at - start] ^ 0xFF]) + piece[at - start + 1 :]
                    case CutBody(after) if start <= after < end:
                        piece = piece[: after - start]
            yield piece
            self.check_cut()
            start = end

    def check_cut(self) -> None:
        """Raises Cut when as much of the body as may has gone on."""
        for rule in self._rules:
            if isinstance(rule.fault, CutBody) and self.request.forwarded >= rule.fault.after:
                self._strike(rule)
                raise Cut

    def keeps_answer_back(self) -> bool:
        """Whether a fault happens when the server has answered."""
        return any(
            isinstance(rule.fault, LoseReply)
            or (isinstance(rule.fault, Refuse) and rule.fault.after_success)
            or (isinstance(rule.fault, Hold) and rule.fault.when == "after")
            for rule in self._rules
        )

    async def after(self) -> None:
        """What happens when the server has answered. Raises Cut when the answer is lost."""
        for rule in self._rules:
            match rule.fault:
                case Hold("after"):
                    self._strike(rule)
                    await rule.released()
                case LoseReply():
                    self._strike(rule)
                    raise Cut

    def refusal(self, *, after_success: bool) -> Refuse | None:
        """The error that the client gets, if any."""
        for rule in self._rules:
            if isinstance(rule.fault, Refuse) and rule.fault.after_success == after_success:
                self._strike(rule)
                return rule.fault
        return None

    def error(self, refusal: Refuse, *, closes: bool = False) -> bytes:
        """The answer that tells the error."""
        self.request.status = refusal.status
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{refusal.code}</Code><Message>told by the proxy of the tests</Message>"
            f"<Resource>{escape(self.head.words[1])}</Resource><RequestId>testbed</RequestId></Error>"
        ).encode()
        lines = [f"HTTP/1.1 {refusal.status} {refusal.code}", "Content-Type: application/xml"]
        lines.append(f"Content-Length: {len(body)}")
        if refusal.retry_after is not None:
            lines.append(f"Retry-After: {refusal.retry_after}")
        if closes:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if self.request.method == "HEAD" else body)

    def _strike(self, rule: Rule) -> None:
        self.request.fault = type(rule.fault).__name__
        rule.struck.append(self.request)


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
