"""The view of the cluster: as new as what was seen last, and corrected by lists."""

from __future__ import annotations

from typing import Any

import pytest

from tusfleet_operator.cluster.kinds import CONFIG_MAP, DEPLOYMENT, SECRET, TUSSERVER, Kind
from tusfleet_operator.cluster.store import DELETED, Store, owner_of

LABELS = {"app.kubernetes.io/managed-by": "tusfleet-operator", "tusfleet.dev/tusserver": "uploads"}


def child(name: str = "uploads-gateway", version: int = 1, **metadata: Any) -> dict[str, Any]:
    found = {"name": name, "namespace": "apps", "uid": "u1", "resourceVersion": str(version), "labels": LABELS}
    return {"metadata": {**found, **metadata}}


def secret(name: str, version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "apps", "resourceVersion": str(version)},
        "data": {"key": "dmFsdWU="},
    }


def test_what_was_seen_is_known_and_news_are_told_once() -> None:
    store = Store()
    assert [store.seen(DEPLOYMENT, None, child()) for _ in range(2)] == [True, False]
    assert store.seen(DEPLOYMENT, "MODIFIED", child(version=2))
    assert store.get(DEPLOYMENT, "apps", "uploads-gateway") == child(version=2)
    assert store.seen(DEPLOYMENT, DELETED, child(version=3))
    assert store.get(DEPLOYMENT, "apps", "uploads-gateway") is None


def test_a_watch_that_is_behind_does_not_undo_what_an_answer_told() -> None:
    store = Store()
    store.seen(DEPLOYMENT, None, child(version=100))
    assert not store.seen(DEPLOYMENT, "MODIFIED", child(version=99))
    assert store.get(DEPLOYMENT, "apps", "uploads-gateway") == child(version=100)


def test_an_object_that_was_made_anew_is_another_one() -> None:
    store = Store()
    store.seen(DEPLOYMENT, None, child(version=100))
    assert store.seen(DEPLOYMENT, "ADDED", child(version=5, uid="u2"))
    assert store.get(DEPLOYMENT, "apps", "uploads-gateway") == child(version=5, uid="u2")


@pytest.mark.parametrize("kind", [DEPLOYMENT, CONFIG_MAP])
def test_a_child_whose_label_is_taken_away_is_not_known_any_more(kind: Kind) -> None:
    """Watches by label tell that it was deleted, those of ConfigMaps that it was changed."""
    store = Store()
    store.seen(kind, None, child())
    assert store.seen(kind, "MODIFIED", child(version=2, labels={}))
    assert store.get(kind, "apps", "uploads-gateway") is None


def test_of_secrets_only_versions_are_kept() -> None:
    store = Store()
    assert store.seen(SECRET, None, secret("minio"))
    assert store.version(SECRET, "apps", "minio") == "1"
    assert b"dmFsdWU" not in repr(vars(store)).encode()
    assert store.seen(SECRET, "MODIFIED", secret("minio", 2))
    assert not store.seen(SECRET, "MODIFIED", secret("minio", 2))
    assert store.seen(SECRET, DELETED, secret("minio", 3))
    assert store.version(SECRET, "apps", "minio") is None


def test_a_list_tells_what_watches_missed() -> None:
    store = Store()
    for name in ("same", "changed", "gone"):
        store.seen(DEPLOYMENT, None, child(name))
    listed = [child("same"), child("changed", version=2), child("new")]
    missed = store.listed(DEPLOYMENT, None, listed)
    assert sorted(body["metadata"]["name"] for body in missed) == ["changed", "gone", "new"]
    assert store.get(DEPLOYMENT, "apps", "gone") is None
    assert store.listed(DEPLOYMENT, None, listed) == []


def test_a_list_of_some_namespaces_says_nothing_of_others() -> None:
    store = Store()
    store.seen(DEPLOYMENT, None, child(namespace="elsewhere"))
    assert store.listed(DEPLOYMENT, ["apps"], []) == []
    assert store.get(DEPLOYMENT, "elsewhere", "uploads-gateway") is not None


def test_a_list_of_versions_tells_what_watches_missed() -> None:
    store = Store()
    for name in ("same", "changed", "gone"):
        store.seen(SECRET, None, secret(name))
    missed = store.listed_versions(SECRET, None, [secret("same"), secret("changed", 2), secret("new")])
    assert sorted(name for _, name in missed) == ["changed", "gone", "new"]
    assert store.version(SECRET, "apps", "gone") is None


def test_children_are_found_by_their_tusserver() -> None:
    store = Store()
    store.seen(TUSSERVER, None, {"metadata": {"name": "uploads", "namespace": "apps", "resourceVersion": "1"}})
    store.seen(DEPLOYMENT, None, child())
    store.seen(DEPLOYMENT, None, child("other-gateway", labels={**LABELS, "tusfleet.dev/tusserver": "other"}))
    store.seen(DEPLOYMENT, None, child(namespace="elsewhere"))
    assert store.servers() == [("apps", "uploads")]
    assert [body["metadata"]["name"] for _, body in store.children("apps", "uploads")] == ["uploads-gateway"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"labels": LABELS}, "uploads"),
        ({"ownerReferences": [{"kind": "TusServer", "name": "uploads", "controller": True}]}, "uploads"),
        ({"ownerReferences": [{"kind": "ReplicaSet", "name": "uploads", "controller": True}]}, None),
        ({"ownerReferences": [{"kind": "TusServer", "name": "uploads"}]}, None),
        ({}, None),
    ],
)
def test_either_mark_tells_whose_a_child_is(metadata: dict[str, Any], expected: str | None) -> None:
    assert owner_of({"metadata": {"name": "x", **metadata}}) == expected
