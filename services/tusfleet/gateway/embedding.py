"""The server as an ASGI application inside another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tusfleet.gateway.app import Service
from tusfleet.gateway.callables import (
    AuthoriseFunction,
    BeforeCreateFunction,
    Callables,
    EventFunction,
)
from tusfleet.gateway.replies import send_problem
from tusfleet.protocols.tus import RESUMABLE
from tusfleet.settings import Settings, load
from tusfleet.uploads.errors import Draining


class EmbeddedUploads:
    """An ASGI application that answers for uploads below the path it is mounted at.

    It opens its stores at the first request, and closes them when the application around it uses `lifespan`:
    servers tell the end of their life to the outermost application only. It lives on one event loop at a time.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = False
        self._running = 0
        self._on_no_loop()

    def _on_no_loop(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = asyncio.Lock()
        self._idle = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        # One that comes while they are being stopped may have waited for that, and must not start them again.
        if self._stopped or not await self._begun():
            await send_problem(send, Draining(), [RESUMABLE], method=scope["method"])
            return
        self._running += 1
        try:
            await self._service(scope, receive, send)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def start(self) -> None:
        """Open the stores and begin to sweep; safe to repeat.

        Raises:
            SettingsError: the data folder cannot be used.
            Unavailable: a store cannot be opened.
            RuntimeError: it runs on another event loop.
        """
        self._stopped = False
        await self._begun()

    async def _begun(self) -> bool:
        """Start them unless they run; False when they have been stopped meanwhile."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return True
        if self._loop is not None:
            raise RuntimeError(
                "These uploads were started on another event loop; "
                "a TestClient has one loop for all requests only inside of `with TestClient(app)`"
            )
        async with self._starting:
            if self._stopped:
                return False
            if self._loop is None:
                await self._service.start()
                self._loop = loop
        return True

    async def stop(self) -> None:
        """Flush uploads under way and close the stores; safe to repeat. Later requests are answered 503."""
        async with self._starting:
            self._stopped = True
            self._service.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._service.settings.drain_grace.total_seconds()):
                    while self._running:
                        self._idle.clear()
                        await self._idle.wait()
            await self._service.stop()
            self._on_no_loop()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 - FastAPI passes itself
        """Start and stop with the application around: `FastAPI(lifespan=uploads.lifespan)`."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def _live(self, receive: Any, send: Any) -> None:
        """Follow the life of the server, when this is the outermost application."""
        await receive()
        try:
            await self.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def asgi(
    settings: Settings | None = None,
    *,
    authorise: AuthoriseFunction | None = None,
    before_create: BeforeCreateFunction | None = None,
    on_finished: EventFunction | None = None,
    on_terminated: EventFunction | None = None,
) -> EmbeddedUploads:
    """An upload server to mount: `app.mount("/files", tusfleet.asgi(on_finished=store_row))`.

    Parameters:
        settings: every knob but the address; by default from the environment and the file it names.
        authorise: says who makes a request; raises `Unauthorised` or `Forbidden` to refuse.
        before_create: may refuse an upload by raising an `UploadError`, or give it another id, metadata or tenant.
        on_finished: is told of every finished upload, at least once, also after a restart.
        on_terminated: is told of every terminated upload, likewise.

    Functions may be synchronous (they run in a thread) or coroutine functions.

    Raises:
        SettingsError: a wrong value in the environment or the file.
    """
    service = Service(
        load().settings if settings is None else settings,
        Callables(authorise, before_create, on_finished, on_terminated),
        base_path="",
    )
    return EmbeddedUploads(service)
