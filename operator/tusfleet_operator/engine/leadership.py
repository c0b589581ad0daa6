"""Which of several operators does the work: the one that holds a Lease.

Nothing depends on there being one only: what two of them apply is the same. One that was frozen finds its Lease gone
before it does anything else. Whether a Lease ran out is told by our own clock, from when we saw it change last: clocks
of machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure, Conflict
from tusfleet_operator.cluster.kinds import LEASE, Object

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
"""How long a Lease is good for that is not renewed."""

DEADLINE_SECONDS = 10.0
"""How long a leader goes on that cannot renew its Lease; less than others wait, so that there are never two."""

PAUSE_SECONDS = 2.0
"""Between two attempts to renew the Lease, or to get it."""


class Leadership:
    """One candidate.

    Parameters:
        identity: of this process; no other has it.
        now: the time, written into the Lease for people.
        turned: told when it begins and when it ceases to lead.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        now: Callable[[], datetime],
        turned: Callable[[bool], None],
    ) -> None:
        self._client = client
        self._place = (namespace, name)
        self._identity = identity
        self._now = now
        self._turned = turned
        self._seen: tuple[str, float] = ("", 0.0)
        self._turn: int | None = None

    async def lead(self, work: Callable[[bool], Awaitable[None]]) -> None:
        """Do the work whenever the Lease is ours, until cancelled; the Lease is given back then.

        Parameters:
            work: told whether somebody else may have done it since we did.
        """
        while True:
            before = self._turn
            await self._acquire()
            logger.info("This operator leads: it holds the lease %s/%s", *self._place)
            self._turned(True)
            working = asyncio.ensure_future(work(self._turn != before))
            try:
                await self._hold(working)
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                self._turned(False)
                await self._give_back()
            logger.warning("This operator does not lead any more: it could not renew the lease %s/%s", *self._place)

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._try():
                    return
            except Conflict:
                pass  # another one was faster
            except ApiFailure as error:
                logger.warning("The lease %s/%s cannot be had: %s", *self._place, error.message)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hold(self, working: asyncio.Future[None]) -> None:
        """Renew until that has not succeeded for too long, or the work has ended by itself."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < DEADLINE_SECONDS:
            done, _ = await asyncio.wait([working], timeout=PAUSE_SECONDS)
            if done:
                working.result()
                return
            try:
                # An answer that comes too late is none.
                async with asyncio.timeout(max(0.1, DEADLINE_SECONDS - (loop.time() - renewed))):
                    if not await self._try():
                        return
            except Conflict:
                continue
            except (ApiFailure, TimeoutError) as error:
                logger.warning("The lease %s/%s was not renewed: %s", *self._place, error)
                continue
            renewed = loop.time()

    async def _try(self) -> bool:
        """Take or renew the Lease; whether it is ours now."""
        found = await self._client.get(LEASE, *self._place)
        if found is None:
            self._keep(await self._client.create(LEASE, self._place[0], self._body(None)))
            return True
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._ran_out(found, spec):
            return False
        self._keep(await self._client.replace(LEASE, self._body(found)))
        return True

    def _keep(self, written: Object) -> None:
        self._turn = written["spec"]["leaseTransitions"]

    def _ran_out(self, found: Object, spec: dict[str, Any]) -> bool:
        time, version = asyncio.get_running_loop().time(), found["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, time)
        return time - self._seen[1] > float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)

    def _body(self, before: Object | None, holder: str | None = None) -> dict[str, Any]:
        namespace, name = self._place
        spec = dict((before or {}).get("spec") or {})
        stamp = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        holder = self._identity if holder is None else holder
        if holder and spec.get("holderIdentity") != holder:
            # One that we gave back and take again has had no other holder if nobody counted.
            is_ours = spec.get("leaseTransitions") == self._turn and not spec.get("holderIdentity")
            changes = spec.get("leaseTransitions", 0) + (0 if is_ours else 1)
            spec |= {"acquireTime": stamp, "leaseTransitions": changes}
        spec |= {"holderIdentity": holder, "renewTime": stamp, "leaseDurationSeconds": int(LEASE_SECONDS)}
        metadata = {"name": name, "namespace": namespace} if before is None else before["metadata"]
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}

    async def _give_back(self) -> None:
        """Let another one have it at once, instead of after its time."""
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                found = await self._client.get(LEASE, *self._place)
                if found is not None and (found.get("spec") or {}).get("holderIdentity") == self._identity:
                    await self._client.replace(LEASE, self._body(found, holder=""))
        except (ApiFailure, TimeoutError) as error:
            logger.debug("The lease %s/%s was not given back: %s", *self._place, error)
