"""Passes one request after the other on to the API server, and gives each its faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from tests.testbed.api_requests import ApiRequest
from tests.testbed.api_rules import ApiRule, CutWatch, Delay, Hold, LoseReply, Refuse, Reset, WatchError
from tests.testbed.kube_access import Access

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}
"""Header fields that each side sets for itself (RFC 9110, section 7.6.1)."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER switched on, with no time: closing the socket resets the connection."""

_HALF_AN_EVENT = b'{"type":"MODIFIED","object":{"kind":'

Note = Callable[[ApiRequest], list[ApiRule]]


class Cut(Exception):
    """The client's connection is to be reset."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Forwarding:
    """The way to the API server; everything of it happens in the proxy's loop, but `hush`."""

    def __init__(self, upstream: Access, note: Note) -> None:
        self._upstream, self._note = upstream, note
        self._session: aiohttp.ClientSession
        self._open: dict[ApiRequest, web.Request] = {}
        self._exchanges: set[asyncio.Task[_Answer]] = set()
        self._speaks = asyncio.Event()
        self._speaks.set()

    async def start(self) -> None:
        """Open the way."""
        tls = self._upstream.tls()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )

    async def stop(self) -> None:
        """Give up what is still on its way."""
        for task in self._exchanges:
            task.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        await self._session.close()

    def hush(self) -> None:
        """Let nothing pass."""
        self._speaks.clear()

    def speak(self) -> None:
        """Let all of it pass that waited."""
        self._speaks.set()

    def reset_streams(self) -> int:
        """Reset every watch; gives how many."""
        streams = [request for seen, request in self._open.items() if seen.streams]
        for request in streams:
            reset(request.transport)
        return len(streams)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = ApiRequest(request.method, request.path, dict(request.query), headers, body, time.monotonic())
        self._open[seen] = request
        rules = self._note(seen)
        try:
            return await self._answer(request, seen, rules)
        except (Cut, aiohttp.ClientError):
            # The client sees what it would have seen of a server that broke off.
            reset(request.transport)
            return web.Response()
        finally:
            del self._open[seen]
            seen.ended = time.monotonic()

    async def _answer(self, request: web.Request, seen: ApiRequest, rules: list[ApiRule]) -> web.StreamResponse:
        if seen.streams:
            return await self._stream(request, seen, rules)
        exchange = asyncio.create_task(self._exchange(request.raw_path, seen, rules))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        # It is done to its end, also when its client goes away meanwhile.
        answer = await asyncio.shield(exchange)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _exchange(self, path: str, seen: ApiRequest, rules: list[ApiRule]) -> _Answer:
        """One request and its answer, with the faults that happen to it. Raises Cut."""
        await self._speaks.wait()
        if refused := await _before(seen, rules):
            return refused
        async with self._ask(path, seen) as answer:
            got = _Answer(answer.status, _kept(answer.headers.items()), await answer.read())
        await self._speaks.wait()
        got = await _after(seen, rules) or got
        seen.status = got.status
        return got

    async def _stream(self, request: web.Request, seen: ApiRequest, rules: list[ApiRule]) -> web.StreamResponse:
        """An answer that goes on until one side ends it, or a fault does. Raises Cut."""
        await self._speaks.wait()
        if refused := await _before(seen, rules):
            return web.Response(status=refused.status, headers=refused.headers, body=refused.body)
        async with self._ask(request.raw_path, seen) as answer:
            seen.status = answer.status
            response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers.items()))
            response.enable_chunked_encoding()
            await response.prepare(request)
            if await _ends(response, seen, rules):
                return response
            async for line in _lines(answer.content):
                await self._speaks.wait()
                await response.write(line)
                seen.events += 1
                if await _ends(response, seen, rules):
                    break
        return response

    def _ask(self, path: str, seen: ApiRequest) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            seen.method,
            URL(self._upstream.server + path, encoded=True),
            headers=_kept(seen.headers.items()),
            data=seen.body or None,
            allow_redirects=False,
        )


async def _before(seen: ApiRequest, rules: list[ApiRule]) -> _Answer | None:
    """What happens before anything is forwarded; gives the answer, if there is one already. Raises Cut."""
    for rule in rules:
        match rule.fault:
            case Delay(seconds):
                rule.strike(seen)
                await asyncio.sleep(seconds)
            case Hold("before"):
                rule.strike(seen)
                await rule.released()
            case Reset():
                rule.strike(seen)
                raise Cut
            case Refuse(after_success=False) as refusal:
                rule.strike(seen)
                seen.status = refusal.code
                return _refused(refusal)
    return None


async def _after(seen: ApiRequest, rules: list[ApiRule]) -> _Answer | None:
    """What happens when the server has answered; gives another answer in its place. Raises Cut when it is lost."""
    for rule in rules:
        match rule.fault:
            case Hold("after"):
                rule.strike(seen)
                await rule.released()
            case LoseReply():
                rule.strike(seen)
                raise Cut
            case Refuse(after_success=True) as refusal:
                rule.strike(seen)
                return _refused(refusal)
    return None


async def _ends(response: web.StreamResponse, seen: ApiRequest, rules: list[ApiRule]) -> bool:
    """Whether a fault ends the watch here; what the client sees of that is written. Raises Cut."""
    for rule in rules:
        match rule.fault:
            case CutWatch(after, cleanly) if seen.events >= after:
                rule.strike(seen)
                if not cleanly:
                    await response.write(_HALF_AN_EVENT)
                    raise Cut
                return True
            case WatchError(after, error) if seen.events >= after:
                rule.strike(seen)
                await response.write(b'{"type":"ERROR","object":' + error.status() + b"}\n")
                return True
    return False


def _refused(refusal: Refuse) -> _Answer:
    headers = {"Content-Type": "application/json"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    return _Answer(refusal.code, headers, refusal.status())


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of an answer, however long they are, each as soon as it is whole."""
    rest = b""
    async for piece in stream.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _kept(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in fields if name.lower() not in _OF_ONE_CONNECTION}


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Reset the client's connection, if it is still there."""
    if not isinstance(transport, asyncio.WriteTransport):
        return
    # One whose TLS is through has none any more.
    if (connection := transport.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
