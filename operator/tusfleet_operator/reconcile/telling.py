"""Telling how a TusServer is: its status, written when it differs, and an event when a condition turns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.failures import ApiFailure
from tusfleet_operator.cluster.kinds import EVENT, TUSSERVER, Object
from tusfleet_operator.cluster.store import Store
from tusfleet_operator.reconcile.conditions import Facts, status
from tusfleet_operator.reconcile.troubles import Trouble
from tusfleet_operator.resource import status as types

logger = logging.getLogger(__name__)

TOLD = (types.READY, types.DEGRADED, types.PAUSED)
"""Conditions of whose turns an event tells."""

BAD = {types.READY: "False", types.DEGRADED: "True"}
"""What is a warning."""

LONGEST_EVENT = 1024


class Teller:
    """Writes what is known of TusServers.

    Parameters:
        now: the time, for conditions that turn.
        observed: told of every status, written or not: namespace, name, status.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        now: Callable[[], datetime],
        observed: Callable[[str, str, Mapping[str, Any]], None],
    ) -> None:
        self._client = client
        self._store = store
        self._now = now
        self._observed = observed

    async def tell(self, body: Object, facts: Facts) -> None:
        """Write the status if it is not so already.

        Raises:
            ApiFailure: it could not be written.
        """
        before = body.get("status") or {}
        await self._write(body, before, status(facts, before, _stamp(self._now())))

    async def tell_invalid(self, body: Object, trouble: Trouble) -> None:
        """Of a TusServer that cannot be understood only that is told; everything else stays as it was."""
        before: Mapping[str, Any] = body.get("status") or {}
        generation = body["metadata"].get("generation", 0)
        known = {condition["type"]: condition for condition in before.get("conditions") or []}
        degraded = known.get(types.DEGRADED, {})
        turned = degraded.get("status") != "True"
        known[types.DEGRADED] = {
            "type": types.DEGRADED,
            "status": "True",
            "observedGeneration": generation,
            "lastTransitionTime": _stamp(self._now()) if turned else degraded["lastTransitionTime"],
            "reason": trouble.reason,
            "message": trouble.message,
        }
        found = {**before, "observedGeneration": generation, "conditions": list(known.values())}
        await self._write(body, before, found)

    async def _write(self, body: Object, before: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        self._observed(metadata["namespace"], metadata["name"], found)
        if not differs(before, found):
            return
        manifest = {
            "apiVersion": TUSSERVER.api_version,
            "kind": TUSSERVER.kind,
            # With the uid: one of the same name that was made meanwhile does not get the status of this one.
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "status": found,
        }
        written = await self._client.apply(TUSSERVER, manifest, names.MANAGER, force=True, subresource="status")
        self._store.seen(TUSSERVER, None, written)
        for turned in _turned(before, found):
            await self._event(body, turned)

    async def _event(self, body: Object, condition: Mapping[str, Any]) -> None:
        metadata, now = body["metadata"], _stamp(self._now())
        event = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": TUSSERVER.api_version,
                "kind": TUSSERVER.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            # Other types than these two are refused.
            "type": "Warning" if BAD.get(condition["type"]) == condition["status"] else "Normal",
            "reason": condition["reason"],
            "message": f"{condition['type']} is {condition['status']}: {condition['message']}"[:LONGEST_EVENT],
            "source": {"component": names.OPERATOR},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.create(EVENT, metadata["namespace"], event)
        except ApiFailure as error:
            # The status tells the same.
            logger.debug("No event for %s/%s: %s", metadata["namespace"], metadata["name"], error.message)


def differs(before: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether what we tell is not told yet; what others have put there is theirs."""
    others = {key: value for key, value in found.items() if key != "conditions"}
    if any(before.get(key) != value for key, value in others.items()):
        return True
    known, wanted = ({one["type"]: one for one in each.get("conditions") or []} for each in (before, found))
    return any(known.get(kind) != wanted.get(kind) for kind in types.CONDITIONS)


def _turned(before: Mapping[str, Any], found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Conditions that are not as they were; the first time only those that tell of something."""
    known = {condition["type"]: condition["status"] for condition in before.get("conditions") or []}
    usual = {types.READY: "False", types.DEGRADED: "False", types.PAUSED: "False"}
    return [
        condition
        for condition in found["conditions"]
        if condition["type"] in TOLD and known.get(condition["type"], usual[condition["type"]]) != condition["status"]
    ]


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
