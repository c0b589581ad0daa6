"""The upload endpoint: a plain ASGI application that turns requests into intents and outcomes into answers."""

from __future__ import annotations

import logging
import os
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from tusfleet.gateway.auth import ANYBODY, AccessRequest, Authorise, ask, everybody
from tusfleet.gateway.body import request_body
from tusfleet.gateway.cors import Cors
from tusfleet.gateway.downloads import Download as Answer
from tusfleet.gateway.downloads import prepare, redirected, shown_as
from tusfleet.gateway.forwarded import ClientView, ProxyTrust
from tusfleet.gateway.replies import TELL, Send, send_head, send_problem
from tusfleet.observability.logs import LOGGER, request_id
from tusfleet.observability.metrics import METHODS
from tusfleet.protocols.base import Capabilities, Head, Headers, Reply, UploadProtocol, first
from tusfleet.protocols.tus import overridden, parse_checksum
from tusfleet.uploads.append import append
from tusfleet.uploads.context import Context
from tusfleet.uploads.create import create
from tusfleet.uploads.errors import (
    InternalError,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    StoreFull,
    Unavailable,
    UploadError,
)
from tusfleet.uploads.inspect import inspect, peek, reading
from tusfleet.uploads.intents import Append, Checksum, Create, Discover, Download, Inspect, Intent, Terminate
from tusfleet.uploads.models import Principal, State, Upload, valid_id
from tusfleet.uploads.ports import Content, Redirecting
from tusfleet.uploads.terminate import terminate

Receive = Callable[[], Awaitable[dict[str, Any]]]

logger = logging.getLogger(LOGGER)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# Request ids are no secret, and a system call for each would take longer than all else about them.
_IDS = random.Random()
os.register_at_fork(after_in_child=_IDS.seed)

ACTIONS = {Create: "create", Append: "append", Inspect: "inspect", Terminate: "terminate", Download: "download"}
"""What the authoriser is told that a request wants to do."""


@dataclass(frozen=True, slots=True)
class EndpointRules:
    """How this endpoint answers.

    Parameters:
        base_path: path of the collection below the mount point, without a slash at its end.
        location: auto, absolute, relative, or a base URL.
        downloads: off, finished, any or redirect.
        presigned_seconds: how long the URL of a redirect is good for.
        inline_types: media types a browser may show in place.
        body_idle_timeout: longest pause inside a body, in seconds.
    """

    base_path: str = ""
    location: str = "auto"
    downloads: str = "finished"
    presigned_seconds: int = 900
    inline_types: frozenset[str] = frozenset()
    body_idle_timeout: float = 30.0


class _Request(NamedTuple):
    scope: Any
    receive: Receive
    send: Send
    id: str
    view: ClientView
    collection: str  # as it stands in URLs
    resource: str | None
    known: bool
    protocol: UploadProtocol
    common: list[tuple[bytes, bytes]]


