"""NetworkPolicies: who may connect to the pods, and with whom they may."""

from __future__ import annotations

from collections.abc import Sequence

from tusfleet_operator import names
from tusfleet_operator.builders import gateway, pods, redis
from tusfleet_operator.builders._common import Manifest, Observed, metadata, without_nothing
from tusfleet_operator.resource.exposure import NetworkPolicy, Peer, Selector
from tusfleet_operator.resource.server import TusServer

DNS_PORT = 53


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """One for each component; nothing without `networkPolicy`."""
    if (given := server.spec.network_policy) is None:
        return []
    uploads = _rule("from", given.ingress_from, gateway.PORT)
    metrics = _rule("from", given.metrics_from, pods.METRICS_PORT)
    egress = _egress(server, given)
    found = [
        _policy(server, names.GATEWAY, [*uploads, *metrics], egress),
        _policy(server, names.JANITOR, metrics, egress),
    ]
    if server.spec.redis.dev is not None:
        ours = [
            {"podSelector": {"matchLabels": names.selector(server.name, component)}}
            for component in (names.GATEWAY, names.JANITOR)
        ]
        found.append(_policy(server, names.REDIS, [{"from": ours, "ports": [_port(redis.PORT)]}], []))
    return found


def _policy(
    server: TusServer, component: str, ingress: Sequence[Manifest], egress: Sequence[Manifest] | None
) -> Manifest:
    # A direction without rules lets nobody through; the API server drops empty lists.
    rules = without_nothing({"ingress": list(ingress), "egress": list(egress or ())})
    spec: Manifest = {
        "podSelector": {"matchLabels": names.selector(server.name, component)},
        "policyTypes": ["Ingress"] if egress is None else ["Ingress", "Egress"],
        **rules,
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(server, f"{server.name}-{component}", component),
        "spec": spec,
    }


def _egress(server: TusServer, given: NetworkPolicy) -> list[Manifest] | None:
    if given.egress_to is None:
        return None
    allowed = [_peer(peer) for peer in given.egress_to]
    if server.spec.redis.dev is not None:
        allowed.append({"podSelector": {"matchLabels": names.selector(server.name, names.REDIS)}})
    names_service: Manifest = {"ports": [_port(DNS_PORT, "UDP"), _port(DNS_PORT)]}
    return [names_service, *([{"to": allowed}] if allowed else [])]


def _rule(direction: str, peers: Sequence[Peer] | None, port: int) -> list[Manifest]:
    """A rule for one port: for everybody without peers, for nobody (no rule at all) with none in the list."""
    if peers is None:
        return [{"ports": [_port(port)]}]
    return [{direction: [_peer(peer) for peer in peers], "ports": [_port(port)]}] if peers else []


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"port": number, "protocol": protocol}


def _peer(given: Peer) -> Manifest:
    if given.ip_block is not None:
        block = without_nothing({"cidr": given.ip_block.cidr, "except": given.ip_block.except_})
        return {"ipBlock": block}
    found: Manifest = {}
    if given.namespace_selector is not None:
        found["namespaceSelector"] = _selector(given.namespace_selector)
    if given.pod_selector is not None:
        found["podSelector"] = _selector(given.pod_selector)
    return found


def _selector(given: Selector) -> Manifest:
    expressions = [
        without_nothing({"key": found.key, "operator": found.operator, "values": found.values})
        for found in given.match_expressions
    ]
    return without_nothing({"matchLabels": dict(given.match_labels), "matchExpressions": expressions})
