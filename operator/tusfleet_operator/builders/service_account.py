"""The service account of the pods; it has no rights, and may stand for a role of the storage's provider."""

from __future__ import annotations

from tusfleet_operator import names
from tusfleet_operator.builders._common import Manifest, Observed, metadata
from tusfleet_operator.resource.server import TusServer


def build(server: TusServer, observed: Observed) -> list[Manifest]:  # noqa: ARG001  # as every builder
    """The ServiceAccount; nothing when the TusServer names one that is there."""
    given = server.spec.template.service_account
    if given.name is not None:
        return []
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(server, server.name, names.GATEWAY, annotations=given.annotations),
            "automountServiceAccountToken": False,
        }
    ]