class UploadEndpoint:
    """Uploads below one path, for any ASGI server.

    Parameters:
        context: what the use cases work with.
        protocols: how clients may speak; the first answers for requests that none of them claims.
        rules: how to answer.
        authorise: who may do what.
        trust: which proxies are believed.
        cors: which pages may use it.
    """

    def __init__(
        self,
        context: Context,
        protocols: Sequence[UploadProtocol],
        rules: EndpointRules,
        authorise: Authorise,
        trust: ProxyTrust,
        cors: Cors,
    ) -> None:
        self._context = context
        self._protocols = protocols
        self._rules = rules
        self._authorise = authorise
        self._trust = trust
        self._cors = cors
        base = urlsplit(rules.location)
        self._fixed = rules.location if base.netloc else None
        self._fixed_path = base.path.rstrip("/") if base.netloc else None
        self._fixed_host = base.netloc.lower() if base.netloc else None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = perf_counter()
        request = self._request(scope, receive, send)
        request_id.set(request.id)
        method = scope["method"]
        status = 500
        try:
            method = overridden(method, scope["headers"])
            status = await self._answer(request, method)
        except UploadError as error:
            status = await self._refuse(request, method, error)
            if isinstance(error, StoreFull | Unavailable):
                extra = {"reason": error.code, "upload_id": request.resource}
                logger.warning("%s: %s", error.title, error.detail, extra=extra)
        except Exception:
            # The edge: whatever went wrong, the client gets an answer and the log gets the reason.
            logger.exception("A request failed", extra={"method": method, "upload_id": request.resource})
            status = await self._refuse(request, method, InternalError())
        finally:
            seconds = perf_counter() - started
            self._context.metrics.answered(method, status, seconds)
            if logger.isEnabledFor(logging.INFO):
                logger.info(
                    "%s %d",
                    method if method in METHODS else "other",
                    status,
                    extra={
                        "upload_id": request.resource,
                        "client": request.view.client,
                        "milliseconds": round(seconds * 1000, 1),
                    },
                )

    def _request(self, scope: Any, receive: Receive, send: Send) -> _Request:
        collection = scope.get("root_path", "") + self._rules.base_path
        rest = scope["path"].removeprefix(collection)
        known = scope["path"].startswith(collection) and (rest in {"", "/"} or (valid_id(rest[1:]) and rest[0] == "/"))
        resource = rest[1:] if known and len(rest) > 1 else None
        protocol = next((item for item in self._protocols if item.claims(scope["headers"])), self._protocols[0])
        id = _request_id(scope["headers"])
        common = [
            *protocol.always(),
            (b"x-request-id", id.encode()),
            *self._cors.headers(scope["headers"]),
            *self._cors.preflight(scope["method"], scope["headers"]),
        ]
        view = self._trust.view(scope)
        return _Request(scope, receive, send, id, view, _quoted(collection), resource, known, protocol, common)

    async def _refuse(self, request: _Request, method: str, error: UploadError) -> int:
        fields = [*request.protocol.refused(error), *request.common]
        if isinstance(error, MethodNotAllowed):
            fields.append((b"allow", self._allowed(request)))
        if isinstance(error, RangeNotSatisfiable):
            fields.append((b"content-range", b"bytes */%d" % (error.offset or 0)))
        await send_problem(request.send, error, fields, method=method)
        return error.status

    def _allowed(self, request: _Request) -> bytes:
        if request.resource is None:
            return b"OPTIONS, POST"
        get = b"" if self._rules.downloads == "off" else b"GET, "
        return b"OPTIONS, HEAD, " + get + b"PATCH, DELETE"

    async def _answer(self, request: _Request, method: str) -> int:
        if not request.known:
            raise NotFound("There is nothing at this path")
        intent = self._intent(request, method)
        if isinstance(intent, Discover):
            return await self._send(request, request.protocol.discovered(self._capabilities(request)))
        principal = await self._ask(request, intent)
        if isinstance(intent, Download):
            return await self._download(request, intent, principal)
        if isinstance(intent, Append):
            # Here, since a silent client would hold the frame of `_carry_out`.
            body = request_body(request.scope, request.receive, self._rules.body_idle_timeout)
            upload = await append(self._context, intent, body, principal, _trailer(request.scope))
            return await self._send(request, request.protocol.appended(upload))
        return await self._send(request, await self._carry_out(request, intent, principal))

    def _intent(self, request: _Request, method: str) -> Intent:
        if method == "GET" and request.resource is not None:
            return Download(request.resource)
        return request.protocol.parse(self._head(request, method))

    def _head(self, request: _Request, method: str) -> Head:
        collections = (request.collection,) if self._fixed_path is None else (request.collection, self._fixed_path)
        hosts = {host for host in (request.view.authority, self._fixed_host) if host is not None}
        return Head(
            method=method,
            headers=request.scope["headers"],
            resource=request.resource,
            collections=collections,
            # Behind a proxy that is not trusted the name of this host is not known: then the path has to do.
            authorities=None if request.view.doubtful else frozenset(hosts),
            trailers=_trailers(request.scope),
        )

    def _capabilities(self, request: _Request) -> Capabilities:
        context = self._context
        expires = context.policy.expire_after is not None
        return Capabilities(context.largest(declared=True), expires, _trailers(request.scope))

    async def _ask(self, request: _Request, intent: Intent) -> Principal:
        if self._authorise is everybody:
            return ANYBODY  # who is not looked at
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
        action = ACTIONS[type(intent)]
        asked = AccessRequest(action, request.resource, headers, request.view.client, intent)
        return await ask(self._authorise, asked)

    async def _carry_out(self, request: _Request, intent: Intent, principal: Principal) -> Reply:
        context, protocol = self._context, request.protocol
        match intent:
            case Create():
                body = request_body(request.scope, request.receive, self._rules.body_idle_timeout)
                upload = await create(context, intent, body, principal, _trailer(request.scope), protocol.name)
                location = self._location(request, upload.id)
                with_body = intent.body is not None and intent.body.acceptable
                return protocol.created(upload, location, with_body=with_body)
            case Inspect():
                return protocol.inspected(await inspect(context, intent, principal))
            case Terminate():
                await terminate(context, intent, principal)
                return protocol.terminated()
            case _:
                raise MethodNotAllowed

    async def _send(self, request: _Request, reply: Reply) -> int:
        await send_head(request.send, reply.status, [*reply.headers, *request.common])
        return reply.status

    def _location(self, request: _Request, id: str) -> str:
        if self._fixed is not None:
            return f"{self._fixed}/{id}"
        path = f"{request.collection}/{id}"
        view, mode = request.view, self._rules.location
        if mode == "relative" or view.authority is None or (mode == "auto" and view.doubtful):
            return path
        return f"{view.scheme}://{view.authority}{path}"

    async def _download(self, request: _Request, intent: Download, principal: Principal) -> int:
        if self._rules.downloads == "off":
            raise MethodNotAllowed("This server does not give uploads out")
        upload = await peek(self._context, intent.id, principal)
        if upload.state is not State.FINISHED and self._rules.downloads != "any":
            raise NotFound("The upload is not finished yet")
        answer = await self._redirect(upload)
        if answer is None:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
            answer = prepare(upload, headers, self._rules.inline_types)
        fields = [*answer.headers, *request.common]
        if answer.start == answer.stop:
            await send_head(request.send, answer.status, fields)
            return answer.status
        async with reading(self._context, upload, (answer.start, answer.stop)) as content:
            await request.send({"type": "http.response.start", "status": answer.status, "headers": fields})
            await _send_content(request, content, answer.start, answer.stop, self._context.metrics.bytes_sent.inc)
        return answer.status

    async def _redirect(self, upload: Upload) -> Answer | None:
        """The answer that sends the client to the storage; None when the bytes come from here."""
        data = self._context.data
        if self._rules.downloads != "redirect" or not isinstance(data, Redirecting):
            return None
        kind, disposition = shown_as(upload, self._rules.inline_types)
        seconds = self._rules.presigned_seconds
        return redirected(await data.presigned(upload, seconds=seconds, content_type=kind, disposition=disposition))


