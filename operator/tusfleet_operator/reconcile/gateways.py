"""What gateways say of their stores. They are asked only while none of them is ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tusfleet_operator import names
from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import POD, Object
from tusfleet_operator.cluster.pods import Pods
from tusfleet_operator.resource.server import TusServer

MOST_ASKED = 3
"""Pods that are asked: all of them have the same settings."""

AGAIN_SECONDS = 10.0
"""When they are asked again, as long as none is ready."""

LONGEST = 500
"""Characters of a sentence that is taken from a pod."""

_REDIS = ("Redis", "Sentinel")
_STORAGE = ("S3", "bucket", "AWS", "storage")
"""Words of the sentences that gateways say about their stores."""

_NEVER_STARTS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}
)

Claim = tuple[str, str, str]
"""Status, reason and message of a condition."""

NOT_ASKED: Claim = ("Unknown", "NotAsked", "No gateway has said anything about it yet")
REACHABLE: Claim = ("True", "GatewaysReady", "Gateways are ready, which they are not without it")


@dataclass(frozen=True, slots=True)
class Answers:
    """What gateways say.

    Parameters:
        storage: the condition StorageReachable.
        redis: the condition RedisReachable.
        trouble: why they are not ready, in their words.
        failed: why they do not even run.
    """

    storage: Claim = NOT_ASKED
    redis: Claim = NOT_ASKED
    trouble: str | None = None
    failed: str | None = None

    @property
    def asked_again(self) -> bool:
        """Whether what they say may change without an event that tells it."""
        return self.trouble is not None or self.failed is not None


async def look(client: Client, pods: Pods, server: TusServer, gateways: Object | None) -> Answers:
    """Ask the gateways of a TusServer, if their Deployment does not tell it.

    Raises:
        ApiFailure: their pods could not be listed.
    """
    counted = (gateways or {}).get("status") or {}
    if counted.get("readyReplicas", 0) > 0:
        return Answers(REACHABLE, REACHABLE)
    if counted.get("replicas", 0) == 0:
        return Answers()
    labels = ",".join(f"{key}={value}" for key, value in names.selector(server.name, names.GATEWAY).items())
    found = await client.list(POD, server.namespace, labels)
    found = sorted(found, key=lambda pod: pod["metadata"].get("creationTimestamp", ""), reverse=True)[:MOST_ASKED]
    failed = next(filter(None, map(_failed, found)), None)
    if failed is not None:
        return _classified(failed, failed=failed)
    said = await asyncio.gather(*(pods.ask(pod, "/readyz") for pod in found))
    trouble = next(filter(None, map(_reason, said)), None)
    return _classified(trouble or "", trouble=trouble or "Gateways are starting")


def _classified(sentence: str, trouble: str | None = None, failed: str | None = None) -> Answers:
    storage, redis = NOT_ASKED, NOT_ASKED
    if any(word in sentence for word in _REDIS):
        redis = ("False", "Unreachable", sentence)
    elif any(word in sentence for word in _STORAGE):
        # Records are opened, and asked, before the storage is.
        storage, redis = ("False", "Unreachable", sentence), REACHABLE
    return Answers(storage, redis, trouble, failed)


def _reason(answer: str | None) -> str | None:
    """Why a gateway is not ready, as it says it."""
    try:
        told = json.loads(answer or "")
    except ValueError:
        return None
    reason = told.get("reason") if isinstance(told, dict) else None
    return str(reason)[:LONGEST] if reason else None


def _failed(pod: Object) -> str | None:
    """Why a pod does not run: what the kubelet says, or the last words of the process."""
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _NEVER_STARTS:
            return _sentence(f"{waiting['reason']}: {waiting.get('message') or container.get('image')}")
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if waiting and ended.get("exitCode"):
            return _sentence(ended.get("message") or f"the process ended with status {ended['exitCode']}")
    return None


def _sentence(text: str) -> str:
    """The last line of what a process wrote; of a line of its log only what it says."""
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    last = lines[-1]
    try:
        told = json.loads(last)
        last = str(told.get("message") or told.get("event") or last) if isinstance(told, dict) else last
    except ValueError:
        pass
    return last.removeprefix("Error: ")[:LONGEST]
