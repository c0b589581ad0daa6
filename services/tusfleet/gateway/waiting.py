"""What a server answers while a store that it cannot do without is not there yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import generate_latest

from tusfleet.gateway.health import HealthPages
from tusfleet.gateway.replies import send_problem
from tusfleet.observability.logs import LOGGER
from tusfleet.observability.metrics import Metrics
from tusfleet.protocols.tus import RESUMABLE
from tusfleet.settings import SettingsError
from tusfleet.uploads.errors import Unavailable, UploadError

logger = logging.getLogger(LOGGER)

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0
"""Seconds before the store is looked for again; the pause doubles from the first to the longest."""


class Waiting(HealthPages):
    """Says that the server lives and is not ready, and refuses everything else for now.

    Parameters:
        metrics: what is counted all the same.
        reason: why it waits.
    """

    def __init__(self, metrics: Metrics, reason: str) -> None:
        self._metrics = metrics
        self._reason = reason
        self._tell()

    async def trouble(self) -> str | None:
        return self._reason

    async def page(self) -> bytes:
        return await asyncio.to_thread(generate_latest, self._metrics.registry)

    async def refuse(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI
        """Answer a request that needs the store: 503 with Retry-After."""
        await send_problem(send, Unavailable(self._reason), [RESUMABLE], method=scope["method"])

    async def until(self, opened: Callable[[], Awaitable[None]]) -> None:
        """Call `opened` again and again, until it does not fail. What it says may change meanwhile; it is told then."""
        pause = FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                await opened()
            except (UploadError, SettingsError) as error:
                reason = error.detail if isinstance(error, UploadError) else str(error)
            except Exception:
                logger.exception("The stores cannot be opened because of a defect; it is tried again")
                continue
            else:
                logger.info("Every store is there; the server takes uploads from now on")
                return
            if reason != self._reason:
                self._reason = reason
                self._tell()

    def _tell(self) -> None:
        logger.warning("%s; requests are answered 503 until it can be used", self._reason)