async def _send_content(
    request: _Request, content: Content, start: int, stop: int, tell: Callable[[int], object]
) -> None:
    file = content.fileno()
    if file is not None and "http.response.zerocopysend" in request.scope.get("extensions", {}):
        message = {"type": "http.response.zerocopysend", "file": file, "offset": start, "count": stop - start}
        await request.send({**message, "more_body": False, TELL: tell})
        return
    async for chunk in content.chunks(start, stop):
        await request.send({"type": "http.response.body", "body": chunk, "more_body": True})
        tell(len(chunk))
    await request.send({"type": "http.response.body", "body": b""})


@lru_cache(maxsize=64)
def _quoted(path: str) -> str:
    """A path as it stands in URLs; there is one of the collection, or one of each mount point."""
    return quote(path)


def _request_id(headers: Headers) -> str:
    """The id a proxy or client gave the request, when it can stand in a log line; otherwise a new one."""
    given = (first(headers, b"x-request-id") or b"").decode("latin-1")
    return given if given and _REQUEST_ID.fullmatch(given) else f"{_IDS.getrandbits(64):016x}"


def _trailers(scope: Any) -> bool:
    return "http.request.trailers" in scope.get("extensions", {})


def _trailer(scope: Any) -> Callable[[], Checksum | None]:
    """Read the checksum among the trailers, once the body is complete."""

    def read() -> Checksum | None:
        if not _trailers(scope):
            return None
        fields = scope["extensions"]["http.request.trailers"].read()
        values = [value for name, value in fields if name == b"upload-checksum"]
        return parse_checksum(values[0].decode("latin-1")) if values else None

    return read
