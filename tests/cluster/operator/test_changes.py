"""Changes that are wanted: numbers, autoscalers, versions, pauses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operator.operators import IMAGE, OperatorProcess, an_operator, permit
from tests.cluster.operator.sites import Site, named
from tests.testbed.controlplane import ControlPlane
from tests.testbed.kube_api import KubeApi
from tests.unit.operator.builders.cases import SMALLEST
from tusfleet_operator.cluster.kinds import AUTOSCALER, DEPLOYMENT
from tusfleet_operator.names import PAUSED, REPLICAS_MANAGER, RESTARTED_AT

NEXT = "registry.example/tusfleet:2.0.0"


@contextmanager
def numbers_of_gateways(plane: ControlPlane, site: Site) -> Iterator[list[int]]:
    """Every number of gateways that the Deployment was ever told, also for a moment, during the block."""
    seen: list[int] = []
    api = KubeApi(plane.admin)
    with api.watching("apps/v1", "Deployment", site.home) as lines:

        def read() -> None:
            try:
                for line in lines:
                    found = json.loads(line)["object"]
                    if found["metadata"]["name"] == "uploads-gateway":
                        seen.append(found["spec"]["replicas"])
            except Exception as error:  # noqa: BLE001 - the end of the block closes the connection
                seen.append(seen[-1] if seen else 0)
                print(f"the watch ended: {error!r}")

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        site.eventually(lambda: seen)
        yield seen
    api.close()


def test_an_autoscaler_takes_over_without_a_dip_and_gives_back_without_one(
    plane: ControlPlane, site: Site, operator: OperatorProcess
) -> None:
    site.make({**SMALLEST, "replicas": 5})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 5)
    with numbers_of_gateways(plane, site) as seen:
        site.change({"spec": {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 10}}})
        site.eventually(lambda: site.get(AUTOSCALER, "uploads-gateway"))
        operator.idle()
        # The autoscaler decides, by the subresource and as another field manager.
        path = site.api.path("apps/v1", "Deployment", site.home, "uploads-gateway", "scale")
        merge = {"Content-Type": "application/merge-patch+json"}
        site.api.http.patch(path, json={"spec": {"replicas": 7}}, headers=merge).raise_for_status()
        operator.idle()
        # A change of something else leaves its number alone.
        before = site.deployment()["metadata"]["generation"]
        site.change({"spec": {"gateway": {"maxSize": "1Gi"}}})
        site.eventually(lambda: site.deployment()["metadata"]["generation"] > before)
        operator.idle()
        assert site.deployment()["spec"]["replicas"] == 7
        site.change({"spec": {"replicas": 6, "autoscaling": None}})
        site.eventually(lambda: site.deployment()["spec"]["replicas"] == 6)
        assert site.get(AUTOSCALER, "uploads-gateway") is None
        site.eventually(lambda: seen[-1] == 6)
    steps = [number for number, before in zip(seen, [0, *seen], strict=False) if number != before]
    assert steps == [5, 7, 6]


def test_an_autoscaler_finds_its_fewest_gateways_from_the_beginning(site: Site, operator: OperatorProcess) -> None:
    site.make({**SMALLEST, "autoscaling": {"minReplicas": 3, "maxReplicas": 10}})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 3)


def test_gateways_are_scaled_by_the_resource(site: Site, operator: OperatorProcess) -> None:
    site.make({**SMALLEST, "replicas": 1})
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 1)
    assert not site.api.objects("policy/v1", "PodDisruptionBudget", site.home)
    site.api.patch(
        "tusfleet.dev/v1alpha1", "TusServer", "uploads", {"spec": {"replicas": 4}}, site.home, subresource="scale"
    )
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 4)
    site.eventually(lambda: site.api.objects("policy/v1", "PodDisruptionBudget", site.home))
    managers = {entry["manager"] for entry in site.deployment()["metadata"]["managedFields"]}
    assert REPLICAS_MANAGER in managers
    site.change({"spec": {"replicas": 0}})
    site.until("Ready", "ScaledToZero")


def test_while_it_is_paused_nothing_is_changed_or_repaired(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.has_children(7)
    operator.idle()
    site.change({"metadata": {"annotations": {PAUSED: "true"}}})
    site.until("Paused", "Paused")
    before = site.deployment()["metadata"]["generation"]
    site.change({"spec": {"gateway": {"maxSize": "1Gi"}, "replicas": 5}})
    site.api.delete("v1", "Service", "uploads", site.home)
    site.eventually(lambda: site.server()["status"]["observedGeneration"] == site.server()["metadata"]["generation"])
    operator.idle()
    assert site.deployment()["metadata"]["generation"] == before
    assert site.api.get("v1", "Service", "uploads", site.home) is None
    # It still tells how things are.
    site.set_ready(ready=0)
    site.until("Ready", "GatewaysNotReady")
    site.change({"metadata": {"annotations": {PAUSED: None}}})
    site.until("Paused", "NotPaused")
    site.eventually(lambda: site.api.get("v1", "Service", "uploads", site.home))
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 5)


def test_pods_are_replaced_when_somebody_wants_it(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    operator.idle()

    def generations() -> list[int]:
        return [site.deployment(name)["metadata"]["generation"] for name in ("uploads-gateway", "uploads-janitor")]

    before = generations()
    site.change({"metadata": {"annotations": {RESTARTED_AT: "2026-01-01T00:00:00Z"}}})
    site.eventually(lambda: generations() == [was + 1 for was in before])


@pytest.mark.parametrize(("policy", "image"), [("Manual", IMAGE), ("WithOperator", NEXT)])
def test_a_new_operator_replaces_pods_only_when_it_is_told_to(
    plane: ControlPlane, site: Site, tmp_path: Path, policy: str, image: str
) -> None:
    access = permit(plane, site.home)
    with an_operator(access, site.home, tmp_path, "--watch-namespace", site.home) as before:
        site.make({**SMALLEST, "updatePolicy": policy})
        site.has_children(7)
        before.idle()
        was = {named(child): child for child in site.children()}
    flags = ("--watch-namespace", site.home, "--image", NEXT)
    with an_operator(access, site.home, tmp_path, *flags) as after:
        after.idle()
        found = {named(child): child for child in site.children()}
    template = found["Deployment uploads-gateway"]["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == image
    changed = {
        name
        for name, child in found.items()
        if child["metadata"]["resourceVersion"] != was[name]["metadata"]["resourceVersion"]
    }
    # Not even written: what is applied anew is as it was.
    assert changed == (set() if policy == "Manual" else {"Deployment uploads-gateway", "Deployment uploads-janitor"})


def test_an_image_of_ones_own_is_rolled_out(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.eventually(lambda: site.deployment()["spec"]["replicas"] == 2)
    site.change({"spec": {"image": {"repository": "registry.example/mirror", "tag": "7"}}})
    both = ("uploads-gateway", "uploads-janitor")
    site.eventually(lambda: {_image(site, name) for name in both} == {"registry.example/mirror:7"})
    # The status is told at the end of a look.
    site.eventually(lambda: site.server()["status"]["image"] == "registry.example/mirror:7")
    # And stays when it is not named any more, until another one is.
    site.change({"spec": {"image": None}})
    operator.idle()
    assert _image(site, "uploads-gateway") == "registry.example/mirror:7"


def _image(site: Site, name: str) -> str:
    found = site.get(DEPLOYMENT, name)
    assert found is not None
    image: str = found["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_what_the_api_server_refuses_of_a_child_is_told_and_the_rest_is_made(
    site: Site, operator: OperatorProcess
) -> None:
    nowhere: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    site.make({**SMALLEST, "template": {"affinity": {"nodeAffinity": nowhere}}})
    message = site.until("Degraded", "Refused")
    assert f"refuses Deployment {site.home}/uploads-gateway" in message
    assert "nodeSelectorTerms" in message
    assert site.api.get("v1", "Service", "uploads", site.home) is not None
    site.change({"spec": {"template": {"affinity": None}}})
    site.until("Degraded", "AsWanted")


def test_conditions_turn_into_events(site: Site, operator: OperatorProcess) -> None:
    site.make()
    site.deployment()
    site.set_ready()
    site.until("Ready", "GatewaysReady")
    events = site.eventually(
        lambda: [one for one in site.api.objects("v1", "Event", site.home) if one["reason"] == "GatewaysReady"]
    )
    assert (events[0]["type"], events[0]["involvedObject"]["name"]) == ("Normal", "uploads")
