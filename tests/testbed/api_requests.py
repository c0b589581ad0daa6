"""What a request asks of a Kubernetes API server, in the words of RBAC: verb, resource, namespace, name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
"""Verbs that change something."""

_QUESTIONS = ("authentication.k8s.io", "authorization.k8s.io")
"""Groups whose objects are questions: creating one stores nothing."""

_BY_METHOD = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(eq=False)
class ApiRequest:
    """One request that came by; `status` and `fault` tell what became of it.

    `started` and `ended` are of time.monotonic(), in seconds. Fields of what is not an object's path are empty.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    started: float
    verb: str = ""
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    status: int | None = None
    fault: str | None = None
    ended: float | None = None
    events: int = field(default=0)

    def __post_init__(self) -> None:
        prefix, *rest = self.path.strip("/").split("/")
        if prefix == "apis" and len(rest) > 2:
            self.group, _, *rest = rest
        elif prefix == "api" and len(rest) > 1:
            rest = rest[1:]
        else:
            rest = []
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            self.namespace, *rest = rest[1:]
        self.resource, self.name, self.subresource = [*rest, "", "", ""][:3]
        self.verb = self._verb()

    def _verb(self) -> str:
        if not self.resource:
            return self.method.lower()
        if self.method in ("GET", "HEAD"):
            if self.query.get("watch", "false") in ("true", "1"):
                return "watch"
            return "get" if self.name else "list"
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return _BY_METHOD.get(self.method, self.method.lower())

    @property
    def user_agent(self) -> str:
        """Of the client."""
        return self.headers.get("user-agent", "")

    @property
    def writes(self) -> bool:
        """Whether it changes something that is stored."""
        return self.verb in WRITES and self.group not in _QUESTIONS and "dryRun" not in self.query

    @property
    def applies(self) -> bool:
        """Whether it is a server-side apply."""
        return self.headers.get("content-type", "").startswith("application/apply-patch")

    @property
    def streams(self) -> bool:
        """Whether its answer goes on for as long as the client stays."""
        return self.verb == "watch" or self.query.get("follow", "false") in ("true", "1")

    @property
    def object(self) -> dict[str, Any]:
        """The body as the object that it is."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"
