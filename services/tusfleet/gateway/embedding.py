"""The server as an ASGI application inside another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tusfleet.gateway.app import Service
from tusfleet.gateway.callables import (
    AuthoriseFunction,
    BeforeCreateFunction,
    Callables,
    EventFunction,
)
from tusfleet.settings import Settings, load


class EmbeddedUploads:
    """An ASGI application that answers for uploads below the path it is mounted at.

    It opens its stores at the first request, and closes them when the application around it uses `lifespan`:
    servers tell the end of their life to the outermost application only.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._starting = asyncio.Lock()
        self._started = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self._started:
            await self.start()
        await self._service(scope, receive, send)

    async def start(self) -> None:
        """Open the stores and begin to sweep; safe to repeat.

        Raises:
            SettingsError: the data folder cannot be used.
            Unavailable: a store cannot be opened.
        """
        async with self._starting:
            if not self._started:
                await self._service.start()
                self._started = True

    async def stop(self) -> None:
        """Flush uploads under way and close the stores; safe to repeat."""
        async with self._starting:
            self._started = False
            self._service.drain()
            await self._service.stop()

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
