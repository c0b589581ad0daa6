"""A namespace with TusServers in it, as a person with kubectl would use it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.servers import eventually
from tests.testbed.kube_api import KubeApi, Object
from tests.unit.operator.builders.cases import SMALLEST, SPECS
from tusfleet_operator.cluster.kinds import CHILDREN, DEPLOYMENT, SECRET, TUSSERVER, Kind, kind_of
from tusfleet_operator.references import references
from tusfleet_operator.resource import TusServer

SECONDS = 30.0
"""The operator acts within milliseconds; on a machine that builds beside the tests, later."""

PASSING = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")
"""Members of metadata that tell nothing of how an object is."""


@dataclass(frozen=True)
class Site:
    """One namespace."""

    api: KubeApi
    home: str

    def make(
        self, case: str | dict[str, Any] = "smallest", name: str = "uploads", *, secrets: bool = True
    ) -> TusServer:
        """A TusServer, with the Secrets that it refers to, and how the API server has it."""
        spec = apart(SPECS[case] if isinstance(case, str) else case, f"{name}.{self.home}")
        manifest = {
            "apiVersion": TUSSERVER.api_version,
            "kind": TUSSERVER.kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        server = TusServer.read(self.api.apply(manifest, self.home))
        if secrets:
            self.make_secrets(server)
        return server

    def make_secrets(self, server: TusServer, value: str = "value") -> None:
        """What a TusServer refers to."""
        data: dict[tuple[str, str], dict[str, str]] = {}
        for found in references(server.spec):
            data.setdefault((found.kind, found.name), {})[found.key] = value
        for (kind, name), members in data.items():
            field = "stringData" if kind == SECRET.kind else "data"
            self.api.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: members}, self.home)

    def change(self, change: dict[str, Any], name: str = "uploads") -> Object:
        """Merge into a TusServer."""
        return self.api.patch(TUSSERVER.api_version, TUSSERVER.kind, name, change, self.home)

    def server(self, name: str = "uploads") -> Object:
        """A TusServer as it is."""
        found = self.api.get(TUSSERVER.api_version, TUSSERVER.kind, name, self.home)
        assert found is not None
        return found

    def condition(self, kind: str, name: str = "uploads") -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        for found in self.server(name).get("status", {}).get("conditions", []):
            if found["type"] == kind:
                return found["status"], found["reason"], found["message"]
        return ("", "", "")

    def until(self, kind: str, reason: str, name: str = "uploads") -> str:
        """Wait for a reason of a condition; gives the message."""
        eventually(lambda: self.condition(kind, name)[1] == reason, SECONDS)
        return self.condition(kind, name)[2]

    def get(self, kind: Kind, name: str) -> Object | None:
        """One object."""
        return self.api.get(kind.api_version, kind.kind, name, self.home)

    def deployment(self, name: str = "uploads-gateway") -> Object:
        """A Deployment, waited for."""
        found: Object = eventually(lambda: self.get(DEPLOYMENT, name), SECONDS)
        return found

    def children(self, owner: str = "uploads") -> list[Object]:
        """Everything that says that it belongs to a TusServer."""
        found = []
        for kind in CHILDREN:
            if self.api.knows(kind.api_version, kind.kind):
                found += self.api.objects(kind.api_version, kind.kind, self.home, f"tusfleet.dev/tusserver={owner}")
        return found

    def has_children(self, count: int, owner: str = "uploads") -> list[Object]:
        """Wait for so many children."""
        eventually(lambda: len(self.children(owner)) == count, SECONDS)
        return self.children(owner)

    def eventually(self, holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Wait until something holds."""
        return eventually(holds, seconds)

    def set_ready(self, name: str = "uploads-gateway", ready: int | None = None) -> None:
        """Say of a Deployment what its controller would say once its pods are ready."""
        found = self.deployment(name)
        wanted = found["spec"]["replicas"]
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": wanted if ready is None else ready,
            "availableReplicas": wanted if ready is None else ready,
        }
        self.api.set_status(DEPLOYMENT.api_version, DEPLOYMENT.kind, name, status, self.home)


def apart(spec: dict[str, Any], word: str) -> dict[str, Any]:
    """A copy of the spec with a bucket and records of its own: of two TusServers that share either, one is not made."""
    found = copy.deepcopy(spec)
    if s3 := found.get("storage", {}).get("s3"):
        s3["bucket"] = word
    if "prefix" in found.get("redis", {}):
        found["redis"]["prefix"] = word
    return found


def essence(body: Object) -> Object:
    """An object without what changes with every write, and without its status."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in PASSING}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def named(body: Object) -> str:
    """Kind and name of an object."""
    return f"{body['kind']} {body['metadata']['name']}"


def kind_of_child(body: Object) -> Kind:
    """The kind of a child."""
    return kind_of(body)


SMALL: dict[str, Any] = SMALLEST
