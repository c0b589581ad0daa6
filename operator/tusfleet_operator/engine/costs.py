"""Which gateway goes first when there are to be fewer: the one with the least to do.

The number of connections of each becomes the deletion cost of its pod. It is written as a power of two, so that it is
written seldom; and only while there may be fewer soon: under an autoscaler, and in a rollout.
"""

from __future__ import annotations

import asyncio
import logging
import re

from tusfleet_operator import names
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure
from tusfleet_operator.cluster.kinds import DEPLOYMENT, POD, TUSSERVER, Object
from tusfleet_operator.cluster.pods import Pods
from tusfleet_operator.cluster.store import Store, name_of, owner_of
from tusfleet_operator.reconcile.conditions import settled

logger = logging.getLogger(__name__)

INTERVAL = 30.0

_CONNECTIONS = re.compile(r"^tusfleet_connections_open(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


class Costs:
    """Writes the deletion costs of gateways' pods."""

    def __init__(self, client: Client, pods: Pods, store: Store) -> None:
        self._client = client
        self._pods = pods
        self._store = store

    async def run(self) -> None:
        """Write them again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            for namespace, name in self._store.servers():
                deployment = self._gateways(namespace, name)
                if deployment is not None and self._may_shrink(namespace, name, deployment):
                    await self.write(namespace, name)

    async def write(self, namespace: str, server: str) -> None:
        """Write those of one TusServer; what cannot be read or written stays as it is."""
        labels = ",".join(f"{key}={value}" for key, value in names.selector(server, names.GATEWAY).items())
        try:
            found = await self._client.list(POD, namespace, labels)
            pages = await asyncio.gather(*(self._pods.ask(pod, "/metrics") for pod in found))
            for pod, page in zip(found, pages, strict=True):
                wanted = cost(page)
                known = (pod["metadata"].get("annotations") or {}).get(names.DELETION_COST)
                if wanted is not None and wanted != known:
                    change = {"metadata": {"annotations": {names.DELETION_COST: wanted}}}
                    await self._client.merge(POD, *name_of(pod), change, names.OPERATOR)
        except ApiFailure as error:
            logger.debug("No deletion costs for %s/%s: %s", namespace, server, error.message)

    def _gateways(self, namespace: str, server: str) -> Object | None:
        for kind, body in self._store.children(namespace, server):
            if kind == DEPLOYMENT and body["metadata"]["labels"].get(names.COMPONENT) == names.GATEWAY:
                return body
        return None

    def _may_shrink(self, namespace: str, server: str, deployment: Object) -> bool:
        body = self._store.get(TUSSERVER, namespace, server)
        scaled = body is not None and "autoscaling" in (body.get("spec") or {})
        several = deployment["spec"].get("replicas", 1) > 1 and owner_of(deployment) == server
        return several and (scaled or not settled(deployment))


def cost(page: str | None) -> str | None:
    """The deletion cost of a gateway with this page of metrics; None when the page does not tell it."""
    match = _CONNECTIONS.search(page or "")
    if match is None:
        return None
    connections = int(float(match[1]))
    return str(1 << (connections.bit_length() - 1)) if connections > 0 else "0"
