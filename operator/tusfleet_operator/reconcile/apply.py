"""Making children so: whose they are, applying what differs, deleting what is not wanted any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tusfleet_operator import names
from tusfleet_operator.builders import Manifest, gateway, settings
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure, Conflict, Invalid
from tusfleet_operator.cluster.kinds import AUTOSCALER, CONFIG_MAP, DEPLOYMENT, Kind, Object, kind_of
from tusfleet_operator.cluster.store import DELETED, Name, Store, name_of, owner_of, version_of
from tusfleet_operator.reconcile import troubles
from tusfleet_operator.reconcile.conditions import settled
from tusfleet_operator.reconcile.memory import Memory
from tusfleet_operator.reconcile.ownership import Ownership, ownership
from tusfleet_operator.reconcile.troubles import Trouble
from tusfleet_operator.resource.server import TusServer

logger = logging.getLogger(__name__)

NOBODY = frozenset({names.REPAIR_MANAGER, "before-first-apply"})
"""Field managers without anybody behind them: ours for a repair, and the API server's own when it has lost who was."""


class Applier:
    """Applies the children of TusServers.

    Parameters:
        repaired: told of each kind of which an object had drifted.
    """

    def __init__(self, client: Client, store: Store, memory: Memory, repaired: Callable[[Kind], None]) -> None:
        self._client = client
        self._store = store
        self._memory = memory
        self._repaired = repaired
        self._progress: set[Name] = set()

    def progressed(self, server: Name) -> bool:
        """Whether anything was written for a TusServer since this was asked before."""
        found = server in self._progress
        self._progress.discard(server)
        return found

    async def live(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object as it is: as it was seen, or else as the API server has it. Others than ours are not watched."""
        seen = self._store.get(kind, namespace, name)
        return seen if seen is not None else await self._client.get(kind, namespace, name)

    async def apply(self, server: TusServer, manifest: Manifest) -> Trouble | None:
        """Make one child so; tells what is in the way of it.

        Raises:
            ApiFailure: something that passes by itself.
        """
        kind, name = kind_of(manifest), name_of(manifest)
        live = await self.live(kind, *name)
        if live is not None:
            whose = ownership(live, server)
            if whose is Ownership.FOREIGN:
                self._memory.forget(kind, name)
                return Trouble(troubles.FOREIGN_OBJECT, _foreign(kind, name))
            if whose is Ownership.LEAVING or live["metadata"].get("deletionTimestamp"):
                told = f"{kind.kind} {name[0]}/{name[1]} is still being deleted; it is made anew when it is gone"
                return Trouble(troubles.BEING_DELETED, told)
            if self._memory.holds(kind, manifest, live, names.MANAGER):
                return None
        return await self._apply(kind, manifest, names.MANAGER, live)

    async def replicas(self, server: TusServer, gateways: Object | None) -> Trouble | None:
        """Set the number of gateways, by a field manager of its own; see `names.REPLICAS_MANAGER`."""
        if gateways is None:
            return None
        name = name_of(gateways)
        wanted = gateway.replicas(server.spec)
        if wanted is None and server.spec.autoscaling is not None:
            fewest = server.spec.autoscaling.min_replicas
            if gateways["spec"].get("replicas", 1) >= fewest:
                # Whoever owns the number keeps it: the autoscaler takes over from what it finds.
                self._memory.forget(DEPLOYMENT, name, names.REPLICAS_MANAGER)
                return None
            wanted = fewest
        manifest: Manifest = {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.kind,
            "metadata": {"name": name[1], "namespace": name[0]},
            "spec": {"replicas": wanted},
        }
        if self._memory.holds(DEPLOYMENT, manifest, gateways, names.REPLICAS_MANAGER):
            return None
        return await self._apply(DEPLOYMENT, manifest, names.REPLICAS_MANAGER, gateways)

    async def prune(self, server: TusServer, wanted: Sequence[Manifest], spared: frozenset[Kind] = frozenset()) -> None:
        """Delete what is ours and not wanted any more; what cannot be told apart from that yet is spared."""
        kept = {(kind_of(manifest), name_of(manifest)) for manifest in wanted}
        for kind, body in self._store.children(server.namespace, server.name):
            name = name_of(body)
            if (kind, name) in kept or kind in spared or body["metadata"].get("deletionTimestamp"):
                continue
            if ownership(body, server) is not Ownership.OURS or self._is_used(server, kind, name):
                continue
            await self.delete(kind, body)

    async def delete(self, kind: Kind, body: Object) -> None:
        """Delete this very object."""
        namespace, name = name_of(body)
        logger.info("Deleting %s %s/%s, which is not wanted any more", kind.kind, namespace, name)
        await self._client.delete(kind, namespace, name, body["metadata"]["uid"])
        self._store.seen(kind, DELETED, body)
        self._memory.forget(kind, (namespace, name))

    async def make_way_for_replicas(self, server: TusServer) -> None:
        """An autoscaler that is not wanted any more goes before the number is set, or it would set its own again."""
        if server.spec.autoscaling is None:
            autoscaler = self._store.get(AUTOSCALER, server.namespace, gateway.name(server))
            if autoscaler is not None and ownership(autoscaler, server) is Ownership.OURS:
                await self.delete(AUTOSCALER, autoscaler)

    async def _apply(self, kind: Kind, manifest: Manifest, manager: str, live: Object | None) -> Trouble | None:
        name = name_of(manifest)
        drifted = self._memory.has_drifted(kind, manifest, live, manager)
        try:
            body = await self._written(kind, manifest, manager, live)
        except ApiFailure as error:
            if error.passing and not (isinstance(error, Conflict) and live is None):
                raise
            if isinstance(error, Conflict):
                return Trouble(troubles.FOREIGN_OBJECT, _foreign(kind, name))
            told = f"The API server refuses {kind.kind} {name[0]}/{name[1]}: {error.message}"
            return Trouble(troubles.REFUSED, told)
        self._progress.add((name[0], owner_of(body) or name[1]))
        if drifted:
            self._repaired(kind)
        self._store.seen(kind, None, body)
        self._memory.remember(kind, manifest, body, manager)
        return None

    async def _written(self, kind: Kind, manifest: Manifest, manager: str, live: Object | None) -> Object:
        """Apply it, also where it does not go together with what others have put there."""
        try:
            # What is not there is made without force: whoever makes it at this very moment keeps it.
            body = await self._client.apply(kind, manifest, manager, force=live is not None)
        except Invalid:
            if live is None:
                raise
            # Such as a second port of the same name. Lists become ours as a whole; what others added to them goes.
            await self._client.merge(kind, *name_of(manifest), manifest, names.REPAIR_MANAGER)
            body = await self._client.apply(kind, manifest, manager, force=True)
        return await self._disowned(kind, body)

    async def _disowned(self, kind: Kind, body: Object) -> Object:
        """Take fields from managers that are nobody: what they own beside us could never be taken out again."""
        entries = body["metadata"].get("managedFields") or []
        kept = [entry for entry in entries if entry.get("manager") not in NOBODY]
        if kept == entries:
            return body
        # With the version, or changes that come in between would get lost from it.
        metadata = {"managedFields": kept, "resourceVersion": version_of(body)}
        return await self._client.merge(kind, *name_of(body), {"metadata": metadata}, names.REPAIR_MANAGER)

    def _is_used(self, server: TusServer, kind: Kind, name: Name) -> bool:
        """Whether pods may still need settings of before: those of a rollout that is not over, or that is undone."""
        if kind != CONFIG_MAP or not name[1].startswith(settings.prefix(server)):
            return False
        deployments = [
            body for found, body in self._store.children(server.namespace, server.name) if found == DEPLOYMENT
        ]
        return any(not settled(body) or name[1] in _settings_of(body) for body in deployments)


def _settings_of(deployment: Object) -> set[str]:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    sources = [source for container in containers for source in container.get("envFrom") or []]
    return {source["configMapRef"]["name"] for source in sources if "configMapRef" in source}


def _foreign(kind: Kind, name: Name) -> str:
    return (
        f"{kind.kind} {name[0]}/{name[1]} is there and was not made by this operator: "
        "delete or rename it, or give the TusServer another name"
    )
