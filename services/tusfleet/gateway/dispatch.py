"""The front door: which application answers for a path. Plain ASGI, so that uploads meet no framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tusfleet.gateway.health import HEALTH_PATHS
from tusfleet.gateway.replies import send_problem
from tusfleet.protocols.tus import RESUMABLE
from tusfleet.uploads.errors import NotFound

Application = Callable[[Any, Any, Any], Awaitable[None]]

API_PATH = "/api/v1"


class Dispatcher:
    """Sends a request to the uploads, the API, or health and metrics.

    Parameters:
        base_path: where the uploads live; empty when everything that comes is for them.
        uploads: the upload endpoint; None on a port that has none.
        health: answers /healthz, /readyz and /metrics; None where they have a port of their own.
        api: the API below `API_PATH`; None likewise.
    """

    def __init__(
        self, base_path: str, uploads: Application | None, health: Application | None, api: Application | None
    ) -> None:
        self._base_path = base_path
        self._below = base_path + "/"
        self._uploads = uploads
        self._health = health
        self._api = api

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request. No coroutine of its own: a silent client would hold its frame."""
        if scope["type"] != "http":
            raise RuntimeError(f"This application answers HTTP only, not {scope['type']}")
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._uploads is not None and (path == self._base_path or path.startswith(self._below)):
            return self._uploads(scope, receive, send)
        if self._health is not None and path in HEALTH_PATHS:
            return self._health(scope, receive, send)
        if self._api is not None and path.startswith(API_PATH + "/"):
            return self._api(scope, receive, send)
        if self._uploads is not None and path == "*" and scope["method"] == "OPTIONS":
            return self._uploads({**scope, "path": scope.get("root_path", "") + self._base_path}, receive, send)
        error = NotFound("There is nothing at this path")
        return send_problem(send, error, [RESUMABLE], method=scope["method"])
