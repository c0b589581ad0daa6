"""Whether an object of a child's name is ours to change."""

from __future__ import annotations

from enum import Enum, auto

from tusfleet_operator import names
from tusfleet_operator.cluster.kinds import TUSSERVER, Object
from tusfleet_operator.cluster.store import controller_of
from tusfleet_operator.resource.server import TusServer


class Ownership(Enum):
    """Whose an object is."""

    OURS = auto()
    LEAVING = auto()
    """It belongs to a TusServer of the same name that was deleted, and is about to be collected."""
    FOREIGN = auto()


def ownership(body: Object, server: TusServer) -> Ownership:
    """Whose an object is.

    One whose owner reference was taken away is still ours: that we applied it stands in its managed fields. So are
    those of a TusServer that was deleted with `deletionPolicy: Orphan` or `kubectl delete --cascade=orphan`.
    """
    controller = controller_of(body)
    if controller is None:
        return Ownership.OURS if applied_by(body, names.MANAGER) is not None else Ownership.FOREIGN
    if controller.get("uid") == server.uid:
        return Ownership.OURS
    is_before = controller.get("kind") == TUSSERVER.kind and controller.get("name") == server.name
    return Ownership.LEAVING if is_before else Ownership.FOREIGN


def applied_by(body: Object, manager: str) -> Object | None:
    """The fields that a manager owns by server-side apply; None when it never applied the object."""
    for entry in body["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            found: Object = entry.get("fieldsV1") or {}
            return found
    return None
