"""One look at one TusServer, from the top down: get, guard, gather, build, apply, prune, tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.builders import Manifest, Observed, build, gateway, janitor
from tusfleet_operator.builders.image import image
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import DEPLOYMENT, HTTP_ROUTE, INGRESS, OPTIONAL, TUSSERVER, Kind, Object, kind_of
from tusfleet_operator.cluster.pods import Pods
from tusfleet_operator.cluster.store import Name, Store
from tusfleet_operator.reconcile import gateways, troubles
from tusfleet_operator.reconcile.apply import Applier
from tusfleet_operator.reconcile.conditions import Facts
from tusfleet_operator.reconcile.gateways import Answers
from tusfleet_operator.reconcile.readers import Readers
from tusfleet_operator.reconcile.secrets import Secrets
from tusfleet_operator.reconcile.sharing import sharing
from tusfleet_operator.reconcile.telling import Teller
from tusfleet_operator.reconcile.troubles import Trouble
from tusfleet_operator.references import references
from tusfleet_operator.resource import InvalidServer, TusServer

logger = logging.getLogger(__name__)

UNWATCHED_SECONDS = 30.0
"""When to look again for what no watch tells of: objects that are not ours, calls that were refused."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a reconciliation works with.

    Parameters:
        default_image: image of the operator's own version.
        served: kinds that the API server has, of those that not every cluster has.
    """

    client: Client
    pods: Pods
    store: Store
    secrets: Secrets
    applier: Applier
    teller: Teller
    readers: Readers
    default_image: str
    served: Callable[[], Collection[Kind]]


async def reconcile(tools: Tools, key: Name) -> float | None:
    """Make a TusServer so; gives the seconds after which to look again although nothing happened.

    Raises:
        ApiFailure: a call failed, and is worth another attempt.
    """
    body = tools.store.get(TUSSERVER, *key)
    if body is None or body["metadata"].get("deletionTimestamp"):
        # Its children go with it, by the cluster's garbage collection: also while no operator runs.
        tools.readers.forget(key)
        return None
    try:
        server = TusServer.read(body)
        build(server, Observed(tools.default_image))
    except (InvalidServer, ValueError) as error:
        tools.readers.forget(key)
        await tools.teller.tell_invalid(body, Trouble(troubles.INVALID_SPEC, str(error)))
        return None
    tools.readers.remember(key, references(server.spec))
    paused = server.annotations.get(names.PAUSED) == "true"
    found = [] if paused else await _make(tools, server, body)
    answers = await gateways.look(tools.client, tools.pods, server, _gateways(tools, server))
    await tools.teller.tell(body, _facts(tools, server, body, found, answers, paused=paused))
    return _again(found, answers)


async def _make(tools: Tools, server: TusServer, body: Object) -> list[Trouble]:
    """Everything but telling; gives what is in the way."""
    read = await tools.secrets.look(server.namespace, references(server.spec))
    found = [Trouble(troubles.SECRET_MISSING, told) for told in read.missing]
    if (shared := sharing(body, tools.store.server_bodies())) is not None:
        found.append(shared)
    may_start = not found
    observed = Observed(tools.default_image, await _running_image(tools, server, body), read.digest)
    wanted = build(server, observed)
    possible, missing = _possible(tools, wanted)
    found += missing
    await tools.applier.make_way_for_replicas(server)
    for manifest in possible:
        if not may_start and _opens_stores(manifest):
            # Pods as they are go on; new ones would not start, or do harm.
            continue
        trouble = await tools.applier.apply(server, manifest)
        if trouble is None and _is_gateways(server, manifest):
            trouble = await tools.applier.replicas(server, _gateways(tools, server))
        if trouble is not None:
            found.append(trouble)
    await tools.applier.prune(server, wanted)
    return found


def _possible(tools: Tools, wanted: Sequence[Manifest]) -> tuple[list[Manifest], list[Trouble]]:
    """What this cluster has the kinds for, and a sentence for each other kind."""
    unserved = set(OPTIONAL) - set(tools.served())
    possible = [manifest for manifest in wanted if kind_of(manifest) not in unserved]
    missing = {kind_of(manifest) for manifest in wanted} & unserved
    told = [
        Trouble(
            troubles.API_MISSING,
            f"The cluster does not know {kind.kind} ({kind.api_version}): install its definition, or leave it out",
            blocks=False,
        )
        for kind in sorted(missing)
    ]
    return possible, told


async def _running_image(tools: Tools, server: TusServer, body: Object) -> str | None:
    """The image that was decided on before: by us, or by whoever made the gateways that we find."""
    told: str | None = (body.get("status") or {}).get("image")
    if told:
        return told
    live = await tools.applier.live(DEPLOYMENT, server.namespace, gateway.name(server))
    return None if live is None else str(live["spec"]["template"]["spec"]["containers"][0]["image"])


def _opens_stores(manifest: Manifest) -> bool:
    return kind_of(manifest) == DEPLOYMENT and manifest["metadata"]["labels"][names.COMPONENT] != names.REDIS


def _is_gateways(server: TusServer, manifest: Manifest) -> bool:
    return kind_of(manifest) == DEPLOYMENT and manifest["metadata"]["name"] == gateway.name(server)


def _gateways(tools: Tools, server: TusServer) -> Object | None:
    return tools.store.get(DEPLOYMENT, server.namespace, gateway.name(server))


def _facts(
    tools: Tools,
    server: TusServer,
    body: Object,
    found: Sequence[Trouble],
    answers: Answers,
    *,
    paused: bool,
) -> Facts:
    deployment = _gateways(tools, server)
    before: dict[str, Any] = body.get("status") or {}
    running = before.get("image")
    if deployment is not None:
        running = running or deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    exposure = server.spec.exposure
    kind = HTTP_ROUTE if exposure is not None and exposure.http_route is not None else INGRESS
    return Facts(
        server=server,
        gateways=deployment,
        janitors=tools.store.get(DEPLOYMENT, server.namespace, janitor.name(server)),
        route=tools.store.get(kind, server.namespace, server.name),
        image=running if paused else image(server.spec, Observed(tools.default_image, running)),
        answers=answers,
        troubles=tuple(found),
        paused=paused,
    )


def _again(found: Sequence[Trouble], answers: Answers) -> float | None:
    if answers.asked_again:
        return gateways.AGAIN_SECONDS
    unwatched = {troubles.FOREIGN_OBJECT, troubles.REFUSED, troubles.BEING_DELETED, troubles.STORES_SHARED}
    return UNWATCHED_SECONDS if any(trouble.reason in unwatched for trouble in found) else None
