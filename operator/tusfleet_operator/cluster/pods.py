"""What pods say on their port for health and metrics."""

from __future__ import annotations

import asyncio
import ipaddress
from types import TracebackType

import aiohttp

from tusfleet_operator.cluster.kinds import Object

PORT = 9090

TIMEOUT = 6.0
"""Seconds for an answer: a gateway gives its stores five."""

LARGEST = 4 * 2**20
"""Bytes of an answer that are read; the metrics of a gateway have some dozens of KiB."""


class Pods:
    """Asks pods. What cannot be reached is not told apart from what does not answer."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Pods:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, pod: Object, path: str) -> str | None:
        """The body of an answer, whatever its status; None without one."""
        address = (pod.get("status") or {}).get("podIP")
        if not address or self._session is None:
            return None
        host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
        try:
            async with self._session.get(f"http://{host}:{self._port}{path}") as answer:
                return (await answer.content.read(LARGEST)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError):
            return None
