"""What the manifests of all children have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tusfleet_operator import names
from tusfleet_operator.resource.server import API_VERSION, KIND, TusServer

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a builder knows of the cluster, besides the TusServer.

    Parameters:
        default_image: image of the operator's own version.
        running_image: the one that was decided on before; None for a TusServer that has no gateways yet.
        secrets: digest of everything that the pods read from Secrets and ConfigMaps.
    """

    default_image: str
    running_image: str | None = None
    secrets: str = ""


def metadata(
    server: TusServer,
    name: str,
    component: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Metadata of a child; labels and annotations of the user's never win over ours."""
    found: Manifest = {
        "name": name,
        "namespace": server.namespace,
        "labels": {**(labels or {}), **names.labels(server.name, component)},
    }
    if annotations:
        found["annotations"] = dict(annotations)
    if server.spec.deletion_policy != "Orphan":
        # Without `blockOwnerDeletion`: it would need the right to change finalizers of a TusServer.
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": server.name, "uid": server.uid, "controller": True}
        found["ownerReferences"] = [owner]
    return found


def without_nothing(manifest: Mapping[str, Any]) -> Manifest:
    """Leave out members that say nothing, so that we do not own them: None and empty lists and maps."""
    return {key: value for key, value in manifest.items() if value is not None and value not in ([], {})}
