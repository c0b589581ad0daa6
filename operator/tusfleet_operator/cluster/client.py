"""The calls that the operator makes: kopf watches, and has no server-side apply.

What fails for a moment is tried again at once, twice; then it is thrown to the queue, which knows when to try again.
Credentials that are refused are read anew; and while the server asks for time, all calls wait but those for the Lease.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
import kopf

from tusfleet_operator.cluster.failures import NO_CREDENTIALS, ApiFailure, NotFound, failure, unanswered
from tusfleet_operator.cluster.kinds import LEASE, Kind, Object

PAGE = 500
"""Objects of one page of a list."""

TIMEOUT = 30.0
"""Seconds for one call with its answer; none of ours waits for anything on the server."""

CONNECTIONS = 16
"""Most calls at a time: a reconciliation of two hundred TusServers is no storm."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
QUICK_PAUSES = (0.05, 0.25)
"""Seconds before a call that failed for a moment is made again: a connection was closed, a server restarts."""

LONGEST_WAIT = 30.0
"""Seconds that a server may ask for at once."""

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class Client:
    """Makes calls to one API server.

    Parameters:
        login: gives the credentials; called again when they are refused.
        observe: told of every call: verb, status (0 without an answer).
    """

    def __init__(
        self,
        login: Callable[[], kopf.ConnectionInfo],
        observe: Callable[[str, int], None] = lambda _verb, _status: None,
    ) -> None:
        self._login = login
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self._access: _Access | None = None
        self._logging_in = asyncio.Lock()
        self._not_before = 0.0

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            headers={"User-Agent": "tusfleet-operator"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """One object; None when there is none."""
        try:
            return await self.call("GET", kind.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, kind: Kind, namespace: str | None, labels: str | None = None, *, metadata_only: bool = False
    ) -> list[Object]:
        """Objects of a namespace, or of all; those with these labels. With `metadata_only` without what is in them."""
        found: list[Object] = []
        parameters = {"limit": str(PAGE), **({"labelSelector": labels} if labels else {})}
        while True:
            accept = METADATA_ONLY if metadata_only else JSON
            page = await self.call("GET", kind.path(namespace), parameters, accept=accept)
            # An empty list of metadata is null.
            found += page.get("items") or []
            following = page["metadata"].get("continue")
            if not following:
                return found
            parameters["continue"] = following

    async def apply(
        self, kind: Kind, manifest: Object, manager: str, *, force: bool, subresource: str | None = None
    ) -> Object:
        """Server-side apply; gives the object as it is then.

        Raises:
            Conflict: without `force`, somebody else owns one of the fields.
        """
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"], subresource)
        parameters = {"fieldManager": manager, "force": str(force).lower()}
        return await self.call("PATCH", path, parameters, manifest, APPLY)

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        """Make an object. Raises Conflict when it is there."""
        return await self.call("POST", kind.path(namespace), None, body)

    async def replace(self, kind: Kind, body: Object) -> Object:
        """Write an object anew. Raises Conflict when it is not any more the one that was read."""
        metadata = body["metadata"]
        return await self.call("PUT", kind.path(metadata["namespace"], metadata["name"]), None, body)

    async def merge(self, kind: Kind, namespace: str, name: str, body: Object, manager: str) -> Object:
        """Change some members of an object; lists as a whole."""
        return await self.call("PATCH", kind.path(namespace, name), {"fieldManager": manager}, body, MERGE)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete this very object; it is all the same if it is gone already. What depends on it goes after it."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self.call("DELETE", kind.path(namespace, name), None, body)
        except NotFound:
            return

    async def call(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> dict[str, Any]:
        """One call. All of them may be made twice: what was done already changes nothing, or conflicts.

        Raises:
            ApiFailure: it did not succeed.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({"Content-Type": content_type} if data is not None else {})}
        asked = _Call(method, path, parameters or {}, data, headers)
        for pause in QUICK_PAUSES:
            try:
                return await self._let_through(asked)
            except ApiFailure as error:
                if not error.fleeting:
                    raise
            await asyncio.sleep(pause)
        return await self._let_through(asked)

    async def _let_through(self, asked: _Call) -> dict[str, Any]:
        if LEASE.api_path not in asked.path:
            # Who cannot renew its Lease gives the work up, and another one would ask for as much.
            await asyncio.sleep(self._not_before - asyncio.get_running_loop().time())
        access = await self._let_in()
        try:
            return await self._once(access, asked)
        except ApiFailure as error:
            if error.status != 401:
                raise
        return await self._once(await self._let_in(refused=access), asked)

    async def _once(self, access: _Access, asked: _Call) -> dict[str, Any]:
        assert self._session is not None, "it is used as a context"
        try:
            async with self._session.request(
                asked.method,
                access.server + asked.path,
                params=asked.parameters,
                data=asked.data,
                headers={**access.headers, **asked.headers},
                ssl=access.context,
                proxy=access.proxy,
            ) as got:
                text = await got.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._observe(asked.method, 0)
            raise unanswered(error) from error
        self._observe(asked.method, got.status)
        if got.status >= 400:
            refused = _failure(got.status, text, got.headers.get("Retry-After"))
            if refused.retry_after is not None:
                until = asyncio.get_running_loop().time() + min(refused.retry_after, LONGEST_WAIT)
                self._not_before = max(self._not_before, until)
            raise refused
        found: dict[str, Any] = json.loads(text)
        return found

    async def _let_in(self, refused: _Access | None = None) -> _Access:
        """The credentials, read anew when they are those that were refused."""
        async with self._logging_in:
            if self._access is None or self._access is refused:
                try:
                    # Reads files.
                    self._access = await asyncio.to_thread(_Access.of, self._login)
                except (kopf.LoginError, OSError) as error:
                    told = f"There are no credentials for the API server: {error}"
                    raise ApiFailure(401, NO_CREDENTIALS, told) from error
            return self._access


@dataclass(frozen=True, slots=True)
class _Call:
    """What is asked."""

    method: str
    path: str
    parameters: Mapping[str, str]
    data: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Access:
    """Where the API server is, and what it is shown."""

    server: str
    headers: Mapping[str, str]
    context: ssl.SSLContext
    proxy: str | None

    @classmethod
    def of(cls, login: Callable[[], kopf.ConnectionInfo]) -> _Access:
        found = login()
        return cls(found.server.rstrip("/"), found.as_http_headers(), found.as_ssl_context(), found.proxy_url)


def _failure(status: int, text: str, retry_after: str | None) -> ApiFailure:
    try:
        told: Any = json.loads(text)
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    # What is no answer of Kubernetes may be of any size, and from anybody in between.
    message = str(told.get("message") or text[:256].strip() or f"the API server answered {status}")
    wait = retry_after or (told.get("details") or {}).get("retryAfterSeconds")
    try:
        seconds = None if wait is None else max(0.0, float(wait))
    except ValueError:
        seconds = None
    return failure(status, str(told.get("reason") or status), message, seconds)
