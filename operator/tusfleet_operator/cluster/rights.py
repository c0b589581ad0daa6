"""What the operator may do: the one list from which the chart's RBAC comes, and which is asked about at the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tusfleet_operator.cluster.client import Client
from tusfleet_operator.cluster.kinds import (
    ACCESS_REVIEW,
    ALWAYS,
    EVENT,
    LEASE,
    OPTIONAL,
    POD,
    SECRET,
    TUSSERVER,
    Kind,
)

WATCH = ("get", "list", "watch")
OWN = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Right:
    """One rule.

    Parameters:
        kind: of what; a resource, or one of its subresources.
        verbs: what may be done to it.
        why: for the reader of the chart.
        own_namespace: only in the namespace of the operator, rather than wherever there may be a TusServer.
    """

    kind: Kind
    verbs: tuple[str, ...]
    why: str
    subresource: str | None = None
    own_namespace: bool = False

    @property
    def resource(self) -> str:
        return self.kind.plural if self.subresource is None else f"{self.kind.plural}/{self.subresource}"

    def plain(self) -> dict[str, list[str]]:
        """As a rule of a Role."""
        return {"apiGroups": [self.kind.group], "resources": [self.resource], "verbs": list(self.verbs)}


RIGHTS = (
    Right(TUSSERVER, ("list", "watch"), "what is wanted"),
    Right(TUSSERVER, ("patch",), "what is told of it", subresource="status"),
    Right(SECRET, WATCH, "whether what a TusServer refers to is there, and whether it changed"),
    *(Right(kind, OWN, "children of TusServers") for kind in ALWAYS),
    *(Right(kind, OWN, "children of TusServers, where the cluster has them") for kind in OPTIONAL),
    Right(POD, ("list", "patch"), "why gateways are not ready; which of them have the least to do"),
    Right(EVENT, ("create",), "what people see with kubectl describe"),
    Right(LEASE, ("get", "create", "update"), "which of several operators does the work", own_namespace=True),
)


async def missing(client: Client, namespaces: Sequence[str] | None, own: str) -> list[str]:
    """The rights that are not there, one sentence for each resource.

    Raises:
        ApiFailure: the API server could not be asked.
    """
    refused: dict[str, list[str]] = {}
    for right, verb, namespace in _reviews(namespaces, own):
        if not await _may(client, right, verb, namespace):
            where = f"in the namespace {namespace}" if namespace else "in all namespaces"
            group = f" ({right.kind.group})" if right.kind.group else ""
            refused.setdefault(f"{right.resource}{group} {where}", []).append(verb)
    return [f"it may not {', '.join(verbs)} {what}" for what, verbs in refused.items()]


def _reviews(namespaces: Sequence[str] | None, own: str) -> Iterator[tuple[Right, str, str | None]]:
    for right in RIGHTS:
        places: Sequence[str | None] = [own] if right.own_namespace else (namespaces or [None])
        for namespace in places:
            for verb in right.verbs:
                yield right, verb, namespace


async def _may(client: Client, right: Right, verb: str, namespace: str | None) -> bool:
    attributes = {
        "verb": verb,
        "group": right.kind.group,
        "version": right.kind.version,
        "resource": right.kind.plural,
        **({"namespace": namespace} if namespace else {}),
        **({"subresource": right.subresource} if right.subresource else {}),
    }
    body = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.kind,
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.create(ACCESS_REVIEW, None, body)
    return bool(answer["status"].get("allowed"))
