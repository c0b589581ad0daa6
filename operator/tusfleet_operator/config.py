"""How an operator is set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Config:
    """What may be set about the operator itself.

    Parameters:
        namespace: its own: where its Lease is.
        watched: namespaces whose TusServers it looks after; None: all.
        image: of gateways and janitors, unless a TusServer names another.
        identity: of this process among several; the name of its pod.
        lease: name of the Lease.
        port: of health and metrics.
        workers: TusServers that are looked at at the same time.
        resync: seconds after which everything is listed and looked at again, whatever watches told.
        discovery: seconds after which the API server is asked for kinds that somebody may have installed.
    """

    namespace: str
    watched: tuple[str, ...] | None
    image: str
    identity: str
    lease: str = "tusfleet-operator"
    port: int = 8081
    workers: int = 4
    resync: float = 300.0
    discovery: float = 30.0
