"""Where clients create uploads."""

from __future__ import annotations

from tusfleet_operator.resource.server import TusServer
from tusfleet_operator.resource.spec import Spec

DEFAULT_BASE_PATH = "/files"


def base_path(spec: Spec) -> str:
    """Path of the collection of uploads."""
    return str(spec.gateway.setting("basePath") or DEFAULT_BASE_PATH)


def url(server: TusServer) -> str:
    """The address: from outside when the TusServer says how, from inside of the cluster otherwise."""
    exposure = server.spec.exposure
    hosts: list[str] = []
    if exposure is not None and exposure.http_route is not None:
        hosts = exposure.http_route.hostnames
    elif exposure is not None and exposure.ingress is not None:
        hosts = exposure.ingress.hosts
    if exposure is not None and hosts:
        return f"{exposure.scheme}://{hosts[0]}{base_path(server.spec)}"
    port = "" if server.spec.service.port == 80 else f":{server.spec.service.port}"
    return f"http://{server.name}.{server.namespace}.svc{port}{base_path(server.spec)}"
