"""The view of the cluster: lists that fill the store, and the search for kinds that not every cluster has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from tusfleet_operator import names
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure, NotFound
from tusfleet_operator.cluster.kinds import ALWAYS, OPTIONAL, SECRET, TUSSERVER, Kind, Object
from tusfleet_operator.cluster.store import REFERRED, Name, Store
from tusfleet_operator.engine.informer import Forever

logger = logging.getLogger(__name__)

OURS = f"{names.MANAGED_BY}={names.OPERATOR}"


class View:
    """Knows what there is.

    Parameters:
        namespaces: that are looked at; None: all.
        missed: told of what a list showed and no watch had told: kind, and the object or its name.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        namespaces: Sequence[str] | None,
        missed: Callable[[Kind, Object | Name], None],
    ) -> None:
        self._client = client
        self._store = store
        self._namespaces = namespaces
        self._missed = missed
        self.served: frozenset[Kind] = frozenset()

    @property
    def watched(self) -> tuple[Kind, ...]:
        """Kinds to be watched."""
        return (TUSSERVER, SECRET, *ALWAYS, *(kind for kind in OPTIONAL if kind in self.served))

    async def discover(self) -> bool:
        """Ask which of the optional kinds are served; whether that has changed.

        Raises:
            ApiFailure: the API server could not be asked.
        """
        found = frozenset([kind for kind in OPTIONAL if await self._is_served(kind)])
        changed = found != self.served
        for kind in self.served - found:
            logger.info("The cluster does not know %s any more", kind.kind)
        for kind in found - self.served:
            logger.info("The cluster knows %s (%s)", kind.kind, kind.api_version)
        self.served = found
        return changed

    async def list(self) -> None:
        """List everything, and take it for what there is.

        Raises:
            ApiFailure: something could not be listed; what was listed before that is taken.
        """
        for kind in self.watched:
            if kind != SECRET:
                await self._list(kind)
        for kind in REFERRED:
            await self._list_versions(kind)

    async def _list(self, kind: Kind) -> None:
        labels = None if kind == TUSSERVER else OURS
        found = [body for namespace in self._places() for body in await self._client.list(kind, namespace, labels)]
        # Members of a list do not say of which kind they are.
        found = [{"apiVersion": kind.api_version, "kind": kind.kind, **body} for body in found]
        for body in self._store.listed(kind, self._namespaces, found):
            self._missed(kind, body)

    async def _list_versions(self, kind: Kind) -> None:
        found = [
            body
            for namespace in self._places()
            for body in await self._client.list(kind, namespace, metadata_only=True)
        ]
        for name in self._store.listed_versions(kind, self._namespaces, found):
            self._missed(kind, name)

    def _places(self) -> Iterator[str | None]:
        yield from (self._namespaces or (None,))

    async def _is_served(self, kind: Kind) -> bool:
        try:
            answer = await self._client.call("GET", kind.api_path)
        except NotFound:
            return False
        return any(resource.get("name") == kind.plural for resource in answer.get("resources") or [])


async def until_it_works(what: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again until the API server lets it be done."""
    for pause in Forever():
        try:
            await work()
        except ApiFailure as error:
            logger.warning("%s: %s; tried again in %g s", what, error.message, pause)
            await asyncio.sleep(pause)
        else:
            return
