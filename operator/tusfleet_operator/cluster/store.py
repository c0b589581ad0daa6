"""What was seen of the cluster: TusServers and their children whole, of everything that they may refer to the versions.

Watches fill it, and now and then lists do: a watch that was interrupted does not tell of what was deleted meanwhile.
Values of Secrets are never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tusfleet_operator import names
from tusfleet_operator.cluster.kinds import CHILDREN, CONFIG_MAP, SECRET, TUSSERVER, Kind, Object

Name = tuple[str, str]
"""Namespace and name."""

WHOLE = (TUSSERVER, *CHILDREN)
REFERRED = (SECRET, CONFIG_MAP)

DELETED = "DELETED"


class Store:
    """A view of the cluster, as new as what was seen last."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Name, Object]] = {kind: {} for kind in WHOLE}
        self._versions: dict[Kind, dict[Name, str]] = {kind: {} for kind in REFERRED}

    def seen(self, kind: Kind, event: str | None, body: Object) -> bool:
        """Take what a watch or an answer told; False when it is not new."""
        name = name_of(body)
        changed = self._version(kind, name, event, body) if kind in REFERRED else False
        if kind not in self._objects:
            return changed
        if event == DELETED or (kind in CHILDREN and not is_child(body)):
            return self._objects[kind].pop(name, None) is not None or changed
        known = self._objects[kind].get(name)
        if known is not None and _is_older(body, known):
            return changed
        self._objects[kind][name] = body
        return known is None or version_of(known) != version_of(body) or changed

    def listed(self, kind: Kind, namespaces: Iterable[str] | None, bodies: Iterable[Object]) -> list[Object]:
        """Take a whole list of these namespaces (None: of all); gives the objects of which no watch had told.

        Those that are not in it are forgotten.
        """
        scope = None if namespaces is None else set(namespaces)
        found = {name_of(body): body for body in bodies}
        known = self._objects[kind]
        gone = [body for name, body in known.items() if name not in found and (scope is None or name[0] in scope)]
        for body in gone:
            known.pop(name_of(body))
        return gone + [body for body in found.values() if self.seen(kind, None, body)]

    def listed_versions(self, kind: Kind, namespaces: Iterable[str] | None, bodies: Iterable[Object]) -> list[Name]:
        """The same for what is only referred to; gives the names of what is new, changed or gone."""
        scope = None if namespaces is None else set(namespaces)
        found = {name_of(body): version_of(body) for body in bodies}
        known = self._versions[kind]
        missed = [name for name in known if name not in found and (scope is None or name[0] in scope)]
        for name in missed:
            known.pop(name)
        missed += [name for name, version in found.items() if known.get(name) != version]
        known.update(found)
        return missed

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """An object; None when it was not seen."""
        return self._objects[kind].get((namespace, name))

    def forget(self, kind: Kind, namespace: str, name: str) -> None:
        """It is gone."""
        self._objects[kind].pop((namespace, name), None)

    def version(self, kind: Kind, namespace: str, name: str) -> str | None:
        """The version of what is referred to; None when it was not seen."""
        return self._versions[kind].get((namespace, name))

    def servers(self) -> list[Name]:
        """All TusServers."""
        return list(self._objects[TUSSERVER])

    def server_bodies(self) -> list[Object]:
        """All TusServers as they were seen."""
        return list(self._objects[TUSSERVER].values())

    def children(self, namespace: str, owner: str) -> Iterator[tuple[Kind, Object]]:
        """Everything in the namespace that says that it belongs to this TusServer."""
        for kind in CHILDREN:
            for name, body in list(self._objects[kind].items()):
                if name[0] == namespace and owner_of(body) == owner:
                    yield kind, body

    def _version(self, kind: Kind, name: Name, event: str | None, body: Object) -> bool:
        known = self._versions[kind].get(name)
        if event == DELETED:
            return self._versions[kind].pop(name, None) is not None
        self._versions[kind][name] = version_of(body)
        return known != version_of(body)


def name_of(body: Object) -> Name:
    """Namespace and name of an object."""
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def version_of(body: Object) -> str:
    """The version of an object, which changes whenever it does."""
    return str(body["metadata"].get("resourceVersion", ""))


def is_child(body: Object) -> bool:
    """Whether an object says that an operator made it."""
    return (body["metadata"].get("labels") or {}).get(names.MANAGED_BY) == names.OPERATOR


def owner_of(body: Object) -> str | None:
    """The name of the TusServer to which a child says that it belongs; either mark of it will do."""
    metadata = body["metadata"]
    if (owner := (metadata.get("labels") or {}).get(names.OWNER)) is not None:
        return str(owner)
    controller = controller_of(body)
    return controller["name"] if controller is not None and controller.get("kind") == TUSSERVER.kind else None


def controller_of(body: Object) -> Object | None:
    """The owner reference of whoever controls an object."""
    owners = body["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def _is_older(body: Object, known: Object) -> bool:
    """Whether a watch tells of something that an answer told already.

    Versions are numbers in every API server there is; where they were not, what comes later counts.
    """
    if body["metadata"].get("uid") != known["metadata"].get("uid"):
        return False
    mine, theirs = version_of(body), version_of(known)
    return mine.isdecimal() and theirs.isdecimal() and int(mine) < int(theirs)
