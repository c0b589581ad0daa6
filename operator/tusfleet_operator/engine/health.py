"""Whether the operator lives, whether it can work, and what it counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tusfleet_operator.engine.queue import WorkQueue
from tusfleet_operator.metrics import Metrics


class Health:
    """Answers /healthz, /readyz and /metrics on a port of its own, on all addresses: probes come from outside."""

    def __init__(self, metrics: Metrics, queue: WorkQueue) -> None:
        self._metrics = metrics
        self._queue = queue
        self._refused: Sequence[str] = ()
        self._listed = False
        self._current: float | None = None

    def current(self) -> None:
        """What is known of the cluster was confirmed just now."""
        self._current = asyncio.get_running_loop().time()

    def listed(self) -> None:
        """Everything was seen once."""
        self._listed = True
        self._metrics.synced.set(1)

    def may_not(self, sentences: Sequence[str]) -> None:
        """Rights that are missing."""
        self._refused = sentences

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        """Answer while the context is open."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._page)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, None, port).start()
            yield
        finally:
            await runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:  # noqa: ARG002 - its interface
        return web.json_response({"status": "alive"})

    async def _readyz(self, request: web.Request) -> web.Response:  # noqa: ARG002 - its interface
        reasons = list(self._refused)
        if not self._listed:
            reasons.append("the cluster was not listed yet")
        body = {"status": "not ready", "reason": "; ".join(reasons)} if reasons else {"status": "ready"}
        return web.Response(
            status=503 if reasons else 200, text=json.dumps(body) + "\n", content_type="application/json"
        )

    async def _page(self, request: web.Request) -> web.Response:  # noqa: ARG002 - its interface
        self._metrics.depth.set(len(self._queue))
        self._metrics.oldest.set(self._queue.oldest)
        if self._current is not None:
            self._metrics.age.set(asyncio.get_running_loop().time() - self._current)
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
