"""Whether the server lives, whether it can take uploads, and what it counts."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tusfleet.gateway.crew import Crew
from tusfleet.uploads.context import Context
from tusfleet.uploads.errors import UploadError
from tusfleet.uploads.ports import Cautious

PROBE_SECONDS = 1.0
"""How long an answer of the stores is believed: probes write to the disk, and anybody may ask for readiness."""

PROBE_TIMEOUT = 5.0
"""Seconds a store has to answer before it counts as not there."""


HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class HealthPages(ABC):
    """Answers /healthz, /readyz and /metrics.

    `warning` is what an operator ought to change, though everything works; None when nothing is known.
    """

    warning: str | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - ASGI
        """Answer one request."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(scope, send, 405, b"", b"text/plain", [(b"allow", b"GET, HEAD")])
        elif path == "/healthz":
            await _answer(scope, send, 200, b'{"status": "alive"}\n')
        elif path == "/metrics":
            await _answer(scope, send, 200, await self.page(), CONTENT_TYPE_LATEST.encode())
        else:
            trouble = await self.trouble()
            body = {"status": "ready"} if trouble is None else {"status": "not ready", "reason": trouble}
            if self.warning is not None:
                body["warning"] = self.warning
            await _answer(scope, send, 200 if trouble is None else 503, json.dumps(body).encode() + b"\n")

    @abstractmethod
    async def trouble(self) -> str | None:
        """Why no uploads can be taken now; None when they can."""

    @abstractmethod
    async def page(self) -> bytes:
        """The metrics, in the text format of Prometheus."""


class Health(HealthPages):
    """Answers for a server whose stores are open.

    Parameters:
        context: whose stores are probed and whose metrics are shown.
        crew: the other workers of this server, when there are some: it is ready when all of them are, and metrics are
            those of all of them.
    """

    def __init__(self, context: Context, crew: Crew | None = None) -> None:
        self._context = context
        self._crew = crew
        self._probe: asyncio.Task[str | None] | None = None
        self._probed = float("-inf")

    async def trouble(self) -> str | None:
        if self._context.leaving:
            return "shutting down"
        if self._crew is not None and (trouble := self._crew.trouble()) is not None:
            return trouble
        now = asyncio.get_running_loop().time()
        if self._probe is None or (self._probe.done() and now - self._probed >= PROBE_SECONDS):
            self._probe = asyncio.create_task(self._ask_stores())
        probe = self._probe
        # It is not cancelled, for that would have to wait for the disk as well; the next request meets it again.
        await asyncio.wait((probe,), timeout=PROBE_TIMEOUT)
        return probe.result() if probe.done() else "a store does not answer"

    async def _ask_stores(self) -> str | None:
        try:
            await self._context.info.probe()
            await self._context.data.probe()
            if isinstance(self._context.info, Cautious):
                self.warning = await self._context.info.warning()
        except UploadError as error:
            return error.detail
        finally:
            self._probed = asyncio.get_running_loop().time()
        return None

    async def page(self) -> bytes:
        metrics = self._context.metrics
        try:
            usage = await self._context.info.usage()
            metrics.uploads_open.set(usage.open)
            metrics.bytes_reserved.set(usage.reserved)
        except UploadError:
            pass  # the other figures are worth more just when a store is in trouble
        if self._crew is not None:
            return await self._crew.page()
        return await asyncio.to_thread(generate_latest, metrics.registry)


async def _answer(
    scope: Any,
    send: Any,
    status: int,
    body: bytes,
    kind: bytes = b"application/json",
    fields: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *(fields or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
