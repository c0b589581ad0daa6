"""Drift is told by who owns the fields, and whose an object is by who owns it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.builders.cases import SMALLEST, server
from tusfleet_operator.cluster.kinds import DEPLOYMENT
from tusfleet_operator.reconcile.memory import Memory
from tusfleet_operator.reconcile.ownership import Ownership, ownership

WANTED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "x", "namespace": "apps"},
    "spec": {"a": 1},
}
ME = "tusfleet-operator"
OURS: dict[str, Any] = {"f:spec": {"f:a": {}}}


def entry(manager: str = ME, operation: str = "Apply", fields: Any = None, **others: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": OURS if fields is None else fields, **others}


def live(*entries: dict[str, Any], uid: str = "u1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "namespace": "apps", "uid": uid, "managedFields": list(entries), **metadata}}


def remembering() -> Memory:
    memory = Memory()
    memory.remember(DEPLOYMENT, WANTED, live(entry(time="then")), ME)
    return memory


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        pytest.param(live(entry(time="later")), True, id="as it was"),
        pytest.param(
            live(entry(), entry("kubectl", "Update", {"f:spec": {"f:b": {}}})), True, id="something was added"
        ),
        pytest.param(live(entry(), entry(ME, fields={}, subresource="status")), True, id="its status was written"),
        pytest.param(live(entry(fields={"f:spec": {}}), entry("kubectl", "Update")), False, id="a field was changed"),
        pytest.param(live(entry(fields={})), False, id="a field was removed"),
        pytest.param(live(entry("kubectl")), False, id="somebody else applied it all"),
        pytest.param(live(entry(), uid="u2"), False, id="it was made anew"),
    ],
)
def test_drift(found: dict[str, Any], holds: bool) -> None:
    memory = remembering()
    assert memory.holds(DEPLOYMENT, WANTED, found, ME) is holds
    assert memory.has_drifted(DEPLOYMENT, WANTED, found, ME) is not holds


def test_something_else_that_is_wanted_is_no_drift() -> None:
    memory, other = remembering(), {**WANTED, "spec": {"a": 2}}
    assert not memory.holds(DEPLOYMENT, other, live(entry()), ME)
    assert not memory.has_drifted(DEPLOYMENT, other, live(entry()), ME)


def test_what_was_deleted_has_drifted_unless_it_was_never_there() -> None:
    assert remembering().has_drifted(DEPLOYMENT, WANTED, None, ME)
    assert not Memory().has_drifted(DEPLOYMENT, WANTED, None, ME)


def test_after_a_start_everything_is_applied_once() -> None:
    memory = remembering()
    memory.clear()
    assert not memory.holds(DEPLOYMENT, WANTED, live(entry()), ME)
    assert not memory.has_drifted(DEPLOYMENT, WANTED, live(entry()), ME)


def test_managers_are_remembered_apart() -> None:
    memory = remembering()
    assert not memory.holds(DEPLOYMENT, WANTED, live(entry()), "another")
    memory.forget(DEPLOYMENT, ("apps", "x"), "another")
    assert memory.holds(DEPLOYMENT, WANTED, live(entry()), ME)
    memory.forget(DEPLOYMENT, ("apps", "x"))
    assert not memory.holds(DEPLOYMENT, WANTED, live(entry()), ME)


OWNER = server(SMALLEST)
REFERENCE = {"kind": "TusServer", "name": OWNER.name, "uid": OWNER.uid, "controller": True}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(live(entry(), ownerReferences=[REFERENCE]), Ownership.OURS, id="ours"),
        pytest.param(live(ownerReferences=[REFERENCE]), Ownership.OURS, id="ours, restored from a backup"),
        pytest.param(live(entry()), Ownership.OURS, id="its owner was taken away"),
        pytest.param(live(entry("kubectl")), Ownership.FOREIGN, id="somebody's"),
        pytest.param(live(entry(operation="Update")), Ownership.FOREIGN, id="not applied"),
        pytest.param(
            live(entry(), ownerReferences=[{**REFERENCE, "uid": "before"}]), Ownership.LEAVING, id="of the one before"
        ),
        pytest.param(
            live(entry(), ownerReferences=[{**REFERENCE, "kind": "App", "uid": "u9"}]),
            Ownership.FOREIGN,
            id="of another controller",
        ),
        pytest.param(
            live(entry("x"), ownerReferences=[{**REFERENCE, "controller": False}]),
            Ownership.FOREIGN,
            id="not controlled",
        ),
    ],
)
def test_whose_an_object_is(found: dict[str, Any], expected: Ownership) -> None:
    assert ownership(found, OWNER) is expected
