"""Kinds of objects that the operator meets, and where the API server has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tusfleet_operator.resource.server import GROUP, PLURAL, VERSION
from tusfleet_operator.resource.server import KIND as TUSSERVER_KIND

Object = Mapping[str, Any]
"""An object as the API server has it."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind of objects.

    Parameters:
        group: of the API; empty for the core.
        plural: its name in paths and in rules of RBAC.
    """

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def api_path(self) -> str:
        """Path of its version of its group."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of one object, of those in a namespace, or of all."""
        found = self.api_path
        if namespace is not None:
            found += f"/namespaces/{quote(namespace, safe='')}"
        found += f"/{self.plural}"
        if name is not None:
            found += f"/{quote(name, safe='')}"
        return found if subresource is None else f"{found}/{subresource}"


TUSSERVER = Kind(GROUP, VERSION, TUSSERVER_KIND, PLURAL)
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
POD = Kind("", "v1", "Pod", "pods")
EVENT = Kind("", "v1", "Event", "events")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")

ALWAYS = (
    CONFIG_MAP,
    DEPLOYMENT,
    AUTOSCALER,
    INGRESS,
    Kind("", "v1", "Service", "services"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
)
"""Kinds of children that every cluster has."""

OPTIONAL = (
    HTTP_ROUTE,
    Kind("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
    Kind("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
)
"""Kinds of children that a cluster has when somebody installed them."""

CHILDREN = (*ALWAYS, *OPTIONAL)

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in CHILDREN}


def kind_of(manifest: Object) -> Kind:
    """The kind of a child's manifest."""
    return _BY_NAME[manifest["apiVersion"], manifest["kind"]]
