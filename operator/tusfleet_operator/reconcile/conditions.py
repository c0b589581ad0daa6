"""What is told of a TusServer: its status, from what is wanted, what is there, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.builders import address, settings
from tusfleet_operator.cluster.kinds import Object
from tusfleet_operator.reconcile import troubles
from tusfleet_operator.reconcile.gateways import Answers
from tusfleet_operator.reconcile.troubles import Trouble
from tusfleet_operator.resource import status as types
from tusfleet_operator.resource.server import TusServer

LONGEST_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status is made of.

    Parameters:
        gateways: the Deployment as it is; None when there is none.
        janitors: theirs.
        route: the HTTPRoute or Ingress as it is; None when there is none.
        image: what gateways are to run.
        answers: what gateways say of their stores.
    """

    server: TusServer
    gateways: Object | None
    janitors: Object | None
    route: Object | None
    image: str | None
    answers: Answers
    troubles: Sequence[Trouble] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    type: str
    status: str
    reason: str
    message: str


def status(facts: Facts, before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The status as it is to be; the times of what has not changed are those of before."""
    known = {condition["type"]: condition for condition in before.get("conditions") or []}
    counted = (facts.gateways or {}).get("status") or {}
    server = facts.server
    found: dict[str, Any] = {
        "observedGeneration": server.generation,
        "conditions": [_condition(claim, known, server.generation, now) for claim in claims(facts)],
        "replicas": counted.get("replicas", 0),
        "readyReplicas": counted.get("readyReplicas", 0),
        "updatedReplicas": counted.get("updatedReplicas", 0),
        "selector": ",".join(f"{key}={value}" for key, value in names.selector(server.name, names.GATEWAY).items()),
        "url": address.url(server),
        "configHash": settings.config_hash(server),
    }
    if facts.image is not None:
        found["image"] = facts.image
    return found


def _condition(claim: _Claim, known: Mapping[str, Any], generation: int, now: str) -> dict[str, Any]:
    before = known.get(claim.type)
    changed = before is None or before.get("status") != claim.status
    return {
        "type": claim.type,
        "status": claim.status,
        "observedGeneration": generation,
        "lastTransitionTime": now if changed or before is None else before["lastTransitionTime"],
        "reason": claim.reason,
        "message": claim.message[:LONGEST_MESSAGE],
    }


def claims(facts: Facts) -> list[_Claim]:
    """All conditions, in the order in which people read them."""
    route = _route(facts)
    found = [
        _ready(facts, route),
        _progressing(facts),
        _degraded(facts),
        _Claim(types.STORAGE_REACHABLE, *facts.answers.storage),
        _Claim(types.REDIS_REACHABLE, *facts.answers.redis),
    ]
    if route is not None:
        found.append(route)
    if facts.paused:
        told = f"Nothing is changed and nothing repaired until the annotation {names.PAUSED} is removed"
        found.append(_Claim(types.PAUSED, "True", "Paused", told))
    else:
        found.append(_Claim(types.PAUSED, "False", "NotPaused", "Changes are made and drift is repaired"))
    return found


def _ready(facts: Facts, route: _Claim | None) -> _Claim:
    """Whether gateways take uploads where the TusServer says that they do."""
    available = _available(facts.gateways)
    for trouble in facts.troubles:
        # What serves goes on serving without a Secret, but not by a Service that is somebody else's.
        if trouble.reason == troubles.FOREIGN_OBJECT or (trouble.blocks and not available):
            return _Claim(types.READY, "False", trouble.reason, trouble.message)
    if facts.gateways is None:
        return _Claim(types.READY, "False", "NoGateways", "There is no Deployment of gateways yet")
    wanted = facts.gateways["spec"].get("replicas", 1)
    if wanted == 0:
        return _Claim(types.READY, "False", "ScaledToZero", "There are to be no gateways; set replicas above 0")
    if not available:
        told = facts.answers.failed or facts.answers.trouble or f"None of {wanted} gateways is ready yet"
        return _Claim(types.READY, "False", "GatewaysNotReady", told)
    if route is not None and route.status == "False":
        return _Claim(types.READY, "False", "RouteNotAccepted", route.message)
    return _Claim(types.READY, "True", "GatewaysReady", "Gateways take uploads")


def _progressing(facts: Facts) -> _Claim:
    if facts.gateways is None:
        return _Claim(types.PROGRESSING, "False", "NoGateways", "There is no Deployment of gateways")
    if settled(facts.gateways):
        return _Claim(types.PROGRESSING, "False", "Settled", "All gateways have the newest settings and image")
    counted = facts.gateways.get("status") or {}
    told = f"{counted.get('updatedReplicas', 0)} of {facts.gateways['spec'].get('replicas', 1)} gateways are up to date"
    return _Claim(types.PROGRESSING, "True", "RollingOut", told)


def _degraded(facts: Facts) -> _Claim:
    found = list(facts.troubles)
    if facts.gateways is not None and _is_stuck(facts.gateways):
        told = facts.answers.trouble or "gateways do not become ready in time; see the events and logs of their pods"
        found.append(Trouble(troubles.ROLLOUT_STUCK, told))
    if facts.janitors is not None and _is_stuck(facts.janitors):
        told = "janitors do not become ready in time; see the events and logs of their pods"
        found.append(Trouble(troubles.ROLLOUT_STUCK, told, blocks=False))
    if facts.answers.failed:
        found.append(Trouble(troubles.GATEWAY_FAILED, facts.answers.failed))
    if not found:
        return _Claim(types.DEGRADED, "False", "AsWanted", "Everything is as it is wanted")
    return _Claim(types.DEGRADED, "True", found[0].reason, "; ".join(trouble.message for trouble in found))


def _route(facts: Facts) -> _Claim | None:
    exposure = facts.server.spec.exposure
    if exposure is None:
        return None
    if facts.route is None:
        missing = next((found for found in facts.troubles if found.reason == troubles.API_MISSING), None)
        if missing is not None:
            return _Claim(types.ROUTE_ACCEPTED, "False", missing.reason, missing.message)
        return _Claim(types.ROUTE_ACCEPTED, "Unknown", "NoRoute", "There is no route yet")
    return _http_route(facts.route) if exposure.http_route is not None else _ingress(facts.route)


def _http_route(route: Object) -> _Claim:
    parents = (route.get("status") or {}).get("parents") or []
    if not parents:
        told = "No Gateway has said anything about the route; is there one of that name, and a controller for it?"
        return _Claim(types.ROUTE_ACCEPTED, "Unknown", "Pending", told)
    for parent in parents:
        for condition in parent.get("conditions") or []:
            if condition.get("type") in {"Accepted", "ResolvedRefs"} and condition.get("status") == "False":
                told = (
                    f"Gateway {parent['parentRef'].get('name')}: {condition.get('message') or condition.get('reason')}"
                )
                return _Claim(types.ROUTE_ACCEPTED, "False", condition.get("reason") or "NotAccepted", told)
    return _Claim(types.ROUTE_ACCEPTED, "True", "Accepted", "Every Gateway accepts the route")


def _ingress(ingress: Object) -> _Claim:
    if ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return _Claim(types.ROUTE_ACCEPTED, "True", "HasAddress", "The Ingress has an address")
    told = "The Ingress has no address; some controllers never give it one"
    return _Claim(types.ROUTE_ACCEPTED, "Unknown", "NoAddress", told)


def _available(gateways: Object | None) -> bool:
    """Whether there is a gateway that takes uploads now, whatever a rollout is doing."""
    return gateways is not None and ((gateways.get("status") or {}).get("readyReplicas") or 0) > 0


def settled(deployment: Object) -> bool:
    """Whether all pods of a Deployment are those of its template, and there are no others."""
    counted = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    counts = {counted.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    is_seen: bool = counted.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return is_seen and counts == {wanted}


def _is_stuck(deployment: Object) -> bool:
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return any(
        condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded"
        for condition in conditions
    )
