"""The front door: which application answers for a path. Plain ASGI, so that uploads meet no framework."""

from __future__ import annotations

from typing import Any

from tusfleet.gateway.health import Health
from tusfleet.gateway.replies import send_problem
from tusfleet.protocols.tus import RESUMABLE
from tusfleet.uploads.errors import NotFound

API_PATH = "/api/v1"


class Dispatcher:
    """Sends a request to the uploads, the API, or health and metrics.

    Parameters:
        base_path: where the uploads live; empty when everything that comes is for them.
        uploads: the upload endpoint.
        health: answers /healthz, /readyz and /metrics.
        api: the API below `API_PATH`.
    """

    def __init__(self, base_path: str, uploads: Any, health: Health, api: Any) -> None:
        self._base_path = base_path
        self._below = base_path + "/"
        self._uploads = uploads
        self._health = health
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"This application answers HTTP only, not {scope['type']}")
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == self._base_path or path.startswith(self._below):
            await self._uploads(scope, receive, send)
        elif path in Health.PATHS:
            await self._health(scope, receive, send)
        elif path.startswith(API_PATH + "/"):
            await self._api(scope, receive, send)
        elif path == "*" and scope["method"] == "OPTIONS":
            await self._uploads({**scope, "path": scope.get("root_path", "") + self._base_path}, receive, send)
        else:
            error = NotFound("There is nothing at this path")
            await send_problem(send, error, [RESUMABLE], method=scope["method"])
