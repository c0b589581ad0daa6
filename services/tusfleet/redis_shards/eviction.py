"""Whether a Redis throws away what it holds once it is full, which no gateway can make up for.

Asked is INFO and not CONFIG: services that manage Redis, and careful ACLs, refuse that.
"""

from __future__ import annotations

import asyncio

from tusfleet.redis_shards.shards import Shards
from tusfleet.uploads.errors import StoreFull, Unavailable

KEEPS = "noeviction"
"""The one policy under which nothing is thrown away."""

LOOK_SECONDS = 60.0
"""How long an answer is believed: CONFIG SET may change the policy at any time."""

_FIELD = "maxmemory_policy:"


class Eviction:
    """The policies of the servers of one store.

    Parameters:
        shards: the store.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._asked = float("-inf")
        self._warning: str | None = None

    async def warning(self) -> str | None:
        """One sentence when a server evicts; None when none does, or will not tell."""
        now = asyncio.get_running_loop().time()
        if now - self._asked >= LOOK_SECONDS:
            self._asked = now
            self._warning = _told(await self._policies())
        return self._warning

    async def _policies(self) -> set[str]:
        # On a Cluster every server has a policy of its own.
        answers = await asyncio.gather(*(self._policy(key) for key in self._shards.probes))
        return {policy for policy in answers if policy}

    async def _policy(self, key: str) -> str:
        try:
            answer = await self._shards.ask_server(key, "INFO", "memory")
        except (StoreFull, Unavailable):
            return ""
        lines = str(answer).splitlines()
        return next((line.removeprefix(_FIELD) for line in lines if line.startswith(_FIELD)), "")


def _told(policies: set[str]) -> str | None:
    others = sorted(policies - {KEEPS})
    if not others:
        return None
    return (
        f"Redis has maxmemory-policy {' and '.join(others)}: when it is full it throws away records of uploads or the "
        f"leases on them; set {KEEPS}"
    )
