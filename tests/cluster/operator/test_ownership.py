"""What is not ours is left alone and told; what was ours is taken over again."""

from __future__ import annotations

import pytest

from tests.cluster.operator.operators import OperatorProcess
from tests.cluster.operator.sites import SECONDS, Site, named
from tests.testbed.kube_api import Object
from tests.unit.operator.builders.cases import SMALLEST, case
from tusfleet_operator.builders import Observed, build
from tusfleet_operator.cluster.kinds import DEPLOYMENT, TUSSERVER
from tusfleet_operator.reconcile.reconciler import UNWATCHED_SECONDS

FOREIGN: list[Object] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "uploads"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "uploads-gateway"},
        "spec": {
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]},
            },
        },
    },
    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "uploads"}},
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=named)
def test_a_foreign_object_of_the_same_name_is_not_touched(
    site: Site, operator: OperatorProcess, foreign: Object
) -> None:
    before = site.api.create(foreign, site.home)
    site.make()
    message = site.until("Degraded", "ForeignObject")
    assert f"{foreign['kind']} {site.home}/{foreign['metadata']['name']} is there and was not made by this" in message
    assert site.condition("Ready")[:2] == ("False", "ForeignObject")
    operator.idle()
    kind, name = foreign["kind"], foreign["metadata"]["name"]
    assert site.api.get(foreign["apiVersion"], kind, name, site.home) == before
    # The rest is there, and so is this one when its place is free.
    assert len(site.children()) == 6
    site.api.delete(foreign["apiVersion"], kind, name, site.home)
    site.change({"metadata": {"annotations": {"look": "again"}}})
    site.has_children(7)
    site.until("Degraded", "AsWanted")


def test_an_object_that_looks_like_ours_is_not_deleted_for_it(site: Site, operator: OperatorProcess) -> None:
    """Labels are copied easily; that we applied it is not."""
    site.make()
    (ours, *_) = site.has_children(7)
    copied = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "copied", "labels": ours["metadata"]["labels"]},
    }
    site.api.create(copied, site.home)
    site.change({"spec": {"gateway": {"maxSize": "1Gi"}}})
    operator.idle()
    assert site.api.get("v1", "ConfigMap", "copied", site.home) is not None


def test_what_was_orphaned_is_taken_over_and_no_pod_is_replaced(site: Site, operator: OperatorProcess) -> None:
    """`kubectl delete --cascade=orphan`, and a TusServer of the same name again, with its image."""
    site.make({**SMALLEST, "image": {"tag": "0.9.0"}})
    site.has_children(7)
    operator.idle()
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", site.home, propagation="Orphan")
    # What the cluster's garbage collector does of an orphaning deletion.
    for child in site.children():
        path = site.api.path(child["apiVersion"], child["kind"], site.home, child["metadata"]["name"])
        change = {"metadata": {"ownerReferences": None}}
        site.api.http.patch(path, json=change, headers={"Content-Type": "application/merge-patch+json"})
    site.api.patch(TUSSERVER.api_version, TUSSERVER.kind, "uploads", {"metadata": {"finalizers": None}}, site.home)
    before = {named(child): child for child in site.children()}
    made = site.make()
    site.eventually(lambda: all(_owner(child) == made.uid for child in site.children()))
    after = {named(child): child for child in site.children()}
    assert set(after) == set(before)
    for name, child in after.items():
        assert child["metadata"]["uid"] == before[name]["metadata"]["uid"]
        assert child["metadata"].get("generation") == before[name]["metadata"].get("generation"), name
    assert site.server()["status"]["image"].endswith(":0.9.0")


def _owner(child: Object) -> str | None:
    owners = child["metadata"].get("ownerReferences", [])
    return owners[0]["uid"] if owners else None


def test_what_is_to_outlive_its_tusserver_has_no_owner(site: Site, operator: OperatorProcess) -> None:
    site.make("orphan")
    site.has_children(7)
    assert {_owner(child) for child in site.children()} == {None}
    # Features that are turned off go all the same.
    site.change({"spec": {"networkPolicy": {}}})
    site.has_children(9)
    site.change({"spec": {"networkPolicy": None}})
    site.has_children(7)
    # And it may change its mind, in both directions.
    site.change({"spec": {"deletionPolicy": "Drain"}})
    site.eventually(lambda: all(_owner(child) for child in site.children()))
    site.change({"spec": {"deletionPolicy": "Orphan"}})
    site.eventually(lambda: not any(_owner(child) for child in site.children()))


def test_children_of_a_tusserver_that_was_just_deleted_are_waited_for(site: Site, operator: OperatorProcess) -> None:
    """Its name is used again before the garbage collector has come by; here it never does."""
    site.make()
    site.has_children(7)
    operator.idle()
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "uploads", site.home)
    site.make()
    assert "is still being deleted" in site.until("Degraded", "BeingDeleted")
    before = {child["metadata"]["uid"] for child in site.children()}
    for child in site.children():
        site.api.delete(child["apiVersion"], child["kind"], child["metadata"]["name"], site.home)
    site.has_children(7)
    site.until("Degraded", "AsWanted")
    assert not before & {child["metadata"]["uid"] for child in site.children()}


def test_of_two_with_one_place_for_their_bytes_the_younger_waits_for_the_older_to_go(
    site: Site, operator: OperatorProcess
) -> None:
    manifest = {"apiVersion": TUSSERVER.api_version, "kind": TUSSERVER.kind, "spec": SMALLEST}
    older = site.make(name="older")
    site.deployment("older-gateway")
    s3 = {**SMALLEST["storage"]["s3"], "bucket": older.spec.storage.s3.bucket}
    spec = {**SMALLEST, "storage": {"s3": s3}}
    site.api.apply({**manifest, "metadata": {"name": "younger"}, "spec": spec}, site.home)
    message = site.until("Degraded", "StoresShared", "younger")
    assert f"{site.home}/older" in message
    assert site.condition("Ready", "younger")[:2] == ("False", "StoresShared")
    operator.idle()
    assert site.get(DEPLOYMENT, "younger-gateway") is None
    assert site.condition("Degraded", "older")[0] == "False"
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "older", site.home)
    # Nothing tells the younger one: it is looked at again by itself.
    site.eventually(lambda: site.get(DEPLOYMENT, "younger-gateway"), UNWATCHED_SECONDS + SECONDS)
    site.eventually(lambda: site.condition("Degraded", "younger")[0] == "False")


def test_two_tusservers_beside_each_other_have_nothing_in_common(site: Site, operator: OperatorProcess) -> None:
    site.make(name="red")
    site.make(name="blue")
    count = len(build(case("smallest"), Observed("x")))
    red, blue = ({named(child) for child in site.has_children(count, name)} for name in ("red", "blue"))
    assert not red & blue
    site.api.delete(TUSSERVER.api_version, TUSSERVER.kind, "red", site.home)
    operator.idle()
    assert site.get(DEPLOYMENT, "blue-gateway") is not None
