"""An application that is loaded when somebody first asks for it, so that a start need not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tusfleet.gateway.dispatch import Application


class OnDemand:
    """An ASGI application, made by the first request in a thread, since that takes half a second.

    Parameters:
        make: gives it; called again by the next request after it has failed.
    """

    def __init__(self, make: Callable[[], Application]) -> None:
        self._make = make
        self._application: Application | None = None
        self._making: asyncio.Task[Application] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if self._application is None:
            self._application = await self._made()
        await self._application(scope, receive, send)

    async def _made(self) -> Application:
        making = self._making
        if making is None:
            making = self._making = asyncio.create_task(asyncio.to_thread(self._make))
        try:
            # A client that hangs up does not take it from the others.
            return await asyncio.shield(making)
        finally:
            if making.done():
                self._making = None
